//! What becomes of the messages that librdkafka hands over.

use std::ops::ControlFlow;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Held, Membership};
use crate::batch::Incoming;
use crate::{Batch, Position, Result, native};

/// Takes messages into a batch, those of partitions that are not held excepted.
///
/// What is held does not change meanwhile: rebalances are events, and events come before.
pub(super) struct Intake<'a> {
    membership: &'a Membership,
    batch: &'a mut Batch,
    /// `None` while nothing is to be handed out.
    held: Option<MutexGuard<'a, Held>>,
    /// Messages of a partition come in runs, so that it is looked up once for many.
    run: Option<Run>,
    came_again: Option<Position>,
    failed: Result<()>,
}

struct Run {
    partition: i32,
    /// As in [`Held`]; `None` if the partition is not held.
    end: Option<Option<i64>>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(membership: &'a Membership, batch: &'a mut Batch) -> Self {
        let started_over = membership.started_over.load(Ordering::Relaxed);
        Self {
            membership,
            batch,
            held: (!started_over).then(|| membership.held()),
            run: None,
            came_again: None,
            failed: Ok(()),
        }
    }

    /// Breaks off where there is an [outcome](Self::outcome).
    pub(super) fn take(&mut self, message: native::Message<'_>) -> ControlFlow<()> {
        if let Some(code) = message.error() {
            self.failed = self.membership.tolerate(match code {
                RDKafkaErrorCode::Fatal => KafkaError::MessageConsumptionFatal(code),
                code => KafkaError::MessageConsumption(code),
            });
            return match self.failed {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
        }
        let position = message.position();
        let run = match &mut self.run {
            Some(run) if run.partition == position.partition => run,
            _ => {
                self.settle();
                let held = self.held.as_deref();
                self.run.insert(Run {
                    partition: position.partition,
                    end: held.and_then(|held| held.get(&position.partition).copied()),
                })
            }
        };
        let Some(end) = &mut run.end else {
            return ControlFlow::Continue(());
        };
        if end.is_some_and(|end| position.offset < end) {
            self.came_again = Some(position);
            return ControlFlow::Break(());
        }
        *end = Some(position.offset.saturating_add(1));
        self.batch.push(&Incoming {
            position,
            timestamp_ms: message.timestamp_ms(),
            key: message.key(),
            payload: message.payload(),
        });
        for (name, value) in message.headers() {
            self.batch.push_header(&name, value);
        }
        ControlFlow::Continue(())
    }

    /// Notes how far the current run came.
    fn settle(&mut self) {
        if let Some(Run { partition, end }) = self.run.take()
            && let Some(end) = end
            && let Some(held) = &mut self.held
        {
            held.insert(partition, end);
        }
    }

    /// The position that came again, if one did. That says that the log has been replaced by
    /// another one: what was read of the old one is void, and so is the assignment.
    ///
    /// # Errors
    /// The client is broken for good.
    pub(super) fn outcome(mut self) -> Result<Option<Position>> {
        self.settle();
        self.failed.map(|()| self.came_again)
    }
}
