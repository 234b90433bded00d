//! The partitioned strategy in the scenarios that every strategy must pass.

use partitioned_server::STRATEGY;
use serving::conformance;

#[test]
fn the_scenarios_of_every_strategy() {
    conformance::run(&STRATEGY, &[]);
}

#[test]
fn the_scenarios_of_every_strategy_with_two_workers() {
    conformance::run(&STRATEGY, &["--workers", "2"]);
}

#[test]
fn the_scenarios_of_every_strategy_with_three_workers() {
    conformance::run(&STRATEGY, &["--workers", "3"]);
}

#[test]
fn a_broker_that_comes_back_empty_needs_no_restart_of_the_server() {
    conformance::broker_comes_back_empty(&STRATEGY, &["--workers", "2"]);
}
