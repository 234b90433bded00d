//! The forest as an ONNX file. It is grown by chance: of a node's rows, some feature is compared
//! with its value in one of them, until no two are left or chance ends it.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
    TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};

pub(crate) const FEATURES: usize = 11;
const CLASSES: usize = 6;
const TREES: usize = 100;
/// Rows that trees are grown on.
const GROWN_ON: usize = 1_000;

/// Numbers without a pattern, after Marsaglia's xorshift.
struct Chance(u64);

impl Chance {
    fn next(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// Rows of numbers, no two alike.
pub(crate) fn rows(count: usize) -> Vec<f32> {
    let mut chance = Chance(0x5eed);
    (0..count * FEATURES)
        .map(|_| chance.next(1 << 20) as f32 / (1 << 16) as f32)
        .collect()
}

#[derive(Default)]
struct Nodes {
    trees: Vec<i64>,
    ids: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<Vec<u8>>,
    values: Vec<f32>,
    yes: Vec<i64>,
    no: Vec<i64>,
    weight_trees: Vec<i64>,
    weight_ids: Vec<i64>,
    weight_classes: Vec<i64>,
    weights: Vec<f32>,
}

impl Nodes {
    fn grow(&mut self, tree: usize, chance: &mut Chance) {
        let rows = rows(GROWN_ON);
        let first = self.ids.len();
        let mut open = vec![(0..GROWN_ON).collect::<Vec<usize>>()];
        let mut next = 0;
        while let Some(members) = open.get_mut(next).map(std::mem::take) {
            let feature = chance.next(FEATURES);
            let at = |row: usize| rows[row * FEATURES + feature];
            let value = at(members[chance.next(members.len())]);
            let (yes, no): (Vec<usize>, Vec<usize>) =
                members.iter().partition(|row| at(**row) <= value);
            let is_leaf = no.is_empty() || members.len() < 3;
            self.trees.push(tree as i64);
            self.ids.push(next as i64);
            self.features.push(if is_leaf { 0 } else { feature as i64 });
            self.values.push(if is_leaf { 0.0 } else { value });
            let mode = if is_leaf { "LEAF" } else { "BRANCH_LEQ" };
            self.modes.push(mode.as_bytes().to_vec());
            let children = if is_leaf {
                [0, 0]
            } else {
                [open.len(), open.len() + 1]
            };
            self.yes.push(children[0] as i64);
            self.no.push(children[1] as i64);
            if is_leaf {
                let class = chance.next(CLASSES);
                for number in 0..CLASSES {
                    self.weight_trees.push(tree as i64);
                    self.weight_ids.push((self.ids.len() - 1 - first) as i64);
                    self.weight_classes.push(number as i64);
                    let weight = if number == class {
                        1.0 / TREES as f32
                    } else {
                        0.0
                    };
                    self.weights.push(weight);
                }
            } else {
                open.extend([yes, no]);
            }
            next += 1;
        }
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
    AttributeProto {
        ints,
        ..attribute(name, AttributeType::Ints)
    }
}

fn reals(name: &str, floats: Vec<f32>) -> AttributeProto {
    AttributeProto {
        floats,
        ..attribute(name, AttributeType::Floats)
    }
}

fn value(name: &str, kind: DataType, columns: Option<usize>) -> ValueInfoProto {
    let length = |length: Option<usize>| tensor_shape_proto::Dimension {
        value: length.map(|length| tensor_shape_proto::dimension::Value::DimValue(length as i64)),
        ..Default::default()
    };
    let mut dim = vec![length(None)];
    dim.extend(columns.map(|columns| length(Some(columns))));
    let tensor = type_proto::Tensor {
        elem_type: kind as i32,
        shape: Some(TensorShapeProto { dim }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

/// The file.
pub(crate) fn bytes() -> Vec<u8> {
    let (mut nodes, mut chance) = (Nodes::default(), Chance(7));
    for tree in 0..TREES {
        nodes.grow(tree, &mut chance);
    }
    let modes = AttributeProto {
        strings: nodes.modes,
        ..attribute("nodes_modes", AttributeType::Strings)
    };
    let node = NodeProto {
        op_type: "TreeEnsembleClassifier".to_owned(),
        domain: "ai.onnx.ml".to_owned(),
        input: vec!["X".to_owned()],
        output: vec!["label".to_owned(), "probabilities".to_owned()],
        attribute: vec![
            integers("nodes_treeids", nodes.trees),
            integers("nodes_nodeids", nodes.ids),
            integers("nodes_featureids", nodes.features),
            modes,
            reals("nodes_values", nodes.values),
            integers("nodes_truenodeids", nodes.yes),
            integers("nodes_falsenodeids", nodes.no),
            integers("class_treeids", nodes.weight_trees),
            integers("class_nodeids", nodes.weight_ids),
            integers("class_ids", nodes.weight_classes),
            reals("class_weights", nodes.weights),
            integers("classlabels_int64s", (3..9).collect()),
        ],
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: "forest".to_owned(),
        node: vec![node],
        input: vec![value("X", DataType::Float, Some(FEATURES))],
        output: vec![
            value("label", DataType::Int64, None),
            value("probabilities", DataType::Float, Some(CLASSES)),
        ],
        ..GraphProto::default()
    };
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![set("", 17), set("ai.onnx.ml", 3)],
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}
