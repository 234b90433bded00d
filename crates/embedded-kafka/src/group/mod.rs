//! Consumer groups of the classic protocol.
//!
//! A [`Group`] is a state machine behind a lock; the requests that wait, JoinGroup and
//! SyncGroup, wait on channels that the machine answers. What time does to groups is done by one
//! sweep over all of them, every [`SWEEP`].

#[cfg(test)]
mod behaviour;
mod membership;
mod offsets;
mod rebalance;
mod roster;
mod subscription;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use parking_lot::{Mutex, RwLock};

pub(crate) use membership::{JoinRequest, Leaver, SyncRequest};
pub(crate) use offsets::{Committed, Offsets};
pub(crate) use rebalance::Group;
pub(crate) use roster::{Joined, Synced};

use crate::options::Options;

/// How often deadlines are looked at.
pub(crate) const SWEEP: Duration = Duration::from_millis(50);

/// What groups need of the options.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) groups: usize,
    pub(crate) members: usize,
    pub(crate) initial_delay: Duration,
    pub(crate) session: std::ops::RangeInclusive<Duration>,
    pub(crate) offset_retention: Duration,
}

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    by_id: RwLock<HashMap<String, Arc<Mutex<Group>>>>,
    pub(crate) limits: Limits,
}

impl Groups {
    pub(crate) fn new(options: &Options) -> Self {
        Groups {
            by_id: RwLock::default(),
            limits: Limits {
                groups: options.max_groups,
                members: options.max_group_members,
                initial_delay: options.group_initial_rebalance_delay,
                session: options.min_session_timeout..=options.max_session_timeout,
                offset_retention: options.offset_retention,
            },
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Mutex<Group>>> {
        self.by_id.read().get(id).cloned()
    }

    /// Works on a group, which is created if need be.
    ///
    /// The work is done while the group cannot be removed from the map.
    pub(crate) fn with<R>(
        &self,
        id: &str,
        work: impl FnOnce(&mut Group) -> R,
    ) -> Result<R, ResponseError> {
        if let Some(group) = self.by_id.read().get(id) {
            return Ok(work(&mut group.lock()));
        }
        let mut by_id = self.by_id.write();
        if !by_id.contains_key(id) && by_id.len() >= self.limits.groups {
            return Err(ResponseError::PolicyViolation);
        }
        let group = by_id.entry(id.to_owned()).or_insert_with(|| {
            Arc::new(Mutex::new(Group::new(id.to_owned(), self.limits.clone())))
        });
        let result = work(&mut group.lock());
        Ok(result)
    }

    /// All groups with their ids.
    pub(crate) fn all(&self) -> Vec<(String, Arc<Mutex<Group>>)> {
        let by_id = self.by_id.read();
        by_id
            .iter()
            .map(|(id, group)| (id.clone(), Arc::clone(group)))
            .collect()
    }

    /// Deletes a group that has no members.
    pub(crate) fn delete(&self, id: &str) -> Result<(), ResponseError> {
        let mut by_id = self.by_id.write();
        let Some(group) = by_id.get(id) else {
            return Err(ResponseError::GroupIdNotFound);
        };
        if !group.lock().is_unused() {
            return Err(ResponseError::NonEmptyGroup);
        }
        by_id.remove(id);
        Ok(())
    }

    /// Forgets what was committed for a deleted topic.
    pub(crate) fn forget_topic(&self, topic: &str) {
        for (_, group) in self.all() {
            group.lock().offsets.forget_topic(topic);
        }
    }

    /// Lets time pass: sessions, rebalances and unused groups end.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut over = Vec::new();
        for (id, group) in self.all() {
            let mut group = group.lock();
            group.pass(now);
            if group.is_over(now) {
                over.push(id);
            }
        }
        if !over.is_empty() {
            let mut by_id = self.by_id.write();
            for id in over {
                if by_id
                    .get(&id)
                    .is_some_and(|group| group.lock().is_over(now))
                {
                    by_id.remove(&id);
                }
            }
        }
    }
}

/// Sweeps over the groups for as long as it runs.
pub(crate) async fn keep_time(node: Arc<crate::node::Node>) {
    let mut rounds = tokio::time::interval(SWEEP);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        node.groups.sweep(Instant::now());
    }
}
