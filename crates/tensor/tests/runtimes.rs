//! What the optional libraries make of a model is what this crate makes of it, and what their own
//! languages' interfaces say where it makes nothing of it.
//!
//! `cargo test -p tensor --features libtensorflow,onnxruntime --test runtimes`
//!
//! A library that is not built in, or not found, is not tested, and the test says so; with
//! `RUNTIMES_REQUIRED` in the environment it fails. `cargo xtask test --runtimes` fetches them.
//! `exports/library/make.py` says how the models were made.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreement;
mod goldens;
#[path = "runtimes/saved_models.rs"]
mod saved_models;

use agreement::{assert_close, numbers};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tensor::{Data, Error, Graph, Options, Runtime, Tensor};

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn library(name: &str) -> PathBuf {
    directory("tests/exports/library").join(name)
}

/// Whether a library is there to be tested.
fn is_there(runtime: Runtime) -> bool {
    match runtime.find() {
        Ok(_) => true,
        Err(error) => {
            let required = std::env::var_os("RUNTIMES_REQUIRED").is_some();
            assert!(!required, "{error}");
            println!("skipped: {error}");
            false
        }
    }
}

fn by(runtime: Runtime) -> Options {
    Options {
        runtime: Some(runtime),
        ..Options::default()
    }
}

fn load(path: &Path, options: &Options) -> Result<Graph, Error> {
    Graph::open(path, 1 << 26, options)
}

fn cells(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect()
}

/// Columns `from..to` of a table, as numbers.
fn columns(cells: &[Vec<String>], from: usize, to: usize) -> Vec<f64> {
    let rows = cells.iter().flat_map(|row| &row[from..to]);
    rows.map(|cell| cell.parse().unwrap()).collect()
}

fn texts(cells: &[Vec<String>], column: usize) -> Vec<String> {
    cells.iter().map(|row| row[column].clone()).collect()
}

fn floats(numbers: &[f64]) -> Data {
    Data::Float(numbers.iter().map(|number| *number as f32).collect())
}

/// Models with rows for each: those of the exports, or wines.
fn models(extension: &str) -> Vec<(PathBuf, Vec<f64>)> {
    let rows = cells(&directory("tests/exports/rows.csv"));
    let wines = fs::read_to_string(directory("../../data/winequality_red.csv")).unwrap();
    let wines = wines.lines().take(400).flat_map(|line| {
        let cells = line.split(';').take(11);
        cells
            .map(|cell| cell.parse().unwrap())
            .collect::<Vec<f64>>()
    });
    let places = [
        ("tests/exports", columns(&rows, 0, 11)),
        ("../../data/models", wines.collect()),
    ];
    let mut models = Vec::new();
    for (place, rows) in places {
        for entry in fs::read_dir(directory(place)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|found| found == extension) {
                models.push((path, rows.clone()));
            }
        }
    }
    models.sort_by(|one, other| one.0.cmp(&other.0));
    models
}

/// Every export that is run natively is run by the library, too, to the same result: as rows one
/// by one and together, and as a tensor.
fn assert_alike(runtime: Runtime, extension: &str, at_least: usize) {
    if !is_there(runtime) {
        return;
    }
    let mut compared = 0;
    for (path, rows) in models(extension) {
        let count = rows.len() / 11;
        let name = path.display().to_string();
        let Ok(native) = load(&path, &by(Runtime::Native)) else {
            continue;
        };
        compared += 1;
        let served = load(&path, &by(runtime)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(served.runtime(), runtime);
        assert_eq!(served.inputs(), native.inputs(), "{name}");
        let ports = |graph: &Graph| -> Vec<_> {
            let ports = graph.outputs().iter();
            ports
                .map(|port| (port.name.clone(), port.element))
                .collect()
        };
        assert_eq!(ports(&served), ports(&native), "{name}");

        let batch = Tensor::new(vec![count, 11], floats(&rows)).unwrap();
        let (mut scratch, mut own) = (native.scratch(), served.scratch());
        let expected = native
            .run(std::slice::from_ref(&batch), &mut scratch)
            .unwrap();
        let found = served.run(std::slice::from_ref(&batch), &mut own).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.shape, expected.shape, "{name}");
            if let (Data::Text(found), Data::Text(expected)) = (&found.data, &expected.data) {
                assert_eq!(found, expected, "{name}");
                continue;
            }
            assert_close(&numbers(&found.data), &numbers(&expected.data), &name);
        }
        if native.width() != Some(11) {
            continue;
        }
        assert_eq!(served.width(), Some(11), "{name}");
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        let values = native
            .run_rows(&rows, count, &mut scratch, &mut expected)
            .unwrap();
        assert_eq!(
            served.run_rows(&rows, count, &mut own, &mut found).unwrap(),
            values
        );
        assert!(served.output_width().is_none_or(|width| width == values));
        assert_close(&found, &expected, &name);
        for (row, expected) in rows.chunks(11).zip(expected.chunks(values)) {
            served.run_rows(row, 1, &mut own, &mut found).unwrap();
            assert_close(&found, expected, &name);
        }
    }
    assert!(compared >= at_least, "{compared} models");
}

#[test]
fn tensorflow_computes_what_is_computed_natively() {
    assert_alike(Runtime::LibTensorflow, "pb", 20);
}

#[test]
fn onnx_runtime_computes_what_is_computed_natively() {
    assert_alike(Runtime::OnnxRuntime, "onnx", 12);
}

#[test]
fn a_loop_is_served_by_tensorflow() {
    let native = load(&library("loop.pb"), &by(Runtime::Native)).unwrap_err();
    assert!(native.to_string().contains("NextIteration"), "{native}");
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    let graph = load(&library("loop.pb"), &Options::default()).unwrap();
    assert_eq!(
        (graph.runtime(), graph.width()),
        (Runtime::LibTensorflow, Some(2))
    );
    let table = cells(&library("loop.csv"));
    let mut scores = Vec::new();
    let values = graph
        .run_rows(&columns(&table, 0, 2), 6, &mut graph.scratch(), &mut scores)
        .unwrap();
    assert_eq!(values, 2);
    assert_close(&scores, &columns(&table, 2, 4), "loop");
}

#[test]
fn a_table_of_a_frozen_graph_is_filled_before_it_is_asked() {
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    let graph = load(&library("table.pb"), &Options::default()).unwrap();
    let table = cells(&library("table.csv"));
    let words = Tensor::new(vec![6], Data::Text(texts(&table, 0))).unwrap();
    let outputs = graph.run(&[words], &mut graph.scratch()).unwrap();
    assert_close(&numbers(&outputs[0].data), &columns(&table, 1, 2), "table");
}

#[test]
fn variables_without_values_are_refused_by_their_operators() {
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    let path = directory("tests/exports/unfrozen.pb");
    match load(&path, &by(Runtime::LibTensorflow)) {
        Err(Error::Unsupported { operators }) => assert_eq!(operators, ["VarHandleOp"]),
        other => panic!("{other:?}"),
    }
    match load(&path, &Options::default()) {
        Err(error @ Error::Unserved { .. }) => {
            let text = error.to_string();
            assert!(
                text.contains("ReadVariableOp") && text.contains("libtensorflow"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
}

/// What the outputs depend on is found in the graphs inside a node, too, and the rest is left out.
#[test]
fn a_loop_is_served_by_onnx_runtime() {
    if !is_there(Runtime::OnnxRuntime) {
        return;
    }
    let options = Options {
        outputs: vec!["sum".to_owned()],
        ..Options::default()
    };
    let graph = load(&library("loop.onnx"), &options).unwrap();
    assert_eq!(
        (graph.runtime(), graph.width()),
        (Runtime::OnnxRuntime, Some(2))
    );
    let table = cells(&library("onnx_loop.csv"));
    let mut scores = Vec::new();
    let values = graph
        .run_rows(&columns(&table, 0, 2), 6, &mut graph.scratch(), &mut scores)
        .unwrap();
    assert_eq!(values, 1);
    assert_close(&scores, &columns(&table, 2, 3), "loop");
}

/// Labels are text here, and the probabilities were dictionaries.
#[test]
fn labels_of_text_are_those_of_the_largest_probability() {
    if !is_there(Runtime::OnnxRuntime) {
        return;
    }
    let path = directory("tests/exports/sklearn_text_labels.onnx");
    let graph = load(&path, &by(Runtime::OnnxRuntime)).unwrap();
    let rows = cells(&directory("tests/exports/rows.csv"));
    let count = rows.len();
    let batch = Tensor::new(vec![count, 11], floats(&columns(&rows, 0, 11))).unwrap();
    let outputs = graph.run(&[batch], &mut graph.scratch()).unwrap();
    let Data::Text(labels) = &outputs[0].data else {
        panic!("{:?}", outputs[0]);
    };
    assert_eq!(outputs[1].shape, [count, 3]);
    let probabilities = numbers(&outputs[1].data);
    let mut of_class: [Option<&String>; 3] = [None; 3];
    for (label, row) in labels.iter().zip(probabilities.chunks(3)) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{row:?}");
        let best = (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        assert_eq!(*of_class[best].get_or_insert(label), label);
    }
    assert!(of_class.iter().flatten().count() >= 2, "{of_class:?}");
}

#[test]
fn threads_share_a_graph_of_a_library() {
    for (runtime, name) in [
        (Runtime::LibTensorflow, "tf1_optimized.pb"),
        (Runtime::OnnxRuntime, "tf2onnx_sigmoid.onnx"),
    ] {
        if !is_there(runtime) {
            continue;
        }
        let path = directory("tests/exports").join(name);
        let graph = load(&path, &by(runtime)).unwrap();
        let rows = columns(&cells(&directory("tests/exports/rows.csv")), 0, 11);
        let table = cells(&path.with_extension("csv"));
        let expected = columns(&table, 0, table[0].len());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let (mut scratch, mut scores) = (graph.scratch(), Vec::new());
                    for _ in 0..20 {
                        graph
                            .run_rows(&rows, 40, &mut scratch, &mut scores)
                            .unwrap();
                        assert_close(&scores, &expected, name);
                    }
                });
            }
        });
    }
}

/// Bytes that are no model are an error of a library as they are natively, and so are inputs that
/// do not fit.
#[test]
fn broken_files_and_inputs_are_errors_of_a_library() {
    for (runtime, name) in [
        (Runtime::LibTensorflow, "keras_relu.pb"),
        (Runtime::OnnxRuntime, "sklearn_mlp.onnx"),
    ] {
        if !is_there(runtime) {
            continue;
        }
        let read = |bytes: &[u8]| match runtime {
            Runtime::OnnxRuntime => Graph::from_onnx(bytes, &by(runtime)),
            _ => Graph::from_graphdef(bytes, &by(runtime)),
        };
        let bytes = fs::read(directory("tests/exports").join(name)).unwrap();
        assert!(matches!(read(&[]), Err(Error::Empty)));
        for length in (1..bytes.len() - 8).step_by(bytes.len() / 60) {
            assert!(read(&bytes[..length]).is_err(), "{name} up to {length}");
        }
        for position in (0..bytes.len()).step_by(bytes.len() / 60) {
            let mut bytes = bytes.clone();
            bytes[position] ^= 0x10;
            // A changed weight is a model, too.
            if let Ok(graph) = read(&bytes) {
                let mut scores = Vec::new();
                let width = graph.width().unwrap_or(1);
                let row = vec![0.5; width];
                let _ = graph.run_rows(&row, 1, &mut graph.scratch(), &mut scores);
            }
        }
        let graph = read(&bytes).unwrap();
        let narrow = Tensor::new(vec![1, 3], floats(&[0.0; 3])).unwrap();
        let error = graph.run(&[narrow], &mut graph.scratch());
        assert!(matches!(error, Err(Error::WrongInput { .. })));
        let none = Tensor::new(vec![0, 11], floats(&[])).unwrap();
        if let Ok(outputs) = graph.run(&[none], &mut graph.scratch()) {
            assert!(
                outputs.iter().all(|output| output.data.is_empty()),
                "{name}"
            );
        }
    }
}

#[test]
fn a_runtime_of_another_format_is_refused() {
    for (name, runtime) in [
        ("sklearn_mlp.onnx", Runtime::LibTensorflow),
        ("keras_relu.pb", Runtime::OnnxRuntime),
    ] {
        let error = load(&directory("tests/exports").join(name), &by(runtime)).unwrap_err();
        assert!(matches!(error, Error::WrongRuntime { .. }), "{error}");
    }
}

/// The name of a test that does something else in a process of its own.
const WITHOUT: &str = "without_its_library_a_runtime_is_an_error";

#[test]
fn without_its_library_a_runtime_is_an_error() {
    let variables = ["TENSORFLOW_DIR", "ORT_DYLIB_PATH"];
    let inside = "RUNTIMES_ARE_MISSING";
    if std::env::var_os(inside).is_some() {
        for (runtime, name) in [
            (Runtime::LibTensorflow, "keras_relu.pb"),
            (Runtime::OnnxRuntime, "sklearn_mlp.onnx"),
        ] {
            let path = directory("tests/exports").join(name);
            match load(&path, &by(runtime)) {
                Err(Error::NoRuntime { reason, .. }) => println!("{runtime}: {reason}"),
                other => panic!("{other:?}"),
            }
            // What is asked of no runtime in particular does without.
            let graph = load(&path, &Options::default()).unwrap();
            assert_eq!(graph.runtime(), Runtime::Native);
        }
        return;
    }
    let empty = std::env::temp_dir();
    let wrong = directory("Cargo.toml");
    for place in [empty, wrong] {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", WITHOUT, "--nocapture"]);
        test.env(inside, "1").env_remove("LD_LIBRARY_PATH");
        for variable in variables {
            test.env(variable, &place);
        }
        let output = test.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        if Runtime::OnnxRuntime.is_compiled() {
            assert!(
                said.contains("ORT_DYLIB_PATH") || said.contains("invalid ELF"),
                "{said}"
            );
        }
    }
}
