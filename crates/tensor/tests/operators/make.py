"""Graphs of one operator of TensorFlow each, many to a file, and what TensorFlow makes of them.

pip install tensorflow-cpu==2.21.0
python make.py

NAME.txt has a line for each input of NAME.pb, and for each output the value for these inputs:
`in` or `out`, the node's name, the type, the shape, and the elements.
"""

import os
import subprocess
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# Its kernels lose NaN where TensorFlow's own do not.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
raw = tf.raw_ops
numbers = np.random.default_rng(11)
NAN, INF = float("nan"), float("inf")
# What functions of one number are tried with.
EDGES = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.7, -7.25, 1e-6,
         -1e-6, 20.0, -20.0, 88.0]


def words(value):
    shape = ",".join(str(length) for length in value.shape) or "-"
    form = {np.dtype("float32"): "%.9g", np.dtype("float64"): "%.17g"}.get(value.dtype, "%d")
    elements = " ".join(form % element for element in value.ravel())
    return "%s %s %s" % (value.dtype.name, shape, elements)


class Sheet:
    """A graph under construction; `name` is that of its file."""

    def __init__(self, name):
        self.name, self.fed, self.fetched = name, {}, []
        self.graph = tf.Graph()

    def __enter__(self):
        self.scope = self.graph.as_default()
        self.scope.__enter__()
        return self

    def feed(self, name, value, shape=None):
        """An input; its first axis is open, unless a shape says otherwise."""
        value = np.asarray(value)
        if value.dtype == np.float64 and not name.startswith("double"):
            value = value.astype(np.float32)
        shape = [None, *value.shape[1:]] if shape is None else shape
        self.fed[name] = value
        return v1.placeholder(value.dtype, shape, name=name)

    def fetch(self, **outputs):
        for name, tensor in outputs.items():
            # Names may differ from others' by a number.
            self.fetched.append(tf.identity(tensor, name=name).op.name)

    def __exit__(self, *exception):
        if exception[0] is None:
            # Each operator by itself, not fused with others.
            config = v1.ConfigProto()
            config.graph_options.rewrite_options.disable_meta_optimizer = True
            with v1.Session(config=config) as session:
                fed = {name + ":0": value for name, value in self.fed.items()}
                results = session.run([name + ":0" for name in self.fetched], fed)
            with open(self.name + ".txt", "w") as file:
                for name, value in self.fed.items():
                    file.write("in %s %s\n" % (name, words(value)))
                for name, value in zip(self.fetched, results):
                    file.write("out %s %s\n" % (name, words(value)))
            with open(self.name + ".pb", "wb") as file:
                file.write(self.graph.as_graph_def().SerializeToString(deterministic=True))
        self.scope.__exit__(*exception)


def functions():
    ops = ["Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf",
           "Erfc", "Exp", "Expm1", "Floor", "IsFinite", "IsInf", "IsNan", "Log", "Log1p", "Neg",
           "Reciprocal", "Rint", "Round", "Rsqrt", "Sigmoid", "Sign", "Sin", "Sinh", "Sqrt",
           "Square", "Tan", "Tanh"]
    activations = ["Elu", "Relu", "Relu6", "Selu", "Softplus", "Softsign"]
    with Sheet("functions") as sheet:
        x = sheet.feed("x", np.array(EDGES).reshape(5, 4))
        whole = sheet.feed("whole", np.array([[3, -4], [0, 7], [-9, 1]], np.int32))
        finite = sheet.feed("finite", numbers.normal(0, 3, (2, 3)))
        for op in ops:
            sheet.fetch(**{op.lower(): getattr(raw, op)(x=x)})
        for op in activations:
            sheet.fetch(**{op.lower(): getattr(raw, op)(features=x)})
        sheet.fetch(
            leaky=raw.LeakyRelu(features=x, alpha=0.3),
            abs_whole=tf.abs(whole),
            neg_whole=-whole,
            square_whole=tf.square(whole),
            checked=raw.CheckNumerics(tensor=finite, message="not finite"),
            softmax=tf.nn.softmax(finite),
            softmax_edges=tf.nn.softmax(x),
            log_softmax=tf.nn.log_softmax(finite), log_softmax_far=tf.nn.log_softmax(finite * 100),
            # As Keras and others put them together.
            gelu=0.5 * finite * (1.0 + tf.math.erf(finite / np.sqrt(2.0).astype(np.float32))),
            swish=finite * tf.sigmoid(finite),
            hard_swish=finite * tf.nn.relu6(finite + 3.0) * (1.0 / 6.0),
            l2_loss=tf.nn.l2_loss(finite),
        )
    with Sheet("functions_double") as sheet:
        x = sheet.feed("double", np.array(EDGES).reshape(5, 4))
        # TensorFlow's error function of an infinity is NaN, in double precision only.
        finite = tf.clip_by_value(x, np.float64(-9), np.float64(9))
        for op in ops:
            argument = finite if op in ("Erf", "Erfc") else x
            sheet.fetch(**{op.lower(): getattr(raw, op)(x=argument)})
        for op in activations:
            sheet.fetch(**{op.lower(): getattr(raw, op)(features=x)})


def pairs():
    edges = np.array([NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.3, 7.0, -7.0])
    with Sheet("pairs") as sheet:
        a = sheet.feed("a", edges.reshape(-1, 1))
        b = sheet.feed("b", edges, [len(edges)])
        for op in ["Add", "AddV2", "Atan2", "DivNoNan", "FloorDiv", "FloorMod", "Maximum",
                   "Minimum", "Mod", "Mul", "MulNoNan", "Pow", "RealDiv", "SquaredDifference",
                   "Sub", "TruncateMod", "Xdivy", "Xlog1py", "Xlogy", "Div", "Equal", "Greater",
                   "GreaterEqual", "Less", "LessEqual", "NotEqual"]:
            first, second = ("y", "x") if op == "Atan2" else ("x", "y")
            sheet.fetch(**{op.lower(): getattr(raw, op)(**{first: a, second: b})})
        sheet.fetch(
            clip=raw.ClipByValue(t=a, clip_value_min=-1.5, clip_value_max=2.0),
            clip_crossed=raw.ClipByValue(t=a, clip_value_min=2.0, clip_value_max=-1.5),
            select=tf.where(a > 0.0, a, b),
            select_rows=raw.Select(
                condition=tf.reshape(a, [-1]) > 0.0, x=tf.concat([a, a], 1), y=tf.concat([-a, a], 1)
            ),
            select_whole=raw.Select(condition=a > 0.0, x=a, y=-a),
            add_n=tf.add_n([a, a, -a]),
        )
    with Sheet("pairs_whole") as sheet:
        for name, element in [("", np.int32), ("_long", np.int64)]:
            a = sheet.feed("a" + name, np.array([[7], [-7], [0], [6], [-6]], element))
            b = sheet.feed("b" + name, np.array([2, -2, 3, -3, 7, 1], element), [6])
            for op in ["AddV2", "Div", "FloorDiv", "FloorMod", "Maximum", "Minimum", "Mod", "Mul",
                       "SquaredDifference", "Sub", "TruncateDiv", "TruncateMod", "Equal", "Less",
                       "GreaterEqual"]:
                sheet.fetch(**{op.lower() + name: getattr(raw, op)(x=a, y=b)})
            sheet.fetch(**{"pow" + name: raw.Pow(x=a, y=tf.abs(b))})
        p = sheet.feed("p", np.array([[True], [False]]))
        q = sheet.feed("q", np.array([True, False]), [2])
        sheet.fetch(both=p & q, either=p | q, neither=~(p | q), same=tf.equal(p, q))
    with Sheet("casts") as sheet:
        x = sheet.feed("x", [[NAN, INF, -INF, 0.0, -0.0], [0.9, -0.9, 3e9, -3e9, 1e20]])
        small = sheet.feed("small", [[0.0, 1.5, 200.7], [255.0, 3.0, 127.0]])
        n = sheet.feed("n", np.array([[0, -1], [300, 70000]], np.int32))
        long = sheet.feed("long", np.array([[0, -1], [1 << 40, -(1 << 33) - 5]], np.int64))
        t = sheet.feed("t", np.array([[True], [False]]))
        sheet.fetch(
            real_int32=tf.cast(x, tf.int32), real_int64=tf.cast(x, tf.int64),
            real_bool=tf.cast(x, tf.bool), real_double=tf.cast(x, tf.float64),
            small_uint8=tf.cast(tf.cast(small, tf.uint8), tf.int32),
            half=tf.cast(tf.cast(small, tf.float16), tf.float32),
            int_real=tf.cast(n, tf.float32), int_int64=tf.cast(n, tf.int64),
            int_bool=tf.cast(n, tf.bool), int_int8=tf.cast(tf.cast(n, tf.int8), tf.int32),
            int_uint8=tf.cast(tf.cast(n, tf.uint8), tf.int32),
            int_int16=tf.cast(tf.cast(n, tf.int16), tf.int32),
            long_int=tf.cast(long, tf.int32), long_real=tf.cast(long, tf.float32),
            bool_real=tf.cast(t, tf.float32), bool_int=tf.cast(t, tf.int64),
            half_constant=x * 0.0 + tf.cast(tf.constant([1, 2.5, 0.1, 4, 5], tf.float16), tf.float32),
            uint8_constant=n + tf.cast(tf.constant([7, 250], tf.uint8), tf.int32),
            int8_constant=n + tf.cast(tf.constant([-7, 120], tf.int8), tf.int32),
            int16_constant=n + tf.cast(tf.constant([-7, 3000], tf.int16), tf.int32),
            half_repeated=x + tf.cast(tf.constant(0.1, tf.float16, [5]), tf.float32),
        )


def reductions():
    with Sheet("reductions") as sheet:
        x = sheet.feed("x", numbers.normal(0, 2, (3, 4, 5)))
        odd = sheet.feed("odd", [[1.0, NAN, 3.0], [INF, 1.0, INF], [-INF, NAN, INF], [2.0, 2.0, 1.0],
                                 [NAN, 5.0, 6.0], [NAN, NAN, NAN]])
        n = sheet.feed("n", np.array([[7, -2, 4], [-9, 3, -1]], np.int32))
        t = sheet.feed("t", np.array([[True, True], [True, False], [False, False]]))
        m = sheet.feed("m", numbers.normal(0, 1, (3, 5, 2)))
        w = sheet.feed("w", numbers.normal(0, 1, (5, 6)), [5, 6])
        for name in ["sum", "mean", "max", "min", "prod"]:
            reduce = getattr(tf, "reduce_" + name)
            sheet.fetch(**{
                name: reduce(x, [1, 2]), name + "_kept": reduce(x, -1, keepdims=True),
                name + "_all": reduce(x), name + "_batch": reduce(x, 0),
                name + "_odd": reduce(odd, 1), name + "_whole": reduce(n, 1),
                name + "_none": reduce(x, []),
            })
        sheet.fetch(
            norm=tf.math.reduce_euclidean_norm(x, -1), every=tf.reduce_all(t, 1),
            some=tf.reduce_any(t, 1), every_kept=tf.reduce_all(t, 1, keepdims=True),
            some_none=tf.reduce_any(t, []),
            variance=tf.math.reduce_variance(x, -1), log_sum=tf.reduce_logsumexp(x, -1),
            argmax=tf.argmax(x, -1), argmax_int=tf.argmax(x, 1, tf.int32), argmin=tf.argmin(x, 2),
            argmax_odd=tf.argmax(odd, -1), argmin_odd=tf.argmin(odd, -1), argmax_whole=tf.argmax(n, 1),
            cumsum=tf.cumsum(x, 1), cumsum_reverse=tf.cumsum(x, -1, reverse=True),
            cumsum_exclusive=tf.cumsum(n, 1, exclusive=True),
            cumsum_both=tf.cumsum(x, 1, exclusive=True, reverse=True),
            cumprod=tf.math.cumprod(x, 1), cumsum_batch=tf.cumsum(n, 0),
            matmul=raw.BatchMatMulV3(x=x, y=m[:, :4], Tout=tf.float32, adj_x=True),
            matmul_two=raw.BatchMatMulV2(x=x, y=m),
            matmul_plain=raw.BatchMatMulV2(x=x, y=w),
            einsum_dense=raw.Einsum(inputs=[x, w], equation="abc,cd->abd"),
            einsum_batch=raw.Einsum(inputs=[x, m], equation="bij,bjk->bik"),
            einsum_heads=raw.Einsum(inputs=[x, m], equation="bij,bjk->bki"),
            einsum_outer=raw.Einsum(inputs=[x, m], equation="bij,bkl->bijkl"),
            sum_long=tf.reduce_sum(tf.cast(n, tf.int64) * 2**40, 1),
            einsum_all=raw.Einsum(inputs=[x], equation="bij->"),
            einsum_sum=raw.Einsum(inputs=[x], equation="bij->bj"),
            einsum_turn=raw.Einsum(inputs=[x], equation="bij->jbi"),
            einsum_dots=raw.Einsum(inputs=[x, w], equation="...c,cd->...d"),
            einsum_dot=raw.Einsum(inputs=[x, x], equation="bij,bij->b"),
            l2_normalized=tf.math.l2_normalize(x, -1),
        )


def shapes():
    with Sheet("shapes") as sheet:
        x = sheet.feed("x", numbers.normal(0, 2, (3, 4, 5)))
        row = sheet.feed("row", numbers.normal(0, 2, (3, 4)))
        n = sheet.feed("n", np.arange(12, dtype=np.int32).reshape(3, 4))
        text = sheet.feed("ids", np.array([[3, 1, 2, 0, 5, 1]] * 2, np.int64), [None, None])
        size, batch = tf.shape(x), tf.shape(x)[0]
        steps = tf.shape(text)[1]
        sheet.fetch(
            shape=size, shape_long=tf.shape(x, out_type=tf.int64), size=tf.size(x), rank=tf.cast(tf.rank(x), tf.float32) + row,
            shape_real=tf.cast(tf.shape(row)[0], tf.float32) + row,
            mean_by_size=tf.reduce_sum(row) / tf.cast(tf.size(row), tf.float32),
            flat=tf.reshape(x, [-1, 20]), flat_batch=tf.reshape(x, tf.stack([batch, 20])),
            flat_parts=tf.reshape(x, tf.concat([size[:1], [2, 10]], 0)),
            flat_product=tf.reshape(x, tf.stack([batch * 4, 5])),
            flat_divided=tf.reshape(x, tf.stack([tf.size(x) // 5, 5])),
            flat_gathered=tf.reshape(
                tf.matmul(tf.reshape(x, [-1, 5]), tf.constant(numbers.normal(0, 1, (5, 2)).astype("f"))),
                tf.concat([tf.gather(size, [0, 1]), [2]], 0),
            ),
            tensordot=tf.tensordot(x, tf.constant(numbers.normal(0, 1, (5, 2)).astype("f")), [[2], [0]]),
            zeros=raw.ZerosLike(x=x), ones=raw.OnesLike(x=n),
            fill=tf.fill([2, 3], 1.5) + row[:2, :3], fill_batch=tf.fill(tf.stack([batch, 4]), 7) + n,
            zeros_batch=tf.zeros(tf.stack([batch, 4])) + row,
            broadcast=tf.broadcast_to(tf.constant([1.0, 2.0, 3.0, 4.0]), tf.stack([batch, 4])) + row,
            broadcast_more=tf.broadcast_to(row[:1], [2, 3, 4]),
            tile=tf.tile(row, [1, 3]), tile_batch=tf.tile(tf.constant([[1.0, 2.0, 3.0, 4.0]]), tf.stack([batch, 1])) + row,
            tile_none=tf.tile(n, [1, 0]),
            counted=tf.range(0, 4) + n, counted_real=tf.range(0.0, 1.0, 0.25) + row,
            counted_down=tf.range(9, 1, -2) + n,
            counted_steps=tf.range(steps) + tf.cast(text, tf.int32),
            positions=tf.gather(
                tf.constant(numbers.normal(0, 1, (10, 3)).astype("f")), tf.range(0, steps)
            ) + tf.cast(text, tf.float32)[:, :, None],
            ensured=raw.EnsureShape(input=x, shape=[None, 4, 5]), expanded=tf.expand_dims(row, -2),
            squeezed=tf.squeeze(row[:, None, :, None], [1, 3]), squeezed_back=tf.squeeze(row[:, :, None], [-1]),
            packed=tf.stack([row, row + 1.0], 1), packed_last=tf.stack([row, row], -1),
            joined=tf.concat([row, row], -1), joined_small=tf.cast(tf.concat([tf.cast(n, tf.uint8)] * 2, 1), tf.int32),
            turned=tf.transpose(x, [2, 0, 1]), inverted=tf.math.invert_permutation([2, 0, 3, 1]) + n,
            padded=tf.pad(x, [[0, 0], [1, 2], [0, 1]]),
            padded_value=tf.pad(row, [[0, 0], [2, 1]], constant_values=7.5),
            padded_batch=tf.pad(n, [[1, 0], [0, 0]]),
            mirrored=tf.pad(x, [[0, 0], [2, 3], [1, 4]], "REFLECT"),
            mirrored_edge=tf.pad(x, [[0, 0], [2, 3], [5, 1]], "SYMMETRIC"),
        )


def slices():
    with Sheet("slices") as sheet:
        x = sheet.feed("x", numbers.normal(0, 2, (3, 4, 5)))
        n = sheet.feed("n", np.arange(18, dtype=np.int32).reshape(3, 6))
        text = sheet.feed("ids", np.arange(12, dtype=np.int64).reshape(2, 6), [None, None])
        first, second, third = tf.split(n, 3, 1)
        left, right = tf.split(x, [1, -1], -1)
        a, b, c, d = tf.unstack(x, axis=1)
        sheet.fetch(
            slice=tf.slice(x, [0, 1, 2], [-1, 2, 3]), slice_rest=tf.slice(x, [0, 1, 0], [-1, -1, 2]),
            slice_batch=tf.slice(x, [0, 0, 1], tf.stack([tf.shape(x)[0], 4, 2])),
            middle=x[:, 1:3], back=x[:, -2:, :-1], stepped=n[:, ::2], stepped_inner=n[:, 1:6:3],
            reversed=n[:, ::-1], reversed_part=n[:, 4:1:-2], reversed_end=n[:, -2::-1],
            reversed_batch=n[::-1], beyond=n[:, 2:100], beyond_back=n[:, -100:3], none=n[:, 4:2],
            one=x[:, 2], one_back=x[..., -1], two=x[:, 1, 3], new=x[:, None, 1:3, ..., None],
            dots=x[..., 1:3], dots_first=x[..., 0, 1:], dots_none=x[:, 1, ..., 2], head=x[:1], head_many=x[:2],
            many=x[:100], tail=x[-1], tail_part=x[-2:], first_row=x[0], all=x[...],
            ids=text[:, :-1], ids_next=text[:, 1:], ids_one=text[:, 0], ids_last=text[:, -1],
            ids_some=text[:, :4], ids_many=text[:, :40], ids_shape=text[:, :tf.shape(text)[1] - 1],
            ids_step=text[:, ::2], ids_back=text[:, ::-1],
            split=first, split_second=second, split_third=third, splitv=left, splitv_rest=right,
            unpack=a, unpack_last=d, unpack_two=b * c,
            band=tf.linalg.band_part(x, 1, 0), band_below=tf.linalg.band_part(x, -1, 1),
            band_above=tf.linalg.band_part(n, 0, -1),
            causal=tf.where(tf.linalg.band_part(tf.ones_like(x, tf.bool), -1, 0), x, -1e9),
            flipped=tf.reverse(x, [1, -1]), flipped_none=tf.reverse(n, []),
        )


def indexing():
    with Sheet("indexing") as sheet:
        x = sheet.feed("x", numbers.normal(0, 2, (3, 4, 5)))
        index = sheet.feed("index", np.array([[3, 0], [1, 1], [2, 3]], np.int32))
        long = sheet.feed("long", np.array([[0, 2], [1, 0], [2, 1]], np.int64))
        beyond = sheet.feed("beyond", np.array([[3, -1], [0, 7]], np.int32))
        odd = sheet.feed("odd", [[1.0, 3.0, 3.0, -INF], [INF, 1.0, INF, 0.0]])
        n = sheet.feed("n", np.array([[5, 1, 5, 9], [-3, -3, 0, -9]], np.int32))
        table = tf.constant(numbers.normal(0, 1, (4, 3)).astype("f"))
        edges = sheet.feed("edges", [[NAN, INF, -INF, 0.0], [0.5, 1.0, 9.9, 10.0]])
        best, places = tf.math.top_k(x, 2)
        ties, ties_places = tf.math.top_k(odd, 3)
        whole, whole_places = tf.math.top_k(n, 4)
        sheet.fetch(
            embedding=tf.gather(table, index), embedding_old=raw.Gather(params=table, indices=index),
            columns=tf.gather(x, [2, 0, 0], axis=2), columns_fed=tf.gather(x, index[0], axis=1),
            rows=tf.gather(x, index[:, 1] * 0), batched=tf.gather(x, index, batch_dims=1),
            batched_long=tf.gather(x, long, axis=2, batch_dims=1),
            batched_negative=tf.gather(x, long, axis=-1, batch_dims=-1),
            points=tf.gather_nd(x, tf.concat([long, long], 1)[:, :3]),
            points_parts=tf.gather_nd(x, long), points_nested=tf.gather_nd(x, long[:, None, :]),
            one_hot=tf.one_hot(index, 4), one_hot_beyond=tf.one_hot(beyond, 4, 2.0, -1.0),
            one_hot_axis=tf.one_hot(index, 4, axis=1, dtype=tf.int32), one_hot_first=tf.one_hot(long, 3, axis=0),
            one_hot_truth=tf.one_hot(index, 4, True, False, dtype=tf.bool),
            best=best, best_places=places, ties=ties, ties_places=ties_places, whole=whole,
            whole_places=whole_places,
            buckets=raw.Bucketize(input=edges, boundaries=[0.0, 0.5, 10.0]),
            buckets_whole=raw.Bucketize(input=n, boundaries=[-3.0, 5.0]),
        )


def images():
    def weights(*shape):
        return tf.constant(numbers.normal(0, 0.4, shape).astype("f"))

    with Sheet("convolutions") as sheet:
        x = sheet.feed("x", numbers.normal(0, 1, (2, 7, 6, 4)))
        free = sheet.feed("free", numbers.normal(0, 1, (2, 7, 6, 4)), [None, None, None, 4])
        line = sheet.feed("line", numbers.normal(0, 1, (2, 9, 3)))
        small = sheet.feed("small", numbers.normal(0, 1, (2, 3, 4, 3)))
        block = sheet.feed("block", numbers.normal(0, 1, (2, 3, 4, 5, 2)))
        kernel, point = weights(3, 3, 4, 5), weights(1, 1, 4, 6)
        scale, offset, mean, variance = [
            tf.constant(numbers.uniform(0.5, 1.5, 4).astype("f")) for _ in range(4)
        ]
        for padding in ["SAME", "VALID"]:
            for stride in [1, 2]:
                sheet.fetch(**{
                    f"conv_{padding}_{stride}".lower(): tf.nn.conv2d(x, kernel, stride, padding),
                    f"free_{padding}_{stride}".lower(): tf.nn.conv2d(free, kernel, stride, padding),
                    f"depth_{padding}_{stride}".lower(): tf.nn.depthwise_conv2d(
                        x, weights(3, 3, 4, 2), [1, stride, stride, 1], padding),
                    f"max_{padding}_{stride}".lower(): tf.nn.max_pool2d(x, 3, stride, padding),
                    f"mean_{padding}_{stride}".lower(): tf.nn.avg_pool2d(x, [2, 3], stride, padding),
                    f"conv1d_{padding}_{stride}".lower(): tf.nn.conv1d(line, weights(3, 3, 2), stride, padding),
                    f"back_{padding}_{stride}".lower(): tf.nn.conv2d_transpose(
                        small, weights(3, 3, 2, 3),
                        tf.stack([tf.shape(small)[0], 3 * stride + (2 if padding == "VALID" and stride == 1 else 1 if padding == "VALID" else 0),
                                  4 * stride + (2 if padding == "VALID" and stride == 1 else 1 if padding == "VALID" else 0), 2]),
                        stride, padding),
                })
        normalized = dict(scale=scale, offset=offset, mean=mean, variance=variance, is_training=False)
        sheet.fetch(
            conv_edges=tf.nn.conv2d(x, kernel, [1, 2], [[0, 0], [1, 2], [0, 3], [0, 0]]),
            conv_dilated=tf.nn.conv2d(x, kernel, 1, "SAME", dilations=2),
            conv_dilated_valid=tf.nn.conv2d(x, kernel, 1, "VALID", dilations=[2, 1]),
            conv_point=tf.nn.conv2d(x, point, 1, "SAME"), conv_point_stride=tf.nn.conv2d(x, point, 2, "VALID"),
            conv_groups=tf.nn.conv2d(x, weights(3, 3, 2, 6), 1, "SAME"),
            conv_wide=tf.nn.conv2d(x, weights(7, 1, 4, 3), 1, "SAME"),
            depth_one=tf.nn.depthwise_conv2d(x, weights(3, 3, 4, 1), [1, 1, 1, 1], "SAME"),
            depth_apart=tf.nn.depthwise_conv2d(x, weights(3, 3, 4, 1), [1, 1, 1, 1], "SAME", dilations=[2, 2]),
            conv3d=tf.nn.conv3d(block, weights(2, 3, 3, 2, 3), [1, 1, 2, 1, 1], "SAME"),
            max3d=tf.nn.max_pool3d(block, 2, 2, "SAME"), mean3d=tf.nn.avg_pool3d(block, 2, 1, "VALID"),
            norm=raw.FusedBatchNormV3(x=x, epsilon=1e-3, **normalized)[0],
            norm_default=raw.FusedBatchNorm(x=x, **normalized)[0],
            norm_conv=raw.FusedBatchNormV3(x=tf.nn.conv2d(x, weights(3, 3, 4, 4) * 0.25, 1, "SAME"), epsilon=1e-3, **normalized)[0],
            biased=tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), weights(5))),
            global_mean=tf.reduce_mean(x, [1, 2]), lrn=tf.nn.lrn(x, 2, 1.0, 0.2, 0.75), lrn_default=raw.LRN(input=x),
        )
    with Sheet("images") as sheet:
        x = sheet.feed("x", numbers.normal(0, 1, (2, 4, 6, 4)))
        odd = sheet.feed("odd", np.array([[NAN, 1.0, 2.0, -INF], [0.0, -1.0, INF, 3.0]]).reshape(2, 2, 2, 1))
        n = sheet.feed("n", np.arange(24, dtype=np.int32).reshape(2, 4, 3, 1))
        for name, settings in [("", {}), ("_aligned", dict(align_corners=True)), ("_centred", dict(half_pixel_centers=True))]:
            for to, size in [("up", [9, 13]), ("down", [3, 2]), ("one", [1, 1])]:
                sheet.fetch(**{
                    f"bilinear_{to}{name}": raw.ResizeBilinear(images=x, size=size, **settings),
                    f"nearest_{to}{name}": raw.ResizeNearestNeighbor(images=x, size=size, **settings),
                })
        sheet.fetch(
            bilinear_whole=raw.ResizeBilinear(images=n, size=[5, 5]),
            nearest_whole=raw.ResizeNearestNeighbor(images=n, size=[8, 6]),
            max_odd=tf.nn.max_pool2d(odd, 2, 1, "SAME"), mean_odd=tf.nn.avg_pool2d(odd, 2, 1, "SAME"),
            deeper=tf.nn.space_to_depth(x, 2), wider=tf.nn.depth_to_space(x, 2),
            apart=tf.space_to_batch(x, [2, 3], [[0, 0], [1, 2]]),
            together=tf.batch_to_space(tf.space_to_batch(x, [2, 2], [[0, 0], [2, 0]]), [2, 2], [[1, 0], [0, 3]]),
        )


def dilations():
    with Sheet("dilations") as sheet:
        x = sheet.feed("x", numbers.normal(0, 1, (2, 7, 6, 4)))
        for padding in ["SAME", "VALID"]:
            weights = tf.constant(numbers.normal(0, 0.4, (3, 3, 4, 2)).astype("f"))
            sheet.fetch(**{padding.lower(): raw.DepthwiseConv2dNative(
                input=x, filter=weights, strides=[1, 1, 1, 1], padding=padding,
                dilations=[1, 2, 2, 1])})


if os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1":
    dilations()
    sys.exit()
for make in [functions, pairs, reductions, shapes, slices, indexing, images]:
    make()
# What only these kernels compute.
environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
subprocess.run([sys.executable, __file__], env=environment, check=True)
