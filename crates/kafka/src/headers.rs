//! Headers of a message, read from librdkafka without its Rust layer, which panics where a name is
//! not UTF-8.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;

use rdkafka::bindings::{
    rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers, rd_kafka_resp_err_t,
};
use rdkafka::message::BorrowedMessage;

/// The headers of a message, in order.
pub(crate) struct NativeHeaders<'a> {
    /// Null if the message has none.
    headers: *mut rd_kafka_headers_t,
    next: usize,
    message: PhantomData<&'a BorrowedMessage<'a>>,
}

impl<'a> NativeHeaders<'a> {
    pub(crate) fn of(message: &'a BorrowedMessage<'_>) -> Self {
        let mut headers = ptr::null_mut();
        #[expect(
            unsafe_code,
            reason = "the safe layer panics at names that are not UTF-8"
        )]
        // SAFETY: the message is alive and owns the headers, which are parsed on the first call.
        let code = unsafe { rd_kafka_message_headers(message.ptr(), &raw mut headers) };
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            headers = ptr::null_mut();
        }
        Self {
            headers,
            next: 0,
            message: PhantomData,
        }
    }
}

impl<'a> Iterator for NativeHeaders<'a> {
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
            let value =
                (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
            (CStr::from_ptr(name).to_string_lossy(), value)
        };
        self.next += 1;
        Some(header)
    }
}
