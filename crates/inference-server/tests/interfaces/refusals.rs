//! What cannot be answered: the status codes and the words of the real server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json as value;

use crate::support::{PATIENCE, Served, data, error, json, model};

fn served() -> Served {
    Served::start(
        &[
            ("half/1/model.onnx", model("half_plus_two.onnx")),
            ("named/1/model.onnx", model("named.onnx")),
            ("wine/1/model.onnx", data("winequality.onnx")),
            ("sums/1/m.pb", model("sums.pb")),
            ("forest/1/m.pmml", data("winequality-random-forest.pmml")),
        ],
        &["--request-limit", "1"],
    )
}

/// Whether the request is refused with this status, and an error that has this in it.
fn refused(served: &Served, path: &str, body: &str, status: u16, says: &str) {
    let (found, text) = served.post(&format!("/v1/models/{path}"), body);
    assert_eq!(found, status, "{path} {body}: {text}");
    let message = error(&text);
    assert!(message.contains(says), "{path} {body}: {message}");
}

#[test]
fn bodies_that_are_no_request() {
    let served = served();
    for (body, says) in [
        ("", "JSON Parse error: The document is empty"),
        ("  ", "JSON Parse error: The document is empty"),
        ("\u{feff}", "JSON Parse error: The document is empty"),
        (
            "\u{feff}\u{feff}{}",
            "JSON Parse error: Invalid value. at offset: 3",
        ),
        (
            "instances = [1, 2]",
            "JSON Parse error: Invalid value. at offset: 0",
        ),
        (
            r#"{"instances": [1.0, 2.0]"#,
            "Missing a comma or } after an object member. at offset: 24",
        ),
        (
            r#"{"instances": [1.0 2.0]}"#,
            "Missing a comma or ] after an array element.",
        ),
        (r#"{"instances": [1.]}"#, "Miss fraction part in number."),
        (
            r#"{"instances": ["a"#,
            "Missing a closing quotation mark in string.",
        ),
        (
            r#"{"instances": [1.0]} x"#,
            "The document root must not be followed by other values.",
        ),
        (r#"{instances: [1.0]}"#, "Missing a name for object member."),
        ("[1.0]", "Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        (
            r#"{"instances": 1.0}"#,
            "Excepting 'instances' to be an list/array",
        ),
        (r#"{"instances": []}"#, "No values in 'instances' array"),
        (
            r#"{"instances": [1.0], "inputs": [1.0]}"#,
            "one of 'inputs' or 'instances' keys",
        ),
        (
            r#"{"signature_name": 5, "instances": [1.0]}"#,
            "'signature_name' key must be a string value.",
        ),
        (
            r#"{"signature_name": "x", "instances": [1.0]}"#,
            "Serving signature name: \"x\" not found in signature def",
        ),
    ] {
        refused(&served, "half:predict", body, 400, says);
    }
    let deep = format!("{{\"instances\": {}", "[".repeat(100_000));
    refused(&served, "half:predict", &deep, 400, "Nested too deeply");
}

#[test]
fn tensors_that_do_not_fit_the_model() {
    let served = served();
    for (path, body, says) in [
        (
            "half:predict",
            r#"{"instances": ["a"]}"#,
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\" Type: \
             String is not of expected type: float",
        ),
        (
            "half:predict",
            r#"{"instances": [1.0, [2.0]]}"#,
            "Expecting shape [] but got: [1]",
        ),
        (
            "half:predict",
            r#"{"instances": [1.0, [2.0, 3.0]]}"#,
            "Expecting tensor size: 1 but got: 2",
        ),
        (
            "half:predict",
            r#"{"instances": [[1.0, 2.0], [1.0]]}"#,
            "Expecting tensor size: 2 but got: 1",
        ),
        (
            "half:predict",
            r#"{"instances": [[1.0], [[1.0]]]}"#,
            "Expecting shape [1] but got: [1,1]",
        ),
        (
            "half:predict",
            r#"{"instances": [[[1.0], [1.0, 2.0]]]}"#,
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            "half:predict",
            r#"{"instances": [[1.0, [2.0]]]}"#,
            "Encountered list at unexpected level: 1 expected < 1",
        ),
        (
            "half:predict",
            r#"{"inputs": [[1.0], 2.0]}"#,
            "found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (
            "half:predict",
            r#"{"instances": [{"y": 1.0}]}"#,
            "JSON object: does not have named input: y",
        ),
        (
            "half:predict",
            r#"{"instances": [{"x": 1.0}, 2.0]}"#,
            "Expecting object but got list at item 1 of input list",
        ),
        (
            "half:predict",
            r#"{"instances": [1.0, {"x": 2.0}]}"#,
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            "half:predict",
            r#"{"inputs": {"y": [1.0]}}"#,
            "Missing named input: x in 'inputs' object.",
        ),
        (
            "half:predict",
            r#"{"instances": [16777217]}"#,
            "to float without loss of precision",
        ),
        (
            "named:predict",
            r#"{"instances": [1.0]}"#,
            "instances is a plain list, but expecting list of objects",
        ),
        (
            "named:predict",
            r#"{"inputs": [1.0]}"#,
            "inputs is a plain value/list, but expecting an object",
        ),
        (
            "named:predict",
            r#"{"instances": [{"tag": "a"}]}"#,
            "must only have keys: flag,sensor,signal,tag",
        ),
        (
            "named:predict",
            r#"{"instances": [{"tag": {"b64": "%"}}]}"#,
            "Unable to base64 decode",
        ),
        (
            "named:predict",
            r#"{"instances": [{"tag": {"b64": "/w=="}}]}"#,
            "not UTF-8",
        ),
        (
            "named:predict",
            r#"{"instances": [{"tag": {"c": 1}}]}"#,
            "not formatted correctly for base64 data",
        ),
        (
            "named:predict",
            r#"{"instances": [{"flag": 1}]}"#,
            "Type: Number is not of expected type: bool",
        ),
        (
            "named:predict",
            r#"{"instances": [{"signal": [1.5]}]}"#,
            "is not of expected type: int64",
        ),
        (
            "wine:predict",
            r#"{"instances": [[1.0, 2.0]]}"#,
            "input `inputs` takes float [?, 11], float [1, 2] was given",
        ),
        (
            "forest:predict",
            r#"{"instances": [{"alcohol": NaN}]}"#,
            "`alcohol` cannot be NaN",
        ),
        (
            "half:regress",
            "{}",
            "key 'examples' is expected and was not found",
        ),
        (
            "half:regress",
            r#"{"examples": []}"#,
            "'examples' value is an empty array",
        ),
        (
            "half:regress",
            r#"{"examples": [1]}"#,
            "Example must be JSON object but got JSON Number",
        ),
        (
            "half:regress",
            r#"{"examples": [{}]}"#,
            "Feature: x (data type: float) is required but could not be found.",
        ),
        (
            "half:regress",
            r#"{"examples": [{"x": "a"}]}"#,
            "Data types don't match. Expected type: float",
        ),
        (
            "half:regress",
            r#"{"examples": [{"x": [1, "a"]}]}"#,
            "Unexpected element type in feature: x expecting type: int64",
        ),
        (
            "half:regress",
            r#"{"examples": [{"x": [1.5]}, {"x": [-1e39]}]}"#,
            "Cannot convert JSON value: -1e+39 to float without loss of precision.",
        ),
        (
            "half:regress",
            r#"{"signature_name": "s", "examples": [{"x": 1}]}"#,
            "No signature was found with the name: s",
        ),
    ] {
        refused(&served, path, body, 400, says);
    }
}

#[test]
fn paths_and_methods() {
    let served = served();
    for (path, status, says) in [
        ("/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/models/half:predict", 400, "Malformed request: GET"),
        (
            "/v1/models/half/labels/stable/metadata",
            400,
            "Unrecognized servable version label: stable",
        ),
        (
            "/v1/models/half/versions/2",
            404,
            "Could not find version 2 of model half",
        ),
        (
            "/v1/models/nix/metadata",
            404,
            "Servable not found for request: Latest(nix)",
        ),
        ("/", 404, "there is nothing at /"),
    ] {
        let (found, text) = served.get(path);
        assert_eq!(found, status, "{path}: {text}");
        assert!(error(&text).contains(says), "{path}: {text}");
    }
    refused(
        &served,
        "half/version/1:predict",
        "{}",
        400,
        "Malformed request: POST",
    );
    let (status, text) = served.get("/health/ready");
    assert_eq!(
        (status, json(&text)["status"].as_str()),
        (200, Some("ready"))
    );
}

#[test]
fn a_request_that_is_too_large() {
    let served = served();
    let body = format!("{{\"instances\": [{}1.0]}}", "1.0,".repeat(300_000));
    refused(
        &served,
        "half:predict",
        &body,
        413,
        "larger than 1048576 bytes",
    );
    // One that does not say how long it is, and one that lies about being gigabytes long.
    for (head, says) in [
        ("Transfer-Encoding: chunked\r\n", "larger than"),
        ("Content-Length: 10000000000\r\n", "larger than"),
        (
            "Content-Encoding: br\r\nContent-Length: 2\r\n",
            "compressed",
        ),
    ] {
        let mut stream = TcpStream::connect(served.server().http()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\n{head}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        if head.contains("chunked") {
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            let body = chunk.repeat(40) + "0\r\n\r\n";
            stream.write_all(body.as_bytes()).unwrap();
        }
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        let status = if says == "compressed" { "415" } else { "413" };
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.contains(says), "{answer}");
    }
}

#[test]
fn a_compressed_request_is_unpacked_within_the_limit() {
    let served = served();
    let post = |body: &[u8]| {
        let url = served.url("/v1/models/half:predict");
        let request = ureq::post(url).header("Content-Encoding", "gzip");
        let request = request.config().http_status_as_error(false).build();
        let mut answer = request.send(body).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    };
    let packed = |text: &str| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let whole = packed("{\"instances\": [1.0, 2.0, 5.0]}");
    let (status, text) = post(&whole);
    assert_eq!(
        (status, &json(&text)["predictions"]),
        (200, &value!([2.5, 3.0, 4.5]))
    );
    // A megabyte of blanks is a thousand bytes.
    let (status, text) = post(&packed(&" ".repeat((1 << 20) + 1)));
    assert_eq!(status, 413, "{text}");
    for broken in [&whole[..whole.len() - 9], b"no gzip"] {
        let (status, text) = post(broken);
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("could not be decompressed"), "{text}");
    }
}

/// Where this machine keeps the source of a library is nobody's business.
#[test]
fn errors_do_not_say_where_this_machine_has_its_sources() {
    let served = served();
    let (status, text) = served.post("/v1/models/sums:predict", r#"{"instances": [[1.0, 2.0]]}"#);
    assert_eq!((status, &json(&text)["predictions"][0]), (200, &3.0.into()));
    let (status, text) = served.post("/v1/models/sums:predict", r#"{"instances": [[], []]}"#);
    assert_eq!(status, 400, "{text}");
    assert!(error(&text).starts_with("cannot run the graph: "), "{text}");
    assert!(!text.contains("registry"), "{text}");
}

/// HTTP/1.1 requests one behind the other, without waiting for answers.
#[test]
fn requests_in_a_pipeline_are_answered_in_order() {
    let served = served();
    let mut stream = TcpStream::connect(served.server().http()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut requests = String::new();
    for number in 0..20 {
        let body = format!("{{\"instances\": [{number}]}}");
        let close = if number == 19 {
            "Connection: close\r\n"
        } else {
            ""
        };
        requests += &format!(
            "POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\n{close}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let predictions: Vec<f64> = answers
        .split("\"predictions\": [")
        .skip(1)
        .map(|rest| rest.split('\n').next().unwrap().parse().unwrap())
        .collect();
    let expected: Vec<f64> = (0..20)
        .map(|number| f64::from(number) / 2.0 + 2.0)
        .collect();
    assert_eq!(predictions, expected);
}

/// An answer does not wait for what follows the request: a line break too many, or the beginning of
/// the next request.
#[test]
fn an_answer_comes_although_bytes_follow_the_request() {
    let served = served();
    let request = |number: u32| {
        let body = format!("{{\"instances\": [{number}]}}");
        let length = body.len();
        format!(
            "POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let (first, second) = (request(4), request(6));
    let head = second.find('{').unwrap();
    for (between, sent) in [
        ("", 0),
        ("\r\n", 0),
        ("\n", 0),
        ("", 12),
        ("", head),
        ("\r\n", head + 3),
    ] {
        let mut stream = TcpStream::connect(served.server().http()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (begun, rest) = second.split_at(sent);
        for (bytes, expected) in [
            (format!("{first}{between}{begun}"), "4.0"),
            (rest.to_owned(), "5.0"),
        ] {
            stream.write_all(bytes.as_bytes()).unwrap();
            let mut answer = String::new();
            while !answer.ends_with("\n}") {
                let mut piece = [0; 1024];
                let length = stream.read(&mut piece).unwrap();
                assert_ne!(length, 0, "{answer}");
                answer += std::str::from_utf8(&piece[..length]).unwrap();
            }
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            let predictions = format!("\"predictions\": [{expected}\n");
            assert!(answer.contains(&predictions), "{answer}");
        }
    }
}

/// What a scrape shows.
#[test]
fn requests_are_counted_by_outcome() {
    let served = served();
    served.post("/v1/models/half:predict", r#"{"instances": [1.0, 2.0]}"#);
    served.post("/v1/models/half:predict", r#"{"instances": ["a"]}"#);
    served.post("/v1/models/made-up:predict", r#"{"instances": [1]}"#);
    for path in ["/metrics", "/monitoring/prometheus/metrics"] {
        let (status, text) = served.get(path);
        assert_eq!(status, 200);
        for line in [
            "inference_server_requests_total{api=\"rest\",method=\"predict\",model=\"half\",status=\"OK\"} 1",
            "inference_server_requests_total{api=\"rest\",method=\"predict\",model=\"half\",status=\"INVALID_ARGUMENT\"} 1",
            "inference_server_requests_total{api=\"rest\",method=\"predict\",model=\"\",status=\"NOT_FOUND\"} 1",
            "inference_server_rows_total{model=\"half\"} 2",
            "inference_server_model_version{model=\"half\"} 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in {text}"
            );
        }
    }
}

/// A client that announces a body and does not send it.
#[test]
fn a_request_that_takes_too_long() {
    let served = Served::start(
        &[("half/1/m.onnx", model("half_plus_two.onnx"))],
        &["--request-timeout", "100ms"],
    );
    let mut stream = TcpStream::connect(served.server().http()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(answer.contains("Timed out"), "{answer}");
}
