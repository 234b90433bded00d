//! How groups go through rebalances, with the clock in the test's hand.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

use super::membership::Later;
use super::rebalance::{Group, State};
use super::{Groups, JoinRequest, Joined, Leaver, SyncRequest, Synced};
use crate::options::Options;

const SESSION: Duration = Duration::from_secs(6);
const REBALANCE: Duration = Duration::from_secs(30);

fn group() -> Group {
    with(&Options::default())
}

fn with(options: &Options) -> Group {
    Group::new("group".to_owned(), Groups::new(options).limits)
}

fn asks(member: &str) -> JoinRequest {
    JoinRequest {
        member: member.to_owned(),
        instance: None,
        client_id: "client".to_owned(),
        host: "/127.0.0.1".to_owned(),
        session: SESSION,
        rebalance: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"topics"))],
        id_required: false,
        may_skip_assignment: true,
    }
}

fn instance(name: &str) -> JoinRequest {
    JoinRequest {
        instance: Some(name.to_owned()),
        ..asks("")
    }
}

fn syncs(joined: &Joined, assignments: &[(&str, &'static str)]) -> SyncRequest {
    SyncRequest {
        member: joined.member.clone(),
        instance: None,
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments
            .iter()
            .map(|(member, bytes)| ((*member).to_owned(), Bytes::from_static(bytes.as_bytes())))
            .collect(),
    }
}

fn waits<T: std::fmt::Debug>(answer: Later<T>) -> oneshot::Receiver<T> {
    answer.expect_err("the request waits")
}

fn comes<T>(answer: &mut oneshot::Receiver<T>) -> T {
    answer.try_recv().expect("the answer is there")
}

/// The answer, which is there at once.
fn now<T>(answer: Later<T>) -> T {
    answer.unwrap_or_else(|mut later| comes(&mut later))
}

/// A stable group of one, with its member's answer.
fn stable(group: &mut Group, at: Instant) -> Joined {
    let joined = now(group.join(asks(""), at));
    let synced = now(group.sync(syncs(&joined, &[(&joined.member, "all")]), at));
    assert_eq!((synced.error, &synced.assignment[..]), (None, &b"all"[..]));
    assert_eq!(group.state, State::Stable);
    joined
}

#[test]
fn the_first_member_leads_and_assigns() {
    let mut group = group();
    let joined = stable(&mut group, Instant::now());
    assert_eq!(
        (joined.generation, joined.leader.as_str()),
        (1, joined.member.as_str())
    );
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.protocol.as_deref(), Some("range"));
}

#[test]
fn a_new_member_must_ask_twice_if_its_client_can() {
    let mut group = group();
    let at = Instant::now();
    let first = now(group.join(
        JoinRequest {
            id_required: true,
            ..asks("")
        },
        at,
    ));
    assert_eq!(first.error, Some(ResponseError::MemberIdRequired));
    let joined = now(group.join(asks(&first.member), at));
    assert_eq!((joined.error, joined.member), (None, first.member));
    assert_eq!(
        now(group.join(asks("stranger"), at)).error,
        Some(ResponseError::UnknownMemberId)
    );
}

#[test]
fn a_handed_out_id_that_is_not_used_is_forgotten() {
    let mut group = group();
    let at = Instant::now();
    let first = now(group.join(
        JoinRequest {
            id_required: true,
            ..asks("")
        },
        at,
    ));
    group.pass(at + SESSION);
    let again = now(group.join(asks(&first.member), at + SESSION));
    assert_eq!(again.error, Some(ResponseError::UnknownMemberId));
}

#[test]
fn a_second_member_has_the_first_join_again() {
    let mut group = group();
    let at = Instant::now();
    let first = stable(&mut group, at);
    let mut second = waits(group.join(asks(""), at));
    let beat = group.heartbeat(&first.member, None, first.generation, at);
    assert_eq!(beat, Err(ResponseError::RebalanceInProgress));
    let first = now(group.join(asks(&first.member), at));
    let second = comes(&mut second);
    assert_eq!((first.generation, second.generation), (2, 2));
    assert_eq!(
        (first.members.len(), second.members.len()),
        (2, 0),
        "only the leader is told"
    );

    let mut waiting = waits(group.sync(syncs(&second, &[]), at));
    let parts = [
        (first.member.as_str(), "left"),
        (second.member.as_str(), "right"),
    ];
    assert_eq!(
        &now(group.sync(syncs(&first, &parts), at)).assignment[..],
        b"left"
    );
    assert_eq!(&comes(&mut waiting).assignment[..], b"right");
    assert_eq!(group.heartbeat(&second.member, None, 2, at), Ok(()));
    let old = group.heartbeat(&second.member, None, 1, at);
    assert_eq!(old, Err(ResponseError::IllegalGeneration));
}

#[test]
fn a_member_that_falls_silent_is_replaced_when_its_session_ends() {
    let mut group = group();
    let at = Instant::now();
    let first = stable(&mut group, at);
    let mut second = waits(group.join(asks(""), at));
    let first = now(group.join(asks(&first.member), at));
    let second = comes(&mut second);
    let parts = [
        (first.member.as_str(), "left"),
        (second.member.as_str(), "right"),
    ];
    now(group.sync(syncs(&first, &parts), at));

    let later = at + SESSION - Duration::from_millis(1);
    assert_eq!(group.heartbeat(&second.member, None, 2, later), Ok(()));
    group.pass(at + SESSION);
    let beat = group.heartbeat(&second.member, None, 2, at + SESSION);
    assert_eq!(beat, Err(ResponseError::RebalanceInProgress));
    let second = now(group.join(asks(&second.member), at + SESSION));
    assert_eq!((second.generation, second.members.len()), (3, 1));
    assert_eq!(second.leader, second.member);
}

#[test]
fn a_rebalance_goes_on_without_those_who_do_not_join() {
    let mut group = group();
    let at = Instant::now();
    stable(&mut group, at);
    let mut second = waits(group.join(asks(""), at));
    for seconds in 1..30 {
        // The first member stays alive, it just does not join.
        let id = group
            .roster
            .iter()
            .find(|m| m.joining.is_none())
            .map(|m| m.id.clone())
            .unwrap();
        let later = at + Duration::from_secs(seconds);
        let beat = group.heartbeat(&id, None, 1, later);
        assert_eq!(beat, Err(ResponseError::RebalanceInProgress));
        group.pass(later);
    }
    assert!(second.try_recv().is_err());
    group.pass(at + REBALANCE);
    assert_eq!(comes(&mut second).members.len(), 1);
}

#[test]
fn a_member_that_never_syncs_is_removed() {
    let mut group = group();
    let at = Instant::now();
    let first = now(group.join(asks(""), at));
    for second in 1..=30 {
        let later = at + Duration::from_secs(second);
        let _ = group.heartbeat(&first.member, None, 1, later);
        group.pass(later);
    }
    assert_eq!(group.state, State::Empty);
}

#[test]
fn leaving_hands_over_at_once() {
    let mut group = group();
    let at = Instant::now();
    let first = stable(&mut group, at);
    let leaver = Leaver {
        member: first.member.clone(),
        instance: None,
    };
    assert_eq!(group.leave(&leaver, at), Ok(()));
    assert_eq!(
        group.leave(&leaver, at),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(group.state, State::Empty);
    assert!(stable(&mut group, at).generation > first.generation);
}

#[test]
fn a_static_member_that_comes_back_keeps_its_assignment() {
    let mut group = group();
    let at = Instant::now();
    let first = now(group.join(instance("one"), at));
    now(group.sync(
        SyncRequest {
            instance: Some("one".into()),
            ..syncs(&first, &[(&first.member, "all")])
        },
        at,
    ));
    let back = now(group.join(instance("one"), at));
    assert_ne!(back.member, first.member);
    assert_eq!((back.generation, back.skip_assignment), (1, true));
    assert_eq!(
        &now(group.sync(syncs(&back, &[]), at)).assignment[..],
        b"all"
    );
    let fenced = group.heartbeat(&first.member, Some("one"), 1, at);
    assert_eq!(fenced, Err(ResponseError::FencedInstanceId));
}

#[test]
fn the_protocol_is_one_that_all_members_speak() {
    let mut group = group();
    let at = Instant::now();
    let speaks = |names: &[&str]| JoinRequest {
        protocols: names
            .iter()
            .map(|name| ((*name).to_owned(), Bytes::new()))
            .collect(),
        ..asks("")
    };
    let mut first = waits(group.join(speaks(&["sticky", "range"]), at));
    let first = comes(&mut first);
    let other = now(group.join(speaks(&["roundrobin"]), at));
    assert_eq!(other.error, Some(ResponseError::InconsistentGroupProtocol));
    let mut second = waits(group.join(speaks(&["range"]), at));
    let again = JoinRequest {
        member: first.member.clone(),
        ..speaks(&["sticky", "range"])
    };
    now(group.join(again, at));
    assert_eq!(comes(&mut second).protocol.as_deref(), Some("range"));
}

#[test]
fn the_first_rebalance_waits_for_more_members_if_told_to() {
    let delay = Duration::from_secs(3);
    let mut group = with(&Options {
        group_initial_rebalance_delay: delay,
        ..Options::default()
    });
    let at = Instant::now();
    let mut first = waits(group.join(asks(""), at));
    let mut second = waits(group.join(asks(""), at + delay / 2));
    group.pass(at + delay);
    assert!(
        first.try_recv().is_err(),
        "the second member had the group wait on"
    );
    group.pass(at + delay / 2 + delay);
    assert_eq!(
        (comes(&mut first).generation, comes(&mut second).generation),
        (1, 1)
    );
}

#[test]
fn offsets_are_committed_by_members_of_the_generation_only() {
    let mut group = group();
    let at = Instant::now();
    assert_eq!(
        group.may_commit("", None, -1, at),
        Ok(()),
        "no group management"
    );
    let joined = stable(&mut group, at);
    assert_eq!(group.may_commit(&joined.member, None, 1, at), Ok(()));
    let old = group.may_commit(&joined.member, None, 0, at);
    assert_eq!(old, Err(ResponseError::IllegalGeneration));
    assert_eq!(
        group.may_commit("", None, -1, at),
        Err(ResponseError::UnknownMemberId)
    );
}

#[test]
fn a_sync_during_a_rebalance_is_told_so() {
    let mut group = group();
    let at = Instant::now();
    let first = stable(&mut group, at);
    drop(group.join(asks(""), at));
    let synced: Synced = now(group.sync(syncs(&first, &[]), at));
    assert_eq!(synced.error, Some(ResponseError::RebalanceInProgress));
}

#[test]
fn an_empty_group_is_over_after_its_retention() {
    let mut group = group();
    let at = Instant::now();
    let joined = stable(&mut group, at);
    let year = Duration::from_hours(24 * 365);
    assert!(!group.is_over(at + year), "it has a member");
    group
        .leave(
            &Leaver {
                member: joined.member,
                instance: None,
            },
            at,
        )
        .unwrap();
    assert!(!group.is_over(at + Duration::from_secs(1)), "not at once");
    assert!(
        group.is_over(at + Duration::from_mins(10)),
        "it has no offsets"
    );
}

/// A member as its client sees it.
#[derive(Default)]
struct Simulated {
    id: String,
    generation: i32,
    joining: Option<oneshot::Receiver<Joined>>,
    syncing: Option<oneshot::Receiver<Synced>>,
}

impl Simulated {
    fn join(&mut self, group: &mut Group, at: Instant) {
        self.syncing = None;
        match group.join(asks(&self.id), at) {
            Ok(joined) => self.joined(&joined),
            Err(later) => self.joining = Some(later),
        }
    }

    fn joined(&mut self, joined: &Joined) {
        self.joining = None;
        if joined.error == Some(ResponseError::UnknownMemberId) {
            self.id.clear();
        } else if joined.error.is_none() {
            assert!(joined.generation >= self.generation, "generations go up");
            self.id.clone_from(&joined.member);
            self.generation = joined.generation;
        }
    }

    fn sync(&mut self, group: &mut Group, at: Instant) {
        let all: Vec<(String, Bytes)> = group
            .roster
            .iter()
            .map(|m| (m.id.clone(), m.id.clone().into()))
            .collect();
        let request = SyncRequest {
            member: self.id.clone(),
            instance: None,
            generation: self.generation,
            protocol_type: None,
            protocol: None,
            assignments: all,
        };
        self.syncing = group.sync(request, at).err();
    }

    fn listen(&mut self) {
        if let Some(Ok(joined)) = self.joining.as_mut().map(oneshot::Receiver::try_recv) {
            self.joined(&joined);
        }
        if let Some(Ok(synced)) = self.syncing.as_mut().map(oneshot::Receiver::try_recv) {
            self.syncing = None;
            if synced.error.is_none() {
                assert_eq!(
                    synced.assignment,
                    self.id.as_bytes(),
                    "everybody gets its own"
                );
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn whatever_members_do_the_group_becomes_stable_once_they_cooperate(
        steps in proptest::collection::vec((0_usize..4, 0_u8..6, 0_u64..4_000), 0..60),
    ) {
        let mut group = group();
        let mut at = Instant::now();
        let mut members: Vec<Simulated> = (0..4).map(|_| Simulated::default()).collect();
        for (who, what, wait) in steps {
            let member = &mut members[who];
            match what {
                0 | 1 => member.join(&mut group, at),
                2 => member.sync(&mut group, at),
                3 => {
                    let _ = group.heartbeat(&member.id, None, member.generation, at);
                }
                4 => {
                    let leaver = Leaver { member: member.id.clone(), instance: None };
                    let _ = group.leave(&leaver, at);
                }
                _ => {
                    at += Duration::from_millis(wait);
                    group.pass(at);
                }
            }
            members.iter_mut().for_each(Simulated::listen);
        }
        // From here on they do what clients do, until all have what they need.
        for _ in 0..20 {
            for who in 0..members.len() {
                let beat = group.heartbeat(&members[who].id, None, members[who].generation, at);
                let member = &mut members[who];
                if beat == Err(ResponseError::UnknownMemberId) {
                    member.id.clear();
                }
                if beat.is_err() && member.joining.is_none() {
                    member.join(&mut group, at);
                } else if beat.is_ok() && member.syncing.is_none() {
                    member.sync(&mut group, at);
                }
                members.iter_mut().for_each(Simulated::listen);
            }
            at += Duration::from_secs(2);
            group.pass(at);
            members.iter_mut().for_each(Simulated::listen);
        }
        proptest::prop_assert_eq!(group.state, State::Stable);
        proptest::prop_assert_eq!(group.roster.iter().count(), members.len());
        for member in &members {
            proptest::prop_assert_eq!(member.generation, group.generation);
        }
    }
}
