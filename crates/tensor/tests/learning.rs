//! Models of `tests/learning` against what ONNX Runtime made of them: each operator of `ai.onnx.ml`
//! in each of its forms, recurrent layers, and pipelines of scikit-learn, XGBoost and LightGBM. `make.py` beside them
//! made them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreement;

use agreement::{assert_close, numbers};
use std::fs;
use std::path::Path;
use std::str::Lines;
use tensor::{Data, Graph, Options, Tensor};

struct Case {
    name: String,
    model: Vec<u8>,
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<(String, Tensor)>,
}

fn cases(family: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/learning");
    let text = fs::read_to_string(path.join(format!("{family}.txt"))).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "case" {
            let digits = lines.next().unwrap().as_bytes().as_chunks::<2>().0;
            let byte = |pair: &[u8; 2]| {
                u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()
            };
            cases.push(Case {
                name: format!("{family}: {rest}"),
                model: digits.iter().map(byte).collect(),
                inputs: Vec::new(),
                outputs: Vec::new(),
            });
            continue;
        }
        let found = tensor(rest, &mut lines);
        let case = cases.last_mut().unwrap();
        match word {
            "input" => case.inputs.push(found),
            "output" => case.outputs.push(found),
            other => panic!("{other}"),
        }
    }
    cases
}

fn tensor(head: &str, lines: &mut Lines<'_>) -> (String, Tensor) {
    let words: Vec<&str> = head.split(' ').collect();
    let shape: Vec<usize> = words[2..]
        .iter()
        .map(|word| word.parse().unwrap())
        .collect();
    let elements: Vec<&str> = lines.take(shape.iter().product()).collect();
    fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(elements: &[&str]) -> Vec<T> {
        elements
            .iter()
            .map(|element| element.parse().unwrap())
            .collect()
    }
    let data = match words[1] {
        "float" => Data::Float(parsed(&elements)),
        "double" => Data::Double(parsed(&elements)),
        "int64" => Data::Int64(parsed(&elements)),
        "int32" => Data::Int32(parsed(&elements)),
        "bool" => Data::Bool(elements.iter().map(|element| *element == "1").collect()),
        _ => Data::Text(parsed(&elements)),
    };
    (words[0].to_owned(), Tensor::new(shape, data).unwrap())
}

/// The same labels and shapes, and numbers within 1e-6, or 1e-6 of them above one.
fn check(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.shape, expected.shape, "{what}");
    assert_eq!(found.data.element(), expected.data.element(), "{what}");
    if let (Data::Text(found), Data::Text(expected)) = (&found.data, &expected.data) {
        return assert_eq!(found, expected, "{what}");
    }
    assert_close(&numbers(&found.data), &numbers(&expected.data), what);
}

fn row(tensor: &Tensor, row: usize) -> Tensor {
    let width: usize = tensor.shape[1..].iter().product();
    let span = row * width..(row + 1) * width;
    let mut shape = tensor.shape.clone();
    shape[0] = 1;
    let data = match &tensor.data {
        Data::Float(values) => Data::Float(values[span].to_vec()),
        Data::Double(values) => Data::Double(values[span].to_vec()),
        Data::Int32(values) => Data::Int32(values[span].to_vec()),
        Data::Int64(values) => Data::Int64(values[span].to_vec()),
        Data::Bool(values) => Data::Bool(values[span].to_vec()),
        Data::Text(values) => Data::Text(values[span].to_vec()),
    };
    Tensor::new(shape, data).unwrap()
}

fn graph(case: &Case) -> Graph {
    Graph::from_onnx(&case.model, &Options::default())
        .unwrap_or_else(|cause| panic!("{}: {cause}", case.name))
}

/// In a batch, and each row alone.
fn agrees_with_the_reference(family: &str, count: usize) {
    let cases = cases(family);
    assert_eq!(cases.len(), count, "cases of {family}");
    for case in &cases {
        let graph = graph(case);
        let mut scratch = graph.scratch();
        let names = graph.inputs().iter().map(|port| &port.name);
        let inputs: Vec<Tensor> = names
            .map(|name| {
                case.inputs
                    .iter()
                    .find(|input| input.0 == *name)
                    .unwrap()
                    .1
                    .clone()
            })
            .collect();
        let found = graph
            .run(&inputs, &mut scratch)
            .unwrap_or_else(|cause| panic!("{}: {cause}", case.name));
        assert_eq!(found.len(), case.outputs.len(), "{}", case.name);
        for (found, (name, expected)) in found.iter().zip(&case.outputs) {
            check(found, expected, &format!("{} {name}", case.name));
        }
        let rows = inputs[0].shape[0];
        let by_row = |tensor: &Tensor| tensor.shape.len() > 1 && tensor.shape[0] == rows;
        let is_fixed = graph.inputs()[0].shape[0].is_some();
        if is_fixed || !inputs.iter().all(by_row) {
            continue;
        }
        for number in [0, rows / 2, rows - 1] {
            let alone: Vec<Tensor> = inputs.iter().map(|input| row(input, number)).collect();
            let alone = graph.run(&alone, &mut scratch).unwrap();
            for (alone, (name, expected)) in alone.iter().zip(&case.outputs) {
                if expected.shape.first() != Some(&rows) {
                    continue; // The rows became one, or an axis came before them.
                }
                let what = format!("{} {name} row {number}", case.name);
                let mut expected = expected.clone();
                if expected.shape.len() == 1 {
                    expected.shape.push(1);
                }
                let mut expected = row(&expected, number);
                expected.shape.truncate(alone.shape.len());
                check(alone, &expected, &what);
            }
        }
    }
}

#[test]
fn trees_are_those_of_the_reference() {
    agrees_with_the_reference("trees", 153);
}

#[test]
fn linear_models_are_those_of_the_reference() {
    agrees_with_the_reference("linear", 18);
}

#[test]
fn support_vectors_are_those_of_the_reference() {
    agrees_with_the_reference("vectors", 35);
}

#[test]
fn encoders_are_those_of_the_reference() {
    agrees_with_the_reference("encoders", 23);
}

#[test]
fn features_are_those_of_the_reference() {
    agrees_with_the_reference("features", 23);
}

#[test]
fn corrected_operators_are_those_of_the_reference() {
    agrees_with_the_reference("corrected", 128);
}

#[test]
fn recurrent_layers_are_those_of_the_reference() {
    agrees_with_the_reference("recurrent", 46);
}

#[test]
fn pipelines_are_those_of_the_reference() {
    agrees_with_the_reference("pipelines", 16);
}

/// Whatever a file says, it is refused, or runs, or fails: with an error.
#[test]
fn a_flipped_bit_does_no_harm() {
    let mut state = 0x5eed_u64;
    let mut chance = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % limit
    };
    for family in [
        "trees",
        "linear",
        "vectors",
        "encoders",
        "features",
        "corrected",
        "recurrent",
        "pipelines",
    ] {
        for case in cases(family) {
            for _ in 0..4 {
                let mut model = case.model.clone();
                let at = chance(model.len());
                model[at] ^= 1 << chance(8);
                let Ok(graph) = Graph::from_onnx(&model, &Options::default()) else {
                    continue;
                };
                let inputs: Vec<Tensor> = case.inputs.iter().map(|input| input.1.clone()).collect();
                if let Err(cause) = graph.run(&inputs, &mut graph.scratch()) {
                    // A panic is caught, but none is to come from this crate.
                    let text = cause.to_string();
                    assert!(!text.contains("src/onnx/"), "{} at {at}: {text}", case.name);
                }
            }
        }
    }
}
