use std::cell::RefCell;
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
    server: String,
    /// 0: closed, 1: half open, 2: open.
    gauge: Gauge,
}

struct State {
    failures: u32,
    phase: Phase,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open(Instant),
    Probing,
}

impl Breaker {
    pub(crate) fn new(server: String, shortest: Duration, longest: Duration, gauge: Gauge) -> Self {
        let state = State {
            failures: 0,
            phase: Phase::Closed,
            backoff: Backoff::new(shortest, longest),
        };
        Self {
            state: RefCell::new(state),
            changed: Notify::new(),
            server,
            gauge,
        }
    }

    /// Whether requests pass.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.borrow().phase == Phase::Closed
    }

    /// Waits until a request may be sent. What becomes of it has to be told.
    pub(crate) async fn pass(&self) {
        loop {
            let changed = self.changed.notified();
            let phase = self.state.borrow().phase;
            match phase {
                Phase::Closed => return,
                Phase::Probing => changed.await,
                Phase::Open(until) if Instant::now() >= until => {
                    tracing::info!("{}: half open, one request is tried", self.server);
                    self.enter(Phase::Probing);
                    return;
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

    /// A request was answered, whatever the answer.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state.borrow_mut();
        state.failures = 0;
        state.backoff.reset();
        if state.phase == Phase::Closed {
            return;
        }
        drop(state);
        tracing::info!("{}: closed, it answers again", self.server);
        self.enter(Phase::Closed);
    }

    /// A request was not answered.
    pub(crate) fn failed(&self, reason: &str) {
        let mut state = self.state.borrow_mut();
        state.failures = state.failures.saturating_add(1);
        let opens = match state.phase {
            // Others that were under way when it opened say nothing new.
            Phase::Open(_) => false,
            Phase::Closed => state.failures >= MOST_FAILURES,
            Phase::Probing => true,
        };
        if !opens {
            return;
        }
        let pause = state.backoff.next();
        drop(state);
        tracing::warn!("{}: open for {pause:?}: {reason}", self.server);
        self.enter(Phase::Open(Instant::now() + pause));
    }

    fn enter(&self, phase: Phase) {
        self.state.borrow_mut().phase = phase;
        self.gauge.set(match phase {
            Phase::Closed => 0,
            Phase::Probing => 1,
            Phase::Open(_) => 2,
        });
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    fn breaker() -> Rc<Breaker> {
        let gauge = Gauge::new("breaker", "a test").unwrap();
        let second = Duration::from_secs(1);
        Rc::new(Breaker::new("test".to_owned(), second, second, gauge))
    }

    async fn passes(breaker: &Breaker) -> bool {
        let moment = Duration::from_millis(1);
        tokio::time::timeout(moment, breaker.pass()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let breaker = breaker();
        for _ in 1..MOST_FAILURES {
            breaker.failed("away");
        }
        breaker.succeeded();
        for _ in 0..MOST_FAILURES {
            assert!(passes(&breaker).await, "not that many in a row yet");
            breaker.failed("away");
        }
        assert!(!breaker.is_closed());
        assert!(!passes(&breaker).await);
        assert_eq!(breaker.gauge.get(), 2);
        breaker.pass().await;
        assert_eq!(breaker.gauge.get(), 1);
        assert!(!passes(&breaker).await, "one probe at a time");
        breaker.failed("still away");
        assert_eq!(breaker.gauge.get(), 2);
        breaker.pass().await;
        breaker.succeeded();
        assert!(breaker.is_closed());
        assert!(passes(&breaker).await);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_passes_when_the_probe_succeeds() {
        let breaker = breaker();
        (0..MOST_FAILURES).for_each(|_| breaker.failed("away"));
        breaker.pass().await;
        let others = async { tokio::join!(breaker.pass(), breaker.pass()) };
        let probe = async { breaker.succeeded() };
        tokio::join!(others, probe);
    }
}
