//! TensorFlow Serving's own client, where a Python with it is named in `FOREIGN_PYTHON`:
//! `tests/foreign.sh` makes one, and `.ci/run` does so where it can.

use std::process::Command;

use crate::support::{Served, data, model};

#[test]
fn the_client_of_tensorflow_serving_is_served() {
    let Ok(python) = std::env::var("FOREIGN_PYTHON") else {
        eprintln!("not run: FOREIGN_PYTHON names no Python with tensorflow-serving-api");
        return;
    };
    let served = Served::start(
        &[
            ("half/123/m.onnx", model("half_plus_two.onnx")),
            ("named/1/m.onnx", model("named.onnx")),
            ("forest/1/m.pmml", data("winequality-random-forest.pmml")),
        ],
        &["--request-limit", "1"],
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign.py");
    let address = served.server().grpc().to_string();
    let ran = Command::new(python)
        .args([script, &address])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    print!("{text}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success());
    assert!(text.lines().filter(|line| line.starts_with("ok")).count() > 20);
}
