"""Small ONNX graphs of one operator each, and what ONNX Runtime makes of them.

pip install onnx==1.23.2 onnxruntime==1.32.0 scikit-learn==1.7.2 skl2onnx==1.20.0 \\
    xgboost lightgbm==4.7.0 onnxmltools==1.16.0 catboost
python make.py

FAMILY.txt is a list of cases: a line `case NAME`, the model in hexadecimal digits, and its inputs
and outputs, each a line `input NAME TYPE LENGTH...` and a line for each element.
"""

import os

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)
TYPES = {
    np.dtype("float32"): (TensorProto.FLOAT, "float"),
    np.dtype("float64"): (TensorProto.DOUBLE, "double"),
    np.dtype("int64"): (TensorProto.INT64, "int64"),
    np.dtype("int32"): (TensorProto.INT32, "int32"),
    np.dtype("bool"): (TensorProto.BOOL, "bool"),
    np.dtype("O"): (TensorProto.STRING, "string"),
}
F, D, I, I32 = np.float32, np.float64, np.int64, np.int32
LEARNING, NAN = "ai.onnx.ml", float("nan")
numbers = np.random.default_rng(7)


def text(*values):
    return np.array(values, dtype=object)


def element(value):
    if isinstance(value, (np.floating, float)):
        return repr(float(value))
    if isinstance(value, (np.bool_, bool)):
        return str(int(value))
    return str(value)


class Family:
    def __init__(self, name):
        self.file = open(name + ".txt", "w", newline="\n")

    def tensor(self, role, name, values):
        values = np.asarray(values)
        if values.dtype.kind in "US":
            values = values.astype(object)
        if values.dtype == np.float16:
            values = values.astype(F)
        lengths = "".join(f" {length}" for length in values.shape)
        self.file.write(f"{role} {name} {TYPES[values.dtype][1]}{lengths}\n")
        for value in values.ravel():
            self.file.write(element(value) + "\n")

    def model(self, name, data, inputs):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(data, options)
        outputs = session.run(None, inputs)
        self.file.write(f"case {name}\n{data.hex()}\n")
        for key, values in inputs.items():
            self.tensor("input", key, values)
        for output, values in zip(session.get_outputs(), outputs):
            if isinstance(values, list):
                values = np.array([list(cells.values()) for cells in values], dtype=F)
            self.tensor("output", output.name, values)

    def graph(self, name, nodes, inputs, outputs, constants=(), opset=17, learning=3,
              rows=None):
        def value(name, values):
            shape = [rows, *values.shape[1:]] if values.ndim else []
            return helper.make_tensor_value_info(name, TYPES[values.dtype][0], shape)

        graph = helper.make_graph(
            nodes,
            name.split()[0],
            [value(key, values) for key, values in inputs.items()],
            [helper.make_tensor_value_info(key, kind, None) for key, kind in outputs.items()],
            list(constants),
        )
        sets = [helper.make_opsetid("", opset), helper.make_opsetid(LEARNING, learning)]
        model = helper.make_model(graph, opset_imports=sets, ir_version=8)
        self.model(name, model.SerializeToString(), inputs)

    def learn(self, name, operator, x, outputs, learning=3, **attributes):
        attributes = {key: a for key, a in attributes.items() if a is not None}
        node = helper.make_node(operator, ["x"], list(outputs), domain=LEARNING, **attributes)
        self.graph(name, [node], {"x": x}, outputs, learning=learning)


def stump(mode, tracks=None, values=(0.5, 1.5, 2.5, -1.0)):
    """Two trees of two features: three leaves and two."""
    threshold, *leaves = values
    return dict(
        nodes_treeids=[3, 3, 3, 3, 3, 4, 4, 4],
        nodes_nodeids=[0, 1, 2, 3, 4, 0, 1, 2],
        nodes_featureids=[0, 1, 0, 0, 0, 1, 0, 0],
        nodes_modes=[mode, mode, "LEAF", "LEAF", "LEAF", mode, "LEAF", "LEAF"],
        nodes_values=[threshold, 1.5, 0, 0, 0, threshold, 0, 0],
        nodes_truenodeids=[1, 3, 0, 0, 0, 1, 0, 0],
        nodes_falsenodeids=[2, 4, 0, 0, 0, 2, 0, 0],
        nodes_missing_value_tracks_true=tracks,
    )


def targets(kind, ids, weights, prefix=""):
    """Weights of the five leaves, each a target and a number."""
    places = [(3, 2), (3, 3), (3, 4), (4, 1), (4, 2)]
    flat = [(p, i, w) for p, pi, pw in zip(places, ids, weights) for i, w in zip(pi, pw)]
    return {
        f"{kind}_treeids": [p[0] for p, _, _ in flat],
        f"{kind}_nodeids": [p[1] for p, _, _ in flat],
        f"{kind}_ids": [i for _, i, _ in flat],
        f"{kind}_weights": [w for _, _, w in flat],
    }


GRID = np.array([[a, b] for a in (0.0, 0.5, 1.0, NAN) for b in (0.25, 0.5, 1.5, 3.0, NAN)], F)
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
TRANSFORMS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]
LABELS = {"l": TensorProto.INT64, "p": TensorProto.FLOAT}
NAMES = {"l": TensorProto.STRING, "p": TensorProto.FLOAT}
Y = {"y": TensorProto.FLOAT}


def trees():
    family = Family("trees")
    one = targets("target", [[0]] * 5, [[1.5], [2.5], [-3.0], [100.25], [0.125]])
    two = targets("target", [[0, 1], [1], [0], [1, 0], [0]],
                  [[1.5, -2], [2.5], [-3.0], [0.25, 7], [0.125]])
    full = targets("target", [[0, 1]] * 5, [[1, 2], [3, 4], [-5, 6], [0.5, 0.25], [1e6, 1e-3]])
    for mode in MODES:
        for tracks in [None, [1, 0, 0, 0, 0, 1, 0, 0]]:
            name = f"{mode} {'tracks' if tracks else 'plain'}"
            family.learn(name, "TreeEnsembleRegressor", GRID, Y, n_targets=1, **one,
                         **stump(mode, tracks))
    mixed = stump("BRANCH_LEQ", [0, 1, 0, 0, 0, 1, 0, 0])
    mixed["nodes_modes"][1], mixed["nodes_modes"][5] = "BRANCH_GT", "BRANCH_NEQ"
    family.learn("mixed modes", "TreeEnsembleRegressor", GRID, Y, n_targets=1, **one, **mixed)
    for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"]:
        for name, weights, count in [("one", one, 1), ("some", two, 2), ("full", full, 2)]:
            for base in [None, [0.5, -0.25][:count]]:
                family.learn(f"{aggregate} {name} {base}", "TreeEnsembleRegressor", GRID, Y,
                             n_targets=count, aggregate_function=aggregate, base_values=base,
                             **weights, **stump("BRANCH_LEQ"))
    shares = targets("target", [[0, 1]] * 5, [[.1, .2], [.3, .4], [.25, .1], [.2, .3], [.15, .05]])
    share = targets("target", [[0]] * 5, [[.1], [.3], [.25], [.2], [.15]])
    for transform in TRANSFORMS:
        for name, weights, count in [("one", share, 1), ("two", shares, 2)]:
            family.learn(f"{transform} {name}", "TreeEnsembleRegressor", GRID, Y, n_targets=count,
                         post_transform=transform, **weights, **stump("BRANCH_LEQ"))
    family.learn("input double", "TreeEnsembleRegressor", GRID.astype(D), Y, n_targets=1, **one,
                 **stump("BRANCH_LEQ"))
    exact = stump("BRANCH_LEQ")
    exact["nodes_values_as_tensor"] = numpy_helper.from_array(
        np.array([0.1, 1.5, 0, 0, 0, 1 / 3, 0, 0]), "v")
    del exact["nodes_values"]
    weights = targets("target", [[0]] * 5, [[0.1], [1e-9], [1e9], [1 / 3], [2.0]])
    weights["target_weights_as_tensor"] = numpy_helper.from_array(
        np.array(weights.pop("target_weights")), "w")
    x = np.array([[0.1, 1 / 3], [np.float32(0.1), 1 / 3], [1, np.float32(1 / 3)]])
    family.learn("double precision", "TreeEnsembleRegressor", x, Y, n_targets=1, **exact, **weights)
    # A set as a chain of nodes that share a branch, as LightGBM's converter writes it.
    chain = dict(
        nodes_treeids=[0] * 5, nodes_nodeids=[0, 1, 2, 3, 4], nodes_featureids=[0] * 5,
        nodes_modes=["BRANCH_EQ"] * 3 + ["LEAF"] * 2, nodes_values=[3.0, 5.0, 70.0, 0, 0],
        nodes_truenodeids=[4, 4, 4, 0, 0], nodes_falsenodeids=[1, 2, 3, 0, 0],
        target_treeids=[0, 0], target_nodeids=[3, 4], target_ids=[0, 0], target_weights=[1.0, 2.0],
    )
    x = np.array([[3], [5], [70], [4], [-1], [NAN]], F)
    family.learn("a chain", "TreeEnsembleRegressor", x, Y, n_targets=1, **chain)
    classifiers(family)
    newest(family)


def classifiers(family):
    def classify(name, ids, weights, labels=(5, 7), outputs=LABELS, **attributes):
        key = "classlabels_strings" if outputs is NAMES else "classlabels_int64s"
        family.learn(name, "TreeEnsembleClassifier", GRID, outputs, **{key: list(labels)},
                     **targets("class", ids, weights), **stump("BRANCH_LEQ"), **attributes)

    both = [[.7, .3], [.2, .8], [.6, .4], [.1, .2], [.5, .1]]
    positive, signed = [[.3], [.2], [.6], [.1], [.25]], [[.3], [-.2], [.6], [-.1], [-.25]]
    three = [[.7, .2, .1], [.2, .5, .3], [.3, .3, .4], [.1, .2, .3], [.4, .1, .2]]
    for outputs, labels in [(LABELS, [5, 7]), (NAMES, ["no", "yes"])]:
        kind = "integers" if outputs is LABELS else "text"
        classify(f"both classes {kind}", [[0, 1]] * 5, both, labels, outputs)
        classify(f"one class {kind}", [[1]] * 5, positive, labels, outputs)
        classify(f"one class signed {kind}", [[0]] * 5, signed, labels, outputs)
    for transform in TRANSFORMS:
        classify(f"three {transform}", [[0, 1, 2]] * 5, three, [1, 2, 3], post_transform=transform)
        classify(f"two {transform}", [[0, 1]] * 5, both, post_transform=transform)
        if transform != "PROBIT":  # of which the reference leaves the second number unset
            for at in (0, 1):
                for weights in (positive, signed):
                    for base in (None, [0.1], [0.1, 0.2]):
                        sign = "signed" if weights is signed else "positive"
                        classify(f"class {at} {sign} {transform} {base}", [[at]] * 5, weights,
                                 post_transform=transform, base_values=base)
    classify("three with base", [[0], [1], [0], [1], [0]], signed, "abc", NAMES,
             base_values=[.1, .2, .3])
    classify("three where some have no score", [[0], [1], [0], [1], [0]], signed, "abc", NAMES)
    classify("a single class", [[0]] * 5, signed, [4])
    for name, x in [("int64", np.array([[2**24 + 1, 0], [0, 3], [2**24 + 2, 1]], I)),
                    ("int32", np.array([[1, 0], [0, 3]], I32))]:
        tree = stump("BRANCH_LEQ", values=(2.0**24, 0))
        family.learn(f"classes of {name}", "TreeEnsembleClassifier", x, LABELS,
                     classlabels_int64s=[0, 1, 2], **targets("class", [[0, 1, 2]] * 5, three),
                     **tree)
    x = GRID.astype(D)
    family.learn("classes of double", "TreeEnsembleClassifier", x, LABELS,
                 classlabels_int64s=[0, 1, 2], **targets("class", [[0, 1, 2]] * 5, three),
                 **stump("BRANCH_LT"), post_transform="SOFTMAX")


def newest(family):
    """TreeEnsemble, of version 5."""
    def grow(name, x, **attributes):
        kind = x.dtype
        for key in ("nodes_splits", "leaf_weights", "membership_values"):
            if key in attributes:
                attributes[key] = numpy_helper.from_array(np.array(attributes[key], kind), key)
        modes = np.array(attributes.pop("nodes_modes"), np.uint8)
        node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain=LEARNING, **attributes,
                                nodes_modes=numpy_helper.from_array(modes, "modes"))
        family.graph(name, [node], {"x": x}, {"y": TYPES[kind][0]}, opset=21, learning=5)

    tree = dict(
        n_targets=2, nodes_featureids=[0, 1], nodes_splits=[0.5, 1.5], nodes_truenodeids=[1, 0],
        nodes_falsenodeids=[2, 1], nodes_trueleafs=[0, 1], nodes_falseleafs=[1, 1],
        leaf_targetids=[0, 1, 0], leaf_weights=[1.5, 2.5, -1], tree_roots=[0],
    )
    for kind in (F, D):
        name = np.dtype(kind).name
        for mode in range(6):
            grow(f"newest mode {mode} {name}", GRID.astype(kind), **tree, nodes_modes=[mode, mode])
        grow(f"newest members {name}", GRID.astype(kind), **tree, nodes_modes=[6, 0],
             membership_values=[0.5, 1.0, NAN])
        for number in range(5):
            grow(f"newest transform {number} {name}", GRID.astype(kind), **tree,
                 nodes_modes=[0, 0], post_transform=number)
        for number in range(4):
            grow(f"newest aggregate {number} {name}", GRID.astype(kind),
                 **{**tree, "tree_roots": [0, 1]}, nodes_modes=[0, 0], aggregate_function=number)
    grow("newest tracks", GRID, **tree, nodes_modes=[0, 6], membership_values=[1.5, 3.0, NAN],
         nodes_missing_value_tracks_true=[1, 1])


def linear():
    family = Family("linear")
    x = (numbers.normal(size=(9, 3)) * 20).astype(F)
    w3, b3 = numbers.normal(size=9).tolist(), numbers.normal(size=3).tolist()
    for transform in TRANSFORMS:
        small = x / 100
        family.learn(f"regressor {transform}", "LinearRegressor", small, Y, coefficients=w3,
                     intercepts=b3, targets=3, post_transform=transform)
        family.learn(f"classifier {transform}", "LinearClassifier", small, LABELS, coefficients=w3,
                     intercepts=b3, classlabels_ints=[4, 5, 6], post_transform=transform)
    family.learn("one target", "LinearRegressor", x, Y, coefficients=w3[:3], intercepts=b3[:1],
                 targets=1)
    family.learn("no intercepts", "LinearRegressor", x, Y, coefficients=w3, targets=3)
    wide = (numbers.normal(size=(5, 200)) * 20).astype(F)
    family.learn("wide", "LinearRegressor", wide, Y, targets=2, intercepts=[0.5, 1.0],
                 coefficients=numbers.normal(size=400).tolist())
    for transform in ["NONE", "LOGISTIC", "SOFTMAX"]:
        family.learn(f"one row of two classes {transform}", "LinearClassifier", x, NAMES,
                     coefficients=w3[:3], intercepts=b3[:1], classlabels_strings=["no", "yes"],
                     post_transform=transform)
    family.learn("names", "LinearClassifier", x.astype(D), NAMES, coefficients=w3, intercepts=b3,
                 classlabels_strings=["a", "b", "c"], multi_class=1)
    family.learn("integers", "LinearClassifier", (x * 3).astype(I), LABELS, coefficients=w3,
                 intercepts=b3, classlabels_ints=[4, 5, 6])


def vectors():
    family = Family("vectors")
    x = numbers.normal(size=(9, 3)).astype(F)
    for kernel in ["LINEAR", "POLY", "RBF", "SIGMOID"]:
        parameters = [0.3, 0.5, 3.0]
        family.learn(f"regressor {kernel}", "SVMRegressor", x, Y, kernel_type=kernel,
                     kernel_params=parameters, n_supports=4, rho=[0.25],
                     support_vectors=numbers.normal(size=12).tolist(),
                     coefficients=numbers.normal(size=4).tolist())
        family.learn(f"one class {kernel}", "SVMRegressor", x, Y, kernel_type=kernel, one_class=1,
                     kernel_params=parameters, n_supports=4, rho=[0.25],
                     support_vectors=numbers.normal(size=12).tolist(),
                     coefficients=numbers.normal(size=4).tolist())
        for classes in (2, 3, 4):
            pairs = classes * (classes - 1) // 2
            for probable in (False, True):
                chances = dict(prob_a=numbers.normal(size=pairs).tolist(),
                               prob_b=numbers.normal(size=pairs).tolist()) if probable else {}
                family.learn(
                    f"{classes} classes {kernel} {probable}", "SVMClassifier", x,
                    NAMES if classes == 3 else LABELS, kernel_type=kernel,
                    kernel_params=parameters, vectors_per_class=[2, 1, 3, 2][:classes],
                    support_vectors=numbers.normal(size=[0, 0, 9, 18, 24][classes]).tolist(),
                    coefficients=numbers.normal(
                        size=[0, 0, 3, 12, 24][classes]).tolist(),
                    rho=numbers.normal(size=pairs).tolist(), **chances,
                    **({"classlabels_strings": list("abc")} if classes == 3
                       else {"classlabels_ints": [3, 1, 2, 9][:classes]}))
    for classes in (2, 3):
        family.learn(f"coefficients of {classes}", "SVMClassifier", x, LABELS, rho=[0.5],
                     kernel_params=[0.0, 0.0, 0.0],
                     coefficients=numbers.normal(size=3 * classes).tolist(),
                     classlabels_ints=list(range(classes)))
    family.learn("coefficients", "SVMRegressor", x, Y, rho=[0.5], kernel_params=[0.0, 0.0, 0.0],
                 coefficients=numbers.normal(size=3).tolist(), n_supports=0)


def encoders():
    family = Family("encoders")
    words, reals = text("a", "b", "z"), np.array([1, NAN, 5, -0.0], F)
    integer, string, real = ({"y": kind} for kind in
                             (TensorProto.INT64, TensorProto.STRING, TensorProto.FLOAT))
    for version in (2, 4):
        def label(name, x, outputs, **attributes):
            family.learn(f"{name} {version}", "LabelEncoder", x, outputs, version, **attributes)
        label("words", words, integer, keys_strings=["a", "b", "a"], values_int64s=[1, 2, 9])
        label("default", words, integer, keys_strings=["a"], values_int64s=[1], default_int64=7)
        label("missing", reals, string, keys_floats=[1.0, NAN, 0.0],
              values_strings=["one", "none", "zero"])
        label("reals", reals, real, keys_floats=[1.0], values_floats=[7.5])
        label("synonyms", words, string, keys_strings=["a"], values_strings=["A"],
              default_string="?")
        label("words to reals", words, real, keys_strings=["b"], values_floats=[0.5])
        label("integers", np.array([[1, 2], [3, 4]], I), real, keys_int64s=[1, 4],
              values_floats=[0.5, 0.25], default_float=-1.0)
    def tensor(name, values):
        return numpy_helper.from_array(np.array(values), name)
    family.learn("tensors", "LabelEncoder", np.array([1.0, 2.0, NAN]), {"y": TensorProto.DOUBLE}, 4,
                 keys_tensor=tensor("k", [1.0, NAN]), values_tensor=tensor("v", [0.5, 0.25]),
                 default_tensor=tensor("d", [-7.0]))
    family.learn("tensor of words", "LabelEncoder", words, integer, 4, values_int64s=[4, 5],
                 keys_tensor=helper.make_tensor("k", TensorProto.STRING, [2], [b"a", b"z"]))
    family.learn("first words", "LabelEncoder", words, integer, 1, classes_strings=["b", "a"])
    family.learn("first integers", "LabelEncoder", np.array([0, 1, 5], I), string, 1,
                 classes_strings=["b", "a"], default_string="none")
    family.learn("categories", "CategoryMapper", words, integer, cats_strings=["a", "b"],
                 cats_int64s=[3, 4])
    family.learn("categories back", "CategoryMapper", np.array([3, 9], I), string,
                 cats_strings=["a", "b"], cats_int64s=[3, 4])
    family.learn("one hot reals", "OneHotEncoder", np.array([1.7, -2.5, 9], F), Y,
                 cats_int64s=[1, -2])
    family.learn("one hot words", "OneHotEncoder", text("a", "q").reshape(-1, 1), Y,
                 cats_strings=["a", "b"])
    family.learn("one hot twice", "OneHotEncoder", np.array([[1, 2]], I), Y, cats_int64s=[1, 1, 2])


def features():
    family = Family("features")
    x = np.array([[1.1, -2.2, 0.3], [0, 0, 0], [-3, -4, NAN]], F)
    for name in ["MAX", "L1", "L2"]:
        for kind in (F, D, I):
            values = (np.nan_to_num(x * 7)).astype(kind) if kind is I else x.astype(kind)
            family.learn(f"norm {name} {np.dtype(kind).name}", "Normalizer", values, Y, norm=name)
    for kind in (F, D, I, I32):
        values = np.array([[2**24 + 1, 2, 3]], D).astype(kind)
        family.learn(f"scaler {np.dtype(kind).name}", "Scaler", values, Y, offset=[0.1, 1, 2],
                     scale=[2.0, 1, 0.3])
    family.learn("scaler of one", "Scaler", x, Y, offset=[0.1], scale=[2.0])
    for values, replaced in [([5.0, 6.0, 7.0], NAN), ([5.0], NAN), ([5.0, 6.0], 0.0)]:
        family.learn(f"imputer {values} {replaced}", "Imputer", x, Y, imputed_value_floats=values,
                     replaced_value_float=replaced)
    family.learn("imputer of integers", "Imputer", np.array([[1, 0], [0, 2]], I),
                 {"y": TensorProto.INT64}, imputed_value_int64s=[5, 6], replaced_value_int64=0)
    family.learn("binarizer", "Binarizer", x[:2], Y, threshold=0.3)
    def two(name, operator, a, b, kind, **attributes):
        node = helper.make_node(operator, ["a", "b"], ["y"], domain=LEARNING, **attributes)
        family.graph(name, [node], {"a": a, "b": b}, {"y": kind})
    two("vectorizer", "FeatureVectorizer", x, x[:, :1] + 1, TensorProto.FLOAT,
        inputdimensions=[2, 2])
    for name, a, kind in [("reals", x, TensorProto.FLOAT),
                          ("vector", np.array([1, 2, 3], I), TensorProto.INT64),
                          ("words", text("a", "b", "c"), TensorProto.STRING)]:
        node = helper.make_node("ArrayFeatureExtractor", ["a", "at"], ["y"], domain=LEARNING)
        at = numpy_helper.from_array(np.array([[2, 0, 2]], I), "at")
        family.graph(f"extractor {name}", [node], {"a": a}, {"y": kind}, [at])


def corrected():
    """Operators of ai.onnx that the runtime evaluates otherwise, or not for every type."""
    family = Family("corrected")
    x = np.array([[1, -2, 3, 0.5], [4, 5, -6, 5], [0, 0, -0.0, NAN]], F)
    z = np.array([[3, 1, 3, 2], [5, 5, 0, 0], [-1, -1, -1, -1]], F)
    kinds = {F: TensorProto.FLOAT, D: TensorProto.DOUBLE, I: TensorProto.INT64,
             I32: TensorProto.INT32, bool: TensorProto.BOOL, object: TensorProto.STRING}

    def run(name, operator, inputs, kind, constants=(), opset=17, **attributes):
        tensors = [numpy_helper.from_array(np.array(values), key) for key, values in constants]
        node = helper.make_node(operator, [*inputs, *(key for key, _ in constants)], ["y"],
                                **attributes)
        family.graph(name, [node], inputs, {"y": kinds[kind]}, tensors, opset=opset)

    for operator in ["Celu", "HardSigmoid", "Selu"]:
        run(operator, operator, {"x": x}, F)
    for kind in (F, D):
        name = np.dtype(kind).name
        infinite = np.array([[np.inf, -np.inf, 1, NAN]], kind)
        run(f"IsInf {name}", "IsInf", {"x": infinite}, bool)
        run(f"IsInf above {name}", "IsInf", {"x": infinite}, bool, detect_negative=0)
        run(f"IsNaN {name}", "IsNaN", {"x": infinite}, bool)
        run(f"Round {name}", "Round", {"x": np.array([[0.5, 1.5, 2.5, -0.5, 0.49]], kind)}, kind)
        for operator in ["Max", "Min", "Div", "Mul"]:
            run(f"{operator} {name}", operator, {"x": x.astype(kind), "z": z.astype(kind)}, kind)
            run(f"{operator} repeated {name}", operator, {"x": x.astype(kind)}, kind,
                [("c", np.array([2, 0, 0, 3], kind))])
        run(f"Mul by zero {name}", "Mul", {"x": x.astype(kind)}, kind, [("c", np.zeros(1, kind))])
        run(f"Clip {name}", "Clip", {"x": x.astype(kind)}, kind,
            [("low", np.array(-1, kind)), ("high", np.array(2, kind))])
        for axes, keeps in [([1], 1), ([0], 0), ([-1], 0)]:
            for operator in ["ReduceSumSquare", "ReduceLogSumExp", "ReduceMax", "ReduceMin"]:
                run(f"{operator} {axes} {keeps} {name}", operator, {"x": x[:2].astype(kind) * 100},
                    kind, [("axes", np.array(axes, I))], opset=18, keepdims=keeps)
    run("Max of three", "Max", {"a": x, "b": z, "c": z * 0}, F)
    run("Max of integers", "Max", {"a": np.array([[1, -2]], I)}, I, [("c", np.array([0], I))])
    run("Clip of integers", "Clip", {"x": np.array([[1, 5, -9]], I)}, I,
        [("low", np.array(-1, I)), ("high", np.array(2, I))])
    run("Clip of attributes", "Clip", {"x": x}, F, opset=6, min=-1.0, max=2.0)
    for operator in ["ReduceMax", "ReduceMin"]:
        axes = [("axes", np.array([-1], I))]
        for sign in (1, -1):
            run(f"{operator} of {sign} infinity", operator,
                {"x": np.array([[np.inf, np.inf], [np.inf, 1]], F) * sign}, F, axes, opset=18)
        run(f"{operator} of integers", operator, {"x": np.array([[3, -9], [7, 8]], I)}, I,
            axes, opset=18, keepdims=0)
        run(f"{operator} of truth values", operator,
            {"x": np.array([[True, False], [False, False], [True, True]])}, bool, axes, opset=20)
        run(f"{operator} of nothing", operator, {"x": np.zeros((2, 0), F)}, F, axes, opset=18)
    run("Swish", "Swish", {"x": x}, F, opset=24)
    run("Swish of a multiple", "Swish", {"x": x}, F, opset=24, alpha=0.5)
    run("ReduceSumSquare of an attribute", "ReduceSumSquare", {"x": x}, F, opset=11, axes=[1])
    run("Pow of integers", "Pow", {"x": np.array([[2, -3, 4]], I)}, I, [("c", np.array([2], I))])
    run("Pow to an integer", "Pow", {"x": x}, F, [("c", np.array([2], I))])
    run("Div of integers", "Div", {"x": np.array([[7, -7, 8]], I)}, I, [("c", np.array([2], I))])
    run("Equal truth", "Equal", {"x": np.array([[True, False]])}, bool,
        [("c", np.array([True]))])
    for axis in (-1, 1, 0):
        run(f"OneHot {axis}", "OneHot", {"x": np.array([[0, 2], [-1, 9]], I)}, F,
            [("depth", np.array(3, I)), ("values", np.array([0, 1], F))], axis=axis)
    numbers_ = np.array([[1.9, -1.9, 0, 300, 1e10, 0.1, 1e-7, 1e38]])
    for kind in (F, D):
        name = np.dtype(kind).name
        run(f"Cast {name} to text", "Cast", {"x": numbers_.astype(kind)}, object, to=8)
        run(f"Cast {name} to int64", "Cast", {"x": numbers_.astype(kind)}, I, to=7)
        run(f"Cast {name} to int32", "Cast", {"x": numbers_.astype(kind)[:, :4]}, I32, to=6)
    run("Cast integers to text", "Cast", {"x": np.array([[1, -5]], I)}, object, to=8)
    for kind, to in [(F, 1), (D, 11), (I, 7)]:
        words = text("15", " 2", "-3") if kind is I else text("1.5", "2", "INF", "-inf", "1e3")
        run(f"Cast text to {to}", "Cast", {"x": words}, kind, to=to)
    for kind in (F, D, I):
        name = np.dtype(kind).name
        run(f"Mod {name}", "Mod", {"x": np.array([[7.5, -7.5, 7.5, 1]], kind)}, kind,
            [("c", np.array([2, 2, -3, 5], kind))], fmod=1)
    run("Mod by infinity", "Mod", {"x": x[:2]}, F, [("c", np.array([np.inf], F))], fmod=1)
    run("Mod", "Mod", {"x": np.array([[7, -7, 7]], I)}, I, [("c", np.array([2, 2, -3], I))])
    far = np.array([[[0, 1000], [-1000, 200]], [[3, -90], [0.5, 0]]], F)
    for axis in (1, 2, -1):
        run(f"LogSoftmax {axis}", "LogSoftmax", {"x": far}, F, axis=axis)
        if axis > 0:
            run(f"LogSoftmax from {axis} on", "LogSoftmax", {"x": far}, F, opset=11, axis=axis)
    long_ = np.array([[2**40, 1, -5], [2**31, 2**31, 7]], I)
    for axes in ([0], [1], [0, 1]):
        run(f"ReduceSum of long integers {axes}", "ReduceSum", {"x": long_}, I,
            [("axes", np.array(axes, I))], keepdims=0)
    run("Cast of long integers", "Cast", {"x": np.array([[2**40, 2**53 + 1, -2**63]], I)}, I, to=7)
    for mode in ["reflect", "edge"]:
        run(f"Pad {mode} with a value", "Pad", {"x": x}, F, [("pads", np.array([0, 1, 0, 2], I)),
            ("value", np.array(9, F))], mode=mode)
    for scales in ([1, 1, 2, 3], [1, 1, 1.5, 1], [1, 1, 0.5, 2]):
        run(f"Resize before scales of inputs {scales}", "Resize",
            {"x": np.arange(24, dtype=F).reshape(1, 1, 4, 6)}, F,
            [("scales", np.array(scales, F))], opset=10, mode="nearest")
    for post in ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]:
        family.learn(f"SVMClassifier {post}", "SVMClassifier", x[:2], LABELS, kernel_type="RBF",
                     kernel_params=[0.1, 0.5, 3.0], vectors_per_class=[1, 2], rho=[0.8],
                     support_vectors=[-1, 2, -0.5, 0, 1, 3, 2, -4, 4, 5, -5, 4.5],
                     coefficients=[1.5, -0.7, 0.8], post_transform=post,
                     classlabels_ints=[3, 1])

    def chain(name, first, second, constants):
        tensors = [numpy_helper.from_array(np.array(values), key) for key, values in constants]
        family.graph(name, [first, second], {"x": x[:2]}, {"y": TensorProto.FLOAT}, tensors)

    each = [("from", np.array([0], I)), ("to", np.array([4], I)), ("axes", np.array([1], I)),
            ("steps", np.array([2], I))]
    for operator in ["Softmax", "LogSoftmax"]:
        chain(f"every second of {operator}", helper.make_node(operator, ["x"], ["z"], axis=1),
              helper.make_node("Slice", ["z", *(key for key, _ in each)], ["y"]), each)
    image = np.sin(np.arange(48, dtype=F)).reshape(1, 2, 4, 6)
    kernel = [("w", np.cos(np.arange(4, dtype=F)).reshape(2, 2, 1, 1))]
    steps = [("from", np.array([1], I)), ("to", np.array([9], I)), ("axes", np.array([3], I)),
             ("steps", np.array([2], I))]
    for name, nodes, constants in [
        ("convolution of every second of Softmax", [
            helper.make_node("Softmax", ["x"], ["z"], axis=3),
            helper.make_node("Conv", ["z", "w"], ["y"], strides=[2, 2])], kernel),
        ("every second of a convolution", [
            helper.make_node("Conv", ["x", "w"], ["z"], strides=[1, 2]),
            helper.make_node("Slice", ["z", *(key for key, _ in steps)], ["y"])], kernel + steps),
    ]:
        family.graph(name, nodes, {"x": image}, {"y": TensorProto.FLOAT},
                     [numpy_helper.from_array(values, key) for key, values in constants])
    part = [("c", np.array([0.5, 2], F).reshape(2, 1, 1))]
    for operator in ["Sub", "Div"]:
        family.graph(f"{operator} of a convolution", [
            helper.make_node("Conv", ["x", "w"], ["z"]),
            helper.make_node(operator, ["c", "z"], ["y"])], {"x": image},
            {"y": TensorProto.FLOAT},
            [numpy_helper.from_array(values, key) for key, values in kernel + part])
    for equation in ["abcd,abcz->ad", "abcd,abez->ba", "abcd,abcd->abc"]:
        family.graph(f"Einsum {equation}", [
            helper.make_node("Einsum", ["x", "x"], ["y"], equation=equation)], {"x": image},
            {"y": TensorProto.FLOAT})
    run("Einsum of all", "Einsum", {"x": image}, F, equation="abcd->")
    for equation in ["...j,jk->...k", "...ij,jk->...ik", "bc...j,jk->b...ck"]:
        run(f"Einsum {equation}", "Einsum", {"x": image}, F,
            [("w", np.cos(np.arange(12, dtype=F)).reshape(6, 2))], equation=equation)
    weights = ("w", np.arange(12, dtype=F).reshape(4, 3))
    sums = helper.make_node("ReduceSum", ["x", "axes"], ["z"], keepdims=1)
    for operator, how in [("Tile", [1, 4]), ("Expand", [1, 4])]:
        nodes = [sums, helper.make_node(operator, ["z", "how"], ["r"]),
                 helper.make_node("MatMul", ["r", "w"], ["y"])]
        constants = [("axes", np.array([1], I)), ("how", np.array(how, I)), weights]
        family.graph(f"product of {operator}", nodes, {"x": x[:2]}, {"y": TensorProto.FLOAT},
                     [numpy_helper.from_array(values, key) for key, values in constants])
    run("CDist", "CDist", {"x": x[:2]}, F, [("c", z[:, :] * 1.0)], domain="com.microsoft",
        metric="euclidean")


def recurrent():
    """Layers along sequences of four steps, of four rows."""
    family = Family("recurrent")
    numbers = np.random.default_rng(8)
    gates, usual = {"RNN": 1, "GRU": 3, "LSTM": 4}, {"RNN": 1, "GRU": 2, "LSTM": 3}

    def draw(*shape):
        return (numbers.normal(size=shape) * 0.7).astype(F)

    def run(name, operator, direction="forward", given=("B",), width=3, hidden=2,
            **attributes):
        directions = 2 if direction == "bidirectional" else 1
        steps, rows = 4, 4
        all_given = {
            "W": draw(directions, gates[operator] * hidden, width),
            "R": draw(directions, gates[operator] * hidden, hidden),
            "B": draw(directions, 2 * gates[operator] * hidden),
            "lengths": np.array([4, 1, 0, 3], I32),
            "state": draw(directions, rows, hidden),
            "cells": draw(directions, rows, hidden),
            "P": draw(directions, 3 * hidden),
        }
        names = ["W", "R", "B", "lengths", "state", "cells", "P"]
        names = names if operator == "LSTM" else names[:5]
        inputs = [key if key in ("W", "R", *given) else "" for key in names]
        while not inputs[-1]:
            inputs.pop()
        outputs = ["all", "last"] + (["cell"] if operator == "LSTM" else [])
        nodes = [
            helper.make_node("Transpose", ["x"], ["sequence"], perm=[1, 0, 2]),
            helper.make_node(operator, ["sequence", *inputs], outputs, hidden_size=hidden,
                             direction=direction, **attributes),
            helper.make_node("Transpose", ["all"], ["y"], perm=[2, 0, 1, 3]),
            helper.make_node("Transpose", ["last"], ["h"], perm=[1, 0, 2]),
        ]
        found = {"y": TensorProto.FLOAT, "h": TensorProto.FLOAT}
        if operator == "LSTM":
            nodes.append(helper.make_node("Transpose", ["cell"], ["c"], perm=[1, 0, 2]))
            found["c"] = TensorProto.FLOAT
        constants = [numpy_helper.from_array(all_given[key], key) for key in inputs if key]
        # What is given for each row is a constant here, and fixes how many there are.
        fixed = {"lengths", "state", "cells"} & set(inputs)
        family.graph(name, nodes, {"x": draw(rows, steps, width)}, found, constants, opset=14,
                     rows=rows if fixed else None)

    some = ["Relu", "LeakyRelu", "Softsign", "Elu", "HardSigmoid", "Sigmoid"]
    for operator in gates:
        for direction in ["forward", "reverse", "bidirectional"]:
            both = 2 if direction == "bidirectional" else 1
            run(f"{operator} {direction}", operator, direction)
            run(f"{operator} {direction} from a state", operator, direction,
                ("B", "state", "cells"))
            run(f"{operator} {direction} of lengths", operator, direction, ("B", "lengths"))
            run(f"{operator} {direction} of other activations", operator, direction,
                activations=some[:usual[operator] * both], activation_alpha=[0.3] * 6,
                activation_beta=[0.4] * 6)
        run(f"{operator} without biases", operator, given=())
        run(f"{operator} of one", operator, width=1, hidden=1)
    for direction in ["forward", "reverse"]:
        run(f"GRU {direction} reset late", "GRU", direction, linear_before_reset=1)
        run(f"LSTM {direction} with peepholes", "LSTM", direction, ("B", "P", "cells"))


def pipelines():
    import catboost
    import lightgbm
    import xgboost
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as Features
    from skl2onnx import to_onnx
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (GradientBoostingRegressor, IsolationForest,
                                  RandomForestClassifier, StackingClassifier)
    from sklearn.linear_model import LogisticRegression
    from sklearn.mixture import GaussianMixture
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import SVC
    import pandas

    family = Family("pipelines")
    x = np.abs(numbers.normal(0, 20, (80, 4))).astype(F)
    two = (x[:, 0] + x[:, 1] > 30).astype(int)
    three = np.array(["low", "middle", "high"])[two + (x[:, 2] > 15)]
    target = x @ np.array([0.5, -1, 2, 0.1]) + 100 * two
    rows = x[:12]
    for name, model, y in [
        ("forest of two", RandomForestClassifier(3, max_depth=3, random_state=1), two),
        ("forest of names", RandomForestClassifier(3, max_depth=3, random_state=1), three),
        ("boosting", GradientBoostingRegressor(n_estimators=4, random_state=1), target),
        ("neighbours", make_pipeline(StandardScaler(), KNeighborsClassifier(3)), two),
        ("vectors", make_pipeline(StandardScaler(), SVC(probability=True, random_state=1)), three),
        ("bayes", MultinomialNB(), three),
        ("stacking", StackingClassifier([("a", LogisticRegression()), ("b", MultinomialNB())]), two),
        ("mixture", GaussianMixture(2, random_state=1), None),
        ("isolation", IsolationForest(n_estimators=3, max_samples=20, random_state=1), None),
    ]:
        model = model.fit(x, y) if y is not None else model.fit(x)
        sets = {"": 17, "ai.onnx.ml": 3}
        family.model(name, to_onnx(model, x[:1], target_opset=sets).SerializeToString(),
                     {"X": rows})
    frame = pandas.DataFrame({"size": x[:, 0], "city": numbers.choice(["Bern", "Oslo"], 80)})
    split = ColumnTransformer([("n", StandardScaler(), ["size"]),
                               ("c", OneHotEncoder(handle_unknown="ignore"), ["city"])])
    model = make_pipeline(split, LogisticRegression()).fit(frame, three)
    family.model("frame", to_onnx(model, frame[:1], target_opset=17).SerializeToString(), {
        "size": x[:12, :1], "city": np.array([*frame["city"][:11], "Rome"], object).reshape(-1, 1)})
    holes = x.copy()
    holes[numbers.random(x.shape) < 0.2] = NAN
    types, few = [("X", Features([None, 4]))], dict(n_estimators=3, n_jobs=1)
    for name, model, y in [("xgboost", xgboost.XGBClassifier(max_depth=3, **few), two),
                           ("xgboost regressor", xgboost.XGBRegressor(max_depth=3, **few), target)]:
        model = convert_xgboost(model.fit(holes, y), initial_types=types, target_opset=15)
        family.model(name, model.SerializeToString(), {"X": holes[:12]})
    for name, y in [("catboost", three), ("catboost of two", two)]:
        model = catboost.CatBoostClassifier(iterations=3, depth=2, verbose=False,
                                            allow_writing_files=False)
        model.fit(holes, y).save_model("model.onnx", format="onnx")
        with open("model.onnx", "rb") as file:
            family.model(name, file.read(), {"features": holes[:12]})
        os.remove("model.onnx")
    settings = dict(num_leaves=5, min_child_samples=2, verbose=-1, **few)
    kinds = x.copy()
    kinds[:, 0] = numbers.integers(0, 9, 80)
    sets = np.isin(kinds[:, 0], [1, 4, 7]) * 3.0 + kinds[:, 1] * 0.01
    options = dict(min_data_per_group=2, cat_smooth=1, cat_l2=0.1)
    for name, model, a, y, more in [
        ("lightgbm", lightgbm.LGBMClassifier(**settings), holes, three, {}),
        ("lightgbm categories", lightgbm.LGBMRegressor(**settings, **options), kinds, sets,
         {"categorical_feature": [0]}),
    ]:
        model = convert_lightgbm(model.fit(a, y, **more), initial_types=types, target_opset=15)
        family.model(name, model.SerializeToString(), {"X": a[:12]})


if __name__ == "__main__":
    trees()
    linear()
    vectors()
    encoders()
    features()
    corrected()
    pipelines()
    recurrent()
