use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kafka::OwnedMessage;
use model::Refusal;
use protobufs::ModelDescriptor;
use tokio::sync::mpsc;

use super::MOST_HELD;
use super::backlog::{Backlog, Candidate, Task};
use super::loader::{Loaded, Loader};
use crate::dead_letter::chain;
use crate::{Error, ServedModel, Shutdown};

/// Threads that load models, at most. More data types than this whose models take long to fetch
/// wait for each other.
const MOST_THREADS: usize = 16;
/// How often a wait looks whether it is to end.
const TICK: Duration = Duration::from_millis(100);

/// Loads models: those of one data type one after the other, those of several beside each other.
///
/// A model that cannot be fetched now is tried again, later and later, while others of its data
/// type are loaded; once a newer one was handed over, it no longer is.
pub(super) struct Loading {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    loader: Loader,
    retry_for: Duration,
    shutdown: Shutdown,
    state: Mutex<State>,
    /// Something is to be done, or was.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    by_type: BTreeMap<String, Backlog>,
    /// Data types of which what was found at start is being tried.
    settling: usize,
    /// Until when models may be fetched at start.
    deadline: Option<Instant>,
    /// Bytes of the messages that are held.
    held: usize,
    read: u64,
    handed_over: u64,
    /// The data type that had its turn.
    last: String,
    /// Threads that have nothing to do.
    idle: usize,
    closed: bool,
    output: Output,
}

/// Where models go.
enum Output {
    /// At start: the newest of each data type.
    Initial(BTreeMap<Arc<str>, Arc<ServedModel>>),
    /// To the strategy.
    Updates(mpsc::Sender<Arc<ServedModel>>),
}

impl Default for Output {
    fn default() -> Self {
        Self::Initial(BTreeMap::new())
    }
}

impl Loading {
    pub(super) fn new(loader: Loader, retry_for: Duration) -> Self {
        let shared = Shared {
            shutdown: loader.shutdown.clone(),
            loader,
            retry_for,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
            threads: Vec::new(),
        }
    }

    pub(super) fn loader(&self) -> &Loader {
        &self.shared.loader
    }

    /// Takes a message that was found at start, to be tried when it is known whether it is the
    /// newest: in [`Self::settle`]. Says whether that should be soon, because much is held.
    pub(super) fn find(&self, message: OwnedMessage, descriptor: ModelDescriptor) -> bool {
        let mut state = self.shared.state();
        let candidate = state.candidate(message, descriptor);
        state.backlog(&candidate).found.push(candidate);
        state.held > MOST_HELD
    }

    /// Per data type, tries what was found at start, the newest first, until one loads. Fetching
    /// ends after the time that one model may take: what could not be fetched by then is tried
    /// again while others serve.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        {
            let mut state = self.shared.state();
            state.deadline = Some(Instant::now() + self.shared.loader.locations.limits().timeout);
            let backlogs = state.by_type.values_mut();
            let settling = backlogs.filter(|backlog| !backlog.found.is_empty());
            let settling = settling.map(|backlog| backlog.settling = true).count();
            state.settling += settling;
        }
        self.employ()?;
        let mut state = self.shared.state();
        while state.settling > 0 && !self.shared.shutdown.is_requested() {
            state = self.shared.wait(state, TICK);
        }
        state.deadline = None;
        Ok(())
    }

    /// The models to begin with.
    pub(super) fn initial(&self) -> Vec<Arc<ServedModel>> {
        match &mut self.shared.state().output {
            Output::Initial(models) => std::mem::take(models).into_values().collect(),
            Output::Updates(_) => Vec::new(),
        }
    }

    /// From now on, models go to the strategy.
    pub(super) fn follow(&self, updates: &mpsc::Sender<Arc<ServedModel>>) {
        let late = {
            let mut state = self.shared.state();
            let updates = Output::Updates(updates.clone());
            std::mem::replace(&mut state.output, updates)
        };
        if let Output::Initial(models) = late {
            for model in models.into_values() {
                let _ = updates.blocking_send(model);
            }
        }
    }

    /// Takes a message that was read while the server runs. Waits while too much is held.
    pub(super) fn add(
        &mut self,
        message: OwnedMessage,
        descriptor: ModelDescriptor,
    ) -> Result<(), Error> {
        {
            let mut state = self.shared.state();
            let candidate = state.candidate(message, descriptor);
            state.backlog(&candidate).read.push_back(candidate);
        }
        self.employ()?;
        let mut state = self.shared.state();
        while state.held > MOST_HELD && !self.shared.shutdown.is_requested() {
            state = self.shared.wait(state, TICK);
        }
        Ok(())
    }

    /// Makes sure that there are threads for what is to be done.
    fn employ(&mut self) -> Result<(), Error> {
        let wanted = {
            let state = self.shared.state();
            let now = Instant::now();
            let tasks = state.by_type.values();
            let tasks = tasks.filter(|backlog| backlog.due(now).is_some_and(|due| due <= now));
            tasks.count().saturating_sub(state.idle)
        };
        let room = MOST_THREADS.saturating_sub(self.threads.len());
        for _ in 0..wanted.min(room) {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("model".to_owned());
            self.threads.push(thread.spawn(move || shared.work())?);
        }
        self.shared.changed.notify_all();
        Ok(())
    }
}

/// Ends the threads: they stop what they fetch, and finish what they create.
impl Drop for Loading {
    fn drop(&mut self) {
        self.shared.shutdown.request();
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl State {
    fn candidate(&mut self, message: OwnedMessage, descriptor: ModelDescriptor) -> Candidate {
        let candidate = Candidate::new(message, descriptor, self.read);
        self.read += 1;
        self.held += candidate.size();
        candidate
    }

    fn backlog(&mut self, candidate: &Candidate) -> &mut Backlog {
        let data_type = &candidate.descriptor.data_type;
        self.by_type.entry(data_type.clone()).or_default()
    }

    /// Something to do now, or when there will be. Data types take turns.
    fn take(&mut self, now: Instant) -> Result<(String, Task), Option<Instant>> {
        let last = (Bound::Excluded(&self.last), Bound::Unbounded);
        let turns = self.by_type.range::<String, _>(last);
        let turns = turns.chain(self.by_type.range::<String, _>(..=&self.last));
        let due = |(data_type, backlog): (&String, &Backlog)| {
            let due = backlog.due(now)?;
            Some((data_type.clone(), due))
        };
        let mut next = None;
        for (data_type, due) in turns.filter_map(due) {
            if due > now {
                next = Some(next.map_or(due, |next: Instant| next.min(due)));
                continue;
            }
            let backlog = self.by_type.entry(data_type.clone()).or_default();
            if let Some(task) = backlog.take(now) {
                backlog.busy = true;
                self.last.clone_from(&data_type);
                return Ok((data_type, task));
            }
            break;
        }
        Err(next)
    }
}

/// Asks for the end if a thread that loads models panics: without it there is no going on.
struct StopOnPanic(Shutdown);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.request();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The life of a thread.
    fn work(&self) {
        let _stop = StopOnPanic(self.shutdown.clone());
        let mut state = self.state();
        while !state.closed && !self.shutdown.is_requested() {
            let now = Instant::now();
            match state.take(now) {
                Err(due) => {
                    state.idle += 1;
                    state = match due {
                        Some(due) => self.wait(state, due.saturating_duration_since(now)),
                        None => self
                            .changed
                            .wait(state)
                            .unwrap_or_else(PoisonError::into_inner),
                    };
                    state.idle -= 1;
                }
                Ok((data_type, task)) => {
                    let deadline = state.deadline;
                    drop(state);
                    match task {
                        Task::Settle(found) => self.settle(&data_type, found, deadline),
                        Task::Load(candidate) => {
                            let outcome = self.load(&data_type, *candidate, None);
                            if let Outcome::Refused(refused) = outcome {
                                let (candidate, refusal) = *refused;
                                self.loader.refuse(&candidate.message, &refusal);
                            }
                        }
                    }
                    state = self.state();
                    if let Some(backlog) = state.by_type.get_mut(&data_type) {
                        backlog.busy = false;
                        if backlog.is_done() {
                            state.by_type.remove(&data_type);
                        }
                    }
                    self.changed.notify_all();
                }
            }
        }
    }

    /// Tries the newest first, until one loads; what was refused on the way is reported in the
    /// order of the topic. What is older is not tried.
    fn settle(&self, data_type: &str, mut found: Vec<Candidate>, deadline: Option<Instant>) {
        let mut refused = Vec::new();
        while let Some(candidate) = found.pop() {
            if self.shutdown.is_requested() {
                break;
            }
            match self.load(data_type, candidate, deadline) {
                Outcome::HandedOver => break,
                Outcome::Kept => {}
                Outcome::Refused(candidate) => refused.push(*candidate),
            }
        }
        for (candidate, refusal) in refused.iter().rev() {
            self.loader.refuse(&candidate.message, refusal);
        }
        let mut state = self.state();
        state.settling -= 1;
        for candidate in &found {
            state.held -= candidate.size();
        }
    }

    fn load(&self, data_type: &str, candidate: Candidate, deadline: Option<Instant>) -> Outcome {
        let descriptor = candidate.descriptor.clone();
        let offset = candidate.message.position.offset;
        match self.loader.load(descriptor, offset, deadline) {
            Ok(loaded) => {
                self.hand_over(data_type, &candidate, loaded);
                Outcome::HandedOver
            }
            Err(refusal) if refusal.is_transient() => {
                self.keep(data_type, candidate, refusal);
                Outcome::Kept
            }
            Err(refusal) => {
                self.state().held -= candidate.size();
                Outcome::Refused(Box::new((candidate, refusal)))
            }
        }
    }

    /// Hands a model over, unless a newer one was.
    fn hand_over(&self, data_type: &str, candidate: &Candidate, (descriptor, model): Loaded) {
        let mut state = self.state();
        state.held -= candidate.size();
        let backlog = state.by_type.entry(data_type.to_owned()).or_default();
        let Some(given_up) = backlog.hand_over(candidate.order) else {
            tracing::info!(
                model = &*descriptor.name,
                version = &*descriptor.version,
                data_type,
                "the model is discarded: a newer one was loaded meanwhile"
            );
            return;
        };
        for older in &given_up {
            state.held -= older.size();
            tracing::info!(
                model = older.descriptor.name,
                offset = older.message.position.offset,
                data_type,
                "the model is not tried again: a newer one is loaded"
            );
        }
        let sequence = state.handed_over;
        state.handed_over += 1;
        let model = Arc::new(ServedModel::new(descriptor, model, sequence));
        let updates = match &mut state.output {
            Output::Initial(models) => {
                models.insert(Arc::clone(&model.descriptor.data_type), model);
                return;
            }
            Output::Updates(updates) => updates.clone(),
        };
        drop(state);
        // The wait for a strategy that is busy is bounded by its own pace. One that has ended needs
        // no model.
        let _ = updates.blocking_send(model);
    }

    /// Keeps a model to try it again, for as long as that is to be done.
    fn keep(&self, data_type: &str, mut candidate: Candidate, refusal: Refusal) {
        if self.shutdown.is_requested() {
            // It comes again with the next start.
            return;
        }
        let now = Instant::now();
        let reason = chain(&refusal);
        let given_up = match candidate.fail(now, self.retry_for) {
            Some(wait) => {
                tracing::warn!(
                    model = candidate.descriptor.name,
                    offset = candidate.message.position.offset,
                    data_type,
                    again_in = ?wait,
                    "the model is tried again: {reason}"
                );
                let mut state = self.state();
                let backlog = state.by_type.entry(data_type.to_owned()).or_default();
                backlog.retry(candidate, refusal, now + wait)
            }
            None => Some((candidate, refusal)),
        };
        if let Some((candidate, refusal)) = given_up {
            self.state().held -= candidate.size();
            let reason = format!("{}; given up after {:?}", chain(&refusal), self.retry_for);
            self.loader
                .refuse_for(&candidate.message, &refusal, &reason);
        }
    }
}

/// What became of a model.
enum Outcome {
    /// It was loaded, and handed over if there was no newer one.
    HandedOver,
    /// It is tried again, or was given up.
    Kept,
    /// It never becomes one.
    Refused(Box<(Candidate, Refusal)>),
}
