"""Exports networks whose rows have two axes, and what their engines make of ../rows.csv, two lines a row.

pip install tensorflow-cpu==2.21.0 keras==3.15.1 onnx==1.23.2 onnxruntime==1.32.0
python make.py

NAME.csv has a line for each row, and the values of the output, one after the other.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

SHAPE = (2, 11)
keras.utils.set_random_seed(7)
numbers = np.random.default_rng(7)
rows = np.loadtxt("../rows.csv", delimiter=",", dtype=np.float32).reshape(-1, *SHAPE)


def table(name, values):
    values = np.asarray(values, dtype=float).reshape(len(rows), -1)
    np.savetxt(name + ".csv", values, delimiter=",", fmt="%.9g")


def tensorflow(name, *layers):
    model = keras.Sequential([keras.layers.Input(SHAPE), *layers])
    for weights in model.weights:
        weights.assign(numbers.normal(0, 0.4, weights.shape))
    signature = tf.TensorSpec((None, *SHAPE), tf.float32, name="x")
    function = tf.function(lambda x: model(x)).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(function)
    with open(name + ".pb", "wb") as file:
        file.write(frozen.graph.as_graph_def().SerializeToString(deterministic=True))
    table(name, frozen(tf.constant(rows))[0].numpy())


def onnx(name, nodes, shapes):
    constants = [
        numpy_helper.from_array(numbers.normal(0, 0.4, shape).astype(np.float32), constant)
        for constant, shape in shapes.items()
    ]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [output], **attributes)
         for op, inputs, output, attributes in nodes],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *SHAPE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data = model.SerializeToString(deterministic=True)
    with open(name + ".onnx", "wb") as file:
        file.write(data)
    table(name, onnxruntime.InferenceSession(data).run(None, {"x": rows})[0])


tensorflow(
    "flattened",
    keras.layers.Rescaling(0.5, -0.25),
    keras.layers.Flatten(),
    keras.layers.Dense(8, activation="relu"),
    keras.layers.Dense(5, activation="relu"),
    keras.layers.Dense(3, activation="softmax"),
)
onnx(
    "each_line",
    [
        ("MatMul", ["x", "w1"], "1", {}),
        ("Add", ["1", "b1"], "2", {}),
        ("Sigmoid", ["2"], "3", {}),
        ("MatMul", ["3", "w2"], "4", {}),
        ("Softmax", ["4"], "y", {"axis": -1}),
    ],
    {"w1": (11, 6), "b1": (6,), "w2": (6, 4)},
)
onnx(
    "columns_first",
    [
        ("Sub", ["x", "mean"], "1", {}),
        ("Transpose", ["1"], "2", {"perm": [0, 2, 1]}),
        ("Flatten", ["2"], "3", {"axis": 1}),
        ("Gemm", ["3", "w", "b"], "4", {"transB": 1}),
        ("Tanh", ["4"], "y", {}),
    ],
    {"mean": (2, 11), "w": (5, 22), "b": (5,)},
)
onnx(
    "flattened_later",
    [
        ("MatMul", ["x", "w1"], "1", {}),
        ("Add", ["1", "b1"], "2", {}),
        ("Relu", ["2"], "3", {}),
        ("Flatten", ["3"], "4", {"axis": 1}),
        ("Gemm", ["4", "w2", "b2"], "5", {"transB": 1}),
        ("Softmax", ["5"], "y", {"axis": -1}),
    ],
    {"w1": (11, 6), "b1": (6,), "w2": (4, 12), "b2": (4,)},
)
