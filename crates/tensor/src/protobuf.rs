//! A look at a protobuf message before it is decoded: an empty message takes two bytes in a file
//! and hundreds in memory, so that they are counted first, without any memory.
//!
//! The encoding is that of <https://protobuf.dev/programming-guides/encoding/>.

use crate::Error;

/// A kind of message: its fields that are messages, and their kinds, by position in the schema.
pub(crate) type Kind = &'static [(u64, usize)];

/// Messages of a file, at most.
const MOST_MESSAGES: usize = 500_000;

/// Messages inside one another, at most, which is what the decoder accepts.
const DEEPEST: usize = 100;

/// Refuses bytes that are nothing, that cannot be a message of the schema, or that hold more messages
/// than are accepted: before any memory is taken for them.
pub(crate) fn check(
    bytes: &[u8],
    schema: &[Kind],
    malformed: fn(String) -> Error,
) -> Result<(), Error> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    match look(bytes, schema) {
        Finding::Messages(_) => Ok(()),
        Finding::Broken => Err(malformed("a length does not fit".to_owned())),
        Finding::TooMany => {
            let limit = MOST_MESSAGES as u64;
            Err(Error::TooLarge {
                what: "messages",
                found: limit + 1,
                limit,
            })
        }
    }
}

/// What a look has found.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// Lengths fit, and there are so many messages.
    Messages(usize),
    /// A length is larger than what is left, or something is no field at all.
    Broken,
    /// More messages than [`MOST_MESSAGES`].
    TooMany,
}

/// Looks at `bytes`, a message of the first kind in `schema`.
fn look(bytes: &[u8], schema: &[Kind]) -> Finding {
    let mut count = 0;
    // The open messages, outermost first: what is left of each, and its kind.
    let mut open = vec![(bytes, 0)];
    while let Some((rest, kind)) = open.last_mut() {
        if rest.is_empty() {
            open.pop();
            continue;
        }
        let Some((field, content)) = field(rest) else {
            return Finding::Broken;
        };
        let fields = schema.get(*kind).copied().unwrap_or_default();
        let child = fields
            .iter()
            .find(|(number, _)| *number == field)
            .map(|(_, kind)| *kind);
        if let (Some(child), Some(content)) = (child, content) {
            count += 1;
            if count > MOST_MESSAGES {
                return Finding::TooMany;
            }
            if open.len() >= DEEPEST {
                return Finding::Broken;
            }
            open.push((content, child));
        }
    }
    Finding::Messages(count)
}

/// Takes a field off the front: its number, and its content if that has a length.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let tag = varint(rest)?;
    let content = match tag & 7 {
        0 => varint(rest).map(|_| None)?,
        1 => take(rest, 8).map(|_| None)?,
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Some(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| None)?,
        // Groups are in no file of these formats.
        _ => return None,
    };
    (tag >> 3 > 0).then_some((tag >> 3, content))
}

/// Takes a number off the front: seven bits a byte, the lowest first.
pub(crate) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for position in 0..10 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::{Finding, MOST_MESSAGES, look};

    /// A list: field 1 is a list again.
    const LIST: &[super::Kind] = &[&[(1, 0)]];

    #[test]
    fn messages_inside_messages_are_counted() {
        assert_eq!(
            look(&[10, 0, 10, 2, 10, 0, 8, 1], LIST),
            Finding::Messages(3)
        );
        assert_eq!(look(&[18, 2, 10, 0], LIST), Finding::Messages(0));
    }

    #[test]
    fn lengths_beyond_the_end_are_found() {
        for bytes in [
            &[10, 3, 10, 0][..],
            &[10, 2, 10, 5],
            &[8],
            &[255; 11],
            &[9, 1],
            &[11],
            &[0, 0],
        ] {
            assert_eq!(look(bytes, LIST), Finding::Broken, "{bytes:?}");
        }
    }

    #[test]
    fn empty_messages_and_deep_ones_have_a_limit() {
        assert_eq!(
            look(&[10, 0].repeat(MOST_MESSAGES), LIST),
            Finding::Messages(MOST_MESSAGES)
        );
        assert_eq!(
            look(&[10, 0].repeat(MOST_MESSAGES + 1), LIST),
            Finding::TooMany
        );
        let mut deep = Vec::new();
        for _ in 0..60 {
            let length = u8::try_from(deep.len()).unwrap();
            deep.splice(0..0, [10, length]);
        }
        assert_eq!(look(&deep, LIST), Finding::Messages(60));
    }
}
