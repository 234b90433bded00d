//! The micro-batch strategy in the scenarios that every strategy must pass.

use microbatch_server::STRATEGY;
use serving::conformance;

const BATCHES: &[&str] = &["--trigger", "50ms"];
const CONTINUOUS: &[&str] = &["--trigger", "continuous"];

#[test]
fn the_scenarios_of_every_strategy_in_batches() {
    conformance::run(&STRATEGY, BATCHES);
}

#[test]
fn the_scenarios_of_every_strategy_without_batches() {
    conformance::run(&STRATEGY, CONTINUOUS);
}

#[test]
fn a_broker_that_comes_back_empty_needs_no_restart_of_the_server_in_batches() {
    conformance::broker_comes_back_empty(&STRATEGY, BATCHES);
}

#[test]
fn a_broker_that_comes_back_empty_needs_no_restart_of_the_server_without_batches() {
    conformance::broker_comes_back_empty(&STRATEGY, CONTINUOUS);
}
