"""Makes the models that only a library runs, and what TensorFlow and ONNX Runtime make of them.

    python make.py

with tensorflow-cpu, onnx and onnxruntime. The inputs are in the tables, too: first the columns that
are fed, then those that are expected.
"""

import csv
import os
import shutil
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from onnx import TensorProto, helper
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

HERE = Path(__file__).parent
RNG = np.random.default_rng(11)
COLOURS = ["red", "white", "rosé", "", "orange", "red"]


def write(name, *columns):
    rows = np.concatenate(
        [np.asarray(column, dtype=object).reshape(len(COLOURS), -1) for column in columns], axis=1
    )
    with open(HERE / f"{name}.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [cell if isinstance(cell, str) else repr(float(cell)) for cell in row] for row in rows
        )


class Lookup(tf.Module):
    """A table of words from a file, and a variable for each."""

    def __init__(self, vocabulary):
        super().__init__()
        self.asset = tf.saved_model.Asset(vocabulary)
        self.table = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(
                self.asset,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            num_oov_buckets=1,
        )
        self.weights = tf.Variable(RNG.normal(size=(4, 3)).astype(np.float32))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "colour"),
            tf.TensorSpec([None], tf.float32, "alcohol"),
        ]
    )
    def __call__(self, colour, alcohol):
        scores = tf.gather(self.weights, self.table.lookup(colour)) * alcohol[:, None]
        return {"scores": scores, "upper": tf.strings.upper(colour, encoding="utf-8")}


def lookup():
    vocabulary = HERE / "colours.txt"
    vocabulary.write_text("red\nwhite\nrosé\n")
    module = Lookup(str(vocabulary))
    target = HERE / "lookup"
    shutil.rmtree(target, ignore_errors=True)
    tf.saved_model.save(module, str(target), signatures={"serving_default": module.__call__})
    vocabulary.unlink()
    (target / "fingerprint.pb").unlink(missing_ok=True)
    served = tf.saved_model.load(str(target)).signatures["serving_default"]
    alcohol = RNG.uniform(8, 15, len(COLOURS)).astype(np.float32)
    result = served(colour=tf.constant(COLOURS), alcohol=tf.constant(alcohol))
    upper = [text.decode() for text in result["upper"].numpy()]
    write("lookup", alcohol, COLOURS, result["scores"].numpy(), upper)


def loop():
    """A frozen graph of a loop, as TensorFlow 1 has it: Enter, Merge, NextIteration, Exit."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
    def halve(x):
        condition = lambda y: tf.reduce_max(tf.abs(y)) > 1.0
        return tf.while_loop(
            condition, lambda y: (y / 2.0,), (x,), shape_invariants=(tf.TensorShape([None, 2]),)
        )

    frozen = convert_variables_to_constants_v2(
        halve.get_concrete_function(), lower_control_flow=True
    )
    graph = tf.compat.v1.Graph()
    graph_def = frozen.graph.as_graph_def()
    (HERE / "loop.pb").write_bytes(graph_def.SerializeToString(deterministic=True))
    x = RNG.normal(scale=9, size=(len(COLOURS), 2)).astype(np.float32)
    write("loop", x, frozen(tf.constant(x))[0].numpy())


def table():
    """A frozen graph with a table that has to be filled before it is asked."""
    graph = tf.Graph()
    with graph.as_default():
        words = tf.compat.v1.placeholder(tf.string, [None], "words")
        entries = tf.lookup.KeyValueTensorInitializer(
            tf.constant(["red", "white"]), tf.constant([3, 5], tf.int64)
        )
        found = tf.lookup.StaticHashTable(entries, -1).lookup(words)
        tf.identity(found, "found")
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.tables_initializer())
            result = session.run("found:0", {"words:0": COLOURS})
    (HERE / "table.pb").write_bytes(graph.as_graph_def().SerializeToString(deterministic=True))
    write("table", COLOURS, result)


def onnx_loop():
    """A loop, and a condition, with graphs of their own that see values outside of them."""
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["y_in", "half"], ["y_out"]),
            helper.make_node("Identity", ["again_in"], ["again_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("again_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y_in", TensorProto.FLOAT, [None, 2]),
        ],
        [
            helper.make_tensor_value_info("again_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y_out", TensorProto.FLOAT, [None, 2]),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["steps", "", "x"], ["y"], body=body),
        helper.make_node("ReduceSum", ["y", "axes"], ["sum"], keepdims=1),
        helper.make_node("Neg", ["x"], ["unused"]),
    ]
    graph = helper.make_graph(
        nodes,
        "halves",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["rows", 1]),
            helper.make_tensor_value_info("unused", TensorProto.FLOAT, ["rows", 2]),
        ],
        [
            helper.make_tensor("steps", TensorProto.INT64, [], [3]),
            helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name=""
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(HERE / "loop.onnx"))
    x = RNG.normal(size=(len(COLOURS), 2)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(HERE / "loop.onnx"))
    write("onnx_loop", x, session.run(["sum"], {"x": x})[0])


def default():
    """A signature with an input that need not be fed."""
    signature = [
        tf.TensorSpec([None, 2], tf.float32, "x"),
        tf.TensorSpec([], tf.float32, "scale"),
    ]

    @tf.function(input_signature=signature)
    def scaled(x, scale=tf.constant(2.5)):
        return {"scaled": x * scale}

    target = HERE / "default"
    shutil.rmtree(target, ignore_errors=True)
    tf.saved_model.save(tf.Module(), str(target), signatures={"serving_default": scaled})
    (target / "fingerprint.pb").unlink(missing_ok=True)
    x = np.linspace(-3, 8, 2 * len(COLOURS), dtype=np.float32).reshape(-1, 2)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(target))
        served = loaded.signature_def["serving_default"]
        feed = {served.inputs["x"].name: x}
        result = session.run(served.outputs["scaled"].name, feed)
        feed[served.inputs["scale"].name] = 0.5
        fed = session.run(served.outputs["scaled"].name, feed)
    write("default", x, result, fed)


lookup()
loop()
table()
onnx_loop()
default()
