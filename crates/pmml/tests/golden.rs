//! The models of `data/models` score the wines of `data` as JPMML-Evaluator 1.7.7 does, whose
//! answers are in `data/golden`: singly and in batches.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::{Path, PathBuf};

use pmml::{Detail, Model, Prediction, Row};

/// Summation in the engine's own order leaves next to nothing; the logarithms and exponentials of
/// two platforms may differ in the last place.
const TOLERANCE: f64 = 1e-12;

const COLUMNS: [&str; 11] = [
    "fixed acidity",
    "volatile acidity",
    "citric acid",
    "residual sugar",
    "chlorides",
    "free sulfur dioxide",
    "total sulfur dioxide",
    "density",
    "pH",
    "sulphates",
    "alcohol",
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

fn rows(model: &Model) -> Vec<Row> {
    let columns: Vec<usize> = model
        .inputs()
        .iter()
        .map(|input| {
            COLUMNS
                .iter()
                .position(|column| *column == input.name)
                .unwrap()
        })
        .collect();
    let table = std::fs::read_to_string(data().join("winequality_red.csv")).unwrap();
    table
        .lines()
        .map(|line| {
            let cells: Vec<f64> = line.split(';').map(|cell| cell.parse().unwrap()).collect();
            let mut row = model.row();
            for (input, column) in columns.iter().enumerate() {
                row.set_number(input, cells[*column]);
            }
            row
        })
        .collect()
}

fn near(expected: &str, found: f64) -> bool {
    let expected: f64 = expected.parse().unwrap();
    (expected - found).abs() <= TOLERANCE * expected.abs()
}

fn check(name: &str, number: usize, names: &[&str], cells: &[&str], prediction: &Prediction) {
    for (column, expected) in names.iter().zip(cells) {
        let place = format!("{name}, row {number}, {column}: {expected} in {prediction:?}");
        match column.strip_prefix("probability_") {
            Some(category) => {
                let probability = prediction
                    .probabilities
                    .iter()
                    .find(|(text, _)| **text == *category)
                    .map_or(0.0, |(_, probability)| *probability);
                assert!(near(expected, probability), "{place}");
            }
            None if *column == "label" => {
                assert_eq!(prediction.label.as_deref(), Some(*expected), "{place}");
            }
            None => {
                assert_eq!(*column, "value");
                assert!(near(expected, prediction.value.unwrap()), "{place}");
            }
        }
    }
}

#[test]
fn wines_are_scored_as_by_the_reference_engine() {
    let mut models = 0;
    for entry in std::fs::read_dir(data().join("models")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pmml") {
            continue;
        }
        models += 1;
        let name = path.file_stem().unwrap().to_str().unwrap();
        let model = Model::load(&std::fs::read(&path).unwrap()).unwrap();
        let golden =
            std::fs::read_to_string(data().join("golden").join(format!("{name}.csv"))).unwrap();
        let mut lines = golden.lines();
        let names: Vec<&str> = lines.next().unwrap().split(',').collect();
        let mut rows = rows(&model);
        let empty = Prediction {
            detail: Detail::All,
            ..Prediction::default()
        };
        let mut batch = vec![empty.clone(); rows.len()];
        let mut results = Vec::new();
        model.score_batch(&mut rows, &mut batch, &mut results);
        let mut single = empty;
        let mut checked = 0;
        for (number, line) in lines.enumerate() {
            let cells: Vec<&str> = line.split(',').collect();
            model.score(&mut rows[number], &mut single).unwrap();
            check(name, number, &names, &cells, &single);
            assert_eq!(results[number], Ok(()));
            assert_eq!(
                batch[number], single,
                "{name}, row {number}: batch and single differ"
            );
            checked += 1;
        }
        assert_eq!(checked, rows.len(), "{name}");
    }
    assert!(models >= 7, "only {models} models");
}
