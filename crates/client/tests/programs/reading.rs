//! What the reader prints.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use prost::Message;
use protobufs::model_descriptor::{MessageContent, ModelType};
use protobufs::{ModelDescriptor, ServingResult, WineRecord};
use serde_json::Value;

use crate::process::{Program, READER, command};
use crate::stream::{Written, broker, write};

/// One good and one bad message in every topic.
fn fill(brokers: &str) {
    let record = WineRecord {
        fixed_acidity: 7.4,
        p_h: f64::NAN,
        data_type: "wine".to_owned(),
        ts: 5,
        ..WineRecord::default()
    };
    write(
        brokers,
        "models_data",
        &[
            (Some(&record.encode_to_vec()), &[("submitted-us", "17")]),
            (Some(b"\xff\xff"), &[]),
        ],
    );
    let model = ModelDescriptor {
        name: "tree".to_owned(),
        description: "a tree\u{1b}[2J".to_owned(),
        data_type: "wine".to_owned(),
        modeltype: ModelType::Pmml.into(),
        message_content: Some(MessageContent::Data(bytes::Bytes::from_static(b"12345"))),
        ..ModelDescriptor::default()
    };
    let strange = ModelDescriptor {
        modeltype: 9,
        message_content: None,
        ..model.clone()
    };
    write(
        brokers,
        "models_models",
        &[
            (Some(&model.encode_to_vec()), &[]),
            (Some(&strange.encode_to_vec()), &[]),
            (None, &[]),
        ],
    );
    let result = ServingResult {
        data_type: "wine".to_owned(),
        model_name: "tree".to_owned(),
        model_version: "0".to_owned(),
        model_type: ModelType::Pmml.into(),
        value: Some(6.0),
        label: Some("good".to_owned()),
        submitted_us: 1_000_000,
        scored_us: 1_000_400,
        scoring_ns: 12_300,
        source_partition: 3,
        source_offset: 42,
        model_digest: 0xab,
        ..ServingResult::default()
    };
    write(
        brokers,
        "models_results",
        &[(Some(&result.encode_to_vec()), &[])],
    );
    let letter = [
        ("errors.topic", "models_data"),
        ("errors.partition", "0"),
        ("errors.offset", "1"),
        ("errors.kind", "undecodable"),
        ("errors.message", "no protobuf"),
        ("errors.strategy", "actor"),
    ];
    write(
        brokers,
        "models_dead_letters",
        &[(Some(b"\xff\xff"), &letter), (Some(b"?"), &[])],
    );
}

#[test]
fn every_topic_is_printed_decoded_and_counted() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    fill(&brokers);
    let (status, out, errors) =
        Program::start(READER, &["--brokers", &brokers, "--until-end"]).end();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(
        errors.contains(&format!("ready data_reader brokers={brokers}")),
        "{errors}"
    );
    let line = |start: &str| {
        let found = out.iter().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("{start} in {out:#?}"))
            .clone()
    };
    let record = line("record 1 [0@0] wine: fixed_acidity=7.4 ");
    assert!(record.contains(" pH=NaN "), "{record}");
    assert!(line("record 2 [0@1] does not decode: ").ends_with(", 2 bytes"));
    let model = line("model 1 [0@0] tree, PMML, data type wine, 5 bytes: a tree");
    assert!(!model.contains('\u{1b}'), "{model}");
    line("model 2 [0@1] tree, unknown type 9, data type wine, no content");
    line("model 3 [0@2] does not decode: it has no value");
    assert_eq!(
        line("result 1 "),
        "result 1 [0@0] wine: 6.0 (label good), model tree version 0, record [3@42], scored in \
         12.3 us, 0.4 ms after it was submitted"
    );
    assert_eq!(
        line("dead letter 1 "),
        "dead letter 1 [0@0] undecodable of models_data [0@1] by actor: no protobuf (2 bytes)"
    );
    line("dead letter 2 [0@1] does not decode: it has no header errors.kind");
    assert_eq!(
        out.last().unwrap(),
        "read 2 records, 3 models, 1 results, 2 dead letters; 3 of them do not decode"
    );
}

#[test]
fn json_has_an_object_per_message_and_nothing_else() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    fill(&brokers);
    let arguments = [
        "--brokers",
        &brokers,
        "--until-end",
        "--json",
        "--show",
        "records,results",
    ];
    let (status, out, errors) = Program::start(READER, &arguments).end();
    assert_eq!(status.code(), Some(0), "{errors}");
    let objects: Vec<Value> = out
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 3);
    let find = |kind: &str, offset: i64| {
        objects
            .iter()
            .find(|object| object["kind"] == kind && object["offset"] == offset)
            .unwrap()
    };
    let record = find("record", 0);
    assert_eq!(record["topic"], "models_data");
    assert_eq!(record["headers"][0][0], "submitted-us");
    assert_eq!(record["headers"][0][1], "17");
    assert_eq!(record["value"]["fixed_acidity"], 7.4);
    assert_eq!(record["value"]["pH"], Value::Null);
    assert_eq!(record["value"]["ts"], 5);
    assert!(find("record", 1)["error"].is_string());
    let result = find("result", 0);
    assert_eq!(result["value"]["value"], 6.0);
    assert_eq!(result["value"]["model_digest"], "00000000000000ab");
    assert_eq!(result["value"]["model_type"], "PMML");
}

#[test]
fn it_follows_the_topics_until_it_is_interrupted() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    let reader = Program::start(READER, &["--brokers", &brokers]);
    reader.complains("ready ");
    // The topics come later than the reader.
    fill(&brokers);
    reader.says("result 1 ");
    reader.says("dead letter 2 ");
    write(&brokers, "models_results", &[(Some(b""), &[])]);
    reader.says("result 2 [0@1] (no data type): no value");
    reader.interrupt();
    assert_eq!(reader.end().0.code(), Some(0));
}

#[test]
fn it_ends_after_as_many_messages_as_it_is_told_to() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    fill(&brokers);
    let arguments = ["--brokers", &brokers, "--count", "2", "--show", "models"];
    let (status, out, _) = Program::start(READER, &arguments).end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        out.iter().filter(|line| line.starts_with("model ")).count(),
        2
    );
}

#[test]
fn whoever_reads_its_output_may_go_away() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    let many: Vec<Written<'_>> = vec![(Some(b"\xff"), &[]); 20_000];
    write(&brokers, "models_data", &many);
    let mut child = command(READER, &["--brokers", &brokers], Path::new("/"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    // As `head -1` does: one line, then the pipe closes.
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert!(first.starts_with("record 1 "), "{first}");
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}
