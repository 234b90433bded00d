use std::collections::{BTreeMap, BTreeSet};

use kafka::Outgoing;
use prost::Message as _;

use super::world::{Running, Scored, World, message, regression, wine};

pub(super) fn model_before_records(world: &World) {
    world.model(&regression("wine", "plus-one", 1.0));
    world.records(&[wine("wine", 9.0), wine("wine", 10.5)]);
    let server = world.start(&[]);
    let results = world.results(2);
    let values: Vec<_> = results.iter().map(|scored| scored.result.value).collect();
    assert_eq!(values, [Some(10.0), Some(11.5)]);
    for scored in &results {
        let result = &scored.result;
        assert_eq!(result.data_type, "wine");
        assert_eq!(result.model_name, "plus-one");
        assert_eq!(result.model_version, "0", "the offset of the model");
        assert_eq!(result.label, None);
        assert!(result.scored_us >= result.submitted_us && result.submitted_us > 0);
        assert!(result.scoring_ns >= 0);
    }
    server.wait_for_count("scored", 2);
    server.stop();
}

pub(super) fn results_carry_their_source(world: &World) {
    world.model(&regression("wine", "plus-one", 1.0));
    let server = world.start(&[]);
    let topic = world.topic("data");
    let keys = [
        None,
        Some(&b"a key"[..]),
        Some(&b""[..]),
        Some(&b"\xff\x00"[..]),
    ];
    for (partition, key) in (0..).zip(keys) {
        for (n, submitted) in [(0, Some(&b"1700000000123456"[..])), (1, None)] {
            let record = wine("wine", f64::from(partition) * 10.0 + f64::from(n));
            let payload = record.encode_to_vec();
            let headers = [
                ("submitted-us", submitted),
                ("other", Some(&b"not copied"[..])),
            ];
            let headers = if submitted.is_some() {
                &headers[..]
            } else {
                &headers[1..]
            };
            let partition = Some(partition);
            world.publish(&Outgoing {
                partition,
                key,
                headers,
                ..message(&topic, Some(&payload))
            });
        }
    }
    let mut results = world.results(8);
    results.sort_by_key(|scored| scored.message.position);
    for (index, scored) in results.iter().enumerate() {
        let (partition, n) = (index / 2, index % 2);
        let (message, result) = (&scored.message, &scored.result);
        assert_eq!(
            message.position.partition, partition as i32,
            "as the record's"
        );
        assert_eq!(result.source_partition, partition as i32);
        assert_eq!(result.source_offset, n as i64);
        assert_eq!(message.key.as_deref(), keys[partition]);
        assert_eq!(result.value, Some(partition as f64 * 10.0 + n as f64 + 1.0));
        if n == 0 {
            assert_eq!(result.submitted_us, 1_700_000_000_123_456);
            let header = ("submitted-us".to_owned(), Some("1700000000123456".into()));
            assert_eq!(message.headers, [header]);
        } else {
            assert!(
                result.submitted_us > 1_700_000_000_123_456,
                "Kafka's timestamp"
            );
            assert_eq!(message.headers, []);
        }
    }
    server.stop();
}

pub(super) fn swaps_under_load(world: &World) {
    const ROUNDS: usize = 20;
    const RECORDS: usize = 400;
    world.model(&regression("wine", "model-0", 0.0));
    let server = world.start(&[]);
    let mut sent = 0;
    for round in 1..=ROUNDS {
        for _ in 0..RECORDS {
            world.send_record((sent % 4) as i32, &wine("wine", sent as f64));
            sent += 1;
        }
        let name = format!("model-{round}");
        world.model(&regression("wine", &name, round as f64 * 1e6));
        // Some swaps fall where they fall; of others it is certain that they fall between records.
        if round % 5 == 0 {
            server.wait_for_model("wine", &name);
            server.wait_for_count("scored", sent as u64);
        }
    }
    world.flush();
    let mut by_partition: BTreeMap<i32, Vec<_>> = BTreeMap::new();
    let mut served = BTreeSet::new();
    let mut results = world.results(sent);
    results.sort_by_key(|scored| scored.message.position);
    for scored in results {
        let value = scored.result.value.expect("a value");
        let (model, record) = ((value / 1e6).floor(), value % 1e6);
        assert_eq!(
            scored.result.model_name,
            format!("model-{model}"),
            "the model that says so"
        );
        served.insert(scored.result.model_name.clone());
        by_partition
            .entry(scored.message.position.partition)
            .or_default()
            .push((record, model, scored.result.source_offset));
    }
    assert!(served.len() >= ROUNDS / 5, "models took turns: {served:?}");
    for (partition, results) in by_partition {
        assert_eq!(results.len(), sent / 4, "each record once");
        for (n, pair) in results.windows(2).enumerate() {
            assert_eq!(
                pair[1].0 - pair[0].0,
                4.0,
                "partition {partition}, result {n}: order"
            );
            assert!(
                pair[0].1 <= pair[1].1,
                "partition {partition}, result {n}: an older model"
            );
            assert_eq!(pair[1].2 - pair[0].2, 1);
        }
    }
    server.wait_for_model("wine", &format!("model-{ROUNDS}"));
    world.records(&[wine("wine", 1.0)]);
    server.wait_for_count("scored", sent as u64 + 1);
    let (_, state) = server.get("/state/wine");
    assert_eq!(state["name"], format!("model-{ROUNDS}"));
    server.stop();
}

pub(super) fn two_data_types(world: &World) {
    world.model(&regression("wine", "first", 100.0));
    world.model(&regression("wine-2", "second", 200.0));
    let records: Vec<_> = (0..50)
        .map(|n| wine(if n % 3 == 0 { "wine-2" } else { "wine" }, f64::from(n)))
        .collect();
    world.records(&records);
    let server = world.start(&[]);
    let results = world.results(records.len());
    let mut last = BTreeMap::new();
    for scored in &results {
        let result = &scored.result;
        let n = result.source_offset;
        let (name, intercept) = if n % 3 == 0 {
            ("second", 200.0)
        } else {
            ("first", 100.0)
        };
        assert_eq!(result.model_name, name);
        assert_eq!(result.value, Some(n as f64 + intercept));
        let before = last.insert(result.data_type.clone(), n);
        assert!(
            before.is_none_or(|before| before < n),
            "in order within a data type"
        );
    }
    assert_eq!(
        server.get("/models").1,
        serde_json::json!(["wine", "wine-2"])
    );
    server.stop();
}

pub(super) fn no_model_drops(world: &World) {
    let server = world.start(&[]);
    world.records(&[wine("wine", 1.0), wine("other", 1.0), wine("wine", 2.0)]);
    server.wait_for_count("noModel", 3);
    world.model(&regression("wine", "late", 0.0));
    server.wait_for_model("wine", "late");
    world.records(&[wine("wine", 3.0), wine("other", 1.0)]);
    server.wait_for_count("noModel", 4);
    assert_eq!(world.results(1)[0].result.value, Some(3.0));
    assert_eq!(world.dead_letters(0).len(), 0);
    server.stop();
}

pub(super) fn no_model_waits(world: &World) {
    let server = world.start(&["--on-no-model", "wait"]);
    world.records(&[wine("wine", 1.0), wine("other", 5.0), wine("wine", 2.0)]);
    server.wait_for("/state", |state| state["records"].as_u64() >= Some(3));
    world.model(&regression("wine", "late", 10.0));
    let scored = |value: f64| {
        let has = |results: &[Scored]| results.iter().any(|r| r.result.value == Some(value));
        let results = world.results_until(has);
        let values = results.iter().filter_map(|scored| scored.result.value);
        values.collect::<Vec<_>>()
    };
    assert_eq!(scored(12.0), [11.0, 12.0]);
    // What still waits must not be committed: whoever comes next finds it.
    server.stop();
    world.model(&regression("other", "later", 20.0));
    let server = world.start(&["--on-no-model", "wait"]);
    server.wait_for_model("other", "later");
    server.wait_for_count("noModel", 0);
    let mut values = scored(25.0);
    if world.has_several_members() {
        // A partition that has moved between them was read again from what waits on.
        values.sort_by(f64::total_cmp);
        values.dedup();
        assert_eq!(values, [11.0, 12.0, 25.0]);
    } else {
        // Its neighbours behind it come again with it; data types have no order among each other.
        let mut values: Vec<_> = world
            .results(4)
            .iter()
            .filter_map(|scored| scored.result.value)
            .collect();
        values.sort_by(f64::total_cmp);
        assert_eq!(values, [11.0, 12.0, 12.0, 25.0]);
    }
    server.stop();
}

pub(super) fn no_model_dead_letters(world: &World) {
    let server = world.start(&["--on-no-model", "dead-letter"]);
    let record = wine("wine", 1.0);
    world.records(std::slice::from_ref(&record));
    let letters = world.dead_letters(1);
    let letter = &letters[0];
    assert_eq!(letter.payload.as_deref(), Some(&record.encode_to_vec()[..]));
    super::bad_records::check_headers(letter, &world.topic("data"), 0, "no-model", world.name());
    server.wait_for_count("noModel", 1);
    server.wait_for_count("deadLetters", 1);
    server.stop();
}

pub(super) fn restart(world: &World) {
    world.model(&regression("wine", "model", 0.0));
    let server = world.start(&[]);
    world.records(&[wine("wine", 1.0), wine("wine", 2.0)]);
    world.results(2);
    server.stop();
    world.records(&[wine("wine", 3.0), wine("wine", 4.0)]);
    let server = world.start(&[]);
    let value = |scored: &Scored| scored.result.value.expect("a value");
    let results = world.results_until(|results| results.iter().any(|r| value(r) == 4.0));
    let mut values: Vec<_> = results.iter().map(value).collect();
    if world.has_several_members() {
        // They may still have been sharing the partitions among themselves when they ended, and a
        // group refuses commits then: what was not committed comes again, from the first of it on.
        let again = values.len() - 2;
        assert!((2..=4).contains(&again), "{values:?}");
        values.drain(2..again);
    }
    assert_eq!(
        values,
        [1.0, 2.0, 3.0, 4.0],
        "committed at the end, so nothing twice"
    );
    server.stop();
}

pub(super) fn two_instances(world: &World) {
    const RECORDS: usize = 2_000;
    world.model(&regression("wine", "model", 0.0));
    let first = world.start(&[]);
    let send = |range: std::ops::Range<usize>| {
        range.for_each(|n| world.send_record((n % 4) as i32, &wine("wine", n as f64)));
        world.flush();
    };
    send(0..RECORDS / 2);
    // The second one takes partitions over while the first one works.
    let second = world.start(&[]);
    // Members of the group share the partitions, and an instance may have several of them.
    let partitions = |server: &Running| {
        let (_, instances) = server.get("/state/instances");
        instances[0]["partitions"].as_array().map_or(0, Vec::len)
    };
    second.wait_for("/state/instances", |_| {
        let (first, second) = (partitions(&first), partitions(&second));
        first > 0 && second > 0 && first + second == 4
    });
    send(RECORDS / 2..RECORDS);
    second.wait_for("/state", |state| state["scored"].as_u64() > Some(0));
    let mut values: Vec<_> = world
        .results(RECORDS)
        .iter()
        .map(|scored| scored.result.value.expect("a value") as usize)
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..RECORDS).collect::<Vec<_>>(), "each record once");
    // The one that leaves hands its partitions back.
    first.stop();
    send(RECORDS..RECORDS + 100);
    world.results(RECORDS + 100);
    second.stop();
}

pub(super) fn broker_comes_back_empty(world: &World, mut restart: impl FnMut()) {
    world.model(&regression("wine", "model-0", 0.0));
    let server = world.start(&[]);
    let records: Vec<_> = (0..100).map(|n| wine("wine", f64::from(n))).collect();
    world.records(&records);
    world.results(100);
    // Fewer records than before, so that the server waits beyond the end of the new log; then more,
    // so that the new log grows past the place where it waited. Topics that come at once, and
    // topics that come when the server has joined the group again without them.
    for (round, count, late) in [
        (1, 10, false),
        (2, 500, true),
        (3, 1, true),
        (4, 100, false),
    ] {
        restart();
        if late {
            server.wait_for("/state/instances", |instances| {
                instances[0]["partitions"]
                    .as_array()
                    .is_some_and(Vec::is_empty)
            });
        }
        world.create_topics();
        let name = format!("model-{round}");
        world.model(&regression("wine", &name, f64::from(round) * 1e6));
        if !world.models_are_elsewhere() {
            server.wait_for_model("wine", &name);
        }
        (0..count).for_each(|n| world.send_record(0, &wine("wine", f64::from(n))));
        world.flush();
        let results = world.results(count as usize);
        for (n, scored) in results.iter().enumerate() {
            let expected = f64::from(round) * 1e6 + n as f64;
            assert_eq!(scored.result.value, Some(expected), "round {round}");
            assert_eq!(scored.result.source_offset, n as i64);
        }
    }
    server.stop();
}
