"""Writing PMML files that do not change from one run to the next."""

import contextlib
import io
import os
import re
from pathlib import Path

import pandas
from sklearn.base import BaseEstimator
from sklearn2pmml import sklearn2pmml
from sklearn2pmml.pipeline import PMMLPipeline

from wine import FEATURES, TARGET

# Rows that a file carries with the predictions of the library that trained it.
VERIFIED_ROWS = 10
TIMESTAMP = re.compile(r"\s*<Timestamp>[^<]*</Timestamp>")


def export(records: pandas.DataFrame, path: Path, *steps: tuple[str, BaseEstimator]) -> None:
    """Fit the steps as one pipeline; write what the converter makes of it, less the timestamp."""
    pipeline = PMMLPipeline(list(steps))
    pipeline.fit(records[FEATURES], records[TARGET])
    rows = records[FEATURES].sample(VERIFIED_ROWS, random_state=0)
    pipeline.verify(rows, precision=1e-9, zeroThreshold=1e-9)
    # The converter prints what it did, and advice, on stdout.
    with contextlib.redirect_stdout(io.StringIO()) as report:
        try:
            sklearn2pmml(pipeline, str(path), java_home=os.environ.get("JAVA_HOME"))
        except RuntimeError as error:
            raise RuntimeError(f"cannot convert {path.name}:\n{report.getvalue()}") from error
    document = path.read_text(encoding="utf-8")
    path.write_text(TIMESTAMP.sub("", document), encoding="utf-8", newline="\n")
