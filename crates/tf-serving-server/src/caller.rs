use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Detail, Element, Feed, Port, Record, Schema, Score, ScoreError, Signature, Tensor};
use serving::{Counter, Gauge};
use tokio::sync::Semaphore;

use crate::backoff::Backoff;
use crate::breaker::Breaker;
use crate::protocol::{Answer, Description, Failure, Protocol, USUAL_SIGNATURE};

/// How often a request is sent, at most, that gets something which is no answer, while others get
/// theirs.
const MOST_UNCLEAR: u32 = 5;
/// The same where there is nothing at all, or the server says that it is busy.
const MOST_UNAVAILABLE: u32 = 20;
/// How often the model may change, at most, while the same records are scored.
const MOST_CHANGES: u32 = 10;
/// The pauses between two tries, at first and at last at most.
pub(crate) const SHORTEST: Duration = Duration::from_millis(50);
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

/// What all requests to a model server have in common.
pub(crate) struct Caller {
    pub(crate) protocol: Box<dyn Protocol>,
    /// A permit for each request that may be under way.
    pub(crate) permits: Semaphore,
    pub(crate) timeout: Duration,
    /// The one input of every model, where the server is not to be asked.
    pub(crate) input: Option<String>,
    /// The signature that is asked for, if one is.
    pub(crate) signature: Option<String>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) detail: Detail,
    pub(crate) requests: Counter,
    pub(crate) retries: Counter,
    pub(crate) in_flight: Gauge,
}

/// A model that is known to be there.
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) description: Description,
    signature: Signature,
    breaker: Rc<Breaker>,
    /// The server says that it is not there, for now.
    pub(crate) gone: Cell<bool>,
    example: OnceCell<Example>,
}

/// A request that the model has answered, and so will answer again while it is well.
struct Example {
    inputs: Vec<(String, Tensor)>,
    rows: usize,
}

/// What became of a record.
pub(crate) struct Said {
    pub(crate) score: Result<Score, ScoreError>,
    /// The version that scored it, as far as it is known.
    pub(crate) version: Option<i64>,
    /// What the request took, in nanoseconds, of which each record has the same part.
    pub(crate) took_ns: u64,
}

/// What became of the records of a request.
pub(crate) struct Scores {
    pub(crate) said: Vec<Said>,
    /// The model turned out to be another one than was known.
    pub(crate) changed: bool,
}

/// The model is another one than was known.
struct Changed(Rc<Known>);

/// Records that are scored by a model, which may be another one before that is done.
struct Scoring<'a> {
    caller: &'a Caller,
    known: &'a Rc<Known>,
    /// How often it may change yet.
    changes: u32,
    said: Vec<Said>,
}

/// What has become of a request so far.
#[derive(Default)]
struct Tries {
    unclear: u32,
    unavailable: u32,
}

impl Tries {
    fn is_last_unclear(&self) -> bool {
        self.unclear + 1 == MOST_UNCLEAR
    }

    fn is_many_unavailable(&self) -> bool {
        (self.unavailable + 1).is_multiple_of(MOST_UNAVAILABLE)
    }
}

/// Counts a request while it is under way.
struct UnderWay<'a>(&'a Gauge);

impl<'a> UnderWay<'a> {
    fn begin(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Caller {
    /// Looks a model up, once: what was known before, if that is still right.
    pub(crate) async fn look(
        &self,
        name: &str,
        breaker: &Rc<Breaker>,
        before: Option<&Rc<Known>>,
    ) -> Result<Rc<Known>, Failure> {
        let description = self.describe(name, breaker).await?;
        if let Some(before) = before.filter(|known| known.description == description) {
            return Ok(Rc::clone(before));
        }
        let (inputs, outputs) = (&description.inputs, &description.outputs);
        let signature = Signature::new(inputs, outputs, &self.schema, self.detail);
        Ok(Rc::new(Known {
            name: name.to_owned(),
            signature: signature.map_err(|refusal| Failure::Refused(refusal.to_string()))?,
            description,
            breaker: Rc::clone(breaker),
            gone: Cell::default(),
            example: OnceCell::new(),
        }))
    }

    /// Asks once what a model takes and says.
    async fn describe(&self, model: &str, breaker: &Breaker) -> Result<Description, Failure> {
        let Some(input) = &self.input else {
            let request = self.protocol.describe(model);
            return self.attempt(breaker, None, request).await;
        };
        let usual = || USUAL_SIGNATURE.to_owned();
        Ok(Description {
            version: None,
            signature: self.signature.clone().unwrap_or_else(usual),
            inputs: vec![Port {
                name: input.clone(),
                shape: vec![None, None],
                element: Element::Float,
            }],
            outputs: Vec::new(),
        })
    }

    /// Has records scored, in order.
    ///
    /// What the server refuses may have been made for a model that is there no more. So before a
    /// record is given up the model is looked up, and where it has changed all is done again.
    pub(crate) async fn score(&self, known: &Rc<Known>, records: &[&Record]) -> Scores {
        let mut newer: Option<Rc<Known>> = None;
        let mut changes = MOST_CHANGES;
        loop {
            let scoring = Scoring {
                caller: self,
                known: newer.as_ref().unwrap_or(known),
                changes,
                said: Vec::with_capacity(records.len()),
            };
            match scoring.run(records).await {
                Ok(said) => {
                    let changed = newer.is_some();
                    return Scores { said, changed };
                }
                Err(Changed(model)) => newer = Some(model),
            }
            changes -= 1;
        }
    }

    /// Sends a request until it is answered, or turns out to be one that is not.
    async fn exchange(&self, known: &Known, feed: &mut Feed) -> Result<Reply, String> {
        let rows = feed.len();
        let mut backoff = Backoff::new(SHORTEST, LONGEST);
        let mut tries = Tries::default();
        loop {
            let inputs: Vec<_> = feed.tensors().collect();
            let predicted = self
                .protocol
                .predict(&known.name, &known.description, inputs, rows);
            let mut took = Duration::ZERO;
            let answer = self.attempt(&known.breaker, Some((known, &tries)), async {
                let started = Instant::now();
                let answer = predicted.await?;
                took = started.elapsed();
                check(known, &answer, rows)?;
                Ok(answer)
            });
            match answer.await {
                Ok(answer) => {
                    known.gone.set(false);
                    known.example.get_or_init(|| Example::of(feed));
                    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    let took_ns = took / rows.max(1) as u64;
                    return Ok(Reply { answer, took_ns });
                }
                Err(Failure::Refused(reason)) => return Err(reason),
                Err(Failure::Unclear(reason)) => {
                    if tries.is_last_unclear() {
                        return Err(reason);
                    }
                    tries.unclear += 1;
                }
                Err(Failure::NoModel(reason)) => {
                    if !known.gone.replace(true) {
                        tracing::warn!("{}: waiting for the model: {reason}", known.name);
                    }
                }
                Err(Failure::Unavailable(_)) => tries.unavailable += 1,
            }
            self.retries.inc();
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// One request to a model, when it may be sent.
    ///
    /// Where it matters whether a failure has its reasons in the request or in the server, the server
    /// is asked something that it has answered before.
    async fn attempt<T>(
        &self,
        breaker: &Breaker,
        known: Option<(&Known, &Tries)>,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let (pass, _permit) = loop {
            let pass = breaker.pass().await;
            // The semaphore is never closed.
            let permit = self.permits.acquire().await;
            if pass.probes || breaker.is_closed() {
                break (pass, permit);
            }
        };
        let failure = match self.in_time(request).await {
            Err(failure) if !matches!(failure, Failure::NoModel(_)) => failure,
            // It works.
            answer => {
                breaker.succeeded();
                return answer;
            }
        };
        let matters = |tries: &Tries| match &failure {
            Failure::Unclear(_) => tries.is_last_unclear() || breaker.is_at_stake(pass),
            Failure::Unavailable(_) => tries.is_many_unavailable(),
            Failure::Refused(_) => true,
            Failure::NoModel(_) => false,
        };
        let well = match known.filter(|(_, tries)| matters(tries)) {
            Some((known, _)) => self.is_well(known).await,
            None => None,
        };
        match (well, failure) {
            (Some(true), Failure::Unavailable(reason)) => {
                breaker.succeeded();
                Err(Failure::Refused(reason))
            }
            (Some(true), failure) | (None, failure @ Failure::Refused(_)) => {
                breaker.succeeded();
                Err(failure)
            }
            (None, failure) => {
                breaker.failed(pass, failure.reason());
                Err(failure)
            }
            (Some(false), failure) => {
                breaker.failed(pass, failure.reason());
                Err(Failure::Unavailable(failure.reason().to_owned()))
            }
        }
    }

    /// Whether the server answers what it has answered before, if it has, or has reason not to: the
    /// model is another one.
    async fn is_well(&self, known: &Known) -> Option<bool> {
        let Example { inputs, rows } = known.example.get()?;
        let inputs = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let predicted =
            self.protocol
                .predict(&known.name, &known.description, inputs.collect(), *rows);
        let checked = async { check(known, &predicted.await?, *rows) };
        if self.in_time(checked).await.is_ok() {
            return Some(true);
        }
        if self.input.is_some() {
            return Some(false);
        }
        let described = self.in_time(self.protocol.describe(&known.name)).await;
        Some(described.is_ok_and(|description| description != known.description))
    }

    /// The model, if it is another one by now. Waits for a server that is away.
    async fn changed(&self, known: &Rc<Known>) -> Option<Rc<Known>> {
        let mut backoff = Backoff::new(SHORTEST, LONGEST);
        let mut unclear = 0;
        loop {
            match self.look(&known.name, &known.breaker, Some(known)).await {
                Ok(found) => return Some(found).filter(|found| !Rc::ptr_eq(found, known)),
                Err(Failure::Refused(_)) => return None,
                Err(Failure::Unclear(_)) => unclear += 1,
                Err(Failure::Unavailable(_) | Failure::NoModel(_)) => {}
            }
            if unclear == MOST_UNCLEAR {
                return None;
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn in_time<T>(
        &self,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let _under_way = UnderWay::begin(&self.in_flight);
        self.requests.inc();
        let sent = Instant::now();
        let answer = tokio::time::timeout(self.timeout, request).await;
        answer.unwrap_or_else(|_| {
            self.protocol.timed_out(sent);
            let reason = format!("no answer within {:?}", self.timeout);
            Err(Failure::Unavailable(reason))
        })
    }
}

impl Scoring<'_> {
    async fn run(mut self, records: &[&Record]) -> Result<Vec<Said>, Changed> {
        let mut feed = self.known.signature.feed();
        // Since the last request: whether the record is in the next one, or why not.
        let mut waiting: Vec<(&Record, Option<ScoreError>)> = Vec::new();
        for record in records {
            let mut pushed = feed.push(record);
            if matches!(pushed, Ok(false)) {
                self.send(feed, &mut waiting).await?;
                feed = self.known.signature.feed();
                pushed = feed.push(record);
            }
            waiting.push((record, pushed.err()));
        }
        self.send(feed, &mut waiting).await?;
        Ok(self.said)
    }

    /// Sends the records that wait. Where the server does not take them together, each is sent alone,
    /// so that one that is bad does not fail its neighbours.
    async fn send(
        &mut self,
        mut feed: Feed,
        waiting: &mut Vec<(&Record, Option<ScoreError>)>,
    ) -> Result<(), Changed> {
        let rows = feed.len();
        let together = match rows {
            0 => Err(String::new()),
            _ => self.caller.exchange(self.known, &mut feed).await,
        };
        let mut row = 0;
        for (record, unfit) in waiting.drain(..) {
            if let Some(error) = unfit {
                self.give_up(error).await?;
                continue;
            }
            match &together {
                Ok(reply) => self.said.push(reply.of(self.known, row, rows)),
                Err(_) if rows > 1 => {
                    let mut feed = self.known.signature.feed();
                    let pushed = feed.push(record);
                    let mut alone = vec![(record, pushed.err())];
                    Box::pin(self.send(feed, &mut alone)).await?;
                }
                Err(reason) => {
                    let error = ScoreError::Elsewhere(reason.as_str().into());
                    self.give_up(error).await?;
                }
            }
            row += 1;
        }
        Ok(())
    }

    /// The record has no score, unless the model is another one by now.
    async fn give_up(&mut self, error: ScoreError) -> Result<(), Changed> {
        if self.changes > 0
            && let Some(newer) = self.caller.changed(self.known).await
        {
            return Err(Changed(newer));
        }
        self.said.push(Said {
            score: Err(error),
            version: self.known.description.version,
            took_ns: 0,
        });
        Ok(())
    }
}

/// Whether every output is what was described, with a row for each record.
fn check(known: &Known, answer: &Answer, rows: usize) -> Result<(), Failure> {
    let unclear = |what: String| Err(Failure::Unclear(what));
    if answer.outputs.is_empty() {
        return unclear("an answer without outputs".to_owned());
    }
    let rows = known.signature.takes_batches().then_some(rows);
    let mut described = known.description.outputs.iter();
    for output in &answer.outputs {
        let shape = &output.shape;
        if rows.is_some_and(|rows| shape.first() != Some(&rows)) {
            return unclear(format!(
                "an output has the shape {shape:?} for {rows:?} records"
            ));
        }
        let Some(port) = described.next() else {
            continue;
        };
        let element = output.data.element();
        if element != port.element {
            let Port {
                name,
                element: described,
                ..
            } = port;
            return unclear(format!("the output `{name}` is {element}, not {described}"));
        }
        // How many axes there are may differ: an axis of one is left out now and then.
        let axes = usize::from(rows.is_some());
        let volume = |lengths: &[usize]| {
            let mut lengths = lengths.iter();
            lengths.try_fold(1_usize, |volume, n| volume.checked_mul(*n))
        };
        let lengths = port.shape.get(axes..).unwrap_or_default();
        let lengths: Option<Vec<usize>> = lengths.iter().copied().collect();
        let found = volume(shape.get(axes..).unwrap_or_default());
        if lengths.is_some_and(|lengths| volume(&lengths) != found) {
            let Port {
                name,
                shape: described,
                ..
            } = port;
            return unclear(format!(
                "the output `{name}` has the shape {shape:?}, not {described:?}"
            ));
        }
    }
    Ok(())
}

struct Reply {
    answer: Answer,
    took_ns: u64,
}

impl Reply {
    fn of(&self, known: &Known, row: usize, rows: usize) -> Said {
        Said {
            score: known.signature.score(&self.answer.outputs, row, rows),
            version: self.answer.version.or(known.description.version),
            took_ns: self.took_ns,
        }
    }
}

impl Example {
    fn of(feed: &mut Feed) -> Self {
        let rows = feed.len();
        let inputs = feed.tensors();
        Self {
            inputs: inputs
                .map(|(name, t)| (name.to_owned(), t.clone()))
                .collect(),
            rows,
        }
    }
}
