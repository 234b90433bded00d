use std::collections::BTreeMap;

use kafka::{Outgoing, OwnedMessage};
use prost::Message as _;

use super::world::{World, message, regression, wine};

/// Checks the headers that a dead letter gets, after its own.
pub(super) fn check_headers(
    letter: &OwnedMessage,
    topic: &str,
    offset: i64,
    kind: &str,
    strategy: &str,
) {
    let errors = letter.headers.iter().rev().take(6).rev();
    let headers: BTreeMap<_, _> = errors
        .map(|(name, value)| {
            let value = value.as_deref().unwrap_or_default();
            assert!(value.is_ascii(), "{name} is ASCII");
            (name.as_str(), String::from_utf8_lossy(value).into_owned())
        })
        .collect();
    assert_eq!(headers["errors.topic"], topic);
    assert_eq!(headers["errors.partition"], "0");
    assert_eq!(headers["errors.offset"], offset.to_string());
    assert_eq!(headers["errors.kind"], kind, "{headers:?}");
    assert_eq!(headers["errors.strategy"], strategy);
    assert!(!headers["errors.message"].is_empty());
}

pub(super) fn undecodable(world: &World) {
    world.model(&regression("wine", "model", 0.0));
    let server = world.start(&[]);
    let good = wine("wine", 1.0).encode_to_vec();
    let no_type = wine("", 1.0).encode_to_vec();
    let bad: [Option<&[u8]>; 5] = [
        Some(b"\xff\xff\xff no protobuf"),
        Some(b""),
        None,
        Some(&no_type),
        Some(&good[..5]),
    ];
    let topic = world.topic("data");
    for payload in bad {
        let headers = [("trace", Some(&b"abc"[..])), ("null", None)];
        let key = Some(&b"key"[..]);
        let partition = Some(0);
        world.publish(&Outgoing {
            partition,
            key,
            headers: &headers,
            ..message(&topic, payload)
        });
        world.raw_record(Some(&good));
    }
    let letters = world.dead_letters(bad.len());
    for (n, (letter, payload)) in letters.iter().zip(bad).enumerate() {
        assert_eq!(letter.payload.as_deref(), payload, "as it came");
        assert_eq!(letter.key.as_deref(), Some(&b"key"[..]));
        assert_eq!(letter.headers[0], ("trace".to_owned(), Some("abc".into())));
        assert_eq!(letter.headers[1], ("null".to_owned(), None));
        assert_eq!(letter.headers.len(), 8);
        check_headers(letter, &topic, 2 * n as i64, "undecodable", world.name());
    }
    assert_eq!(
        world.results(bad.len()).len(),
        bad.len(),
        "the good ones between them"
    );
    server.wait_for_count("deadLetters", bad.len() as u64);
    server.wait_for_count("records", 2 * bad.len() as u64);
    server.stop();
}

pub(super) fn failed_score(world: &World) {
    world.model(&regression("wine", "model", 0.0));
    let server = world.start(&[]);
    // NaN is an invalid value, which PMML answers with an error by default (PMML 4.4, MiningSchema,
    // invalidValueTreatment).
    world.records(&[wine("wine", 1.0), wine("wine", f64::NAN), wine("wine", 3.0)]);
    let letters = world.dead_letters(1);
    check_headers(
        &letters[0],
        &world.topic("data"),
        1,
        "score-failed",
        world.name(),
    );
    let values: Vec<_> = world
        .results(2)
        .iter()
        .map(|scored| scored.result.value)
        .collect();
    assert_eq!(values, [Some(1.0), Some(3.0)]);
    // A model that fails on every record: its prediction overflows to a number that is none.
    let document = super::world::regression_document("alcohol", 0.0)
        .replace("coefficient=\"1\"", "coefficient=\"1e308\" exponent=\"3\"")
        .replace("</RegressionTable>", "<NumericPredictor name=\"alcohol\" coefficient=\"-1e308\" exponent=\"3\"/></RegressionTable>");
    world.model(&super::world::descriptor("wine", "failing", &document));
    server.wait_for_model("wine", "failing");
    world.records(&[wine("wine", 1e10)]);
    let letters = world.dead_letters(2);
    check_headers(
        &letters[1],
        &world.topic("data"),
        3,
        "score-failed",
        world.name(),
    );
    let state = server.wait_for("/state", |state| state["deadLetters"] == 2);
    assert_eq!(state["scored"], 2);
    server.stop();
}

pub(super) fn largest(world: &World) {
    world.model(&regression("wine", "model", 0.0));
    let server = world.start(&[]);
    // 16 MiB, the largest message of the models topic, and the largest record that a producer of
    // this project sends.
    let noise = vec![0xff; 16 * 1024 * 1024 - 1024];
    world.raw_record(Some(&noise));
    let letters = world.dead_letters(1);
    assert!(
        letters[0].payload.as_deref() == Some(&noise[..]),
        "as it came"
    );
    check_headers(
        &letters[0],
        &world.topic("data"),
        0,
        "undecodable",
        world.name(),
    );
    world.records(&[wine("wine", 1.0)]);
    world.results(1);
    server.stop();
}

pub(super) fn topics_that_take_less(world: &World) {
    // Apache Kafka's default for `max.message.bytes`.
    const LIMIT: usize = 1_048_588;
    world.create(&world.topic("results"), 4, LIMIT);
    world.create(&world.topic("dead-letters"), 1, LIMIT);
    world.model(&regression("wine", "model", 0.0));
    let server = world.start(&[]);
    let noise = vec![0xff; 2 * LIMIT];
    let good = wine("wine", 1.0).encode_to_vec();
    let topic = world.topic("data");
    let send = |key: Option<&[u8]>, payload: &[u8]| {
        let partition = Some(0);
        world.publish(&Outgoing {
            partition,
            key,
            ..message(&topic, Some(payload))
        });
    };
    // A dead letter that does not fit, and a record whose result does not: it repeats the key.
    send(Some(b"small"), &noise);
    send(Some(&noise), &good);
    send(Some(b"small"), &good);
    let letters = world.dead_letters(2);
    for (letter, offset, kind) in [
        (&letters[0], 0, "undecodable"),
        (&letters[1], 1, "score-failed"),
    ] {
        check_headers(letter, &topic, offset, kind, world.name());
        assert_eq!(letter.payload, None, "its value is left out");
    }
    assert_eq!(letters[0].key.as_deref(), Some(&b"small"[..]));
    assert_eq!(letters[1].key, None, "its key is what is too large");
    assert_eq!(world.results(1)[0].result.source_offset, 2);
    server.wait_for_count("deadLetters", 2);
    server.stop();
}
