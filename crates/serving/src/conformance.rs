//! The scenarios that every strategy must pass, against any broker.
//!
//! A strategy's test calls [`run`] and [`broker_comes_back_empty`]; whoever adds a strategy runs
//! this first. Each scenario has topics of its own, publishes records and models as any client would, and
//! looks at results, dead letters and state queries from outside. A scenario that fails panics,
//! as a test does.

mod bad_models;
mod bad_records;
mod locations;
mod models;
mod spread;
mod streams;
mod tensors;
mod world;

pub use world::{Elsewhere, Running, Scored, World, regression, wine};

use embedded_kafka::{Broker, Options};

use crate::{Settings, Strategy};

/// A scenario: its name, and what it does.
pub type Scenario = (&'static str, fn(&World));

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    (
        "a model scores the records that come after it",
        streams::model_before_records,
    ),
    (
        "results keep key, header, partition and order",
        streams::results_carry_their_source,
    ),
    (
        "models are replaced under load, no record is lost or scored twice",
        streams::swaps_under_load,
    ),
    ("data types do not meet", streams::two_data_types),
    (
        "records without a model are dropped and counted",
        streams::no_model_drops,
    ),
    (
        "records without a model wait for one",
        streams::no_model_waits,
    ),
    (
        "records without a model are dead letters",
        streams::no_model_dead_letters,
    ),
    (
        "a server that comes back goes on where it stopped",
        streams::restart,
    ),
    ("a second instance shares the work", streams::two_instances),
    (
        "many data types are served side by side, however the work is spread",
        spread::many_data_types,
    ),
    ("a new group replays everything alike", spread::replay),
    (
        "what is no record is a dead letter",
        bad_records::undecodable,
    ),
    (
        "a record that cannot be scored is a dead letter",
        bad_records::failed_score,
    ),
    (
        "a dead letter may be as large as the largest message",
        bad_records::largest,
    ),
    (
        "what is larger than a topic takes is reported and passed",
        bad_records::topics_that_take_less,
    ),
    (
        "a bad model is a dead letter and the current one stays",
        bad_models::refused,
    ),
    (
        "at start the newest model that loads is taken",
        bad_models::newest_first,
    ),
    (
        "a model by reference is taken from under the roots, and nowhere else",
        locations::by_reference,
    ),
    (
        "a model that cannot be fetched yet is tried again while others serve",
        locations::not_yet_reachable,
    ),
    (
        "a model that cannot be fetched at start does not keep the one before from serving",
        locations::not_reachable_at_start,
    ),
    ("outputs are sent where asked for", models::all_outputs),
    (
        "records of tensors are scored like wines",
        tensors::scored_like_wines,
    ),
    (
        "tensors find their inputs, and come out under the outputs' names",
        tensors::several_inputs_and_outputs,
    ),
    (
        "tensors that are none or do not fit are dead letters",
        tensors::bad_tensors,
    ),
    ("state queries answer as the contract says", models::state),
];

/// The scenarios that are no use where models are elsewhere and no topic brings them, and why.
pub const OF_THE_MODELS_TOPIC: &[(&str, &str)] = &[
    ("a model scores the records that come after it", VERSION),
    (
        "models are replaced under load, no record is lost or scored twice",
        MOMENT,
    ),
    ("data types do not meet", NAME),
    ("records without a model are dropped and counted", NAME),
    ("records without a model wait for one", NAME),
    (
        "many data types are served side by side, however the work is spread",
        NAME,
    ),
    ("a record that cannot be scored is a dead letter", MOMENT),
    (
        "a bad model is a dead letter and the current one stays",
        TOPIC,
    ),
    ("at start the newest model that loads is taken", TOPIC),
    (
        "a model by reference is taken from under the roots, and nowhere else",
        TOPIC,
    ),
    (
        "a model that cannot be fetched yet is tried again while others serve",
        TOPIC,
    ),
    (
        "a model that cannot be fetched at start does not keep the one before from serving",
        TOPIC,
    ),
    ("outputs are sent where asked for", OUTPUTS),
    ("records of tensors are scored like wines", NAME),
    (
        "tensors find their inputs, and come out under the outputs' names",
        OUTPUTS,
    ),
    (
        "tensors that are none or do not fit are dead letters",
        MOMENT,
    ),
    ("state queries answer as the contract says", NAME),
];
const VERSION: &str = "the version is not an offset of the topic";
const NAME: &str =
    "it tells models apart by their names, and elsewhere a model is called as its data type";
const MOMENT: &str = "it needs to know from when on a model counts";
const TOPIC: &str = "it is about messages of the topic";
const OUTPUTS: &str = "what a model has beside its prediction depends on who serves it";

/// Runs the scenarios for a strategy whose models are elsewhere: all but [`OF_THE_MODELS_TOPIC`].
/// `begin` makes a new elsewhere for each.
///
/// # Panics
/// When a scenario fails; what is printed before names it.
pub fn run_elsewhere<S: Settings>(strategy: &'static Strategy<S>, begin: impl Fn() -> Elsewhere) {
    for (left_out, _) in OF_THE_MODELS_TOPIC {
        let known = SCENARIOS.iter().any(|(name, _)| name == left_out);
        assert!(known, "no scenario is called `{left_out}`");
    }
    on_a_broker(|brokers| {
        for (name, scenario) in SCENARIOS {
            if let Some((_, why)) = OF_THE_MODELS_TOPIC.iter().find(|(out, _)| out == name) {
                eprintln!("left out: {name}: {why}");
                continue;
            }
            eprintln!("scenario: {name}");
            let elsewhere = begin();
            let flags: Vec<_> = elsewhere.flags.iter().map(String::as_str).collect();
            let world = World::new(strategy, brokers, &flags);
            play(world.with_models(elsewhere.publish), scenario);
        }
    });
}

/// Runs every scenario for this strategy. `flags` are given to every server, such as `--workers 3`.
///
/// Against an embedded broker, or against the one that the environment's `SUITE_BROKERS` names.
///
/// # Panics
/// When a scenario fails; what is printed before names it.
pub fn run<S: Settings>(strategy: &'static Strategy<S>, flags: &[&str]) {
    on_a_broker(|brokers| {
        for (name, scenario) in SCENARIOS {
            eprintln!("scenario: {name} {}", flags.join(" "));
            play(World::new(strategy, brokers, flags), scenario);
        }
    });
}

/// Runs a scenario of the strategy's own, against the same broker as [`run`].
///
/// # Panics
/// When the scenario fails.
pub fn run_own<S: Settings>(
    strategy: &'static Strategy<S>,
    flags: &[&str],
    scenario: impl FnOnce(&World),
) {
    on_a_broker(|brokers| play(World::new(strategy, brokers, flags), scenario));
}

/// Leaves nothing behind in a broker that is not ours; what a scenario that fails has written can be
/// looked at there.
fn play(world: World, scenario: impl FnOnce(&World)) {
    scenario(&world);
    world.delete_topics();
}

fn on_a_broker(run: impl FnOnce(&str)) {
    match std::env::var("SUITE_BROKERS") {
        Ok(brokers) => run(&brokers),
        Err(_) => run(&broker("127.0.0.1:0").bootstrap()),
    }
}

/// The scenario of a broker that keeps its log in memory, dies, and comes back on the same address:
/// the server goes on by itself, reads what is new from its beginning, and skips nothing. Always
/// with the embedded broker.
///
/// # Panics
/// When the scenario fails.
pub fn broker_comes_back_empty<S: Settings>(strategy: &'static Strategy<S>, flags: &[&str]) {
    comes_back_empty(|brokers| World::new(strategy, brokers, flags));
}

/// As [`broker_comes_back_empty`], for a strategy whose models are elsewhere.
///
/// # Panics
/// When the scenario fails.
pub fn broker_comes_back_empty_elsewhere<S: Settings>(
    strategy: &'static Strategy<S>,
    elsewhere: Elsewhere,
) {
    let flags: Vec<_> = elsewhere.flags.iter().map(String::as_str).collect();
    comes_back_empty(|brokers| {
        World::new(strategy, brokers, &flags).with_models(elsewhere.publish)
    });
}

fn comes_back_empty(begin: impl FnOnce(&str) -> World) {
    let first = broker("127.0.0.1:0");
    let address = first.bootstrap();
    let world = begin(&address);
    let mut running = Some(first);
    streams::broker_comes_back_empty(&world, || {
        // The port has to be free before another broker can take it.
        drop(running.take());
        running = Some(broker(&address));
    });
}

fn broker(listen: &str) -> Broker {
    let options = Options {
        listen: listen.to_owned(),
        ..Options::default()
    };
    Broker::start(options).expect("a broker")
}
