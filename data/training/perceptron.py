"""The multilayer perceptron, trained by scikit-learn."""

from pathlib import Path

import pandas
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from pmml import export

SEED = 20190501


def multilayer_perceptron(records: pandas.DataFrame, path: Path) -> None:
    perceptron = MLPClassifier(
        hidden_layer_sizes=(15, 10), solver="lbfgs", alpha=1.0, max_iter=5000, random_state=SEED
    )
    export(records, path, ("scaler", StandardScaler()), ("classifier", perceptron))


BUILDERS = {"winequality-mlp": multilayer_perceptron}
