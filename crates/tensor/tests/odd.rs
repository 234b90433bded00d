//! What TensorFlow makes of the SavedModels in `exports/savedmodel` is what this crate makes of
//! them; `make.py` beside them says how they were made. What it does not make anything of is
//! refused, and says why.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tensor::{Data, Directory, Graph, Options, Tensor};

const LIMIT: u64 = 1 << 24;

fn exports() -> PathBuf {
    PathBuf::from("/tmp/savedmodel/odd")
}

fn directory(name: &str) -> Directory {
    Directory::open(&exports().join(name), LIMIT).unwrap()
}

fn signature(name: &str) -> Options {
    Options {
        signature: Some(name.to_owned()),
        ..Options::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Inputs and outputs of a signature, by name.
#[derive(Default)]
struct Golden {
    inputs: BTreeMap<String, Tensor>,
    outputs: BTreeMap<String, Tensor>,
}

impl Golden {
    fn read(path: &Path) -> Golden {
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
    fn check(&self, graph: &Graph, what: &str) {
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
            let (found, expected) = (numbers(&found.data), numbers(&expected.data));
            for (found, expected) in found.iter().zip(&expected) {
                let bound = 1e-6 * expected.abs().max(1.0);
                let equal = found.is_nan() && expected.is_nan();
                assert!(
                    equal || (found - expected).abs() <= bound,
                    "{what}: {} is {found} instead of {expected}",
                    port.name
                );
            }
        }
    }
}

fn parsed<T: std::str::FromStr>(values: &str) -> Vec<T> {
    let value = |value: &str| value.parse().ok().unwrap();
    values.split_whitespace().map(value).collect()
}

fn numbers(data: &Data) -> Vec<f64> {
    match data {
        Data::Float(values) => values.iter().copied().map(f64::from).collect(),
        Data::Double(values) => values.clone(),
        Data::Int32(values) => values.iter().copied().map(f64::from).collect(),
        Data::Int64(values) => values.iter().map(|value| *value as f64).collect(),
        Data::Bool(values) => values.iter().copied().map(f64::from).collect(),
        Data::Text(_) => panic!("text"),
    }
}

/// Model, signature and path of each golden file.
fn goldens() -> Vec<(String, String, PathBuf)> {
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

#[test]
fn odd() {
    let mut seen = std::collections::BTreeSet::new();
    for (model, name, path) in goldens() {
        let golden = Golden::read(&path);
        let what = format!("{model}, {name}");
        seen.insert(model.clone());
        match Graph::from_saved_model(&directory(&model), &signature(&name)) {
            Ok(graph) => {
                let k: Vec<_> = golden.inputs.keys().cloned().collect();
                let f: Vec<_> = graph.inputs().iter().map(|p| p.name.clone()).collect();
                let missing = if k != f {
                    format!(" INPUTS {f:?} not {k:?}")
                } else {
                    String::new()
                };
                let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    golden.check(&graph, &what)
                }));
                println!(
                    "ODD {what}: {}{missing}",
                    match r {
                        Ok(()) => "ok".into(),
                        Err(e) => format!(
                            "WRONG {}",
                            e.downcast_ref::<String>().cloned().unwrap_or_default()
                        ),
                    }
                );
            }
            Err(e) => println!("ODD {what}: REFUSED {e}"),
        }
    }
    for entry in fs::read_dir(exports()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !seen.contains(&name) && name != "__pycache__" {
            println!(
                "ODD {name} (no golden): {:?}",
                Graph::from_saved_model(&directory(&name), &Options::default())
                    .map_err(|e| e.to_string())
            );
        }
    }
}
