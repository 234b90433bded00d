//! What the meter finds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::SystemTime;

use kafka::{Admin, Outgoing};
use serde_json::Value;

use crate::process::{METER, Program};
use crate::stream::{Header, broker, connection, create, send};

const TOPIC: &str = "models_results";

fn start(brokers: &str, more: &[&str]) -> Program {
    let arguments = [&["--brokers", brokers, "--results-topic", TOPIC], more].concat();
    Program::start(METER, &arguments)
}

/// Writes results, as (partition, milliseconds since an hour ago): a broker keeps none for ever.
fn write(brokers: &str, results: &[(i32, i64)]) {
    create(brokers, TOPIC, 2, &[]);
    let start = i64::try_from(now_us() / 1000).unwrap() - 3_600_000;
    send(
        brokers,
        results.iter().map(|(partition, ms)| Outgoing {
            topic: TOPIC,
            partition: Some(*partition),
            key: None,
            payload: Some(b"a result"),
            headers: &[],
            timestamp_ms: Some(start + ms),
        }),
    );
}

fn now_us() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    now.as_micros().try_into().unwrap()
}

/// Writes one result that was submitted then.
fn write_submitted(brokers: &str, submitted_us: u64) {
    let text = submitted_us.to_string();
    let headers: [Header<'_>; 1] = [("submitted-us", Some(text.as_bytes()))];
    let result = Outgoing {
        topic: TOPIC,
        partition: Some(0),
        key: None,
        payload: Some(b"a result"),
        headers: &headers,
        timestamp_ms: None,
    };
    send(brokers, [result]);
}

/// The object that was printed, and nothing else was.
fn object(meter: Program) -> Value {
    let (status, out, errors) = meter.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert_eq!(out.len(), 1, "{out:?}");
    serde_json::from_str(&out[0]).unwrap()
}

#[test]
fn the_rate_of_a_backlog_is_that_at_which_its_results_were_sent_after_the_first_twentieth() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    // The topic comes later than the meter.
    let meter = start(&brokers, &["--backlog", "2000"]);
    // A slow start: forty a second. Then two a millisecond, one in each partition.
    let slow = (0..40).map(|number| (0, 25 * number));
    let fast = (1000..1980).flat_map(|ms| [(0, ms), (1, ms)]);
    write(&brokers, &slow.chain(fast).collect::<Vec<_>>());
    meter.complains("counting");
    let object = object(meter);
    // The hundredth is sent at 1029, the last at 1979.
    let expected = serde_json::json!({
        "records": 1900, "seconds": 0.95, "recordsPerSecond": 2000.0, "from": 100, "to": 2000,
    });
    assert_eq!(object, expected);
}

#[test]
fn a_backlog_that_does_not_come_is_an_error_that_says_how_much_came() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    write(&brokers, &[(0, 0), (1, 0), (0, 1)]);
    let (status, out, errors) = start(&brokers, &["--backlog", "10", "--timeout", "1500ms"]).end();
    assert_eq!((status.code(), out), (Some(1), vec![]), "{errors}");
    assert!(
        errors.contains("only 3 of 10 results came in time"),
        "{errors}"
    );
    let (status, _, errors) = start(&brokers, &["--seconds", "1", "--timeout", "1500ms"]).end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("over after 0 results"), "{errors}");
}

#[test]
fn latencies_are_those_of_the_results_that_come_after_the_start_and_the_warm_up() {
    const LATENESS: u64 = 7_000;
    const LONG_AGO: u64 = 1_000_000_000;
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    create(&brokers, TOPIC, 2, &[]);
    // There already: it would count as a quarter of an hour.
    write_submitted(&brokers, now_us() - LONG_AGO);
    let meter = start(&brokers, &["--seconds", "1", "--warm-up", "500ms"]);
    meter.complains("ready latency_meter");
    let ended = AtomicBool::new(false);
    let (object, written) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // Comes first, and so belongs to the warm-up.
            write_submitted(&brokers, now_us() - LONG_AGO);
            let mut written = 0_u64;
            while !ended.load(Ordering::Acquire) {
                write_submitted(&brokers, now_us() - LATENESS);
                written += 1;
            }
            written
        });
        let object = object(meter);
        ended.store(true, Ordering::Release);
        (object, writer.join().unwrap())
    });
    let number = |name: &str| object[name].as_u64().unwrap();
    assert_eq!(number("seconds"), 1);
    assert!((1..written).contains(&number("records")), "{object}");
    let spread = ["p50", "p90", "p99", "p999", "max"].map(number);
    assert!(spread.is_sorted(), "{object}");
    assert!(spread[0] >= LATENESS - LATENESS / 1000, "{object}");
    assert!(spread[4] < LONG_AGO, "{object}");
    let mean = object["mean"].as_f64().unwrap();
    assert!((LATENESS as f64..LONG_AGO as f64).contains(&mean));
}

#[test]
fn results_without_the_time_of_their_submission_are_an_error() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    let meter = start(&brokers, &["--seconds", "1"]);
    meter.complains("ready latency_meter");
    write(&brokers, &[(0, 0), (0, 0)]);
    let (status, _, errors) = meter.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.contains("2 results have no header submitted-us"),
        "{errors}"
    );
}

#[test]
fn the_results_topic_is_deleted_if_that_is_asked_for() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    write(&brokers, &[(0, 0), (1, 1000)]);
    let admin = Admin::open(&connection(&brokers)).unwrap();
    let m = start(&brokers, &["--backlog", "2"]);
    m.complains("counting");
    eprintln!("c");
    object(m);
    eprintln!("one");
    assert_eq!(admin.partition_count(TOPIC).unwrap(), Some(2));
    object(start(&brokers, &["--backlog", "2", "--delete"]));
    assert_eq!(admin.partition_count(TOPIC).unwrap(), None);
}

#[test]
fn what_to_measure_has_to_be_said_once() {
    for wrong in [&[][..], &["--backlog", "1", "--seconds", "1"]] {
        let (status, _, errors) = start("127.0.0.1:1", wrong).end();
        assert_eq!(status.code(), Some(2), "{errors}");
        assert!(errors.contains("--seconds"), "{errors}");
    }
}
