//! The keyed strategy in the scenarios that every strategy must pass.

use keyed_server::STRATEGY;
use serving::conformance::{self, regression, wine};

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

#[test]
fn scores_are_written_to_a_text_file_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("output").join("scores.txt");
    let flags = ["--workers", "2", "--output", file.to_str().unwrap()];
    conformance::run_own(&STRATEGY, &flags, |world| {
        let types = ["wine", "wine-2", "wine-3"];
        for (n, data_type) in (1..).zip(types) {
            world.model(&regression(data_type, "model", 10.0 * f64::from(n)));
        }
        let server = world.start(&[]);
        world.records(&types.map(|data_type| wine(data_type, 0.5)));
        world.results(3);
        server.stop();
    });
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<Vec<_>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert!(lines.iter().all(|line| line.len() == 6), "{text}");
    // When, to the millisecond, is the records' own affair; data types have no order.
    assert!(lines.iter().all(|line| line[0].len() == 24), "{text}");
    lines.sort_by_key(|line| line[1]);
    let rest: Vec<_> = lines.iter().map(|line| line[1..].join(" ")).collect();
    let expected = [
        "wine model 0 10.5 ",
        "wine-2 model 1 20.5 ",
        "wine-3 model 2 30.5 ",
    ];
    assert_eq!(rest, expected);
}

#[test]
fn a_text_file_that_cannot_be_written_is_an_error_that_names_the_flag() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    conformance::run_own(&STRATEGY, &[], |world| {
        let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.start(&["--output", path])
        }));
        let message = started.err().unwrap();
        let message = message.downcast_ref::<String>().unwrap();
        assert!(
            message.contains("--output") && message.contains(path),
            "{message}"
        );
    });
}
