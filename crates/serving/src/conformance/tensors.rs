use bytes::Bytes;
use model::{Data, NamedTensor, Tensor, record};
use prost::Message as _;
use protobufs::model_descriptor::{MessageContent, ModelType};
use protobufs::{ModelDescriptor, TensorRecord};

use super::bad_records::check_headers;
use super::world::World;

/// The wine networks, with what TensorFlow and ONNX Runtime say of each wine.
const GRAPHDEF: &[u8] = include_bytes!("../../../../data/models/winequality.pb");
const BY_TENSORFLOW: &str = include_str!("../../../../data/golden/winequality-tensorflow.csv");
const ONNX: &[u8] = include_bytes!("../../../../data/models/winequality.onnx");
const BY_ONNX_RUNTIME: &str = include_str!("../../../../data/golden/winequality-onnx.csv");
const WINES: &str = include_str!("../../../../data/winequality_red.csv");

/// A text, a float and an int64 in; two outputs, and what ONNX Runtime makes of some records: see
/// `make.py` beside the files.
const MIXED: &[u8] = include_bytes!("../../../model/tests/exports/mixed.onnx");
const OF_MIXED: &str = include_str!("../../../model/tests/exports/mixed.csv");

/// `--record tensor`, in front of other flags.
const TENSORS: [&str; 2] = ["--record", "tensor"];

fn graph(name: &str, model_type: ModelType, bytes: &'static [u8]) -> ModelDescriptor {
    ModelDescriptor {
        name: name.to_owned(),
        data_type: "t".to_owned(),
        modeltype: model_type.into(),
        message_content: Some(MessageContent::Data(Bytes::from_static(bytes))),
        ..ModelDescriptor::default()
    }
}

/// A record of these tensors, encoded.
fn record_of(tensors: Vec<protobufs::Tensor>) -> Vec<u8> {
    let record = TensorRecord {
        data_type: "t".to_owned(),
        ts: 0,
        tensors,
    };
    record.encode_to_vec()
}

fn tensor(name: &str, shape: &[usize], data: Data) -> protobufs::Tensor {
    let shape = shape.to_vec();
    record::message(name, &Tensor { shape, data })
}

fn numbers<T: std::str::FromStr>(line: &str, separator: char) -> Vec<T> {
    let cells = line.split(separator);
    cells.filter_map(|cell| cell.parse().ok()).collect()
}

/// A wine as one tensor.
fn wine(line: &str) -> Vec<u8> {
    let measurements = numbers(line, ';')[..11].to_vec();
    record_of(vec![tensor("inputs", &[11], Data::Float(measurements))])
}

fn floats(output: &protobufs::Tensor) -> (String, Vec<usize>, Vec<f32>) {
    let NamedTensor { name, tensor } = NamedTensor::from_message(output).expect("a tensor");
    match tensor.data {
        Data::Float(values) => (name, tensor.shape, values),
        other => panic!("{name} has {other:?}"),
    }
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let tolerance = 1e-6 * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= tolerance,
            "{found}, not {expected}"
        );
    }
}

pub(super) fn scored_like_wines(world: &World) {
    const COUNT: usize = 300;
    world.model(&graph("graph", ModelType::Tensorflow, GRAPHDEF));
    let server = world.start(&[&TENSORS[..], &["--outputs", "all"]].concat());
    let send = || {
        for line in WINES.lines().take(COUNT) {
            world.send_raw(0, &wine(line));
        }
        world.flush();
    };
    send();
    server.wait_for_count("scored", COUNT as u64);
    world.model(&graph("onnx", ModelType::Onnx, ONNX));
    server.wait_for_model("t", "onnx");
    send();
    let results = world.results(2 * COUNT);
    for (results, golden, name) in [
        (&results[..COUNT], BY_TENSORFLOW, "graph"),
        (&results[COUNT..], BY_ONNX_RUNTIME, "onnx"),
    ] {
        for (scored, line) in results.iter().zip(golden.lines().skip(1)) {
            let result = &scored.result;
            let expected: Vec<f32> = numbers(line, ',');
            assert_eq!(result.model_name, name);
            assert_eq!(result.value, Some(f64::from(expected[0])), "{line}");
            assert_eq!(result.label, None);
            assert_eq!(result.outputs.len(), 1);
            let (_, shape, values) = floats(&result.outputs[0]);
            assert_eq!(shape, [9]);
            assert_close(&values, &expected[1..]);
        }
    }
    server.stop();
}

pub(super) fn several_inputs_and_outputs(world: &World) {
    world.model(&graph("mixed", ModelType::Onnx, MIXED));
    let server = world.start(&[&TENSORS[..], &["--outputs", "all"]].concat());
    let lines: Vec<Vec<&str>> = OF_MIXED.lines().map(|l| l.split(',').collect()).collect();
    for line in &lines {
        // In another order, under other spellings, and in other types than the graph has.
        let number = |cell: &str| -> f64 { cell.parse().expect("a number") };
        let count = Data::Double(vec![number(line[2])]);
        let size = Data::Float(vec![number(line[1]) as f32]);
        let colour = Data::Text(vec![line[0].to_owned()]);
        let tensors = vec![
            tensor("Count", &[], count),
            tensor("size", &[1, 1], size),
            tensor("colour_name", &[1], colour),
        ];
        world.send_raw(0, &record_of(tensors));
    }
    world.flush();
    for (scored, line) in world.results(lines.len()).iter().zip(&lines) {
        let result = &scored.result;
        let expected: Vec<f32> = numbers(&line[3..].join(","), ',');
        assert_close(&[result.value.expect("a value") as f32], &expected[..1]);
        let (name, shape, values) = floats(&result.outputs[0]);
        assert_eq!((name.as_str(), shape), ("score", vec![1]));
        assert_close(&values, &expected[..1]);
        let (name, shape, values) = floats(&result.outputs[1]);
        assert_eq!((name.as_str(), shape), ("inputs", vec![3]));
        assert_close(&values, &expected[1..]);
    }
    server.stop();
}

pub(super) fn bad_tensors(world: &World) {
    world.model(&graph("graph", ModelType::Tensorflow, GRAPHDEF));
    let server = world.start(&TENSORS);
    let zeros = |count| Data::Float(vec![0.0; count]);
    let whole = tensor("inputs", &[11], zeros(11));
    let changed = |change: fn(&mut protobufs::Tensor)| {
        let mut tensor = whole.clone();
        change(&mut tensor);
        record_of(vec![tensor])
    };
    let good = record_of(vec![whole.clone()]);
    let bad: Vec<(&str, Vec<u8>, &str)> = [
        (
            "undecodable",
            changed(|t| t.shape = vec![12]),
            "has 44 bytes of data",
        ),
        (
            "undecodable",
            changed(|t| t.shape = vec![-11]),
            "an axis of the length -11",
        ),
        (
            "undecodable",
            changed(|t| t.shape = vec![i64::MAX, 2, 2]),
            "too large",
        ),
        (
            "undecodable",
            changed(|t| t.r#type = 0),
            "does not say the type",
        ),
        (
            "undecodable",
            changed(|t| t.r#type = 99),
            "the unknown type 99",
        ),
        (
            "undecodable",
            record_of(vec![whole.clone(), whole.clone()]),
            "is there twice",
        ),
        (
            "undecodable",
            good[..good.len() - 1].to_vec(),
            "is no tensor message",
        ),
        ("score-failed", record_of(Vec::new()), "it lacks"),
        (
            "score-failed",
            record_of(vec![whole.clone(), tensor("more", &[1], zeros(1))]),
            "the model does not take `more`; it takes `inputs`",
        ),
        (
            "score-failed",
            record_of(vec![tensor("inputs", &[12], zeros(12))]),
            "the tensor `inputs` does not fit",
        ),
        (
            "score-failed",
            record_of(vec![tensor(
                "inputs",
                &[11],
                Data::Text(vec![String::new(); 11]),
            )]),
            "it is text where float is taken",
        ),
        (
            "score-failed",
            record_of(vec![tensor(
                "inputs",
                &[11],
                Data::Double(vec![f64::NAN; 11]),
            )]),
            "not a number",
        ),
    ]
    .into();
    for (_, record, _) in &bad {
        world.send_raw(0, record);
        world.send_raw(0, &good);
    }
    world.flush();
    let topic = world.topic("data");
    let mut letters = world.dead_letters(bad.len());
    let offset = |n: usize| 2 * n as i64;
    // What does not decode is found before what does is scored.
    let at = |letter: &kafka::OwnedMessage| {
        let header = letter
            .headers
            .iter()
            .find(|(name, _)| name == "errors.offset");
        let value = header
            .and_then(|(_, value)| value.clone())
            .unwrap_or_default();
        String::from_utf8_lossy(&value).parse::<i64>().ok()
    };
    letters.sort_by_key(at);
    for (n, ((kind, record, why), letter)) in bad.iter().zip(&letters).enumerate() {
        check_headers(letter, &topic, offset(n), kind, world.name());
        assert_eq!(letter.payload.as_deref(), Some(&record[..]), "as it came");
        let headers = letter.headers.iter();
        let message = headers.filter(|(name, _)| name == "errors.message");
        let message: Vec<u8> = message
            .flat_map(|(_, value)| value.clone().unwrap_or_default())
            .collect();
        let message = String::from_utf8_lossy(&message);
        assert!(message.contains(why), "{kind}: {message:?}, not {why:?}");
    }
    assert_eq!(world.results(bad.len()).len(), bad.len(), "the good ones");
    server.wait_for_count("deadLetters", bad.len() as u64);
    server.stop();
}
