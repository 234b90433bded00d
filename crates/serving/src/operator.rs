use std::collections::VecDeque;
use std::sync::Arc;

use configuration::OnNoModel;
use model::Record;

use crate::{DeadLetterKind, Delivery, ModelState, Outcome, Pending, Scorer, ServedModel};

/// Records that waited and are scored in one go at most.
const BATCH: usize = 1_000;

/// What scores the records of one data type: the scorer, the records that wait for its first
/// model, and the way out for its outcomes.
///
/// It belongs to one thread. Every strategy has operators; strategies differ in where they stand
/// and how records and models get to them.
pub struct Operator {
    scorer: Scorer,
    delivery: Delivery,
    on_no_model: OnNoModel,
    waiting: VecDeque<Pending>,
    outcomes: Vec<Outcome>,
}

impl Operator {
    pub(crate) fn new(delivery: Delivery, on_no_model: OnNoModel) -> Self {
        Self {
            scorer: Scorer::default(),
            delivery,
            on_no_model,
            waiting: VecDeque::new(),
            outcomes: Vec::new(),
        }
    }

    /// Takes a new model: it scores from the next record on, and the records that wait for one at
    /// once.
    pub fn stage(&mut self, model: Arc<ServedModel>) {
        self.scorer.stage(model);
        let delivery = &self.delivery;
        self.waiting.retain(|pending| delivery.is_ours(pending));
        let waiting: Vec<_> = self.waiting.drain(..).collect();
        waiting
            .iter()
            .for_each(|pending| self.delivery.resume(pending));
        for batch in waiting.chunks(BATCH) {
            self.score(batch);
        }
    }

    /// Scores records of this data type, in order, with one model, and delivers the outcomes.
    pub fn process(&mut self, records: Vec<Pending>) {
        if self.scorer.has_model() {
            self.score(&records);
            return;
        }
        match self.on_no_model {
            OnNoModel::Drop => self.score(&records),
            OnNoModel::Wait => self.keep(records),
            OnNoModel::DeadLetter => {
                for pending in &records {
                    let data_type = &pending.record.data_type;
                    let reason = format!("there is no model for the data type `{data_type}`");
                    self.delivery.no_model(pending, &reason);
                }
            }
        }
    }

    fn score(&mut self, records: &[Pending]) {
        let scored: Vec<&Record> = records.iter().map(|pending| &pending.record).collect();
        self.scorer.score(&scored, &mut self.outcomes);
        for (pending, outcome) in records.iter().zip(self.outcomes.drain(..)) {
            self.delivery.deliver(pending, outcome);
        }
    }

    fn keep(&mut self, records: Vec<Pending>) {
        // What was taken away with its partition waits with its new owner.
        let delivery = &self.delivery;
        self.waiting.retain(|pending| delivery.is_ours(pending));
        for pending in &records {
            self.delivery.keep(pending);
        }
        self.waiting.extend(records);
    }

    /// The model that serves, and how it has done; nothing before the first one.
    #[must_use]
    pub fn state(&self) -> Option<ModelState> {
        self.scorer.state().map(|state| ModelState::of(&state))
    }
}

impl Delivery {
    fn no_model(&self, pending: &Pending, reason: &str) {
        self.count_no_model();
        self.dead_letter(pending, DeadLetterKind::NoModel, reason);
    }
}

/// Records in groups of one data type each; the order within a data type is kept.
pub fn by_data_type(records: Vec<Pending>) -> Vec<(Arc<str>, Vec<Pending>)> {
    let same = |a: &Pending, b: &Pending| a.record.data_type == b.record.data_type;
    // The usual batch has one data type, and is handed on as it is.
    if let Some(first) = records
        .first()
        .filter(|first| records.iter().all(|r| same(first, r)))
    {
        return vec![(Arc::clone(&first.record.data_type), records)];
    }
    let mut groups: Vec<(Arc<str>, Vec<Pending>)> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for pending in records {
        let data_type = Arc::clone(&pending.record.data_type);
        let group = *index.entry(Arc::clone(&data_type)).or_insert_with(|| {
            groups.push((data_type, Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push(pending);
    }
    groups
}
