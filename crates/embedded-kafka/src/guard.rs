//! A reader that does not let a request announce more than it holds.
//!
//! The codec sizes arrays by the count it reads, before it reads an element. Every element of
//! every array takes at least one byte, so a count beyond the bytes that are left is malformed.
//! Compact counts are variable-length integers, as are the lengths of strings, bytes and tagged
//! fields, and those bounds hold for all of them: they are refused as they are read. In versions
//! without compact types a count is a 32-bit integer like any other field, so the request is first
//! read on trial, with such integers cut down to what cannot lead to a large allocation, and
//! whatever was a count beyond its frame then runs out of bytes.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::ByteBuf;

/// Tags of tagged fields are free numbers; up to this they need no bytes behind them.
const FREE: u64 = 1024;

/// A request's bytes, guarded.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    bytes: Bytes,
    trial: bool,
    /// The variable-length integer that is being read, and its bits so far.
    varint: (u64, u32),
}

impl Guarded {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Guarded {
            bytes,
            trial: false,
            varint: (0, 0),
        }
    }

    /// A reader for trying whether a message without compact types is well-formed; what it reads
    /// is not what was sent.
    pub(crate) fn on_trial(&self) -> Self {
        Guarded {
            bytes: self.bytes.clone(),
            trial: true,
            varint: (0, 0),
        }
    }

    /// What is left to be read, without a guard.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    fn most(&self) -> usize {
        self.bytes.remaining().saturating_add(1)
    }
}

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.varint = (0, 0);
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        let (value, bits) = self.varint;
        let value = value | (u64::from(byte & 0x7f) << bits);
        if byte >= 0x80 && bits < 28 {
            self.varint = (value, bits + 7);
            return Ok(byte);
        }
        self.varint = (0, 0);
        if byte >= 0x80 || (value > FREE && value > self.most() as u64) {
            let requested = usize::try_from(value).unwrap_or(usize::MAX);
            return Err(TryGetError {
                requested,
                available: self.bytes.remaining(),
            });
        }
        Ok(byte)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.varint = (0, 0);
        let value = self.bytes.try_get_i32()?;
        if self.trial {
            let most = i32::try_from(self.most()).unwrap_or(i32::MAX);
            return Ok(value.min(most));
        }
        Ok(value)
    }
}

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.varint = (0, 0);
        self.bytes.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::MetadataRequest;
    use kafka_protocol::protocol::Decodable;

    use super::*;

    #[test]
    fn a_compact_count_beyond_the_frame_is_refused() {
        // Metadata version 9: the first field is the compact count of topics.
        for count in [
            &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
            &[0x80, 0x80, 0x80, 0x04],
        ] {
            let mut guarded = Guarded::new(Bytes::copy_from_slice(count));
            assert!(MetadataRequest::decode(&mut guarded, 9).is_err());
        }
    }

    #[test]
    fn an_overlong_integer_is_refused() {
        let mut guarded = Guarded::new(Bytes::from_static(&[0xff; 20]));
        assert!(MetadataRequest::decode(&mut guarded, 9).is_err());
    }

    #[test]
    fn a_plain_count_beyond_the_frame_is_refused_on_trial() {
        let mut message = i32::MAX.to_be_bytes().to_vec();
        message.extend([0, 1, b'a']);
        let guarded = Guarded::new(Bytes::from(message));
        assert!(MetadataRequest::decode(&mut guarded.on_trial(), 1).is_err());
    }

    #[test]
    fn what_is_no_count_may_be_large() {
        let mut guarded = Guarded::new(Bytes::from(i32::MAX.to_be_bytes().to_vec()));
        assert_eq!(guarded.try_get_i32().unwrap(), i32::MAX);
    }
}
