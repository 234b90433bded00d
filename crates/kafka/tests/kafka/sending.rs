//! Sinks: delivery, order, content, limits.

use std::time::Duration;

use kafka::{LARGEST_MESSAGE, Outgoing, SendError, TopicReader};

use crate::cluster::{
    PATIENCE, catch_up, connection, eventually, now_ms, plain, send, sink, text, topic, unique,
};

#[test]
fn every_message_is_acknowledged_once_and_stays_in_order() {
    let connection = connection();
    let topic = topic(&connection, 3);
    let (sink, acknowledged) = sink(&connection);
    for number in 0..3000 {
        let partition = i32::try_from(number % 3).unwrap();
        send(
            &sink,
            &plain(&topic, partition, number.to_string().as_bytes()),
            number,
        );
    }
    sink.flush(PATIENCE).unwrap();
    assert_eq!(sink.in_flight(), 0);
    assert!(acknowledged.delivered(3000));

    let mut reader = TopicReader::open(&connection, &topic).unwrap();
    let read = catch_up(&mut reader);
    assert_eq!(read.len(), 3000);
    for partition in 0..3 {
        let own = read
            .iter()
            .filter(|message| message.position.partition == partition);
        let values: Vec<u64> = own
            .map(|message| text(message.payload.as_deref()).parse().unwrap())
            .collect();
        let start = u64::try_from(partition).unwrap();
        assert_eq!(values, (start..3000).step_by(3).collect::<Vec<_>>());
    }
}

#[test]
fn keys_values_headers_and_timestamps_arrive_as_they_were() {
    let connection = connection();
    let topic = topic(&connection, 1);
    let (sink, _) = sink(&connection);
    let headers: [(&str, Option<&[u8]>); 4] = [
        ("submitted-us", Some(b"1700000000000000")),
        ("empty", Some(b"")),
        ("null", None),
        ("submitted-us", Some(&[0, 255])),
    ];
    let time = now_ms() - 12_345;
    let full = Outgoing {
        topic: &topic,
        partition: Some(0),
        key: Some(b"key"),
        payload: Some(b"value"),
        headers: &headers,
        timestamp_ms: Some(time),
    };
    let bare = Outgoing {
        key: None,
        payload: None,
        headers: &[],
        ..full
    };
    let empty = Outgoing {
        key: Some(b""),
        payload: Some(b""),
        ..bare
    };
    for (ticket, message) in [full, bare, empty].iter().enumerate() {
        send(&sink, message, ticket as u64);
    }
    sink.flush(PATIENCE).unwrap();

    let read = catch_up(&mut TopicReader::open(&connection, &topic).unwrap());
    assert_eq!(read.len(), 3);
    assert_eq!(read[0].key.as_deref(), Some(&b"key"[..]));
    assert_eq!(read[0].payload.as_deref(), Some(&b"value"[..]));
    assert_eq!(read[0].timestamp_ms, Some(time));
    let own: Vec<(&str, Option<&[u8]>)> = read[0]
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    assert_eq!(own, headers);
    assert_eq!(
        (read[1].key.as_ref(), read[1].payload.as_ref()),
        (None, None)
    );
    assert!(read[1].headers.is_empty());
    assert_eq!(read[2].key.as_deref(), Some(&b""[..]));
    assert_eq!(read[2].payload.as_deref(), Some(&b""[..]));
}

#[test]
fn sixteen_megabytes_pass_and_more_than_the_limit_is_refused_at_once() {
    let connection = connection();
    let topic = topic(&connection, 1);
    let (sink, acknowledged) = sink(&connection);
    assert_eq!(sink.limit(), LARGEST_MESSAGE);
    let large: Vec<u8> = (0..16 << 20)
        .map(|index: u32| (index.wrapping_mul(31) >> 3) as u8)
        .collect();
    send(&sink, &plain(&topic, 0, &large), 0);
    sink.flush(PATIENCE).unwrap();
    assert!(acknowledged.delivered(1));

    let huge = vec![0; 20 << 20];
    let refused = sink.send(&plain(&topic, 0, &huge), 1);
    let Err(SendError::TooLarge { size, limit }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((size, limit), (20 << 20, LARGEST_MESSAGE));
    assert_eq!(sink.in_flight(), 0);

    let read = catch_up(&mut TopicReader::open(&connection, &topic).unwrap());
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].payload.as_deref(), Some(&large[..]));
}

#[test]
fn what_the_topic_does_not_take_is_reported_to_its_sender() {
    let connection = connection();
    let name = unique("small");
    let spec = kafka::TopicSpec {
        name: name.clone(),
        partitions: 1,
        config: vec![("max.message.bytes".to_owned(), "1000".to_owned())],
    };
    kafka::Admin::open(&connection)
        .unwrap()
        .ensure_topic(&spec)
        .unwrap();
    let (sink, acknowledged) = sink(&connection);
    send(&sink, &plain(&name, 0, &[7; 5000]), 0);
    send(&sink, &plain(&name, 0, b"small"), 1);
    sink.flush(PATIENCE).unwrap();
    let all = acknowledged.all();
    assert!(
        all[&0][0].contains("larger than the topic takes"),
        "{all:?}"
    );
    assert_eq!(all[&1], [""]);
}

#[test]
fn a_partition_that_does_not_exist_is_reported_to_its_sender() {
    let connection = connection();
    let topic = topic(&connection, 2);
    let (sink, acknowledged) = sink(&connection);
    match sink.send(&plain(&topic, 7, b"lost"), 0) {
        Ok(()) => sink.flush(PATIENCE).unwrap(),
        // Already known to librdkafka.
        Err(error) => {
            assert!(error.to_string().contains("no partition 7"), "{error}");
            return;
        }
    }
    let all = acknowledged.all();
    assert!(all[&0][0].contains("no partition 7"), "{all:?}");
}

#[test]
fn a_topic_that_is_missing_is_waited_for() {
    let connection = connection();
    let name = unique("late");
    let (sink, acknowledged) = sink(&connection);
    send(&sink, &plain(&name, 0, b"early"), 0);
    let waited = sink.flush(Duration::from_millis(300));
    assert!(
        matches!(waited, Err(kafka::Error::Timeout { .. })),
        "{waited:?}"
    );
    crate::cluster::create(&connection, &name, 1);
    sink.flush(PATIENCE).unwrap();
    assert!(acknowledged.delivered(1));
}

#[test]
fn a_full_queue_is_told_apart_and_empties_by_polling() {
    let mut connection = connection();
    connection
        .properties
        .insert("queue.buffering.max.messages".to_owned(), "10".to_owned());
    connection
        .properties
        .insert("linger.ms".to_owned(), "200".to_owned());
    let topic = topic(&connection, 1);
    let (sink, acknowledged) = sink(&connection);
    let mut sent = 0;
    eventually("the queue is full", || {
        match sink.send(&plain(&topic, 0, b"x"), sent) {
            Ok(()) => {
                sent += 1;
                None
            }
            Err(SendError::QueueFull) => Some(()),
            Err(error) => panic!("{error}"),
        }
    });
    assert_eq!(sent, 10);
    eventually("there is room", || {
        (sink.poll(Duration::from_millis(50)) > 0).then_some(())
    });
    send(&sink, &plain(&topic, 0, b"y"), sent);
    sink.flush(PATIENCE).unwrap();
    assert!(acknowledged.delivered(11));
}
