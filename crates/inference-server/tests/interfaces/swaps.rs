//! Models that come, change and go while requests are answered.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::grpc::Client;
use crate::support::{PATIENCE, Served, copy, data, error, json, model};

fn predict(served: &Served) -> (u16, String) {
    served.post("/v1/models/half:predict", r#"{"instances": [2.0]}"#)
}

fn value(served: &Served) -> Option<f64> {
    let (status, text) = predict(served);
    (status == 200).then(|| json(&text)["predictions"][0].as_f64().unwrap())
}

fn place(served: &Served, from: &str, to: &str) {
    copy(&model(from), &served.directory.path().join(to));
}

fn remove(served: &Served, what: &str) {
    std::fs::remove_dir_all(served.directory.path().join(what)).unwrap();
}

#[test]
fn no_request_fails_while_versions_take_over() {
    const LAST: u64 = 20;
    let served = Served::start(&[("half/1/m.onnx", model("half_plus_two.onnx"))], &[]);
    let stop = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let load = |ask: &dyn Fn() -> Option<f64>| {
        while !stop.load(Ordering::Relaxed) {
            let value = ask();
            assert!(value == Some(3.0) || value == Some(4.0), "{value:?}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let by_rest = || load(&|| value(&served));
        let by_grpc = || {
            let client = Client::of(&served);
            load(&|| Some(client.half_of_two().unwrap().into()));
        };
        let clients = [
            scope.spawn(by_rest),
            scope.spawn(by_rest),
            scope.spawn(by_grpc),
            scope.spawn(by_grpc),
        ];
        for version in 2..=LAST {
            let name = if version % 2 == 0 {
                "half_plus_three.onnx"
            } else {
                "half_plus_two.onnx"
            };
            place(&served, name, &format!("half/{version}/m.onnx"));
            let expected = if version % 2 == 0 { 4.0 } else { 3.0 };
            let start = Instant::now();
            while value(&served) != Some(expected) {
                assert!(
                    start.elapsed() < PATIENCE,
                    "version {version} did not take over"
                );
            }
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
    });
    assert!(answered.load(Ordering::Relaxed) > LAST);
    let states = served.states("half");
    let (last, state) = &states[0];
    assert_eq!((&last[..], &state[..]), ("20", "AVAILABLE"));
    let old = served.post(
        "/v1/models/half/versions/1:predict",
        r#"{"instances": [2.0]}"#,
    );
    assert_eq!(old.0, 404);
}

#[test]
fn an_older_version_is_over_once_no_request_has_it() {
    let served = Served::start(&[("half/1/m.onnx", model("half_plus_two.onnx"))], &[]);
    place(&served, "half_plus_three.onnx", "half/2/m.onnx");
    served.until("half", &[("2", "AVAILABLE"), ("1", "END")]);
    // Back to the older one: the newer goes away.
    remove(&served, "half/2");
    served.until("half", &[("2", "END"), ("1", "AVAILABLE")]);
    assert_eq!(value(&served), Some(3.0));
    remove(&served, "half");
    served.until("half", &[("2", "END"), ("1", "END")]);
    assert_eq!(predict(&served).0, 404);
}

#[test]
fn half_a_copy_is_not_served_and_the_rest_of_it_is() {
    let served = Served::start(&[("half/1/m.onnx", model("half_plus_two.onnx"))], &[]);
    let whole = std::fs::read(model("half_plus_three.onnx")).unwrap();
    let file = served.directory.path().join("half/2/m.onnx");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    served.until("half", &[("2", "END"), ("1", "AVAILABLE")]);
    let (_, text) = served.get("/v1/models/half/versions/2");
    let status = &json(&text)["model_version_status"][0]["status"];
    assert!(
        status["error_message"]
            .as_str()
            .unwrap()
            .contains("there is no model"),
        "{text}"
    );
    for length in [whole.len() / 3, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).unwrap();
        let start = Instant::now();
        // Until this, too, has been tried: the error is another one.
        loop {
            assert_eq!(value(&served), Some(3.0));
            let (_, again) = served.get("/v1/models/half/versions/2");
            if again != text && again.contains("END") {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{again}");
        }
    }
    std::fs::write(&file, &whole).unwrap();
    served.until("half", &[("2", "AVAILABLE"), ("1", "END")]);
    assert_eq!(value(&served), Some(4.0));
}

#[test]
fn a_version_whose_files_change_is_loaded_anew() {
    let served = Served::start(&[("half/1/m.onnx", model("half_plus_two.onnx"))], &[]);
    assert_eq!(value(&served), Some(3.0));
    // A file that is no model leaves the one that is served.
    let file = served.directory.path().join("half/1/m.onnx");
    std::fs::write(&file, b"no model").unwrap();
    place(&served, "half_plus_two.onnx", "other/1/m.onnx");
    served.until("other", &[("1", "AVAILABLE")]);
    assert_eq!(value(&served), Some(3.0));
    place(&served, "half_plus_three.onnx", "half/1/m.onnx");
    let start = Instant::now();
    while value(&served) != Some(4.0) {
        assert!(start.elapsed() < PATIENCE);
    }
}

#[test]
fn a_broken_newest_version_does_not_keep_an_older_one_away_at_start() {
    let served = Served::start(
        &[
            ("half/1/m.onnx", model("half_plus_two.onnx")),
            ("half/2/m.onnx", model("make.py")),
            ("several/1/a.onnx", model("half_plus_two.onnx")),
            ("several/1/b.onnx", model("half_plus_two.onnx")),
        ],
        &[],
    );
    assert_eq!(
        served.states("half"),
        [("2", "END"), ("1", "AVAILABLE")].map(owned)
    );
    assert_eq!(value(&served), Some(3.0));
    let (_, text) = served.get("/v1/models/several");
    assert!(text.contains("several models"), "{text}");
    let (status, text) = served.post("/v1/models/several:predict", r#"{"instances": [2.0]}"#);
    assert_eq!(status, 404);
    assert_eq!(
        error(&text),
        "Servable not found for request: Latest(several)"
    );
}

fn owned((version, state): (&str, &str)) -> (String, String) {
    (version.to_owned(), state.to_owned())
}

/// Requests that are under way when the server is told to stop are answered.
#[test]
fn what_is_under_way_at_the_end_is_answered() {
    let mut served = Served::start(&[("wine/1/m.onnx", data("winequality.onnx"))], &[]);
    let row = "[7.4,0.7,0.0,1.9,0.076,11.0,34.0,0.9978,3.51,0.56,9.4]";
    let body = format!("{{\"instances\": [{}]}}", vec![row; 20_000].join(","));
    let url = served.url("/v1/models/wine:predict");
    let answer = std::thread::spawn(move || {
        let mut response = ureq::post(&url).send(body.as_bytes()).unwrap();
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(1 << 30);
        (status, body.read_to_string().unwrap().len())
    });
    let is_read = |served: &Served| {
        // The request is there when its connection is; whether it is read does not matter.
        served.get("/metrics").0 == 200
    };
    assert!(is_read(&served));
    let address = served.server().http();
    while !answer.is_finished() && !is_established(address.port()) {
        std::thread::yield_now();
    }
    assert!(served.stop());
    let (status, length) = answer.join().unwrap();
    assert_eq!(status, 200);
    assert!(length > 1_000_000);
}

/// Whether a client has more than the test's own connection to this port.
fn is_established(port: u16) -> bool {
    let table = std::fs::read_to_string(Path::new("/proc/net/tcp")).unwrap_or_default();
    let local = format!(":{port:04X} ");
    let established = table.lines().filter(|line| {
        let mut cells = line.split_whitespace().skip(1);
        let is_local = cells
            .next()
            .is_some_and(|cell| format!("{cell} ").ends_with(&local));
        is_local && cells.nth(1) == Some("01")
    });
    established.count() > 1
}
