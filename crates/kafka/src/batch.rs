//! Messages that were waiting together.

use std::ops::Range;

use crate::Position;

/// Messages that were waiting together, copied out of librdkafka into one buffer that is reused:
/// once it has grown to the size of the usual batch, filling it allocates nothing.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    headers: Vec<HeaderEntry>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    position: Position,
    timestamp_ms: Option<i64>,
    key: Option<Range<usize>>,
    payload: Option<Range<usize>>,
    headers: Range<usize>,
}

#[derive(Debug)]
struct HeaderEntry {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

/// A message in a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Where the message is in its topic.
    pub position: Position,
    /// Milliseconds since 1970, as its producer or its broker set it.
    pub timestamp_ms: Option<i64>,
    /// The key; `None` if it is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` if it is null.
    pub payload: Option<&'a [u8]>,
    batch: &'a Batch,
    headers: (usize, usize),
}

/// The headers of a [`Message`], in order.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    batch: &'a Batch,
    entries: std::slice::Iter<'a, HeaderEntry>,
}

/// What goes into a [`Batch`].
pub(crate) struct Incoming<'a> {
    pub(crate) position: Position,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes the messages and keeps the memory, unless one huge message made it huge.
    pub fn clear(&mut self) {
        const KEPT: usize = 4 * 1024 * 1024;
        self.entries.clear();
        self.headers.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEPT {
            self.bytes.shrink_to(KEPT);
        }
    }

    /// The message at `index`, in order of arrival.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Message<'_>> {
        self.entries.get(index).map(|entry| self.message(entry))
    }

    /// The messages, in order of arrival.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Message<'_>> + Clone {
        self.entries.iter().map(|entry| self.message(entry))
    }

    /// The bytes that the messages take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Removes the messages whose position is not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(Position) -> bool) {
        self.entries.retain(|entry| keep(entry.position));
    }

    fn message<'a>(&'a self, entry: &Entry) -> Message<'a> {
        Message {
            position: entry.position,
            timestamp_ms: entry.timestamp_ms,
            key: entry.key.clone().map(|range| self.slice(range)),
            payload: entry.payload.clone().map(|range| self.slice(range)),
            batch: self,
            headers: (entry.headers.start, entry.headers.end),
        }
    }

    /// The ranges are this batch's own, so that nothing is ever missing.
    fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    pub(crate) fn push(&mut self, incoming: &Incoming<'_>) {
        let key = incoming.key.map(|bytes| self.append(bytes));
        let payload = incoming.payload.map(|bytes| self.append(bytes));
        let headers = self.headers.len()..self.headers.len();
        let Incoming {
            position,
            timestamp_ms,
            ..
        } = *incoming;
        self.entries.push(Entry {
            position,
            timestamp_ms,
            key,
            payload,
            headers,
        });
    }

    /// Adds a header to the message that was pushed last.
    pub(crate) fn push_header(&mut self, name: &str, value: Option<&[u8]>) {
        let name = self.append(name.as_bytes());
        let value = value.map(|bytes| self.append(bytes));
        self.headers.push(HeaderEntry { name, value });
        if let Some(entry) = self.entries.last_mut() {
            entry.headers.end = self.headers.len();
        }
    }
}

impl<'a> Message<'a> {
    /// The headers, in order; a name may occur more than once. A name that is not UTF-8 is given
    /// with replacement characters.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        let (start, end) = self.headers;
        let entries = self
            .batch
            .headers
            .get(start..end)
            .unwrap_or_default()
            .iter();
        Headers {
            batch: self.batch,
            entries,
        }
    }

    /// The value of the last header called `name`; `None` if there is none, or if it is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers()
            .filter(|(found, _)| *found == name)
            .last()
            .and_then(|(_, value)| value)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch;
        let entry = self.entries.next()?;
        let name = std::str::from_utf8(batch.slice(entry.name.clone())).unwrap_or_default();
        Some((name, entry.value.clone().map(|range| batch.slice(range))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Headers<'_> {}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{any, proptest};

    use super::*;

    fn push(batch: &mut Batch, partition: i32, offset: i64, payload: Option<&[u8]>) {
        let position = Position { partition, offset };
        batch.push(&Incoming {
            position,
            timestamp_ms: None,
            key: None,
            payload,
        });
    }

    proptest! {
        #[test]
        fn what_went_in_comes_out(
            messages in vec(
                (
                    option::of(vec(any::<u8>(), 0..20)),
                    option::of(vec(any::<u8>(), 0..20)),
                    vec((".{0,5}", option::of(vec(any::<u8>(), 0..5))), 0..4),
                ),
                0..20,
            ),
            kept in vec(any::<bool>(), 20),
        ) {
            let mut batch = Batch::new();
            for round in 0..2 {
                batch.clear();
                for (offset, (key, payload, headers)) in (0..).zip(&messages) {
                    let (key, payload) = (key.as_deref(), payload.as_deref());
                    let position = Position { partition: round, offset };
                    batch.push(&Incoming { position, timestamp_ms: Some(offset), key, payload });
                    for (name, value) in headers {
                        batch.push_header(name, value.as_deref());
                    }
                }
                let kept = |offset: i64| kept[usize::try_from(offset).unwrap()];
                batch.retain(|position| kept(position.offset));
                let expected = (0..).zip(&messages).filter(|(offset, _)| kept(*offset));
                assert_eq!(batch.len(), expected.clone().count());
                for (message, (offset, (key, payload, headers))) in batch.iter().zip(expected) {
                    assert_eq!(message.position, Position { partition: round, offset });
                    assert_eq!(message.timestamp_ms, Some(offset));
                    assert_eq!(message.key, key.as_deref());
                    assert_eq!(message.payload, payload.as_deref());
                    let headers = headers.iter();
                    let headers = headers.map(|(name, value)| (name.as_str(), value.as_deref()));
                    assert!(message.headers().eq(headers));
                }
            }
        }
    }

    #[test]
    fn a_batch_that_was_huge_gives_its_memory_back_and_a_usual_one_keeps_it() {
        let mut batch = Batch::new();
        push(&mut batch, 0, 0, Some(&vec![7; 16 << 20]));
        batch.clear();
        assert!(batch.bytes.capacity() < 8 << 20);
        push(&mut batch, 0, 1, Some(&[7; 100_000]));
        let warm = batch.bytes.capacity();
        batch.clear();
        assert_eq!((batch.len(), batch.bytes.capacity()), (0, warm));
        assert!(batch.get(0).is_none());
    }
}
