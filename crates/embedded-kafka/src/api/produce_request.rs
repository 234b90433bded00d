//! Reading Produce requests.
//!
//! They alone may be large, and the codec makes room for as many partitions as a request claims
//! to have before it looks for the first. Here room is made for those that are found.

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::wire::{Call, Malformed};

/// The first version with compact types.
const FLEXIBLE_SINCE: i16 = 9;
/// The first version that names topics by id (KIP-516).
const BY_ID_SINCE: i16 = 13;
/// The first version with a transactional id.
const TRANSACTIONAL_SINCE: i16 = 3;

/// Topics and partitions that one request may name; each takes more room than on the wire.
const MOST_PARTS: usize = 100_000;

/// A Produce request of any version up to 13.
#[derive(Debug, Default)]
pub(super) struct Produce {
    pub(super) transactional: bool,
    pub(super) acks: i16,
    pub(super) topics: Vec<Topic>,
}

/// What goes to one topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: StrBytes,
    pub(super) id: Uuid,
    pub(super) partitions: Vec<Partition>,
}

/// What goes to one partition.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) index: i32,
    pub(super) records: Option<Bytes>,
}

impl Produce {
    pub(super) fn read(call: &Call) -> Result<Produce, Malformed> {
        let mut reader = Reader {
            rest: call.body(),
            flexible: call.version >= FLEXIBLE_SINCE,
            parts: MOST_PARTS,
        };
        reader.produce(call.version).ok_or_else(|| {
            Malformed::new(format!(
                "produce request of version {} is malformed",
                call.version
            ))
        })
    }
}

struct Reader {
    rest: Bytes,
    flexible: bool,
    /// How many topics and partitions more there may be.
    parts: usize,
}

impl Reader {
    fn produce(&mut self, version: i16) -> Option<Produce> {
        let transactional = version >= TRANSACTIONAL_SINCE && self.string()?.is_some();
        let acks = self.rest.try_get_i16().ok()?;
        self.rest.try_get_i32().ok()?; // timeout
        let topics = self.list(|reader| {
            let by_id = version >= BY_ID_SINCE;
            let name = if by_id {
                StrBytes::default()
            } else {
                reader.string()??
            };
            let id = if by_id {
                reader.rest.try_get_u128().ok()?
            } else {
                0
            };
            let partitions = reader.list(|reader| {
                let index = reader.rest.try_get_i32().ok()?;
                let records = reader.length(true)?;
                let records = match records {
                    Some(length) => Some(reader.take(length)?),
                    None => None,
                };
                Some(Partition { index, records })
            })?;
            Some(Topic {
                name,
                id: Uuid::from_u128(id),
                partitions,
            })
        })?;
        self.tags()?;
        Some(Produce {
            transactional,
            acks,
            topics,
        })
    }

    /// A list of structures, each with its tagged fields.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.length(true)??;
        self.parts = self.parts.checked_sub(count)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
            self.tags()?;
        }
        Some(items)
    }

    /// A length or a count; the inner `None` is null. Plain strings have short ones.
    fn length(&mut self, wide: bool) -> Option<Option<usize>> {
        if self.flexible {
            return Some(self.unsigned()?.checked_sub(1));
        }
        let length = if wide {
            i64::from(self.rest.try_get_i32().ok()?)
        } else {
            i64::from(self.rest.try_get_i16().ok()?)
        };
        if length == -1 {
            Some(None)
        } else {
            usize::try_from(length).ok().map(Some)
        }
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.rest.len()).then(|| self.rest.split_to(length))
    }

    fn string(&mut self) -> Option<Option<StrBytes>> {
        match self.length(false)? {
            Some(length) => StrBytes::from_utf8(self.take(length)?).ok().map(Some),
            None => Some(None),
        }
    }

    fn unsigned(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.rest.try_get_u8().ok()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn tags(&mut self) -> Option<()> {
        if self.flexible {
            for _ in 0..self.unsigned()? {
                self.unsigned()?;
                let length = self.unsigned()?;
                self.take(length)?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{ApiKey, ProduceRequest, TransactionalId};

    use super::*;
    use crate::samples;

    fn read(frame: Bytes) -> Result<Produce, Malformed> {
        Produce::read(&Call::read(frame)?)
    }

    #[test]
    fn what_the_codec_writes_is_read_in_every_version() {
        let partition = |index, records| {
            PartitionProduceData::default()
                .with_index(index)
                .with_records(records)
        };
        let topic = TopicProduceData::default()
            .with_name(StrBytes::from_static_str("topic").into())
            .with_topic_id(Uuid::from_u128(5))
            .with_partition_data(vec![
                partition(3, Some(Bytes::from_static(&[9; 300]))),
                partition(4, None),
            ]);
        let id = StrBytes::from_static_str("id");
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_transactional_id(Some(TransactionalId(id)))
            .with_topic_data(vec![topic]);
        for version in 3..=13 {
            let produce = read(samples::request(ApiKey::Produce, version, &request)).unwrap();
            assert_eq!((produce.acks, produce.transactional), (-1, true));
            let [topic] = &produce.topics[..] else {
                panic!("{produce:?}")
            };
            if version >= BY_ID_SINCE {
                assert_eq!(topic.id.as_u128(), 5);
            } else {
                assert_eq!(topic.name.as_str(), "topic");
            }
            let [first, second] = &topic.partitions[..] else {
                panic!("{topic:?}")
            };
            assert_eq!(
                (first.index, first.records.as_deref()),
                (3, Some(&[9; 300][..]))
            );
            assert_eq!((second.index, second.records.as_deref()), (4, None));
        }
    }

    #[test]
    fn claims_beyond_the_request_are_refused() {
        for version in [8, 9] {
            let frame = samples::request(ApiKey::Produce, version, &ProduceRequest::default());
            let mut frame = frame.to_vec();
            let end = frame.len();
            if version == 8 {
                frame[end - 4..].copy_from_slice(&i32::MAX.to_be_bytes());
            } else {
                frame.truncate(end - 2);
                frame.extend([0xff, 0xff, 0xff, 0xff, 0x07]);
            }
            assert!(read(frame.into()).is_err());
        }
    }
}
