//! What only this strategy has: batches, cut by time and size, and what is told of them.

use microbatch_server::STRATEGY;
use serving::conformance::{regression, run_own, wine};

#[test]
fn every_batch_is_reported() {
    run_own(&STRATEGY, &["--trigger", "100ms"], |world| {
        world.model(&regression("wine", "one", 1.0));
        let server = world.start(&[]);
        assert_eq!(server.get("/progress"), (200, serde_json::json!([])));
        world.records(&[wine("wine", 1.0), wine("wine", 2.0)]);
        world.results(2);
        world.model(&regression("wine", "two", 2.0));
        world.records(&[wine("wine", 3.0)]);
        let sum = |progress: &serde_json::Value, field: &str| -> u64 {
            let batches = progress.as_array().expect("a list");
            let counts = batches.iter().map(|batch| batch[field].as_u64());
            counts.map(|count| count.expect("a count")).sum()
        };
        let progress = server.wait_for("/progress", |progress| {
            (sum(progress, "records"), sum(progress, "models")) == (3, 1)
        });
        let batches = progress.as_array().expect("a list");
        for (number, batch) in batches.iter().enumerate() {
            assert_eq!(batch["batch"], number, "{progress}");
            assert!(batch["started"].as_f64() > Some(1.6e12), "milliseconds");
            assert!(batch["duration"].as_f64() > Some(0.0));
        }
        let ends: Vec<_> = batches
            .iter()
            .filter_map(|b| b["offsets"]["0"].as_i64())
            .collect();
        assert!(ends.is_sorted(), "{progress}");
        assert_eq!(ends.last(), Some(&3));
        server.stop();
    });
}

#[test]
fn nothing_is_scored_before_its_batch_is_cut_and_what_is_gathered_is_scored_at_the_end() {
    run_own(&STRATEGY, &["--trigger", "1h"], |world| {
        world.model(&regression("wine", "one", 1.0));
        let server = world.start(&[]);
        world.records(&[wine("wine", 1.0), wine("wine", 2.0)]);
        server.wait_for("/state", |state| state["records"] == 2);
        assert_eq!(server.get("/state").1["scored"], 0);
        server.stop();
        world.results(2);
    });
}

#[test]
fn a_batch_that_is_full_is_cut_before_its_time() {
    run_own(&STRATEGY, &["--trigger", "1h"], |world| {
        world.model(&regression("wine", "one", 1.0));
        (0..15_000).for_each(|n| world.send_record(n % 4, &wine("wine", f64::from(n))));
        world.flush();
        let server = world.start(&[]);
        let first = server.wait_for("/progress", |batches| batches[0]["batch"] == 0);
        assert!(first[0]["records"].as_u64() >= Some(10_000), "{first}");
        server.stop();
        world.results(15_000);
    });
}

#[test]
fn without_batches_there_is_no_progress_to_tell() {
    run_own(&STRATEGY, &["--trigger", "continuous"], |world| {
        let server = world.start(&[]);
        let (status, answer) = server.get("/progress");
        assert_eq!(status, 404);
        let known = answer["known"].as_array().expect("a list");
        assert!(!known.contains(&"/progress".into()), "{answer}");
        server.stop();
    });
}
