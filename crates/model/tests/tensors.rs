//! Records of tensors, scored by graphs of other forms than one vector in, one vector out, against
//! ONNX Runtime and TensorFlow: `exports/make.py` says what the files are.
#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get is a failure"
)]

use std::path::Path;

use model::{
    Data, Descriptor, Detail, Evaluator, ModelRegistry, Record, Score, ScoreError, Tensor, decoder,
    record,
};
use prost::Message as _;
use protobufs::model_descriptor::{MessageContent, ModelType};
use protobufs::{ModelDescriptor, TensorRecord};

fn read(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The model in a file, for records of tensors.
fn evaluator(path: &str, detail: Detail, options: &[(&str, &str)]) -> Box<dyn Evaluator> {
    let model_type = match path.rsplit('.').next().unwrap() {
        "onnx" => ModelType::Onnx,
        "pmml" => ModelType::Pmml,
        _ => ModelType::Tensorflow,
    };
    let option = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let message = ModelDescriptor {
        data_type: "t".to_owned(),
        modeltype: model_type.into(),
        message_content: Some(MessageContent::Data(read(path).into())),
        options: options.iter().map(option).collect(),
        ..ModelDescriptor::default()
    };
    let descriptor = Descriptor::from_message(message, 0).unwrap();
    let decoder = decoder("tensor").unwrap();
    let model = ModelRegistry::default().create(&descriptor, decoder.schema(), detail);
    model.unwrap().evaluator()
}

/// A record that came over the wire.
fn tensors(named: &[(&str, &[usize], Data)]) -> Record {
    let message = |(name, shape, data): &(&str, &[usize], Data)| {
        let tensor = Tensor::new(shape.to_vec(), data.clone()).unwrap();
        record::message(name, &tensor)
    };
    let message = TensorRecord {
        data_type: "t".to_owned(),
        ts: 0,
        tensors: named.iter().map(message).collect(),
    };
    let mut decoder = decoder("tensor").unwrap();
    decoder.decode(&message.encode_to_vec()).unwrap()
}

fn floats(cells: &[String]) -> Data {
    Data::Float(cells.iter().map(|cell| cell.parse().unwrap()).collect())
}

/// The lines of a file of expected scores.
fn lines(path: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(read(path)).unwrap();
    let line = |line: &str| line.split(',').map(str::to_owned).collect();
    text.lines().map(line).collect()
}

fn score_batch(
    evaluator: &mut dyn Evaluator,
    records: &[Record],
) -> Vec<Result<Score, ScoreError>> {
    let records: Vec<&Record> = records.iter().collect();
    let mut scores = Vec::new();
    evaluator.score_batch(&records, &mut scores);
    scores
}

fn assert_close(found: &Data, expected: &[String]) {
    let Data::Float(found) = found else {
        panic!("{found:?}")
    };
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let wanted: f32 = expected.parse().unwrap();
        assert!(
            (found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0),
            "{found}, not {expected}"
        );
    }
}

/// The index of the largest, or the one number.
fn value(outputs: &[String]) -> f64 {
    let numbers: Vec<f64> = outputs.iter().map(|cell| cell.parse().unwrap()).collect();
    if let [number] = numbers[..] {
        return number;
    }
    let largest = numbers.iter().copied().fold(f64::MIN, f64::max);
    numbers
        .iter()
        .position(|number| *number == largest)
        .unwrap() as f64
}

/// Scores the records one by one, together, and for the value alone; returns the first scores.
fn score_every_way(path: &str, options: &[(&str, &str)], records: &[Record]) -> Vec<Score> {
    let mut all = evaluator(path, Detail::All, options);
    let mut brief = evaluator(path, Detail::Value, options);
    let single: Vec<_> = records.iter().map(|r| all.score(r).unwrap()).collect();
    let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(1.0),
        (a, b) => a == b,
    };
    for evaluator in [&mut all, &mut brief] {
        let together = score_batch(evaluator.as_mut(), records);
        assert_eq!(together.len(), single.len());
        for (one, other) in single.iter().zip(together) {
            let other = other.unwrap();
            assert!(close(one.value, other.value), "{one:?}, {other:?}");
            assert_eq!(one.label, other.label);
        }
    }
    for (one, record) in single.iter().zip(records) {
        let other = brief.score(record).unwrap();
        assert!(close(one.value, other.value), "{one:?}, {other:?}");
        assert!(other.outputs.is_empty() && other.probabilities.is_empty());
    }
    single
}

#[test]
fn an_image_comes_in_any_shape_of_as_many_elements() {
    let lines = lines("tests/exports/image.csv");
    for shape in [&[4, 4, 1][..], &[1, 4, 4, 1], &[4, 4], &[16], &[1, 16]] {
        let record = |line: &Vec<String>| tensors(&[("whatever", shape, floats(&line[..16]))]);
        let records: Vec<_> = lines.iter().map(record).collect();
        let scores = score_every_way("tests/exports/image.onnx", &[], &records);
        for (score, line) in scores.iter().zip(&lines) {
            assert_eq!(score.value, Some(value(&line[16..])));
            assert_eq!(score.label, None);
            let (name, output) = &score.outputs[0];
            assert_eq!((&**name, &output.shape[..]), ("probabilities", &[3][..]));
            assert_close(&output.data, &line[16..]);
        }
    }
}

/// A record of `mixed.onnx`, with its numbers in other types than the graph has.
fn mixed(line: &[String]) -> Record {
    let size: f64 = line[1].parse().unwrap();
    let count: f32 = line[2].parse().unwrap();
    tensors(&[
        ("count", &[1], Data::Float(vec![count])),
        ("colour_name", &[], Data::Text(vec![line[0].clone()])),
        ("size", &[1, 1], Data::Double(vec![size])),
    ])
}

#[test]
fn several_inputs_are_found_by_name_and_converted_and_all_outputs_are_had() {
    let lines = lines("tests/exports/mixed.csv");
    let records: Vec<_> = lines.iter().map(|line| mixed(line)).collect();
    let scores = score_every_way("tests/exports/mixed.onnx", &[], &records);
    for (score, line) in scores.iter().zip(&lines) {
        let names: Vec<_> = score.outputs.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["score", "inputs"]);
        assert_close(&Data::Float(vec![score.value.unwrap() as f32]), &line[3..4]);
        assert_eq!(score.outputs[0].1.shape, [1]);
        assert_close(&score.outputs[1].1.data, &line[4..]);
    }
    // The option says which output decides.
    let chosen = [("output", "inputs, score")];
    let scores = score_every_way("tests/exports/mixed.onnx", &chosen, &records);
    for (score, line) in scores.iter().zip(&lines) {
        assert_eq!(score.value, Some(value(&line[4..])));
    }
}

#[test]
fn records_of_different_lengths_do_not_disturb_each_other() {
    let lines = lines("tests/exports/sequence.csv");
    let record = |line: &Vec<String>| {
        let (_, sequence) = line.split_last().unwrap();
        tensors(&[("sequence", &[sequence.len()], floats(sequence))])
    };
    let mut records: Vec<_> = lines.iter().map(record).collect();
    let mut expected: Vec<_> = lines.iter().map(|line| line.last().unwrap()).collect();
    for _ in 0..2 {
        let scores = score_every_way("tests/exports/sequence.onnx", &[], &records);
        for (score, expected) in scores.iter().zip(&expected) {
            assert_close(
                &Data::Float(vec![score.value.unwrap() as f32]),
                &[(*expected).clone()],
            );
        }
        // Neighbours of equal length first, then none.
        let order = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11];
        records = order.iter().map(|&n| records[n].clone()).collect();
        expected = order.iter().map(|&n| expected[n]).collect();
    }
}

#[test]
fn large_records_are_split_into_runs_that_are_not() {
    // The mean of equal numbers is that number, whatever the engine.
    let record = |n: u8| {
        let values = vec![f32::from(n); 100_000];
        tensors(&[("sequence", &[100_000], Data::Float(values))])
    };
    let records: Vec<_> = (0..7).map(record).collect();
    let scores = score_every_way("tests/exports/sequence.onnx", &[], &records);
    for (n, score) in scores.iter().enumerate() {
        assert!((score.value.unwrap() - n as f64).abs() < 1e-3, "{score:?}");
        assert!(score.outputs[0].1.shape.is_empty());
    }
}

#[test]
fn a_graph_for_one_record_scores_a_batch_record_by_record() {
    let lines = lines("tests/exports/single.csv");
    for shape in [&[6][..], &[1, 6]] {
        let record = |line: &Vec<String>| tensors(&[("x", shape, floats(&line[..6]))]);
        let records: Vec<_> = lines.iter().map(record).collect();
        let scores = score_every_way("tests/exports/single.onnx", &[], &records);
        for (score, line) in scores.iter().zip(&lines) {
            assert_eq!(score.outputs[0].1.shape, [2]);
            assert_close(&score.outputs[0].1.data, &line[6..]);
        }
    }
}

#[test]
fn a_classifier_says_its_label_wherever_it_stands_among_the_outputs() {
    let lines = lines("tests/exports/words.csv");
    let record = |line: &Vec<String>| tensors(&[("x", &[4], floats(&line[..4]))]);
    let records: Vec<_> = lines.iter().map(record).collect();
    let scores = score_every_way("tests/exports/words.onnx", &[], &records);
    for (score, line) in scores.iter().zip(&lines) {
        assert_eq!(score.label.as_deref(), Some(line[7].as_str()));
        assert_eq!(score.value, line[7].parse().ok());
        assert_close(&score.outputs[0].1.data, &line[4..7]);
        assert_eq!(score.outputs[1].1.data, Data::Text(vec![line[7].clone()]));
        assert!(score.outputs[1].1.shape.is_empty());
    }
    let only = [("output", "probabilities")];
    let scores = score_every_way("tests/exports/words.onnx", &only, &records);
    for (score, line) in scores.iter().zip(&lines) {
        assert_eq!(
            (score.value, &score.label),
            (Some(value(&line[4..7])), &None)
        );
    }
}

#[test]
fn a_frozen_graph_of_two_inputs_takes_whole_numbers_alone_as_integers() {
    let lines = lines("tests/exports/pair.csv");
    let record = |line: &Vec<String>, by: f64| {
        let shift: f64 = line[16].parse().unwrap();
        tensors(&[
            ("image", &[4, 4], floats(&line[..16])),
            ("shift", &[], Data::Double(vec![shift + by])),
        ])
    };
    let mut records: Vec<_> = lines.iter().map(|line| record(line, 0.0)).collect();
    let scores = score_every_way("tests/exports/pair.pb", &[], &records);
    for (score, line) in scores.iter().zip(&lines) {
        assert_close(&score.outputs[0].1.data, &line[17..]);
    }
    records.insert(3, record(&lines[3], 0.5));
    let mut evaluator = evaluator("tests/exports/pair.pb", Detail::Value, &[]);
    let scores = score_batch(evaluator.as_mut(), &records);
    let error = scores[3].as_ref().unwrap_err().to_string();
    assert_eq!(
        error,
        "the tensor `shift` does not fit the model's input `shift`: it has -0.5, which is no int32"
    );
    for (place, line) in (0..3).chain(4..13).zip(&lines) {
        assert_eq!(
            scores[place].as_ref().unwrap().value,
            Some(value(&line[17..]))
        );
    }
}

#[test]
fn a_record_that_does_not_fit_says_why_and_fails_alone() {
    let image = lines("tests/exports/image.csv");
    let good = || tensors(&[("image", &[16], floats(&image[0][..16]))]);
    let short = Data::Float(vec![0.0; 15]);
    let text = Data::Text(vec![String::new(); 16]);
    let bad = [
        (
            tensors(&[("image", &[15], short)]),
            "the tensor `image` does not fit the model's input `image`: it has the shape [15], float [4, 4, 1] is taken of each record",
        ),
        (
            tensors(&[("image", &[4, 4], text)]),
            "the tensor `image` does not fit the model's input `image`: it is text where float is taken",
        ),
        (
            tensors(&[]),
            "the record's tensors are not those that the model takes: it lacks `image`; it has nothing",
        ),
        (
            tensors(&[
                ("image", &[16], floats(&image[0][..16])),
                ("mask", &[], Data::Bool(vec![true])),
            ]),
            "the record's tensors are not those that the model takes: the model does not take `mask`; it takes `image`",
        ),
        (
            tensors(&[("image", &[16], Data::Float(vec![f32::NAN; 16]))]),
            "the prediction is not a number (NaN)",
        ),
    ];
    for detail in [Detail::Value, Detail::All] {
        let mut evaluator = evaluator("tests/exports/image.onnx", detail, &[]);
        let mut records = vec![good()];
        for (record, _) in &bad {
            records.extend([record.clone(), good()]);
        }
        let scores = score_batch(evaluator.as_mut(), &records);
        assert_eq!(scores.len(), records.len());
        for (place, score) in scores.iter().enumerate() {
            if place % 2 == 0 {
                assert_eq!(score.as_ref().unwrap().value, Some(value(&image[0][16..])));
            } else {
                let (record, why) = &bad[place / 2];
                assert_eq!(score.as_ref().unwrap_err().to_string(), *why);
                assert_eq!(evaluator.score(record).unwrap_err().to_string(), *why);
            }
        }
    }
    // Of several inputs, one under another name.
    let lines = lines("tests/exports/mixed.csv");
    let mut evaluator = evaluator("tests/exports/mixed.onnx", Detail::Value, &[]);
    let (colour, count) = (Data::Text(vec!["red".to_owned()]), Data::Int32(vec![1]));
    let missing = tensors(&[
        ("size", &[], Data::Int32(vec![1])),
        ("colour name", &[1], colour),
        ("number", &[], count),
    ]);
    let records = [mixed(&lines[0]), missing, mixed(&lines[1])];
    let scores = score_batch(evaluator.as_mut(), &records);
    assert_eq!(
        scores[1].as_ref().unwrap_err().to_string(),
        "the record's tensors are not those that the model takes: it lacks `count`; it has `size`, `colour name`, `number`"
    );
    assert!(scores[0].is_ok() && scores[2].is_ok());
}

#[test]
fn the_wine_graphs_score_tensors_as_they_score_wines() {
    let wines = String::from_utf8(read("../../data/winequality_red.csv")).unwrap();
    let row = |line: &str| {
        line.split(';')
            .take(11)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let rows: Vec<_> = wines.lines().map(row).collect();
    for (path, golden) in [
        ("winequality.pb", "tensorflow"),
        ("winequality.onnx", "onnx"),
    ] {
        let golden = lines(&format!("../../data/golden/winequality-{golden}.csv"));
        let double = |row: &Vec<String>| {
            let values = row.iter().map(|cell| cell.parse().unwrap()).collect();
            tensors(&[("inputs", &[1, 11], Data::Double(values))])
        };
        let float = |row: &Vec<String>| tensors(&[("x", &[11], floats(row))]);
        for records in [
            rows.iter().map(double).collect::<Vec<_>>(),
            rows.iter().map(float).collect(),
        ] {
            let path = format!("../../data/models/{path}");
            let scores = score_every_way(&path, &[], &records);
            for (score, expected) in scores.iter().zip(&golden[1..]) {
                assert_eq!(score.value, Some(expected[0].parse().unwrap()));
                assert_close(&score.outputs[0].1.data, &expected[1..]);
            }
        }
    }
}

#[test]
fn a_document_takes_scalars_by_name() {
    let path = "../../data/models/winequality-decision-tree.pmml";
    let golden = lines("../../data/golden/winequality-decision-tree.csv");
    let wines = String::from_utf8(read("../../data/winequality_red.csv")).unwrap();
    let fields: Vec<_> = {
        let wine = decoder("wine").unwrap();
        wine.schema()
            .fields()
            .iter()
            .map(|field| field.name)
            .collect()
    };
    let shapes: [&[usize]; 3] = [&[], &[1], &[1, 1]];
    let record = |line: &str| {
        let cells = line.split(';').zip(&fields);
        let tensor = |(n, (cell, name)): (usize, (&str, &&'static str))| {
            (
                *name,
                shapes[n % 3],
                Data::Double(vec![cell.parse().unwrap()]),
            )
        };
        tensors(&cells.enumerate().map(tensor).collect::<Vec<_>>())
    };
    let mut records: Vec<_> = wines.lines().take(300).map(record).collect();
    let scores = score_every_way(path, &[], &records);
    let label = golden[0]
        .iter()
        .position(|column| column == "label")
        .unwrap();
    for (score, expected) in scores.iter().zip(&golden[1..]) {
        assert_eq!(score.label.as_deref(), Some(expected[label].as_str()));
    }
    // Among good ones, a vector under the name of a field, and one under another name.
    let vector = |name: &str| tensors(&[(name, &[11], Data::Float(vec![0.5; 11]))]);
    records.insert(1, vector("alcohol"));
    records.insert(2, vector("inputs"));
    let mut evaluator = evaluator(path, Detail::Value, &[]);
    let results = score_batch(evaluator.as_mut(), &records);
    let why = |place: usize| results[place].as_ref().unwrap_err().to_string();
    assert!(
        why(1).starts_with("the tensor `alcohol` does not fit"),
        "{}",
        why(1)
    );
    assert!(
        why(2).contains("it has `inputs`; the document takes scalars: `"),
        "{}",
        why(2)
    );
    assert_eq!(results[0].as_ref().unwrap().label, scores[0].label);
    for (result, score) in results[3..].iter().zip(&scores[1..]) {
        assert_eq!(result.as_ref().unwrap().label, score.label);
    }
}
