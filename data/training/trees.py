"""Decision trees and the random forest, trained by scikit-learn."""

from pathlib import Path

import pandas
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pmml import export

SEED = 20190501


def decision_tree(records: pandas.DataFrame, path: Path) -> None:
    export(records, path, ("classifier", DecisionTreeClassifier(max_depth=6, random_state=SEED)))


def decision_tree_regression(records: pandas.DataFrame, path: Path) -> None:
    export(records, path, ("regressor", DecisionTreeRegressor(max_depth=6, random_state=SEED)))


def random_forest(records: pandas.DataFrame, path: Path) -> None:
    forest = RandomForestClassifier(
        n_estimators=10, max_leaf_nodes=56, random_state=SEED, n_jobs=1
    )
    export(records, path, ("classifier", forest))


BUILDERS = {
    "winequality-decision-tree": decision_tree,
    "winequality-decision-tree-regression": decision_tree_regression,
    "winequality-random-forest": random_forest,
}
