//! What a partition remembers of the idempotent producers that write to it (KIP-98, KIP-360).

use std::collections::{HashMap, VecDeque};

use kafka_protocol::ResponseError;

use crate::batch::{Sequence, add_sequence};
use crate::rejection::Rejection;

/// Batches by which a retry is recognised; producers have at most five in flight.
const REMEMBERED: usize = 5;
/// Producers a partition remembers; beyond it the one that was silent longest is forgotten.
const MOST: usize = 10_000;

/// A producer's last batches in a partition.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    pub(crate) last_ms: i64,
    batches: VecDeque<Written>,
}

#[derive(Debug, Clone, Copy)]
struct Written {
    first: i32,
    last: i32,
    offset: i64,
    timestamp: i64,
}

impl Producer {
    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last)
    }
}

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is in the log already, at this offset and with this timestamp.
    Duplicate {
        offset: i64,
        timestamp: i64,
    },
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

impl Producers {
    /// Compares a batch's sequence number with what its producer wrote before.
    ///
    /// A producer that is not known here may go on at any sequence number, as with Apache Kafka
    /// since KIP-360: after a restart of the broker it sends again what was not acknowledged, in
    /// order, and both librdkafka and the Java client carry on without noticing. Telling them
    /// `UNKNOWN_PRODUCER_ID` is fatal to librdkafka when the batch is a retry.
    pub(crate) fn judge(&self, sequence: &Sequence) -> Result<Verdict, Rejection> {
        let Some(producer) = self.by_id.get(&sequence.producer_id) else {
            return Ok(Verdict::Append);
        };
        if sequence.epoch < producer.epoch {
            return Err(Rejection::new(
                ResponseError::InvalidProducerEpoch,
                format!(
                    "producer {} has epoch {}, not {}",
                    sequence.producer_id, producer.epoch, sequence.epoch
                ),
            ));
        }
        let expected = if sequence.epoch > producer.epoch {
            0
        } else {
            let again = |written: &&Written| {
                written.first == sequence.first && written.last == sequence.last
            };
            if let Some(written) = producer.batches.iter().find(again) {
                return Ok(Verdict::Duplicate {
                    offset: written.offset,
                    timestamp: written.timestamp,
                });
            }
            add_sequence(producer.last_sequence(), 1)
        };
        if sequence.first == expected {
            Ok(Verdict::Append)
        } else {
            Err(Rejection::new(
                ResponseError::OutOfOrderSequenceNumber,
                format!(
                    "producer {} sent sequence number {} where {expected} is next",
                    sequence.producer_id, sequence.first
                ),
            ))
        }
    }

    /// Remembers a batch that was appended.
    pub(crate) fn wrote(&mut self, sequence: &Sequence, offset: i64, timestamp: i64, now: i64) {
        if self.by_id.len() >= MOST && !self.by_id.contains_key(&sequence.producer_id) {
            let silent = self
                .by_id
                .iter()
                .min_by_key(|(_, producer)| producer.last_ms);
            if let Some(id) = silent.map(|(id, _)| *id) {
                self.by_id.remove(&id);
            }
        }
        let producer = self
            .by_id
            .entry(sequence.producer_id)
            .or_insert_with(|| Producer {
                epoch: sequence.epoch,
                last_ms: now,
                batches: VecDeque::with_capacity(REMEMBERED),
            });
        if producer.epoch != sequence.epoch {
            producer.epoch = sequence.epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        let Sequence { first, last, .. } = *sequence;
        producer.batches.push_back(Written {
            first,
            last,
            offset,
            timestamp,
        });
        producer.last_ms = now;
    }

    /// Forgets producers that wrote nothing since `since`, in ms since 1970.
    pub(crate) fn forget(&mut self, since: i64) {
        self.by_id.retain(|_, producer| producer.last_ms >= since);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(epoch: i16, first: i32, last: i32) -> Sequence {
        Sequence {
            producer_id: 7,
            epoch,
            first,
            last,
        }
    }

    fn code(verdict: Result<Verdict, Rejection>) -> Option<i16> {
        verdict.err().map(|rejection| rejection.error.code())
    }

    #[test]
    fn an_unknown_producer_goes_on_where_it_was() {
        let mut producers = Producers::default();
        assert_eq!(producers.judge(&sequence(0, 500, 509)), Ok(Verdict::Append));
        producers.wrote(&sequence(0, 500, 509), 0, 1, 1);
        assert_eq!(producers.judge(&sequence(0, 510, 510)), Ok(Verdict::Append));
        assert_eq!(code(producers.judge(&sequence(0, 512, 512))), Some(45));
    }

    #[test]
    fn the_last_five_batches_are_recognised() {
        let mut producers = Producers::default();
        for batch in 0..6 {
            producers.wrote(
                &sequence(0, batch * 10, batch * 10 + 9),
                i64::from(batch),
                5,
                5,
            );
        }
        let duplicate = Verdict::Duplicate {
            offset: 1,
            timestamp: 5,
        };
        assert_eq!(producers.judge(&sequence(0, 10, 19)), Ok(duplicate));
        assert_eq!(code(producers.judge(&sequence(0, 0, 9))), Some(45));
        assert_eq!(code(producers.judge(&sequence(0, 50, 58))), Some(45));
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let mut producers = Producers::default();
        producers.wrote(&sequence(1, 0, 0), 0, 1, 1);
        assert_eq!(code(producers.judge(&sequence(2, 1, 1))), Some(45));
        assert_eq!(producers.judge(&sequence(2, 0, 4)), Ok(Verdict::Append));
        producers.wrote(&sequence(2, 0, 4), 1, 1, 1);
        assert_eq!(code(producers.judge(&sequence(1, 1, 1))), Some(47));
        assert_eq!(producers.judge(&sequence(2, 5, 5)), Ok(Verdict::Append));
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut producers = Producers::default();
        producers.wrote(
            &sequence(0, i32::MAX - 1, add_sequence(i32::MAX - 1, 3)),
            0,
            1,
            1,
        );
        assert_eq!(producers.judge(&sequence(0, 2, 2)), Ok(Verdict::Append));
    }

    #[test]
    fn silent_producers_are_forgotten() {
        let mut producers = Producers::default();
        producers.wrote(&sequence(3, 0, 0), 0, 1, 100);
        producers.forget(101);
        assert_eq!(producers.judge(&sequence(0, 9, 9)), Ok(Verdict::Append));
    }
}
