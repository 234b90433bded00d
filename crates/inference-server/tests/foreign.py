"""What a client of TensorFlow Serving does, with the package tensorflow-serving-api.

    python foreign.py GRPC_ADDRESS

The server has the models `half` (y = x / 2 + 2, version 123), `named` (inputs of several types) and
`forest` (a classification of wines). Prints one line for each check.
"""

import struct
import sys

import grpc
from google.protobuf import json_format
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

TIMEOUT = 20
WINE = {
    "fixed acidity": 7.4,
    "volatile acidity": 0.7,
    "citric acid": 0.0,
    "residual sugar": 1.9,
    "chlorides": 0.076,
    "free sulfur dioxide": 11.0,
    "total sulfur dioxide": 34.0,
    "density": 0.9978,
    "pH": 3.51,
    "sulphates": 0.56,
    "alcohol": 9.4,
}

channel = grpc.insecure_channel(sys.argv[1])
service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)


def check(name, condition, shown=""):
    print("ok  " if condition else "FAIL", name, shown if not condition else "")
    if not condition:
        sys.exit(1)


def refused(name, code, says, call):
    try:
        check(name, False, call())
    except grpc.RpcError as error:
        check(name, error.code() == code and says in error.details(), (error.code(), error.details()))


def tensor(message, data_type, shape, field, values):
    message.dtype = data_type
    for size in shape:
        message.tensor_shape.dim.add().size = size
    getattr(message, field).extend(values)


def predict(model="half", x=(2.0,)):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    tensor(request.inputs["x"], types_pb2.DT_FLOAT, [len(x)], "float_val", x)
    return request


# Predict, as the real server's own test does.
request = predict()
request.output_filter.append("y")
result = service.Predict(request, TIMEOUT)
y = result.outputs["y"]
check("predict", y.dtype == types_pb2.DT_FLOAT and list(y.float_val) == [3.0], result)
check("shape", [dim.size for dim in y.tensor_shape.dim] == [1], y)
spec = result.model_spec
check("model spec", (spec.name, spec.version.value, spec.signature_name) == ("half", 123, "serving_default"), spec)
request = predict()
request.model_spec.version.value = 123
request.inputs["x"].ClearField("float_val")
request.inputs["x"].tensor_content = struct.pack("<f", 5.0)
check("tensor_content", list(service.Predict(request, TIMEOUT).outputs["y"].float_val) == [4.5])

# Every type.
request = predict_pb2.PredictRequest()
request.model_spec.name = "named"
tensor(request.inputs["tag"], types_pb2.DT_STRING, [2], "string_val", [b"foo", "bär".encode()])
tensor(request.inputs["signal"], types_pb2.DT_INT64, [2, 5], "int64_val", range(10))
tensor(request.inputs["sensor"], types_pb2.DT_DOUBLE, [2, 2, 2], "double_val", [0.5] * 8)
tensor(request.inputs["flag"], types_pb2.DT_BOOL, [2], "bool_val", [True, False])
outputs = service.Predict(request, TIMEOUT).outputs
check("strings", list(outputs["tag_text"].string_val) == [b"foo", "bär".encode()], outputs)
check("int64", list(outputs["opposite"].int64_val) == [-i for i in range(10)], outputs)
check("double", list(outputs["double"].double_val) == [1.0] * 8, outputs)
check("bool", list(outputs["unflagged"].bool_val) == [False, True], outputs)

# Regress and classify.
request = regression_pb2.RegressionRequest()
request.model_spec.name = "half"
for value in (2.0, 80.0):
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(value)
result = service.Regress(request, TIMEOUT).result
check("regress", [regression.value for regression in result.regressions] == [3.0, 42.0], result)
request = classification_pb2.ClassificationRequest()
request.model_spec.name = "forest"
context = request.input.example_list_with_context.context
for name, value in WINE.items():
    context.features.feature[name].float_list.value.append(value)
request.input.example_list_with_context.examples.add()
result = service.Classify(request, TIMEOUT).result
best = max(result.classifications[0].classes, key=lambda c: c.score)
check("classify", best.label == "5" and abs(best.score - 0.7225004) < 1e-6, result)

# Metadata and status.
request = get_model_metadata_pb2.GetModelMetadataRequest()
request.model_spec.name = "half"
request.metadata_field.append("signature_def")
result = service.GetModelMetadata(request, TIMEOUT)
signatures = get_model_metadata_pb2.SignatureDefMap()
check("unpacked", result.metadata["signature_def"].Unpack(signatures), result)
signature = signatures.signature_def["serving_default"]
check("metadata", signature.inputs["x"].dtype == types_pb2.DT_FLOAT, signature)
check("metadata as JSON", "serving_default" in json_format.MessageToJson(result), result)
request = get_model_status_pb2.GetModelStatusRequest()
request.model_spec.name = "half"
[status] = models.GetModelStatus(request, TIMEOUT).model_version_status
available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
check("status", (status.version, status.state, status.status.error_code) == (123, available, 0), status)

# What is refused.
refused("no model", grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(nix)",
        lambda: service.Predict(predict("nix"), TIMEOUT))
request = predict()
request.model_spec.version.value = 7
refused("no version", grpc.StatusCode.NOT_FOUND, "Specific(half, 7)", lambda: service.Predict(request, TIMEOUT))
request = predict()
request.model_spec.signature_name = "other"
refused("no signature", grpc.StatusCode.FAILED_PRECONDITION, '"other" not found', lambda: service.Predict(request, TIMEOUT))
request = predict()
request.inputs["x"].dtype = types_pb2.DT_DOUBLE
refused("wrong type", grpc.StatusCode.INVALID_ARGUMENT, "to be float but double", lambda: service.Predict(request, TIMEOUT))
request = predict()
request.inputs["x"].tensor_shape.dim.add().size = 3
refused("wrong shape", grpc.StatusCode.INVALID_ARGUMENT, "`x` takes float [?]", lambda: service.Predict(request, TIMEOUT))
refused("too large", grpc.StatusCode.OUT_OF_RANGE, "too large", lambda: service.Predict(predict(x=[0.5] * 300_000), TIMEOUT))
refused("not there", grpc.StatusCode.UNIMPLEMENTED, "", lambda: service.MultiInference(inference_pb2.MultiInferenceRequest(), TIMEOUT))

# Many calls on one channel at once.
futures = [service.Predict.future(predict(x=[float(i)] * 3), TIMEOUT) for i in range(500)]
answers = [list(future.result().outputs["y"].float_val) for future in futures]
check("at once", answers == [[i / 2 + 2.0] * 3 for i in range(500)])
