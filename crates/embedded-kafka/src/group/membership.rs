//! Joining, syncing, heartbeats and leaving.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::rebalance::{Group, State};
use super::roster::{Joined, Member, Synced};

/// A request to join.
#[derive(Debug)]
pub(crate) struct JoinRequest {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) host: String,
    pub(crate) session: Duration,
    pub(crate) rebalance: Duration,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// Whether a new member must ask twice (KIP-394).
    pub(crate) id_required: bool,
    /// Whether the client understands that a leader need not assign (KIP-814).
    pub(crate) may_skip_assignment: bool,
}

/// A request for the assignment.
#[derive(Debug)]
pub(crate) struct SyncRequest {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// A member that leaves, named by its id or its instance.
#[derive(Debug)]
pub(crate) struct Leaver {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
}

/// An answer now, or one that will come.
pub(crate) type Later<T> = Result<T, oneshot::Receiver<T>>;

impl Group {
    /// A client wants to be a member of the next generation.
    pub(crate) fn join(&mut self, request: JoinRequest, now: Instant) -> Later<Joined> {
        let refuse = |error| Ok(Joined::error(error, &request.member));
        if !self.limits.session.contains(&request.session) {
            return refuse(ResponseError::InvalidSessionTimeout);
        }
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return refuse(ResponseError::InconsistentGroupProtocol);
        }
        let same_type = self
            .protocol_type
            .as_ref()
            .is_none_or(|t| *t == request.protocol_type);
        let except = (!request.member.is_empty()).then_some(request.member.as_str());
        let agrees = same_type && self.roster.agrees(&request.protocols, except);
        if !(self.roster.is_empty() || agrees) {
            return refuse(ResponseError::InconsistentGroupProtocol);
        }
        self.unused_since = now;
        if request.member.is_empty() {
            return self.join_new(request, now);
        }
        if self.roster.pending.contains_key(&request.member) {
            if request.instance.is_some() {
                return refuse(ResponseError::UnknownMemberId);
            }
            let id = request.member.clone();
            return self.admit(id, request, now);
        }
        if let Err(error) = self
            .roster
            .check(&request.member, request.instance.as_deref())
        {
            return refuse(error);
        }
        self.join_again(request, now)
    }

    fn new_id(request: &JoinRequest) -> String {
        let name = request.instance.as_deref().unwrap_or(&request.client_id);
        format!("{name}-{}", Uuid::new_v4())
    }

    fn join_new(&mut self, request: JoinRequest, now: Instant) -> Later<Joined> {
        let id = Self::new_id(&request);
        let taken = request
            .instance
            .as_deref()
            .and_then(|instance| self.roster.of_instance(instance));
        if let Some(old) = taken.map(str::to_owned) {
            return self.replace(&old, &id, request, now);
        }
        if self.roster.len() + self.roster.pending.len() >= self.limits.members {
            return Ok(Joined::error(ResponseError::GroupMaxSizeReached, ""));
        }
        if request.id_required && request.instance.is_none() {
            self.roster
                .pending
                .insert(id.clone(), now + request.session);
            return Ok(Joined::error(ResponseError::MemberIdRequired, &id));
        }
        self.admit(id, request, now)
    }

    fn admit(&mut self, id: String, request: JoinRequest, now: Instant) -> Later<Joined> {
        let (joining, answer) = oneshot::channel();
        if self.roster.is_empty() {
            self.protocol_type = Some(request.protocol_type);
        }
        self.roster.add(Member {
            id: id.clone(),
            instance: request.instance,
            client_id: request.client_id,
            host: request.host,
            session: request.session,
            rebalance: request.rebalance,
            protocols: request.protocols,
            assignment: Bytes::new(),
            deadline: now + request.session,
            joining: Some(joining),
            syncing: None,
            synced: false,
        });
        if self.leader.is_none() {
            self.leader = Some(id);
        }
        self.rebalance(now, "a member joins");
        Err(answer)
    }

    /// A static member is back under a new id; the old one is fenced.
    fn replace(
        &mut self,
        old: &str,
        id: &str,
        request: JoinRequest,
        now: Instant,
    ) -> Later<Joined> {
        let Some(mut member) = self.roster.remove(old) else {
            return Ok(Joined::error(ResponseError::UnknownMemberId, old));
        };
        member.answer_join(Joined::error(ResponseError::FencedInstanceId, old));
        member.answer_sync(Synced::error(ResponseError::FencedInstanceId));
        let led = self.leader.as_deref() == Some(old);
        if led {
            self.leader = Some(id.to_owned());
        }
        member.id = id.to_owned();
        member.client_id = request.client_id;
        member.host = request.host;
        member.session = request.session;
        member.rebalance = request.rebalance;
        member.protocols = request.protocols;
        member.heard(now);
        self.roster.add(member);
        let settled = self.state == State::Stable && self.roster.vote() == self.protocol;
        if settled && (!led || request.may_skip_assignment) {
            let mut answer = self.joined(id);
            answer.skip_assignment = led;
            return Ok(answer);
        }
        if settled {
            // A leader that cannot be told to skip would assign anew, without a new generation:
            // it is told that another leads (as Apache Kafka does with such clients).
            let mut answer = self.joined(id);
            answer.leader = old.to_owned();
            answer.members.clear();
            return Ok(answer);
        }
        let (joining, answer) = oneshot::channel();
        if let Some(member) = self.roster.get_mut(id) {
            member.joining = Some(joining);
        }
        self.rebalance(now, "a static member is back");
        Err(answer)
    }

    fn join_again(&mut self, request: JoinRequest, now: Instant) -> Later<Joined> {
        let id = request.member;
        let leads = self.leader.as_ref() == Some(&id);
        let Some(member) = self.roster.get_mut(&id) else {
            return Ok(Joined::error(ResponseError::UnknownMemberId, &id));
        };
        let changed = member.protocols != request.protocols;
        member.heard(now);
        let answer_at_once = match self.state {
            State::Empty => return Ok(Joined::error(ResponseError::UnknownMemberId, &id)),
            State::PreparingRebalance => false,
            // It has not heard the answer, and asks again.
            State::CompletingRebalance => !changed,
            State::Stable => !leads && !changed,
        };
        if answer_at_once {
            return Ok(self.joined(&id));
        }
        let (joining, answer) = oneshot::channel();
        member.answer_join(Joined::error(ResponseError::UnknownMemberId, &id));
        member.joining = Some(joining);
        member.protocols = request.protocols;
        member.session = request.session;
        member.rebalance = request.rebalance;
        member.client_id = request.client_id;
        member.host = request.host;
        self.rebalance(now, "a member joins again");
        Err(answer)
    }

    /// A member asks for its assignment; the leader brings everybody's.
    pub(crate) fn sync(&mut self, request: SyncRequest, now: Instant) -> Later<Synced> {
        let id = request.member;
        if let Err(error) = self.check(&id, request.instance.as_deref(), request.generation) {
            return Ok(Synced::error(error));
        }
        let differs = |said: &Option<String>, is: &Option<String>| said.is_some() && said != is;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Ok(Synced::error(ResponseError::InconsistentGroupProtocol));
        }
        let Some(member) = self.roster.get_mut(&id) else {
            return Ok(Synced::error(ResponseError::UnknownMemberId));
        };
        member.synced = true;
        member.heard(now);
        match self.state {
            State::Empty => Ok(Synced::error(ResponseError::UnknownMemberId)),
            State::PreparingRebalance => Ok(Synced::error(ResponseError::RebalanceInProgress)),
            State::Stable => Ok(self.assigned(&id)),
            State::CompletingRebalance => {
                let (syncing, answer) = oneshot::channel();
                member.answer_sync(Synced::error(ResponseError::RebalanceInProgress));
                member.syncing = Some(syncing);
                if self.leader.as_ref() == Some(&id) {
                    for member in self.roster.iter_mut() {
                        member.assignment.clear();
                    }
                    for (id, assignment) in request.assignments {
                        if let Some(member) = self.roster.get_mut(&id) {
                            member.assignment = assignment;
                        }
                    }
                    self.become_stable();
                }
                Err(answer)
            }
        }
    }

    fn check(
        &self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        self.roster.check(id, instance)?;
        if generation == self.generation {
            Ok(())
        } else {
            Err(ResponseError::IllegalGeneration)
        }
    }

    /// A member is alive.
    pub(crate) fn heartbeat(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        self.check(id, instance, generation)?;
        if let Some(member) = self.roster.get_mut(id) {
            member.heard(now);
        }
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// A member leaves.
    pub(crate) fn leave(&mut self, leaver: &Leaver, now: Instant) -> Result<(), ResponseError> {
        let instance = leaver.instance.as_deref();
        let id = if leaver.member.is_empty() {
            let named = instance.and_then(|instance| self.roster.of_instance(instance));
            named.ok_or(ResponseError::UnknownMemberId)?.to_owned()
        } else if self.roster.pending.remove(&leaver.member).is_some() {
            self.complete_if_all_joined(now);
            return Ok(());
        } else {
            self.roster.check(&leaver.member, instance)?;
            leaver.member.clone()
        };
        self.part(&id, now, "leaves");
        Ok(())
    }

    /// Whether this member may commit offsets now.
    pub(crate) fn may_commit(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        self.unused_since = now;
        if generation < 0 && id.is_empty() && instance.is_none() {
            // A consumer that assigns its partitions itself.
            return if self.state == State::Empty {
                Ok(())
            } else {
                Err(ResponseError::UnknownMemberId)
            };
        }
        if self.state == State::Empty && !self.roster.is_empty() {
            return Err(ResponseError::UnknownMemberId);
        }
        self.check(id, instance, generation)?;
        if let Some(member) = self.roster.get_mut(id) {
            member.heard(now);
        }
        match self.state {
            State::CompletingRebalance => Err(ResponseError::RebalanceInProgress),
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance | State::Stable => Ok(()),
        }
    }
}
