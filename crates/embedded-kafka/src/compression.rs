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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    const CODECS: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    #[test]
    fn every_codec_is_read() {
        let values: Vec<Vec<u8>> = (0..100_u8).map(|i| vec![i % 7; 200]).collect();
        let records: Vec<samples::Sample<'_>> =
            values.iter().map(|value| (1, None, &value[..])).collect();
        let plain =
            expand(&Batch::check(&samples::batch(&records, Compression::None, None)).unwrap());
        for codec in CODECS {
            let batch = Batch::check(&samples::batch(&records, codec, None)).unwrap();
            assert_eq!(expand(&batch), plain, "{codec:?}");
        }
    }

    #[test]
    fn snappy_streams_of_the_java_client_are_read() {
        let mut stream = XERIAL.to_vec();
        stream.extend([0, 0, 0, 1, 0, 0, 0, 1]);
        for part in [&b"first, "[..], b"second"] {
            let block = snap::raw::Encoder::new().compress_vec(part).unwrap();
            stream.extend((block.len() as i32).to_be_bytes());
            stream.extend(block);
        }
        assert_eq!(expand_snappy(&stream).unwrap(), "first, second");
    }

    proptest::proptest! {
        #[test]
        fn noise_is_refused_without_harm(
            noise in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            codec in proptest::sample::select(&CODECS[1..]),
        ) {
            let sent = samples::batch(&[(1, None, &noise)], codec, None);
            let mut broken = sent[..61].to_vec();
            broken.extend(&noise);
            let length = i32::try_from(broken.len() - 12).unwrap();
            broken[8..12].copy_from_slice(&length.to_be_bytes());
            let checksum = crc32c::crc32c(&broken[21..]);
            broken[17..21].copy_from_slice(&checksum.to_be_bytes());
            if let Ok(batch) = Batch::check(&broken.into()) {
                let _ = expand(&batch);
            }
        }
    }
}
