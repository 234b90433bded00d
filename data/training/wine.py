"""The red-wine records: 1,599 rows of eleven measurements and a quality."""

from pathlib import Path

import pandas

FILE = "winequality_red.csv"
ROWS = 1599
FEATURES = [
    "fixed acidity",
    "volatile acidity",
    "citric acid",
    "residual sugar",
    "chlorides",
    "free sulfur dioxide",
    "total sulfur dioxide",
    "density",
    "pH",
    "sulphates",
    "alcohol",
]
TARGET = "quality"


def read(path: Path) -> pandas.DataFrame:
    """All rows in file order: the features as doubles, the quality (3 to 8) as an integer."""
    records = pandas.read_csv(
        path,
        sep=";",
        header=None,
        names=[*FEATURES, TARGET],
        dtype={**dict.fromkeys(FEATURES, "float64"), TARGET: "int64"},
    )
    if len(records) != ROWS or records.isna().any(axis=None):
        raise ValueError(f"{path} does not hold {ROWS} complete rows")
    return records
