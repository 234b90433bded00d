//! Small documents, each about one thing, score as by JPMML-Evaluator 1.7.7, whose answers
//! `cases/expected.py` has written beside them.

use std::path::Path;

use pmml::{Detail, Model, OutputValue, Prediction, Row, ScoreError};

const TOLERANCE: f64 = 1e-12;

fn same(expected: &str, found: &str) -> bool {
    match (expected.parse::<f64>(), found.parse::<f64>()) {
        (Ok(x), Ok(y)) => (x - y).abs() <= TOLERANCE * x.abs().max(y.abs()) || x == y,
        _ => expected == found,
    }
}

fn text(prediction: &Prediction, name: &str) -> String {
    if name == "target" {
        return match (&prediction.label, prediction.value) {
            (Some(label), _) => label.to_string(),
            (None, Some(value)) => value.to_string(),
            (None, None) => String::new(),
        };
    }
    match prediction
        .outputs
        .iter()
        .find(|(output, _)| **output == *name)
    {
        Some((_, OutputValue::Number(value))) => value.to_string(),
        Some((_, OutputValue::Text(text))) => text.to_string(),
        Some((_, OutputValue::Boolean(value))) => value.to_string(),
        Some((_, OutputValue::Missing)) | None => String::new(),
    }
}

/// What differs between a result and the expected line.
fn difference(
    names: &[&str],
    cells: &[&str],
    result: Result<(), ScoreError>,
    prediction: &Prediction,
) -> Option<String> {
    let fails = cells.last().is_some_and(|error| !error.is_empty());
    match result {
        Err(_) if fails => None,
        // The engine raises where no segment has an answer; a null result says the same.
        Ok(()) if fails && prediction.value.is_none() && prediction.label.is_none() => None,
        Ok(()) if fails => Some(format!("{prediction:?} instead of an error")),
        Err(error) => Some(format!("fails: {error}")),
        Ok(()) => names.iter().zip(cells).find_map(|(name, expected)| {
            let found = text(prediction, name);
            (*name != "error" && !same(expected, &found))
                .then(|| format!("{name} is `{found}`, not `{expected}`"))
        }),
    }
}

#[test]
fn documents_score_as_by_the_reference_engine() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let table = std::fs::read_to_string(directory.join("rows.csv")).unwrap();
    let (header, lines) = table.split_once('\n').unwrap();
    let header: Vec<&str> = header.split(',').collect();
    let (mut documents, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pmml") {
            continue;
        }
        documents += 1;
        let name = path.file_stem().unwrap().to_str().unwrap();
        let model = match Model::load(&std::fs::read(&path).unwrap()) {
            Ok(model) => model,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let expected = std::fs::read_to_string(path.with_extension("csv")).unwrap();
        let (names, expected) = expected.split_once('\n').unwrap();
        let names: Vec<&str> = names.split(',').collect();
        let mut rows: Vec<Row> = lines
            .lines()
            .map(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                let mut row = model.row();
                for (place, input) in model.inputs().iter().enumerate() {
                    let column = header.iter().position(|name| *name == input.name).unwrap();
                    match cells[column].parse() {
                        Ok(number) => row.set_number(place, number),
                        Err(_) if cells[column].is_empty() => row.set_missing(place),
                        Err(_) => row.set_text(place, cells[column]),
                    }
                }
                row
            })
            .collect();
        let mut single = Prediction {
            detail: Detail::All,
            ..Prediction::default()
        };
        let mut batch = vec![single.clone(); rows.len()];
        let mut results = Vec::new();
        model.score_batch(&mut rows, &mut batch, &mut results);
        assert_eq!(expected.lines().count(), rows.len(), "{name}");
        for (number, line) in expected.lines().enumerate() {
            let cells: Vec<&str> = line.split(',').collect();
            let result = model.score(&mut rows[number], &mut single);
            assert_eq!(results[number], result, "{name}, row {number}");
            if result.is_ok() {
                assert_eq!(batch[number], single, "{name}, row {number}");
            }
            if let Some(difference) = difference(&names, &cells, result, &single) {
                wrong.push(format!("{name}, row {}: {difference}", number + 1));
            }
        }
    }
    assert!(documents > 80, "only {documents} documents");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
