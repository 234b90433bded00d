//! SavedModels: the tutorial's request, and the real server's own model, whose signatures for
//! `classify` and `regress` parse examples.

use std::path::PathBuf;

use crate::support::{Served, copy, data, error, json, model};
use serde_json::json as value;

fn served(models: &[(&str, PathBuf)]) -> Served {
    Served::start(models, &[])
}

#[test]
fn the_request_of_the_tutorial() {
    let served = served(&[("wine", data("wine"))]);
    let body = r#"{"signature_name":"predict","instances":[{"inputs":[7.4,0.7,0.0,1.9,0.076,11.0,34.0,0.9978,3.51,0.56,9.4]}]}"#;
    let (status, text) = served.post("/v1/models/wine/versions/1:predict", body);
    assert_eq!(status, 200, "{text}");
    let golden = std::fs::read_to_string(data("../golden/winequality-savedmodel.csv")).unwrap();
    let cells: Vec<f64> = golden
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .skip(1)
        .map(|cell| cell.parse().unwrap())
        .collect();
    let answer = json(&text);
    let scores = answer["predictions"][0].as_array().unwrap();
    assert_eq!(scores.len(), cells.len());
    for (score, expected) in scores.iter().zip(&cells) {
        assert!((score.as_f64().unwrap() - expected).abs() < 1e-6, "{text}");
    }
    // It has no other signature, and the usual one is meant where none is named.
    let (status, text) = served.post("/v1/models/wine:predict", r#"{"instances": [[1.0]]}"#);
    let expected = "Serving signature name: \"serving_default\" not found in signature def";
    assert_eq!((status, &error(&text)[..]), (400, expected));
    let (status, text) = served.get("/v1/models/wine/versions/1/metadata");
    assert_eq!(status, 200);
    let signature = json(&text)["metadata"]["signature_def"]["signature_def"]["predict"].clone();
    assert_eq!(signature["inputs"]["inputs"]["dtype"], "DT_FLOAT");
    assert_eq!(signature["method_name"], "tensorflow/serving/predict");
}

/// Requests and answers of the real server's tests (`http_rest_api_handler_test.cc`,
/// `predict_impl_test.cc`) and of its documentation, on a model that is made as theirs is. `make.py`
/// prints what TensorFlow has for the examples.
#[test]
fn signatures_for_each_method() {
    let served = served(&[("half", model("half_plus_two"))]);
    assert_eq!(served.states("half"), []);
    copy(
        &model("half_plus_two"),
        &served.directory.path().join("half/00000123"),
    );
    served.until("half", &[("123", "AVAILABLE")]);
    for (verb, body, expected) in [
        (
            "predict",
            r#"{"instances": [1.0, 2.0, 5.0]}"#,
            value!({"predictions": [2.5, 3.0, 4.5]}),
        ),
        (
            "predict",
            r#"{"inputs": [3.0, 4.0]}"#,
            value!({"outputs": [3.5, 4.0]}),
        ),
        (
            "predict",
            r#"{"signature_name": "serving_default", "instances": [[3.0], [4.0]]}"#,
            value!({"predictions": [[3.5], [4.0]]}),
        ),
        (
            "regress",
            r#"{"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}]}"#,
            value!({"results": [42.0]}),
        ),
        // What nobody asks for may be bytes that are no text.
        (
            "regress",
            r#"{"signature_name": "regress_x_to_y", "examples": [{"x": 80.0, "image": {"b64": "/9g="}}]}"#,
            value!({"results": [42.0]}),
        ),
        (
            "regress",
            r#"{"signature_name": "regress_x_to_y2", "examples": [{"x": 80.0}, {"x": 20.0, "x2": 4.0}]}"#,
            value!({"results": [43.0, 13.0]}),
        ),
        (
            "predict",
            r#"{"signature_name": "regress_x2_to_y3", "inputs": [[0.0], [4.0]]}"#,
            value!({"outputs": [[3.0], [5.0]]}),
        ),
        (
            "classify",
            r#"{"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}, {"x": [10.0]}]}"#,
            value!({"results": [[["", 12.0]], [["", 7.0]]]}),
        ),
    ] {
        let (status, text) = served.post(&format!("/v1/models/half:{verb}"), body);
        assert_eq!((status, json(&text)), (200, expected), "{body}");
    }
    for (verb, body, says) in [
        (
            "regress",
            r#"{"examples": [{"x": 1.0}]}"#,
            "Was: tensorflow/serving/predict",
        ),
        (
            "classify",
            r#"{"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}]}"#,
            "method_name to be tensorflow/serving/classify. Was: tensorflow/serving/regress",
        ),
        (
            "regress",
            r#"{"signature_name": "regress_x_to_y", "examples": [{"y": 1.0}]}"#,
            "Feature: x (data type: float) is required but could not be found.",
        ),
        // It takes a number for each row, and regressions are fed examples.
        (
            "regress",
            r#"{"signature_name": "regress_x2_to_y3", "examples": [{"x2": 4.0, "inputs": 4.0}]}"#,
            "Expects arg[0] to be float but string is provided",
        ),
    ] {
        let (status, text) = served.post(&format!("/v1/models/half:{verb}"), body);
        assert_eq!(status, 400, "{text}");
        assert!(error(&text).contains(says), "{text}");
    }
    // What the model says of itself is told, not what the server makes of it.
    let (_, text) = served.get("/v1/models/half/metadata");
    let signatures = json(&text)["metadata"]["signature_def"]["signature_def"].clone();
    assert_eq!(
        signatures["regress_x_to_y"]["inputs"]["inputs"]["dtype"],
        "DT_STRING"
    );
    assert_eq!(
        signatures["classify_x_to_y"]["method_name"],
        "tensorflow/serving/classify"
    );
}

#[test]
fn a_saved_model_without_its_variables_waits_for_them() {
    let served = served(&[]);
    let place = served.directory.path().join("half/1");
    let source = model("half_plus_two");
    copy(
        &source.join("saved_model.pb"),
        &place.join("saved_model.pb"),
    );
    served.until("half", &[("1", "END")]);
    let (_, text) = served.get("/v1/models/half");
    let status = &json(&text)["model_version_status"][0]["status"];
    assert_eq!(status["error_code"], "INVALID_ARGUMENT", "{text}");
    copy(&source.join("variables"), &place.join("variables"));
    served.until("half", &[("1", "AVAILABLE")]);
    let (status, text) = served.post("/v1/models/half:predict", r#"{"instances": [1.0]}"#);
    assert_eq!((status, json(&text)), (200, value!({"predictions": [2.5]})));
}

/// The numbers are those that TensorFlow has for the same examples: `make.py` prints them.
#[test]
fn features_that_are_not_there_have_their_default() {
    let served = served(&[("parsed/1", model("parsed"))]);
    let body = r#"{"examples": [{"x": [1.0, 2.0]}, {"x": [1.0, 2.0], "z": -1}]}"#;
    let (status, text) = served.post("/v1/models/parsed:regress", body);
    assert_eq!(
        (status, json(&text)),
        (200, value!({"results": [15.0, 4.0]}))
    );
    let body = r#"{"examples": [{"x": [1.0]}]}"#;
    let (status, text) = served.post("/v1/models/parsed:regress", body);
    assert_eq!(status, 400);
    assert_eq!(error(&text), "Feature: x has 1 values, 2 are expected");
}

/// The numbers are those that TensorFlow has for the same examples: `make.py` prints them.
#[test]
fn classes_have_the_labels_of_the_model() {
    let served = served(&[("classes/1", model("classes"))]);
    let scores = [
        [0.108_027_67, 0.882_172_3, 0.009_800_049],
        [0.258_854_84, 0.576_092_06, 0.165_053_13],
    ];
    let examples =
        r#""examples": [{"x": [1.0, 2.0], "id": "a"}, {"x": [-1.0, 0.5], "k": 1, "id": "b"}]"#;
    for (signature, labels) in [
        ("serving_default", ["cat", "dog", "eel"]),
        ("shaped", ["cat", "dog", "eel"]),
        ("ranged", ["0", "1", "2"]),
        // These are no names of the columns, or there is none for each.
        ("ranked", [""; 3]),
        ("repeated", [""; 3]),
    ] {
        let body = format!(r#"{{"signature_name": "{signature}", {examples}}}"#);
        let (status, text) = served.post("/v1/models/classes:classify", body);
        assert_eq!(status, 200, "{text}");
        let answer = json(&text);
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), scores.len());
        for (result, scores) in results.iter().zip(&scores) {
            let pairs = result.as_array().unwrap();
            assert_eq!(pairs.len(), scores.len());
            for ((pair, label), score) in pairs.iter().zip(labels).zip(scores) {
                assert_eq!(pair[0], label, "{signature}: {text}");
                assert!((pair[1].as_f64().unwrap() - score).abs() < 1e-6, "{text}");
            }
        }
    }
    let body = r#"{"signature_name": "predict", "instances": [{"x": [1.0, 2.0], "k": [3]}, {"x": [-1.0, 0.5], "k": [1]}]}"#;
    let (status, text) = served.post("/v1/models/classes:predict", body);
    assert_eq!(status, 200, "{text}");
    let answer = json(&text);
    for (row, scores) in scores.iter().enumerate() {
        let prediction = &answer["predictions"][row];
        assert_eq!(prediction["all_classes"], value!(["cat", "dog", "eel"]));
        assert_eq!(prediction["class_ids"], value!([1]));
        let first = prediction["probabilities"][0].as_f64().unwrap();
        assert!((first - scores[0]).abs() < 1e-6, "{text}");
    }
    // Strings that have to be computed: beside the number of the class, and alone.
    let body = r#"{"signature_name": "named", "inputs": {"x": [[1.0, 2.0]], "k": [[3]]}}"#;
    let (status, text) = served.post("/v1/models/classes:predict", body);
    assert_eq!(
        (status, &json(&text)["outputs"]),
        (200, &value!([[1]])),
        "{text}"
    );
    let body = format!(r#"{{"signature_name": "alone", {examples}}}"#);
    let (status, text) = served.post("/v1/models/classes:classify", body);
    assert_eq!(status, 400, "{text}");
    let says = "signature \"alone\" cannot be served: unsupported operators: ";
    assert!(error(&text).starts_with(says), "{text}");
    assert!(error(&text).contains("Const of type string"), "{text}");
}

/// The numbers, and the messages as JSON, are those that `make.py` prints.
#[test]
fn inputs_that_are_left_out_have_the_default_of_the_signature() {
    let served = served(&[("defaults/1", model("defaults"))]);
    let rows = value!([[13.0, -4.0], [11.5, -10.0]]);
    for (body, expected) in [
        (
            r#"{"instances": [{"x": [1.0, 2.0]}, {"x": [0.5, 0.0]}]}"#,
            value!({"predictions": rows}),
        ),
        (
            r#"{"inputs": {"x": [[1.0, 2.0], [0.5, 0.0]]}}"#,
            value!({"outputs": rows}),
        ),
        (
            r#"{"inputs": {"x": [[1.0, 2.0], [0.5, 0.0]], "factor": 2.0}}"#,
            value!({"outputs": [[12.0, -6.0], [11.0, -10.0]]}),
        ),
    ] {
        let (status, text) = served.post("/v1/models/defaults:predict", body);
        assert_eq!((status, json(&text)), (200, expected), "{body}");
    }
    for (body, says) in [
        (
            r#"{"inputs": {"factor": 2.0}}"#,
            "Missing named input: x in 'inputs' object.",
        ),
        (
            r#"{"instances": [{"factor": 2.0}]}"#,
            "must only have keys: factor,shift,x",
        ),
        (
            r#"{"instances": [{"x": [1.0, 2.0]}, {"x": [0.5, 0.0], "factor": 2.0}]}"#,
            "Failed to process element: 1 of 'instances' list.",
        ),
    ] {
        let (status, text) = served.post("/v1/models/defaults:predict", body);
        assert_eq!(status, 400, "{text}");
        assert!(error(&text).contains(says), "{text}");
    }
    let (_, text) = served.get("/v1/models/defaults/metadata");
    let signatures = json(&text)["metadata"]["signature_def"]["signature_def"].clone();
    let expected = value!({
        "factor": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [], "unknown_rank": false}, "float_val": [3], "version_number": 0, "tensor_content": "", "half_val": [], "double_val": [], "int_val": [], "string_val": [], "scomplex_val": [], "int64_val": [], "bool_val": [], "dcomplex_val": [], "resource_handle_val": [], "variant_val": [], "uint32_val": [], "uint64_val": [], "float8_val": ""},
        "shift": {"dtype": "DT_INT64", "tensor_shape": {"dim": [{"size": "2", "name": ""}], "unknown_rank": false}, "tensor_content": "CgAAAAAAAAD2/////////w==", "version_number": 0, "half_val": [], "float_val": [], "double_val": [], "int_val": [], "string_val": [], "scomplex_val": [], "int64_val": [], "bool_val": [], "dcomplex_val": [], "resource_handle_val": [], "variant_val": [], "uint32_val": [], "uint64_val": [], "float8_val": ""},
    });
    assert_eq!(signatures["serving_default"]["defaults"], expected);
}
