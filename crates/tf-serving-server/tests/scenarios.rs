//! The tf-serving strategy in the scenarios that apply where no topic brings models, against this
//! project's inference server, and its own scenarios of servers that fail.

#[cfg(test)]
mod scenarios {
    pub(super) mod faults;
    pub(super) mod models;
    pub(super) mod script;
    pub(super) mod wire;
}

use scenarios::models::Place;
use serving::conformance;
use tf_serving_server::STRATEGY;

#[test]
fn the_scenarios_without_a_models_topic_by_rest() {
    conformance::run_elsewhere(&STRATEGY, || Place::new().elsewhere(false));
}

#[test]
fn the_broker_comes_back_empty() {
    for grpc in [false, true] {
        let elsewhere = Place::new().elsewhere(grpc);
        conformance::broker_comes_back_empty_elsewhere(&STRATEGY, elsewhere);
    }
}

#[test]
fn the_scenarios_without_a_models_topic_by_grpc() {
    conformance::run_elsewhere(&STRATEGY, || Place::new().elsewhere(true));
}
