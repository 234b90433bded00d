use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Content, Descriptor, Digest};
use protobufs::model_descriptor::ModelType;
use serving::{Batch, Delivery, ModelState, Outcomes, Scored, ServedModel};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::breaker::{Breaker, Levels};
use crate::caller::{Known, LONGEST, SHORTEST, Said, Scores};
use crate::protocol::Failure;

/// How long an open breaker stays open, at first and at last at most.
const OPEN_SHORTEST: Duration = Duration::from_millis(200);
const OPEN_LONGEST: Duration = Duration::from_secs(5);

/// How often the model server is asked whether a model is still, or by now, what it was.
const LOOK: Duration = Duration::from_secs(1);

/// Versions whose statistics are kept.
const MOST_VERSIONS: usize = 4;

/// The records of one data type on their way: those that wait for a request, and the requests, whose
/// outcomes leave in the order in which they were sent.
pub(crate) struct Lane {
    data_type: Arc<str>,
    /// The model's name on the server.
    pub(crate) model: String,
    pub(crate) known: Option<Rc<Known>>,
    pub(crate) breaker: Rc<Breaker>,
    waiting: VecDeque<Batch>,
    /// Records in there.
    pub(crate) records: usize,
    /// Since when the first of them waits.
    since: Instant,
    slots: VecDeque<Option<Vec<Outcomes>>>,
    /// The number of the first slot.
    first: u64,
    /// By version, of which there are rarely more than two at a time.
    states: BTreeMap<Option<i64>, ModelState>,
    /// How many versions there have been.
    versions: u64,
    /// The server is being asked for the model.
    pub(crate) looking: bool,
    look_at: Instant,
    /// Records have come after a while without any: what is known may be out of date.
    rested: bool,
    backoff: Backoff,
    /// Since when the server has said that there is no such model, and nothing else.
    missing: Option<Instant>,
    /// Records have come since the last look.
    used: bool,
    /// There is none: records leave without.
    absent: bool,
    /// Why there is no model, as it was logged last.
    complaint: String,
}

/// What all lanes have in common.
pub(crate) struct Terms {
    /// Records in a request, at most.
    pub(crate) size: NonZeroUsize,
    pub(crate) delay: Duration,
    /// Requests under way, at most.
    pub(crate) slots: usize,
    /// Records wait for a model that is not there.
    pub(crate) wait: bool,
    /// How long a model may be missing before there is none.
    pub(crate) patience: Duration,
    pub(crate) server: String,
    pub(crate) breakers: Rc<Levels>,
}

impl Lane {
    pub(crate) fn new(data_type: Arc<str>, model: String, terms: &Terms) -> Self {
        let now = Instant::now();
        let subject = format!("{}: the model `{model}`", terms.server);
        Self {
            data_type,
            model,
            known: None,
            breaker: Rc::new(Breaker::new(
                subject,
                OPEN_SHORTEST,
                OPEN_LONGEST,
                &terms.breakers,
            )),
            waiting: VecDeque::new(),
            records: 0,
            since: now,
            slots: VecDeque::new(),
            first: 0,
            states: BTreeMap::new(),
            versions: 0,
            looking: false,
            look_at: now,
            rested: false,
            backoff: Backoff::new(SHORTEST, LONGEST),
            missing: None,
            used: false,
            absent: false,
            complaint: String::new(),
        }
    }

    /// Takes records in.
    pub(crate) fn enter(&mut self, batch: Batch, terms: &Terms) {
        let now = Instant::now();
        if self.records == 0 {
            self.since = now;
        }
        self.rested |= self.is_idle() && now >= self.look_at + LOOK;
        self.records += batch.len();
        self.used = true;
        for part in batch.chunks(terms.size) {
            match self.waiting.back_mut() {
                Some(last) if last.len() + part.len() <= terms.size.get() => last.append(part),
                _ => self.waiting.push_back(part),
            }
        }
    }

    /// Drops what waits and was taken away with its partition.
    pub(crate) fn drop_taken_away(&mut self, delivery: &Delivery) {
        for batch in &mut self.waiting {
            delivery.drop_taken_away(batch);
        }
        self.waiting.retain(|batch| !batch.is_empty());
        self.records = self.waiting.iter().map(Batch::len).sum();
    }

    /// Whether more records are to be read for it. An open breaker stops reading, and so do records
    /// that wait for their turn. Those that wait for their model do not.
    pub(crate) fn takes(&self, terms: &Terms) -> bool {
        let known = self.known.as_ref();
        let flows = known.is_some_and(|known| !known.gone.get());
        let enough = flows && self.records >= terms.slots * terms.size.get();
        // Only a request closes the breaker.
        self.is_idle() || self.breaker.is_closed() && !enough
    }

    /// Whether nothing of it is left to do or to keep.
    pub(crate) fn is_idle(&self) -> bool {
        self.records == 0 && self.slots.is_empty() && !self.looking
    }

    /// Whether it can be forgotten: nobody knows whether there will ever be such a model.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.is_idle() && !self.used && self.known.is_none() && Instant::now() >= self.look_at
    }

    /// The records of the next request and the number of its slot, if one is to be sent now; else
    /// when to ask again, if the time decides. `share` requests may be under way at once.
    pub(crate) fn next(
        &mut self,
        share: usize,
        terms: &Terms,
    ) -> Result<(u64, Batch), Option<Instant>> {
        if self.known.is_none() || self.rested || self.slots.len() >= share || self.records == 0 {
            return Err(None);
        }
        let due = self.since + terms.delay;
        if self.records < terms.size.get() && Instant::now() < due {
            return Err(Some(due));
        }
        let batch = self.waiting.pop_front().ok_or(None)?;
        self.records -= batch.len();
        self.since = Instant::now();
        self.slots.push_back(None);
        Ok((self.first + self.slots.len() as u64 - 1, batch))
    }

    /// Whether the server is to be asked for the model now; else when.
    pub(crate) fn look(&self) -> Result<(), Option<Instant>> {
        // A model that nobody uses needs no look, unless it is about to be forgotten.
        let idle = self.records == 0 && self.slots.is_empty();
        if self.looking || idle && !self.used {
            return Err(None);
        }
        if Instant::now() < self.look_at {
            return Err(Some(self.look_at));
        }
        Ok(())
    }

    /// The server has said what the model is, or that there is none. Returns records that have no
    /// model and do not wait for one.
    pub(crate) fn looked(
        &mut self,
        found: Result<Rc<Known>, Failure>,
        terms: &Terms,
    ) -> Vec<Outcomes> {
        (self.looking, self.used, self.rested) = (false, false, false);
        let failure = match found {
            Ok(known) => {
                self.meet(known, terms);
                self.known.iter().for_each(|known| known.gone.set(false));
                self.backoff.reset();
                self.complaint.clear();
                (self.missing, self.absent) = (None, false);
                self.look_at = Instant::now() + LOOK;
                return Vec::new();
            }
            Err(failure) => failure,
        };
        if failure.reason() != self.complaint {
            failure.reason().clone_into(&mut self.complaint);
            tracing::warn!("the model `{}`: {}", self.model, self.complaint);
        }
        match failure {
            // Requests that are under way find out for themselves.
            _ if self.known.is_some() => self.look_at = Instant::now() + LOOK,
            // A server that has just been started may load its models while it answers, and what is
            // in front of it may refuse everything.
            Failure::NoModel(_) | Failure::Refused(_) => {
                let missing = *self.missing.get_or_insert_with(Instant::now);
                if !self.absent && missing.elapsed() >= terms.patience {
                    self.absent = true;
                    tracing::warn!(
                        "the model `{}`: from now on its records are without one (--on-no-model)",
                        self.model
                    );
                }
                self.look_at = Instant::now() + self.backoff.next();
            }
            Failure::Unavailable(_) | Failure::Unclear(_) => {
                (self.missing, self.absent) = (None, false);
                self.look_at = Instant::now() + self.backoff.next();
            }
        }
        self.leave_without(terms)
    }

    /// Records that have no model and do not wait for one, while it is known that there is none: the
    /// server said so a moment ago.
    pub(crate) fn leave_without(&mut self, terms: &Terms) -> Vec<Outcomes> {
        let out_of_date = self.looking || Instant::now() >= self.look_at;
        if self.known.is_some() || !self.absent || out_of_date || terms.wait {
            return Vec::new();
        }
        self.records = 0;
        let batches = std::mem::take(&mut self.waiting).into_iter();
        batches.map(|batch| Outcomes::new(batch, None)).collect()
    }

    /// Notes what the model is, unless that is known.
    fn meet(&mut self, known: Rc<Known>, terms: &Terms) {
        let before = self.known.as_ref();
        if before.is_some_and(|before| before.description == known.description) {
            return;
        }
        let version = known.description.version;
        self.state(version, terms);
        let shown = version.map_or_else(|| "unknown".to_owned(), |version| version.to_string());
        tracing::info!("the model `{}` is there, version {shown}", self.model);
        self.known = Some(known);
    }

    /// A request has ended. Returns what leaves now, in the order in which it was sent.
    pub(crate) fn done(
        &mut self,
        slot: u64,
        mut batch: Batch,
        scores: Scores,
        terms: &Terms,
    ) -> Vec<Outcomes> {
        let Scores { said, changed } = scores;
        if changed {
            self.look_at = Instant::now();
        }
        let mut parts = Vec::new();
        let mut said = said.into_iter().peekable();
        // Records that one version has scored together stay together.
        while let Some(first) = said.next() {
            let (version, took_ns) = (first.version, first.took_ns);
            let mut scores = vec![first.score];
            let alike = |next: &Said| next.version == version && next.took_ns == took_ns;
            while let Some(next) = said.next_if(alike) {
                scores.push(next.score);
            }
            let part = Outcomes::new(batch.take_first(scores.len()), None);
            let state = self.state(version, terms);
            let scored = Scored::now(Arc::clone(&state.model), took_ns, scores);
            state.count(part.records(), &scored);
            parts.push(part.scored_by(scored));
        }
        let place = usize::try_from(slot - self.first).unwrap_or(usize::MAX);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(parts);
        }
        let mut leaving = Vec::new();
        while let Some(Some(parts)) = self.slots.front_mut() {
            leaving.append(parts);
            self.slots.pop_front();
            self.first += 1;
        }
        leaving
    }

    /// The newest version, and how it has done.
    pub(crate) fn newest(&self) -> Option<ModelState> {
        let states = self.states.values();
        states.max_by_key(|state| state.model.sequence).cloned()
    }

    fn state(&mut self, version: Option<i64>, terms: &Terms) -> &mut ModelState {
        if !self.states.contains_key(&version) && self.states.len() >= MOST_VERSIONS {
            let states = self.states.iter();
            let oldest = states.min_by_key(|(_, state)| state.model.sequence);
            if let Some(oldest) = oldest.map(|(version, _)| *version) {
                self.states.remove(&oldest);
            }
        }
        self.states.entry(version).or_insert_with(|| {
            self.versions += 1;
            let version = version.map_or_else(String::new, |version| version.to_string());
            let descriptor = Descriptor {
                name: self.model.as_str().into(),
                description: format!("served by {}", terms.server).into(),
                data_type: Arc::clone(&self.data_type),
                model_type: ModelType::Tensorflowsaved,
                version: version.into(),
                content: Content::Bytes(Bytes::new()),
                // Nobody here has seen its bytes.
                digest: Digest([0; 32]),
                options: BTreeMap::new(),
            };
            ModelState::new(Arc::new(ServedModel::elsewhere(descriptor, self.versions)))
        })
    }
}
