//! gRPC, with a client of our own; a foreign one is in `foreign.rs`.

use std::collections::BTreeMap;

use hyper::http::uri::PathAndQuery;
use protobufs::tensorflow::serving::model_spec::VersionChoice;
use protobufs::tensorflow::serving::{
    ClassificationRequest, ClassificationResponse, ExampleList, GetModelMetadataRequest,
    GetModelMetadataResponse, GetModelStatusRequest, GetModelStatusResponse, Input, ModelSpec,
    PredictRequest, PredictResponse, RegressionRequest, RegressionResponse, SignatureDefMap, input,
};
use protobufs::tensorflow::tensor_shape_proto::Dim;
use protobufs::tensorflow::{
    DataType, Example, Feature, Features, FloatList, TensorProto, TensorShapeProto, feature,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::support::{PATIENCE, Served, data, model};

/// The first of the wines, which the reference engine puts in class 5.
const WINE: [(&str, f32); 11] = [
    ("fixed acidity", 7.4),
    ("volatile acidity", 0.7),
    ("citric acid", 0.0),
    ("residual sugar", 1.9),
    ("chlorides", 0.076),
    ("free sulfur dioxide", 11.0),
    ("total sulfur dioxide", 34.0),
    ("density", 0.9978),
    ("pH", 3.51),
    ("sulphates", 0.56),
    ("alcohol", 9.4),
];

pub(crate) struct Client {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

impl Client {
    pub(crate) fn of(served: &Served) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let address = format!("http://{}", served.server().grpc());
        let endpoint = Endpoint::from_shared(address).unwrap().timeout(PATIENCE);
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Self { runtime, channel }
    }

    fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        self.runtime.block_on(async {
            grpc.ready().await.unwrap();
            let path = PathAndQuery::from_static(method);
            let codec = tonic_prost::ProstCodec::<Q, A>::default();
            let answer = grpc
                .unary(tonic::Request::new(request), path, codec)
                .await?;
            Ok(answer.into_inner())
        })
    }

    /// What the model `half` makes of 2.
    pub(crate) fn half_of_two(&self) -> Result<f32, Status> {
        let answer = self.predict(half([("x".to_owned(), floats(&[1], &[2.0]))].into()))?;
        Ok(answer.outputs["y"].float_val[0])
    }

    fn predict(&self, request: PredictRequest) -> Result<PredictResponse, Status> {
        self.call("/tensorflow.serving.PredictionService/Predict", request)
    }
}

fn spec(name: &str) -> Option<ModelSpec> {
    Some(ModelSpec {
        name: name.to_owned(),
        ..ModelSpec::default()
    })
}

fn floats(shape: &[i64], values: &[f32]) -> TensorProto {
    let dim = shape.iter().map(|size| Dim {
        size: *size,
        name: String::new(),
    });
    TensorProto {
        dtype: DataType::DtFloat.into(),
        tensor_shape: Some(TensorShapeProto {
            dim: dim.collect(),
            unknown_rank: false,
        }),
        float_val: values.to_vec(),
        ..TensorProto::default()
    }
}

/// Examples with these features.
fn examples(rows: &[&[(&str, &[f32])]]) -> Option<Input> {
    let feature = |(name, values): &(&str, &[f32])| {
        let value = values.to_vec();
        let kind = Some(feature::Kind::FloatList(FloatList { value }));
        ((*name).to_owned(), Feature { kind })
    };
    let example = |features: &&[(&str, &[f32])]| Example {
        features: Some(Features {
            feature: features.iter().map(feature).collect(),
        }),
    };
    let examples = rows.iter().map(example).collect();
    Some(Input {
        kind: Some(input::Kind::ExampleList(ExampleList { examples })),
    })
}

fn halves() -> Served {
    Served::start(&[("half/123/m.onnx", model("half_plus_two.onnx"))], &[])
}

fn half(inputs: BTreeMap<String, TensorProto>) -> PredictRequest {
    PredictRequest {
        model_spec: spec("half"),
        inputs,
        output_filter: Vec::new(),
    }
}

/// The requests and answers of the real server's own test (`tensorflow_model_server_test.py`).
#[test]
fn half_plus_two() {
    let served = halves();
    let client = Client::of(&served);
    let mut request = half([("x".to_owned(), floats(&[1], &[2.0]))].into());
    request.output_filter = vec!["y".to_owned()];
    let answer = client.predict(request).unwrap();
    assert_eq!(answer.outputs["y"], floats(&[1], &[3.0]));
    let answered = answer.model_spec.unwrap();
    assert_eq!(answered.name, "half");
    assert_eq!(answered.signature_name, "serving_default");
    assert_eq!(answered.version_choice, Some(VersionChoice::Version(123)));

    let status: GetModelStatusResponse = client
        .call(
            "/tensorflow.serving.ModelService/GetModelStatus",
            GetModelStatusRequest {
                model_spec: spec("half"),
            },
        )
        .unwrap();
    let [version] = &status.model_version_status[..] else {
        panic!("{status:?}")
    };
    assert_eq!((version.version, version.state), (123, 30));
    assert_eq!(version.status.clone().unwrap().error_code, 0);

    let metadata: GetModelMetadataResponse = client
        .call(
            "/tensorflow.serving.PredictionService/GetModelMetadata",
            GetModelMetadataRequest {
                model_spec: spec("half"),
                metadata_field: vec!["signature_def".to_owned()],
            },
        )
        .unwrap();
    let any = &metadata.metadata["signature_def"];
    assert_eq!(
        any.type_url,
        "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    );
    let map = <SignatureDefMap as prost::Message>::decode(&any.value[..]).unwrap();
    assert_eq!(
        map.signature_def["serving_default"].inputs["x"].dtype,
        DataType::DtFloat as i32
    );
}

#[test]
fn regress_and_classify() {
    let served = Served::start(
        &[
            ("half/1/m.onnx", model("half_plus_two.onnx")),
            ("forest/1/m.pmml", data("winequality-random-forest.pmml")),
        ],
        &[],
    );
    let client = Client::of(&served);
    let answer: RegressionResponse = client
        .call(
            "/tensorflow.serving.PredictionService/Regress",
            RegressionRequest {
                model_spec: spec("half"),
                input: examples(&[&[("x", &[2.0])]]),
            },
        )
        .unwrap();
    assert_eq!(answer.result.unwrap().regressions[0].value, 3.0);
    let wine: Vec<_> = WINE
        .iter()
        .map(|(name, value)| (*name, std::slice::from_ref(value)))
        .collect();
    let answer: ClassificationResponse = client
        .call(
            "/tensorflow.serving.PredictionService/Classify",
            ClassificationRequest {
                model_spec: spec("forest"),
                input: examples(&[&wine]),
            },
        )
        .unwrap();
    let result = answer.result.unwrap();
    let classes = &result.classifications[0].classes;
    let labels: Vec<_> = classes.iter().map(|class| &class.label[..]).collect();
    assert_eq!(labels, ["3", "4", "5", "6", "7", "8"]);
    let best = classes.iter().max_by(|a, b| a.score.total_cmp(&b.score));
    assert_eq!(best.unwrap().label, "5");
    assert!((best.unwrap().score - 0.722_500_4).abs() < 1e-6);
}

/// The numbers are TensorFlow's: `make.py` prints them.
#[test]
fn classes_of_a_saved_model_have_their_labels() {
    let served = Served::start(&[("classes/1", model("classes"))], &[]);
    let client = Client::of(&served);
    let answer: ClassificationResponse = client
        .call(
            "/tensorflow.serving.PredictionService/Classify",
            ClassificationRequest {
                model_spec: spec("classes"),
                input: examples(&[&[("x", &[1.0, 2.0])]]),
            },
        )
        .unwrap();
    let result = answer.result.unwrap();
    let expected = [
        ("cat", 0.108_027_67),
        ("dog", 0.882_172_3),
        ("eel", 0.009_800_049),
    ];
    let classes = &result.classifications[0].classes;
    assert_eq!(classes.len(), expected.len());
    for (class, (label, score)) in classes.iter().zip(expected) {
        assert_eq!(class.label, label);
        assert!((class.score - score).abs() < 1e-6, "{class:?}");
    }

    let k = TensorProto {
        dtype: DataType::DtInt64.into(),
        int64_val: vec![3],
        ..floats(&[2, 1], &[])
    };
    let x = floats(&[2, 2], &[1.0, 2.0, -1.0, 0.5]);
    let answer = client.predict(PredictRequest {
        model_spec: spec("classes").map(|spec| ModelSpec {
            signature_name: "predict".to_owned(),
            ..spec
        }),
        inputs: [("x".to_owned(), x), ("k".to_owned(), k)].into(),
        output_filter: vec!["all_classes".to_owned()],
    });
    let labels = &answer.unwrap().outputs["all_classes"];
    assert_eq!(labels.dtype, DataType::DtString as i32);
    assert_eq!(labels.string_val, ["cat", "dog", "eel"].repeat(2));
}

/// The numbers are TensorFlow's: `make.py` prints them.
#[test]
fn inputs_that_are_left_out_have_their_default() {
    let served = Served::start(&[("defaults/1", model("defaults"))], &[]);
    let client = Client::of(&served);
    let request = |inputs| PredictRequest {
        model_spec: spec("defaults"),
        ..half(inputs)
    };
    let x = || ("x".to_owned(), floats(&[2, 2], &[1.0, 2.0, 0.5, 0.0]));
    let factor = || ("factor".to_owned(), floats(&[], &[2.0]));
    let answer = client.predict(request([x()].into())).unwrap();
    assert_eq!(answer.outputs["y"].float_val, [13.0, -4.0, 11.5, -10.0]);
    let answer = client.predict(request([x(), factor()].into())).unwrap();
    assert_eq!(answer.outputs["y"].float_val, [12.0, -6.0, 11.0, -10.0]);
    let status = client.predict(request([factor()].into())).unwrap_err();
    assert_eq!(
        status.message(),
        "input size does not match signature: 1!=3 len({factor}) != len({factor,shift,x}). Sent extra: {}. Missing but required: {x}."
    );
}

#[test]
fn refusals_have_the_codes_and_words_of_the_real_server() {
    let served = halves();
    let client = Client::of(&served);
    let x = |tensor| [("x".to_owned(), tensor)].into();
    let good = || floats(&[1], &[2.0]);
    let double = TensorProto {
        dtype: DataType::DtDouble.into(),
        ..good()
    };
    let of = |name: &str, version| ModelSpec {
        name: name.to_owned(),
        version_choice: version,
        signature_name: String::new(),
    };
    let label = VersionChoice::VersionLabel("stable".to_owned());
    let signature = ModelSpec {
        signature_name: "other".to_owned(),
        ..of("half", None)
    };
    for (request, code, says) in [
        (
            PredictRequest {
                model_spec: spec("nix"),
                ..half(x(good()))
            },
            Code::NotFound,
            "Servable not found for request: Latest(nix)",
        ),
        (
            PredictRequest {
                model_spec: Some(of("half", Some(VersionChoice::Version(4)))),
                ..half(x(good()))
            },
            Code::NotFound,
            "Servable not found for request: Specific(half, 4)",
        ),
        (
            PredictRequest {
                model_spec: Some(of("half", Some(label))),
                ..half(x(good()))
            },
            Code::InvalidArgument,
            "Unrecognized servable version label: stable",
        ),
        (
            PredictRequest {
                model_spec: Some(signature),
                ..half(x(good()))
            },
            Code::FailedPrecondition,
            "Serving signature key \"other\" not found.",
        ),
        (
            PredictRequest {
                model_spec: None,
                ..half(x(good()))
            },
            Code::InvalidArgument,
            "Missing ModelSpec",
        ),
        (
            half(BTreeMap::new()),
            Code::InvalidArgument,
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            half([("z".to_owned(), good())].into()),
            Code::InvalidArgument,
            "input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
        ),
        (
            PredictRequest {
                output_filter: vec!["z".to_owned()],
                ..half(x(good()))
            },
            Code::InvalidArgument,
            "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
        ),
        (
            PredictRequest {
                output_filter: vec!["y".to_owned(); 2],
                ..half(x(good()))
            },
            Code::InvalidArgument,
            "duplicate output tensor alias: y",
        ),
        (
            half(x(double)),
            Code::InvalidArgument,
            "Expects x to be float but double is provided",
        ),
        (
            half(x(floats(&[1 << 40], &[]))),
            Code::InvalidArgument,
            "tensor parsing error: x",
        ),
        (
            half(x(floats(&[1, 1, 1], &[1.0]))),
            Code::InvalidArgument,
            "input `x` takes float [?]",
        ),
    ] {
        let status = client.predict(request).unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(says), "{}", status.message());
    }
    let unknown = client.call::<_, PredictResponse>(
        "/tensorflow.serving.PredictionService/MultiInference",
        half(x(good())),
    );
    assert_eq!(unknown.unwrap_err().code(), Code::Unimplemented);
}
