//! Options of the broker: where it listens, what it refuses.

use std::net::TcpStream;
use std::time::Duration;

use embedded_kafka::{Broker, Error, Options};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use crate::clients::cluster::unique;
use crate::clients::entry::{Entry, numbered};
use crate::clients::wire::Connection;
use crate::clients::{PATIENCE, eventually};
use crate::start;

#[test]
fn a_port_that_is_taken_is_an_error_that_says_so() {
    let (broker, _) = start(Options::default());
    let listen = broker.bootstrap();
    let error = Broker::start(Options {
        listen: listen.clone(),
        ..Options::default()
    })
    .unwrap_err();
    assert!(matches!(error, Error::AddressInUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&listen), "{error}");
}

#[test]
fn a_stopped_broker_is_gone_and_so_are_its_connections() {
    let (broker, cluster) = start(Options::default());
    let mut connection = Connection::open(cluster.bootstrap());
    assert_eq!(connection.partitions("topic"), None);
    broker.stop();
    assert_eq!(connection.receive_frame(), None);
    assert!(TcpStream::connect(cluster.bootstrap()).is_err());
}

#[test]
fn a_dropped_broker_is_stopped() {
    let (broker, cluster) = start(Options::default());
    drop(broker);
    assert!(TcpStream::connect(cluster.bootstrap()).is_err());
}

#[test]
fn brokers_in_one_process_are_strangers() {
    let (_one, cluster) = start(Options::default());
    let (_other, stranger) = start(Options::default());
    cluster.topic(1, &[]);
    let metadata = stranger
        .consumer(&unique("group"), &[])
        .inner()
        .fetch_metadata(None, PATIENCE)
        .unwrap();
    assert!(metadata.topics().is_empty());
}

#[test]
fn clients_are_told_the_advertised_address() {
    let (broker, _) = start(Options::default());
    let port = broker.address().port();
    drop(broker);
    let broker = Broker::start(Options {
        listen: format!("127.0.0.1:{port}"),
        advertise: Some(format!("localhost:{port}")),
        ..Options::default()
    })
    .unwrap();
    let cluster = crate::clients::cluster::Cluster::at(broker.bootstrap());
    let metadata = cluster
        .consumer(&unique("group"), &[])
        .inner()
        .fetch_metadata(None, PATIENCE)
        .unwrap();
    assert_eq!(metadata.brokers()[0].host(), "localhost");
    assert_eq!(metadata.brokers()[0].port(), i32::from(port));
    let topic = cluster.topic(1, &[]);
    cluster.producer(&[]).write(&topic, 0, &numbered(1));
}

#[test]
fn topics_are_not_created_automatically_where_that_is_off() {
    let (_broker, cluster) = start(Options {
        auto_create_topics: false,
        ..Options::default()
    });
    let mut producer = cluster.producer(&[("topic.metadata.propagation.max.ms", "300")]);
    producer.send("topic", None, &Entry::of("lost"));
    assert_eq!(
        producer.settle(),
        [Err(RDKafkaErrorCode::UnknownTopicOrPartition)]
    );
}

#[test]
fn automatic_topics_have_the_default_number_of_partitions() {
    let (_broker, cluster) = start(Options {
        partitions: 5,
        ..Options::default()
    });
    cluster.producer(&[]).write("topic", 4, &numbered(1));
    assert_eq!(
        Connection::open(cluster.bootstrap()).partitions("topic"),
        Some(5)
    );
}

#[test]
fn more_partitions_than_allowed_are_refused() {
    let (_broker, cluster) = start(Options {
        max_partitions: 10,
        ..Options::default()
    });
    cluster.create("fits", 8, &[]).unwrap();
    assert!(cluster.create("exceeds", 3, &[]).is_err());
    assert!(cluster.create("absurd", 99_999, &[]).is_err());
    cluster.create("fills", 2, &[]).unwrap();
}

#[test]
fn connections_beyond_the_limit_are_closed_and_the_others_served() {
    let (_broker, cluster) = start(Options {
        max_connections: 3,
        ..Options::default()
    });
    let mut served: Vec<Connection> = (0..3)
        .map(|_| Connection::open(cluster.bootstrap()))
        .collect();
    for connection in &mut served {
        assert_eq!(connection.partitions("topic"), None);
    }
    assert_eq!(Connection::open(cluster.bootstrap()).receive_frame(), None);
    served.pop();
    eventually("the place is free again", || {
        let mut connection = Connection::open(cluster.bootstrap());
        connection.send_request(18, 0, 1, &[]);
        connection.receive_frame()
    });
}

#[test]
fn a_connection_that_says_nothing_is_closed_in_time() {
    let (_broker, cluster) = start(Options {
        idle_timeout: Duration::from_millis(200),
        ..Options::default()
    });
    let mut connection = Connection::open(cluster.bootstrap());
    assert_eq!(connection.receive_frame(), None);
}

#[test]
fn a_request_over_the_limit_closes_its_connection_before_it_has_come() {
    const MIB: i32 = 1 << 20;
    let (_broker, cluster) = start(Options {
        max_request_bytes: 4 << 20,
        ..Options::default()
    });
    let topic = cluster.topic(1, &[("max.message.bytes", "10000000")]);
    // Produce, and Metadata, which is allowed less.
    for (api, length) in [(0_u8, 5 * MIB), (3, 3 * MIB)] {
        let mut connection = Connection::open(cluster.bootstrap());
        connection.send_raw(&length.to_be_bytes());
        connection.send_raw(&[0, api]);
        connection.send_raw(&[0; 100_000]);
        assert_eq!(connection.receive_frame(), None, "API {api}");
    }
    let mut producer = cluster.producer(&[]);
    producer.write(&topic, 0, &[Entry::of(vec![0; 3 << 20])]);
}
