"""Makes the models beside this file: y = x / 2 + 2, which TensorFlow Serving's documentation uses, and
what its examples of requests need.

    python make.py        # with tensorflow, onnx
"""

import os
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper

HERE = os.path.dirname(os.path.abspath(__file__))


def write_onnx(name, nodes, inputs, outputs, constants=()):
    values = lambda ports: [helper.make_tensor_value_info(*port) for port in ports]
    graph = helper.make_graph(nodes, name, values(inputs), values(outputs), list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    with open(os.path.join(HERE, f"{name}.onnx"), "wb") as file:
        file.write(model.SerializeToString(deterministic=True))


def half_plus(name, addend):
    constant = lambda name, value: helper.make_tensor(name, TensorProto.FLOAT, [], [value])
    write_onnx(
        name,
        [helper.make_node("Mul", ["a", "x"], ["ax"]), helper.make_node("Add", ["ax", "b"], ["y"])],
        [("x", TensorProto.FLOAT, ["n"])],
        [("y", TensorProto.FLOAT, ["n"])],
        [constant("a", 0.5), constant("b", addend)],
    )


def named():
    """Three inputs of different types and shapes, as in the documentation of the row format."""
    write_onnx(
        "named",
        [
            helper.make_node("Identity", ["tag"], ["tag_bytes"]),
            helper.make_node("Identity", ["tag"], ["tag_text"]),
            helper.make_node("Neg", ["signal"], ["opposite"]),
            helper.make_node("Add", ["sensor", "sensor"], ["double"]),
            helper.make_node("Not", ["flag"], ["unflagged"]),
        ],
        [
            ("tag", TensorProto.STRING, ["n"]),
            ("signal", TensorProto.INT64, ["n", 5]),
            ("sensor", TensorProto.DOUBLE, ["n", 2, 2]),
            ("flag", TensorProto.BOOL, ["n"]),
        ],
        [
            ("tag_bytes", TensorProto.STRING, ["n"]),
            ("tag_text", TensorProto.STRING, ["n"]),
            ("opposite", TensorProto.INT64, ["n", 5]),
            ("double", TensorProto.DOUBLE, ["n", 2, 2]),
            ("unflagged", TensorProto.BOOL, ["n"]),
        ],
    )


def graph_def():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.add(tf.multiply(tf.constant(0.5, name="a"), x, name="ax"), tf.constant(2.0, name="b"), name="y")
    with open(os.path.join(HERE, "half_plus_two.pb"), "wb") as file:
        file.write(graph.as_graph_def().SerializeToString(deterministic=True))


def saved_model():
    """As TensorFlow Serving's own: variables, and signatures for each method, two of which parse
    examples."""
    v1 = tf.compat.v1
    path = os.path.join(HERE, "half_plus_two")
    shutil.rmtree(path, ignore_errors=True)
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        a = v1.get_variable("a", initializer=0.5, use_resource=False)
        b = v1.get_variable("b", initializer=2.0, use_resource=False)
        serialized = v1.placeholder(tf.string, [None], name="tf_example")
        features = {"x": tf.io.FixedLenFeature([1], tf.float32)}
        x = tf.identity(v1.io.parse_example(serialized, features)["x"], name="x")
        y = tf.add(tf.multiply(a, x), b, name="y")
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.utils.build_tensor_info
        build = v1.saved_model.signature_def_utils.build_signature_def
        examples = {"inputs": info(serialized)}
        signatures = {
            "serving_default": build({"x": info(x)}, {"y": info(y)}, "tensorflow/serving/predict"),
            "regress_x_to_y": build(examples, {"outputs": info(y)}, "tensorflow/serving/regress"),
            "classify_x_to_y": build(examples, {"scores": info(y)}, "tensorflow/serving/classify"),
        }
        builder = v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    leftover = os.path.join(path, "fingerprint.pb")
    if os.path.exists(leftover):
        os.remove(leftover)


def parsed():
    """A signature that parses two features, one of them with a default, with the older operator."""
    v1 = tf.compat.v1
    path = os.path.join(HERE, "parsed")
    shutil.rmtree(path, ignore_errors=True)
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        serialized = v1.placeholder(tf.string, [None], name="examples")
        x, z = tf.raw_ops.ParseExample(
            serialized=serialized,
            names=tf.constant([], tf.string),
            sparse_keys=[],
            dense_keys=[tf.constant("x"), tf.constant("z")],
            dense_defaults=[tf.constant([], tf.float32), tf.constant(10, tf.int64)],
            sparse_types=[],
            dense_shapes=[[2], []],
        ).dense_values
        weights = v1.get_variable("weights", initializer=[1.0, 2.0], use_resource=False)
        y = tf.add(tf.reduce_sum(x * weights, 1), tf.cast(z, tf.float32), name="y")
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.utils.build_tensor_info
        build = v1.saved_model.signature_def_utils.build_signature_def
        inputs, outputs = {"inputs": info(serialized)}, {"outputs": info(y)}
        signatures = {"serving_default": build(inputs, outputs, "tensorflow/serving/regress")}
        builder = v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
        for features in ({"x": [1.0, 2.0]}, {"x": [1.0, 2.0], "z": [-1]}):
            example = tf.train.Example()
            for name, values in features.items():
                feature = example.features.feature[name]
                (feature.float_list if name == "x" else feature.int64_list).value.extend(values)
            print(features, session.run(y, {serialized: [example.SerializeToString()]}))
    leftover = os.path.join(path, "fingerprint.pb")
    if os.path.exists(leftover):
        os.remove(leftover)


half_plus("half_plus_two", 2.0)
half_plus("half_plus_three", 3.0)
named()
graph_def()
saved_model()
parsed()
