use std::collections::BTreeMap;

use super::world::{World, regression, wine};

const TYPES: usize = 8;
const RECORDS: usize = 3_200;

fn data_type(number: usize) -> String {
    format!("wine-{number}")
}

/// Many data types in all partitions: the work can be spread over workers and instances, and is
/// done as if it were not.
pub(super) fn many_data_types(world: &World) {
    let publish = |generation: usize| {
        for number in 0..TYPES {
            let intercept = (generation * TYPES + number) as f64 * 1e6;
            let name = format!("model-{generation}-{number}");
            world.model(&regression(&data_type(number), &name, intercept));
        }
    };
    let send = |records: std::ops::Range<usize>| {
        for n in records {
            let record = wine(&data_type((n / 4) % TYPES), n as f64);
            world.send_record((n % 4) as i32, &record);
        }
        world.flush();
    };
    publish(0);
    let server = world.start(&[]);
    send(0..RECORDS);
    server.wait_for_count("scored", RECORDS as u64);
    let state = server.get("/state").1;
    let models = state["models"].as_array().expect("models");
    assert_eq!(models.len(), TYPES, "one state for each data type: {state}");
    for (number, model) in models.iter().enumerate() {
        assert_eq!(
            model["dataType"],
            data_type(number),
            "in order of the names"
        );
        assert_eq!(model["name"], format!("model-0-{number}"));
        assert_eq!(model["usage"], RECORDS / TYPES, "{model}");
        let spread = |field: &str| model["total"][field].as_f64().expect("a number");
        assert!(spread("min") <= spread("average") && spread("average") <= spread("max"));
    }
    publish(1);
    for number in 0..TYPES {
        server.wait_for_model(&data_type(number), &format!("model-1-{number}"));
    }
    send(RECORDS..2 * RECORDS);
    let mut last: BTreeMap<_, i64> = BTreeMap::new();
    for scored in world.results(2 * RECORDS) {
        let result = scored.result;
        let value = result.value.expect("a value");
        let (model, n) = ((value / 1e6) as usize, (value % 1e6) as usize);
        assert_eq!(model, n / RECORDS * TYPES + (n / 4) % TYPES, "record {n}");
        assert_eq!(result.data_type, data_type((n / 4) % TYPES), "record {n}");
        let lane = (scored.message.position.partition, result.data_type);
        let before = last.insert(lane, result.source_offset);
        assert!(
            before.is_none_or(|before| before < result.source_offset),
            "record {n}: each once, in order within its partition and data type"
        );
    }
    let state = server.get("/state").1;
    assert_eq!(state["scored"], 2 * RECORDS);
    for model in state["models"].as_array().expect("models") {
        assert_eq!(
            model["usage"],
            RECORDS / TYPES,
            "since it is current: {model}"
        );
    }
    server.stop();
}

/// A group that has committed nothing reads everything again, and says the same of it.
pub(super) fn replay(world: &World) {
    world.model(&regression("wine", "model", 10.0));
    for n in 0..200 {
        world.send_record(n % 4, &wine("wine", f64::from(n)));
    }
    world.flush();
    let mut runs = Vec::new();
    for run in 1..=2 {
        let group = world.topic(&format!("group-{run}"));
        let server = world.start(&["--group", &group]);
        let results = world.results(200 * run);
        server.stop();
        let said = |scored: &super::world::Scored| {
            let result = &scored.result;
            let source = (result.source_partition, result.source_offset);
            (source, result.value.expect("a value").to_bits())
        };
        runs.push(results.iter().map(said).collect::<Vec<_>>());
    }
    let [first, both] = &mut runs[..] else {
        unreachable!("two runs")
    };
    first.sort_unstable();
    both.sort_unstable();
    let twice: Vec<_> = first.iter().flat_map(|said| [*said, *said]).collect();
    assert_eq!(*both, twice);
}
