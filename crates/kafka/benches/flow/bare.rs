//! The loop that somebody in a hurry writes by hand on librdkafka: one partition, no group, no
//! headers, no recovery. The same properties as the sink and the source have.

use std::ffi::{CString, c_void};
use std::ptr;
use std::time::Duration;

use kafka::Connection;
use rdkafka::bindings::{
    RD_KAFKA_MSG_F_COPY, rd_kafka_consume_batch_queue, rd_kafka_last_error,
    rd_kafka_message_destroy, rd_kafka_message_t, rd_kafka_produce, rd_kafka_queue_destroy,
    rd_kafka_queue_get_consumer, rd_kafka_queue_t, rd_kafka_resp_err_t, rd_kafka_topic_destroy,
    rd_kafka_topic_new, rd_kafka_topic_t,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

/// Messages taken at a time.
const TAKEN: usize = 1024;

/// Reads partition 0 of a topic from its start.
pub(crate) struct Reader {
    queue: *mut rd_kafka_queue_t,
    // Dropped after the queue.
    _client: BaseConsumer,
}

/// Writes to partition 0 of a topic.
pub(crate) struct Writer {
    topic: *mut rd_kafka_topic_t,
    client: BaseProducer<Deaf>,
}

struct Deaf;

impl ClientContext for Deaf {}

impl ProducerContext for Deaf {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "a message was not delivered");
    }
}

fn config(connection: &Connection, own: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &connection.brokers);
    for (name, value) in own {
        config.set(*name, *value);
    }
    for (name, value) in &connection.properties {
        config.set(name, value);
    }
    config
}

impl Reader {
    pub(crate) fn open(connection: &Connection, topic: &str) -> KafkaResult<Self> {
        let client: BaseConsumer = config(
            connection,
            &[
                ("group.id", "bare"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("fetch.queue.backoff.ms", "1"),
                ("queued.min.messages", "100000"),
                ("fetch.wait.max.ms", "100"),
            ],
        )
        .create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning)?;
        client.assign(&list)?;
        #[expect(unsafe_code, reason = "the safe layer takes messages one by one")]
        // SAFETY: the client is alive; the reference is released in `drop`.
        let queue = unsafe { rd_kafka_queue_get_consumer(client.client().native_ptr()) };
        assert!(!queue.is_null());
        Ok(Self {
            queue,
            _client: client,
        })
    }

    /// Shows what is there, waiting for a first message.
    pub(crate) fn take(&mut self, mut each: impl FnMut(&[u8])) -> u64 {
        let mut taken = [ptr::null_mut::<rd_kafka_message_t>(); TAKEN];
        let start = taken.as_mut_ptr();
        #[expect(unsafe_code, reason = "the safe layer takes messages one by one")]
        // SAFETY: the queue is alive and there is room for as many messages as are asked for.
        let count = unsafe {
            match rd_kafka_consume_batch_queue(self.queue, 0, start, TAKEN) {
                0 => rd_kafka_consume_batch_queue(self.queue, 100, start, 1),
                count => count,
            }
        };
        let taken = &taken[..usize::try_from(count).unwrap_or_default()];
        for message in taken {
            #[expect(unsafe_code, reason = "the safe layer takes messages one by one")]
            // SAFETY: the message is alive until it is destroyed, once.
            unsafe {
                let rd_kafka_message_t {
                    err, payload, len, ..
                } = **message;
                assert_eq!(err, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
                each(std::slice::from_raw_parts(payload.cast::<u8>(), len));
                rd_kafka_message_destroy(*message);
            }
        }
        taken.len() as u64
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the safe layer does not own it")]
        // SAFETY: the reference is ours and the client is alive.
        unsafe {
            rd_kafka_queue_destroy(self.queue);
        }
    }
}

impl Writer {
    pub(crate) fn open(connection: &Connection, topic: &str) -> KafkaResult<Self> {
        let client: BaseProducer<Deaf> = config(
            connection,
            &[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("linger.ms", "0"),
                ("batch.num.messages", "10000"),
                ("queue.buffering.max.messages", "100000"),
            ],
        )
        .create_with_context(Deaf)?;
        let name = CString::new(topic)?;
        let native = client.client().native_ptr();
        #[expect(unsafe_code, reason = "the safe layer looks the topic up each time")]
        // SAFETY: client and name are alive; the handle is released in `drop`.
        let topic = unsafe { rd_kafka_topic_new(native, name.as_ptr(), ptr::null_mut()) };
        assert!(!topic.is_null());
        Ok(Self { topic, client })
    }

    pub(crate) fn send(&self, payload: &[u8]) {
        loop {
            let start = payload.as_ptr().cast_mut().cast::<c_void>();
            #[expect(unsafe_code, reason = "the safe layer looks the topic up each time")]
            // SAFETY: handle and payload are alive, and the payload is copied.
            let (refused, error) = unsafe {
                let code = rd_kafka_produce(
                    self.topic,
                    0,
                    RD_KAFKA_MSG_F_COPY,
                    start,
                    payload.len(),
                    ptr::null(),
                    0,
                    ptr::null_mut(),
                );
                (code != 0, rd_kafka_last_error())
            };
            if !refused {
                return;
            }
            assert_eq!(error, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL);
            self.client.poll(Duration::from_millis(1));
        }
    }

    pub(crate) fn poll(&self) {
        self.client.poll(Duration::ZERO);
    }

    pub(crate) fn flush(&self) -> KafkaResult<()> {
        self.client.flush(Duration::from_secs(60))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the safe layer does not own it")]
        // SAFETY: the reference is ours and the client is alive.
        unsafe {
            rd_kafka_topic_destroy(self.topic);
        }
    }
}
