//! Bytes that are no requests close the connection they came on and nothing else.

use bytes::{Bytes, BytesMut};
use embedded_kafka::{Broker, Options};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ApiKey, BrokerId, ListOffsetsRequest, RequestHeader};
use kafka_protocol::protocol::Encodable as _;

use crate::clients::batch::{ANYONE, batch};
use crate::clients::cluster::Cluster;
use crate::clients::entry::{Entry, entries, numbered};
use crate::clients::random::Random;
use crate::clients::wire::{Connection, topic_name};
use crate::start;

/// A broker with a topic of ten records and a connection that must survive.
struct Besieged {
    _broker: Broker,
    cluster: Cluster,
    bystander: Connection,
}

impl Besieged {
    fn new() -> Self {
        let (broker, cluster) = start(Options::default());
        cluster.create("topic", 1, &[]).unwrap();
        cluster.producer(&[]).write("topic", 0, &numbered(10));
        let bystander = Connection::open(cluster.bootstrap());
        Self {
            _broker: broker,
            cluster,
            bystander,
        }
    }

    fn open(&self) -> Connection {
        Connection::open(self.cluster.bootstrap())
    }

    /// The connection from before, a new one, and the records are all as they were.
    fn unharmed(&mut self) {
        assert_eq!(self.bystander.partitions("topic"), Some(1));
        let kept = entries(&self.cluster.read_all("topic", 0));
        assert!(kept.starts_with(&numbered(10)));
    }
}

#[test]
fn lengths_that_cannot_be_close_the_connection() {
    let mut besieged = Besieged::new();
    for length in [-1, i32::MIN, i32::MAX, 0, 1, 3] {
        let mut connection = besieged.open();
        connection.send_raw(&length.to_be_bytes());
        connection.send_raw(&[0; 8]);
        assert_eq!(connection.receive_frame(), None, "length {length}");
    }
    besieged.unharmed();
}

#[test]
fn noise_closes_the_connection() {
    let mut besieged = Besieged::new();
    let mut random = Random::announced();
    for _ in 0..200 {
        let mut connection = besieged.open();
        let length = random.below(300);
        let noise = random.bytes(length);
        connection.send_frame(&noise);
        connection.finish();
        while connection.receive_frame().is_some() {}
    }
    besieged.unharmed();
}

#[test]
fn a_speaker_of_another_protocol_is_hung_up_on() {
    let mut besieged = Besieged::new();
    for greeting in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0",
        "SSH-2.0-OpenSSH_9.9\r\n",
    ] {
        let mut connection = besieged.open();
        connection.send_raw(greeting.as_bytes());
        assert_eq!(connection.receive_frame(), None, "{greeting:?}");
    }
    besieged.unharmed();
}

#[test]
fn every_api_survives_bodies_of_every_kind() {
    let mut besieged = Besieged::new();
    let mut random = Random::announced();
    let mut connection = besieged.open();
    for api in ApiKey::iter() {
        let versions = api.valid_versions();
        for version in versions.min..=versions.max {
            let noise: [Vec<u8>; 2] = [0, 1].map(|_| {
                let length = random.below(200);
                random.bytes(length)
            });
            let [noise, counts] = noise;
            // The last kind has large counts where a small version has arrays.
            let counts = [vec![0x7f, 0xff, 0xff, 0xff], counts].concat();
            for body in [
                vec![0; 64],
                vec![0x7f; 64],
                vec![0xff; 64],
                vec![1; 64],
                noise,
                counts,
            ] {
                connection.send_request(
                    api as i16,
                    version,
                    api.request_header_version(version),
                    &body,
                );
                // A request that happens to be valid may be answered, and one to join a group
                // may wait; the end of the stream ends the wait.
                connection.finish();
                while connection.receive_frame().is_some() {}
                connection = besieged.open();
            }
        }
    }
    besieged.unharmed();
}

#[test]
fn damaged_requests_close_at_most_their_connection() {
    let mut besieged = Besieged::new();
    let mut random = Random::announced();
    let request = {
        let header = RequestHeader::default()
            .with_request_api_key(ApiKey::ListOffsets as i16)
            .with_request_api_version(6);
        let body = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![
                ListOffsetsTopic::default()
                    .with_name(topic_name("topic"))
                    .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(-1)]),
            ]);
        let mut request = BytesMut::new();
        header.encode(&mut request, 2).unwrap();
        body.encode(&mut request, 6).unwrap();
        request
    };
    for _ in 0..300 {
        let mut damaged = request.to_vec();
        for _ in 0..=random.below(3) {
            let position = random.below(damaged.len());
            damaged[position] = random.number() as u8;
        }
        damaged.truncate(damaged.len() - random.below(2) * random.below(damaged.len()));
        let mut connection = besieged.open();
        connection.send_frame(&damaged);
        connection.finish();
        while connection.receive_frame().is_some() {}
    }
    besieged.unharmed();
}

#[test]
fn a_request_that_never_ends_holds_up_nobody() {
    let mut besieged = Besieged::new();
    let mut slow = besieged.open();
    slow.send_raw(&100_i32.to_be_bytes());
    slow.send_raw(&[0, 3, 0]);
    besieged.unharmed();
}

/// A batch with its checksum made right again after `damage`.
fn forged(damage: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut forged = batch(ANYONE, 3).to_vec();
    damage(&mut forged);
    let length = (forged.len() - 12) as i32;
    forged[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&forged[21..]);
    forged[17..21].copy_from_slice(&checksum.to_be_bytes());
    forged.into()
}

#[test]
fn batches_that_lie_about_themselves_are_refused() {
    let mut besieged = Besieged::new();
    let mut connection = besieged.open();
    let lies: [(&str, usize, &[u8]); 7] = [
        ("more records than there are", 57, &i32::MAX.to_be_bytes()),
        ("no records", 57, &0_i32.to_be_bytes()),
        ("a negative number of records", 57, &(-1_i32).to_be_bytes()),
        ("a last offset far away", 23, &i32::MAX.to_be_bytes()),
        (
            "a last offset before the first",
            23,
            &(-7_i32).to_be_bytes(),
        ),
        ("an unknown format", 16, &[9]),
        ("a control batch", 22, &[0x20]),
    ];
    for (lie, position, bytes) in lies {
        let batch = forged(|batch| {
            batch[position..position + bytes.len()].copy_from_slice(bytes);
        });
        let (error, _) = connection.produce("topic", &batch);
        assert_ne!(error, 0, "{lie}");
    }
    for junk in [
        Bytes::new(),
        Bytes::from_static(&[0; 11]),
        Bytes::from_static(&[0xff; 61]),
    ] {
        let (error, _) = connection.produce("topic", &junk);
        assert_ne!(error, 0, "{} bytes of junk", junk.len());
    }
    let cut = batch(ANYONE, 3).slice(..70);
    assert_ne!(
        connection.produce("topic", &cut).0,
        0,
        "a batch that is cut off"
    );
    let two = [batch(ANYONE, 1), Bytes::from_static(b"trailing")].concat();
    assert_ne!(
        connection.produce("topic", &Bytes::from(two)).0,
        0,
        "trailing bytes"
    );
    besieged.unharmed();
    assert_eq!(
        besieged.cluster.read_all("topic", 0).len(),
        10,
        "nothing was stored"
    );
}

#[test]
fn a_compressed_batch_of_noise_harms_nobody_who_asks_for_its_times() {
    let mut besieged = Besieged::new();
    let mut random = Random::announced();
    let mut connection = besieged.open();
    for codec in 1..=7_u8 {
        let noise = random.bytes(500);
        let batch = forged(|batch| {
            batch[22] |= codec;
            batch.truncate(61);
            batch.extend_from_slice(&noise);
        });
        // Accepted or not, it must do no harm.
        let _verdict = connection.produce("topic", &batch);
    }
    for time in [0, 1_700_000_000_000, i64::MAX] {
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![
                ListOffsetsTopic::default()
                    .with_name(topic_name("topic"))
                    .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(time)]),
            ]);
        connection.call(5, &request);
    }
    assert_eq!(besieged.bystander.partitions("topic"), Some(1));
    besieged.cluster.create("another", 1, &[]).unwrap();
    besieged
        .cluster
        .producer(&[])
        .write("another", 0, &[Entry::of("served")]);
}
