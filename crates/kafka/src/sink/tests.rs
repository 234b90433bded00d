//! A producer that librdkafka declares dead.

use std::collections::BTreeMap;
use std::sync::Mutex;

use embedded_kafka::{Broker, Options};
use rdkafka::bindings::{rd_kafka_resp_err_t, rd_kafka_test_fatal_error};

use super::*;
use crate::{Admin, TopicReader, TopicSpec};

#[derive(Default)]
struct Counted(Mutex<BTreeMap<u64, u32>>);

impl Acknowledge for Counted {
    fn acknowledged(&self, ticket: u64, result: Result<()>) {
        result.unwrap();
        *self.0.lock().unwrap().entry(ticket).or_default() += 1;
    }
}

/// Makes the current producer fail for good, as librdkafka offers for tests.
fn kill(sink: &Sink) {
    #[expect(unsafe_code, reason = "the safe layer has no such call")]
    // SAFETY: the client is alive, and the reason ends with a NUL.
    let code = unsafe {
        rd_kafka_test_fatal_error(
            sink.current().client().client().native_ptr(),
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
            c"a test".as_ptr(),
        )
    };
    assert_eq!(code, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
}

#[test]
fn a_dead_producer_is_replaced_and_what_it_owed_is_sent_again_in_order() {
    const COUNT: u64 = 20_000;
    let options = Options {
        listen: "127.0.0.1:0".to_owned(),
        ..Options::default()
    };
    let broker = Broker::start(options).unwrap();
    let connection = Connection::new(broker.bootstrap(), "kafka-tests");
    let spec = TopicSpec {
        name: "numbers".to_owned(),
        partitions: 2,
        config: Vec::new(),
    };
    Admin::open(&connection)
        .unwrap()
        .ensure_topic(&spec)
        .unwrap();
    let counted = Arc::new(Counted::default());
    let sink = Sink::open(&connection, Arc::clone(&counted) as Arc<dyn Acknowledge>).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut replaced = 0;
    for number in 0..COUNT {
        let payload = number.to_string();
        let message = Outgoing {
            topic: "numbers",
            partition: Some(i32::from(number % 2 == 1)),
            key: None,
            payload: Some(payload.as_bytes()),
            headers: &[("number", Some(payload.as_bytes())), ("null", None)],
            timestamp_ms: None,
        };
        while let Err(error) = sink.send(&message, number) {
            assert!(matches!(error, SendError::QueueFull), "{error}");
            assert!(Instant::now() < deadline, "the sink does not recover");
            sink.poll(Duration::from_millis(1));
        }
        if number % 100 == 0 {
            sink.poll(Duration::ZERO);
        }
        if number % 4000 == 2345 {
            let dead = Arc::as_ptr(&sink.current());
            assert!(sink.in_flight() > 0);
            kill(&sink);
            while std::ptr::eq(dead, Arc::as_ptr(&sink.current())) {
                sink.poll(Duration::from_millis(1));
                assert!(Instant::now() < deadline, "the producer is not replaced");
            }
            replaced += 1;
        }
    }
    assert_eq!(replaced, 5);
    sink.flush(Duration::from_secs(60)).unwrap();
    assert_eq!(sink.in_flight(), 0);
    let counted = counted.0.lock().unwrap();
    assert_eq!(counted.len() as u64, COUNT);
    assert!(counted.values().all(|times| *times == 1));

    let mut reader = TopicReader::open(&connection, "numbers").unwrap();
    let mut next = [0, 1];
    while !reader.caught_up() {
        let Some(message) = reader.poll(Duration::from_millis(50)).unwrap() else {
            continue;
        };
        assert!(Instant::now() < deadline, "{next:?}");
        let payload = message.payload.unwrap();
        let number: u64 = std::str::from_utf8(&payload).unwrap().parse().unwrap();
        assert_eq!(
            message.headers,
            [
                ("number".to_owned(), Some(payload)),
                ("null".to_owned(), None)
            ]
        );
        let next = &mut next[usize::from(number % 2 == 1)];
        // What the broker had, but had not acknowledged, comes again.
        assert!(number <= *next, "{number} came when {next} was due");
        if number == *next {
            *next += 2;
        }
    }
    assert_eq!(next, [COUNT, COUNT + 1]);
}
