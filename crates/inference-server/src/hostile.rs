//! Requests that nobody means well by.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use proptest::prelude::*;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::catalogue::Catalogue;
use crate::json::Json;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::version::Version;
use crate::{grpc, rest};

const VERBS: [&str; 3] = ["predict", "classify", "regress"];
const MODELS: [&str; 3] = ["half", "named", "tree"];

fn service() -> Arc<Service> {
    let directory = tempfile::tempdir().unwrap();
    let catalogue = Arc::new(Catalogue::default());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, file) in [
        ("half", "tests/models/half_plus_two.onnx"),
        ("named", "tests/models/named.onnx"),
        ("tree", "../../data/models/winequality-decision-tree.pmml"),
    ] {
        let place = directory.path().join(name);
        std::fs::create_dir(&place).unwrap();
        let file = root.join(file);
        std::fs::copy(&file, place.join(file.file_name().unwrap())).unwrap();
        catalogue.switch(name, Arc::new(Version::load(name, 1, &place).unwrap()));
    }
    let metrics = Arc::new(Metrics::new().unwrap());
    let limit = Duration::from_secs(30);
    Arc::new(Service::new(catalogue, metrics, 1 << 20, limit))
}

fn post(runtime: &Runtime, router: &Router, path: &str, body: Vec<u8>) -> (StatusCode, String) {
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .body(Body::from(body))
        .unwrap();
    runtime.block_on(async {
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let grpc = response.headers().get("grpc-status").cloned();
        let text = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let grpc = grpc.map(|status| status.to_str().unwrap().to_owned());
        let text = grpc.unwrap_or_else(|| String::from_utf8_lossy(&text).into_owned());
        (status, text)
    })
}

/// Something like JSON: what is in requests, put together anyhow.
fn almost_json() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"instances\"",
        "\"inputs\"",
        "\"examples\"",
        "\"context\"",
        "\"signature_name\"",
        "\"x\"",
        "\"b64\"",
        "\"tag\"",
        "\"alcohol\"",
        "1",
        "-1.5e3",
        "1e999",
        "NaN",
        "-Infinity",
        "18446744073709551615",
        "null",
        "true",
        "\"\\ud800\"",
        "\"\\u00e9\"",
        "\"",
        "\\",
        " ",
        "{\"b64\":\"AA==\"}",
        "[[1,2],[3]]",
        "{\"x\":[1.0]}",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

/// JSON of the right outer form, with any values.
fn wrapped() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<f64>().prop_map(|number| format!("{number:e}")),
        any::<i64>().prop_map(|number| number.to_string()),
        "[a-z]{0,3}".prop_map(|text| format!("\"{text}\"")),
        Just("null".to_owned()),
        Just("NaN".to_owned()),
        Just("true".to_owned()),
        Just("{\"b64\":\"AA==\"}".to_owned()),
    ];
    let names = || prop::sample::select(vec!["x", "tag", "signal", "flag", "alcohol", "b64"]);
    let nested = value.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec((names(), inner), 0..4).prop_map(|members| {
                let members = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    });
    let key = prop::sample::select(vec!["instances", "inputs", "examples"]);
    (key, nested).prop_map(|(key, value)| format!("{{\"{key}\":{value}}}"))
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in almost_json(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for text in [text.as_bytes(), &bytes] {
            if let Ok(json) = Json::parse(text) {
                json.root().shown();
            }
        }
    }
}

#[test]
fn every_body_over_http_is_answered() {
    let runtime = Runtime::new().unwrap();
    let router = rest::router(service());
    let bodies = prop_oneof![
        almost_json().prop_map(String::into_bytes),
        wrapped().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..64),
    ];
    proptest!(|(body in bodies, model in 0..3usize, verb in 0..3usize)| {
        let path = format!("/v1/models/{}:{}", MODELS[model], VERBS[verb]);
        let (status, text) = post(&runtime, &router, &path, body);
        prop_assert!(status == 200 || status == 400, "{status} {text}");
        prop_assert_eq!(status == 400, text.starts_with("{ \"error\": "), "{}", text);
    });
}

#[test]
fn every_body_over_grpc_is_answered() {
    let runtime = Runtime::new().unwrap();
    let router = grpc::router(service());
    // A model spec for `half`, and then anything; or anything at all.
    let tail = || prop::collection::vec(any::<u8>(), 0..48);
    let message = prop_oneof![
        tail(),
        (Just(b"\x0a\x06\x0a\x04half".to_vec()), tail())
            .prop_map(|(head, tail)| [head, tail].concat()),
        // With an input `x` of type float, and then anything in it.
        tail().prop_map(|tail| {
            let tensor = [b"\x08\x01".to_vec(), tail].concat();
            let entry = [b"\x0a\x01x\x12".to_vec(), vec![tensor.len() as u8], tensor].concat();
            [
                b"\x0a\x06\x0a\x04half\x12".to_vec(),
                vec![entry.len() as u8],
                entry,
            ]
            .concat()
        }),
    ];
    let methods = ["Predict", "Classify", "Regress", "GetModelMetadata"];
    proptest!(|(message in message, method in 0..4usize, honest in any::<bool>())| {
        let length = message.len() as u32 + u32::from(!honest) * 0x7000_0000;
        let body = [vec![0], length.to_be_bytes().to_vec(), message].concat();
        let path = format!("/tensorflow.serving.PredictionService/{}", methods[method]);
        let (status, grpc) = post(&runtime, &router, &path, body);
        prop_assert_eq!(status, 200);
        // What is answered has its status behind it; 13 is a message that does not decode.
        prop_assert!(grpc.parse::<u8>().is_err() || ["3", "5", "9", "11", "13", "8"].contains(&&grpc[..]), "{}", grpc);
    });
}
