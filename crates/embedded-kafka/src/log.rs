//! The log of one partition.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::batch::{Batch, HEADER};
use crate::compression;
use crate::config::TopicConfig;
use crate::producers::{Producers, Verdict};
use crate::records::Records;
use crate::rejection::Rejection;

/// What a batch costs beside its bytes: its entry and two allocations.
const ENTRY: u64 = 256;

/// A partition: its log behind a lock, and its size beside it for whoever only counts.
#[derive(Debug)]
pub(crate) struct Partition {
    log: Mutex<Log>,
    memory: AtomicU64,
}

impl Partition {
    pub(crate) fn new(leader_epoch: i32) -> Self {
        Partition {
            log: Mutex::new(Log::new(leader_epoch)),
            memory: AtomicU64::new(0),
        }
    }

    /// The log. Hold it shortly: no batch is checked, copied or sent meanwhile.
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    /// Bytes of memory that the records take.
    pub(crate) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Appends a batch and wakes those who wait for it; returns its place and the bytes it takes.
    pub(crate) fn append(
        &self,
        batch: Batch,
        config: &TopicConfig,
        now: i64,
    ) -> Result<(Appended, u64), Rejection> {
        let mut log = self.log();
        let before = log.memory();
        let appended = log.append(batch, now)?;
        let added = log.memory() - before;
        if let Some(limit) = config.retention_bytes {
            log.trim_to_bytes(limit);
        }
        self.memory.store(log.memory(), Ordering::Relaxed);
        for waiter in &log.waiters {
            waiter.notify_one();
        }
        Ok((appended, added))
    }

    /// Changes the log, by trimming it for example.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Log) -> R) -> R {
        let mut log = self.log();
        let result = change(&mut log);
        self.memory.store(log.memory(), Ordering::Relaxed);
        result
    }

    /// Ends the partition: its records go, and those who wait are told.
    pub(crate) fn close(&self) {
        let mut log = self.log();
        log.closed = true;
        log.batches = VecDeque::new();
        log.bytes = 0;
        self.memory.store(0, Ordering::Relaxed);
        for waiter in log.waiters.drain(..) {
            waiter.notify_one();
        }
    }

    /// The first record whose timestamp is `timestamp` (ms since 1970) or later.
    pub(crate) fn find(&self, timestamp: i64) -> Option<Found> {
        let mut from = self.log().start();
        loop {
            // Looked into without the lock: it may have to be decompressed.
            let batch = self.log().batch_since(timestamp, from)?;
            if let Some(found) = find_in(&batch, timestamp, from) {
                return Some(found);
            }
            from = batch.last_offset() + 1;
        }
    }

    /// The record with the latest timestamp (KIP-734).
    pub(crate) fn latest(&self) -> Option<Found> {
        let timestamp = self.log().latest_timestamp()?;
        self.find(timestamp)
    }

    /// Has `waiter` woken by everything that is appended from now on.
    pub(crate) fn watch(&self, waiter: &Arc<Notify>) {
        self.log().waiters.push(Arc::clone(waiter));
    }

    /// The end of [`Partition::watch`].
    pub(crate) fn unwatch(&self, waiter: &Arc<Notify>) {
        self.log()
            .waiters
            .retain(|other| !Arc::ptr_eq(other, waiter));
    }
}

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

/// A record found by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
}

fn find_in(batch: &Batch, timestamp: i64, from: i64) -> Option<Found> {
    let first = Found {
        offset: batch.base_offset().max(from),
        timestamp: batch.max_timestamp,
    };
    if batch.append_time() {
        return Some(first);
    }
    // Of a batch that cannot be read, its first record is no worse than any other.
    let Some(bytes) = compression::expand(batch) else {
        return Some(first);
    };
    Records::new(&bytes)
        .map_while(Result::ok)
        .map(|record| Found {
            offset: batch.base_offset() + i64::from(record.offset_delta),
            timestamp: batch.base_timestamp.saturating_add(record.timestamp_delta),
        })
        .find(|found| found.offset >= from && found.timestamp >= timestamp)
}

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
    waiters: Vec<Arc<Notify>>,
}

impl Log {
    fn new(leader_epoch: i32) -> Self {
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

    fn memory(&self) -> u64 {
        self.bytes + self.batches.len() as u64 * ENTRY
    }

    fn append(&mut self, mut batch: Batch, now: i64) -> Result<Appended, Rejection> {
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
    fn batch_since(&self, timestamp: i64, offset: i64) -> Option<Batch> {
        let from = self
            .batches
            .partition_point(|entry| entry.latest < timestamp);
        let mut candidates = self.batches.range(from.max(self.position(offset))..);
        candidates
            .find(|entry| entry.batch.max_timestamp >= timestamp)
            .map(|e| e.batch.clone())
    }

    fn latest_timestamp(&self) -> Option<i64> {
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
    pub(crate) fn trim_to_bytes(&mut self, limit: u64) {
        while let Some(first) = self.batches.front() {
            if self.bytes - (first.batch.len() as u64) < limit {
                break;
            }
            self.pop();
        }
    }

    /// Removes the oldest batches until the log takes at most `limit` bytes of memory.
    pub(crate) fn trim_to_memory(&mut self, limit: u64) {
        while !self.batches.is_empty() && self.memory() > limit {
            self.pop();
        }
    }

    /// Removes the oldest batches whose newest record is older than `time`, in ms since 1970.
    /// A record without a timestamp is as old as its arrival.
    pub(crate) fn trim_to_time(&mut self, time: i64) {
        while let Some(first) = self.batches.front() {
            let newest = first.batch.max_timestamp;
            if (if newest < 0 { first.arrived } else { newest }) >= time {
                break;
            }
            self.pop();
        }
    }
}
