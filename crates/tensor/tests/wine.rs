//! The neural networks of `data/`, on every wine, against the scores of TensorFlow and of ONNX
//! Runtime.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;
use tensor::{Directory, Graph, Options};

const WIDTH: usize = 11;
const CLASSES: usize = 9;

fn data(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../data")
        .join(path)
}

fn table(path: &str, separator: char, skipped: usize) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(data(path)).unwrap();
    let cells = |line: &str| {
        line.split(separator)
            .map(|cell| cell.parse().unwrap())
            .collect()
    };
    text.lines().skip(skipped).map(cells).collect()
}

fn assert_scores(graph: &Graph, golden: &str) {
    let wines = table("winequality_red.csv", ';', 0);
    let golden = table(golden, ',', 1);
    assert_eq!((wines.len(), golden.len()), (1599, 1599));
    let rows: Vec<f64> = wines
        .iter()
        .flat_map(|wine| &wine[..WIDTH])
        .copied()
        .collect();

    assert_eq!(graph.width(), Some(WIDTH));
    let (mut scratch, mut batch, mut single) = (graph.scratch(), Vec::new(), Vec::new());
    let values = graph
        .run_rows(&rows, wines.len(), &mut scratch, &mut batch)
        .unwrap();
    assert_eq!(values, CLASSES);
    // The same numbers, rounded before instead of after.
    let (floats, mut same): (Vec<f32>, _) = (rows.iter().map(|n| *n as f32).collect(), Vec::new());
    let values = graph
        .run_floats(&floats, wines.len(), &mut scratch, &mut same)
        .unwrap();
    assert_eq!((values, &same), (CLASSES, &batch));
    for (number, expected) in golden.iter().enumerate() {
        let row = &rows[number * WIDTH..(number + 1) * WIDTH];
        graph.run_rows(row, 1, &mut scratch, &mut single).unwrap();
        let batch = &batch[number * CLASSES..(number + 1) * CLASSES];
        for scores in [batch, &single] {
            for (score, expected) in scores.iter().zip(&expected[1..]) {
                assert!(
                    (score - expected).abs() < 1e-6,
                    "wine {number}: {score}, {expected}"
                );
            }
            let best = (0..CLASSES)
                .max_by(|a, b| scores[*a].total_cmp(&scores[*b]))
                .unwrap();
            assert_eq!(best as f64, expected[0], "wine {number}");
        }
    }
}

#[test]
fn the_frozen_graph_scores_as_tensorflow_does() {
    let bytes = fs::read(data("models/winequality.pb")).unwrap();
    let graph = Graph::from_graphdef(&bytes, &Options::default()).unwrap();
    assert_scores(&graph, "golden/winequality-tensorflow.csv");
}

#[test]
fn the_onnx_file_scores_as_onnx_runtime_does() {
    let bytes = fs::read(data("models/winequality.onnx")).unwrap();
    let graph = Graph::from_onnx(&bytes, &Options::default()).unwrap();
    assert_scores(&graph, "golden/winequality-onnx.csv");
}

#[test]
fn the_saved_model_scores_as_tensorflow_does() {
    // Its one signature is called `predict`; the directory around it holds its versions.
    for path in ["models/wine/1", "models/wine"] {
        let files = Directory::open(&data(path), 1 << 20).unwrap();
        let graph = Graph::from_saved_model(&files, &Options::default()).unwrap();
        assert_scores(&graph, "golden/winequality-savedmodel.csv");
    }
}
