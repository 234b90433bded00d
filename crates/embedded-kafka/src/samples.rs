//! Batches, requests and brokers for this crate's own tests.

use std::io::Write;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::{Encodable, StrBytes};

use crate::batch::{Compression, Sequence};
use crate::node::{Client, Endpoint, Node};
use crate::options::Options;

/// A record: its timestamp in ms since 1970, its key and its value.
pub(crate) type Sample<'a> = (i64, Option<&'a [u8]>, &'a [u8]);

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.put_slice(bytes.unwrap_or_default());
}

/// A batch as a producer writes it.
pub(crate) fn batch(
    samples: &[Sample<'_>],
    compression: Compression,
    sequence: Option<Sequence>,
) -> Bytes {
    let base = samples.first().map_or(0, |sample| sample.0);
    let mut records = BytesMut::new();
    for (delta, (timestamp, key, value)) in samples.iter().enumerate() {
        let mut record = BytesMut::new();
        record.put_u8(0);
        put_varint(&mut record, timestamp - base);
        put_varint(&mut record, delta as i64);
        put_nullable(&mut record, *key);
        put_nullable(&mut record, Some(value));
        put_varint(&mut record, 1);
        put_nullable(&mut record, Some(b"header"));
        put_nullable(&mut record, None);
        put_varint(&mut records, record.len() as i64);
        records.put_slice(&record);
    }
    let records = compress(compression, &records);
    let latest = samples.iter().map(|sample| sample.0).max().unwrap_or(-1);
    let mut checked = BytesMut::new();
    checked.put_i16(compression as i16);
    checked.put_i32(samples.len() as i32 - 1);
    checked.put_i64(base);
    checked.put_i64(latest);
    checked.put_i64(sequence.map_or(-1, |s| s.producer_id));
    checked.put_i16(sequence.map_or(-1, |s| s.epoch));
    checked.put_i32(sequence.map_or(-1, |s| s.first));
    checked.put_i32(samples.len() as i32);
    checked.put_slice(&records);
    let mut out = BytesMut::new();
    out.put_i64(0);
    out.put_i32(checked.len() as i32 + 9);
    out.put_i32(-1);
    out.put_i8(2);
    out.put_u32(crc32c::crc32c(&checked));
    out.put_slice(&checked);
    out.freeze()
}

fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let level = flate2::Compression::default();
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
            gzip.write_all(bytes).unwrap();
            gzip.finish().unwrap()
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
        Compression::Lz4 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(bytes).unwrap();
            lz4.finish().unwrap()
        }
        Compression::Zstd => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            ruzstd::encoding::compress_to_vec(bytes, level)
        }
    }
}

/// A request as it comes off a connection, without its length.
pub(crate) fn request<R: Encodable>(key: ApiKey, version: i16, request: &R) -> Bytes {
    let mut out = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(StrBytes::from_static_str("sample")))
        .encode(&mut out, key.request_header_version(version))
        .unwrap();
    request.encode(&mut out, version).unwrap();
    out.freeze()
}

/// A client of a broker with these options.
pub(crate) fn client(options: Options) -> Client {
    Client {
        node: Arc::new(Node::new(options)),
        endpoint: Endpoint {
            host: StrBytes::from_static_str("127.0.0.1"),
            port: 9092,
        },
        host: "/127.0.0.1".to_owned(),
    }
}
