use bytes::BufMut;
use kafka_protocol::messages::ProduceRequest;

use super::UNSUPPORTED;
use crate::wire::{Call, Malformed, Parts, Response};

/// Answers Produce in the versions 0 to 2, which are announced but not served.
///
/// They lack the transactional id that version 3 starts with and are else the same; the codec
/// knows neither them nor their responses.
pub(super) fn answer(call: &Call) -> Result<Response, Malformed> {
    let request: ProduceRequest = call.decode_after(&[0xff, 0xff], 3)?;
    let count = |items: usize| i32::try_from(items).unwrap_or(i32::MAX);
    let mut out = call.begin(0, 256)?;
    out.put_i32(count(request.topic_data.len()));
    for topic in &request.topic_data {
        out.put_i16(i16::try_from(topic.name.0.len()).unwrap_or(0));
        out.put_slice(topic.name.0.as_bytes());
        out.put_i32(count(topic.partition_data.len()));
        for partition in &topic.partition_data {
            out.put_i32(partition.index);
            out.put_i16(UNSUPPORTED);
            out.put_i64(-1); // base offset
            if call.version >= 2 {
                out.put_i64(-1); // append time
            }
        }
    }
    if call.version >= 1 {
        out.put_i32(0); // throttle time
    }
    Parts::new(out).finish()
}
