//! Models in the inference server.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use configuration::InferenceServer;
use inference_server::Server;
use model::{Data, NamedTensor, Tensor, record};
use prost::Message as _;
use protobufs::ModelDescriptor;
use protobufs::model_descriptor::MessageContent;
use serving::conformance::{self, Elsewhere, regression, wine};
use tempfile::TempDir;
use tf_serving_server::STRATEGY;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data");
const PATIENCE: Duration = Duration::from_secs(30);

/// An inference server with a directory of models.
pub(crate) struct Place {
    directory: TempDir,
    http: String,
    grpc: String,
    server: Option<Server>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let mut place = Self {
            directory: tempfile::tempdir().unwrap(),
            http: "127.0.0.1:0".to_owned(),
            grpc: "127.0.0.1:0".to_owned(),
            server: None,
        };
        place.start();
        place
    }

    /// Starts the server, on the addresses that it had before.
    fn start(&mut self) {
        let settings: InferenceServer = configuration::parse([
            "--models",
            self.directory.path().to_str().unwrap(),
            "--http",
            &self.http,
            "--grpc",
            &self.grpc,
            "--poll-interval",
            "50ms",
        ])
        .unwrap();
        let server = Server::start(&settings).unwrap();
        self.http = server.http().to_string();
        self.grpc = server.grpc().to_string();
        self.server = Some(server);
    }

    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(Duration::ZERO);
        }
    }

    fn url(&self, grpc: bool) -> String {
        if grpc {
            format!("grpc://{}", self.grpc)
        } else {
            format!("http://{}", self.http)
        }
    }

    /// Puts files there, by their names, as a version of a model, and waits until the server says
    /// so.
    fn put(&self, model: &str, version: u32, files: &[(String, Vec<u8>)]) {
        put(self.directory.path(), &self.http, model, version, files);
    }

    /// Puts a model there that says of a wine its alcohol.
    pub(crate) fn put_alcohol(&self, model: &str, version: u32) {
        self.put_pmml(model, version, &document(0.0));
    }

    pub(crate) fn address(&self, grpc: bool) -> SocketAddr {
        let address = if grpc { &self.grpc } else { &self.http };
        address.parse().unwrap()
    }

    fn put_pmml(&self, model: &str, version: u32, bytes: &[u8]) {
        self.put(model, version, &[("model.pmml".to_owned(), bytes.to_vec())]);
    }

    pub(crate) fn elsewhere(self, grpc: bool) -> Elsewhere {
        let flags = ["--server", &self.url(grpc), "--model-wait", "500ms"];
        let flags = flags.map(str::to_owned).to_vec();
        let versions = RefCell::new(BTreeMap::<String, u32>::new());
        let publish = move |descriptor: &ModelDescriptor| {
            let Some(MessageContent::Data(bytes)) = &descriptor.message_content else {
                panic!("{descriptor:?}")
            };
            let model = &descriptor.data_type;
            let mut versions = versions.borrow_mut();
            let version = versions.entry(model.clone()).or_default();
            *version += 1;
            self.put_pmml(model, *version, bytes);
        };
        let publish = Box::new(publish);
        Elsewhere { flags, publish }
    }
}

fn put(directory: &Path, http: &str, model: &str, version: u32, files: &[(String, Vec<u8>)]) {
    let place = directory.join(model).join(version.to_string());
    // Complete before it has its name.
    let building = directory.join(".building");
    for (name, bytes) in files {
        let file = building.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::rename(building, place).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let path = format!("/v1/models/{model}/versions/{version}");
    while !get(http.parse().unwrap(), &path).contains("AVAILABLE") {
        assert!(
            Instant::now() < deadline,
            "{}",
            get(http.parse().unwrap(), &path)
        );
        std::thread::yield_now();
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn document(intercept: f64) -> bytes::Bytes {
    match regression("wine", "model", intercept).message_content {
        Some(MessageContent::Data(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

/// A wine with its eleven measurements.
fn wine_record(v: &[f64]) -> Vec<u8> {
    let record = protobufs::WineRecord {
        fixed_acidity: v[0],
        volatile_acidity: v[1],
        citric_acid: v[2],
        residual_sugar: v[3],
        chlorides: v[4],
        free_sulfur_dioxide: v[5],
        total_sulfur_dioxide: v[6],
        density: v[7],
        p_h: v[8],
        sulphates: v[9],
        alcohol: v[10],
        data_type: "wine".to_owned(),
        ts: 0,
    };
    record.encode_to_vec()
}

/// The same as one tensor.
fn tensor_record(v: &[f64]) -> Vec<u8> {
    let tensor = Tensor {
        shape: vec![11],
        data: Data::Float(v[..11].iter().map(|v| *v as f32).collect()),
    };
    let record = protobufs::TensorRecord {
        data_type: "wine".to_owned(),
        ts: 0,
        tensors: vec![record::message("inputs", &tensor)],
    };
    record.encode_to_vec()
}

/// Real wines, as TensorFlow and ONNX Runtime score them.
fn golden(grpc: bool, kind: &str, record: fn(&[f64]) -> Vec<u8>) {
    for (files, golden) in [
        (&["winequality.onnx"][..], "winequality-onnx.csv"),
        (&["winequality.pb"], "winequality-tensorflow.csv"),
        (
            // Its one signature is not the usual one.
            &[
                "wine/1/saved_model.pb",
                "wine/1/variables/variables.index",
                "wine/1/variables/variables.data-00000-of-00001",
            ],
            "winequality-savedmodel.csv",
        ),
    ] {
        let place = Place::new();
        let read = |file: &&str| {
            let bytes = fs::read(format!("{DATA}/models/{file}")).unwrap();
            (file.trim_start_matches("wine/1/").to_owned(), bytes)
        };
        place.put("wine", 7, &files.iter().map(read).collect::<Vec<_>>());
        let url = place.url(grpc);
        let wines = fs::read_to_string(format!("{DATA}/winequality_red.csv")).unwrap();
        let wines = wines
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        let expected = fs::read_to_string(format!("{DATA}/golden/{golden}")).unwrap();
        let flags = ["--server", &url, "--record", kind, "--outputs", "all"];
        conformance::run_own(&STRATEGY, &flags, |world| {
            const COUNT: usize = 300;
            for line in wines.take(COUNT) {
                let measurements: Vec<f64> = line
                    .split(';')
                    .filter_map(|cell| cell.parse().ok())
                    .collect();
                world.send_raw(0, &record(&measurements));
            }
            world.flush();
            let server = world.start(&[]);
            let results = world.results(COUNT);
            for (scored, line) in results.iter().zip(expected.lines().skip(1)) {
                let mut expected = line.split(',').map(|cell| cell.parse::<f64>().unwrap());
                assert_eq!(scored.result.value, expected.next(), "{golden}: {line}");
                assert_eq!(scored.result.model_version, "7");
                assert_eq!(scored.result.model_digest, 0);
                let output = NamedTensor::from_message(&scored.result.outputs[0]).unwrap();
                let Data::Float(found) = output.tensor.data else {
                    panic!("{output:?}");
                };
                for (expected, found) in expected.zip(found) {
                    assert!(
                        (expected - f64::from(found)).abs() <= 1e-6,
                        "{golden}: {line}"
                    );
                }
            }
            let state = server.get("/state/wine").1;
            assert_eq!(state["name"], "wine");
            assert_eq!(state["version"], "7");
            assert_eq!(state["usage"], COUNT);
            assert!(state["min"].as_f64().unwrap() > 0.0, "{state}");
            server.stop();
        });
    }
}

#[test]
fn wines_are_scored_as_the_reference_engines_score_them_by_rest() {
    golden(false, "wine", wine_record);
}

#[test]
fn wines_are_scored_as_the_reference_engines_score_them_by_grpc() {
    golden(true, "wine", wine_record);
}

#[test]
fn tensors_are_scored_as_the_reference_engines_score_them_by_rest() {
    golden(false, "tensor", tensor_record);
}

#[test]
fn tensors_are_scored_as_the_reference_engines_score_them_by_grpc() {
    golden(true, "tensor", tensor_record);
}

/// A server that dies, comes back on its address, and then has a new version.
fn dies_and_comes_back(grpc: bool) {
    const PART: usize = 400;
    let mut place = Place::new();
    place.put_pmml("wine", 1, &document(1000.0));
    let url = place.url(grpc);
    place.stop();
    conformance::run_own(&STRATEGY, &["--server", &url], |world| {
        let send = |part: usize| {
            for n in part * PART..(part + 1) * PART {
                world.send_record((n % 4) as i32, &wine("wine", n as f64));
            }
            world.flush();
        };
        send(0);
        // Ready, although nobody answers.
        let server = world.start(&[]);
        server.wait_for("/state", |state| state["records"] != 0);
        place.start();
        send(1);
        server.wait_for_count("scored", 2 * PART as u64);
        place.stop();
        send(2);
        place.start();
        server.wait_for_count("scored", 3 * PART as u64);
        place.put_pmml("wine", 2, &document(5000.0));
        server.wait_for_count("scored", 3 * PART as u64);
        send(3);
        let mut results = world.results(4 * PART);
        results.sort_by_key(|scored| scored.message.position);
        for partition in
            results.chunk_by(|a, b| a.result.source_partition == b.result.source_partition)
        {
            assert_eq!(partition.len(), PART);
            for (n, scored) in partition.iter().enumerate() {
                assert_eq!(scored.result.source_offset, n as i64, "each once, in order");
                let alcohol = (4 * n + scored.result.source_partition as usize) as f64;
                let intercept = scored.result.value.unwrap() - alcohol;
                assert!(intercept == 1000.0 || intercept == 5000.0, "{scored:?}");
                if n < 3 * PART / 4 {
                    assert_eq!(intercept, 1000.0);
                }
            }
        }
        let last = wine("wine", 1.0);
        server.wait_for("/state/wine", |state| {
            // It is looked for while records come.
            world.records(std::slice::from_ref(&last));
            state["version"] == "2"
        });
        assert_eq!(world.dead_letters(0).len(), 0);
        server.stop();
    });
}

#[test]
fn a_server_that_dies_and_comes_back_costs_no_record_by_rest() {
    dies_and_comes_back(false);
}

#[test]
fn a_server_that_dies_and_comes_back_costs_no_record_by_grpc() {
    dies_and_comes_back(true);
}
