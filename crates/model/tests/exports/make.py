"""Exports graphs that take more than one vector, and what ONNX Runtime and TensorFlow make of some records.

pip install tensorflow-cpu==2.21.0 onnx==1.23.2 onnxruntime==1.32.0
python make.py

NAME.csv has a line for each record: the elements of all its inputs, one after the other, then those
of all outputs. Each record was scored alone.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import onnxruntime
import tensorflow as tf
from onnx import TensorProto, checker, helper, numpy_helper
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

numbers = np.random.default_rng(11)


def cells(arrays):
    flat = [value for array in arrays for value in np.asarray(array).reshape(-1).tolist()]
    return ",".join(str(value) if isinstance(value, str) else f"{value:.9g}" for value in flat)


def table(name, records, score):
    with open(name + ".csv", "w") as file:
        for record in records:
            print(cells(list(record.values()) + list(score(record))), file=file)


def floats(*shape):
    return numbers.normal(0, 1.5, shape).astype(np.float32)


def onnx(name, nodes, inputs, outputs, constants, records):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        name,
        [value(*info) for info in inputs],
        [value(*info) for info in outputs],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    sets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    checker.check_model(model)
    data = model.SerializeToString(deterministic=True)
    with open(name + ".onnx", "wb") as file:
        file.write(data)
    session = onnxruntime.InferenceSession(data)
    table(name, records, lambda record: session.run(None, record))


FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING

# An image.
onnx(
    "image",
    [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "biases"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ],
    [("image", FLOAT, ["N", 4, 4, 1])],
    [("probabilities", FLOAT, ["N", 3])],
    {"weights": floats(16, 3), "biases": floats(3)},
    [{"image": floats(1, 4, 4, 1)} for _ in range(12)],
)

# Columns of several types, and outputs of several shapes.
colours = ["red", "green", "blue"]
onnx(
    "mixed",
    [
        helper.make_node(
            "CategoryMapper",
            ["Colour Name"],
            ["number"],
            domain="ai.onnx.ml",
            cats_strings=colours,
            cats_int64s=[3, 5, 8],
            default_int64=-1,
        ),
        helper.make_node("Cast", ["number"], ["colour"], to=FLOAT),
        helper.make_node("Cast", ["count"], ["counted"], to=FLOAT),
        helper.make_node("Concat", ["colour", "size", "counted"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "weights"], ["score"]),
        helper.make_node("Identity", ["all"], ["inputs"]),
    ],
    [("Colour Name", STRING, ["N", 1]), ("size", FLOAT, ["N", 1]), ("count", INT64, ["N", 1])],
    [("score", FLOAT, ["N", 1]), ("inputs", FLOAT, ["N", 3])],
    {"weights": floats(3, 1)},
    [
        {
            "Colour Name": np.array([[colours[n % 3]]]),
            "size": floats(1, 1),
            "count": np.array([[n - 3]], dtype=np.int64),
        }
        for n in range(12)
    ],
)

# A sequence of any length.
onnx(
    "sequence",
    [helper.make_node("ReduceMean", ["sequence"], ["mean"], axes=[1], keepdims=0)],
    [("sequence", FLOAT, ["N", "T"])],
    [("mean", FLOAT, ["N"])],
    {},
    [{"sequence": floats(1, 1 + n // 3)} for n in range(12)],
)

# One record at a time.
onnx(
    "single",
    [
        helper.make_node("MatMul", ["x", "weights"], ["product"]),
        helper.make_node("Tanh", ["product"], ["y"]),
    ],
    [("x", FLOAT, [1, 6])],
    [("y", FLOAT, [1, 2])],
    {"weights": floats(6, 2)},
    [{"x": floats(1, 6)} for _ in range(12)],
)

# Probabilities, and the label in words.
onnx(
    "words",
    [
        helper.make_node("MatMul", ["x", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=0),
        helper.make_node(
            "CategoryMapper",
            ["index"],
            ["label"],
            domain="ai.onnx.ml",
            cats_strings=["5", "6", "good"],
            cats_int64s=[0, 1, 2],
            default_string="other",
        ),
    ],
    [("x", FLOAT, ["N", 4])],
    [("probabilities", FLOAT, ["N", 3]), ("label", STRING, ["N"])],
    {"weights": floats(4, 3)},
    [{"x": floats(1, 4)} for _ in range(12)],
)

# A frozen graph of two inputs, one of whole numbers.
weights = tf.constant(floats(16, 2))


@tf.function(
    input_signature=[
        tf.TensorSpec((None, 4, 4), tf.float32, name="image"),
        tf.TensorSpec((None,), tf.int32, name="shift"),
    ]
)
def pair(image, shift):
    product = tf.matmul(tf.reshape(image, (-1, 16)), weights)
    return tf.add(product, tf.expand_dims(tf.cast(shift, tf.float32), 1), name="sum")


frozen = convert_variables_to_constants_v2(pair.get_concrete_function())
with open("pair.pb", "wb") as file:
    file.write(frozen.graph.as_graph_def().SerializeToString(deterministic=True))
table(
    "pair",
    [{"image": floats(1, 4, 4), "shift": np.array([n - 4], dtype=np.int32)} for n in range(12)],
    lambda record: [pair(record["image"], record["shift"]).numpy()],
)
