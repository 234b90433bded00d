//! The actor strategy in the scenarios that every strategy must pass.

use embedded_kafka::{Broker, Options};
use serving::conformance;

#[test]
fn the_scenarios_of_every_strategy() {
    let options = Options { listen: "127.0.0.1:0".into(), ..Options::default() };
    let broker = Broker::start(options).unwrap();
    conformance::run(&actor_server::STRATEGY, &broker.bootstrap());
}
