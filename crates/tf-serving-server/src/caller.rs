use std::cell::Cell;
use std::time::{Duration, Instant};

use model::{Element, Feed, Port, Record, Score, ScoreError, Signature};
use serving::{Counter, Gauge};
use tokio::sync::Semaphore;

use crate::backoff::Backoff;
use crate::breaker::Breaker;
use crate::protocol::{Answer, Description, Failure, Protocol, USUAL_SIGNATURE};

/// How often a request is sent, at most, that gets something which is no answer.
const MOST_UNCLEAR: u32 = 5;
/// The pauses between two tries, at first and at last at most.
pub(crate) const SHORTEST: Duration = Duration::from_millis(50);
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

/// What all requests to a model server have in common.
pub(crate) struct Caller {
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) breaker: Breaker,
    /// A permit for each request that may be under way.
    pub(crate) permits: Semaphore,
    pub(crate) timeout: Duration,
    /// The one input of every model, where the server is not to be asked.
    pub(crate) input: Option<String>,
    /// The signature that is asked for, if one is.
    pub(crate) signature: Option<String>,
    pub(crate) requests: Counter,
    pub(crate) retries: Counter,
    pub(crate) in_flight: Gauge,
}

/// A model that is known to be there.
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) description: Description,
    pub(crate) signature: Signature,
    /// The server says that it is not there, for now.
    pub(crate) gone: Cell<bool>,
}

/// What became of a record.
pub(crate) struct Said {
    pub(crate) score: Result<Score, ScoreError>,
    /// The version that scored it, as far as it is known.
    pub(crate) version: Option<i64>,
    /// What the request took, in nanoseconds, of which each record has the same part.
    pub(crate) took_ns: u64,
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
    /// Asks once what a model takes and says.
    pub(crate) async fn describe(&self, model: &str) -> Result<Description, Failure> {
        let Some(input) = &self.input else {
            return self.attempt(self.protocol.describe(model)).await;
        };
        Ok(Description {
            version: None,
            signature: self
                .signature
                .clone()
                .unwrap_or_else(|| USUAL_SIGNATURE.to_owned()),
            inputs: vec![Port {
                name: input.clone(),
                shape: vec![None, None],
                element: Element::Float,
            }],
            outputs: Vec::new(),
        })
    }

    /// Has records scored, in order.
    pub(crate) async fn score(&self, known: &Known, records: &[&Record]) -> Vec<Said> {
        let mut said = Vec::with_capacity(records.len());
        let mut feed = known.signature.feed();
        // Since the last request: whether the record is in the next one, or why not.
        let mut waiting: Vec<(&Record, Option<ScoreError>)> = Vec::new();
        for record in records {
            let mut pushed = feed.push(record);
            if matches!(pushed, Ok(false)) {
                self.send(known, feed, &mut waiting, &mut said).await;
                feed = known.signature.feed();
                pushed = feed.push(record);
            }
            waiting.push((record, pushed.err()));
        }
        self.send(known, feed, &mut waiting, &mut said).await;
        said
    }

    /// Sends the records that wait. Where the server does not take them together, each is sent alone,
    /// so that one that is bad does not fail its neighbours.
    async fn send(
        &self,
        known: &Known,
        mut feed: Feed,
        waiting: &mut Vec<(&Record, Option<ScoreError>)>,
        said: &mut Vec<Said>,
    ) {
        let rows = feed.len();
        let together = match rows {
            0 => Err(String::new()),
            _ => self.exchange(known, &mut feed).await,
        };
        let mut row = 0;
        for (record, unfit) in waiting.drain(..) {
            if let Some(error) = unfit {
                said.push(known.failed(error));
                continue;
            }
            said.push(match &together {
                Ok(reply) => reply.of(known, row, rows),
                Err(_) if rows > 1 => self.alone(known, record).await,
                Err(reason) => known.failed(ScoreError::Elsewhere(reason.as_str().into())),
            });
            row += 1;
        }
    }

    async fn alone(&self, known: &Known, record: &Record) -> Said {
        let mut feed = known.signature.feed();
        if let Err(error) = feed.push(record) {
            return known.failed(error);
        }
        match self.exchange(known, &mut feed).await {
            Ok(reply) => reply.of(known, 0, 1),
            Err(reason) => known.failed(ScoreError::Elsewhere(reason.into())),
        }
    }

    /// Sends a request until it is answered, or refused for good.
    async fn exchange(&self, known: &Known, feed: &mut Feed) -> Result<Reply, String> {
        let rows = feed.len();
        let mut backoff = Backoff::new(SHORTEST, LONGEST);
        let mut unclear = 0;
        loop {
            let inputs: Vec<_> = feed.tensors().collect();
            let predicted = self
                .protocol
                .predict(&known.name, &known.description, inputs, rows);
            let mut took = Duration::ZERO;
            let answer = self.attempt(async {
                let started = Instant::now();
                let answer = predicted.await?;
                took = started.elapsed();
                check(known, &answer, rows)?;
                Ok(answer)
            });
            match answer.await {
                Ok(answer) => {
                    known.gone.set(false);
                    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    let took_ns = took / rows.max(1) as u64;
                    return Ok(Reply { answer, took_ns });
                }
                Err(Failure::Refused(reason)) => return Err(reason),
                Err(Failure::Unclear(reason)) => {
                    unclear += 1;
                    if unclear == MOST_UNCLEAR {
                        return Err(reason);
                    }
                }
                Err(Failure::NoModel(reason)) => {
                    if !known.gone.replace(true) {
                        tracing::warn!("{}: waiting for the model: {reason}", known.name);
                    }
                }
                Err(Failure::Unavailable(_)) => {}
            }
            self.retries.inc();
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// One request, when it may be sent.
    async fn attempt<T>(
        &self,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        self.breaker.pass().await;
        let answer = {
            let _under_way = UnderWay::begin(&self.in_flight);
            self.requests.inc();
            tokio::time::timeout(self.timeout, request).await
        };
        let answer = answer.unwrap_or_else(|_| {
            let reason = format!("no answer within {:?}", self.timeout);
            Err(Failure::Unavailable(reason))
        });
        match &answer {
            Err(Failure::Unavailable(reason) | Failure::Unclear(reason)) => {
                self.breaker.failed(reason);
            }
            // It works.
            Ok(_) | Err(Failure::NoModel(_) | Failure::Refused(_)) => self.breaker.succeeded(),
        }
        answer
    }
}

/// Whether there is a row for each record in every output.
fn check(known: &Known, answer: &Answer, rows: usize) -> Result<(), Failure> {
    let batched = known.signature.takes_batches();
    let short = |shape: &[usize]| batched && shape.first() != Some(&rows);
    match answer.outputs.iter().find(|output| short(&output.shape)) {
        Some(output) => Err(Failure::Unclear(format!(
            "an output has the shape {:?} for {rows} records",
            output.shape
        ))),
        None if answer.outputs.is_empty() => {
            Err(Failure::Unclear("an answer without outputs".to_owned()))
        }
        None => Ok(()),
    }
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

impl Known {
    fn failed(&self, error: ScoreError) -> Said {
        Said {
            score: Err(error),
            version: self.description.version,
            took_ns: 0,
        }
    }
}
