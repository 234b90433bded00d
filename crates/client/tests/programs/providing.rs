//! What the provider publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kafka::{Admin, OwnedMessage};
use prost::Message;
use protobufs::model_descriptor::MessageContent;
use protobufs::{ModelDescriptor, WineRecord};

use crate::process::{PROVIDER, Program, command};
use crate::stream::{broker, connection, read_until};

fn record(message: &OwnedMessage) -> WineRecord {
    WineRecord::decode(message.payload.clone().unwrap()).unwrap()
}

fn model(message: &OwnedMessage) -> ModelDescriptor {
    ModelDescriptor::decode(message.payload.clone().unwrap()).unwrap()
}

fn data() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

/// The first eleven columns of the file of records.
fn rows() -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(data().join("winequality_red.csv")).unwrap();
    let row = |line: &str| {
        line.split(';')
            .take(11)
            .map(|field| field.parse().unwrap())
            .collect()
    };
    text.lines().map(row).collect()
}

fn measurements(record: &WineRecord) -> Vec<f64> {
    vec![
        record.fixed_acidity,
        record.volatile_acidity,
        record.citric_acid,
        record.residual_sugar,
        record.chlorides,
        record.free_sulfur_dioxide,
        record.total_sulfur_dioxide,
        record.density,
        record.p_h,
        record.sulphates,
        record.alcohol,
    ]
}

#[test]
fn alone_it_brings_its_broker_and_topics_and_ends_on_ctrl_c() {
    let provider = Program::start(
        PROVIDER,
        &["--listen", "127.0.0.1:0", "--record-interval", "5ms"],
    );
    let brokers = provider.brokers();
    let ready = provider.complains("ready ");
    assert_eq!(ready, format!("ready data_provider brokers={brokers}"));
    provider.says("published model winequality-decision-tree: ");
    provider.says("wrote ");
    let admin = Admin::open(&connection(&brokers)).unwrap();
    for (topic, partitions) in [
        ("models_data", 4),
        ("models_models", 1),
        ("models_results", 4),
        ("models_dead_letters", 1),
    ] {
        assert_eq!(
            admin.partition_count(topic).unwrap(),
            Some(partitions),
            "{topic}"
        );
    }
    provider.interrupt();
    let (status, out, errors) = provider.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(out.last().unwrap().starts_with("wrote "), "{out:?}");
}

#[test]
fn it_publishes_as_many_records_as_it_is_told_to_in_the_order_of_the_file() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    let start = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let provider = Program::start(
        PROVIDER,
        &[
            "--brokers",
            &brokers,
            "--count",
            "1605",
            "--rate",
            "4000",
            "--partitions",
            "1",
        ],
    );
    let (status, out, errors) = provider.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert_eq!(out.last().unwrap(), "wrote 1605 records");
    let end = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();

    let read = read_until(&brokers, "models_data", |_| true);
    let rows = rows();
    assert_eq!((read.len(), rows.len()), (1605, 1599));
    for (message, row) in read.iter().zip(rows.iter().cycle()) {
        let record = record(message);
        assert_eq!(measurements(&record), *row);
        assert_eq!(record.data_type, "wine");
        assert_eq!(message.key, None);
        let (name, value) = &message.headers[0];
        assert_eq!((name.as_str(), message.headers.len()), ("submitted-us", 1));
        let submitted = std::str::from_utf8(value.as_deref().unwrap()).unwrap();
        let submitted: i64 = submitted.parse().unwrap();
        assert_eq!(submitted / 1000, record.ts);
        assert_eq!(message.timestamp_ms, Some(record.ts));
        assert!(
            (start.as_micros()..=end.as_micros()).contains(&u128::try_from(submitted).unwrap())
        );
    }
}

#[test]
fn every_model_that_can_be_scored_is_published_for_every_data_type() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    let arguments = [
        "--brokers",
        &brokers,
        "--model-interval",
        "20ms",
        "--data-types",
        "2",
        "--key",
        "data-type",
    ];
    let provider = Program::start(PROVIDER, &arguments);
    let wanted = [
        "winequality-decision-tree",
        "winequality-decision-tree-regression",
        "winequality-random-forest",
        "winequality-linear-regression",
        "winequality-glm-gaussian",
        "winequality-glm-gamma",
        "winequality-mlp",
        "winequality-tensorflow",
        "winequality-savedmodel",
        "winequality-onnx",
    ];
    let read = read_until(&brokers, "models_models", |read| {
        let names: BTreeSet<(String, String)> = read
            .iter()
            .map(|message| (model(message).name, model(message).data_type))
            .collect();
        names.len() == 2 * wanted.len()
    });
    provider.says("published model winequality-onnx: ");
    provider.interrupt();
    assert_eq!(provider.end().0.code(), Some(0));
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for message in &read {
        let model = model(message);
        assert_eq!(message.key.as_deref(), Some(model.data_type.as_bytes()));
        let Some(MessageContent::Data(data)) = &model.message_content else {
            panic!("{model:?}")
        };
        assert_eq!(model::Digest::of(data).0, model.sha256[..]);
        seen.entry(model.data_type).or_default().insert(model.name);
    }
    let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
    assert_eq!(seen["wine"], wanted);
    assert_eq!(seen["wine-2"], wanted);
    for message in read_until(&brokers, "models_data", |read| read.len() >= 2) {
        assert_eq!(
            message.key.as_deref(),
            Some(record(&message).data_type.as_bytes())
        );
    }
}

#[test]
fn only_the_models_that_are_named_are_published_in_the_order_of_the_list() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    let arguments = [
        "--brokers",
        &brokers,
        "--model-interval",
        "20ms",
        "--publish",
        "winequality-random-forest,winequality-decision-tree",
    ];
    let provider = Program::start(PROVIDER, &arguments);
    let read = read_until(&brokers, "models_models", |read| read.len() >= 6);
    provider.interrupt();
    assert_eq!(provider.end().0.code(), Some(0));
    let names: Vec<String> = read.iter().map(|message| model(message).name).collect();
    assert_eq!(names[0], "winequality-decision-tree");
    let names: BTreeSet<String> = names.into_iter().collect();
    let wanted = ["winequality-decision-tree", "winequality-random-forest"];
    assert_eq!(names, wanted.map(str::to_owned).into());
}

#[test]
fn a_model_that_is_not_listed_is_an_error_that_names_those_that_are() {
    let arguments = ["--listen", "127.0.0.1:0", "--publish", "winequality-palm"];
    let (status, _, errors) = Program::start(PROVIDER, &arguments).end();
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.contains("no model is called winequality-palm")
            && errors.contains("winequality-decision-tree, "),
        "{errors}"
    );
}

#[test]
fn the_key_can_be_the_running_number() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    let arguments = [
        "--brokers",
        &brokers,
        "--key",
        "sequence",
        "--count",
        "12",
        "--rate",
        "1000",
    ];
    assert_eq!(Program::start(PROVIDER, &arguments).end().0.code(), Some(0));
    let read = read_until(&brokers, "models_data", |_| true);
    let keys: BTreeSet<String> = read
        .iter()
        .map(|message| String::from_utf8(message.key.clone().unwrap().to_vec()).unwrap())
        .collect();
    assert_eq!(keys, (0..12).map(|number| number.to_string()).collect());
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_the_flag() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let (status, _, errors) = Program::start(PROVIDER, &["--listen", &address]).end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains(&format!("--brokers {address}")), "{errors}");
}

#[test]
fn a_model_of_twenty_megabytes_is_refused_with_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    std::fs::copy(
        data().join("winequality_red.csv"),
        file("winequality_red.csv"),
    )
    .unwrap();
    let manifest = "[[model]]\nname = 'huge'\ntype = 'PMML'\npath = 'huge.pmml'\n";
    std::fs::write(file("models.toml"), manifest).unwrap();
    std::fs::File::create(file("huge.pmml"))
        .unwrap()
        .set_len(20_000_000)
        .unwrap();
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        directory.path().to_str().unwrap(),
    ];
    let (status, _, errors) = Program::start(PROVIDER, &arguments).end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("huge: it has 20000000 bytes"), "{errors}");
    assert!(errors.contains("no model can be published"), "{errors}");
}

#[test]
fn without_a_broker_it_says_so_and_gives_up() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    drop(socket);
    let arguments = ["--brokers", &address, "--broker-timeout", "1500ms"];
    let (status, _, errors) = Program::start(PROVIDER, &arguments).end();
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.contains(&format!("waiting for a broker at {address}")),
        "{errors}"
    );
    assert!(
        errors.contains(&format!("no broker at {address}")),
        "{errors}"
    );
}

#[test]
fn it_goes_on_when_its_broker_comes_back_empty() {
    let first = broker("127.0.0.1:0");
    let brokers = first.bootstrap();
    let mut command = command(
        PROVIDER,
        &[
            "--brokers",
            &brokers,
            "--model-interval",
            "500ms",
            "--record-interval",
            "20ms",
        ],
        Path::new("/"),
    );
    command.env("RUST_LOG", "warn");
    let provider = Program::run(command);
    provider.says("wrote ");
    first.stop();
    let second = broker(&brokers);
    // Nobody but the provider creates the topics again.
    read_until(&brokers, "models_data", |read| read.len() > 100);
    read_until(&brokers, "models_models", |read| read.len() > 1);
    let admin = Admin::open(&connection(&brokers)).unwrap();
    assert_eq!(admin.partition_count("models_results").unwrap(), Some(4));
    provider.interrupt();
    let (status, _, errors) = provider.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    second.stop();
}

#[test]
fn it_ends_in_time_even_if_its_broker_is_away() {
    let broker = broker("127.0.0.1:0");
    let arguments = ["--brokers", &broker.bootstrap(), "--record-interval", "5ms"];
    let provider = Program::start(PROVIDER, &arguments);
    provider.says("wrote ");
    broker.stop();
    let start = std::time::Instant::now();
    provider.interrupt();
    let (status, _, errors) = provider.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    // Five seconds are promised; the rest is for a machine that has other things to do.
    assert!(start.elapsed() < std::time::Duration::from_secs(10));
}
