//! Record batches of format version 2, as producers send them and consumers get them.
//!
//! A batch is kept as its bytes. What the broker changes is in the header: base offset and leader
//! epoch, which the checksum leaves out, and for append-time topics the timestamp, which it covers.
//! Layout: <https://kafka.apache.org/documentation/#recordbatch>.

use bytes::{Buf, Bytes};
use kafka_protocol::ResponseError;

use crate::compression;
use crate::records;
use crate::rejection::Rejection;

/// Bytes of a batch before its first record.
pub(crate) const HEADER: usize = 61;
/// Where the checksum starts to count.
const CHECKED: usize = 21;
/// Bytes in front of what `batch length` counts.
const LENGTH_FROM: usize = 12;

const COMPRESSION_MASK: i16 = 0x07;
const APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

fn corrupt(message: impl Into<String>) -> Rejection {
    Rejection::new(ResponseError::CorruptMessage, message)
}

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::new(ResponseError::InvalidRecord, message)
}

/// The codec of a batch's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Who wrote a batch, and as which of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) first: i32,
    pub(crate) last: i32,
}

/// A checked batch.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    header: [u8; HEADER],
    records: Bytes,
    pub(crate) compression: Compression,
    pub(crate) count: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) sequence: Option<Sequence>,
}

fn be<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    if let Some(found) = bytes.get(at..at + N) {
        field.copy_from_slice(found);
    }
    field
}

impl Batch {
    /// Checks what a producer sent for one partition.
    ///
    /// The protocol wants exactly one batch there, of format version 2 (KIP-98).
    pub(crate) fn check(sent: &Bytes) -> Result<Batch, Rejection> {
        let Some(magic) = sent.get(16).copied() else {
            return Err(corrupt(format!("{} bytes are no record batch", sent.len())));
        };
        if magic != 2 {
            return Err(invalid(format!(
                "record batches of format version {magic} are not supported, only version 2 is"
            )));
        }
        let Some(header) = sent.first_chunk::<HEADER>().copied() else {
            return Err(corrupt(format!("{} bytes are no record batch", sent.len())));
        };
        let length = i32::from_be_bytes(be(&header, 8));
        match usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(LENGTH_FROM))
        {
            Some(length) if length == sent.len() => {}
            Some(length) if length >= HEADER && length < sent.len() => {
                return Err(invalid(
                    "a produce request carries one record batch per partition",
                ));
            }
            _ => {
                return Err(corrupt(format!(
                    "batch length {length} does not fit its bytes"
                )));
            }
        }
        let checksum = u32::from_be_bytes(be(&header, 17));
        if checksum != crc32c::crc32c(&sent[CHECKED..]) {
            return Err(corrupt("the checksum does not match"));
        }

        let attributes = i16::from_be_bytes(be(&header, 21));
        let count = i32::from_be_bytes(be(&header, 57));
        let last_delta = i32::from_be_bytes(be(&header, 23));
        if count <= 0 || last_delta.checked_add(1) != Some(count) {
            return Err(invalid(format!(
                "{count} records cannot have offsets 0 to {last_delta}"
            )));
        }
        if attributes & (CONTROL | DELETE_HORIZON) != 0 {
            return Err(invalid("clients may not write control batches"));
        }
        if attributes & TRANSACTIONAL != 0 {
            return Err(Rejection::new(
                ResponseError::InvalidTxnState,
                "transactions are not supported",
            ));
        }
        let compression = match attributes & COMPRESSION_MASK {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            codec => {
                return Err(Rejection::new(
                    ResponseError::UnsupportedCompressionType,
                    format!("unknown compression type {codec}"),
                ));
            }
        };
        let producer_id = i64::from_be_bytes(be(&header, 43));
        let sequence = if producer_id < 0 {
            None
        } else {
            let epoch = i16::from_be_bytes(be(&header, 51));
            let first = i32::from_be_bytes(be(&header, 53));
            if epoch < 0 || first < 0 {
                return Err(invalid(
                    "a producer id needs an epoch and a sequence number",
                ));
            }
            Some(Sequence {
                producer_id,
                epoch,
                first,
                last: add_sequence(first, last_delta),
            })
        };
        let batch = Batch {
            header,
            records: sent.slice(HEADER..),
            compression,
            count,
            base_timestamp: i64::from_be_bytes(be(&header, 27)),
            max_timestamp: i64::from_be_bytes(be(&header, 35)),
            sequence,
        };
        if compression == Compression::None {
            records::check(&batch.records, count).map_err(invalid)?;
        }
        Ok(batch)
    }

    /// Gives the batch its place in a log.
    pub(crate) fn place(&mut self, base_offset: i64, leader_epoch: i32) {
        self.header[0..8].copy_from_slice(&base_offset.to_be_bytes());
        self.header[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
    }

    /// Gives every record the time of its arrival, in ms since 1970.
    pub(crate) fn stamp(&mut self, now: i64) {
        let attributes = i16::from_be_bytes(be(&self.header, 21)) | APPEND_TIME;
        self.header[21..23].copy_from_slice(&attributes.to_be_bytes());
        self.header[35..43].copy_from_slice(&now.to_be_bytes());
        self.max_timestamp = now;
        self.sign();
    }

    /// Takes back a claim of append time, which only the broker may make.
    pub(crate) fn keep_create_time(&mut self) {
        let attributes = i16::from_be_bytes(be(&self.header, 21));
        if attributes & APPEND_TIME != 0 {
            self.header[21..23].copy_from_slice(&(attributes & !APPEND_TIME).to_be_bytes());
            self.sign();
        }
    }

    fn sign(&mut self) {
        let header = crc32c::crc32c(&self.header[CHECKED..]);
        let checksum = crc32c::crc32c_append(header, &self.records);
        self.header[17..21].copy_from_slice(&checksum.to_be_bytes());
    }

    /// Whether the timestamps are those of arrival.
    pub(crate) fn append_time(&self) -> bool {
        i16::from_be_bytes(be(&self.header, 21)) & APPEND_TIME != 0
    }

    /// Whether some record has no key, as far as it can be seen.
    pub(crate) fn lacks_key(&self) -> bool {
        let bytes = compression::expand(self);
        bytes.is_some_and(|bytes| {
            records::Records::new(&bytes).any(|record| record.is_ok_and(|r| !r.has_key))
        })
    }

    /// Lets go of `request` if the batch is the smaller part of it, so that keeping a batch never
    /// keeps more than twice its bytes.
    pub(crate) fn detach(&mut self, request: usize) {
        if self.records.len() < request / 2 {
            self.records = Bytes::copy_from_slice(&self.records);
        }
    }

    pub(crate) fn header(&self) -> &[u8; HEADER] {
        &self.header
    }

    /// The records as sent, compressed if the producer did so.
    pub(crate) fn records(&self) -> &Bytes {
        &self.records
    }

    /// Bytes on the wire.
    pub(crate) fn len(&self) -> usize {
        HEADER + self.records.len()
    }

    pub(crate) fn base_offset(&self) -> i64 {
        (&self.header[..]).get_i64()
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset() + i64::from(self.count) - 1
    }
}

/// Sequence numbers wrap from 2^31 - 1 to 0.
pub(crate) fn add_sequence(first: i32, delta: i32) -> i32 {
    match first.checked_add(delta) {
        Some(sequence) => sequence,
        None => delta - (i32::MAX - first) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn sample() -> Bytes {
        samples::batch(
            &[(5, None, b"a"), (9, Some(b"k"), b"b")],
            Compression::None,
            None,
        )
    }

    fn refused(sent: &[u8]) -> i16 {
        Batch::check(&Bytes::copy_from_slice(sent))
            .unwrap_err()
            .code()
    }

    /// Sets bytes and makes the checksum match again.
    fn changed(at: usize, to: &[u8]) -> Vec<u8> {
        let mut sent = sample().to_vec();
        sent[at..at + to.len()].copy_from_slice(to);
        let checksum = crc32c::crc32c(&sent[CHECKED..]);
        sent[17..21].copy_from_slice(&checksum.to_be_bytes());
        sent
    }

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        let batch = Batch::check(&sample()).unwrap();
        assert_eq!(
            (batch.count, batch.base_timestamp, batch.max_timestamp),
            (2, 5, 9)
        );
        assert_eq!(batch.len(), sample().len());
        assert!(batch.lacks_key());
    }

    #[test]
    fn every_flipped_bit_is_noticed_or_harmless() {
        // Base offset and leader epoch are the broker's to set; all else is checked.
        let sent = sample();
        for bit in 0..sent.len() * 8 {
            let mut flipped = sent.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let harmless = bit / 8 < 8 || (12..16).contains(&(bit / 8));
            let result = Batch::check(&Bytes::from(flipped));
            assert_eq!(result.is_ok(), harmless, "bit {bit}: {result:?}");
        }
    }

    #[test]
    fn truncated_and_doubled_batches_are_refused() {
        let sent = sample();
        for length in 0..sent.len() {
            assert_eq!(refused(&sent[..length]), 2, "{length} bytes");
        }
        assert_eq!(refused(&[&sent[..], &sent[..]].concat()), 87);
    }

    #[test]
    fn headers_that_contradict_the_records_are_refused() {
        assert_eq!(
            refused(&changed(57, &3_i32.to_be_bytes())),
            87,
            "record count"
        );
        assert_eq!(
            refused(&changed(57, &(-1_i32).to_be_bytes())),
            87,
            "negative count"
        );
        assert_eq!(
            refused(&changed(23, &i32::MAX.to_be_bytes())),
            87,
            "last offset delta"
        );
        assert_eq!(refused(&changed(16, &[1])), 87, "format version 1");
        assert_eq!(
            refused(&changed(21, &7_i16.to_be_bytes())),
            76,
            "unknown codec"
        );
        assert_eq!(
            refused(&changed(21, &CONTROL.to_be_bytes())),
            87,
            "control batch"
        );
        assert_eq!(
            refused(&changed(21, &TRANSACTIONAL.to_be_bytes())),
            48,
            "transaction"
        );
        assert_eq!(
            refused(&changed(43, &9_i64.to_be_bytes())),
            87,
            "producer without epoch"
        );
        assert_eq!(refused(&changed(61, &[0x7f])), 87, "record length");
    }

    #[test]
    fn placing_and_stamping_keep_the_checksum_right() {
        let mut batch = Batch::check(&sample()).unwrap();
        batch.place(1000, 7);
        batch.stamp(123_456);
        let whole = [&batch.header()[..], &batch.records()[..]].concat();
        let again = Batch::check(&Bytes::from(whole)).unwrap();
        assert_eq!((again.base_offset(), again.last_offset()), (1000, 1001));
        assert_eq!((again.max_timestamp, again.append_time()), (123_456, true));
    }

    #[test]
    fn a_small_part_of_a_large_request_lets_go_of_it() {
        let request = Bytes::from([&sample()[..], &[0; 1000][..]].concat());
        let mut batch = Batch::check(&request.slice(..sample().len())).unwrap();
        batch.detach(request.len());
        let kept = batch.records().as_ptr_range();
        assert!(!request.as_ptr_range().contains(&kept.start));
    }
}
