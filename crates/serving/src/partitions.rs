use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka::{Assignment, Committer};

use crate::Delivery;
use crate::readiness::Readiness;
use crate::tracker::{Member, Tracker};

/// How long a revoked partition may drain: less than the session timeout, and than what is left
/// after a signal to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// How long it waits between two tries to commit.
const RETRY: Duration = Duration::from_millis(50);

/// Hears which partitions are the member's: those that come are tracked from then on, those that go are
/// drained and committed before they are released.
pub(crate) struct Partitions {
    member: Member,
    tracker: Arc<Tracker>,
    delivery: Delivery,
    readiness: Arc<Readiness>,
}

impl Partitions {
    pub(crate) fn new(
        member: Member,
        tracker: Arc<Tracker>,
        delivery: Delivery,
        readiness: Arc<Readiness>,
    ) -> Self {
        Self {
            member,
            tracker,
            delivery,
            readiness,
        }
    }
}

impl Assignment for Partitions {
    fn assigned(&self, partitions: &[i32]) {
        self.tracker.assign(self.member, partitions);
        // The broker may have come back without its topics, or with more partitions.
        self.delivery.look_up_topics();
        self.readiness.is_assigned();
    }

    fn revoked(&self, partitions: &[i32], lost: bool, committer: Committer<'_>) {
        if !lost {
            let deadline = Instant::now() + DRAIN;
            while !self.tracker.is_idle(self.member, partitions) && Instant::now() < deadline {
                self.delivery.poll(Duration::from_millis(5));
            }
            let positions = self.tracker.committable(self.member, partitions);
            // A group that is being shared out anew refuses commits until that is done.
            while let Err(error) = committer.commit_sync(&positions) {
                if Instant::now() >= deadline {
                    tracing::warn!(
                        ?partitions,
                        "the last commit failed, the next owner repeats some records: {error}"
                    );
                    break;
                }
                self.delivery.poll(RETRY);
            }
        }
        self.tracker.revoke(self.member, partitions);
    }
}
