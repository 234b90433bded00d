//! A partition: a log behind a lock, and what can be done with it from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::batch::Batch;
use crate::compression;
use crate::config::TopicConfig;
use crate::log::{Appended, Log};
use crate::records::Records;
use crate::rejection::Rejection;

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

    /// Removes the oldest batches while `limit` bytes or more would stay.
    pub(crate) fn trim_to_bytes(&self, limit: u64) {
        while self.change(|log| log.trim_to_bytes(limit)) {}
    }

    /// Removes the oldest batches until the log takes at most `limit` bytes of memory.
    pub(crate) fn trim_to_memory(&self, limit: u64, kept: usize) {
        while self.change(|log| log.trim_to_memory(limit, kept)) {}
    }

    /// Removes the batches all of whose records are older than `time`, in ms since 1970.
    pub(crate) fn trim_to_time(&self, time: i64) {
        while self.change(|log| log.trim_to_time(time)) {}
    }

    /// Ends the partition: its records go, and those who wait are told.
    pub(crate) fn close(&self) {
        let mut log = self.log();
        log.close();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::batch::Compression;
    use crate::options::Options;
    use crate::samples;

    fn partition(batches: &[&[i64]]) -> (Partition, TopicConfig) {
        let partition = Partition::new(3);
        let config = TopicConfig::new([], &Options::default()).unwrap();
        for timestamps in batches {
            partition.append(batch(timestamps), &config, 1_000).unwrap();
        }
        (partition, config)
    }

    fn batch(timestamps: &[i64]) -> Batch {
        let records: Vec<samples::Sample<'_>> = timestamps
            .iter()
            .map(|timestamp| (*timestamp, None, &b"value"[..]))
            .collect();
        Batch::check(&samples::batch(&records, Compression::Gzip, None)).unwrap()
    }

    #[test]
    fn records_are_found_by_time_inside_batches_and_out_of_order() {
        let (partition, _) = partition(&[&[10, 30, 20], &[5], &[40, 50]]);
        let found = |time| {
            partition
                .find(time)
                .map(|found| (found.offset, found.timestamp))
        };
        assert_eq!(found(0), Some((0, 10)));
        assert_eq!(found(11), Some((1, 30)));
        assert_eq!(found(31), Some((4, 40)));
        assert_eq!(found(41), Some((5, 50)));
        assert_eq!(found(51), None);
        assert_eq!(partition.latest().map(|found| found.offset), Some(5));
        partition.change(|log| log.delete_before(2));
        assert_eq!(found(15), Some((2, 20)));
        assert_eq!(found(25), Some((4, 40)));
    }

    #[test]
    fn closing_tells_those_who_wait() {
        let (partition, config) = partition(&[]);
        let waiter = Arc::new(Notify::new());
        partition.watch(&waiter);
        partition.close();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(10), waiter.notified())
                .await
                .unwrap();
        });
        assert!(partition.append(batch(&[1]), &config, 1).is_err());
    }
}
