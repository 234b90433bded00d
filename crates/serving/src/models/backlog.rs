//! The models of one data type that are still to be loaded, and in which order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kafka::OwnedMessage;
use model::Refusal;
use protobufs::ModelDescriptor;

/// Models of one data type that are tried again, at most: the newest.
const MOST_RETRIED: usize = 4;
/// The wait before the second attempt, and the longest one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A message of the models topic that may become a model.
pub(super) struct Candidate {
    pub(super) message: OwnedMessage,
    pub(super) descriptor: ModelDescriptor,
    /// Its place among all that were read: of two, the greater was read later.
    pub(super) order: u64,
    /// How often it was tried, and since when, if it failed.
    failed: Option<(u32, Instant)>,
}

impl Candidate {
    pub(super) fn new(message: OwnedMessage, descriptor: ModelDescriptor, order: u64) -> Self {
        Self {
            message,
            descriptor,
            order,
            failed: None,
        }
    }

    /// About how many bytes it holds.
    pub(super) fn size(&self) -> usize {
        const REST: usize = 1024;
        let payload = self.message.payload.as_ref();
        payload.map_or(0, bytes::Bytes::len).saturating_add(REST)
    }

    /// When to try it again after one more failure; `None` if it has been tried for long enough.
    pub(super) fn fail(&mut self, now: Instant, retry_for: Duration) -> Option<Duration> {
        let (attempts, since) = self.failed.unwrap_or((0, now));
        self.failed = Some((attempts.saturating_add(1), since));
        let left = retry_for.saturating_sub(now.duration_since(since));
        let wait = FIRST_WAIT
            .saturating_mul(1 << attempts.min(16))
            .min(LONGEST_WAIT)
            .mul_f64(jitter());
        // The last attempt is made when the time is over, not before.
        (!left.is_zero()).then(|| wait.min(left))
    }
}

/// Between a half and one: servers that lost the same store do not come back at the same moment.
fn jitter() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    // A new state is seeded anew.
    let random = RandomState::new().hash_one(0);
    0.5 + (random >> 12) as f64 / (1_u64 << 53) as f64
}

/// A model that failed and may do better.
struct Retry {
    candidate: Candidate,
    refusal: Refusal,
    due: Instant,
}

/// What there is to do for one data type. One thread at a time works on it.
#[derive(Default)]
pub(super) struct Backlog {
    /// Found at start, oldest first: the newest is tried first, until one loads.
    pub(super) found: Vec<Candidate>,
    /// Whether what was found may be tried, because it is known which is the newest.
    pub(super) settling: bool,
    /// Read since, oldest first: each is tried.
    pub(super) read: VecDeque<Candidate>,
    /// To be tried again, oldest first.
    retries: Vec<Retry>,
    /// Whether a thread works on it.
    pub(super) busy: bool,
    /// One more than the order of the newest that was handed over.
    handed_over: u64,
}

/// What a thread does next.
pub(super) enum Task {
    /// What was found at start.
    Settle(Vec<Candidate>),
    /// One model.
    Load(Box<Candidate>),
}

impl Backlog {
    /// When there is something to do: at once, later, or not as it stands.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.busy {
            None
        } else if self.settling || !self.read.is_empty() {
            Some(now)
        } else {
            self.retries.iter().map(|retry| retry.due).min()
        }
    }

    /// What is to be done now; of several that are to be tried again, the newest.
    pub(super) fn take(&mut self, now: Instant) -> Option<Task> {
        if self.settling {
            self.settling = false;
            return Some(Task::Settle(std::mem::take(&mut self.found)));
        }
        if let Some(candidate) = self.read.pop_front() {
            return Some(Task::Load(Box::new(candidate)));
        }
        let due = self.retries.iter().rposition(|retry| retry.due <= now)?;
        let retry = self.retries.remove(due);
        Some(Task::Load(Box::new(retry.candidate)))
    }

    /// Whether nothing is left, so that it can be forgotten.
    pub(super) fn is_done(&self) -> bool {
        !self.busy && self.found.is_empty() && self.read.is_empty() && self.retries.is_empty()
    }

    /// Keeps a model to try it again; returns the one that has to be given up for it.
    pub(super) fn retry(
        &mut self,
        candidate: Candidate,
        refusal: Refusal,
        due: Instant,
    ) -> Option<(Candidate, Refusal)> {
        let order = candidate.order;
        let place = self
            .retries
            .partition_point(|retry| retry.candidate.order < order);
        self.retries.insert(
            place,
            Retry {
                candidate,
                refusal,
                due,
            },
        );
        (self.retries.len() > MOST_RETRIED).then(|| {
            let oldest = self.retries.remove(0);
            (oldest.candidate, oldest.refusal)
        })
    }

    /// Whether a model of this order is newer than what was handed over. If so it is what was
    /// handed over from now on, and older ones are no longer tried: they are returned.
    pub(super) fn hand_over(&mut self, order: u64) -> Option<Vec<Candidate>> {
        if order < self.handed_over {
            return None;
        }
        self.handed_over = order + 1;
        let newer = self
            .retries
            .partition_point(|retry| retry.candidate.order < order);
        Some(
            self.retries
                .drain(..newer)
                .map(|retry| retry.candidate)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use kafka::Position;
    use model::FetchError;

    use super::*;

    fn candidate(order: u64) -> Candidate {
        let message = OwnedMessage {
            position: Position {
                partition: 0,
                offset: 0,
            },
            timestamp_ms: None,
            key: None,
            payload: None,
            headers: Vec::new(),
        };
        Candidate::new(message, ModelDescriptor::default(), order)
    }

    fn transient() -> Refusal {
        Refusal::Location(FetchError::Unavailable("later".to_owned()))
    }

    fn taken(backlog: &mut Backlog, now: Instant) -> Vec<u64> {
        match backlog.take(now) {
            None => Vec::new(),
            Some(Task::Load(candidate)) => vec![candidate.order],
            Some(Task::Settle(found)) => found.iter().map(|found| found.order).collect(),
        }
    }

    #[test]
    fn what_was_read_comes_in_order_and_before_what_is_tried_again() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        assert!(backlog.is_done() && backlog.due(now).is_none());
        backlog.read.extend([candidate(2), candidate(3)]);
        assert!(backlog.retry(candidate(1), transient(), now).is_none());
        assert!(backlog.retry(candidate(0), transient(), now).is_none());
        backlog.found.extend([candidate(4), candidate(5)]);
        backlog.settling = true;
        assert_eq!(backlog.due(now), Some(now));
        assert_eq!(taken(&mut backlog, now), [4, 5]);
        assert_eq!(taken(&mut backlog, now), [2]);
        assert_eq!(taken(&mut backlog, now), [3]);
        assert_eq!(taken(&mut backlog, now), [1], "the newer first");
        assert_eq!(taken(&mut backlog, now), [0]);
        assert!(backlog.is_done());
    }

    #[test]
    fn what_is_tried_again_waits_for_its_time() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut backlog = Backlog::default();
        backlog.found.push(candidate(1));
        assert_eq!(
            backlog.due(now),
            None,
            "nobody knows yet whether it is the newest"
        );
        assert!(backlog.retry(candidate(0), transient(), later).is_none());
        assert_eq!(backlog.due(now), Some(later));
        assert!(taken(&mut backlog, now).is_empty());
        assert_eq!(taken(&mut backlog, later), [0]);
        backlog.busy = true;
        backlog.read.push_back(candidate(1));
        assert_eq!(backlog.due(now), None, "one thread at a time");
    }

    #[test]
    fn an_older_model_is_not_handed_over_after_a_newer_one() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        for order in [1, 3, 5] {
            assert!(backlog.retry(candidate(order), transient(), now).is_none());
        }
        let given_up = backlog.hand_over(4).unwrap();
        let orders: Vec<_> = given_up.iter().map(|candidate| candidate.order).collect();
        assert_eq!(orders, [1, 3]);
        assert!(backlog.hand_over(2).is_none());
        assert!(backlog.hand_over(4).is_none());
        assert_eq!(taken(&mut backlog, now), [5]);
        assert!(backlog.hand_over(5).unwrap().is_empty());
    }

    #[test]
    fn of_many_that_fail_only_the_newest_are_tried_again() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        for order in 0..4 {
            assert!(backlog.retry(candidate(order), transient(), now).is_none());
        }
        let (given_up, _) = backlog.retry(candidate(4), transient(), now).unwrap();
        assert_eq!(given_up.order, 0);
    }

    #[test]
    fn waits_grow_and_end() {
        let start = Instant::now();
        let retry_for = Duration::from_secs(300);
        let mut candidate = candidate(0);
        let mut now = start;
        let mut waits = Vec::new();
        while let Some(wait) = candidate.fail(now, retry_for) {
            waits.push(wait);
            now += wait;
        }
        assert!(waits[0] >= FIRST_WAIT / 2 && waits[0] <= FIRST_WAIT);
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT));
        assert_eq!(now - start, retry_for, "tried until the end, and then once");
        assert!((10..50).contains(&waits.len()), "{waits:?}");
        let mut once = self::candidate(1);
        assert!(once.fail(start, Duration::ZERO).is_none());
    }
}
