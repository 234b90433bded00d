//! The program: its ready line, its end, and what it says when it cannot start.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use crate::support::{copy, json, model};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inference-server"));
    let directory = std::env::temp_dir();
    command.args(arguments).current_dir(directory);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn ended(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(arguments).output().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Ends the program if the test does not.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_where_it_is_ready_and_ends_well_after_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    copy(
        &model("half_plus_two.onnx"),
        &directory.path().join("half/1/m.onnx"),
    );
    let models = directory.path().to_str().unwrap();
    let any = "127.0.0.1:0";
    let mut program = Running(
        command(&["--models", models, "--http", any, "--grpc", any])
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
    let ready = lines.find_map(|line| {
        let line = line.unwrap();
        line.starts_with("ready ").then_some(line)
    });
    let ready = ready.unwrap();
    let parts: Vec<_> = ready.split(' ').collect();
    let [_, "inference-server", http, grpc] = parts[..] else {
        panic!("{ready}")
    };
    assert!(grpc.starts_with("grpc=grpc://127.0.0.1:"), "{ready}");
    let url = format!(
        "{}/v1/models/half:predict",
        http.strip_prefix("http=").unwrap()
    );
    let mut answer = ureq::post(&url).send(r#"{"instances": [1.0]}"#).unwrap();
    let answer = answer.body_mut().read_to_string().unwrap();
    assert_eq!(json(&answer)["predictions"][0].as_f64(), Some(2.5));
    let id = program.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(program.0.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_usage_is_2_and_what_cannot_be_had_is_1() {
    let directory = tempfile::tempdir().unwrap();
    let models = directory.path().to_str().unwrap();
    let any = "127.0.0.1:0";
    assert_eq!(ended(&["--no-such-flag"]).0, Some(2));
    assert_eq!(ended(&["--request-limit", "0"]).0, Some(2));
    let (code, text) = ended(&["--models", models, "--http", "8501", "--grpc", any]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--http"), "{text}");
    let taken = TcpListener::bind(any).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = ended(&["--models", models, "--http", any, "--grpc", &address]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&address) && text.contains("--grpc"), "{text}");
    let (code, text) = ended(&[
        "--models",
        "/no/such/directory",
        "--http",
        any,
        "--grpc",
        any,
    ]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("--models"), "{text}");
}

#[test]
fn settings_can_be_shown_and_come_from_the_environment() {
    let mut shown = command(&["--dump-config", "--http", "127.0.0.1:1"]);
    shown
        .env("MODEL_SERVING_GRPC", "127.0.0.1:2")
        .env("MODEL_SERVING_POLL_INTERVAL", "5s");
    let mut program = shown.spawn().unwrap();
    let mut text = String::new();
    program
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(0));
    for line in [
        "models = \"data/models\"",
        "http = \"127.0.0.1:1\"",
        "grpc = \"127.0.0.1:2\"",
        "poll-interval = \"5s\"",
        "request-timeout = \"30s\"",
        "request-limit = 64",
    ] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
}
