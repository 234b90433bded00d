//! Readers of whole topics.

use std::ffi::{CString, c_void};
use std::ptr;
use std::time::Duration;

use kafka::TopicReader;

use crate::cluster::{
    catch_up, connection, create, eventually, join, read, text, topic, unique, write,
};

#[test]
fn a_reader_knows_when_it_has_read_what_was_there_and_goes_on() {
    let connection = connection();
    let topic = topic(&connection, 2);
    write(&connection, &topic, 0, 0..500);
    write(&connection, &topic, 1, 500..600);
    let mut reader = TopicReader::open(&connection, &topic).unwrap();
    assert!(!reader.caught_up());
    let all = catch_up(&mut reader);
    assert_eq!(all.len(), 600);
    assert_eq!(reader.topic_exists(), Some(true));
    write(&connection, &topic, 1, 600..601);
    let more = read(&mut reader, 1);
    assert_eq!(text(more[0].payload.as_deref()), "600");
    assert!(reader.caught_up());
}

#[test]
fn an_empty_topic_is_caught_up_with() {
    let connection = connection();
    let topic = topic(&connection, 3);
    let mut reader = TopicReader::open(&connection, &topic).unwrap();
    assert!(catch_up(&mut reader).is_empty());
    assert_eq!(reader.topic_exists(), Some(true));
}

#[test]
fn a_topic_that_does_not_exist_yet_is_waited_for() {
    let connection = connection();
    let name = unique("late");
    let mut reader = TopicReader::open(&connection, &name).unwrap();
    assert!(catch_up(&mut reader).is_empty());
    assert_eq!(reader.topic_exists(), Some(false));
    create(&connection, &name, 1);
    write(&connection, &name, 0, 0..3);
    assert_eq!(read(&mut reader, 3).len(), 3);
    assert_eq!(reader.topic_exists(), Some(true));
}

#[test]
fn a_topic_that_is_deleted_and_created_again_is_read_from_its_new_start() {
    let connection = connection();
    let topic = topic(&connection, 1);
    write(&connection, &topic, 0, 0..10);
    let mut reader = TopicReader::open(&connection, &topic).unwrap();
    assert_eq!(catch_up(&mut reader).len(), 10);
    kafka::Admin::open(&connection)
        .unwrap()
        .delete_topic(&topic)
        .unwrap();
    eventually("the reader has seen it go", || {
        assert_eq!(reader.poll(Duration::from_millis(50)).unwrap(), None);
        (reader.topic_exists() == Some(false)).then_some(())
    });
    create(&connection, &topic, 1);
    write(&connection, &topic, 0, 100..104);
    let again = read(&mut reader, 4);
    let values: Vec<String> = again
        .iter()
        .map(|message| text(message.payload.as_deref()))
        .collect();
    assert_eq!(values, ["100", "101", "102", "103"]);
}

#[test]
fn without_a_broker_a_reader_has_not_caught_up() {
    // A port that nobody listens on: bound, then released.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    drop(socket);
    let mut reader =
        TopicReader::open(&kafka::Connection::new(address, "kafka-tests"), "any").unwrap();
    assert_eq!(reader.poll(Duration::from_millis(300)).unwrap(), None);
    assert!(!reader.caught_up());
    assert_eq!(reader.topic_exists(), None);
}

/// Sends a message with a header whose name is no UTF-8, which no safe interface does.
#[expect(
    unsafe_code,
    reason = "the safe interface takes names that are UTF-8 only"
)]
fn send_with_header(connection: &kafka::Connection, topic: &str, name: &[u8]) {
    use rdkafka::bindings as native;
    use rdkafka::bindings::rd_kafka_vtype_t as part;
    use rdkafka::producer::{BaseProducer, Producer};
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &connection.brokers)
        .create()
        .unwrap();
    let topic = CString::new(topic).unwrap();
    // SAFETY: every pointer outlives the calls, sizes are those of what they point to, and the
    // list of arguments ends as it must. The producer owns the headers once it took the message.
    let code = unsafe {
        let headers = native::rd_kafka_headers_new(1);
        let length = isize::try_from(name.len()).unwrap();
        native::rd_kafka_header_add(headers, name.as_ptr().cast(), length, ptr::null(), 0);
        native::rd_kafka_producev(
            producer.client().native_ptr(),
            part::RD_KAFKA_VTYPE_TOPIC,
            topic.as_ptr(),
            part::RD_KAFKA_VTYPE_VALUE,
            ptr::null_mut::<c_void>(),
            0usize,
            part::RD_KAFKA_VTYPE_HEADERS,
            headers,
            part::RD_KAFKA_VTYPE_END,
        )
    };
    assert_eq!(
        code,
        native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    );
    producer.flush(crate::cluster::PATIENCE).unwrap();
}

#[test]
fn a_header_whose_name_is_no_text_is_read_with_replacement_characters() {
    let connection = connection();
    let topic = topic(&connection, 1);
    send_with_header(&connection, &topic, b"a\xff\xfe");
    let read = catch_up(&mut TopicReader::open(&connection, &topic).unwrap());
    assert_eq!(read[0].headers, [("a\u{fffd}\u{fffd}".to_owned(), None)]);
    let (mut source, _) = join(&connection, &unique("group"), &topic);
    let mut batch = kafka::Batch::new();
    eventually("the message came", || {
        source
            .poll(&mut batch, 10, Duration::from_millis(100))
            .unwrap();
        batch.get(0).map(|message| {
            assert_eq!(message.headers().next(), Some(("a\u{fffd}\u{fffd}", None)));
        })
    });
}
