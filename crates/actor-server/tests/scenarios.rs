//! The actor strategy in the scenarios that every strategy must pass.

use embedded_kafka::{Broker, Options};
use serving::conformance;

/// Against the embedded broker, or against the one that `SUITE_BROKERS` names.
#[test]
fn the_scenarios_of_every_strategy() {
    if let Ok(brokers) = std::env::var("SUITE_BROKERS") {
        conformance::run(&actor_server::STRATEGY, &brokers, &[]);
        return;
    }
    let options = Options {
        listen: "127.0.0.1:0".into(),
        ..Options::default()
    };
    let broker = Broker::start(options).unwrap();
    conformance::run(&actor_server::STRATEGY, &broker.bootstrap(), &[]);
}

#[test]
fn a_broker_that_comes_back_empty_needs_no_restart_of_the_server() {
    let start = |listen: String| {
        let broker = Broker::start(Options {
            listen,
            ..Options::default()
        });
        Some(broker.unwrap())
    };
    let mut broker = start("127.0.0.1:0".into());
    let brokers = broker.as_ref().unwrap().bootstrap();
    let address = brokers.clone();
    conformance::broker_comes_back_empty(&actor_server::STRATEGY, &brokers, &[], move || {
        // The port has to be free before another broker can take it.
        drop(broker.take());
        broker = start(address.clone());
    });
}
