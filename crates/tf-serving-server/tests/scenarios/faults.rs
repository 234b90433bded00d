//! What a model server may do to those who call it.

use std::time::{Duration, Instant};

use serving::conformance::{self, Running, World, wine};
use tf_serving_server::STRATEGY;

use super::models::Place;
use super::script::{Act, Server};
use super::wire::Wire;

const RECORDS: usize = 400;

fn send(world: &World, records: std::ops::Range<usize>) {
    for n in records {
        world.send_record((n % 4) as i32, &wine("wine", n as f64));
    }
    world.flush();
}

/// Each record has one result, which is its own, in the order of its partition.
fn check(world: &World, records: usize, dead: &[usize]) {
    let mut results = world.results(records - dead.len());
    results.sort_by_key(|scored| scored.message.position);
    let expected = (0..4).flat_map(|partition| (partition..records).step_by(4));
    let expected = expected.filter(|n| !dead.contains(n));
    for (scored, n) in results.iter().zip(expected) {
        assert_eq!(scored.result.value, Some(n as f64));
        assert_eq!(scored.result.source_offset, (n / 4) as i64);
        assert_eq!(scored.result.model_version, "3");
    }
    let letters = world.dead_letters(dead.len());
    for letter in letters {
        let kind = letter
            .headers
            .iter()
            .find(|(name, _)| name == "errors.kind");
        assert_eq!(kind.unwrap().1.as_deref(), Some(&b"score-failed"[..]));
    }
}

/// Runs records through a server that does as the script says.
fn with(
    script: impl Fn(usize, &[f64]) -> Act + Send + 'static,
    flags: &[&str],
    then: impl FnOnce(&World, &Server, Running),
) {
    through(&Server::start(script), flags, then);
}

fn through(script: &Server, flags: &[&str], then: impl FnOnce(&World, &Server, Running)) {
    let url = script.url();
    let flags = [&["--server", &url][..], flags].concat();
    conformance::run_own(&STRATEGY, &flags, |world| {
        send(world, 0..RECORDS);
        let server = world.start(&[]);
        then(world, script, server);
    });
}

#[test]
fn failures_that_pass_cost_no_record() {
    let troubled = |request: usize, _: &[f64]| match request % 8 {
        0 => Act::Status(503),
        1 => Act::Reset,
        2 => Act::Half,
        3 => Act::AnswerAndClose,
        4 => Act::Status(429),
        5 => Act::Garbage,
        _ => Act::Answer,
    };
    with(
        troubled,
        &["--batch-size", "7", "--in-flight", "6"],
        |world, script, server| {
            server.wait_for("/state", |state| {
                state["scored"].as_u64().unwrap() + state["deadLetters"].as_u64().unwrap()
                    == RECORDS as u64
            });
            // Garbage and halves may hit the same records again and again, until they are given up.
            let dead: Vec<usize> = world
                .dead_letters(server.get("/state").1["deadLetters"].as_u64().unwrap() as usize)
                .iter()
                .map(|letter| {
                    let header = |name: &str| {
                        let found = letter.headers.iter().find(|(n, _)| n == name).unwrap();
                        let text = String::from_utf8(found.1.clone().unwrap().to_vec()).unwrap();
                        text.parse::<usize>().unwrap()
                    };
                    4 * header("errors.offset") + header("errors.partition")
                })
                .collect();
            check(world, RECORDS, &dead);
            assert!(dead.len() < RECORDS / 10, "{dead:?}");
            assert!(script.most() <= 6, "{} requests at once", script.most());
            server.stop();
        },
    );
}

#[test]
fn a_server_that_is_broken_for_a_while_is_asked_now_and_then() {
    let broken = |request: usize, _: &[f64]| {
        if request <= 55 {
            Act::Status(503)
        } else {
            Act::Answer
        }
    };
    with(broken, &["--batch-size", "8"], |world, _, server| {
        server.wait_for("/metrics", |text| {
            let text = text.as_str().unwrap_or_default();
            text.contains("model_serving_breaker{strategy=\"tf-serving\"} 2")
        });
        server.wait_for_count("scored", RECORDS as u64);
        let (_, metrics) = server.text("/metrics");
        assert!(metrics.contains("model_serving_breaker{strategy=\"tf-serving\"} 0"));
        assert!(metrics.contains("model_serving_requests_in_flight{strategy=\"tf-serving\"} 0"));
        check(world, RECORDS, &[]);
        server.stop();
    });
}

#[test]
fn what_the_server_refuses_is_a_dead_letter_and_its_neighbours_are_scored() {
    let bad = |_: usize, alcohols: &[f64]| {
        if alcohols.contains(&17.0) {
            Act::Status(400)
        } else if alcohols.contains(&42.0) {
            Act::Status(500)
        } else if alcohols.contains(&80.0) {
            Act::TooFew
        } else {
            Act::Answer
        }
    };
    with(bad, &["--batch-size", "10"], |world, script, server| {
        server.wait_for_count("deadLetters", 3);
        server.wait_for_count("scored", RECORDS as u64 - 3);
        check(world, RECORDS, &[17, 42, 80]);
        assert_eq!(script.seen(17.0), 2, "with its neighbours, and alone");
        assert!(script.seen(42.0) <= 10, "a bounded number of times");
        server.stop();
    });
}

#[test]
fn requests_under_way_are_bounded_and_hanging_ones_do_not_delay_the_end() {
    let flags = ["--in-flight", "3", "--batch-size", "2"];
    with(
        |_, _| Act::Hang,
        &flags,
        |world, script, server| {
            script.wait_for(3);
            let state = server.wait_for("/state", |state| state["records"] == RECORDS);
            assert_eq!(state["scored"], 0);
            let begun = Instant::now();
            server.stop();
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{:?}",
                begun.elapsed()
            );
            assert_eq!((script.requests(), script.most()), (3, 3));
            script.release();
            // Nothing was committed.
            let server = world.start(&[]);
            server.wait_for_count("scored", RECORDS as u64);
            assert!(script.most() <= 3, "{} at once", script.most());
            check(world, RECORDS, &[]);
            server.stop();
        },
    );
}

#[test]
fn a_server_without_metadata_is_told_of_by_flags() {
    let flags = ["--input", "wine", "--batch-delay", "20ms"];
    with(
        |_, _| Act::Answer,
        &flags,
        |world, script, server| {
            server.wait_for_count("scored", RECORDS as u64);
            let results = world.results(RECORDS);
            assert!(results.iter().all(|scored| scored.result.value
                == Some(
                    (4 * scored.result.source_offset + i64::from(scored.result.source_partition))
                        as f64
                )));
            assert_eq!(results[0].result.model_version, "", "nobody says which");
            assert!(
                script.requests() < RECORDS / 2,
                "{} requests",
                script.requests()
            );
            server.stop();
        },
    );
}

#[test]
fn a_slow_answer_is_asked_for_again_and_counts_once() {
    let slow = |request: usize, _: &[f64]| if request == 2 { Act::Hang } else { Act::Answer };
    let flags = ["--request-timeout", "200ms", "--batch-size", "50"];
    with(slow, &flags, |world, script, server| {
        server.wait_for_count("scored", RECORDS as u64);
        script.release();
        send(world, RECORDS..2 * RECORDS);
        server.wait_for_count("scored", 2 * RECORDS as u64);
        check(world, 2 * RECORDS, &[]);
        assert!(script.requests() > 1);
        server.stop();
    });
}

#[test]
fn metadata_that_are_refused_for_a_while_cost_no_record() {
    let script = Server::start(|_, _| Act::Answer);
    script.refuse_metadata(3, 403);
    through(&script, &[], |world, _, server| {
        server.wait_for_count("scored", RECORDS as u64);
        check(world, RECORDS, &[]);
        server.stop();
    });
}

/// Every request that was made for the model before is refused from some moment on.
#[test]
fn a_model_with_other_inputs_takes_over_and_no_record_is_given_up() {
    let script = Server::start(|_, _| Act::Answer);
    script.rename_input_after(10);
    let flags = ["--batch-size", "5", "--in-flight", "8"];
    through(&script, &flags, |world, script, server| {
        server.wait_for_count("scored", RECORDS as u64);
        check(world, RECORDS, &[]);
        assert!(script.requests() >= RECORDS / 5);
        server.stop();
    });
}

/// They come in between good ones, until only they are left: then nobody else shows that the server
/// is well.
#[test]
fn records_that_the_server_never_answers_do_not_stop_the_others() {
    let is_bad = |n: usize| n % 20 == 7;
    let poisoned = move |_: usize, alcohols: &[f64]| {
        if alcohols.iter().any(|alcohol| is_bad(*alcohol as usize)) {
            Act::Status(500)
        } else {
            Act::Answer
        }
    };
    let flags = ["--batch-size", "4", "--in-flight", "8"];
    with(poisoned, &flags, |world, _, server| {
        let dead: Vec<usize> = (0..RECORDS).filter(|n| is_bad(*n)).collect();
        server.wait_for_count("scored", (RECORDS - dead.len()) as u64);
        server.wait_for_count("deadLetters", dead.len() as u64);
        check(world, RECORDS, &dead);
        server.stop();
    });
}

#[test]
fn a_data_type_whose_answers_do_not_come_leaves_others_theirs() {
    let hangs = |_: usize, alcohols: &[f64]| {
        if alcohols[0] < 1e6 {
            Act::Hang
        } else {
            Act::Answer
        }
    };
    let flags = [
        "--batch-size",
        "4",
        "--in-flight",
        "4",
        "--request-timeout",
        "300ms",
    ];
    let script = Server::start(hangs);
    let url = script.url();
    let flags = [&["--server", &url][..], &flags].concat();
    conformance::run_own(&STRATEGY, &flags, |world| {
        let other = |n: usize| wine("other", 1e6 + n as f64);
        let server = world.start(&[]);
        // It is known before the one that hangs stops the reading for itself.
        world.records(&[other(0)]);
        server.wait_for_count("scored", 1);
        send(world, 0..RECORDS);
        world.records(&(1..RECORDS).map(other).collect::<Vec<_>>());
        server.wait_for_count("scored", RECORDS as u64);
        let results = world.results(RECORDS);
        assert!(
            results
                .iter()
                .all(|scored| scored.result.data_type == "other")
        );
        script.release();
        server.wait_for_count("scored", 2 * RECORDS as u64);
        server.stop();
    });
}

#[test]
fn partitions_go_to_others_while_the_server_hangs() {
    // More than is read ahead.
    const MANY: usize = 20_000;
    let hanging = Server::start(|_, _| Act::Hang);
    let working = Server::start(|_, _| Act::Answer);
    let hanging_url = hanging.url();
    conformance::run_own(&STRATEGY, &[], |world| {
        send(world, 0..MANY);
        let first = world.start(&["--server", &hanging_url]);
        hanging.wait_for(8);
        let second = world.start(&["--server", &working.url()]);
        second.wait_for_count("scored", MANY as u64 / 2);
        assert_eq!(first.get("/state").1["scored"], 0);
        first.stop();
        second.wait_for_count("scored", MANY as u64);
        check(world, MANY, &[]);
        second.stop();
        hanging.release();
    });
}

/// A network that loses the connections that there are, without a word.
#[test]
fn connections_that_are_dead_are_left() {
    for grpc in [false, true] {
        let place = Place::new();
        place.put_alcohol("wine", 1);
        let wire = Wire::to(place.address(grpc));
        let url = format!(
            "{}://{}",
            if grpc { "grpc" } else { "http" },
            wire.address()
        );
        let flags = [
            "--server",
            &url,
            "--request-timeout",
            "300ms",
            "--batch-size",
            "1",
        ];
        conformance::run_own(&STRATEGY, &flags, |world| {
            send(world, 0..RECORDS);
            let server = world.start(&[]);
            server.wait_for_count("scored", RECORDS as u64);
            let before = wire.connections();
            wire.cut();
            world.records(&[wine("wine", 7.0)]);
            server.wait_for_count("scored", RECORDS as u64 + 1);
            // One, and another one if a look and a record found theirs dead one after the other.
            let made = wire.connections() - before;
            assert!((1..=2).contains(&made), "{made} connections");
            server.stop();
        });
    }
}

/// Nothing is left then that could show that the server is well but the next record.
#[test]
fn a_first_record_that_is_never_answered_does_not_keep_the_next_ones_away() {
    let bad = |_: usize, alcohols: &[f64]| {
        if alcohols.contains(&0.0) {
            Act::Status(500)
        } else {
            Act::Answer
        }
    };
    let script = Server::start(bad);
    let flags = ["--server", &script.url(), "--input", "wine"];
    conformance::run_own(&STRATEGY, &flags, |world| {
        send(world, 0..1);
        let server = world.start(&[]);
        server.wait_for_count("deadLetters", 1);
        send(world, 1..RECORDS);
        server.wait_for_count("scored", RECORDS as u64 - 1);
        server.stop();
    });
}

/// As a proxy does that has lost its credentials.
#[test]
fn a_server_that_refuses_what_it_has_answered_is_waited_for() {
    let refuses = |request: usize, _: &[f64]| {
        if (20..=34).contains(&request) {
            Act::Status(403)
        } else {
            Act::Answer
        }
    };
    let flags = ["--batch-size", "5", "--in-flight", "4"];
    with(refuses, &flags, |world, _, server| {
        server.wait_for_count("scored", RECORDS as u64);
        check(world, RECORDS, &[]);
        server.stop();
    });
}
