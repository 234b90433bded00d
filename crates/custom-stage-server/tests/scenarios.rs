//! The custom-stage strategy in the scenarios that every strategy must pass.

use custom_stage_server::STRATEGY;
use serving::conformance;

#[test]
fn the_scenarios_of_every_strategy() {
    conformance::run(&STRATEGY, &[]);
}

#[test]
fn a_broker_that_comes_back_empty_needs_no_restart_of_the_server() {
    conformance::broker_comes_back_empty(&STRATEGY, &[]);
}
