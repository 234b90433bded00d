use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use kafka::Message;
use model::Record;

use crate::tracker::{Assigned, Ticket};

/// Batches whose memory waits to be used again.
const MOST_SPARE: usize = 16;
/// Records of a batch that is kept for its memory, at most, and bytes of their tensors.
const MOST_KEPT: usize = 10_000;
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Records that are on their way together, with the messages that they came in.
///
/// In order: those of a partition are in the order of their offsets. What is done with a batch is
/// the strategy's affair; a batch that is dropped instead of scored is not lost: it is not finished,
/// nobody commits past it, and it comes again.
#[derive(Default)]
pub struct Batch {
    pub(crate) records: Vec<Pending>,
    /// What the records came in. A batch that others were appended to has several.
    messages: Vec<Arc<kafka::Batch>>,
}

/// A record on its way from the source to its outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    pub(crate) record: Record,
    pub(crate) ticket: Ticket,
    /// Which of the batch's `messages` it came in, and where there.
    pub(crate) messages: u32,
    pub(crate) index: u32,
}

impl Batch {
    /// A batch of records that all came in these messages.
    pub(crate) fn new(records: Vec<Pending>, messages: Arc<kafka::Batch>) -> Self {
        Self {
            records,
            messages: vec![messages],
        }
    }

    /// How many records it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.records.iter().map(|pending| &pending.record)
    }

    /// The message that a record came in.
    pub(crate) fn message(&self, pending: &Pending) -> Option<Message<'_>> {
        self.messages
            .get(pending.messages as usize)?
            .get(pending.index as usize)
    }

    /// Takes away the first `count` records, or all if there are no more.
    #[must_use]
    pub fn take_first(&mut self, count: usize) -> Self {
        if count >= self.records.len() {
            return std::mem::take(self);
        }
        let rest = self.records.split_off(count);
        Self {
            records: std::mem::replace(&mut self.records, rest),
            messages: self.messages.clone(),
        }
    }

    /// The same records, in order, in batches of `size` at most.
    pub fn chunks(self, size: NonZeroUsize) -> impl Iterator<Item = Self> {
        let Self { records, messages } = self;
        let mut records = records.into_iter();
        std::iter::from_fn(move || {
            let records: Vec<_> = records.by_ref().take(size.get()).collect();
            let messages = messages.clone();
            (!records.is_empty()).then_some(Self { records, messages })
        })
    }

    /// Appends the records of another batch.
    pub fn append(&mut self, other: Self) {
        let before = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        self.messages.extend(other.messages);
        let mut records = other.records;
        records
            .iter_mut()
            .for_each(|pending| pending.messages = pending.messages.saturating_add(before));
        self.records.append(&mut records);
    }

    /// The same records in batches of one data type each; the order within a data type is kept.
    #[must_use]
    pub fn by_data_type(self) -> Vec<(Arc<str>, Self)> {
        let Some(first) = self
            .records
            .first()
            .map(|pending| &pending.record.data_type)
        else {
            return Vec::new();
        };
        // The usual batch has one data type, and is handed on as it is.
        let same = |other: &Arc<str>| Arc::ptr_eq(first, other) || first == other;
        if self.records.iter().all(|p| same(&p.record.data_type)) {
            return vec![(Arc::clone(first), self)];
        }
        let mut groups: Vec<(Arc<str>, Self)> = Vec::new();
        let mut index = HashMap::new();
        for pending in self.records {
            let data_type = Arc::clone(&pending.record.data_type);
            let group = *index.entry(Arc::clone(&data_type)).or_insert_with(|| {
                let messages = self.messages.clone();
                let records = Vec::new();
                groups.push((data_type, Self { records, messages }));
                groups.len() - 1
            });
            groups[group].1.records.push(pending);
        }
        groups
    }

    /// Where the records end: per partition, the offset after the last one.
    #[must_use]
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        let positions = self.records.iter().filter_map(|p| self.message(p));
        let ends = positions.map(|message| {
            let position = message.position;
            (position.partition, position.offset.saturating_add(1))
        });
        ends.collect()
    }

    /// Drops the records that are not ours any more.
    pub(crate) fn retain(&mut self, assigned: &Assigned) {
        self.records
            .retain(|pending| assigned.holds(pending.ticket));
    }
}

/// The memory of batches that have gone their way: a record keeps room for its values.
#[derive(Clone, Default)]
pub(crate) struct Spares(Arc<Mutex<Vec<Vec<Pending>>>>);

impl Spares {
    /// Keeps the memory of a batch that nobody needs any more.
    pub(crate) fn put(&self, mut batch: Batch) {
        let records = &mut batch.records;
        if records.len() > MOST_KEPT
            || records.iter_mut().map(|p| p.record.trim()).sum::<usize>() > MOST_BYTES
        {
            return;
        }
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < MOST_SPARE {
            spares.push(batch.records);
        }
    }

    /// Records to be overwritten, as many as there happen to be.
    pub(crate) fn take(&self) -> Vec<Pending> {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spares.pop().unwrap_or_default()
    }
}
