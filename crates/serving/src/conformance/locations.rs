use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use protobufs::ModelDescriptor;
use protobufs::model_descriptor::MessageContent;

use super::bad_records::check_headers;
use super::world::{Scored, World, regression, regression_document, wine};

/// A directory of one scenario's own, which goes with it.
struct Place(PathBuf);

impl Place {
    fn new(world: &World) -> Self {
        let path = std::env::temp_dir().join(world.topic("place"));
        fs::create_dir_all(path.join("models")).expect("a directory");
        Self(path)
    }

    /// Writes a regression, and returns where it is.
    fn write(&self, name: &str, intercept: f64) -> String {
        let path = self.0.join(name);
        fs::write(&path, regression_document("alcohol", intercept)).expect("a file");
        path.display().to_string()
    }

    fn root(&self) -> String {
        self.0.join("models").display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A web server with one model, or without it for a while.
struct WebServer {
    root: String,
    requests: Arc<AtomicUsize>,
    available: Arc<AtomicBool>,
    document: Arc<Mutex<String>>,
}

impl WebServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Self {
            root: format!("http://{address}/models"),
            requests: Arc::default(),
            available: Arc::default(),
            document: Arc::default(),
        };
        let (requests, available, document) = (
            Arc::clone(&server.requests),
            Arc::clone(&server.available),
            Arc::clone(&server.document),
        );
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let document = document.lock().unwrap_or_else(PoisonError::into_inner);
                let answer = if available.load(Ordering::SeqCst) {
                    format!(
                        "200 OK\r\nContent-Length: {}\r\n\r\n{document}",
                        document.len()
                    )
                } else {
                    "503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned()
                };
                if respond(stream, &answer).is_some() {
                    requests.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        server
    }

    fn has(&self, intercept: f64) {
        let mut document = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        *document = regression_document("alcohol", intercept);
    }

    fn url(&self) -> String {
        format!("{}/wine.pmml", self.root)
    }
}

fn respond(mut stream: TcpStream, answer: &str) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let answer = format!("HTTP/1.1 {answer}").replacen("\r\n", "\r\nConnection: close\r\n", 1);
    stream.write_all(answer.as_bytes()).ok()
}

/// A regression that is elsewhere.
fn elsewhere(data_type: &str, name: &str, location: &str) -> ModelDescriptor {
    ModelDescriptor {
        message_content: Some(MessageContent::Location(location.to_owned())),
        ..regression(data_type, name, 0.0)
    }
}

/// The value of the last of so many records, and the model that scored it. The records of a server
/// that has just started may come again while its workers share the partitions out.
fn last(world: &World, count: i64) -> (Option<f64>, String) {
    let last = |scored: &&Scored| scored.result.source_offset == count - 1;
    let results = world.results_until(|results| results.iter().any(|scored| last(&scored)));
    let result = &results
        .iter()
        .find(last)
        .expect("what was waited for")
        .result;
    (result.value, result.model_name.clone())
}

pub(super) fn by_reference(world: &World) {
    let place = Place::new(world);
    let outside = place.write("outside.pmml", 1000.0);
    let inside = place.write("models/wine.pmml", 1.0);
    let digest = model::Digest::of(regression_document("alcohol", 1.0).as_bytes());
    let server = world.start(&["--model-roots", &place.root()]);
    let verified = ModelDescriptor {
        sha256: Bytes::copy_from_slice(&digest.0),
        ..elsewhere("wine", "by path", &inside)
    };
    world.model(&verified);
    server.wait_for_model("wine", "by path");
    // What serves is what was there then.
    place.write("models/wine.pmml", 2.0);
    world.records(&[wine("wine", 1.0)]);
    assert_eq!(last(world, 1), (Some(2.0), "by path".to_owned()));
    let refused = [
        (outside.clone(), "under a root"),
        (format!("{}/../outside.pmml", place.root()), "under a root"),
        (format!("file://{outside}"), "under a root"),
        ("/etc/passwd".to_owned(), "under a root"),
        (
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "under a root",
        ),
        ("s3://bucket/wine.pmml".to_owned(), "under a root"),
        ("gopher://host/wine.pmml".to_owned(), "known: file"),
        (format!("{}/missing.pmml", place.root()), "nothing at"),
        (inside, "SHA-256"),
    ];
    for (n, (location, _)) in (1..).zip(&refused) {
        let refused = ModelDescriptor {
            sha256: Bytes::copy_from_slice(&digest.0),
            ..elsewhere("wine", "refused", location)
        };
        world.model(&refused);
        server.wait_for_count("deadLetters", n);
    }
    let topic = world.topic("models");
    for (n, (letter, (location, reason))) in
        (1..).zip(world.dead_letters(refused.len()).iter().zip(&refused))
    {
        check_headers(letter, &topic, n, "model-refused", world.name());
        let said = letter
            .headers
            .iter()
            .find(|(name, _)| name == "errors.message");
        let said = said
            .and_then(|(_, text)| text.as_deref())
            .unwrap_or_default();
        let said = String::from_utf8_lossy(said);
        assert!(said.contains(reason), "{location}: {said}");
    }
    world.records(&[wine("wine", 3.0)]);
    assert_eq!(last(world, 2), (Some(4.0), "by path".to_owned()));
    server.stop();
}

pub(super) fn not_yet_reachable(world: &World) {
    let web = WebServer::start();
    web.has(10.0);
    let flags = ["--model-roots", web.root.as_str()];
    world.model(&regression("wine", "old", 1.0));
    let server = world.start(&flags);
    world.model(&elsewhere("wine", "late", &web.url()));
    // It has been tried, and others go on.
    let tried = |requests: usize| {
        server.wait_for("/health/live", |_| {
            web.requests.load(Ordering::SeqCst) >= requests
        });
    };
    tried(1);
    world.model(&regression("other", "other", 100.0));
    server.wait_for_model("other", "other");
    world.records(&[wine("wine", 1.0)]);
    assert_eq!(last(world, 1), (Some(2.0), "old".to_owned()));
    tried(6);
    assert_eq!(server.get("/state").1["deadLetters"], 0);
    web.available.store(true, Ordering::SeqCst);
    server.wait_for_model("wine", "late");
    world.records(&[wine("wine", 1.0)]);
    assert_eq!(last(world, 2), (Some(11.0), "late".to_owned()));
    // A newer one is not replaced by an older one that comes late.
    web.available.store(false, Ordering::SeqCst);
    world.model(&elsewhere("wine", "too late", &web.url()));
    tried(web.requests.load(Ordering::SeqCst) + 1);
    world.model(&regression("wine", "newer", 20.0));
    server.wait_for_model("wine", "newer");
    web.available.store(true, Ordering::SeqCst);
    world.model(&elsewhere("other", "after", &web.url()));
    server.wait_for_model("other", "after");
    world.records(&[wine("wine", 1.0)]);
    assert_eq!(last(world, 3), (Some(21.0), "newer".to_owned()));
    assert_eq!(server.get("/state").1["deadLetters"], 0);
    server.stop();
}

pub(super) fn not_reachable_at_start(world: &World) {
    let web = WebServer::start();
    web.has(10.0);
    let flags = ["--model-roots", web.root.as_str()];
    world.model(&regression("wine", "before", 1.0));
    world.model(&elsewhere("wine", "newest", &web.url()));
    let server = world.start(&flags);
    world.records(&[wine("wine", 1.0)]);
    assert_eq!(last(world, 1), (Some(2.0), "before".to_owned()));
    web.available.store(true, Ordering::SeqCst);
    server.wait_for_model("wine", "newest");
    world.records(&[wine("wine", 1.0)]);
    assert_eq!(last(world, 2), (Some(11.0), "newest".to_owned()));
    server.stop();
    // It is given up in the end.
    web.available.store(false, Ordering::SeqCst);
    let server = world.start(&[flags[0], flags[1], "--model-retry-for", "1ms"]);
    server.wait_for_count("deadLetters", 1);
    let letters = world.dead_letters(1);
    check_headers(
        &letters[0],
        &world.topic("models"),
        1,
        "model-refused",
        world.name(),
    );
    world.records(&[wine("wine", 2.0)]);
    assert_eq!(last(world, 3), (Some(3.0), "before".to_owned()));
    // A server that is waiting for a model ends at once.
    world.model(&elsewhere("wine", "newest", &web.url()));
    server.stop();
}
