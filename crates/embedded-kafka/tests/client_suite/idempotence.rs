//! Idempotent producers: nothing twice, nothing out of order.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, ProducerId};

use crate::clients::batch::{Writer, batch};
use crate::clients::entry::{entries, numbered};
use crate::clients::eventually;
use crate::clients::wire::Connection;
use crate::cluster;

impl Connection {
    /// A new producer's id and epoch.
    fn producer(&mut self) -> Writer {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1));
        // A broker that has just started may still be fetching ids to give away.
        eventually("the broker gives a producer id", || {
            let response = self.call(1, &request);
            (response.error_code == 0).then_some(Writer {
                id: response.producer_id.0,
                epoch: response.producer_epoch,
                sequence: 0,
            })
        })
    }
}

#[test]
fn many_requests_in_flight_stay_in_order_and_single() {
    let cluster = cluster();
    let topic = cluster.topic(2, &[]);
    let mut producer = cluster.producer(&[
        ("enable.idempotence", "true"),
        ("max.in.flight.requests.per.connection", "5"),
        ("linger.ms", "0"),
        ("batch.num.messages", "20"),
    ]);
    let sent = numbered(10_000);
    for entry in &sent {
        producer.send(&topic, Some(0), entry);
        producer.send(&topic, Some(1), entry);
    }
    assert!(producer.settle().iter().all(Result::is_ok));
    for partition in 0..2 {
        assert_eq!(entries(&cluster.read_all(&topic, partition)), sent);
    }
}

#[test]
fn every_producer_gets_an_id_of_its_own() {
    let mut connection = Connection::open(cluster().bootstrap());
    let first = connection.producer();
    let second = connection.producer();
    assert_ne!(first.id, second.id);
    assert_eq!((first.epoch, second.epoch), (0, 0));
}

#[test]
fn a_batch_sent_again_is_acknowledged_with_its_first_offset_and_stored_once() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut connection = Connection::open(cluster.bootstrap());
    let writer = connection.producer();
    // A broker remembers the last five batches of a producer (KIP-98).
    for start in [0, 3, 6, 9, 12, 12, 0, 6, 3, 9] {
        let records = batch(
            Writer {
                sequence: start,
                ..writer
            },
            3,
        );
        assert_eq!(connection.produce(&topic, &records), (0, start.into()));
    }
    assert_eq!(cluster.read_all(&topic, 0).len(), 15);
}

#[test]
fn a_gap_in_the_sequence_is_refused() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut connection = Connection::open(cluster.bootstrap());
    let writer = connection.producer();
    assert_eq!(connection.produce(&topic, &batch(writer, 2)), (0, 0));
    let (error, _) = connection.produce(
        &topic,
        &batch(
            Writer {
                sequence: 5,
                ..writer
            },
            2,
        ),
    );
    assert_eq!(error, ResponseError::OutOfOrderSequenceNumber.code());
    assert_eq!(
        connection.produce(
            &topic,
            &batch(
                Writer {
                    sequence: 2,
                    ..writer
                },
                2
            )
        ),
        (0, 2)
    );
}

#[test]
fn a_new_epoch_starts_a_new_sequence_and_fences_the_old_one() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut connection = Connection::open(cluster.bootstrap());
    let old = connection.producer();
    let new = Writer {
        epoch: old.epoch + 1,
        ..old
    };
    let newest = Writer {
        epoch: old.epoch + 2,
        ..old
    };
    assert_eq!(connection.produce(&topic, &batch(old, 1)), (0, 0));
    assert_eq!(connection.produce(&topic, &batch(new, 1)), (0, 1));
    let (error, _) = connection.produce(&topic, &batch(Writer { sequence: 1, ..old }, 1));
    assert_eq!(error, ResponseError::InvalidProducerEpoch.code());
    let (error, _) = connection.produce(
        &topic,
        &batch(
            Writer {
                sequence: 7,
                ..newest
            },
            1,
        ),
    );
    assert_eq!(error, ResponseError::OutOfOrderSequenceNumber.code());
    assert_eq!(cluster.read_all(&topic, 0).len(), 2);
}

#[test]
fn sequences_are_kept_per_partition_and_survive_the_connection() {
    let cluster = cluster();
    let (one, other) = (cluster.topic(1, &[]), cluster.topic(1, &[]));
    let mut connection = Connection::open(cluster.bootstrap());
    let writer = connection.producer();
    assert_eq!(connection.produce(&one, &batch(writer, 4)), (0, 0));
    assert_eq!(connection.produce(&other, &batch(writer, 2)), (0, 0));
    let mut connection = Connection::open(cluster.bootstrap());
    assert_eq!(
        connection.produce(
            &one,
            &batch(
                Writer {
                    sequence: 4,
                    ..writer
                },
                1
            )
        ),
        (0, 4)
    );
    assert_eq!(
        connection.produce(
            &other,
            &batch(
                Writer {
                    sequence: 2,
                    ..writer
                },
                1
            )
        ),
        (0, 2)
    );
}

#[test]
fn a_producer_that_the_broker_does_not_know_goes_on_at_any_sequence_number() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut connection = Connection::open(cluster.bootstrap());
    // Its earlier records may have been deleted, and with them its sequence (KIP-360).
    let start = Writer {
        sequence: 12,
        ..connection.producer()
    };
    assert_eq!(connection.produce(&topic, &batch(start, 2)), (0, 0));
    let next = Writer {
        sequence: 14,
        ..start
    };
    assert_eq!(connection.produce(&topic, &batch(next, 1)), (0, 2));
    assert_eq!(connection.produce(&topic, &batch(start, 2)), (0, 0));
}

#[test]
fn the_sequence_goes_on_at_zero_after_its_largest_number() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut connection = Connection::open(cluster.bootstrap());
    let last = Writer {
        sequence: i32::MAX - 1,
        ..connection.producer()
    };
    assert_eq!(connection.produce(&topic, &batch(last, 2)), (0, 0));
    let first = Writer {
        sequence: 0,
        ..last
    };
    assert_eq!(connection.produce(&topic, &batch(first, 2)), (0, 2));
}
