use bytes::Bytes;
use prost::Message as _;
use protobufs::ModelDescriptor;
use protobufs::model_descriptor::{MessageContent, ModelType};

use super::bad_records::check_headers;
use super::world::{World, descriptor, regression, regression_document, wine};

/// Descriptors that become no model, with the kind of their dead letters.
fn bad_models() -> Vec<(&'static str, Vec<u8>)> {
    let good = regression("wine", "bad", 5.0);
    let data = |model_type: ModelType, bytes: Vec<u8>| ModelDescriptor {
        modeltype: model_type.into(),
        message_content: Some(MessageContent::Data(Bytes::from(bytes))),
        ..good.clone()
    };
    // Noise that is the same in each run: xorshift64, seeded with 1.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(15 * 1024 * 1024 / 8)
    .flatten()
    .collect();
    let document = regression_document("alcohol", 5.0);
    let location = MessageContent::Location("/models/wine.pmml".to_owned());
    let refused = "model-refused";
    [
        (
            "unknown-model-type",
            ModelDescriptor {
                modeltype: 9,
                ..good.clone()
            },
        ),
        (
            refused,
            ModelDescriptor {
                message_content: None,
                ..good.clone()
            },
        ),
        (refused, data(ModelType::Pmml, Vec::new())),
        (
            refused,
            data(ModelType::Pmml, document.as_bytes()[..200].to_vec()),
        ),
        (refused, data(ModelType::Pmml, b"not XML at all".to_vec())),
        (refused, data(ModelType::Tensorflow, Vec::new())),
        (
            refused,
            data(ModelType::Tensorflow, b"not a graph".to_vec()),
        ),
        // A GraphDef that has versions and no node.
        (
            refused,
            data(ModelType::Tensorflow, b"\x22\x02\x08\x1b".to_vec()),
        ),
        (refused, data(ModelType::Onnx, b"\x08\x08".to_vec())),
        (refused, data(ModelType::Tensorflow, noise.clone())),
        (refused, data(ModelType::Onnx, noise.clone())),
        (refused, data(ModelType::Pmml, noise)),
        (
            refused,
            descriptor("wine", "bad", &regression_document("bouquet", 5.0)),
        ),
        (
            refused,
            ModelDescriptor {
                sha256: Bytes::from_static(&[0; 32]),
                ..good.clone()
            },
        ),
        (
            refused,
            ModelDescriptor {
                message_content: Some(location),
                ..good.clone()
            },
        ),
        (
            "undecodable",
            ModelDescriptor {
                data_type: String::new(),
                ..good.clone()
            },
        ),
    ]
    .map(|(kind, message)| (kind, message.encode_to_vec()))
    .into()
}

pub(super) fn refused(world: &World) {
    world.model(&regression("wine", "good", 1.0));
    let server = world.start(&[]);
    let topic = world.topic("models");
    let mut bad: Vec<_> = bad_models()
        .into_iter()
        .map(|(kind, bytes)| (kind, Some(bytes)))
        .collect();
    bad.push(("undecodable", Some(b"\xff\xff no protobuf".to_vec())));
    bad.push(("undecodable", Some(Vec::new())));
    bad.push(("undecodable", None));
    for (n, (kind, payload)) in (1..).zip(&bad) {
        world.raw_model(payload.as_deref());
        server.wait_for_count("deadLetters", n);
        let state = server.get("/state/wine").1;
        assert_eq!(state["name"], "good", "after {kind}");
        assert!(state["next"].is_null(), "after {kind}: {state}");
    }
    let letters = world.dead_letters(bad.len());
    for (n, (letter, (kind, payload))) in (1..).zip(letters.iter().zip(&bad)) {
        check_headers(letter, &topic, n, kind, world.name());
        assert!(
            letter.payload.as_deref() == payload.as_deref(),
            "{kind}: as it came"
        );
    }
    let lacking = letters.iter().find(|letter| {
        let text = letter
            .headers
            .iter()
            .find(|(name, _)| name == "errors.message");
        text.and_then(|(_, text)| text.as_deref())
            .is_some_and(|text| String::from_utf8_lossy(text).contains("`bouquet`"))
    });
    assert!(lacking.is_some(), "the field that records lack is named");
    world.records(&[wine("wine", 1.0)]);
    let results = world.results(1);
    assert_eq!(
        results[0].result.value,
        Some(2.0),
        "the current model went on"
    );
    assert_eq!(results[0].result.model_name, "good");
    server.stop();
}

pub(super) fn newest_first(world: &World) {
    let bad = |name| descriptor("wine", name, &regression_document("bouquet", 0.0));
    world.model(&bad("older than what loads: not tried"));
    world.raw_model(Some(b"\xff\xff undecodable, wherever it stands"));
    world.model(&regression("wine", "old", 1.0));
    world.model(&regression("wine", "newest-good", 2.0));
    for _ in 0..6 {
        world.model(&bad("newer"));
    }
    world.model(&regression("other", "other", 3.0));
    world.records(&[wine("wine", 1.0), wine("other", 1.0)]);
    let server = world.start(&[]);
    let results = world.results(2);
    let mut values: Vec<_> = results
        .iter()
        .filter_map(|scored| scored.result.value)
        .collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [3.0, 4.0]);
    let version = results
        .iter()
        .find(|scored| scored.result.data_type == "wine");
    assert_eq!(
        version.map(|scored| scored.result.model_version.as_str()),
        Some("3")
    );
    server.wait_for_count("deadLetters", 7);
    let topic = world.topic("models");
    let letters = world.dead_letters(7);
    let undecodable = letters.iter().find(|letter| {
        let kind = letter
            .headers
            .iter()
            .find(|(name, _)| name == "errors.kind");
        kind.and_then(|(_, kind)| kind.as_deref()) == Some(b"undecodable")
    });
    check_headers(
        undecodable.expect("one"),
        &topic,
        1,
        "undecodable",
        world.name(),
    );
    server.stop();
}
