//! A model server that does as it is told: HTTP/1.1 over a listener, a thread for each connection.
//! Its model says of a wine its alcohol.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

/// What becomes of a request for a prediction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Answer,
    /// Answers, and closes the connection without having said so.
    AnswerAndClose,
    Status(u16),
    /// 200, and a page that is no prediction.
    Garbage,
    /// 200, and predictions of fewer records than were asked.
    TooFew,
    /// The head, and half of the body.
    Half,
    /// Closes the connection.
    Reset,
    /// Says nothing until it is released.
    Hang,
}

#[derive(Default)]
struct State {
    /// What becomes of the next request, given its number and its alcohols.
    script: Option<Script>,
    /// So many requests for metadata are refused with this status.
    silence: Option<(usize, u16)>,
    /// After so many predictions the model's input has another name.
    renamed_after: Option<usize>,
    requests: usize,
    /// How often each alcohol was in a request.
    seen: BTreeMap<u64, usize>,
    released: bool,
}

type Script = Box<dyn Fn(usize, &[f64]) -> Act + Send>;

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(script: impl Fn(usize, &[f64]) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State {
            script: Some(Box::new(script)),
            ..State::default()
        };
        let server = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new(state)),
            changed: Arc::default(),
            now: Arc::default(),
            most: Arc::default(),
        };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, stream) = (serving.clone(), stream.unwrap());
                // A client that goes away ends the thread.
                std::thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses the next requests for metadata.
    pub(crate) fn refuse_metadata(&self, times: usize, status: u16) {
        self.state.lock().unwrap().silence = Some((times, status));
    }

    /// After so many more requests for predictions another model is there: its input has another
    /// name.
    pub(crate) fn rename_input_after(&self, requests: usize) {
        let mut state = self.state.lock().unwrap();
        state.renamed_after = Some(state.requests + requests);
    }

    /// Requests for predictions that were under way at once, at most.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    /// How often this alcohol was in a request.
    pub(crate) fn seen(&self, alcohol: f64) -> usize {
        let state = self.state.lock().unwrap();
        state
            .seen
            .get(&alcohol.to_bits())
            .copied()
            .unwrap_or_default()
    }

    /// Waits until so many requests for predictions are under way.
    pub(crate) fn wait_for(&self, requests: usize) {
        let mut state = self.state.lock().unwrap();
        while self.now.load(Ordering::SeqCst) < requests {
            state = self.changed.wait(state).unwrap();
        }
    }

    /// Those who hang go on.
    pub(crate) fn release(&self) {
        self.state.lock().unwrap().released = true;
        self.changed.notify_all();
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let (path, body) = request(&mut reader)?;
            let stream = reader.get_mut();
            if path.ends_with("/metadata") {
                let (status, body) = self.state.lock().unwrap().metadata();
                write(stream, status, &body, usize::MAX)?;
                continue;
            }
            let document: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(document["signature_name"], "serving_default");
            let instances = document["instances"].as_array().unwrap();
            let input = self.state.lock().unwrap().input();
            if instances[0].get(input).is_none() {
                let error = json!({ "error": "there is no such input" }).to_string();
                write(stream, 400, &error, usize::MAX)?;
                continue;
            }
            let alcohol = |row: &Value| row[input][10].as_f64().unwrap();
            let alcohols: Vec<f64> = instances.iter().map(alcohol).collect();
            let act = {
                let mut state = self.state.lock().unwrap();
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                self.changed.notify_all();
                state.requests += 1;
                for alcohol in &alcohols {
                    *state.seen.entry(alcohol.to_bits()).or_default() += 1;
                }
                let act = state.script.as_ref().unwrap()(state.requests, &alcohols);
                while matches!(act, Act::Hang) && !state.released {
                    state = self.changed.wait(state).unwrap();
                }
                act
            };
            self.now.fetch_sub(1, Ordering::SeqCst);
            let predictions: Vec<_> = alcohols.iter().map(|alcohol| json!([alcohol])).collect();
            let answer = json!({ "predictions": predictions }).to_string();
            match act {
                Act::Answer | Act::Hang => write(stream, 200, &answer, usize::MAX)?,
                Act::AnswerAndClose => {
                    write(stream, 200, &answer, usize::MAX)?;
                    return None;
                }
                Act::Status(status) => {
                    let error = json!({ "error": "as told" }).to_string();
                    write(stream, status, &error, usize::MAX)?;
                }
                Act::Garbage => write(stream, 200, "<html>hello</html>", usize::MAX)?,
                Act::TooFew => {
                    let few = json!({ "predictions": predictions[1..] }).to_string();
                    write(stream, 200, &few, usize::MAX)?;
                }
                Act::Half => {
                    write(stream, 200, &answer, answer.len() / 2)?;
                    return None;
                }
                Act::Reset => return None,
            }
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

/// Writes an answer, or the first bytes of its body.
fn write(stream: &mut TcpStream, status: u16, body: &str, bytes: usize) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} As told\r\nContent-Length: {length}\r\n\r\n");
    let body = &body.as_bytes()[..length.min(bytes)];
    stream.write_all(&[head.as_bytes(), body].concat()).ok()
}

impl State {
    fn input(&self) -> &'static str {
        if self
            .renamed_after
            .is_some_and(|after| self.requests >= after)
        {
            "vine"
        } else {
            "wine"
        }
    }

    fn metadata(&mut self) -> (u16, String) {
        match &mut self.silence {
            Some((times @ 1.., status)) => {
                *times -= 1;
                (*status, json!({ "error": "as told" }).to_string())
            }
            _ => (200, metadata(self.input())),
        }
    }
}

/// As TensorFlow Serving describes a model of one vector in and one number out.
fn metadata(input: &str) -> String {
    let info = |name: &str, width: &str| {
        json!({ "dtype": "DT_FLOAT", "name": name, "tensor_shape": {
            "dim": [{ "size": "-1", "name": "" }, { "size": width, "name": "" }], "unknown_rank": false } })
    };
    let signature = json!({
        "inputs": { input: info("wine:0", "11") },
        "outputs": { "alcohol": info("out:0", "1") },
        "method_name": "tensorflow/serving/predict"
    });
    json!({
        "model_spec": { "name": "wine", "signature_name": "", "version": "3" },
        "metadata": { "signature_def": { "signature_def": { "serving_default": signature } } }
    })
    .to_string()
}
