//! A member of a group whose messages come many at a time.
//!
//! librdkafka puts messages and everything else (rebalances, errors, answers to commits, log
//! lines) on one queue, and the Rust layer takes them off it one by one: it reads the clock twice,
//! and allocates twice, for each. Taking an array of messages costs half as much, but only from a
//! queue that holds nothing else: a rebalance in the middle of it would be answered by librdkafka
//! itself.
//!
//! So messages get a queue of their own. Events stay where they are and are left to the Rust
//! layer; when one comes, it ends the wait for a message.

use std::ffi::{CString, c_int, c_void};
use std::ops::ControlFlow;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_t,
    rd_kafka_queue_cb_event_enable, rd_kafka_queue_destroy, rd_kafka_queue_forward,
    rd_kafka_queue_get_consumer, rd_kafka_queue_get_partition, rd_kafka_queue_length,
    rd_kafka_queue_new, rd_kafka_queue_t, rd_kafka_queue_yield, rd_kafka_t,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};

use super::Message;

/// A member of a group whose messages come many at a time.
///
/// The partitions that are assigned are to be [redirected](Consumer::redirect) each time they
/// are. Until then their messages are among the events.
pub(crate) struct Consumer<C: ConsumerContext + 'static> {
    // In the order in which they have to go: messages, queues, client.
    taken: Vec<Taken>,
    messages: Messages,
    client: BaseConsumer<C>,
}

/// A message that is ours to destroy.
#[repr(transparent)]
struct Taken(*mut rd_kafka_message_t);

/// The queue of the messages, which events on the other queue end the wait on.
struct Messages {
    queue: Queue,
    events: Queue,
}

/// A queue of librdkafka.
struct Queue(NonNull<rd_kafka_queue_t>);

#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
// SAFETY: librdkafka's objects may be used by any thread.
unsafe impl Send for Taken {}

#[expect(unsafe_code, reason = "a pointer is not Sync by itself")]
// SAFETY: nothing but its destruction can be done with it.
unsafe impl Sync for Taken {}

#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
// SAFETY: librdkafka's objects may be used by any thread.
unsafe impl Send for Queue {}

#[expect(unsafe_code, reason = "a pointer is not Sync by itself")]
// SAFETY: librdkafka's queues are locked inside.
unsafe impl Sync for Queue {}

impl<C: ConsumerContext + 'static> Consumer<C> {
    /// `config` has to name a group.
    pub(crate) fn create(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let client: BaseConsumer<C> = config.create_with_context(context)?;
        let lacking = || KafkaError::ClientCreation("no queue for a consumer".to_owned());
        let messages = Messages::new(client.client().native_ptr()).ok_or_else(lacking)?;
        Ok(Self {
            taken: Vec::new(),
            messages,
            client,
        })
    }

    /// Everything but the messages.
    pub(crate) fn client(&self) -> &BaseConsumer<C> {
        &self.client
    }

    /// Whether polling the client would give something.
    pub(crate) fn events_wait(&self) -> bool {
        self.messages.events.length() > 0
    }

    /// Leads the messages of a partition to [`Consumer::take`], those that are already waiting
    /// among the events excepted. librdkafka forgets it when the partition is revoked.
    pub(crate) fn redirect(&self, topic: &str, partition: i32) {
        let Ok(topic) = CString::new(topic) else {
            return;
        };
        #[expect(
            unsafe_code,
            reason = "the safe layer only has a queue for each partition"
        )]
        // SAFETY: client and name are alive; what is returned is ours to release, and null if
        // there is nothing.
        let source = unsafe {
            let client = self.client.client().native_ptr();
            Queue::new(rd_kafka_queue_get_partition(
                client,
                topic.as_ptr(),
                partition,
            ))
        };
        let Some(source) = source else {
            return;
        };
        #[expect(
            unsafe_code,
            reason = "the safe layer only has a queue for each partition"
        )]
        // SAFETY: both queues are alive; librdkafka counts a reference of its own to the second.
        unsafe {
            rd_kafka_queue_forward(source.0.as_ptr(), self.messages.queue.0.as_ptr());
        }
    }

    /// Takes up to `limit` messages and shows them to `each` until that breaks off; the others
    /// are gone too. Returns how many were taken.
    ///
    /// Waits up to `timeout` for as many as `limit`, unless an event comes.
    pub(crate) fn take(
        &mut self,
        limit: usize,
        timeout: Duration,
        mut each: impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.messages
            .queue
            .take_into(&mut self.taken, limit, timeout);
        let count = self.taken.len();
        for taken in self.taken.drain(..) {
            if each(taken.message()).is_break() {
                break;
            }
        }
        count
    }
}

impl Messages {
    fn new(client: *mut rd_kafka_t) -> Option<Self> {
        #[expect(unsafe_code, reason = "the safe layer has no queue of one's own")]
        // SAFETY: the client is alive; both queues are ours to release, and null where there is
        // none.
        let (queue, events) = unsafe {
            let events = Queue::new(rd_kafka_queue_get_consumer(client))?;
            (Queue::new(rd_kafka_queue_new(client))?, events)
        };
        let opaque = queue.0.as_ptr().cast::<c_void>();
        #[expect(unsafe_code, reason = "the safe layer has no access to the queue")]
        // SAFETY: the callback gets a queue that is alive until `drop` has taken it back.
        unsafe {
            rd_kafka_queue_cb_event_enable(events.0.as_ptr(), Some(end_wait), opaque);
        }
        Some(Self { queue, events })
    }
}

#[expect(unsafe_code, reason = "librdkafka calls it")]
/// There is an event now where there was none.
///
/// # Safety
/// `queue` is a queue that is alive.
unsafe extern "C" fn end_wait(_client: *mut rd_kafka_t, queue: *mut c_void) {
    #[expect(unsafe_code, reason = "the safe layer has no such call")]
    // SAFETY: the queue is alive. The lock of the events is held here and that of the messages is
    // taken; librdkafka nowhere does it the other way round, as messages are forwarded nowhere.
    unsafe {
        rd_kafka_queue_yield(queue.cast::<rd_kafka_queue_t>());
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the safe layer has no access to the queue")]
        // SAFETY: the queue is alive. The callback is called under the lock that this takes, so
        // that it is not running afterwards.
        unsafe {
            rd_kafka_queue_cb_event_enable(self.events.0.as_ptr(), None, ptr::null_mut());
        }
    }
}

impl Queue {
    #[expect(unsafe_code, reason = "the caller answers for the pointer")]
    /// # Safety
    /// A queue whose reference is the caller's, or null; its client outlives the result.
    unsafe fn new(queue: *mut rd_kafka_queue_t) -> Option<Self> {
        NonNull::new(queue).map(Self)
    }

    fn length(&self) -> usize {
        #[expect(unsafe_code, reason = "the safe layer has no such call")]
        // SAFETY: the queue is alive.
        unsafe {
            rd_kafka_queue_length(self.0.as_ptr())
        }
    }

    /// Fills `taken` with up to `limit` messages; only with messages, as nothing else is led here.
    fn take_into(&self, taken: &mut Vec<Taken>, limit: usize, timeout: Duration) {
        taken.clear();
        taken.reserve(limit);
        // Rounded up, or the last millisecond of a wait would be spent in going round.
        let timeout = timeout.as_micros().div_ceil(1000);
        let timeout = c_int::try_from(timeout).unwrap_or(c_int::MAX);
        let start = taken.as_mut_ptr().cast::<*mut rd_kafka_message_t>();
        #[expect(unsafe_code, reason = "the safe layer takes messages one by one")]
        // SAFETY: there is room for `limit` pointers, which is what a `Taken` is. librdkafka
        // writes as many as it returns, none of them null and each ours to destroy.
        unsafe {
            let count = rd_kafka_consume_batch_queue(self.0.as_ptr(), timeout, start, limit);
            taken.set_len(usize::try_from(count).unwrap_or(0));
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the safe layer does not own it")]
        // SAFETY: the reference is ours, and the client is alive. Of a queue of one's own, what is
        // on it and what still comes is destroyed.
        unsafe {
            rd_kafka_queue_destroy(self.0.as_ptr());
        }
    }
}

impl Taken {
    fn message(&self) -> Message<'_> {
        #[expect(
            unsafe_code,
            reason = "the safe layer has no view of a message in a batch"
        )]
        // SAFETY: librdkafka gave it, and it is destroyed when `self` is dropped.
        unsafe {
            Message::new(self.0)
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the safe layer does not own it")]
        // SAFETY: the message is ours, alive, and not used again.
        unsafe {
            rd_kafka_message_destroy(self.0);
        }
    }
}
