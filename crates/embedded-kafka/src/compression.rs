//! Looking into compressed batches. They are kept and sent as they came; only whoever asks for
//! offsets by time, or writes to a compacted topic, has them opened.

use std::io::Read;

use bytes::{Buf, Bytes};

use crate::batch::{Batch, Compression};

/// Bytes that a batch may expand to; one that expands to more is not looked into.
const MOST: u64 = 256 << 20;

/// What snappy streams of the Java client start with: a magic number and two versions.
const XERIAL: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;

/// The records of a batch without compression, or `None` if they cannot be read.
pub(crate) fn expand(batch: &Batch) -> Option<Bytes> {
    let bytes = batch.records();
    match batch.compression {
        Compression::None => Some(bytes.clone()),
        Compression::Gzip => drain(flate2::read::MultiGzDecoder::new(&bytes[..])),
        Compression::Snappy => expand_snappy(bytes),
        Compression::Lz4 => drain(lz4_flex::frame::FrameDecoder::new(&bytes[..])),
        Compression::Zstd => drain(ruzstd::decoding::StreamingDecoder::new(&bytes[..]).ok()?),
    }
}

fn drain(from: impl Read) -> Option<Bytes> {
    let mut expanded = Vec::new();
    from.take(MOST + 1).read_to_end(&mut expanded).ok()?;
    (expanded.len() as u64 <= MOST).then(|| expanded.into())
}

/// One block, as librdkafka writes it, or a stream of blocks, each after its length.
fn expand_snappy(bytes: &[u8]) -> Option<Bytes> {
    if !bytes.starts_with(XERIAL) {
        return expand_block(bytes, 0).map(Bytes::from);
    }
    let mut expanded = Vec::new();
    let mut rest = bytes.get(XERIAL_HEADER..)?;
    while !rest.is_empty() {
        let length = usize::try_from(rest.try_get_i32().ok()?).ok()?;
        let (block, after) = rest.split_at_checked(length)?;
        expanded.extend(expand_block(block, expanded.len())?);
        rest = after;
    }
    Some(expanded.into())
}

fn expand_block(block: &[u8], before: usize) -> Option<Vec<u8>> {
    // The length that a block claims is allocated at once. No block expands 64-fold: a copy of
    // 64 bytes takes three.
    let length = snap::raw::decompress_len(block).ok()?;
    if (before + length) as u64 > MOST || length > block.len().saturating_mul(64) {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(block).ok()
}
