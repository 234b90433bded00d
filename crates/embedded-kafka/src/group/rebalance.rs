//! A group, its states, and the way from one generation to the next.

use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;

use super::roster::{Joined, Roster, Synced};
use super::{Limits, Offsets};

/// The states of a group, as clients see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No members; perhaps offsets.
    Empty,
    /// Waiting for all members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignments.
    CompletingRebalance,
    Stable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// A consumer group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) limits: Limits,
    pub(crate) state: State,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) roster: Roster,
    pub(crate) offsets: Offsets,
    /// When this step of the rebalance ends without those who are missing.
    step_deadline: Option<Instant>,
    /// Whether the group waits for its first members, whoever they are, until the deadline.
    gathering: Option<Instant>,
    /// Since when nobody used it.
    pub(crate) unused_since: Instant,
}

impl Group {
    pub(crate) fn new(id: String, limits: Limits) -> Self {
        Group {
            id,
            limits,
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            roster: Roster::default(),
            offsets: Offsets::default(),
            step_deadline: None,
            gathering: None,
            unused_since: Instant::now(),
        }
    }

    /// Whether it may be deleted.
    pub(crate) fn is_unused(&self) -> bool {
        self.roster.is_empty() && self.roster.pending.is_empty()
    }

    /// Whether nobody would miss it.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        // As long as Apache Kafka's clean-up of groups may leave one without offsets alone.
        const WITHOUT_OFFSETS: Duration = Duration::from_mins(10);
        // One that nobody has ever used takes a name that anybody may have made up.
        const UNUSED: Duration = Duration::from_secs(1);
        let keep = if self.generation == 0 && self.offsets.were_never_used() {
            UNUSED
        } else if self.offsets.is_empty() {
            WITHOUT_OFFSETS.min(self.limits.offset_retention)
        } else {
            self.limits.offset_retention
        };
        self.is_unused() && now.saturating_duration_since(self.unused_since) >= keep
    }

    fn rebalance_timeout(&self) -> Duration {
        self.roster
            .iter()
            .map(|member| member.rebalance)
            .max()
            .unwrap_or_default()
    }

    /// Starts a rebalance, or goes on with the one that is on its way.
    pub(crate) fn rebalance(&mut self, now: Instant, reason: &str) {
        if self.state != State::PreparingRebalance {
            tracing::debug!(
                group = self.id,
                generation = self.generation,
                reason,
                "rebalance"
            );
            for member in self.roster.iter_mut() {
                member.answer_sync(Synced::error(ResponseError::RebalanceInProgress));
                if self.state == State::CompletingRebalance {
                    member.assignment.clear();
                }
            }
            let timeout = self.rebalance_timeout();
            if self.state == State::Empty && !self.limits.initial_delay.is_zero() {
                self.step_deadline = Some(now + self.limits.initial_delay.min(timeout));
                self.gathering = Some(now + timeout);
            } else {
                self.step_deadline = Some(now + timeout);
                self.gathering = None;
            }
            self.state = State::PreparingRebalance;
        } else if let Some(latest) = self.gathering {
            self.step_deadline = Some((now + self.limits.initial_delay).min(latest));
        }
        self.complete_if_all_joined(now);
    }

    pub(crate) fn complete_if_all_joined(&mut self, now: Instant) {
        if self.state == State::PreparingRebalance
            && self.gathering.is_none()
            && self.roster.pending.is_empty()
            && self.roster.iter().all(|member| member.joining.is_some())
        {
            self.complete_join(now);
        }
    }

    /// Goes on with those who joined.
    fn complete_join(&mut self, now: Instant) {
        let missing: Vec<String> = self
            .roster
            .iter()
            .filter(|member| member.joining.is_none() && member.instance.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in missing {
            tracing::debug!(group = self.id, member = id, "member did not join in time");
            self.roster.remove(&id);
        }
        self.gathering = None;
        if self.roster.is_empty() {
            self.generation = self.generation.wrapping_add(1).max(1);
            self.become_empty(now);
            return;
        }
        let leads = |id: &String| {
            self.roster
                .get(id)
                .is_some_and(|member| member.joining.is_some())
        };
        if !self.leader.as_ref().is_some_and(leads) {
            let joined = self.roster.iter().find(|member| member.joining.is_some());
            match joined.map(|member| member.id.clone()) {
                Some(id) => self.leader = Some(id),
                None => {
                    // Only static members, none of them back yet: wait on.
                    self.step_deadline = Some(now + self.rebalance_timeout());
                    return;
                }
            }
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        self.protocol = self.roster.vote();
        self.state = State::CompletingRebalance;
        self.step_deadline = Some(now + self.rebalance_timeout());
        let ids: Vec<String> = self.roster.iter().map(|member| member.id.clone()).collect();
        for id in ids {
            let answer = self.joined(&id);
            if let Some(member) = self.roster.get_mut(&id) {
                member.synced = false;
                member.heard(now);
                member.answer_join(answer);
            }
        }
    }

    pub(crate) fn become_empty(&mut self, now: Instant) {
        self.state = State::Empty;
        self.protocol = None;
        self.leader = None;
        self.step_deadline = None;
        self.gathering = None;
        self.unused_since = now;
    }

    /// What a member is told when it has joined this generation.
    pub(crate) fn joined(&self, id: &str) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let leads = self.leader.as_deref() == Some(id);
        let members = self.roster.iter().filter(|_| leads).map(|member| {
            (
                member.id.clone(),
                member.instance.clone(),
                member.metadata(&protocol),
            )
        });
        Joined {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: id.to_owned(),
            skip_assignment: false,
            members: members.collect(),
            protocol: self.protocol.clone(),
        }
    }

    /// What a member is told of its assignment.
    pub(crate) fn assigned(&self, id: &str) -> Synced {
        Synced {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self
                .roster
                .get(id)
                .map(|m| m.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// The leader has spoken: everybody gets an assignment.
    pub(crate) fn become_stable(&mut self) {
        self.state = State::Stable;
        let ids: Vec<String> = self.roster.iter().map(|member| member.id.clone()).collect();
        for id in ids {
            let answer = self.assigned(&id);
            if let Some(member) = self.roster.get_mut(&id) {
                member.answer_sync(answer);
            }
        }
    }

    /// A member is gone, for whatever reason.
    pub(crate) fn part(&mut self, id: &str, now: Instant, reason: &str) {
        let Some(mut member) = self.roster.remove(id) else {
            return;
        };
        tracing::debug!(group = self.id, member = id, reason, "member gone");
        member.answer_join(Joined::error(ResponseError::UnknownMemberId, id));
        member.answer_sync(Synced::error(ResponseError::UnknownMemberId));
        self.unused_since = now;
        match self.state {
            State::Empty => {}
            State::PreparingRebalance => self.complete_if_all_joined(now),
            State::CompletingRebalance | State::Stable => self.rebalance(now, reason),
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, now: Instant) {
        let before = self.roster.pending.len();
        self.roster.pending.retain(|_, until| *until > now);
        if self.roster.pending.len() < before {
            self.complete_if_all_joined(now);
        }

        let expired: Vec<String> = self
            .roster
            .iter()
            .filter(|m| m.deadline <= now && m.joining.is_none() && m.syncing.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in expired {
            self.part(&id, now, "session timed out");
        }

        if self.step_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        match self.state {
            State::PreparingRebalance => self.complete_join(now),
            State::CompletingRebalance | State::Stable => {
                self.step_deadline = None;
                let late: Vec<String> = self
                    .roster
                    .iter()
                    .filter(|member| !member.synced)
                    .map(|member| member.id.clone())
                    .collect();
                for id in late {
                    self.part(&id, now, "did not ask for its assignment in time");
                }
            }
            State::Empty => self.step_deadline = None,
        }
    }
}
