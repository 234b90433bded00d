use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::{Record, Score, ScoreError};

use crate::tracker::Tracker;
use crate::{Batch, ModelState, Scored, Scorer, ServedModel};

/// What scores the records of one data type: the scorer, and the records that wait for its first
/// model.
///
/// It belongs to one thread. Every strategy has operators; strategies differ in where they stand
/// and how records and models get to them.
pub struct Operator {
    scorer: Scorer,
    /// Where records wait for a model, if they are to.
    waiting_room: Option<WaitingRoom>,
}

struct WaitingRoom {
    tracker: Arc<Tracker>,
    batches: VecDeque<Batch>,
}

/// What became of a batch of one data type: on its way to [`Delivery`](crate::Delivery).
pub struct Outcomes {
    pub(crate) batch: Batch,
    /// `None`: there was no model.
    pub(crate) scored: Option<Scored>,
}

impl Outcomes {
    /// What became of records of one data type that an [`Operator`] has not scored: a score for each,
    /// or nothing where there is no model.
    #[must_use]
    pub fn new(batch: Batch, scored: Option<Scored>) -> Self {
        Self { batch, scored }
    }

    /// The same records, with scores.
    #[must_use]
    pub fn scored_by(self, scored: Scored) -> Self {
        Self {
            scored: Some(scored),
            ..self
        }
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.batch.records()
    }

    /// Each record with what the model says of it, in order; nothing if there was no model.
    pub fn scores(&self) -> impl Iterator<Item = (&Record, &Result<Score, ScoreError>)> {
        let scores = self.scored.iter().flat_map(|scored| &scored.scores);
        self.batch.records().zip(scores)
    }

    /// The model that scored them, if there was one.
    #[must_use]
    pub fn model(&self) -> Option<&ServedModel> {
        self.scored.as_ref().map(|scored| &*scored.model)
    }
}

impl Operator {
    /// Takes a new model: it scores from the next record on, and the records that wait for one at
    /// once.
    #[must_use = "outcomes are to be delivered"]
    pub fn stage(&mut self, model: Arc<ServedModel>) -> Vec<Outcomes> {
        self.scorer.stage(model);
        let Some(room) = &mut self.waiting_room else {
            return Vec::new();
        };
        let batches = room.leave();
        batches
            .into_iter()
            .map(|batch| self.outcomes(batch))
            .collect()
    }

    /// Scores records of this data type, in order, with one model. No outcomes: they wait for one.
    #[must_use = "outcomes are to be delivered"]
    pub fn score(&mut self, batch: Batch) -> Option<Outcomes> {
        if !self.scorer.has_model()
            && let Some(room) = &mut self.waiting_room
        {
            room.enter(batch);
            return None;
        }
        Some(self.outcomes(batch))
    }

    fn outcomes(&mut self, batch: Batch) -> Outcomes {
        let records: Vec<&Record> = batch.records().collect();
        let scored = self.scorer.score(&records);
        Outcomes { batch, scored }
    }

    /// The model that serves, and how it has done; nothing before the first one.
    #[must_use]
    pub fn state(&self) -> Option<ModelState> {
        self.scorer.state()
    }
}

impl WaitingRoom {
    fn enter(&mut self, batch: Batch) {
        self.drop_what_was_taken_away();
        for pending in &batch.records {
            self.tracker.keep(pending.ticket);
        }
        self.batches.push_back(batch);
    }

    fn leave(&mut self) -> VecDeque<Batch> {
        self.drop_what_was_taken_away();
        let batches = std::mem::take(&mut self.batches);
        for pending in batches.iter().flat_map(|batch| &batch.records) {
            self.tracker.resume(pending.ticket);
        }
        batches
    }

    /// What was taken away with its partition waits with its new owner.
    fn drop_what_was_taken_away(&mut self) {
        let assigned = self.tracker.assigned();
        self.batches
            .iter_mut()
            .for_each(|batch| batch.retain(&assigned));
        self.batches.retain(|batch| !batch.is_empty());
    }
}

/// An operator for each data type that has had a model, or whose records wait for one.
///
/// It belongs to one thread, and makes operators, and sets of them, for others.
pub struct Operators {
    tracker: Arc<Tracker>,
    wait_for_models: bool,
    by_data_type: BTreeMap<Arc<str>, Operator>,
    /// For records whose data type has no model and that nobody waits with: data types come from
    /// outside, so they get no operator before they get a model.
    unserved: Operator,
}

impl Operators {
    pub(crate) fn new(tracker: Arc<Tracker>, wait_for_models: bool) -> Self {
        Self {
            unserved: Self::make(&tracker, wait_for_models),
            by_data_type: BTreeMap::new(),
            tracker,
            wait_for_models,
        }
    }

    fn make(tracker: &Arc<Tracker>, wait_for_models: bool) -> Operator {
        let room = || WaitingRoom {
            tracker: Arc::clone(tracker),
            batches: VecDeque::new(),
        };
        Operator {
            scorer: Scorer::default(),
            waiting_room: wait_for_models.then(room),
        }
    }

    /// An operator of its own, without a model.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Self::make(&self.tracker, self.wait_for_models)
    }

    /// Another set, without models: for another thread.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::new(Arc::clone(&self.tracker), self.wait_for_models)
    }

    /// Whether records wait for the first model of their data type, each in its operator.
    #[must_use]
    pub fn wait_for_models(&self) -> bool {
        self.wait_for_models
    }

    /// Hands a model to the operator of its data type: [`Operator::stage`].
    #[must_use = "outcomes are to be delivered"]
    pub fn stage(&mut self, model: Arc<ServedModel>) -> Vec<Outcomes> {
        let data_type = Arc::clone(&model.descriptor.data_type);
        self.at(&data_type).stage(model)
    }

    /// Hands records to the operators of their data types: [`Operator::score`].
    #[must_use = "outcomes are to be delivered"]
    pub fn score(&mut self, batch: Batch) -> Vec<Outcomes> {
        let score = |(data_type, batch): (Arc<str>, Batch)| {
            if self.wait_for_models || self.by_data_type.contains_key(&data_type) {
                self.at(&data_type).score(batch)
            } else {
                self.unserved.score(batch)
            }
        };
        batch.by_data_type().into_iter().filter_map(score).collect()
    }

    /// The states of all data types that have a model.
    #[must_use]
    pub fn states(&self) -> Vec<ModelState> {
        let operators = self.by_data_type.values();
        operators.filter_map(Operator::state).collect()
    }

    fn at(&mut self, data_type: &Arc<str>) -> &mut Operator {
        let (tracker, wait) = (&self.tracker, self.wait_for_models);
        self.by_data_type
            .entry(Arc::clone(data_type))
            .or_insert_with(|| Self::make(tracker, wait))
    }
}
