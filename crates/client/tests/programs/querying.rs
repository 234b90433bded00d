//! What the state query prints of a server's answers.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use serde_json::{Value, json};

use crate::process::{Program, QUERY, command};

/// Answers every request for the state like this, until the test ends; on a port of its own.
fn serve(status: &'static str, body: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let body = body.to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request: Vec<String> = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            // A connection that is opened and not used is no request.
            let Some(first) = request.first() else {
                continue;
            };
            assert_eq!(first, "GET /state HTTP/1.1");
            let length = body.len();
            // Who asked may be gone.
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    address
}

/// A model's state, as the page on state queries has it.
fn model(data_type: &str, name: &str) -> Value {
    json!({
        "dataType": data_type, "name": name, "description": "random forest", "modelType": "PMML",
        "version": "17", "digest": "5a3c000000000000", "since": 1_700_000_000_000_u64,
        "usage": 280, "duration": 1.12, "average": 0.004, "min": 0.002, "max": 0.05,
        "total": {"average": 1.3, "min": 0.6, "max": 9.1}, "next": null,
    })
}

fn state(models: &[Value]) -> Value {
    json!({
        "strategy": "keyed", "instance": "127.0.0.1:5502", "since": 1_700_000_000_000_u64,
        "records": 280, "scored": 280, "noModel": 0, "deadLetters": 0, "models": models,
    })
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_table_has_a_row_for_every_data_type_at_every_query() {
    let address = serve(
        "200 OK",
        &state(&[model("wine", "forest"), model("wine-2", "tree")]),
    );
    let arguments = ["--id", &address, "--count", "2", "--interval", "20ms"];
    let (status, out, errors) = Program::start(QUERY, &arguments).end();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert_eq!(out.len(), 2 + 2 * 2, "{out:#?}");
    assert_eq!(
        cells(&out[0]),
        ["Name", "Description", "Since", "Average", "Min", "Max"]
    );
    let numbers = ["2023-11-14T22:13:20Z", "0.00400", "0.00200", "0.05000"];
    for (row, name) in out[2..].iter().zip(["forest", "tree"].iter().cycle()) {
        assert_eq!(
            cells(row),
            [&[*name, "random forest"], &numbers[..]].concat()
        );
        assert_eq!(row.len(), out[0].len());
    }
}

#[test]
fn json_has_an_object_per_model_as_the_server_sent_it() {
    let models = [model("wine", "forest"), model("wine-2", "tree")];
    let address = serve("200 OK", &state(&models));
    let arguments = ["-i", &address, "--count", "1", "--json"];
    let (status, out, errors) = Program::start(QUERY, &arguments).end();
    assert_eq!(status.code(), Some(0), "{errors}");
    let objects: Vec<Value> = out
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects, models);
}

#[test]
fn the_server_is_the_one_that_wrote_the_file_last() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--interval", "20ms"];
    let query = Program::run(command(QUERY, &arguments, directory.path()));
    // Not there yet.
    let file = directory.path().join("keyed-server.id");
    query.complains(
        &file
            .canonicalize()
            .unwrap_or(file.clone())
            .display()
            .to_string(),
    );
    let first = serve("200 OK", &state(&[model("wine", "first")]));
    std::fs::write(&file, format!("{first}\n")).unwrap();
    query.says("first");
    // It stops, and what comes after it has another address.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = gone.local_addr().unwrap().to_string();
    drop(gone);
    std::fs::write(&file, &nobody).unwrap();
    query.complains(&format!("no server's state at {nobody}"));
    let second = serve("200 OK", &state(&[model("wine", "second")]));
    std::fs::write(&file, &second).unwrap();
    query.says("second");
    query.interrupt();
    let (status, _, errors) = query.end();
    assert_eq!(status.code(), Some(0), "{errors}");
}

#[test]
fn without_any_answer_it_says_where_it_looked_and_fails() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.id");
    std::fs::write(&empty, "\n").unwrap();
    let other = serve("200 OK", &json!(["no state"]));
    let busy = serve(
        "503 Service Unavailable",
        &json!({ "error": "the strategy does not answer" }),
    );
    let missing = directory.path().join("missing.id");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    for (arguments, reason) in [
        (["-f".to_owned(), path(&missing)], path(&missing)),
        (
            ["--file".to_owned(), path(&empty)],
            "holds no address".to_owned(),
        ),
        (
            ["-i".to_owned(), other],
            "this is no state of models".to_owned(),
        ),
        (
            ["-i".to_owned(), busy],
            "the strategy does not answer".to_owned(),
        ),
        (
            ["-i".to_owned(), "no address".to_owned()],
            "no address".to_owned(),
        ),
    ] {
        let [flag, value] = &arguments;
        let arguments = [flag, value, "--count", "2", "--interval", "1ms"];
        let (status, out, errors) = Program::start(QUERY, &arguments).end();
        assert_eq!((status.code(), out), (Some(1), vec![]), "{errors}");
        assert!(errors.contains(&reason), "{reason} in {errors}");
        assert!(errors.contains("no server has answered"), "{errors}");
        assert_eq!(errors.matches("no answer: ").count(), 1, "{errors}");
    }
}

#[test]
fn whoever_reads_the_table_may_go_away() {
    let address = serve("200 OK", &state(&[model("wine", "forest")]));
    let arguments = ["--id", &address, "--interval", "5ms"];
    let mut child = command(QUERY, &arguments, Path::new("/"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
}
