use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use model::Record;
use serving::{Batch, Delivery, Questions, Records, Shutdown};
use tokio::time::Instant;

use crate::caller::{Caller, Known, Scores};
use crate::lane::{Lane, Terms};
use crate::protocol::Failure;

/// How long requests under way may take after the wish to end. What is not answered then is not
/// committed, and comes again.
const GRACE: Duration = Duration::from_millis(1_800);

/// The desk between the two sides: hands records to requests, and answers to delivery.
///
/// Everything is on one thread; requests are futures on it, not tasks.
pub(crate) struct Dispatch {
    caller: Rc<Caller>,
    terms: Terms,
    /// The one model that scores all data types, if there is one.
    model: Option<String>,
    lanes: BTreeMap<Arc<str>, Lane>,
    calls: FuturesUnordered<LocalBoxFuture<'static, Event>>,
    delivery: Delivery,
}

/// What a call has come to.
enum Event {
    Scored {
        data_type: Arc<str>,
        slot: u64,
        batch: Batch,
        scores: Scores,
    },
    Found {
        data_type: Arc<str>,
        found: Result<Rc<Known>, Failure>,
    },
}

impl Dispatch {
    pub(crate) fn new(
        caller: Caller,
        terms: Terms,
        model: Option<String>,
        delivery: Delivery,
    ) -> Self {
        Self {
            caller: Rc::new(caller),
            terms,
            model,
            lanes: BTreeMap::new(),
            calls: FuturesUnordered::new(),
            delivery,
        }
    }

    /// Serves until the records end, and what is under way has ended, or takes too long.
    pub(crate) async fn run(
        mut self,
        mut records: Records,
        mut questions: Questions,
        shutdown: Shutdown,
    ) {
        let mut ends = None;
        let mut ended = false;
        loop {
            let wake = self.advance();
            let reads = !ended && self.wants_records();
            if ended && self.lanes.values().all(Lane::is_idle) {
                return;
            }
            tokio::select! {
                biased;
                Some(question) = questions.next() => {
                    question.answer(self.lanes.values().filter_map(Lane::newest).collect());
                }
                batch = records.next(), if reads => match batch {
                    Some(batch) => self.enter(batch),
                    None => {
                        ended = true;
                        ends.get_or_insert(Instant::now() + GRACE);
                    }
                },
                Some(event) = self.calls.next() => {
                    self.take(event);
                    while let Some(Some(event)) = self.calls.next().now_or_never() {
                        self.take(event);
                    }
                }
                () = shutdown.requested(), if ends.is_none() => {
                    // Whoever waits to hand over more is told.
                    records.close();
                    ends = Some(Instant::now() + GRACE);
                }
                () = until(ends), if ends.is_some() => return,
                () = until(wake), if wake.is_some() => {}
            }
        }
    }

    /// Whether there is a data type that can take more. Records of others that come with its own wait
    /// here: the source counts them, and stops at some 100,000.
    fn wants_records(&self) -> bool {
        let mut lanes = self.lanes.values();
        self.lanes.is_empty() || lanes.any(|lane| lane.takes(&self.terms))
    }

    fn enter(&mut self, batch: Batch) {
        for (data_type, batch) in batch.by_data_type() {
            let model = &self.model;
            let lane = self.lanes.entry(Arc::clone(&data_type));
            let lane = lane.or_insert_with(|| {
                let model = model.clone().unwrap_or_else(|| data_type.to_string());
                Lane::new(data_type, model, &self.terms)
            });
            lane.enter(batch, &self.terms);
        }
    }

    /// Sends what can be sent. Returns when to look again.
    fn advance(&mut self) -> Option<Instant> {
        if self.delivery.is_reassigned() {
            let lanes = self.lanes.values_mut();
            lanes.for_each(|lane| lane.drop_taken_away(&self.delivery));
        }
        // Each gets its share of the requests, so that one whose answers are late leaves the others theirs.
        let busy = self.lanes.values().filter(|lane| !lane.is_idle()).count();
        let share = (self.terms.slots / busy.max(1)).max(1);
        let mut wake: Option<Instant> = None;
        let mut later = |at: Option<Instant>| {
            wake = [wake, at].into_iter().flatten().min();
        };
        for (data_type, lane) in &mut self.lanes {
            self.delivery.deliver(lane.leave_without(&self.terms));
            match lane.look() {
                Ok(()) => {
                    lane.looking = true;
                    let (caller, model) = (Rc::clone(&self.caller), lane.model.clone());
                    let (data_type, breaker) = (Arc::clone(data_type), Rc::clone(&lane.breaker));
                    let known = lane.known.clone();
                    let look = async move {
                        let found = caller.look(&model, &breaker, known.as_ref()).await;
                        Event::Found { data_type, found }
                    };
                    self.calls.push(look.boxed_local());
                }
                Err(at) => later(at),
            }
            loop {
                match lane.next(share, &self.terms) {
                    Ok((slot, batch)) => {
                        let Some(known) = lane.known.clone() else {
                            break;
                        };
                        let caller = Rc::clone(&self.caller);
                        let data_type = Arc::clone(data_type);
                        let call = async move {
                            let records: Vec<&Record> = batch.records().collect();
                            let scores = caller.score(&known, &records).await;
                            drop(records);
                            Event::Scored {
                                data_type,
                                slot,
                                batch,
                                scores,
                            }
                        };
                        self.calls.push(call.boxed_local());
                    }
                    Err(at) => {
                        later(at);
                        break;
                    }
                }
            }
        }
        self.lanes.retain(|_, lane| !lane.is_forgotten());
        wake
    }

    fn take(&mut self, event: Event) {
        let outcomes = match event {
            Event::Scored {
                data_type,
                slot,
                batch,
                scores,
            } => {
                let lane = self.lanes.get_mut(&data_type);
                lane.map(|lane| lane.done(slot, batch, scores, &self.terms))
            }
            Event::Found { data_type, found } => {
                let lane = self.lanes.get_mut(&data_type);
                lane.map(|lane| lane.looked(found, &self.terms))
            }
        };
        self.delivery.deliver(outcomes.into_iter().flatten());
    }
}

async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
