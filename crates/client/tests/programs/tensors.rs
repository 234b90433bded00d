//! Records of tensors: what the provider publishes, and what the reader prints.

use std::path::Path;

use prost::Message;
use protobufs::{ElementType, ModelDescriptor, ServingResult, Tensor, TensorRecord};
use serde_json::{Value, json};

use crate::process::{PROVIDER, Program, READER};
use crate::stream::{broker, read_until, write};

#[test]
fn the_provider_publishes_each_wine_as_one_tensor_and_the_models_that_score_it() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    let arguments = [
        "--brokers",
        &brokers,
        "--record",
        "tensor",
        "--count",
        "20",
        "--rate",
        "1000",
        "--partitions",
        "1",
        "--publish",
        "winequality-decision-tree,winequality-tensorflow",
    ];
    let (status, _, errors) = Program::start(PROVIDER, &arguments).end();
    assert_eq!(status.code(), Some(0), "{errors}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/winequality_red.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let read = read_until(&brokers, "models_data", |_| true);
    assert_eq!(read.len(), 20);
    for (message, line) in read.iter().zip(text.lines()) {
        let record = TensorRecord::decode(message.payload.clone().unwrap()).unwrap();
        assert_eq!(record.data_type, "wine");
        assert_eq!(message.timestamp_ms, Some(record.ts));
        let numbers = line.split(';').take(11);
        let bytes = numbers.flat_map(|cell| cell.parse::<f32>().unwrap().to_le_bytes());
        let wanted = Tensor {
            name: "inputs".to_owned(),
            shape: vec![11],
            r#type: ElementType::Float.into(),
            data: bytes.collect::<Vec<u8>>().into(),
        };
        assert_eq!(record.tensors, [wanted]);
    }
    let models = read_until(&brokers, "models_models", |_| true);
    assert!(!models.is_empty());
    for message in models {
        let model = ModelDescriptor::decode(message.payload.unwrap()).unwrap();
        assert_eq!(model.name, "winequality-tensorflow");
    }
    let refused = "not published: winequality-decision-tree: the record's tensors are not those";
    assert!(errors.contains(refused), "{errors}");
}

fn tensor(name: &str, shape: &[i64], element: ElementType, data: &[u8]) -> Tensor {
    Tensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        r#type: element.into(),
        data: data.to_vec().into(),
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Two records, one of them bad, and a result with all its outputs, one of them bad.
fn fill(brokers: &str) {
    let image = floats(&[
        0.1,
        f32::NAN,
        3.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
    ]);
    let good = TensorRecord {
        data_type: "digits".to_owned(),
        ts: 1_700_000_000_123,
        tensors: vec![
            tensor("image", &[1, 13], ElementType::Float, &image),
            tensor("na\u{7}me", &[], ElementType::String, b"\x02\0\0\0a\""),
        ],
    };
    let bad = TensorRecord {
        tensors: vec![tensor("image", &[2], ElementType::Float, &image)],
        ..good.clone()
    };
    write(
        brokers,
        "models_data",
        &[
            (Some(&good.encode_to_vec()), &[]),
            (Some(&bad.encode_to_vec()), &[]),
        ],
    );
    let result = ServingResult {
        data_type: "digits".to_owned(),
        model_name: "net".to_owned(),
        model_version: "0".to_owned(),
        label: Some("b".to_owned()),
        probabilities: [("b".to_owned(), 0.75), ("a".to_owned(), 0.25)].into(),
        outputs: vec![
            tensor("scores", &[2], ElementType::Float, &floats(&[0.25, 0.75])),
            tensor("broken", &[2], ElementType::Int64, &[0]),
        ],
        source_offset: 3,
        ..ServingResult::default()
    };
    write(
        brokers,
        "models_results",
        &[(Some(&result.encode_to_vec()), &[])],
    );
}

#[test]
fn the_reader_prints_tensors() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    fill(&brokers);
    let arguments = ["--brokers", &brokers, "--record", "tensor", "--until-end"];
    let (status, out, errors) = Program::start(READER, &arguments).end();
    assert_eq!(status.code(), Some(0), "{errors}");
    let line = |start: &str| {
        let found = out.iter().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("{start} in {out:#?}"))
            .clone()
    };
    assert_eq!(
        line("record 1 "),
        "record 1 [0@0] digits: image float [1, 13] 0.1 NaN 3 0 0 0 0 0 0 0 0 0 ..., \
         na\u{fffd}me string [] \"a\\\"\""
    );
    let bad = line("record 2 ");
    assert!(
        bad.starts_with("record 2 [0@1] does not decode: the tensor `image` has 52 bytes of data"),
        "{bad}"
    );
    assert_eq!(
        line("result 1 "),
        "result 1 [0@0] digits: label b, model net version 0, record [0@3], scored in 0 us; \
         probabilities a=0.25, b=0.75; outputs scores float [2] 0.25 0.75, the tensor `broken` \
         has 1 bytes of data, which is not what int64 [2] takes"
    );
}

#[test]
fn as_json_tensors_are_lists_of_their_elements() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    fill(&brokers);
    let arguments = [
        "--brokers",
        &brokers,
        "--record",
        "tensor",
        "--until-end",
        "--json",
    ];
    let (status, out, errors) = Program::start(READER, &arguments).end();
    assert_eq!(status.code(), Some(0), "{errors}");
    let objects: Vec<Value> = out
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let find = |kind: &str, offset: i64| {
        let mut found = objects.iter();
        found
            .find(|object| object["kind"] == kind && object["offset"] == offset)
            .unwrap()
    };
    let record = &find("record", 0)["value"];
    assert_eq!(record["data_type"], "digits");
    assert_eq!(record["ts"], 1_700_000_000_123_i64);
    let image = &record["tensors"][0];
    assert_eq!(image["type"], "ELEMENT_TYPE_FLOAT");
    assert_eq!(image["shape"], json!([1, 13]));
    assert_eq!(image["data"][0], 0.1);
    assert_eq!(image["data"][1], Value::Null);
    assert_eq!(record["tensors"][1]["data"], json!(["a\""]));
    let error = find("record", 1)["error"].as_str().unwrap();
    assert!(error.starts_with("the tensor `image` "), "{error}");
    let result = &find("result", 0)["value"];
    assert_eq!(result["probabilities"], json!({"a": 0.25, "b": 0.75}));
    let scores = json!({
        "name": "scores", "shape": [2], "type": "ELEMENT_TYPE_FLOAT", "data": [0.25, 0.75]
    });
    assert_eq!(result["outputs"][0], scores);
    assert!(result["outputs"][1]["error"].is_string());
}
