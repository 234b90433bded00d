//! A producer that looks a topic up once.
//!
//! The Rust layer copies the name of the topic and looks it up for every message, and copies the
//! name of every header once more than is needed.

use std::ffi::{CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use rdkafka::bindings::{
    RD_KAFKA_MSG_F_COPY, rd_kafka_header_add, rd_kafka_headers_destroy, rd_kafka_headers_new,
    rd_kafka_headers_t, rd_kafka_producev, rd_kafka_resp_err_t, rd_kafka_topic_destroy,
    rd_kafka_topic_new, rd_kafka_topic_t, rd_kafka_vtype_t,
};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use crate::Outgoing;

/// How many topics are remembered. A server writes to two; of more, the others are looked up.
const TOPICS: usize = 16;

/// A producer whose reports go to a context.
pub(crate) struct Producer<C: ProducerContext<DeliveryOpaque = usize> + 'static> {
    // Dropped before the client.
    topics: [OnceLock<Topic>; TOPICS],
    client: BaseProducer<C>,
}

/// A topic of a client.
struct Topic {
    name: String,
    native: NonNull<rd_kafka_topic_t>,
}

/// Headers for a message that has not been accepted yet.
struct Headers(NonNull<rd_kafka_headers_t>);

#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
// SAFETY: librdkafka's objects may be used by any thread.
unsafe impl Send for Topic {}

#[expect(unsafe_code, reason = "a pointer is not Sync by itself")]
// SAFETY: librdkafka's topics are locked inside.
unsafe impl Sync for Topic {}

impl<C: ProducerContext<DeliveryOpaque = usize> + 'static> Producer<C> {
    pub(crate) fn create(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        Ok(Self {
            topics: Default::default(),
            client: config.create_with_context(context)?,
        })
    }

    /// Everything but sending.
    pub(crate) fn client(&self) -> &BaseProducer<C> {
        &self.client
    }

    /// Hands a message over; its report comes with `opaque`.
    pub(crate) fn send(
        &self,
        message: &Outgoing<'_>,
        opaque: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        for slot in &self.topics {
            let topic = match slot.get() {
                Some(topic) => topic,
                None => {
                    let topic = Topic::open(&self.client, message.topic)?;
                    // Another thread may have been faster, also for another topic.
                    slot.get_or_init(|| topic)
                }
            };
            if topic.name == message.topic {
                return self.send_to(topic, message, opaque);
            }
        }
        let topic = Topic::open(&self.client, message.topic)?;
        self.send_to(&topic, message, opaque)
    }

    fn send_to(
        &self,
        topic: &Topic,
        message: &Outgoing<'_>,
        opaque: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        use rd_kafka_vtype_t::{
            RD_KAFKA_VTYPE_END, RD_KAFKA_VTYPE_HEADERS, RD_KAFKA_VTYPE_KEY,
            RD_KAFKA_VTYPE_MSGFLAGS, RD_KAFKA_VTYPE_OPAQUE, RD_KAFKA_VTYPE_PARTITION,
            RD_KAFKA_VTYPE_RKT, RD_KAFKA_VTYPE_TIMESTAMP, RD_KAFKA_VTYPE_VALUE,
        };
        let headers = match message.headers {
            [] => None,
            headers => Some(Headers::new(headers)?),
        };
        let of_headers = headers.as_ref().map_or(ptr::null_mut(), |h| h.0.as_ptr());
        let (key, key_size) = address(message.key);
        let (payload, payload_size) = address(message.payload);
        #[expect(unsafe_code, reason = "the safe layer looks the topic up each time")]
        // SAFETY: client, topic and headers are alive, key and payload are copied, and every type
        // is followed by what belongs to it.
        let code = unsafe {
            rd_kafka_producev(
                self.client.client().native_ptr(),
                RD_KAFKA_VTYPE_RKT,
                topic.native.as_ptr(),
                RD_KAFKA_VTYPE_PARTITION,
                message.partition.unwrap_or(-1),
                RD_KAFKA_VTYPE_MSGFLAGS,
                RD_KAFKA_MSG_F_COPY,
                RD_KAFKA_VTYPE_VALUE,
                payload,
                payload_size,
                RD_KAFKA_VTYPE_KEY,
                key,
                key_size,
                RD_KAFKA_VTYPE_OPAQUE,
                ptr::without_provenance_mut::<c_void>(opaque),
                RD_KAFKA_VTYPE_TIMESTAMP,
                message.timestamp_ms.unwrap_or(0),
                RD_KAFKA_VTYPE_HEADERS,
                of_headers,
                RD_KAFKA_VTYPE_END,
            )
        };
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code.into());
        }
        // They are the message's now.
        std::mem::forget(headers);
        Ok(())
    }
}

fn address(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| {
        (bytes.as_ptr().cast_mut().cast(), bytes.len())
    })
}

impl Topic {
    fn open<C: ProducerContext>(
        client: &BaseProducer<C>,
        name: &str,
    ) -> Result<Self, RDKafkaErrorCode> {
        let text = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        let client = client.client().native_ptr();
        #[expect(unsafe_code, reason = "the safe layer keeps its own to itself")]
        // SAFETY: client and name are alive; what is returned is ours to release, and null if the
        // name cannot be one.
        let native = unsafe { rd_kafka_topic_new(client, text.as_ptr(), ptr::null_mut()) };
        Ok(Self {
            name: name.to_owned(),
            native: NonNull::new(native).ok_or(RDKafkaErrorCode::InvalidTopic)?,
        })
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the safe layer does not own it")]
        // SAFETY: the reference is ours, and the client is alive.
        unsafe {
            rd_kafka_topic_destroy(self.native.as_ptr());
        }
    }
}

impl Headers {
    fn new(headers: &[(&str, Option<&[u8]>)]) -> Result<Self, RDKafkaErrorCode> {
        #[expect(unsafe_code, reason = "the safe layer copies names twice")]
        // SAFETY: what is returned is ours to release.
        let native = unsafe { rd_kafka_headers_new(headers.len()) };
        let native = Self(NonNull::new(native).ok_or(RDKafkaErrorCode::InvalidArgument)?);
        for (name, value) in headers {
            let (start, size) = address(*value);
            let length = isize::try_from(name.len()).unwrap_or(isize::MAX);
            let size = isize::try_from(size).unwrap_or(isize::MAX);
            #[expect(unsafe_code, reason = "the safe layer copies names twice")]
            // SAFETY: the headers are ours; name and value are as long as is said (a slice is not
            // longer than an `isize` says), and copied.
            let code = unsafe {
                let name = name.as_ptr().cast::<c_char>();
                rd_kafka_header_add(native.0.as_ptr(), name, length, start, size)
            };
            if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(code.into());
            }
        }
        Ok(native)
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the safe layer does not own them")]
        // SAFETY: they are ours, and not used again.
        unsafe {
            rd_kafka_headers_destroy(self.0.as_ptr());
        }
    }
}
