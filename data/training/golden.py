"""Golden scores: what the reference engine of each format says, row by row."""

import re
from pathlib import Path

import numpy
import onnxruntime
import pandas
import tensorflow
from jpmml_evaluator import make_evaluator

from wine import FEATURES

PROBABILITY = re.compile(r"probability\((.+)\)")


def jpmml(path: Path, records: pandas.DataFrame) -> pandas.DataFrame:
    """JPMML-Evaluator: `value`, and of a classifier `label` and `probability_LABEL`."""
    # verify() scores the rows that the file itself carries.
    evaluator = make_evaluator(str(path)).verify()
    results = evaluator.evaluateAll(records[FEATURES], error_col=None, parallelism=1)
    results, errors = results
    if errors is not None:
        raise RuntimeError(f"JPMML-Evaluator cannot score {path.name}: {errors.dropna().iloc[0]}")
    (target,) = (field.getName() for field in evaluator.getTargetFields())
    scores = pandas.DataFrame({"value": results[target].astype("float64")})
    probabilities = {
        match[1]: results[name] for name in results if (match := PROBABILITY.fullmatch(name))
    }
    if probabilities:
        scores["label"] = results[target].astype("str")
        for label, values in probabilities.items():
            scores[f"probability_{label}"] = values.astype("float64")
    return scores


def frozen_graph(path: Path, records: pandas.DataFrame) -> pandas.DataFrame:
    """TensorFlow, importing the frozen graph."""
    definition = tensorflow.compat.v1.GraphDef.FromString(path.read_bytes())
    with tensorflow.Graph().as_default() as graph:
        tensorflow.import_graph_def(definition, name="")
        with tensorflow.compat.v1.Session(graph=graph) as session:
            return vectors(records, lambda row: session.run("outputs:0", {"inputs:0": row}))


def saved_model(path: Path, records: pandas.DataFrame) -> pandas.DataFrame:
    """TensorFlow, loading the directory and calling its signature."""
    loaded = tensorflow.saved_model.load(str(path))
    predict = loaded.signatures["predict"]
    return vectors(records, lambda row: predict(inputs=tensorflow.constant(row))["outputs"].numpy())


def onnx(path: Path, records: pandas.DataFrame) -> pandas.DataFrame:
    """ONNX Runtime on the processor."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return vectors(records, lambda row: session.run(["outputs"], {"inputs": row})[0])


def vectors(records: pandas.DataFrame, score) -> pandas.DataFrame:
    """`value`, the index of the largest output (the first of equals), and `output_INDEX`.

    Rows are scored one at a time, as single records are.
    """
    rows = records[FEATURES].to_numpy("float32")
    outputs = numpy.vstack([score(rows[index : index + 1]) for index in range(len(rows))])
    scores = pandas.DataFrame({"value": outputs.argmax(axis=1).astype("float64")})
    for index in range(outputs.shape[1]):
        scores[f"output_{index}"] = outputs[:, index].astype("float64")
    return scores


ENGINES = {
    "PMML": jpmml,
    "TENSORFLOW": frozen_graph,
    "TENSORFLOWSAVED": saved_model,
    "ONNX": onnx,
}
