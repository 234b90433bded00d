use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serving::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::Backoff;

/// Failures in a row that open the breaker.
const MOST_FAILURES: u32 = 5;

/// Keeps requests back while the model server fails: nobody waits for time-outs in vain, and a
/// server that comes up again is not run over.
///
/// Closed, it lets everybody pass. After some failures in a row it opens, and nobody passes. After a
/// while it is half open: one request passes, the probe, and what becomes of it closes the breaker
/// or opens it for longer.
pub(crate) struct Breaker {
    state: RefCell<State>,
    changed: Notify,
    /// What it keeps requests back from, for the log.
    subject: String,
    levels: Rc<Levels>,
}

/// How many breakers are closed, half open and open, and the worst of these as a metric.
pub(crate) struct Levels {
    counts: RefCell<[usize; 3]>,
    gauge: Gauge,
}

impl Levels {
    pub(crate) fn new(gauge: Gauge) -> Rc<Self> {
        let counts = RefCell::default();
        Rc::new(Self { counts, gauge })
    }

    /// A breaker leaves a level, and has another one.
    fn shift(&self, from: Option<Phase>, to: Option<Phase>) {
        let mut counts = self.counts.borrow_mut();
        if let Some(phase) = from {
            counts[phase.level()] -= 1;
        }
        if let Some(phase) = to {
            counts[phase.level()] += 1;
        }
        let worst = counts.iter().rposition(|count| *count > 0);
        self.gauge.set(worst.unwrap_or_default() as i64);
    }
}

struct State {
    failures: u32,
    phase: Phase,
    backoff: Backoff,
}

/// Leave to send a request.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Pass {
    /// It is the one that a half-open breaker lets pass.
    pub(crate) probes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open(Instant),
    Probing,
}

impl Phase {
    fn level(self) -> usize {
        match self {
            Self::Closed => 0,
            Self::Probing => 1,
            Self::Open(_) => 2,
        }
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        self.levels.shift(Some(self.state.get_mut().phase), None);
    }
}

impl Breaker {
    pub(crate) fn new(
        subject: String,
        shortest: Duration,
        longest: Duration,
        levels: &Rc<Levels>,
    ) -> Self {
        levels.shift(None, Some(Phase::Closed));
        let state = State {
            failures: 0,
            phase: Phase::Closed,
            backoff: Backoff::new(shortest, longest),
        };
        Self {
            state: RefCell::new(state),
            changed: Notify::new(),
            subject,
            levels: Rc::clone(levels),
        }
    }

    /// Whether requests pass.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.borrow().phase == Phase::Closed
    }

    /// Waits until a request may be sent. What becomes of it has to be told.
    pub(crate) async fn pass(&self) -> Pass {
        loop {
            let changed = self.changed.notified();
            let phase = self.state.borrow().phase;
            match phase {
                Phase::Closed => return Pass { probes: false },
                Phase::Probing => changed.await,
                Phase::Open(until) if Instant::now() >= until => {
                    tracing::debug!("{}: half open, one request is tried", self.subject);
                    self.enter(Phase::Probing);
                    return Pass { probes: true };
                }
                Phase::Open(until) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
            }
        }
    }

    /// Whether it opens if this request fails.
    pub(crate) fn is_at_stake(&self, pass: Pass) -> bool {
        let state = self.state.borrow();
        match state.phase {
            Phase::Closed => state.failures.saturating_add(1) >= MOST_FAILURES,
            Phase::Probing => pass.probes,
            Phase::Open(_) => false,
        }
    }

    /// A request was answered, whatever the answer.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state.borrow_mut();
        state.failures = 0;
        state.backoff.reset();
        if state.phase == Phase::Closed {
            return;
        }
        drop(state);
        tracing::info!("{}: closed, it answers again", self.subject);
        self.enter(Phase::Closed);
    }

    /// A request that had leave was not answered.
    pub(crate) fn failed(&self, pass: Pass, reason: &str) {
        // Others that were under way when it opened say nothing new.
        let opens = self.is_at_stake(pass);
        let mut state = self.state.borrow_mut();
        state.failures = state.failures.saturating_add(1);
        let is_news = state.phase == Phase::Closed;
        if !opens {
            return;
        }
        let pause = state.backoff.next();
        drop(state);
        if is_news {
            tracing::warn!("{}: open for {pause:?}: {reason}", self.subject);
        } else {
            tracing::debug!("{}: open for {pause:?}: {reason}", self.subject);
        }
        self.enter(Phase::Open(Instant::now() + pause));
    }

    fn enter(&self, phase: Phase) {
        let before = std::mem::replace(&mut self.state.borrow_mut().phase, phase);
        self.levels.shift(Some(before), Some(phase));
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Rc<Breaker> {
        let second = Duration::from_secs(1);
        let levels = Levels::new(Gauge::new("breaker", "a test").unwrap());
        Rc::new(Breaker::new("test".to_owned(), second, second, &levels))
    }

    async fn passes(breaker: &Breaker) -> bool {
        let moment = Duration::from_millis(1);
        tokio::time::timeout(moment, breaker.pass()).await.is_ok()
    }

    async fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            let pass = breaker.pass().await;
            breaker.failed(pass, "away");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let breaker = breaker();
        fail(&breaker, MOST_FAILURES - 1).await;
        breaker.succeeded();
        for _ in 0..MOST_FAILURES {
            assert!(passes(&breaker).await, "not that many in a row yet");
            fail(&breaker, 1).await;
        }
        assert!(!breaker.is_closed());
        assert!(!passes(&breaker).await);
        assert_eq!(breaker.levels.gauge.get(), 2);
        let probe = breaker.pass().await;
        assert_eq!(breaker.levels.gauge.get(), 1);
        assert!(!passes(&breaker).await, "one probe at a time");
        breaker.failed(probe, "still away");
        assert_eq!(breaker.levels.gauge.get(), 2);
        let _probe = breaker.pass().await;
        breaker.succeeded();
        assert!(breaker.is_closed());
        assert!(passes(&breaker).await);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_passes_when_the_probe_succeeds() {
        let breaker = breaker();
        fail(&breaker, MOST_FAILURES).await;
        let _probe = breaker.pass().await;
        let others = async { tokio::join!(breaker.pass(), breaker.pass()) };
        let probe = async { breaker.succeeded() };
        let ((one, other), ()) = tokio::join!(others, probe);
        assert!(!one.probes && !other.probes);
    }

    #[tokio::test(start_paused = true)]
    async fn while_it_is_half_open_only_the_probe_counts() {
        let breaker = breaker();
        let late = breaker.pass().await;
        fail(&breaker, MOST_FAILURES).await;
        let probe = breaker.pass().await;
        breaker.failed(late, "was under way when it opened");
        assert_eq!(breaker.levels.gauge.get(), 1);
        breaker.failed(probe, "away");
        assert_eq!(breaker.levels.gauge.get(), 2);
    }
}
