//! Both joins, through a real broker, with one, two and three workers.
#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get is a failure"
)]

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use configuration::PartitionedServer;
use dataflow::{Join, ModelRouting, RecordRouting};
use serving::conformance::{Scored, World, regression, run_own, wine};
use serving::{Context, Outcomes, Shutdown, Strategy};

/// Settings with a number of workers, whatever the join.
type Settings = PartitionedServer;

const BY_DATA_TYPE: Join = Join {
    records: RecordRouting::ByDataType,
    models: ModelRouting::ByDataType,
};

const IN_PLACE: Join = Join {
    records: RecordRouting::Stay,
    models: ModelRouting::Broadcast,
};

/// Which workers have scored records of a data type.
type Workers = Mutex<BTreeMap<String, HashSet<ThreadId>>>;

fn note(workers: &Workers, outcomes: &Outcomes) {
    for (record, _) in outcomes.scores() {
        let data_type = record.data_type.to_string();
        let mut workers = workers.lock().unwrap();
        let seen = workers.entry(data_type).or_default();
        seen.insert(thread::current().id());
    }
}

const TYPES: usize = 5;

fn data_type(number: usize) -> String {
    format!("wine-{number}")
}

/// Scores records of several data types in all partitions, replaces the models, and scores them
/// again. Returns all that is the same in every run, in the order of the records.
fn scores(world: &World) -> Vec<(i32, i64, String, String, Option<f64>)> {
    const RECORDS: usize = 1_000;
    let publish = |generation: usize| {
        for number in 0..TYPES {
            let name = format!("model-{generation}-{number}");
            let intercept = (generation * TYPES + number) as f64 * 1e4;
            world.model(&regression(&data_type(number), &name, intercept));
        }
    };
    let send = |from: usize| {
        for n in from..from + RECORDS {
            world.send_record((n % 4) as i32, &wine(&data_type(n % TYPES), n as f64));
        }
        world.flush();
    };
    publish(0);
    let server = world.start(&[]);
    send(0);
    world.results(RECORDS);
    publish(1);
    for number in 0..TYPES {
        let name = format!("model-1-{number}");
        server.wait_for(&format!("/state/{}", data_type(number)), |state| {
            state["name"] == name || state["next"]["name"] == name
        });
    }
    send(RECORDS);
    let mut results = world.results(2 * RECORDS);
    server.stop();
    results.sort_by_key(|scored| scored.message.position);
    let mut last = BTreeMap::new();
    let result = |scored: Scored| {
        let result = scored.result;
        let (partition, offset) = (result.source_partition, result.source_offset);
        let before = last.insert((partition, result.data_type.clone()), offset);
        assert!(before < Some(offset), "in order within a data type");
        let (data_type, model) = (result.data_type, result.model_name);
        (partition, offset, data_type, model, result.value)
    };
    let mut results: Vec<_> = results.into_iter().map(result).collect();
    // Data types have no order among each other.
    results.sort_by_key(|&(partition, offset, ..)| (partition, offset));
    results
}

#[test]
fn joined_by_data_type_the_same_input_gives_the_same_output_and_a_data_type_has_one_worker() {
    static SEEN: Workers = Workers::new(BTreeMap::new());
    static STRATEGY: Strategy<Settings> = Strategy {
        name: "by-data-type",
        about: "",
        port: 0,
        reads_models: true,
        run,
    };
    fn run(context: Context, settings: &Settings) -> anyhow::Result<()> {
        let seen = |outcomes: &Outcomes| note(&SEEN, outcomes);
        Ok(dataflow::run(
            context,
            settings.workers.get(),
            BY_DATA_TYPE,
            seen,
        )?)
    }
    let mut runs = Vec::new();
    for workers in ["1", "2", "3"] {
        SEEN.lock().unwrap().clear();
        run_own(&STRATEGY, &["--workers", workers], |world| {
            runs.push(scores(world));
        });
        let seen = SEEN.lock().unwrap();
        assert_eq!(seen.len(), TYPES);
        assert!(seen.values().all(|threads| threads.len() == 1), "{seen:?}");
        let threads: HashSet<_> = seen.values().flatten().collect();
        assert!(threads.len() > 1 || workers == "1", "{seen:?}");
    }
    assert!(runs[0] == runs[1] && runs[0] == runs[2]);
}

#[test]
fn joined_in_place_the_same_input_gives_the_same_output_and_a_data_type_has_many_workers() {
    static SEEN: Workers = Workers::new(BTreeMap::new());
    static STRATEGY: Strategy<Settings> = Strategy {
        name: "in-place",
        about: "",
        port: 0,
        reads_models: true,
        run,
    };
    fn run(context: Context, settings: &Settings) -> anyhow::Result<()> {
        let seen = |outcomes: &Outcomes| note(&SEEN, outcomes);
        Ok(dataflow::run(
            context,
            settings.workers.get(),
            IN_PLACE,
            seen,
        )?)
    }
    let mut runs = Vec::new();
    for workers in ["1", "2", "3"] {
        run_own(&STRATEGY, &["--workers", workers], |world| {
            runs.push(scores(world));
        });
        SEEN.lock().unwrap().clear();
        run_own(&STRATEGY, &["--workers", workers], |world| {
            world.model(&regression("wine", "model", 0.0));
            let server = world.start(&[]);
            // Members of a group get their partitions one after the other.
            let deadline = Instant::now() + Duration::from_secs(60);
            while SEEN
                .lock()
                .unwrap()
                .get("wine")
                .map_or(0, HashSet::len)
                .to_string()
                != workers
            {
                assert!(Instant::now() < deadline, "{workers} workers: {SEEN:?}");
                (0..4).for_each(|partition| world.send_record(partition, &wine("wine", 1.0)));
                world.flush();
            }
            server.stop();
        });
    }
    assert!(runs[0] == runs[1] && runs[0] == runs[2]);
}

#[test]
fn a_worker_that_panics_ends_the_server_with_an_error() {
    static STRATEGY: Strategy<Settings> = Strategy {
        name: "panicking",
        about: "",
        port: 0,
        reads_models: true,
        run,
    };
    fn run(context: Context, settings: &Settings) -> anyhow::Result<()> {
        let seen = |_: &Outcomes| panic!("as the test wants it");
        Ok(dataflow::run(
            context,
            settings.workers.get(),
            BY_DATA_TYPE,
            seen,
        )?)
    }
    let options = embedded_kafka::Options {
        listen: "127.0.0.1:0".to_owned(),
        ..Default::default()
    };
    let broker = embedded_kafka::Broker::start(options).unwrap();
    for workers in ["1", "2", "3"] {
        let world = World::new(&STRATEGY, &broker.bootstrap(), &[]);
        world.model(&regression("wine", "model", 0.0));
        world.records(&[wine("wine", 1.0)]);
        let arguments: Vec<String> = [
            ("--brokers", broker.bootstrap()),
            ("--data-topic", world.topic("data")),
            ("--models-topic", world.topic("models")),
            ("--results-topic", world.topic("results")),
            ("--dead-letter-topic", world.topic("dead-letters")),
            ("--group", world.topic("group")),
            ("--http", "127.0.0.1:0".to_owned()),
            ("--workers", workers.to_owned()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect();
        let settings: Settings = configuration::parse(arguments).unwrap();
        let ended = serving::serve(&STRATEGY, &settings, &Shutdown::new(), |_| {});
        let message = ended.unwrap_err().to_string();
        assert!(message.ends_with("panicked"), "{message}");
    }
}
