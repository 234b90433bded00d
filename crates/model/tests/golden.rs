//! Every model of `data/` that this build can score, on every wine, against the scores of the
//! engines that define what is right: JPMML-Evaluator, TensorFlow and ONNX Runtime.
#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get is a failure"
)]

use std::path::{Path, PathBuf};

use model::{
    Descriptor, Detail, Directory, Limits, Locations, ModelRegistry, Record, Refusal, Score,
    archive, decoder,
};
use prost::Message as _;
use protobufs::model_descriptor::{MessageContent, ModelType};
use protobufs::{ModelDescriptor, WineRecord};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

/// The 1,599 wines, as records that came over the wire.
fn wines() -> Vec<Record> {
    let text = std::fs::read_to_string(data().join("winequality_red.csv")).unwrap();
    let mut decoder = decoder("wine").unwrap();
    let wine = |line: &str| {
        let n: Vec<f64> = line.split(';').map(|cell| cell.parse().unwrap()).collect();
        let wine = WineRecord {
            fixed_acidity: n[0],
            volatile_acidity: n[1],
            citric_acid: n[2],
            residual_sugar: n[3],
            chlorides: n[4],
            free_sulfur_dioxide: n[5],
            total_sulfur_dioxide: n[6],
            density: n[7],
            p_h: n[8],
            sulphates: n[9],
            alcohol: n[10],
            data_type: "wine".to_owned(),
            ts: 0,
        };
        decoder.decode(&wine.encode_to_vec()).unwrap()
    };
    let wines: Vec<_> = text.lines().map(wine).collect();
    assert_eq!(wines.len(), 1_599);
    wines
}

/// A model in its message: a directory as an archive.
fn by_value(entry: &toml::Value) -> Descriptor {
    let path = data().join(entry["path"].as_str().unwrap());
    let bytes = if path.is_dir() {
        archive::pack(&Directory::open(&path, 1 << 20).unwrap()).unwrap()
    } else {
        std::fs::read(path).unwrap().into()
    };
    Descriptor::from_message(message(entry, MessageContent::Data(bytes)), 0).unwrap()
}

/// A model by its path.
fn by_reference(entry: &toml::Value) -> Descriptor {
    let roots = [data().to_str().unwrap().to_owned()];
    let locations = Locations::new(&roots, Limits::default()).unwrap();
    let path = data().join(entry["path"].as_str().unwrap());
    let location = MessageContent::Location(path.to_str().unwrap().to_owned());
    let message = message(entry, location);
    locations
        .resolve(message, 0, std::future::pending())
        .unwrap()
}

fn message(entry: &toml::Value, content: MessageContent) -> ModelDescriptor {
    let text = |key: &str| entry[key].as_str().unwrap();
    ModelDescriptor {
        name: text("name").to_owned(),
        data_type: "wine".to_owned(),
        modeltype: ModelType::from_str_name(text("type")).unwrap().into(),
        message_content: Some(content),
        ..ModelDescriptor::default()
    }
}

fn create(
    descriptor: &Descriptor,
    detail: Detail,
) -> Result<std::sync::Arc<dyn model::Model>, Refusal> {
    ModelRegistry::default().create(descriptor, decoder("wine").unwrap().schema(), detail)
}

/// Labels equal; numbers of PMML within 1e-6 of the expected, relatively; sigmoid outputs within
/// 1e-6 absolutely.
fn check(name: &str, row: usize, score: &Score, header: &[&str], expected: &[&str], tensor: bool) {
    for (column, expected) in header.iter().zip(expected) {
        let place = || format!("{name}, row {row}, {column}: {score:?}");
        if *column == "label" {
            assert_eq!(
                score.label.as_deref().unwrap_or_default(),
                *expected,
                "{}",
                place()
            );
            continue;
        }
        let wanted: f64 = expected.parse().unwrap();
        let number = if *column == "value" {
            score.value.unwrap()
        } else if let Some(label) = column.strip_prefix("probability_") {
            let found = score
                .probabilities
                .iter()
                .find(|(name, _)| &**name == label);
            found.unwrap_or_else(|| panic!("{}", place())).1
        } else if let Some(index) = column.strip_prefix("output_") {
            let model::Data::Float(values) = &score.outputs[0].1.data else {
                panic!("{}", place())
            };
            f64::from(values[index.parse::<usize>().unwrap()])
        } else {
            panic!("a column of another kind: {column}")
        };
        let tolerance = if tensor && *column != "value" {
            1e-6
        } else {
            1e-6 * wanted.abs()
        };
        assert!(
            (number - wanted).abs() <= tolerance,
            "{}: {number}, not {wanted}",
            place()
        );
    }
}

#[test]
fn scores_are_those_of_the_reference_engines_one_by_one_and_in_batches() {
    let wines = wines();
    let manifest = std::fs::read_to_string(data().join("models.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let mut scored = 0;
    for entry in manifest["model"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let model_type = entry["type"].as_str().unwrap();
        let model = create(&by_value(entry), Detail::All).unwrap();
        let golden =
            std::fs::read_to_string(data().join(entry["golden"].as_str().unwrap())).unwrap();
        let mut lines = golden
            .lines()
            .map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let expected: Vec<_> = lines.collect();
        assert_eq!(expected.len(), wines.len());
        let tensor = model_type != "PMML";
        let mut evaluator = model.evaluator();
        for (row, (wine, expected)) in wines.iter().zip(&expected).enumerate() {
            check(
                name,
                row,
                &evaluator.score(wine).unwrap(),
                &header,
                expected,
                tensor,
            );
        }
        // What one asks of a served model by default is the same value, wherever it comes from.
        let brief = create(&by_reference(entry), Detail::Value);
        let mut brief = brief.unwrap().evaluator();
        let records: Vec<&Record> = wines.iter().collect();
        for size in [1, 7, 1_000] {
            let (mut all, mut values) = (Vec::new(), Vec::new());
            for (chunk, records) in records.chunks(size).enumerate() {
                evaluator.score_batch(records, &mut all);
                brief.score_batch(records, &mut values);
                for (n, (score, value)) in all.iter().zip(&values).enumerate() {
                    let row = chunk * size + n;
                    let (score, value) = (score.as_ref().unwrap(), value.as_ref().unwrap());
                    check(name, row, score, &header, &expected[row], tensor);
                    assert_eq!((value.value, &value.label), (score.value, &score.label));
                    assert!(value.probabilities.is_empty() && value.outputs.is_empty());
                }
            }
        }
        scored += 1;
    }
    assert_eq!(
        scored, 10,
        "seven PMML documents, a graph, a SavedModel and an ONNX file"
    );
}

#[test]
fn a_field_that_records_lack_is_named() {
    let document =
        std::fs::read_to_string(data().join("models/winequality-linear-regression.pmml"));
    let document = document.unwrap().replace("\"alcohol\"", "\"bouquet\"");
    let message = ModelDescriptor {
        data_type: "wine".to_owned(),
        modeltype: ModelType::Pmml.into(),
        message_content: Some(MessageContent::Data(document.into())),
        ..ModelDescriptor::default()
    };
    let descriptor = Descriptor::from_message(message, 0).unwrap();
    let wine = decoder("wine").unwrap();
    let refusal = ModelRegistry::default().create(&descriptor, wine.schema(), Detail::Value);
    let refusal = refusal.err().unwrap().to_string();
    assert!(
        refusal.contains("`bouquet`") && refusal.contains("alcohol"),
        "{refusal}"
    );
}
