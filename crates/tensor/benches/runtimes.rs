//! Networks and a forest, run by this crate and by the optional libraries, one thread each.
//!
//! `cargo bench -p tensor --features libtensorflow,onnxruntime --bench runtimes`
//!
//! A library that is not built in, or not found, is left out. The forest and the wide network are
//! written here, with numbers that look like those of trained ones: a depth of some ten levels,
//! thresholds within the range of the rows.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use prost::Message;
use std::fmt;
use std::fs;
use std::path::Path;
use tensor::{Graph, Options, Runtime};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};

fn main() {
    divan::main();
}

/// A runtime and how many rows it is given at once.
#[derive(Clone, Copy)]
struct Case(Runtime, usize);

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

/// The runtimes of a format that are there, with each number of rows.
fn cases(library: Runtime, rows: &[usize]) -> Vec<Case> {
    let runtimes = [Runtime::Native, library].into_iter();
    let there: Vec<Runtime> = runtimes.filter(|runtime| runtime.find().is_ok()).collect();
    rows.iter()
        .flat_map(|rows| there.iter().map(|runtime| Case(*runtime, *rows)))
        .collect()
}

fn wine(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/models");
    fs::read(path.join(name)).expect("the model is in the repository")
}

#[divan::bench(args = cases(Runtime::LibTensorflow, &[1, 16, 256]))]
fn wine_network_of_tensorflow(bencher: Bencher<'_, '_>, case: &Case) {
    run(
        bencher,
        Graph::from_graphdef,
        &wine("winequality.pb"),
        *case,
    );
}

#[divan::bench(args = cases(Runtime::OnnxRuntime, &[1, 16, 256]))]
fn wine_network_of_onnx(bencher: Bencher<'_, '_>, case: &Case) {
    run(bencher, Graph::from_onnx, &wine("winequality.onnx"), *case);
}

#[divan::bench(args = cases(Runtime::OnnxRuntime, &[1, 16, 256]))]
fn network_784_32_32_10(bencher: Bencher<'_, '_>, case: &Case) {
    run(
        bencher,
        Graph::from_onnx,
        &network(&[784, 32, 32, 10]),
        *case,
    );
}

#[divan::bench(args = cases(Runtime::OnnxRuntime, &[1, 16, 256]))]
fn forest_of_100_trees(bencher: Bencher<'_, '_>, case: &Case) {
    run(bencher, Graph::from_onnx, &forest(100, 11), *case);
}

fn run(
    bencher: Bencher<'_, '_>,
    load: fn(&[u8], &Options) -> Result<Graph, tensor::Error>,
    model: &[u8],
    Case(runtime, count): Case,
) {
    let options = Options {
        runtime: Some(runtime),
        ..Options::default()
    };
    let graph = load(model, &options).expect("the model loads");
    let width = graph.width().expect("the model scores rows");
    // More rows than the predictor of branches remembers.
    let many = rows(2_048.max(count), width);
    let mut batches = many.chunks_exact(count * width).cycle();
    let (mut scratch, mut scores) = (graph.scratch(), Vec::new());
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let rows = batches.next().expect("there is no end");
        graph
            .run_rows(black_box(rows), count, &mut scratch, &mut scores)
            .expect("it runs");
    });
}

/// Numbers from 0 to 1, no two alike.
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 24) as f32
    }
}

fn rows(count: usize, width: usize) -> Vec<f64> {
    let mut numbers = Numbers(7);
    (0..count * width)
        .map(|_| f64::from(numbers.next()))
        .collect()
}

/// Dense layers of these widths: rectified, the last one a softmax.
fn network(widths: &[i64]) -> Vec<u8> {
    let mut numbers = Numbers(11);
    let mut weights = |name: String, dims: Vec<i64>| {
        let count = dims.iter().product::<i64>();
        let scale = 2.0 / dims[0] as f32;
        TensorProto {
            name,
            data_type: DataType::Float as i32,
            float_data: (0..count).map(|_| (numbers.next() - 0.5) * scale).collect(),
            dims,
            ..TensorProto::default()
        }
    };
    let (mut nodes, mut initializers) = (Vec::new(), Vec::new());
    let mut from = "x".to_owned();
    for (layer, pair) in widths.windows(2).enumerate() {
        initializers.push(weights(format!("w{layer}"), pair.to_vec()));
        initializers.push(weights(format!("b{layer}"), vec![pair[1]]));
        let last = layer + 2 == widths.len();
        let inputs = [from, format!("w{layer}"), format!("b{layer}")];
        nodes.push(node("", "Gemm", &inputs, &[format!("sum{layer}")]));
        from = if last {
            "y".to_owned()
        } else {
            format!("y{layer}")
        };
        let activation = if last { "Softmax" } else { "Relu" };
        nodes.push(node(
            "",
            activation,
            &[format!("sum{layer}")],
            &[from.clone()],
        ));
    }
    let outputs = [("y", DataType::Float, vec![None, widths.last().copied()])];
    model(nodes, initializers, widths[0], &outputs)
}

/// A classifier of three classes out of trees that split at random.
fn forest(trees: i64, width: i64) -> Vec<u8> {
    let mut forest = Forest {
        numbers: Numbers(13),
        width,
        ..Forest::default()
    };
    for tree in 0..trees {
        let mut next = 0;
        forest.grow(tree, &mut next, 0);
    }
    let mut node = node(
        "ai.onnx.ml",
        "TreeEnsembleClassifier",
        &["x".to_owned()],
        &["label".to_owned(), "y".to_owned()],
    );
    let Forest {
        ids,
        splits,
        leaves,
        ..
    } = forest;
    let column = |index: usize| ids.iter().map(|row| row[index]).collect::<Vec<i64>>();
    let modes = ids.iter().map(|row| match row[5] {
        0 => b"LEAF".to_vec(),
        _ => b"BRANCH_LEQ".to_vec(),
    });
    let of_leaves = |index: usize| leaves.iter().map(|(row, _)| row[index]).collect();
    node.attribute = vec![
        integers("nodes_treeids", column(0)),
        integers("nodes_nodeids", column(1)),
        integers("nodes_featureids", column(2)),
        integers("nodes_truenodeids", column(3)),
        integers("nodes_falsenodeids", column(4)),
        floats("nodes_values", splits),
        texts("nodes_modes", modes.collect()),
        integers("class_treeids", of_leaves(0)),
        integers("class_nodeids", of_leaves(1)),
        integers("class_ids", of_leaves(2)),
        floats(
            "class_weights",
            leaves.iter().map(|(_, weight)| *weight).collect(),
        ),
        integers("classlabels_int64s", vec![0, 1, 2]),
    ];
    let outputs = [("y", DataType::Float, vec![None, Some(3)])];
    model(vec![node], Vec::new(), width, &outputs)
}

struct Forest {
    numbers: Numbers,
    width: i64,
    /// Tree, node, feature, the nodes for true and false, and whether it is a branch.
    ids: Vec<[i64; 6]>,
    splits: Vec<f32>,
    /// Tree, node and class, and the weight.
    leaves: Vec<([i64; 3], f32)>,
}

impl Default for Forest {
    fn default() -> Forest {
        Forest {
            numbers: Numbers(0),
            width: 1,
            ids: Vec::new(),
            splits: Vec::new(),
            leaves: Vec::new(),
        }
    }
}

impl Forest {
    /// Adds a node and what is below it, and returns its number.
    fn grow(&mut self, tree: i64, next: &mut i64, depth: u32) -> i64 {
        let id = *next;
        *next += 1;
        let is_leaf = depth == 10 || (depth > 4 && self.numbers.next() < 0.25);
        let place = self.ids.len();
        let feature = (self.numbers.next() * self.width as f32) as i64 % self.width;
        self.ids
            .push([tree, id, feature, 0, 0, i64::from(!is_leaf)]);
        self.splits.push(0.2 + 0.6 * self.numbers.next());
        if is_leaf {
            self.splits[place] = 0.0;
            self.ids[place][2] = 0;
            for class in 0..3 {
                self.leaves
                    .push(([tree, id, class], self.numbers.next() / 100.0));
            }
        } else {
            self.ids[place][3] = self.grow(tree, next, depth + 1);
            self.ids[place][4] = self.grow(tree, next, depth + 1);
        }
        id
    }
}

fn node(domain: &str, operator: &str, inputs: &[String], outputs: &[String]) -> NodeProto {
    NodeProto {
        op_type: operator.to_owned(),
        domain: domain.to_owned(),
        input: inputs.to_vec(),
        output: outputs.to_vec(),
        ..NodeProto::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: kind as i32,
        ..AttributeProto::default()
    }
}

fn integers(name: &str, ints: Vec<i64>) -> AttributeProto {
    let attribute = attribute(name, AttributeType::Ints);
    AttributeProto { ints, ..attribute }
}

fn floats(name: &str, floats: Vec<f32>) -> AttributeProto {
    let attribute = attribute(name, AttributeType::Floats);
    AttributeProto {
        floats,
        ..attribute
    }
}

fn texts(name: &str, strings: Vec<Vec<u8>>) -> AttributeProto {
    let attribute = attribute(name, AttributeType::Strings);
    AttributeProto {
        strings,
        ..attribute
    }
}

fn value(name: &str, kind: DataType, shape: &[Option<i64>]) -> ValueInfoProto {
    let axis = |length: &Option<i64>| Dimension {
        value: length.map(dimension::Value::DimValue),
        ..Dimension::default()
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(Value::TensorType(Tensor {
                elem_type: kind as i32,
                shape: Some(TensorShapeProto {
                    dim: shape.iter().map(axis).collect(),
                }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn model(
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    width: i64,
    outputs: &[(&str, DataType, Vec<Option<i64>>)],
) -> Vec<u8> {
    let outputs = outputs.iter();
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    let file = ModelProto {
        ir_version: 8,
        opset_import: vec![set("", 15), set("ai.onnx.ml", 1)],
        graph: Some(GraphProto {
            name: "model".to_owned(),
            node,
            initializer,
            input: vec![value("x", DataType::Float, &[None, Some(width)])],
            output: outputs
                .map(|(name, kind, shape)| value(name, *kind, shape))
                .collect(),
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    file.encode_to_vec()
}
