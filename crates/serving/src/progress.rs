use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::{Batch, clock};

/// How a micro-batch went. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchProgress {
    /// Its number, from 0.
    pub(crate) batch: u64,
    /// When it was cut, ms since 1970.
    pub(crate) started: i64,
    /// How many records it had.
    pub(crate) records: usize,
    /// How many models it had.
    pub(crate) models: usize,
    /// How long it took, from the cut until its outcomes were sent.
    pub(crate) duration: f64,
    /// Where its records end: per partition, the offset after the last one.
    pub(crate) offsets: BTreeMap<i32, i64>,
}

/// How micro-batches go: each is logged, and the last hundred are told at `GET /progress`. A clone
/// is the same list.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Batches>>);

#[derive(Debug, Default)]
struct Batches {
    begun: u64,
    last: VecDeque<BatchProgress>,
}

/// A batch that runs.
#[must_use = "a batch that has begun ends some time"]
pub struct RunningBatch {
    of: Progress,
    begun: Instant,
    progress: BatchProgress,
}

impl Progress {
    const KEPT: usize = 100;

    /// A batch with these records and so many models has been cut, and runs from now on.
    pub fn begin(&self, models: usize, records: &Batch) -> RunningBatch {
        let mut batches = self.batches();
        let batch = batches.begun;
        batches.begun += 1;
        RunningBatch {
            of: self.clone(),
            begun: Instant::now(),
            progress: BatchProgress {
                batch,
                started: clock::now_us() / 1000,
                records: records.len(),
                models,
                duration: 0.0,
                offsets: records.ends(),
            },
        }
    }

    /// The last batches that have ended, newest last.
    pub(crate) fn last(&self) -> Vec<BatchProgress> {
        self.batches().last.iter().cloned().collect()
    }

    fn batches(&self) -> MutexGuard<'_, Batches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningBatch {
    /// Its outcomes have been sent.
    pub fn end(mut self) {
        let took = self.begun.elapsed();
        self.progress.duration = took.as_secs_f64() * 1e3;
        let BatchProgress {
            batch,
            records,
            models,
            offsets,
            ..
        } = &self.progress;
        tracing::info!(batch, records, models, ?took, ?offsets, "batch");
        let mut batches = self.of.batches();
        if batches.last.len() == Progress::KEPT {
            batches.last.pop_front();
        }
        batches.last.push_back(self.progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hundred_batches_are_kept_newest_last() {
        let progress = Progress::default();
        for models in 0..250 {
            progress.begin(models, &Batch::default()).end();
        }
        let last = progress.last();
        let numbers: Vec<_> = last
            .iter()
            .map(|batch| (batch.batch, batch.models))
            .collect();
        let expected: Vec<_> = (150..250).map(|number| (number as u64, number)).collect();
        assert_eq!(numbers, expected);
    }
}
