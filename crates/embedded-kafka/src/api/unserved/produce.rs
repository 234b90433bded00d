use bytes::BufMut;

use super::super::produce_request::Produce;
use super::UNSUPPORTED;
use crate::wire::{Call, Malformed, Parts, Response};

/// Answers Produce in the versions 0 to 2, which are announced but not served, and whose responses
/// the codec does not know.
pub(super) fn answer(call: &Call) -> Result<Response, Malformed> {
    let request = Produce::read(call)?;
    let count = |items: usize| i32::try_from(items).unwrap_or(i32::MAX);
    let mut out = call.begin(0, 256)?;
    out.put_i32(count(request.topics.len()));
    for topic in &request.topics {
        out.put_i16(i16::try_from(topic.name.len()).unwrap_or(0));
        out.put_slice(topic.name.as_bytes());
        out.put_i32(count(topic.partitions.len()));
        for partition in &topic.partitions {
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
