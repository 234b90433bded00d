//! The members of a group.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

/// The answer to JoinGroup.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    pub(crate) error: Option<ResponseError>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: String,
    pub(crate) member: String,
    pub(crate) skip_assignment: bool,
    /// All members with their instance ids and metadata; only the leader is told.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

impl Joined {
    pub(crate) fn error(error: ResponseError, member: &str) -> Self {
        Joined {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            member: member.to_owned(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }
}

/// The answer to SyncGroup.
#[derive(Debug, Clone)]
pub(crate) struct Synced {
    pub(crate) error: Option<ResponseError>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignment: Bytes,
}

impl Synced {
    pub(crate) fn error(error: ResponseError) -> Self {
        Synced {
            error: Some(error),
            protocol_type: None,
            protocol: None,
            assignment: Bytes::new(),
        }
    }
}

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) host: String,
    pub(crate) session: Duration,
    pub(crate) rebalance: Duration,
    /// The protocols it speaks, the preferred first, each with its metadata.
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    /// Until when it must be heard of, unless it waits for an answer.
    pub(crate) deadline: Instant,
    pub(crate) joining: Option<oneshot::Sender<Joined>>,
    pub(crate) syncing: Option<oneshot::Sender<Synced>>,
    /// Whether it has asked for its assignment of this generation.
    pub(crate) synced: bool,
}

impl Member {
    /// The session starts anew.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.deadline = now + self.session;
    }

    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let spoken = self.protocols.iter().find(|(name, _)| name == protocol);
        spoken
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    pub(crate) fn answer_join(&mut self, answer: Joined) {
        if let Some(joining) = self.joining.take() {
            // Nobody listens if the connection is gone; the session will end.
            drop(joining.send(answer));
        }
    }

    pub(crate) fn answer_sync(&mut self, answer: Synced) {
        if let Some(syncing) = self.syncing.take() {
            drop(syncing.send(answer));
        }
    }
}

/// Members in order of their ids, static ones also by instance id, and the ids that were handed
/// out to members who have not used them yet.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: BTreeMap<String, Member>,
    by_instance: HashMap<String, String>,
    pub(crate) pending: HashMap<String, Instant>,
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    /// The member that a static instance is now.
    pub(crate) fn of_instance(&self, instance: &str) -> Option<&str> {
        self.by_instance.get(instance).map(String::as_str)
    }

    pub(crate) fn add(&mut self, member: Member) {
        self.pending.remove(&member.id);
        if let Some(instance) = &member.instance {
            self.by_instance.insert(instance.clone(), member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.instance
            && self
                .by_instance
                .get(instance)
                .is_some_and(|current| current == id)
        {
            self.by_instance.remove(instance);
        }
        Some(member)
    }

    /// Finds the member that a request speaks of, checking its instance id (KIP-345).
    pub(crate) fn check(&self, id: &str, instance: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            match self.of_instance(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(current) if current != id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) {
            Ok(())
        } else {
            Err(ResponseError::UnknownMemberId)
        }
    }

    /// The protocol that all members speak and most prefer.
    pub(crate) fn vote(&self) -> Option<String> {
        let common = |name: &String| {
            self.iter()
                .all(|member| member.protocols.iter().any(|(other, _)| other == name))
        };
        let mut votes: Vec<(String, usize)> = Vec::new();
        for member in self.iter() {
            let Some((choice, _)) = member.protocols.iter().find(|(name, _)| common(name)) else {
                continue;
            };
            match votes.iter_mut().find(|(name, _)| name == choice) {
                Some((_, count)) => *count += 1,
                None => votes.push((choice.clone(), 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        votes
            .into_iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| name)
    }

    /// Whether somebody with these protocols could work with all members but `except`.
    pub(crate) fn agrees(&self, protocols: &[(String, Bytes)], except: Option<&str>) -> bool {
        protocols.iter().any(|(name, _)| {
            self.iter()
                .filter(|member| Some(member.id.as_str()) != except)
                .all(|member| member.protocols.iter().any(|(other, _)| other == name))
        })
    }
}
