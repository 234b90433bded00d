//! A message, read without the Rust layer, which panics where the name of a header is not UTF-8.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::{ptr, slice};

use rdkafka::bindings::{
    rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers, rd_kafka_message_t,
    rd_kafka_message_timestamp, rd_kafka_resp_err_t, rd_kafka_timestamp_type_t,
};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;

use crate::Position;

/// A message that librdkafka owns.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    /// Alive, and not written to, for `'a`.
    native: *mut rd_kafka_message_t,
    alive: PhantomData<&'a rd_kafka_message_t>,
}

/// The headers of a message, in order.
pub(crate) struct Headers<'a> {
    /// Null if the message has none.
    headers: *mut rd_kafka_headers_t,
    next: usize,
    message: PhantomData<Message<'a>>,
}

impl<'a> Message<'a> {
    pub(crate) fn of(message: &'a BorrowedMessage<'_>) -> Self {
        Self {
            native: message.ptr(),
            alive: PhantomData,
        }
    }

    #[expect(unsafe_code, reason = "the caller answers for the pointer")]
    /// # Safety
    /// librdkafka gave the pointer, and the message is not destroyed during `'a`.
    pub(super) unsafe fn new(native: *mut rd_kafka_message_t) -> Self {
        Self {
            native,
            alive: PhantomData,
        }
    }

    fn fields(&self) -> &'a rd_kafka_message_t {
        #[expect(
            unsafe_code,
            reason = "the safe layer has no view of a message in a batch"
        )]
        // SAFETY: the message is alive, and not written to, for `'a`.
        unsafe {
            &*self.native
        }
    }

    /// Why there is no message, if this stands for an error.
    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        match self.fields().err {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            error => Some(error.into()),
        }
    }

    pub(crate) fn position(&self) -> Position {
        let rd_kafka_message_t {
            partition, offset, ..
        } = *self.fields();
        Position { partition, offset }
    }

    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        let fields = self.fields();
        bytes(fields.key, fields.key_len)
    }

    pub(crate) fn payload(&self) -> Option<&'a [u8]> {
        let fields = self.fields();
        bytes(fields.payload, fields.len)
    }

    /// Milliseconds since 1970.
    pub(crate) fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        #[expect(
            unsafe_code,
            reason = "the safe layer has no view of a message in a batch"
        )]
        // SAFETY: the message is alive.
        let time = unsafe { rd_kafka_message_timestamp(self.native, &raw mut kind) };
        let known = kind != rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (known && time != -1).then_some(time)
    }

    pub(crate) fn headers(&self) -> Headers<'a> {
        let mut headers = ptr::null_mut();
        #[expect(
            unsafe_code,
            reason = "the safe layer panics at names that are not UTF-8"
        )]
        // SAFETY: the message is alive and owns the headers, which are parsed on the first call.
        let code = unsafe { rd_kafka_message_headers(self.native, &raw mut headers) };
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            headers = ptr::null_mut();
        }
        Headers {
            headers,
            next: 0,
            message: PhantomData,
        }
    }
}

/// The `length` bytes at `start`, which live as long as the message that the caller has.
fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    #[expect(
        unsafe_code,
        reason = "librdkafka gives bytes as an address and a length"
    )]
    // SAFETY: only called with a key, or a payload, of a message that is alive.
    let bytes = unsafe { slice::from_raw_parts(start.cast::<u8>(), length) };
    Some(bytes)
}

impl<'a> Iterator for Headers<'a> {
    type Item = (Cow<'a, str>, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.headers.is_null() {
            return None;
        }
        let mut name: *const c_char = ptr::null();
        let mut value: *const c_void = ptr::null();
        let mut size = 0;
        #[expect(
            unsafe_code,
            reason = "the safe layer panics at names that are not UTF-8"
        )]
        // SAFETY: `headers` belongs to the message that `'a` borrows. librdkafka answers an index
        // beyond the last with an error, ends names with a NUL, and gives a value that is not null
        // as `size` bytes; both live as long as the message.
        let header = unsafe {
            let code = rd_kafka_header_get_all(
                self.headers,
                self.next,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            );
            if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return None;
            }
            let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast::<u8>(), size));
            (CStr::from_ptr(name).to_string_lossy(), value)
        };
        self.next += 1;
        Some(header)
    }
}
