//! The SavedModels in `exports/savedmodel`, with what TensorFlow made of their signatures.

use crate::agreement::{assert_close, numbers};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tensor::{Data, Graph, Tensor};

pub(crate) fn exports() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports/savedmodel")
}

/// Model, signature and path of each golden file.
pub(crate) fn goldens() -> Vec<(String, String, PathBuf)> {
    let mut goldens = Vec::new();
    for entry in fs::read_dir(exports()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let [model, signature, "txt"] = name.split('.').collect::<Vec<_>>()[..] {
            goldens.push((model.to_owned(), signature.to_owned(), path.clone()));
        }
    }
    goldens.sort();
    goldens
}

/// Inputs and outputs of a signature, by name.
#[derive(Default)]
pub(crate) struct Golden {
    pub(crate) inputs: BTreeMap<String, Tensor>,
    pub(crate) outputs: BTreeMap<String, Tensor>,
}

impl Golden {
    pub(crate) fn read(path: &Path) -> Golden {
        let mut golden = Golden::default();
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        while let (Some(head), Some(values)) = (lines.next(), lines.next()) {
            let [side, name, datum, shape] = head.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{head}")
            };
            let lengths = shape.split(',').filter(|length| !length.is_empty());
            let shape = lengths.map(|length| length.parse().unwrap()).collect();
            let data = match datum {
                "float32" => Data::Float(parsed(values)),
                "float64" => Data::Double(parsed(values)),
                "int32" => Data::Int32(parsed(values)),
                "int64" => Data::Int64(parsed(values)),
                _ => Data::Bool(parsed::<u8>(values).iter().map(|v| *v != 0).collect()),
            };
            let side = match side {
                "input" => &mut golden.inputs,
                _ => &mut golden.outputs,
            };
            side.insert(name.to_owned(), Tensor::new(shape, data).unwrap());
        }
        golden
    }

    /// Feeds the inputs by name, and compares what is computed by name.
    pub(crate) fn check(&self, graph: &Graph, what: &str) {
        let inputs: Vec<Tensor> = graph
            .inputs()
            .iter()
            .map(|port| self.inputs[&port.name].clone())
            .collect();
        let outputs = graph
            .run(&inputs, &mut graph.scratch())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        for (port, found) in graph.outputs().iter().zip(&outputs) {
            let expected = &self.outputs[&port.name];
            assert_eq!(found.shape, expected.shape, "{what}: {}", port.name);
            let element = expected.data.element();
            assert_eq!(found.data.element(), element, "{what}: {}", port.name);
            assert_eq!(port.element, element, "{what}: {}", port.name);
            let (found, expected) = (numbers(&found.data), numbers(&expected.data));
            assert_close(&found, &expected, &format!("{what}: {}", port.name));
        }
    }
}

fn parsed<T: std::str::FromStr>(values: &str) -> Vec<T> {
    let value = |value: &str| value.parse().ok().unwrap();
    values.split_whitespace().map(value).collect()
}
