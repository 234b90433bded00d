//! Requests and answers as TensorFlow Serving's documentation prints them
//! (`tensorflow_serving/g3doc/api_rest.md`, `docker.md`), and as its tests have them.

use crate::support::{Served, data, error, json, model};
use serde_json::json as value;

fn halves() -> Served {
    Served::start(
        &[
            (
                "half_plus_two/00000123/model.onnx",
                model("half_plus_two.onnx"),
            ),
            (
                "half_plus_three/123/model.onnx",
                model("half_plus_three.onnx"),
            ),
            ("frozen/7/model.pb", model("half_plus_two.pb")),
            ("loose.onnx", model("half_plus_two.onnx")),
            ("no_version/model.onnx", model("half_plus_two.onnx")),
        ],
        &[],
    )
}

#[test]
fn a_row_for_each_number() {
    let served = halves();
    for (path, body, expected) in [
        (
            "half_plus_two:predict",
            r#"{"instances": [1.0, 2.0, 5.0]}"#,
            value!({"predictions": [2.5, 3.0, 4.5]}),
        ),
        (
            "half_plus_three:predict",
            r#"{"instances": [1.0,2.0,5.0]}"#,
            value!({"predictions": [3.5, 4.0, 5.5]}),
        ),
        (
            "half_plus_two/versions/123:predict",
            r#"{"instances": [1.0, 2.0]}"#,
            value!({"predictions": [2.5, 3.0]}),
        ),
        (
            "half_plus_two/versions/123:predict",
            r#"{"signature_name": "serving_default", "instances": [3.0, 4.0]}"#,
            value!({"predictions": [3.5, 4.0]}),
        ),
        (
            "half_plus_two/versions/123:predict",
            r#"{"signature_name": "serving_default", "inputs": [3.0, 4.0]}"#,
            value!({"outputs": [3.5, 4.0]}),
        ),
        (
            "half_plus_two:predict",
            r#"{"inputs": {"x": [3.0, 4.0]}}"#,
            value!({"outputs": [3.5, 4.0]}),
        ),
        (
            "half_plus_two:predict",
            r#"{"instances": [{"x": 3.0}]}"#,
            value!({"predictions": [3.5]}),
        ),
        (
            "half_plus_two:predict",
            "\u{feff}{\"instances\": [3.0]}",
            value!({"predictions": [3.5]}),
        ),
        (
            "frozen:predict",
            r#"{"instances": [1, 2, 5]}"#,
            value!({"predictions": [2.5, 3.0, 4.5]}),
        ),
    ] {
        let (status, answer) = served.post(&format!("/v1/models/{path}"), body);
        assert_eq!((status, json(&answer)), (200, expected), "{path} {body}");
    }
}

#[test]
fn the_status_of_a_model() {
    let served = halves();
    let expected = "{
 \"model_version_status\": [
  {
   \"version\": \"123\",
   \"state\": \"AVAILABLE\",
   \"status\": {
    \"error_code\": \"OK\",
    \"error_message\": \"\"
   }
  }
 ]
}
";
    // Which label it is does not matter to the real server.
    for path in ["", "/versions/123", "/labels/stable"] {
        let answer = served.get(&format!("/v1/models/half_plus_three{path}"));
        assert_eq!(answer, (200, expected.to_owned()));
    }
}

#[test]
fn a_model_that_is_not_there() {
    let served = halves();
    let (status, answer) = served.post("/v1/models/half:predict", r#"{"instances": [1.0,5.0]}"#);
    let expected = r#"{ "error": "Servable not found for request: Latest(half)" }"#;
    assert_eq!((status, &answer[..]), (404, expected));
    for path in ["no_version", "loose.onnx"] {
        let (status, answer) = served.get(&format!("/v1/models/{path}"));
        let expected = format!("Could not find any versions of model {path}");
        assert_eq!((status, error(&answer)), (404, expected));
    }
    let (status, answer) = served.post(
        "/v1/models/half_plus_two/versions/99:predict",
        r#"{"instances": [1]}"#,
    );
    let expected = "Servable not found for request: Specific(half_plus_two, 99)";
    assert_eq!((status, &error(&answer)[..]), (404, expected));
}

#[test]
fn regress_and_classify() {
    let served = Served::start(
        &[
            ("half/1/model.onnx", model("half_plus_two.onnx")),
            ("tree/1/tree.pmml", data("winequality-decision-tree.pmml")),
        ],
        &[],
    );
    let answer = |verb, body: &str| served.post(&format!("/v1/models/half:{verb}"), body);
    let (status, text) = answer("regress", r#"{"examples": [{"x": 80.0}, {"x": 2}]}"#);
    assert_eq!(
        (status, json(&text)),
        (200, value!({"results": [42.0, 3.0]}))
    );
    let (status, text) = answer("regress", r#"{"context": {"x": 80.0}, "examples": [{}]}"#);
    assert_eq!((status, json(&text)), (200, value!({"results": [42.0]})));
    let (status, text) = answer("classify", r#"{"examples": [{"x": 20.0}]}"#);
    let expected = "Expected classification signature method_name to be \
                    tensorflow/serving/classify. Was: tensorflow/serving/predict";
    assert_eq!((status, &error(&text)[..]), (400, expected));

    let wines = std::fs::read_to_string(data("../winequality_red.csv")).unwrap();
    let wine: Vec<_> = wines.lines().next().unwrap().split(';').take(11).collect();
    let body = format!(
        r#"{{"examples": [{}]}}"#,
        object(&wine, &TREE.map(str::to_owned))
    );
    let (status, text) = served.post("/v1/models/tree:classify", body);
    assert_eq!(status, 200, "{text}");
    let golden = std::fs::read_to_string(data("../golden/winequality-decision-tree.csv")).unwrap();
    let head = golden.lines().next().unwrap().split(',').skip(2);
    let cells = golden.lines().nth(1).unwrap().split(',').skip(2);
    let classes = json(&text)["results"][0].clone();
    let classes = classes.as_array().unwrap();
    assert_eq!(classes.len(), cells.clone().count());
    for ((name, cell), class) in head.zip(cells).zip(classes) {
        assert_eq!(format!("probability_{}", class[0].as_str().unwrap()), name);
        let expected: f64 = cell.parse().unwrap();
        assert!(
            (class[1].as_f64().unwrap() - expected).abs() < 1e-6,
            "{text}"
        );
    }
}

/// The fields of the tree's document.
const TREE: [&str; 11] = [
    "fixed acidity",
    "volatile acidity",
    "citric acid",
    "residual sugar",
    "chlorides",
    "free sulfur dioxide",
    "total sulfur dioxide",
    "density",
    "pH",
    "sulphates",
    "alcohol",
];

/// The documentation's example of named inputs, with an input more.
#[test]
fn tensors_of_every_type_by_row_and_by_column() {
    let served = Served::start(&[("named/1/model.onnx", model("named.onnx"))], &[]);
    let rows = r#"{"instances": [
        {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]], "flag": true},
        {"tag": {"b64": "YmFy"}, "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8.25]], "flag": false}
    ]}"#;
    let (status, text) = served.post("/v1/models/named:predict", rows);
    let expected = value!({"predictions": [
        {
            "tag_bytes": {"b64": "Zm9v"}, "tag_text": "foo", "opposite": [-1, -2, -3, -4, -5],
            "double": [[2.0, 4.0], [6.0, 8.0]], "unflagged": false,
        },
        {
            "tag_bytes": {"b64": "YmFy"}, "tag_text": "bar", "opposite": [-3, -4, -1, -2, -5],
            "double": [[8.0, 10.0], [12.0, 16.5]], "unflagged": true,
        },
    ]});
    assert_eq!((status, json(&text)), (200, expected));

    let columns = r#"{"inputs": {
        "tag": ["foo", "bar"], "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
        "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8.25]]], "flag": [true, false]
    }}"#;
    let (status, text) = served.post("/v1/models/named:predict", columns);
    let expected = value!({"outputs": {
        "tag_bytes": [{"b64": "Zm9v"}, {"b64": "YmFy"}], "tag_text": ["foo", "bar"],
        "opposite": [[-1, -2, -3, -4, -5], [-3, -4, -1, -2, -5]],
        "double": [[[2.0, 4.0], [6.0, 8.0]], [[8.0, 10.0], [12.0, 16.5]]],
        "unflagged": [false, true],
    }});
    assert_eq!((status, json(&text)), (200, expected));
}

/// What JSON has no word for is written and read as JavaScript has it.
#[test]
fn numbers_that_are_not_finite() {
    let served = halves();
    let body = r#"{"instances": [NaN, Infinity, -Infinity, 1e300]}"#;
    let (status, text) = served.post("/v1/models/half_plus_two:predict", body);
    assert_eq!(status, 400, "{text}");
    let expected = "Failed to process element: 3 of 'instances' list. Error: INVALID_ARGUMENT: \
                    Cannot convert JSON value: 1e+300 to float without loss of precision.";
    assert_eq!(error(&text), expected);
    let body = r#"{"instances": [NaN, Infinity, -Infinity, 4]}"#;
    let (status, text) = served.post("/v1/models/half_plus_two:predict", body);
    let expected = "{\n    \"predictions\": [NaN, Infinity, -Infinity, 4.0\n    ]\n}";
    assert_eq!((status, &text[..]), (200, expected));
}

#[test]
fn the_metadata_of_a_model() {
    let served = halves();
    let (status, text) = served.get("/v1/models/half_plus_two/metadata");
    let port = |name: &str| {
        value!({
            "dtype": "DT_FLOAT",
            "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": false},
            "name": name,
        })
    };
    let expected = value!({
        "model_spec": {"name": "half_plus_two", "signature_name": "", "version": "123"},
        "metadata": {"signature_def": {"signature_def": {"serving_default": {
            "inputs": {"x": port("x")},
            "outputs": {"y": port("y")},
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }}}},
    });
    assert_eq!((status, json(&text)), (200, expected));
}

/// Every wine, over JSON, against the scores of the engines that the formats come from.
#[test]
fn every_wine_has_the_scores_of_the_reference_engines() {
    let served = Served::start(
        &[
            ("onnx/1/wine.onnx", data("winequality.onnx")),
            ("tensorflow/1/wine.pb", data("winequality.pb")),
            (
                "random-forest/1/m.pmml",
                data("winequality-random-forest.pmml"),
            ),
            (
                "linear-regression/1/m.pmml",
                data("winequality-linear-regression.pmml"),
            ),
        ],
        &[],
    );
    let wines = std::fs::read_to_string(data("../winequality_red.csv")).unwrap();
    let wines = wines.lines().map(|line| line.split(';').take(11).collect());
    let wines: Vec<Vec<&str>> = wines.collect();
    let vectors = wines.iter().map(|wine| format!("[{}]", wine.join(",")));
    let vectors = vectors.collect::<Vec<_>>().join(",");
    for model in ["onnx", "tensorflow", "random-forest", "linear-regression"] {
        let is_document = model.contains('-');
        let path = format!("/v1/models/{model}");
        let rows = if is_document {
            let metadata = json(&served.get(&format!("{path}/metadata")).1);
            let inputs = &metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
                ["inputs"];
            let inputs: Vec<_> = inputs.as_object().unwrap().keys().cloned().collect();
            let rows = wines.iter().map(|wine| object(wine, &inputs));
            rows.collect::<Vec<_>>().join(",")
        } else {
            vectors.clone()
        };
        let body = format!("{{\"instances\": [{rows}]}}");
        let (status, text) = served.post(&format!("{path}:predict"), &body);
        assert_eq!(status, 200, "{text}");
        let answer = json(&text);
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), wines.len());
        let golden = data(&format!("../golden/winequality-{model}.csv"));
        let golden = std::fs::read_to_string(golden).unwrap();
        for (line, row) in golden.lines().skip(1).zip(predictions) {
            let cells: Vec<&str> = line.split(',').collect();
            let (expected, found) = match model {
                "random-forest" => {
                    assert_eq!(row["label"], cells[1], "{line}");
                    (
                        &cells[2..],
                        row["probabilities"].as_array().unwrap().clone(),
                    )
                }
                "linear-regression" => (&cells[..1], vec![row.clone()]),
                _ => (&cells[cells.len() - 9..], row.as_array().unwrap().clone()),
            };
            assert_eq!(expected.len(), found.len());
            for (expected, found) in expected.iter().zip(&found) {
                let expected: f64 = expected.parse().unwrap();
                assert!(
                    (found.as_f64().unwrap() - expected).abs() < 1e-6,
                    "{model}: {line}"
                );
            }
        }
    }
}

/// A wine as an object, with the names that a document has for the columns.
fn object(wine: &[&str], inputs: &[String]) -> String {
    const COLUMNS: [&str; 11] = [
        "fixed_acidity",
        "volatile_acidity",
        "citric_acid",
        "residual_sugar",
        "chlorides",
        "free_sulfur_dioxide",
        "total_sulfur_dioxide",
        "density",
        "ph",
        "sulphates",
        "alcohol",
    ];
    let members = inputs.iter().map(|input| {
        let plain = input.to_lowercase().replace(' ', "_");
        let at = COLUMNS.iter().position(|column| *column == plain).unwrap();
        format!("\"{input}\":{}", wine[at])
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}
