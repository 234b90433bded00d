//! Graphs that no exporter writes.

use super::graph::{AttrValue, Attribute, DataType, NameAttrList, NodeDef};
use super::graph::{Dim, TensorProto, TensorShapeProto};
use super::messages::{
    ArgDef, AttrDef, FunctionDef, FunctionDefLibrary, GraphDef, MetaGraphDef, MetaInfoDef, OpDef,
    OpList, SavedModel, SignatureDef, TensorInfo,
};
use crate::{Data, Directory, Error, Graph, Options, Tensor};
use prost::Message;
use std::time::{Duration, Instant};

fn attributed(attributes: Vec<(&str, Attribute)>) -> Vec<(String, AttrValue)> {
    let attribute = |(name, value): (&str, Attribute)| {
        let value = AttrValue { value: Some(value) };
        (name.to_owned(), value)
    };
    attributes.into_iter().map(attribute).collect()
}

fn node(name: &str, op: &str, input: &[&str], attributes: Vec<(&str, Attribute)>) -> NodeDef {
    NodeDef {
        name: name.to_owned(),
        op: op.to_owned(),
        input: input.iter().map(|input| (*input).to_owned()).collect(),
        attr: attributed(attributes).into_iter().collect(),
    }
}

fn call(name: &str, function: &str, input: &[&str]) -> NodeDef {
    let function = NameAttrList {
        name: function.to_owned(),
        ..NameAttrList::default()
    };
    let function = vec![("f", Attribute::Function(function))];
    node(name, "PartitionedCall", input, function)
}

fn add(name: &str, left: &str, right: &str) -> NodeDef {
    let float = Attribute::Type(DataType::Float as i32);
    node(name, "AddV2", &[left, right], vec![("T", float)])
}

fn arguments(names: &[&str]) -> Vec<ArgDef> {
    let argument = |name: &&str| ArgDef {
        name: (*name).to_owned(),
        ..ArgDef::default()
    };
    names.iter().map(argument).collect()
}

/// A function of one argument, `x`, and one result, `y`.
fn function(name: &str, nodes: Vec<NodeDef>, result: &str) -> FunctionDef {
    FunctionDef {
        signature: Some(OpDef {
            name: name.to_owned(),
            input_arg: arguments(&["x"]),
            output_arg: arguments(&["y"]),
            ..OpDef::default()
        }),
        node_def: nodes,
        ret: [("y".to_owned(), result.to_owned())].into(),
        ..FunctionDef::default()
    }
}

fn operator(name: &str, results: Vec<ArgDef>, attr: Vec<AttrDef>) -> OpDef {
    OpDef {
        name: name.to_owned(),
        output_arg: results,
        attr,
        ..OpDef::default()
    }
}

fn port(name: &str) -> TensorInfo {
    let dim = vec![Dim { size: -1 }, Dim { size: 3 }];
    TensorInfo {
        name: name.to_owned(),
        dtype: DataType::Float as i32,
        tensor_shape: Some(TensorShapeProto {
            dim,
            unknown_rank: false,
        }),
    }
}

/// A model of one signature, from the node `x` to the node `y`.
fn model(mut node_def: Vec<NodeDef>, function: Vec<FunctionDef>) -> MetaGraphDef {
    node_def.push(node("x", "Placeholder", &[], Vec::new()));
    let signature = SignatureDef {
        inputs: [("x".to_owned(), port("x:0"))].into(),
        outputs: [("y".to_owned(), port("y:0"))].into(),
        ..SignatureDef::default()
    };
    let result = || arguments(&["z"]);
    let output = ArgDef {
        name: "output".to_owned(),
        type_list_attr: "Tout".to_owned(),
        ..ArgDef::default()
    };
    let op = vec![
        operator("AddV2", result(), Vec::new()),
        operator("PartitionedCall", vec![output], Vec::new()),
    ];
    let graph = GraphDef {
        node: node_def,
        library: Some(FunctionDefLibrary { function }),
    };
    MetaGraphDef {
        meta_info_def: Some(MetaInfoDef {
            stripped_op_list: Some(OpList { op }),
            tags: vec!["serve".to_owned()],
        }),
        graph_def: graph.encode_to_vec(),
        signature_def: [("serving_default".to_owned(), signature)].into(),
        ..MetaGraphDef::default()
    }
}

impl MetaGraphDef {
    fn operators(&mut self) -> &mut Vec<OpDef> {
        let info = self.meta_info_def.as_mut().unwrap();
        &mut info.stripped_op_list.as_mut().unwrap().op
    }
}

fn load(meta_graph: MetaGraphDef) -> Result<Graph, Error> {
    load_with(meta_graph, &Options::default())
}

fn load_with(meta_graph: MetaGraphDef, options: &Options) -> Result<Graph, Error> {
    let model = SavedModel {
        meta_graphs: vec![meta_graph],
    };
    let file = ("saved_model.pb".to_owned(), model.encode_to_vec());
    Graph::from_saved_model(&Directory::new([file].into()), options)
}

fn run(graph: &Graph) -> Data {
    let x = Tensor::new(vec![1, 3], Data::Float(vec![1.0, 2.0, 3.0])).unwrap();
    let mut outputs = graph.run(&[x], &mut graph.scratch()).unwrap();
    outputs.remove(0).data
}

/// What is refused, and that it did not take long.
fn refused(meta_graph: MetaGraphDef) -> String {
    let begun = Instant::now();
    let error = load(meta_graph).unwrap_err().to_string();
    assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
    error
}

#[test]
fn functions_that_call_themselves_are_refused() {
    let deep = vec![call("y", "f", &["x"])];
    let f = function("f", vec![call("again", "f", &["x"])], "again:output:0");
    let expected = "too large: 101 functions inside one another, at most 100 are accepted";
    assert_eq!(refused(model(deep, vec![f])), expected);

    // It grows with a power of two.
    let two = |name: &str, next: &str| {
        let calls = vec![
            call("a", next, &["x"]),
            call("b", next, &["a:output:0"]),
            add("c", "a:output:0", "b:output:0"),
        ];
        function(name, calls, "c:z:0")
    };
    let mut functions: Vec<FunctionDef> = (0..40)
        .map(|level| two(&format!("f{level}"), &format!("f{}", level + 1)))
        .collect();
    functions.push(function("f40", Vec::new(), "x"));
    let expected = "too large: 2001 calls of functions, at most 2000 are accepted";
    let wide = vec![call("y", "f0", &["x"])];
    assert_eq!(refused(model(wide, functions)), expected);
}

#[test]
fn values_that_depend_on_themselves_are_refused() {
    let same = || function("same", Vec::new(), "x");
    let circle = vec![
        call("a", "same", &["b"]),
        call("b", "same", &["a"]),
        add("y", "a", "x"),
    ];
    let expected = "not a TensorFlow SavedModel: a value depends on itself";
    assert_eq!(refused(model(circle, vec![same()])), expected);

    let circle = vec![call("a", "same", &["y"]), add("y", "a", "x")];
    let error = refused(model(circle, vec![same()]));
    assert!(error.ends_with("`y` depends on itself"), "{error}");
}

#[test]
fn a_chain_of_any_length_is_refused_and_not_recursed_into() {
    let mut nodes = vec![add("n0", "x", "x")];
    for number in 1..100_000 {
        let before = format!("n{}", number - 1);
        nodes.push(add(&format!("n{number}"), &before, &before));
    }
    nodes.push(add("y", "n99999", "x"));
    let expected = "too large: 20001 nodes, at most 20000 are accepted";
    assert_eq!(refused(model(nodes, Vec::new())), expected);
}

#[test]
fn a_constant_is_not_copied_for_each_call_without_bound() {
    let value = TensorProto {
        dtype: DataType::Float as i32,
        tensor_content: vec![1; 4 << 20],
        ..TensorProto::default()
    };
    let constant = node("c", "Const", &[], vec![("value", Attribute::Tensor(value))]);
    let results = operator("Const", arguments(&["output"]), Vec::new());
    let body = vec![constant, add("z", "x", "c:output:0")];
    let mut nodes = vec![call("n0", "f", &["x"])];
    for number in 1..1000 {
        let before = format!("n{}", number - 1);
        nodes.push(call(&format!("n{number}"), "f", &[&before]));
    }
    nodes.push(call("y", "f", &["n999"]));
    let mut meta = model(nodes, vec![function("f", body, "z:z:0")]);
    meta.operators().push(results);
    let error = refused(meta);
    assert!(error.contains("bytes of nodes"), "{error}");
}

/// As TensorFlow 1 wrote functions: called by their name, for types that the caller gives. The
/// results of the operators inside are numbered by their definitions.
#[test]
fn functions_take_attributes_of_their_callers() {
    let given = |name: &str| Attribute::Placeholder(name.to_owned());
    let body = vec![
        add("twice", "x", "x"),
        node(
            "all",
            "IdentityN",
            &["x", "x", "twice:z:0"],
            vec![("N", given("M"))],
        ),
        node(
            "sum",
            "AddV2",
            &["x", "all:second:0"],
            vec![("T", given("T"))],
        ),
    ];
    let float = Attribute::Type(DataType::Float as i32);
    let caller = vec![("T", float), ("M", Attribute::Integer(2))];
    let f = function("f", body, "sum:z:0");
    let mut meta = model(vec![node("y", "f", &["x"], caller)], vec![f]);
    let expected = "not a TensorFlow SavedModel: \
                    `all:second:0`: no operator `IdentityN` has it";
    assert_eq!(refused(meta.clone()), expected);

    let first = ArgDef {
        name: "first".to_owned(),
        number_attr: "N".to_owned(),
        ..ArgDef::default()
    };
    let results = [vec![first], arguments(&["second"])].concat();
    meta.operators()
        .push(operator("IdentityN", results, Vec::new()));
    assert_eq!(run(&load(meta).unwrap()), Data::Float(vec![3.0, 6.0, 9.0]));
}

#[test]
fn attributes_that_were_left_out_have_their_defaults() {
    let cast = node("y", "Cast", &["x"], Vec::new());
    let mut meta = model(vec![cast], Vec::new());
    assert!(refused(meta.clone()).contains("Cast without a type"));
    let double = Attribute::Type(DataType::Double as i32);
    let default = AttrDef {
        name: "DstT".to_owned(),
        default_value: Some(AttrValue {
            value: Some(double),
        }),
    };
    let cast = operator("Cast", arguments(&["y"]), vec![default]);
    meta.operators().push(cast);
    assert_eq!(run(&load(meta).unwrap()), Data::Double(vec![1.0, 2.0, 3.0]));
}

#[test]
fn an_input_that_is_not_fed_has_the_signatures_default() {
    let sum = add("y", "x", "z");
    let z = node("z", "Placeholder", &[], Vec::new());
    let mut meta = model(vec![sum, z], Vec::new());
    let value = TensorProto {
        dtype: DataType::Float as i32,
        float_val: vec![0.5],
        ..TensorProto::default()
    };
    let signature = meta.signature_def.get_mut("serving_default").unwrap();
    signature.inputs.insert("z".to_owned(), port("z:0"));
    signature.defaults.insert("z".to_owned(), value);
    let options = Options {
        inputs: vec!["x".to_owned()],
        ..Options::default()
    };
    let graph = load_with(meta, &options).unwrap();
    assert_eq!(run(&graph), Data::Float(vec![1.5, 2.5, 3.5]));
}
