//! What a request for one wine takes, over loopback: at 1,000 requests a second on one connection, by
//! REST and by gRPC, and how many a second there can be.
//!
//! ```sh
//! cargo run --release -p inference-server --example load [-- MODEL [SECONDS]]
//! ```
//!
//! `MODEL` is a file or a SavedModel directory with one input of eleven numbers, by default
//! `data/models/winequality.onnx`. Server and clients share the machine, and so its processors.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use configuration::InferenceServer;
use hdrhistogram::Histogram;
use hyper::Request;
use inference_server::Server;
use prost::Message as _;
use protobufs::tensorflow::serving::{ModelSpec, PredictRequest, PredictResponse};
use protobufs::tensorflow::tensor_shape_proto::Dim;
use protobufs::tensorflow::{DataType, TensorProto, TensorShapeProto};

type Failed = Box<dyn std::error::Error + Send + Sync>;

const WINE: [f32; 11] = [
    7.4, 0.7, 0.0, 1.9, 0.076, 11.0, 34.0, 0.9978, 3.51, 0.56, 9.4,
];
/// Requests a second where latency is measured.
const RATE: u64 = 1_000;

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/models/winequality.onnx"),
        PathBuf::from,
    );
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let span = Duration::from_secs(seconds);
    let directory = std::env::temp_dir().join(format!("inference-load-{}", std::process::id()));
    let place = directory.join("wine/1");
    copy(&model, &place, model.is_dir())?;
    let models = directory.to_string_lossy().into_owned();
    let settings: InferenceServer = configuration::parse([
        "--models",
        &models,
        "--http",
        "127.0.0.1:0",
        "--grpc",
        "127.0.0.1:0",
        "--poll-interval",
        "50ms",
    ])?;
    let server = Server::start(&settings)?;
    let input = input_of(server.http())?;
    println!("{}: input `{input}`, {seconds} s each", model.display());
    for row in [1, 16] {
        let mut client = Rest::connect(server.http(), &body(&input, row))?;
        report(
            &format!("REST, {row} rows"),
            &paced(span, || client.call())?,
        );
        let mut client = Grpc::connect(server.grpc(), &input, row)?;
        report(
            &format!("gRPC, {row} rows"),
            &paced(span, || client.call())?,
        );
    }
    let rest = || Rest::connect(server.http(), &body(&input, 1));
    let grpc = || Grpc::connect(server.grpc(), &input, 1);
    for clients in [1, 2, 8, 32] {
        let rate = hammered(clients, span, || rest().map(|mut c| move || c.call()))?;
        println!("REST, {clients:2} clients as fast as they can: {rate:>8.0} requests/s");
        let rate = hammered(clients, span, || grpc().map(|mut c| move || c.call()))?;
        println!("gRPC, {clients:2} clients as fast as they can: {rate:>8.0} requests/s");
    }
    // Whoever is answered with anything but a prediction ends this with an error.
    let mut last = 1;
    let rate = std::thread::scope(|scope| {
        let clients = scope.spawn(|| hammered(8, span, || rest().map(|mut c| move || c.call())));
        while !clients.is_finished() {
            last += 1;
            let building = directory.join(".building");
            copy(&model, &building, model.is_dir())?;
            std::fs::rename(&building, directory.join(format!("wine/{last}")))?;
            await_version(server.http(), last)?;
        }
        clients.join().map_err(|_| "the clients panicked")?
    })?;
    println!(
        "REST,  8 clients while {last} versions took turns: {rate:>6.0} requests/s, none failed"
    );
    server.stop(Duration::from_secs(5));
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

fn copy(from: &Path, to: &Path, is_directory: bool) -> Result<(), Failed> {
    std::fs::create_dir_all(to)?;
    if !is_directory {
        let name = from.file_name().ok_or("the model has no name")?;
        std::fs::copy(from, to.join(name))?;
        return Ok(());
    }
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            copy(&path, &to.join(name), true)?;
        } else {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// What the server says of the model.
fn get(address: SocketAddr, what: &str) -> Result<String, Failed> {
    let mut stream = TcpStream::connect(address)?;
    let head =
        format!("GET /v1/models/wine{what} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let at = text.find('{').ok_or("the answer is no JSON")?;
    Ok(text.split_off(at))
}

fn await_version(address: SocketAddr, version: u32) -> Result<(), Failed> {
    while !get(address, &format!("/versions/{version}"))?.contains("AVAILABLE") {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The name of the model's input.
fn input_of(address: SocketAddr) -> Result<String, Failed> {
    let metadata: serde_json::Value = serde_json::from_str(&get(address, "/metadata")?)?;
    let signatures = metadata["metadata"]["signature_def"]["signature_def"].as_object();
    let inputs = signatures
        .and_then(|signatures| signatures.get("serving_default"))
        .and_then(|signature| signature["inputs"].as_object())
        .ok_or("the model has no signature `serving_default`")?;
    Ok(inputs
        .keys()
        .next()
        .ok_or("the model has no input")?
        .clone())
}

fn body(input: &str, rows: usize) -> String {
    let row = format!("{{\"{input}\":{WINE:?}}}");
    format!("{{\"instances\":[{}]}}", vec![row; rows].join(","))
}

/// A connection of HTTP/1.1 that is kept.
struct Rest {
    reader: BufReader<TcpStream>,
    request: Vec<u8>,
}

impl Rest {
    fn connect(address: SocketAddr, body: &str) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let request = format!(
            "POST /v1/models/wine:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self {
            reader: BufReader::new(stream),
            request: request.into_bytes(),
        })
    }

    fn call(&mut self) -> Result<(), Failed> {
        self.reader.get_mut().write_all(&self.request)?;
        let mut line = String::new();
        let mut length = 0;
        self.reader.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200") {
            return Err(line.into());
        }
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse()?;
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut answer = vec![0; length];
        self.reader.read_exact(&mut answer)?;
        Ok(())
    }
}

/// A connection of gRPC, on a runtime of its own. Head and message of a call leave in one packet, as
/// those of the C core do, which the clients of most languages are built on; tonic's leave in two, and
/// the server is woken for each.
struct Grpc {
    runtime: tokio::runtime::Runtime,
    connection: h2::client::SendRequest<Bytes>,
    message: Bytes,
}

impl Grpc {
    fn connect(address: SocketAddr, input: &str, rows: usize) -> Result<Self, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connection = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = h2::client::handshake(stream).await?;
            tokio::spawn(connection);
            Ok::<_, Failed>(sender)
        })?;
        let dim = [rows as i64, WINE.len() as i64].map(|size| Dim {
            size,
            name: String::new(),
        });
        let tensor = TensorProto {
            dtype: DataType::DtFloat.into(),
            tensor_shape: Some(TensorShapeProto {
                dim: dim.to_vec(),
                unknown_rank: false,
            }),
            float_val: WINE.repeat(rows),
            ..TensorProto::default()
        };
        let request = PredictRequest {
            model_spec: Some(ModelSpec {
                name: "wine".to_owned(),
                ..ModelSpec::default()
            }),
            inputs: BTreeMap::from([(input.to_owned(), tensor)]),
            output_filter: Vec::new(),
        };
        // Not compressed, and so long.
        let mut message = vec![0];
        message.extend((request.encoded_len() as u32).to_be_bytes());
        request.encode(&mut message)?;
        Ok(Self {
            runtime,
            connection,
            message: message.into(),
        })
    }

    fn call(&mut self) -> Result<(), Failed> {
        let (connection, message) = (self.connection.clone(), self.message.clone());
        self.runtime.block_on(async {
            let request = Request::post("http://x/tensorflow.serving.PredictionService/Predict")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())?;
            let (answer, mut sent) = connection.ready().await?.send_request(request, false)?;
            sent.send_data(message, true)?;
            let mut body = answer.await?.into_body();
            let mut read = Vec::new();
            while let Some(chunk) = body.data().await {
                let chunk = chunk?;
                body.flow_control().release_capacity(chunk.len())?;
                read.extend_from_slice(&chunk);
            }
            let trailers = body.trailers().await?.unwrap_or_default();
            match trailers.get("grpc-status") {
                Some(status) if status == "0" => {}
                _ => return Err(format!("not answered: {trailers:?}").into()),
            }
            PredictResponse::decode(read.get(5..).unwrap_or_default())?;
            Ok(())
        })
    }
}

/// Calls at the rate, and how long each took, in nanoseconds. A call that should begin while the one
/// before is not done begins late, and its time counts from when it should have begun.
fn paced(
    span: Duration,
    mut call: impl FnMut() -> Result<(), Failed>,
) -> Result<Histogram<u64>, Failed> {
    for _ in 0..200 {
        call()?;
    }
    let mut times = Histogram::new(3)?;
    let start = Instant::now();
    for number in 0.. {
        let due = start + Duration::from_micros(number * 1_000_000 / RATE);
        if due >= start + span {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Sleeping lasts longer than asked: that is not the server's.
        let begun = Instant::now();
        let late = begun.saturating_duration_since(due) > Duration::from_micros(500);
        call()?;
        let from = if late { due } else { begun };
        times.record(from.elapsed().as_nanos() as u64)?;
    }
    Ok(times)
}

fn report(what: &str, times: &Histogram<u64>) {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{what:14} at {RATE} requests/s: p50 {:6.0} us, p90 {:6.0} us, p99 {:6.0} us",
        at(0.5),
        at(0.9),
        at(0.99)
    );
}

/// Requests a second that so many clients get answered, each on a connection of its own.
fn hammered<C: FnMut() -> Result<(), Failed>>(
    clients: usize,
    span: Duration,
    connect: impl Fn() -> Result<C, Failed> + Sync,
) -> Result<f64, Failed> {
    let answered = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut call = connect()?;
                    while start.elapsed() < span {
                        call()?;
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<_, Failed>(())
                })
            })
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
    })?;
    Ok(answered.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}
