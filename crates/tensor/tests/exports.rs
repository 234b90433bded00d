//! What TensorFlow and ONNX Runtime make of the models in `exports/` is what this crate makes of
//! them. `exports/make.py` says how they were made.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreement;

use agreement::{assert_close, numbers};
use std::fs;
use std::path::{Path, PathBuf};
use tensor::{Data, Error, Graph, Options, Runtime, Tensor};

fn exports() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports")
}

fn table(path: &Path) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect())
        .collect()
}

fn load(path: &Path) -> Result<Graph, Error> {
    let bytes = fs::read(path).unwrap();
    let options = Options {
        runtime: Some(Runtime::Native),
        ..Options::default()
    };
    if path
        .extension()
        .is_some_and(|extension| extension == "onnx")
    {
        Graph::from_onnx(&bytes, &options)
    } else {
        Graph::from_graphdef(&bytes, &options)
    }
}

#[test]
fn every_export_computes_what_its_engine_computes() {
    let rows = table(&exports().join("rows.csv"));
    let data = Data::Float(rows.iter().flatten().map(|value| *value as f32).collect());
    let batch = Tensor::new(vec![rows.len(), rows[0].len()], data).unwrap();
    let mut models = 0;
    for entry in fs::read_dir(exports()).unwrap() {
        let path = entry.unwrap().path();
        let expected = path.with_extension("csv");
        if path == expected || !expected.exists() {
            continue;
        }
        models += 1;
        let graph = load(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let outputs = graph
            .run(std::slice::from_ref(&batch), &mut graph.scratch())
            .unwrap();
        for (row, expected) in table(&expected).iter().enumerate() {
            let mut found = Vec::new();
            for output in &outputs {
                let values = numbers(&output.data);
                let width = values.len() / rows.len();
                found.extend_from_slice(&values[row * width..(row + 1) * width]);
            }
            assert_close(&found, expected, &format!("{} row {row}", path.display()));
        }
    }
    assert_eq!(models, 32);
}

/// Of rows with two axes: flattened, in either order, or each line by itself.
#[test]
fn rows_of_more_than_one_axis_are_multiplied_as_they_are() {
    let rows = table(&exports().join("rows.csv")).concat();
    let rows: Vec<f32> = rows.iter().map(|value| *value as f32).collect();
    for name in [
        "flattened.pb",
        "each_line.onnx",
        "columns_first.onnx",
        "flattened_later.onnx",
    ] {
        let path = exports().join("images").join(name);
        let (graph, expected) = (load(&path).unwrap(), table(&path.with_extension("csv")));
        let score = |rows: &[f32]| {
            let shape = vec![rows.len() / 22, 2, 11];
            let input = Tensor::new(shape, Data::Float(rows.to_vec())).unwrap();
            let outputs = graph.run(&[input], &mut graph.scratch()).unwrap();
            numbers(&outputs[0].data)
        };
        assert_close(&score(&rows), &expected.concat(), name);
        for (row, expected) in rows.chunks(22).zip(&expected) {
            assert_close(&score(row), expected, name);
        }
    }
}

#[test]
fn rows_score_alike_alone_in_a_batch_and_through_tensors() {
    let rows: Vec<f64> = table(&exports().join("rows.csv")).concat();
    for name in [
        "tf1_dropout.pb",
        "keras_tanh.pb",
        "tf2onnx_softmax.onnx",
        "sklearn_linear.onnx",
    ] {
        let graph = load(&exports().join(name)).unwrap();
        let width = graph.width().unwrap();
        let expected = table(&exports().join(name).with_extension("csv"));
        let mut scratch = graph.scratch();
        let mut scores = vec![f64::NAN; 3];
        let values = graph
            .run_rows(&rows, expected.len(), &mut scratch, &mut scores)
            .unwrap();
        assert_eq!(graph.output_width(), Some(values), "{name}");
        assert_close(&scores, &expected.concat(), name);
        for (row, expected) in rows.chunks(width).zip(&expected) {
            graph.run_rows(row, 1, &mut scratch, &mut scores).unwrap();
            assert_close(&scores, expected, name);
        }
    }
}

#[test]
fn a_scratch_moves_between_graphs() {
    let rows: Vec<f64> = table(&exports().join("rows.csv")).concat();
    let graphs: Vec<(Graph, Vec<f64>)> = ["keras_relu.pb", "torch_like.onnx"]
        .map(|name| exports().join(name))
        .map(|path| {
            (
                load(&path).unwrap(),
                table(&path.with_extension("csv")).concat(),
            )
        })
        .into();
    let mut scratch = graphs[0].0.scratch();
    let mut scores = Vec::new();
    for (graph, expected) in graphs.iter().cycle().take(6) {
        graph
            .run_rows(&rows, 40, &mut scratch, &mut scores)
            .unwrap();
        assert_close(&scores, expected, "either graph");
    }
}

#[test]
fn threads_share_a_graph() {
    let path = exports().join("tf1_optimized.pb");
    let (graph, expected) = (
        load(&path).unwrap(),
        table(&path.with_extension("csv")).concat(),
    );
    let rows: Vec<f64> = table(&exports().join("rows.csv")).concat();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (mut scratch, mut scores) = (graph.scratch(), Vec::new());
                for _ in 0..20 {
                    graph
                        .run_rows(&rows, 40, &mut scratch, &mut scores)
                        .unwrap();
                    assert_close(&scores, &expected, "a thread");
                }
            });
        }
    });
}

#[test]
fn the_shape_of_the_tutorials_graph_is_found() {
    let graph = load(&exports().join("tf1_optimized.pb")).unwrap();
    let [input] = graph.inputs() else {
        panic!("{:?}", graph.inputs())
    };
    assert_eq!(
        (input.name.as_str(), &*input.shape),
        ("dense_1_input", &[None, Some(11)][..])
    );
    let [output] = graph.outputs() else {
        panic!("{:?}", graph.outputs())
    };
    assert_eq!(
        (output.name.as_str(), &*output.shape),
        ("dense_3/Sigmoid", &[None, Some(9)][..])
    );
    assert_eq!((graph.width(), graph.output_width()), (Some(11), Some(9)));
}

/// TensorFlow and ONNX Runtime return NaN for it, too.
#[test]
fn nan_in_a_record_is_nan_in_its_score() {
    for name in [
        "tf1_dropout.pb",
        "keras_tanh.pb",
        "keras_gelu.pb",
        "keras_hard_sigmoid.pb",
        "keras_softplus.pb",
        "tf2onnx_sigmoid.onnx",
        "torch_like.onnx",
    ] {
        let graph = load(&exports().join(name)).unwrap();
        let mut rows = vec![0.5; 22];
        rows[3] = f64::NAN;
        let mut scores = Vec::new();
        let values = graph
            .run_rows(&rows, 2, &mut graph.scratch(), &mut scores)
            .unwrap();
        assert!(
            scores[..values].iter().all(|score| score.is_nan()),
            "{name}: {scores:?}"
        );
        assert!(
            scores[values..].iter().all(|score| score.is_finite()),
            "{name}: {scores:?}"
        );
        graph
            .run_rows(&rows[..11], 1, &mut graph.scratch(), &mut scores)
            .unwrap();
        assert!(
            scores.iter().all(|score| score.is_nan()),
            "{name}: {scores:?}"
        );
    }
}

#[test]
fn an_interior_value_can_be_asked_for() {
    let bytes = fs::read(exports().join("sklearn_mlp.onnx")).unwrap();
    let outputs = vec!["output_probability".to_owned()];
    let options = Options {
        outputs,
        ..Options::default()
    };
    let graph = Graph::from_onnx(&bytes, &options).unwrap();
    assert_eq!(graph.output_width(), Some(3));

    let bytes = fs::read(exports().join("tf1_dropout.pb")).unwrap();
    let outputs = vec![
        "dense_3/Sigmoid".to_owned(),
        "dropout/Identity:0".to_owned(),
    ];
    let options = Options {
        outputs: outputs.clone(),
        ..Options::default()
    };
    let graph = Graph::from_graphdef(&bytes, &options).unwrap();
    let names: Vec<&str> = graph
        .outputs()
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    assert_eq!(names, outputs);
    assert_eq!(graph.outputs()[1].shape, [None, Some(16)]);
}

#[test]
fn a_graph_with_variables_is_refused_by_their_operators() {
    match load(&exports().join("unfrozen.pb")) {
        Err(Error::Unsupported { operators }) => {
            assert_eq!(operators, ["ReadVariableOp", "VarHandleOp"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_classifier_names_its_classes() {
    let graph = load(&exports().join("sklearn_text_labels.onnx")).unwrap();
    assert_eq!(graph.classes(0), None);
    assert_eq!(graph.classes(1).unwrap(), ["high", "low", "middle"]);
    assert_eq!(graph.classes(2), None);
    let graph = load(&exports().join("sklearn_mlp.onnx")).unwrap();
    assert_eq!(graph.classes(1).unwrap(), ["0", "1", "2"]);
    let graph = load(&exports().join("torch_like.onnx")).unwrap();
    assert_eq!(graph.classes(0), None);
}
