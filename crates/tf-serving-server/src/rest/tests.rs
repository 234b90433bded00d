use model::Data;

use super::*;

// The examples of TensorFlow Serving's documentation: https://www.tensorflow.org/tfx/serving/api_rest
// and https://www.tensorflow.org/tfx/serving/docker ("half plus two").

fn float(name: &str, shape: &[Option<usize>]) -> Port {
    port(name, "DT_FLOAT", Some(shape.to_vec())).unwrap()
}

fn half_plus_two() -> Description {
    Description {
        version: Some(123),
        signature: "serving_default".to_owned(),
        inputs: vec![float("x", &[None])],
        outputs: vec![float("y", &[None])],
    }
}

fn tensor(shape: &[usize], data: Data) -> Tensor {
    let shape = shape.to_vec();
    Tensor { shape, data }
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

#[test]
fn a_request_has_rows_or_columns() {
    let x = tensor(&[3], Data::Float(vec![1.0, 2.0, 5.0]));
    let inputs = [("x", &x)];
    let body = |format| {
        let body = body(&half_plus_two(), &inputs, 3, format);
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    assert_eq!(
        body(RequestFormat::Row),
        serde_json::json!({ "signature_name": "serving_default",
            "instances": [{ "x": 1.0 }, { "x": 2.0 }, { "x": 5.0 }] })
    );
    assert_eq!(
        body(RequestFormat::Column),
        serde_json::json!({ "signature_name": "serving_default", "inputs": { "x": [1.0, 2.0, 5.0] } })
    );
}

/// "Specifying input tensors in row format" has two records of these inputs.
#[test]
fn records_of_several_inputs_are_objects() {
    let tag = tensor(&[2], Data::Text(vec!["foo".to_owned(), "bar".to_owned()]));
    let signal = tensor(&[2, 5], Data::Int64(vec![1, 2, 3, 4, 5, 3, 4, 1, 2, 5]));
    let sensor = tensor(&[2, 2, 2], Data::Int64(vec![1, 2, 3, 4, 4, 5, 6, 8]));
    let inputs = [("tag", &tag), ("signal", &signal), ("sensor", &sensor)];
    let description = Description {
        version: None,
        signature: "s".to_owned(),
        inputs: vec![float("tag", &[None]), float("signal", &[None, None])],
        outputs: Vec::new(),
    };
    let body = body(&description, &inputs, 2, RequestFormat::Row);
    assert_eq!(
        text(body),
        r#"{"signature_name":"s","instances":[{"tag":"foo","signal":[1,2,3,4,5],"sensor":[[1,2],[3,4]]},{"tag":"bar","signal":[3,4,1,2,5],"sensor":[[4,5],[6,8]]}]}"#
    );
}

#[test]
fn a_model_without_an_axis_of_records_gets_columns() {
    let x = tensor(&[2], Data::Float(vec![1.0, 2.0]));
    let description = Description {
        inputs: vec![float("x", &[Some(2)])],
        ..half_plus_two()
    };
    let body = body(&description, &[("x", &x)], 1, RequestFormat::Row);
    assert_eq!(
        text(body),
        r#"{"signature_name":"serving_default","inputs":{"x":[1.0,2.0]}}"#
    );
}

#[test]
fn predictions_are_read() {
    let answer = |text: &str, description: &Description| answer(text.as_bytes(), description);
    let read = answer(r#"{ "predictions": [2.5, 3.0, 4.5] }"#, &half_plus_two()).unwrap();
    assert_eq!(
        read.outputs,
        [tensor(&[3], Data::Float(vec![2.5, 3.0, 4.5]))]
    );
    let read = answer(r#"{ "outputs": [2.5, 3.0] }"#, &half_plus_two()).unwrap();
    assert_eq!(read.outputs, [tensor(&[2], Data::Float(vec![2.5, 3.0]))]);
    let two = Description {
        outputs: vec![
            port("classes", "DT_STRING", Some(vec![None])).unwrap(),
            float("scores", &[None, Some(2)]),
        ],
        ..half_plus_two()
    };
    let expected = [
        tensor(&[2], Data::Text(vec!["a".to_owned(), "b".to_owned()])),
        tensor(&[2, 2], Data::Float(vec![1.0, 2.0, 3.0, 4.0])),
    ];
    let rows = r#"{"predictions":[{"scores":[1,2],"classes":"a"},{"scores":[3,4],"classes":"b"}]}"#;
    let columns = r#"{"outputs":{"scores":[[1,2],[3,4]],"classes":["a","b"]}}"#;
    let undescribed = Description {
        outputs: Vec::new(),
        ..half_plus_two()
    };
    for text in [rows, columns] {
        assert_eq!(answer(text, &two).unwrap().outputs, expected, "{text}");
        assert_eq!(
            answer(text, &undescribed).unwrap().outputs.len(),
            2,
            "{text}"
        );
    }
    for text in [
        "<html>",
        "{}",
        "[]",
        r#"{"predictions": [2.5, "#,
        r#"{"predictions": ["a"]}"#,
        r#"{"predictions": [[1], [2, 3]]}"#,
        r#"{"predictions": null}"#,
        r#"{"error": "but 200"}"#,
    ] {
        let failure = answer(text, &half_plus_two()).unwrap_err();
        assert!(
            matches!(failure, Failure::Unclear(_)),
            "{text}: {failure:?}"
        );
    }
}

#[test]
fn metadata_say_what_a_model_takes_and_says() {
    let metadata = r#"{
     "model_spec":{"name": "half_plus_two", "signature_name": "", "version": "123"},
     "metadata": {"signature_def": {"signature_def":{"serving_default": {
       "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1", "name": ""}],
         "unknown_rank": false}, "name": "x:0"}},
       "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1", "name": ""}],
         "unknown_rank": false}, "name": "y:0"}},
       "method_name": "tensorflow/serving/predict"}}}}}"#;
    let read = description(metadata.as_bytes(), None).unwrap();
    assert_eq!(read, half_plus_two());
    let failure = description(metadata.as_bytes(), Some("other")).unwrap_err();
    assert!(matches!(&failure, Failure::Refused(why) if why.contains("serving_default")));
    for none in ["", "{}", "[1]", r#"{"metadata":{"signature_def":7}}"#] {
        let failure = description(none.as_bytes(), None).unwrap_err();
        assert!(
            matches!(failure, Failure::Unclear(_)),
            "{none}: {failure:?}"
        );
    }
}

#[test]
fn what_can_be_tried_again_is_told_from_what_cannot() {
    let of = |status: u16| failure(StatusCode::from_u16(status).unwrap(), br#"{"error":"why"}"#);
    for status in [408, 429, 502, 503, 504] {
        assert!(matches!(of(status), Failure::Unavailable(_)), "{status}");
    }
    for status in [301, 500, 501] {
        assert!(matches!(of(status), Failure::Unclear(_)), "{status}");
    }
    for status in [400, 401, 413, 422] {
        assert!(matches!(of(status), Failure::Refused(_)), "{status}");
    }
    assert_eq!(of(404), Failure::NoModel("404 Not Found: why".to_owned()));
    assert_eq!(escaped("a b/c%"), "a%20b%2Fc%25");
}
