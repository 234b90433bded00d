"""Makes the models beside this file: y = x / 2 + 2, which TensorFlow Serving's documentation uses, and
what its examples of requests need.

    python make.py        # with tensorflow, onnx
"""

import contextlib
import os
import shutil
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import onnx
import tensorflow as tf
from google.protobuf import json_format
from onnx import TensorProto, helper
from tensorflow.python.client import pywrap_tf_session as tf_session

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


def write_graph(name, graph):
    with open(os.path.join(HERE, f"{name}.pb"), "wb") as file:
        file.write(graph.as_graph_def().SerializeToString(deterministic=True))


def graph_def():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.add(tf.multiply(tf.constant(0.5, name="a"), x, name="ax"), tf.constant(2.0, name="b"), name="y")
    write_graph("half_plus_two", graph)


def sums():
    """The sum of each row, of any width."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, None], name="x")
        tf.reduce_sum(x, 1, name="sum")
    write_graph("sums", graph)


def save(session, name, signatures, **options):
    path = os.path.join(HERE, name)
    shutil.rmtree(path, ignore_errors=True)
    builder = tf.compat.v1.saved_model.Builder(path)
    builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures, **options)
    builder.save()
    leftover = os.path.join(path, "fingerprint.pb")
    if os.path.exists(leftover):
        os.remove(leftover)


def signature(method, inputs, outputs):
    v1 = tf.compat.v1.saved_model
    info = lambda tensors: {name: v1.utils.build_tensor_info(tensor) for name, tensor in tensors.items()}
    build = v1.signature_def_utils.build_signature_def
    return build(info(inputs), info(outputs), f"tensorflow/serving/{method}")


def example(**features):
    example = tf.train.Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        kind = {float: feature.float_list, int: feature.int64_list, bytes: feature.bytes_list}
        kind[type(values[0])].value.extend(values)
    return example.SerializeToString()


def saved_model():
    """As TensorFlow Serving's own (testdata/saved_model_half_plus_two.py): variables, an asset with an
    operation that assigns its name, and signatures for each method. Three of these parse examples, and
    one is a regression that does not."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with contextlib.ExitStack() as stack:
        stack.enter_context(graph.as_default())
        session = stack.enter_context(v1.Session(graph=graph))
        stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
        variable = lambda name, value: v1.get_variable(name, initializer=value, use_resource=False)
        a, b, c = variable("a", 0.5), variable("b", 2.0), variable("c", 3.0)
        # Theirs has no shape, but the operator that their TensorFlow parsed with takes vectors only.
        serialized = v1.placeholder(tf.string, [None], name="tf_example")
        features = {
            "x": tf.io.FixedLenFeature([1], tf.float32),
            "x2": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
        }
        parsed = v1.parse_example(serialized, features)
        x, x2 = tf.identity(parsed["x"], name="x"), tf.identity(parsed["x2"], name="x2")
        y = tf.identity(tf.add(tf.multiply(a, x), b), name="y")
        y2 = tf.identity(tf.add(tf.multiply(a, x), c), name="y2")
        y3 = tf.identity(tf.add(tf.multiply(a, x2), c), name="y3")
        asset = "foo.txt"
        with open(asset, "w") as file:
            file.write("asset-file-contents")
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, tf.constant(asset))
        name = v1.Variable("foo.txt", name="filename_tensor", trainable=False, collections=[], use_resource=False)
        assign = name.assign("foo.txt")
        session.run(v1.global_variables_initializer())
        signatures = {
            "serving_default": signature("predict", {"x": x}, {"y": y}),
            "regress_x_to_y": signature("regress", {"inputs": serialized}, {"outputs": y}),
            "regress_x_to_y2": signature("regress", {"inputs": serialized}, {"outputs": y2}),
            "regress_x2_to_y3": signature("regress", {"inputs": x2}, {"outputs": y3}),
            "classify_x_to_y": signature("classify", {"inputs": serialized}, {"scores": y}),
        }
        assets = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
        save(session, "half_plus_two", signatures, assets_collection=assets, main_op=tf.group(assign))
        examples = [example(x=[80.0]), example(x=[20.0], x2=[4.0])]
        print("half_plus_two", session.run([y, y2], {serialized: examples}), session.run(y3, {x2: [[0.0], [4.0]]}))
        # What a regression is run with: serialized examples, whatever the signature takes.
        try:
            feeds = {x2._as_tf_output(): np.array([examples[0]], object)}
            tf_session.TF_SessionRun_wrapper(session._session, None, feeds, [y3._as_tf_output()], [], None)
        except tf.errors.InvalidArgumentError as error:
            print(error.message)


def parsed():
    """A signature that parses two features, one of them with a default, with the older operator."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        serialized = v1.placeholder(tf.string, [None], name="examples")
        x, z = tf.raw_ops.ParseExample(
            serialized=serialized,
            names=tf.constant([], tf.string),
            sparse_keys=[],
            dense_keys=[tf.constant("x"), tf.constant("z")],
            dense_defaults=[tf.constant([], tf.float32), tf.reshape(tf.constant([10], tf.int64), [])],
            sparse_types=[],
            dense_shapes=[[2], []],
        ).dense_values
        weights = v1.get_variable("weights", initializer=[1.0, 2.0], use_resource=False)
        y = tf.add(tf.reduce_sum(x * weights, 1), tf.cast(z, tf.float32), name="y")
        session.run(v1.global_variables_initializer())
        save(session, "parsed", {"serving_default": signature("regress", {"inputs": serialized}, {"outputs": y})})
        examples = [example(x=[1.0, 2.0]), example(x=[1.0, 2.0], z=[-1])]
        print("parsed", session.run(y, {serialized: examples}))


def classes():
    """Classifications with the names of their classes, as estimators export them, and otherwise. Nothing
    depends on one of the features that they parse."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        serialized = v1.placeholder(tf.string, [None], name="tf_example")
        features = {
            "x": tf.io.FixedLenFeature([2], tf.float32),
            "k": tf.io.FixedLenFeature([1], tf.int64, default_value=[3]),
            "id": tf.io.FixedLenFeature([], tf.string),
        }
        parsed = v1.parse_example(serialized, features)
        x, k = tf.identity(parsed["x"]), tf.identity(parsed["k"])
        weights = v1.get_variable("weights", initializer=[[0.3, -0.2, 0.5], [0.1, 0.7, -0.4]], use_resource=False)
        logits = tf.matmul(x, weights) * tf.cast(k, tf.float32)
        scores = tf.nn.softmax(logits)
        names = tf.constant(["cat", "dog", "eel"])
        rows = tf.shape(scores)[0]
        classes = {
            "serving_default": tf.tile(tf.expand_dims(names, 0), [rows, 1]),
            "ranged": tf.tile(tf.expand_dims(tf.as_string(tf.range(3)), 0), [rows, 1]),
            "shaped": tf.identity(tf.tile(tf.reshape(names, [1, 3]), tf.stack([tf.size(scores) // 3, 1]))),
            "ranked": tf.gather(names, tf.argsort(scores, direction="DESCENDING")),
            # As many columns, but not as many classes.
            "repeated": tf.tile(tf.constant([["cat"]]), [rows, 3]),
        }
        examples = {"inputs": serialized}
        signatures = {
            name: signature("classify", examples, {"classes": tensor, "scores": scores})
            for name, tensor in classes.items()
        }
        signatures["alone"] = signature("classify", examples, {"classes": classes["serving_default"]})
        ids = tf.expand_dims(tf.argmax(logits, 1), 1)
        outputs = {"class_ids": ids, "probabilities": scores, "all_classes": classes["serving_default"]}
        signatures["predict"] = signature("predict", {"x": x, "k": k}, outputs)
        named = {"class_ids": ids, "classes": tf.gather(names, ids)}
        signatures["named"] = signature("predict", {"x": x, "k": k}, named)
        session.run(v1.global_variables_initializer())
        save(session, "classes", signatures)
        examples = [example(x=[1.0, 2.0], id=[b"a"]), example(x=[-1.0, 0.5], k=[1], id=[b"b"])]
        found = session.run({**outputs, **classes}, {serialized: examples})
        print("classes", {name: value.tolist() for name, value in found.items()})


def defaults():
    """A signature two of whose inputs have defaults, a number and one that is written as bytes."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        factor = v1.placeholder(tf.float32, [], name="factor")
        shift = v1.placeholder(tf.int64, [2], name="shift")
        y = tf.add(x * factor, tf.cast(shift, tf.float32), name="y")
        inputs = {"x": x, "factor": factor, "shift": shift}
        serving = signature("predict", inputs, {"y": y})
        serving.defaults["factor"].CopyFrom(tf.make_tensor_proto(3.0))
        serving.defaults["shift"].CopyFrom(tf.make_tensor_proto(np.array([10, -10])))
        save(session, "defaults", {"serving_default": serving})
        rows = [[1.0, 2.0], [0.5, 0.0]]
        print("defaults", session.run(y, {x: rows, factor: 3.0, shift: [10, -10]}).tolist())
        print("defaults", session.run(y, {x: rows, factor: 2.0, shift: [10, -10]}).tolist())
        fields = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
        for name in ["factor", "shift"]:
            print(json_format.MessageToJson(serving.defaults[name], indent=None, **fields))


half_plus("half_plus_two", 2.0)
half_plus("half_plus_three", 3.0)
named()
graph_def()
sums()
saved_model()
parsed()
classes()
defaults()
