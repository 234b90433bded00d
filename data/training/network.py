"""The neural network, as frozen TensorFlow graph, as SavedModel and as ONNX file.

Eleven inputs, two hidden layers, nine sigmoid outputs: output N says how much the wine looks like
one of quality N, so the index of the largest output is the predicted quality.
"""

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy
import onnx
import pandas
import tensorflow
from onnx import TensorProto, helper, numpy_helper
from tensorflow.compat import v1
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from wine import FEATURES, TARGET

SEED = 20190501
HIDDEN = (22, 16)
CLASSES = 9
# The oldest versions that have all four operators in their present form; old runtimes read them.
OPSET, IR_VERSION = 13, 7


@dataclass(frozen=True)
class Weights:
    """What training leaves: `shift` is added to the input, then come the layers."""

    shift: numpy.ndarray
    layers: list[tuple[numpy.ndarray, numpy.ndarray]]


@functools.lru_cache(maxsize=1)
def trained(features: bytes, labels: bytes) -> Weights:
    """The weights after training with Keras; the same for all three formats.

    Training sees standardised inputs. Of the standardisation, (x + shift) * scale, the scale goes
    into the first kernel. The shift stays: added to the first bias instead, it would leave a
    difference of large numbers, and two runtimes that sum in different orders would differ by more
    than 1e-6.
    """
    x = numpy.frombuffer(features).reshape(-1, len(FEATURES))
    y = numpy.frombuffer(labels, dtype="int64")
    shift, scale = -x.mean(axis=0), 1.0 / x.std(axis=0)

    keras.utils.set_random_seed(SEED)
    tensorflow.config.experimental.enable_op_determinism()
    model = keras.Sequential(
        [
            keras.Input((len(FEATURES),)),
            *(keras.layers.Dense(width, activation="relu") for width in HIDDEN),
            keras.layers.Dense(CLASSES, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), loss="binary_crossentropy")
    targets = keras.utils.to_categorical(y, CLASSES)
    model.fit(((x + shift) * scale).astype("float32"), targets, epochs=60, batch_size=64, verbose=0)

    (kernel, bias), *others = [tuple(layer.get_weights()) for layer in model.layers]
    first = (scale[:, numpy.newaxis] * kernel).astype("float32"), bias
    return Weights(shift.astype("float32"), [first, *others])


def weights_for(records: pandas.DataFrame) -> Weights:
    return trained(
        records[FEATURES].to_numpy("float64").tobytes(), records[TARGET].to_numpy("int64").tobytes()
    )


def build_graph(weights: Weights, parameter) -> tuple[tensorflow.Tensor, tensorflow.Tensor]:
    """Add the network to the default graph; `parameter(name, value)` makes a weight's tensor."""
    inputs = v1.placeholder(tensorflow.float32, [None, len(FEATURES)], name="inputs")
    value = tensorflow.add(inputs, parameter("shift", weights.shift), name="shifted")
    last = len(weights.layers)
    for index, (kernel, bias) in enumerate(weights.layers, start=1):
        with v1.name_scope(f"dense_{index}/"):
            value = tensorflow.matmul(value, parameter("kernel", kernel), name="MatMul")
            value = tensorflow.nn.bias_add(value, parameter("bias", bias), name="BiasAdd")
            if index == last:
                value = tensorflow.sigmoid(value, name="Sigmoid")
            else:
                value = tensorflow.nn.relu(value, name="Relu")
    return inputs, tensorflow.identity(value, name="outputs")


def frozen_graph(records: pandas.DataFrame, path: Path) -> None:
    weights = weights_for(records)
    with tensorflow.Graph().as_default() as graph:
        build_graph(weights, lambda name, value: tensorflow.constant(value, name=name))
    path.write_bytes(graph.as_graph_def().SerializeToString(deterministic=True))


def saved_model(records: pandas.DataFrame, path: Path) -> None:
    """A SavedModel with variables and the signature `predict`, where TensorFlow Serving looks."""
    weights = weights_for(records)
    shutil.rmtree(path, ignore_errors=True)
    with tensorflow.Graph().as_default(), v1.Session() as session:
        values = []

        def variable(name: str, value: numpy.ndarray) -> tensorflow.Tensor:
            # The scope is spelled out: get_variable ignores name_scope.
            scope = v1.get_default_graph().get_name_scope()
            created = v1.get_variable(
                f"{scope}/{name}" if scope else name,
                shape=value.shape,
                initializer=v1.zeros_initializer(),
                use_resource=True,
            )
            values.append((created, value))
            return created

        inputs, outputs = build_graph(weights, variable)
        # The graph's own initial values stay zeros: the weights are in the variables' files alone.
        for created, value in values:
            session.run(created.initializer, {created.initializer.inputs[1]: value})
        signature = v1.saved_model.signature_def_utils.build_signature_def(
            inputs={"inputs": tensor_info(inputs)},
            outputs={"outputs": tensor_info(outputs)},
            method_name=v1.saved_model.signature_constants.PREDICT_METHOD_NAME,
        )
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            [v1.saved_model.tag_constants.SERVING],
            signature_def_map={"predict": signature},
            strip_default_attrs=True,
            # The default saver puts a random name into the graph.
            saver=v1.train.Saver(sharded=False),
        )
        builder.save()
    # Written again, because the order of the maps in a protobuf is the writer's choice.
    document = path / "saved_model.pb"
    model = SavedModel.FromString(document.read_bytes())
    document.write_bytes(model.SerializeToString(deterministic=True))


def tensor_info(tensor: tensorflow.Tensor) -> TensorInfo:
    return TensorInfo(
        name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.shape.as_proto()
    )


def onnx_file(records: pandas.DataFrame, path: Path) -> None:
    weights = weights_for(records)
    nodes = [helper.make_node("Add", ["inputs", "shift"], ["shifted"])]
    constants = [numpy_helper.from_array(weights.shift, "shift")]
    value, last = "shifted", len(weights.layers)
    for index, (kernel, bias) in enumerate(weights.layers, start=1):
        layer = f"dense_{index}"
        constants += [
            numpy_helper.from_array(kernel, f"{layer}/kernel"),
            numpy_helper.from_array(bias, f"{layer}/bias"),
        ]
        operator = "Sigmoid" if index == last else "Relu"
        result = "outputs" if index == last else f"{layer}/{operator}"
        nodes += [
            helper.make_node("MatMul", [value, f"{layer}/kernel"], [f"{layer}/MatMul"]),
            helper.make_node("Add", [f"{layer}/MatMul", f"{layer}/bias"], [f"{layer}/BiasAdd"]),
            helper.make_node(operator, [f"{layer}/BiasAdd"], [result]),
        ]
        value = result
    graph = helper.make_graph(
        nodes,
        "winequality",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["batch", len(FEATURES)])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", CLASSES])],
        constants,
    )
    model = helper.make_model(
        graph,
        producer_name="onnx",
        producer_version=onnx.__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


BUILDERS = {
    "winequality-tensorflow": frozen_graph,
    "winequality-savedmodel": saved_model,
    "winequality-onnx": onnx_file,
}
