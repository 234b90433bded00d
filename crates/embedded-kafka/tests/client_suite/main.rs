//! What clients of a Kafka broker rely on, tested with librdkafka and on the wire.
//!
//! The suite runs against an embedded broker of its own. With `SUITE_BROKERS`
//! set to a bootstrap address (`127.0.0.1:9092`) it runs against the broker there, so that
//! Apache Kafka can say whether what is expected here is what Kafka does:
//!
//! ```text
//! SUITE_BROKERS=127.0.0.1:9092 cargo test -p embedded-kafka --test client_suite
//! ```
//!
//! Such a broker should be a single one, with `message.max.bytes` at its default, automatic
//! creation of topics on and `group.initial.rebalance.delay.ms=0`. Topics and groups get names of
//! their own and are left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../clients/mod.rs"]
mod clients;

mod admin;
mod codecs;
mod configs;
mod errors;
mod group_admin;
mod groups;
mod idempotence;
mod large_messages;
mod membership;
mod offsets;
mod produce_fetch;
mod timestamps;
mod versions;

use std::sync::OnceLock;

use clients::cluster::Cluster;

/// The broker under test.
fn cluster() -> Cluster {
    static EMBEDDED: OnceLock<embedded_kafka::Broker> = OnceLock::new();
    Cluster::at(std::env::var("SUITE_BROKERS").unwrap_or_else(|_| {
        EMBEDDED
            .get_or_init(|| {
                embedded_kafka::Broker::start(embedded_kafka::Options {
                    listen: "127.0.0.1:0".into(),
                    ..embedded_kafka::Options::default()
                })
                .expect("the embedded broker starts")
            })
            .bootstrap()
    }))
}
