"""Exports small SavedModels as their users do, and what TensorFlow makes of them.

pip install tensorflow-cpu==2.21.0 keras==3.15.1
python make.py

NAME is the directory of a model. NAME.SIGNATURE.txt has inputs of that signature and the outputs
that TensorFlow computes: for each a line with `input` or `output`, name, type and shape, and a line
with the values. NAME without any is one to be refused.

The order of Keras's objects and names made up by TensorFlow differ from run to run, values do not.
"""

import os
import random
import shutil
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

WIDTH = 11
numbers = np.random.default_rng(7)
rows = numbers.normal(0, 1.5, (6, WIDTH)).astype(np.float32)
keras.utils.set_random_seed(7)
v1 = tf.compat.v1
signature_def = v1.saved_model.signature_def_utils
layers = keras.layers
# A saver that may write several files writes one for each device.
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def spec(*shape, name="x", dtype=tf.float32):
    return tf.TensorSpec(shape, dtype, name=name)


def weights(*shape):
    return numbers.normal(0, 0.5, shape).astype(np.float32)


def golden(name, feeds, signature="serving_default", tags=None):
    """Writes down what TensorFlow makes of these inputs."""
    model = tf.saved_model.load(name, tags=tags)
    tensors = {key: tf.constant(value) for key, value in feeds.items()}
    results = model.signatures[signature](**tensors)
    with open(f"{name}.{signature}.txt", "w") as file:
        for side, values in (("input", tensors), ("output", results)):
            for key, value in sorted(values.items()):
                shape = ",".join(map(str, value.shape))
                print(side, key, value.dtype.name, shape, file=file)
                value = value.numpy().ravel()
                whole = value.dtype.kind in "ib"
                print(*(int(v) if whole else "%.17g" % v for v in value), file=file)


def tidy(name):
    """Leaves out what is different each time."""
    Path(name, "fingerprint.pb").unlink(missing_ok=True)
    for empty in ("assets", "assets.extra"):
        if Path(name, empty).is_dir() and not any(Path(name, empty).iterdir()):
            Path(name, empty).rmdir()
    file = Path(name, "saved_model.pb")
    model = SavedModel.FromString(file.read_bytes())
    file.write_bytes(model.SerializeToString(deterministic=True))


def module(name, module, feeds, signatures=None, **options):
    shutil.rmtree(name, ignore_errors=True)
    options = tf.saved_model.SaveOptions(**options)
    tf.saved_model.save(module, name, signatures=signatures, options=options)
    tidy(name)
    for signature, values in feeds.items():
        golden(name, values, signature)


def exported(name, model, feed):
    """A Keras model by its own `export`, and by `tf.saved_model.save`."""
    shutil.rmtree(name, ignore_errors=True)
    model.export(name, verbose=False)
    tidy(name)
    golden(name, feed)


def session(name, build, feeds=None, sharded=False, strip=True, tags=("serve",), resource=True):
    """As TensorFlow 1 does it: a graph, a session, a builder."""
    shutil.rmtree(name, ignore_errors=True)
    config = v1.ConfigProto(device_count={"CPU": 2})
    with tf.Graph().as_default(), v1.Session(config=config) as running:
        v1.set_random_seed(7)
        with v1.variable_scope("", use_resource=resource):
            signatures = build()
        running.run(v1.global_variables_initializer())
        running.run(v1.tables_initializer())
        builder = v1.saved_model.Builder(name)
        builder.add_meta_graph_and_variables(
            running,
            list(tags),
            signature_def_map=signatures,
            strip_default_attrs=strip,
            main_op=v1.tables_initializer(),
            saver=v1.train.Saver(sharded=sharded) if v1.global_variables() else None,
        )
        builder.save()
    tidy(name)
    for signature, values in (feeds or {}).items():
        golden(name, values, signature, list(tags))


def variable(name, *shape):
    return v1.get_variable(name, shape, initializer=v1.constant_initializer(weights(*shape)))


def predict(inputs, outputs):
    return signature_def.predict_signature_def(inputs, outputs)


def tensorflow_one():
    def network():
        x = v1.placeholder(tf.float32, [None, WIDTH], name="x")
        keep = v1.placeholder_with_default(1.0, [], name="keep")
        hidden = tf.nn.relu(tf.matmul(x, variable("w1", WIDTH, 7)) + variable("b1", 7)) * keep
        with tf.device("/cpu:1"):
            w2, b2 = variable("w2", 7, 3), variable("b2", 3)
        logits = tf.nn.bias_add(tf.matmul(hidden, w2), b2)
        return {
            "serving_default": predict({"x": x}, {"scores": tf.nn.softmax(logits)}),
            # An interior value is fed, and one that the outputs do not depend on.
            "from_hidden": predict({"hidden": hidden, "x": x}, {"logits": logits}),
            "with_keep": predict({"x": x, "keep": keep}, {"logits": logits}),
        }

    feeds = {
        "serving_default": {"x": rows},
        "from_hidden": {"hidden": rows[:, :7], "x": rows},
        "with_keep": {"x": rows, "keep": np.float32(0.5)},
    }
    session("v1_reference", network, feeds, resource=False, strip=False)
    session("v1_resource", network, feeds, sharded=True, tags=("serve", "cpu"))

    def partitioned():
        x = v1.placeholder(tf.float32, [None, WIDTH], name="x")
        kernel = v1.get_variable("w", [WIDTH, 4], partitioner=v1.fixed_size_partitioner(2))
        return {"serving_default": predict({"x": x}, {"y": tf.matmul(x, kernel)})}

    session("refused_partitioned", partitioned, resource=False)

    def examples():
        text = v1.placeholder(tf.string, [None], name="examples")
        features = {"x": v1.FixedLenFeature([WIDTH], tf.float32)}
        x = v1.parse_example(text, features)["x"]
        y = tf.matmul(x, variable("w", WIDTH, 2))
        return {
            "serving_default": predict({"examples": text}, {"y": y}),
            "predict": predict({"x": x}, {"y": y}),
        }

    session("v1_examples", examples, {"predict": {"x": rows}})

    def loop():
        x = v1.placeholder(tf.float32, [None, WIDTH], name="x")
        y = v1.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 1.5), (0, x))[1]
        return {"serving_default": predict({"x": x}, {"y": y})}

    v1.disable_control_flow_v2()
    session("refused_loop", loop)
    v1.enable_control_flow_v2()

    def table():
        words = tf.constant(["low", "high"])
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(words, tf.constant([0, 1])), -1
        )
        x = v1.placeholder(tf.string, [None], name="x")
        return {"serving_default": predict({"x": x}, {"y": table.lookup(x)})}

    session("refused_table", table)


class Scorer(tf.Module):
    """Functions in functions, several signatures, a result that has two names."""

    def __init__(self):
        self.kernel = tf.Variable(weights(WIDTH, 3), name="kernel")
        self.bias = tf.Variable(weights(3), name="bias")
        self.table = tf.Variable(weights(5, 4), name="table")
        self.calls = tf.Variable(0, name="calls")
        self.shift = tf.constant(weights(WIDTH))

    @tf.function
    def logits(self, x):
        return tf.matmul(x - self.shift, self.kernel) + self.bias

    @tf.function(input_signature=[spec(None, WIDTH)])
    def score(self, x):
        self.calls.assign_add(1)
        logits = self.logits(x)
        return {"scores": tf.nn.softmax(logits), "logits": logits, "again": logits}

    @tf.function(input_signature=[spec(None, WIDTH), spec(name="scale"), spec(None, name="unused")])
    def scaled(self, x, scale, unused):
        twice = self.logits(x) + self.logits(x * scale)
        # Of several results, as `IdentityN:output:1` has it.
        scale, twice = tf.identity_n([scale, twice])
        return {"difference": twice[:, 0] * scale - twice[:, 2]}

    @tf.function(input_signature=[spec(None, dtype=tf.int64, name="ids"), spec(None, name="weight")])
    def embed(self, ids, weight):
        found = tf.gather(self.table, ids) * tf.expand_dims(weight, 1)
        return {"found": found, "rank": tf.argmax(found, axis=1)}

    @tf.function(input_signature=[spec(None, WIDTH)])
    def others(self, x):
        """Results that are not computed, or not of the input's type."""
        squeezed = x[:, :3] + tf.squeeze(tf.reshape(self.bias, [1, 1, 3]))
        constants = {"bias": self.bias, "three": tf.constant(3)}
        return {"x": x, "shape": tf.shape(x), "squeezed": squeezed, **constants}

    @tf.function(input_signature=[spec(None, WIDTH)])
    def counted(self, x):
        self.calls.assign_add(1)
        return {"y": tf.reduce_sum(x, 1) * tf.cast(self.calls, tf.float32)}


def tensorflow_two():
    scorer = Scorer()
    names = "score", "scaled", "embed", "others"
    module(
        "module",
        scorer,
        {
            "score": {"x": rows},
            "scaled": {"x": rows, "scale": np.float32(1.5), "unused": rows[0]},
            "others": {"x": rows},
            "embed": {"ids": np.array([4, 0, 2]), "weight": rows[0, :3]},
        },
        {name: getattr(scorer, name) for name in names},
    )
    module("refused_counter", scorer, {}, {"serving_default": scorer.counted})
    options = {"serving_default": scorer.score}
    module("without_saver", scorer, {"serving_default": {"x": rows}}, options,
           experimental_skip_saver=True)

    double = tf.Module()
    double.kernel = tf.Variable(numbers.normal(size=(WIDTH, 2)), name="kernel")
    call = tf.function(
        lambda x: {"y": tf.sigmoid(tf.matmul(x, double.kernel)), "x": x},
        input_signature=[spec(None, WIDTH, dtype=tf.float64)],
    )
    module("double", double, {"serving_default": {"x": rows.astype(float)}},
           {"serving_default": call})

    loop = tf.function(
        lambda x: {"y": tf.while_loop(lambda y: tf.reduce_sum(y) < 9, lambda y: [y * 2], [x])[0]},
        input_signature=[spec(None)],
    )
    module("refused_while", tf.Module(), {}, {"serving_default": loop})


def keras_three():
    model = keras.Sequential([
        layers.Input((WIDTH,), name="wine"),
        layers.Dense(8, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.2),
        layers.Dense(3, activation="softmax"),
    ])
    for value in model.weights:
        if "batch" in value.path:
            value.assign(numbers.uniform(0.3, 0.9, value.shape))
    exported("keras_export", model, {"wine": rows})
    shutil.rmtree("keras_save", ignore_errors=True)
    module("keras_save", model, {"serving_default": {"inputs": rows}})

    # Computes which axes it sums over.
    rank_three = keras.Sequential([
        layers.Input((WIDTH,), name="x"),
        layers.Reshape((1, WIDTH)),
        layers.Dense(3, activation="relu"),
        layers.Flatten(),
    ])
    exported("keras_rank_three", rank_three, {"x": rows[:1]})

    a, b = layers.Input((4,), name="a"), layers.Input((2,), name="b")
    joined = layers.Concatenate()([layers.Dense(3, activation="tanh")(a), b])
    outputs = {"mean": layers.Dense(1, name="mean")(joined), "sum": layers.Add()([b, b])}
    functional = keras.Model({"a": a, "b": b}, outputs)
    exported("keras_functional", functional, {"a": rows[:, :4], "b": rows[:, 4:6]})


def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def masked_crc32c(data):
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0x82F63B78 if checksum & 1 else 0)
    checksum ^= 0xFFFFFFFF
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")


class Table:
    """A table of LevelDB with an entry or two in each block, every other block compressed."""

    def __init__(self, entries):
        self.file, index = b"", []
        for start in range(0, len(entries), 2):
            part = entries[start : start + 2]
            index.append((part[-1][0], self.block(part, compressed=start % 4 == 0)))
        further = self.block([])
        footer = further + self.block(index)
        self.file += footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")

    def block(self, entries, compressed=False):
        data, before = b"", b""
        for key, value in entries:
            shared = len(os.path.commonprefix([before, key]))
            lengths = varint(shared) + varint(len(key) - shared) + varint(len(value))
            data, before = data + lengths + key[shared:] + value, key
        data += (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
        if compressed:
            # Snappy, of literals of at most 60 bytes.
            parts = [data[start : start + 60] for start in range(0, len(data), 60)]
            literals = [bytes([len(part) - 1 << 2]) + part for part in parts]
            data = varint(len(data)) + b"".join(literals)
        place = varint(len(self.file)) + varint(len(data))
        data += bytes([compressed])
        self.file += data + masked_crc32c(data)
        return place


def number(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def entries(index):
    """The entries of a table with one block: what follows it is at the footer's first number."""
    end = number(index, len(index) - 48)[0] - 5
    end -= 4 + 4 * int.from_bytes(index[end - 4 : end], "little")
    key, at, found = b"", 0, []
    while at < end:
        shared, at = number(index, at)
        added, at = number(index, at)
        length, at = number(index, at)
        key = key[:shared] + index[at : at + added]
        at += added + length
        found.append((key, index[at - length : at]))
    return found


def several_blocks():
    """What TensorFlow only writes for thousands of variables."""
    shutil.rmtree("several_blocks", ignore_errors=True)
    shutil.copytree("module", "several_blocks")
    file = Path("several_blocks/variables/variables.index")
    file.write_bytes(Table(entries(file.read_bytes())).file)
    golden("several_blocks", {"ids": np.array([1, 3]), "weight": rows[1, :2]}, "embed")


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    random.seed(7)
    tensorflow_one()
    tensorflow_two()
    keras_three()
    several_blocks()
