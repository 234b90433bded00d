"""Exports small models as their users do, and what TensorFlow and ONNX Runtime make of rows.csv.

pip install tensorflow-cpu==2.21.0 tf_keras==2.21.0 tf2onnx==1.17.0 onnx==1.23.2 onnxruntime==1.31.1 \\
    scikit-learn==1.7.2 skl2onnx==1.20.0
python make.py

NAME.csv has a row for each row of rows.csv, and the values of all outputs, one after the other.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx
import tf_keras as keras
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.tools.optimize_for_inference_lib import optimize_for_inference

WIDTH = 11
numbers = np.random.default_rng(7)
tf.random.set_seed(7)
rows = numbers.normal(0, 1.5, (40, WIDTH)).astype(np.float32)
v1 = tf.compat.v1


def table(name, values):
    np.savetxt(name + ".csv", values, delimiter=",", fmt="%.9g")


def graphdef(name, graph, feed, fetch):
    with open(name + ".pb", "wb") as file:
        file.write(graph.SerializeToString(deterministic=True))
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph, name="")
    with v1.Session(graph=imported) as session:
        result = session.run(fetch + ":0", {feed + ":0": rows})
    table(name, np.asarray(result, dtype=float).reshape(len(rows), -1))


def concrete(name, function):
    signature = tf.TensorSpec((None, WIDTH), tf.float32, name="x")
    frozen = convert_variables_to_constants_v2(
        tf.function(function).get_concrete_function(signature)
    )
    (feed,), (fetch,) = frozen.inputs, frozen.outputs
    graphdef(name, frozen.graph.as_graph_def(), feed.op.name, fetch.op.name)


def onnx(name, data):
    with open(name + ".onnx", "wb") as file:
        file.write(data)
    session = onnxruntime.InferenceSession(data)
    columns = []
    for output in session.run(None, {session.get_inputs()[0].name: rows}):
        if isinstance(output, list):
            output = np.array([[cells[key] for key in sorted(cells)] for cells in output])
        columns.append(np.asarray(output, dtype=float).reshape(len(rows), -1))
    table(name, np.hstack(columns))


def dense(*layers):
    return keras.Sequential([keras.layers.Input((WIDTH,)), *layers])


def tensorflow_one():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, WIDTH], name="dense_1_input")
        hidden = tf.matmul(x, v1.get_variable("w1", [WIDTH, 16]))
        hidden = tf.nn.relu(tf.nn.bias_add(hidden, v1.get_variable("b1", [16])))
        hidden = tf.identity(hidden, name="dropout/Identity")
        output = tf.nn.bias_add(
            tf.matmul(hidden, v1.get_variable("w2", [16, 9])), v1.get_variable("b2", [9])
        )
        output = tf.nn.sigmoid(output, name="dense_3/Sigmoid")
        label = v1.placeholder(tf.float32, [None, 9], name="label")
        tf.reduce_mean(tf.square(output - label), name="loss")
        v1.train.Saver()
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            whole = graph.as_graph_def()
            with open("unfrozen.pb", "wb") as file:
                file.write(whole.SerializeToString(deterministic=True))
            frozen = v1.graph_util.convert_variables_to_constants(
                session, whole, ["dense_3/Sigmoid"]
            )
    graphdef("tf1_dropout", frozen, "dense_1_input", "dense_3/Sigmoid")
    optimized = optimize_for_inference(
        frozen, ["dense_1_input"], ["dense_3/Sigmoid"], tf.float32.as_datatype_enum
    )
    graphdef("tf1_optimized", optimized, "dense_1_input", "dense_3/Sigmoid")


def tensorflow_two():
    for activation in [
        "elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "relu", "relu6", "selu",
        "sigmoid", "softplus", "softsign", "swish", "tanh",
    ]:
        model = dense(
            keras.layers.Dense(12, activation=activation),
            keras.layers.Dense(5, activation="softmax"),
        )
        concrete("keras_" + activation, model)
    model = dense(
        keras.layers.Dense(12),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(5, activation="sigmoid"),
    )
    for weights in model.weights:
        signs = [1] if len(weights.shape) == 1 else [-1, 1]
        sizes = numbers.uniform(0.1, 0.6, weights.shape)
        weights.assign(sizes * numbers.choice(signs, weights.shape))
    concrete("keras_batch_normalization", model)
    normalization = keras.layers.Normalization()
    normalization.adapt(rows)
    model = dense(normalization, keras.layers.Dense(5))
    concrete("normalization_argmax", lambda x: tf.argmax(model(x), -1))
    concrete(
        "columns",
        lambda x: tf.concat(
            [x[:, 2:5], tf.expand_dims(x[:, 0] + x[:, -1], 1), tf.reshape(x, [-1, WIDTH])], -1
        ),
    )
    concrete(
        "reductions",
        lambda x: tf.stack(
            [tf.reduce_sum(x, -1), tf.reduce_mean(x, 1), tf.reduce_max(x, [1]),
             tf.minimum(x[:, 0], x[:, 1]), tf.where(x[:, 2] > 0.0, x[:, 3], x[:, 4])], -1
        ),
    )
    for activation in ["sigmoid", "softmax"]:
        model = dense(
            keras.layers.Dense(12, activation="relu"), keras.layers.Dense(9, activation=activation)
        )
        signature = (tf.TensorSpec((None, WIDTH), tf.float32, name="x"),)
        converted, _ = tf2onnx.convert.from_keras(model, signature)
        onnx("tf2onnx_" + activation, converted.SerializeToString())


def scikit_learn():
    classes = (np.abs(rows[:, 0]) + rows[:, 1] > 1).astype(int) + (rows[:, 2] > 0)
    target = rows @ numbers.normal(size=WIDTH) + np.sin(rows[:, 0])
    settings = dict(max_iter=200, random_state=7)
    logistic = MLPClassifier((5,), activation="logistic", **settings)
    for name, model, y in [
        ("linear", LinearRegression(), target),
        ("scaled_ridge", make_pipeline(StandardScaler(), Ridge()), target),
        ("logistic", LogisticRegression(max_iter=500), classes),
        ("scaled_logistic", make_pipeline(StandardScaler(), LogisticRegression()), classes),
        ("mlp", MLPClassifier((12,), **settings), classes),
        ("mlp_tanh", MLPClassifier((12,), activation="tanh", **settings), classes),
        ("min_max_mlp", make_pipeline(MinMaxScaler(), logistic), classes),
        ("forest", RandomForestClassifier(5, max_depth=4, random_state=7), classes),
        ("boosting", GradientBoostingClassifier(n_estimators=3, random_state=7), classes),
        ("k_means", KMeans(3, n_init=1, random_state=7), classes),
    ]:
        onnx("sklearn_" + name, to_onnx(model.fit(rows, y), rows[:1]).SerializeToString())
    words = np.array(["low", "middle", "high"])[classes]
    text = to_onnx(LogisticRegression(max_iter=500).fit(rows, words), rows[:1])
    with open("sklearn_text_labels.onnx", "wb") as file:
        file.write(text.SerializeToString())


def torch_like():
    """As PyTorch writes it: transposed weights, which are listed among the inputs, too."""
    weight = numbers.normal(size=(9, WIDTH)).astype(np.float32)
    bias = numbers.normal(size=9).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["input", "fc.weight", "fc.bias"], ["1"], transB=1),
            helper.make_node("LeakyRelu", ["1"], ["2"]),
            helper.make_node("Softmax", ["2"], ["output"], axis=1),
        ],
        "torch",
        [
            value("input", TensorProto.FLOAT, ["batch_size", WIDTH]),
            value("fc.weight", TensorProto.FLOAT, [9, WIDTH]),
            value("fc.bias", TensorProto.FLOAT, [9]),
        ],
        [value("output", TensorProto.FLOAT, ["batch_size", 9])],
        [numpy_helper.from_array(weight, "fc.weight"), numpy_helper.from_array(bias, "fc.bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx("torch_like", model.SerializeToString())


table("rows", rows)
tensorflow_one()
tensorflow_two()
scikit_learn()
torch_like()
