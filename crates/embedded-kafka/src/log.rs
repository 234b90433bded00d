//! The log of one partition.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::Notify;

use crate::batch::{Batch, HEADER};
use crate::producers::{Producers, Verdict};
use crate::rejection::Rejection;

/// Batches that are removed before others get at the log again.
const AT_ONCE: usize = 1_000;

/// What a batch costs beside its bytes: its entry and two allocations.
const ENTRY: u64 = 256;

/// Where an appended batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) offset: i64,
    /// In ms since 1970; -1 unless the topic stamps arrival.
    pub(crate) timestamp: i64,
    pub(crate) start: i64,
}

/// Batches as they go to a consumer: a header with offset and epoch, and the records as kept.
pub(crate) type Read = Vec<([u8; HEADER], Bytes)>;

#[derive(Debug)]
struct Entry {
    batch: Batch,
    /// Latest timestamp of this batch and all that were appended before it.
    latest: i64,
    /// When it was appended, in ms since 1970.
    arrived: i64,
}

/// The batches of a partition, in order of offset.
#[derive(Debug)]
pub(crate) struct Log {
    batches: VecDeque<Entry>,
    start: i64,
    end: i64,
    bytes: u64,
    leader_epoch: i32,
    closed: bool,
    pub(crate) producers: Producers,
    pub(crate) waiters: Vec<Arc<Notify>>,
}

impl Log {
    /// An empty log of a leader with this epoch.
    pub(crate) fn new(leader_epoch: i32) -> Self {
        Log {
            batches: VecDeque::new(),
            start: 0,
            end: 0,
            bytes: 0,
            leader_epoch,
            closed: false,
            producers: Producers::default(),
            waiters: Vec::new(),
        }
    }

    /// The first offset that may be read.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The offset that the next record gets; with one replica also the high watermark.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// The epoch of the only leader that this log had.
    pub(crate) fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// Whether the topic was deleted.
    pub(crate) fn closed(&self) -> bool {
        self.closed
    }

    /// Bytes of the batches on the wire.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of memory that the batches take.
    pub(crate) fn memory(&self) -> u64 {
        self.bytes + self.batches.len() as u64 * ENTRY
    }

    /// Appends a batch, unless its producer sent it before.
    pub(crate) fn append(&mut self, mut batch: Batch, now: i64) -> Result<Appended, Rejection> {
        if self.closed {
            return Err(ResponseError::UnknownTopicOrPartition.into());
        }
        if let Some(sequence) = &batch.sequence {
            match self.producers.judge(sequence)? {
                Verdict::Append => {}
                Verdict::Duplicate { offset, timestamp } => {
                    return Ok(Appended {
                        offset,
                        timestamp,
                        start: self.start,
                    });
                }
            }
        }
        let offset = self.end;
        let Some(end) = offset.checked_add(i64::from(batch.count)) else {
            return Err(ResponseError::KafkaStorageError.into());
        };
        let timestamp = if batch.append_time() {
            batch.max_timestamp
        } else {
            -1
        };
        if let Some(sequence) = &batch.sequence {
            self.producers.wrote(sequence, offset, timestamp, now);
        }
        batch.place(offset, self.leader_epoch);
        let latest = self.batches.back().map_or(i64::MIN, |entry| entry.latest);
        self.bytes += batch.len() as u64;
        self.batches.push_back(Entry {
            latest: latest.max(batch.max_timestamp),
            arrived: now,
            batch,
        });
        self.end = end;
        Ok(Appended {
            offset,
            timestamp,
            start: self.start,
        })
    }

    /// Ends the log: its records go.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.batches = VecDeque::new();
        self.bytes = 0;
    }

    fn position(&self, offset: i64) -> usize {
        self.batches
            .partition_point(|entry| entry.batch.last_offset() < offset)
    }

    /// The batches from the one that holds `offset`, as far as `max_bytes` go; with `at_least_one`
    /// the first comes whatever its size. Returns the bytes added to `into`.
    pub(crate) fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
        into: &mut Read,
    ) -> usize {
        let mut taken = 0;
        for entry in self.batches.range(self.position(offset)..) {
            let length = entry.batch.len();
            if taken + length > max_bytes && !(taken == 0 && at_least_one) {
                break;
            }
            into.push((*entry.batch.header(), entry.batch.records().clone()));
            taken += length;
        }
        taken
    }

    /// The first batch at or after `offset` with a record of `timestamp` or later.
    pub(crate) fn batch_since(&self, timestamp: i64, offset: i64) -> Option<Batch> {
        let from = self
            .batches
            .partition_point(|entry| entry.latest < timestamp);
        let mut candidates = self.batches.range(from.max(self.position(offset))..);
        candidates
            .find(|entry| entry.batch.max_timestamp >= timestamp)
            .map(|e| e.batch.clone())
    }

    /// The latest timestamp, in ms since 1970.
    pub(crate) fn latest_timestamp(&self) -> Option<i64> {
        self.batches
            .iter()
            .map(|entry| entry.batch.max_timestamp)
            .max()
    }

    /// Removes everything before `offset`; batches that reach beyond it stay whole.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.start = self.start.max(offset.min(self.end));
        while self
            .batches
            .front()
            .is_some_and(|first| first.batch.last_offset() < self.start)
        {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(entry) = self.batches.pop_front() {
            self.bytes -= entry.batch.len() as u64;
            self.start = self.start.max(entry.batch.last_offset() + 1);
        }
        if self.batches.capacity() > 1024 && self.batches.len() < self.batches.capacity() / 4 {
            self.batches.shrink_to(self.batches.len() * 2);
        }
    }

    /// Removes the oldest batches while `limit` bytes or more would stay.
    pub(crate) fn trim_to_bytes(&mut self, limit: u64) -> bool {
        self.pop_while(|log, first| log.bytes - (first.batch.len() as u64) >= limit)
    }

    /// Removes the oldest batches until the log takes at most `limit` bytes of memory, or has no more
    /// than `kept` batches.
    pub(crate) fn trim_to_memory(&mut self, limit: u64, kept: usize) -> bool {
        self.pop_while(|log, _| log.memory() > limit && log.batches.len() > kept)
    }

    /// Removes the oldest batches whose newest record is older than `time`, in ms since 1970.
    /// A record without a timestamp is as old as its arrival.
    pub(crate) fn trim_to_time(&mut self, time: i64) -> bool {
        self.pop_while(|_, first| {
            let newest = first.batch.max_timestamp;
            (if newest < 0 { first.arrived } else { newest }) < time
        })
    }

    /// Removes some of the oldest batches; true if there may be more to remove.
    fn pop_while(&mut self, goes: impl Fn(&Log, &Entry) -> bool) -> bool {
        for _ in 0..AT_ONCE {
            match self.batches.front() {
                Some(first) if goes(self, first) => self.pop(),
                _ => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Compression, Sequence};
    use crate::config::TopicConfig;
    use crate::options::Options;
    use crate::partition::Partition;
    use crate::samples;

    fn partition() -> (Partition, TopicConfig) {
        (
            Partition::new(3),
            TopicConfig::new([], &Options::default()).unwrap(),
        )
    }

    fn batch(timestamps: &[i64], sequence: Option<Sequence>) -> Batch {
        let records: Vec<samples::Sample<'_>> = timestamps
            .iter()
            .map(|timestamp| (*timestamp, None, &b"value"[..]))
            .collect();
        Batch::check(&samples::batch(&records, Compression::Gzip, sequence)).unwrap()
    }

    fn fill(partition: &Partition, config: &TopicConfig, batches: &[&[i64]]) {
        for timestamps in batches {
            partition
                .append(batch(timestamps, None), config, 1_000)
                .unwrap();
        }
    }

    fn base_offsets(log: &Log, offset: i64, max_bytes: usize, first: bool) -> Vec<i64> {
        let mut read = Read::new();
        log.read(offset, max_bytes, first, &mut read);
        read.iter()
            .map(|(header, _)| i64::from_be_bytes(*header.first_chunk().unwrap()))
            .collect()
    }

    fn bounds(partition: &Partition) -> (i64, i64) {
        let log = partition.log();
        (log.start(), log.end())
    }

    #[test]
    fn reading_starts_with_the_batch_that_holds_the_offset() {
        let (partition, config) = partition();
        fill(&partition, &config, &[&[1, 2, 3], &[4], &[5, 6]]);
        let log = partition.log();
        assert_eq!((log.start(), log.end()), (0, 6));
        assert_eq!(base_offsets(&log, 0, usize::MAX, false), [0, 3, 4]);
        assert_eq!(base_offsets(&log, 2, usize::MAX, false), [0, 3, 4]);
        assert_eq!(base_offsets(&log, 3, usize::MAX, false), [3, 4]);
        assert_eq!(base_offsets(&log, 5, usize::MAX, false), [4]);
        assert!(base_offsets(&log, 6, usize::MAX, true).is_empty());
    }

    #[test]
    fn one_batch_comes_even_if_it_is_too_large() {
        let (partition, config) = partition();
        fill(&partition, &config, &[&[1], &[2]]);
        let log = partition.log();
        assert_eq!(base_offsets(&log, 0, 1, true), [0]);
        assert!(base_offsets(&log, 0, 1, false).is_empty());
    }

    #[test]
    fn deleted_records_are_gone_and_their_batch_stays_while_part_of_it_does() {
        let (partition, config) = partition();
        fill(&partition, &config, &[&[1, 2], &[3, 4]]);
        partition.change(|log| log.delete_before(1));
        assert_eq!(base_offsets(&partition.log(), 1, usize::MAX, false), [0, 2]);
        partition.change(|log| log.delete_before(2));
        assert_eq!(partition.log().start(), 2);
        partition.change(|log| log.delete_before(i64::MAX));
        assert_eq!(bounds(&partition), (4, 4));
        assert_eq!(partition.memory(), 0);
    }

    #[test]
    fn age_is_that_of_the_newest_record_of_a_batch() {
        let (partition, config) = partition();
        fill(&partition, &config, &[&[10, 300], &[20], &[400]]);
        partition.trim_to_time(100);
        assert_eq!(
            partition.log().start(),
            0,
            "the first batch has a young record"
        );
        partition.trim_to_time(301);
        assert_eq!(partition.log().start(), 3);
    }

    #[test]
    fn records_without_a_timestamp_are_as_old_as_their_arrival() {
        let (partition, config) = partition();
        partition.append(batch(&[-1], None), &config, 500).unwrap();
        partition.trim_to_time(500);
        assert_eq!(partition.log().start(), 0);
        partition.trim_to_time(501);
        assert_eq!(partition.log().start(), 1);
    }

    #[test]
    fn a_limit_of_bytes_holds_at_every_append() {
        let (partition, _) = partition();
        let one = batch(&[1], None).len() as u64;
        let options = Options {
            retention_bytes: Some(3 * one),
            retention: None,
            ..Options::default()
        };
        let config = TopicConfig::new([], &options).unwrap();
        for _ in 0..10 {
            partition.append(batch(&[1], None), &config, 1).unwrap();
            assert!(partition.log().bytes() <= 3 * one);
        }
        assert_eq!(partition.log().start(), 7);
    }

    #[test]
    fn a_batch_sent_again_is_acknowledged_with_its_offset_and_kept_once() {
        let (partition, config) = partition();
        let sequence = |first| {
            Some(Sequence {
                producer_id: 1,
                epoch: 0,
                first,
                last: first,
            })
        };
        partition
            .append(batch(&[1], sequence(0)), &config, 1)
            .unwrap();
        let (first, _) = partition
            .append(batch(&[1], sequence(1)), &config, 1)
            .unwrap();
        let (again, added) = partition
            .append(batch(&[1], sequence(1)), &config, 1)
            .unwrap();
        assert_eq!((again, added), (first, 0));
        assert_eq!(partition.log().end(), 2);
    }

    proptest::proptest! {
        #[test]
        fn a_log_agrees_with_a_list_of_records(
            sizes in proptest::collection::vec(1_usize..5, 1..30),
            cut in 0_i64..80,
            from in 0_i64..100,
        ) {
            let (partition, config) = partition();
            let mut list: Vec<i64> = Vec::new();
            for size in sizes {
                let base = list.len() as i64;
                fill(&partition, &config, &[&(base..base + size as i64).collect::<Vec<_>>()]);
                list.extend(base..base + size as i64);
            }
            partition.change(|log| log.delete_before(cut));
            let start = cut.min(list.len() as i64);
            let log = partition.log();
            proptest::prop_assert_eq!((log.start(), log.end()), (start, list.len() as i64));
            let from = from.clamp(start, list.len() as i64);
            let mut read = Read::new();
            log.read(from, usize::MAX, false, &mut read);
            let mut offsets = Vec::new();
            for (header, _) in &read {
                let base = i64::from_be_bytes(*header.first_chunk().unwrap());
                let count = i32::from_be_bytes(*header.last_chunk().unwrap());
                offsets.extend(base..base + i64::from(count));
            }
            offsets.retain(|offset| *offset >= from);
            proptest::prop_assert_eq!(offsets, list[from as usize..].to_vec());
        }
    }
}
