use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka::Position;

/// The number of a member of the group, among those of this process.
pub(crate) type Member = usize;

/// Names one record between its source and its end: which assignment it came with, and its place
/// in it. It fits the 64 bits that ride with a message through the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Default for Ticket {
    fn default() -> Self {
        Self::NONE
    }
}

impl Ticket {
    /// Of messages that no record waits for.
    pub(crate) const NONE: Self = Self(u64::MAX);
    const LANE_BITS: u32 = 20;

    fn new(lane: u64, place: u64) -> Self {
        Self(lane << (64 - Self::LANE_BITS) | place)
    }

    pub(crate) fn lane(self) -> u64 {
        self.0 >> (64 - Self::LANE_BITS)
    }

    fn place(self) -> u64 {
        self.0 & (u64::MAX >> Self::LANE_BITS)
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// Which records are finished, and so up to where each partition may be committed: the first
/// record that is not. "Finished" is: its result, or its dead letter, is acknowledged, or it was
/// dropped as it should be.
///
/// Records come in the order of their offsets and finish in any order. Offsets may have gaps.
///
/// A process may hold several members of the group, each with a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    lanes: Mutex<Lanes>,
}

/// The assignments in force at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assigned(Arc<BTreeSet<u64>>);

impl Assigned {
    /// Whether these are the same, without any change in between.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the record's partition is ours, by the assignment that it came with.
    pub(crate) fn holds(&self, ticket: Ticket) -> bool {
        self.0.contains(&ticket.lane())
    }
}

#[derive(Debug, Default)]
struct Lanes {
    /// One for each assignment of a partition that is in force; a later assignment of the same
    /// partition is another lane, so that what is left over from an earlier one does not count.
    by_id: BTreeMap<u64, Lane>,
    id_of: BTreeMap<(Member, i32), u64>,
    assigned: Assigned,
    next_id: u64,
    unfinished: usize,
    /// Records from the first unfinished one on, finished or not, of all lanes.
    open: usize,
}

#[derive(Debug)]
struct Lane {
    member: Member,
    partition: i32,
    /// The place of the first entry of `window`.
    first: u64,
    window: VecDeque<Entry>,
    /// The offset after the last record before the window.
    finished: Option<i64>,
    committed: Option<i64>,
    unfinished: usize,
    /// Of the unfinished, those that wait for a model.
    kept: usize,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    finished: bool,
    kept: bool,
}

impl Tracker {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // A panic elsewhere leaves counts, not invariants, behind.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These partitions are the member's from now on.
    pub(crate) fn assign(&self, member: Member, partitions: &[i32]) {
        let mut lanes = self.lock();
        for &partition in partitions {
            lanes.remove(member, partition);
            let id = lanes.next_id;
            // The last id would make tickets that look like none.
            lanes.next_id = (id + 1) % ((1 << Ticket::LANE_BITS) - 1);
            lanes.id_of.insert((member, partition), id);
            let lane = Lane {
                member,
                partition,
                first: 0,
                window: VecDeque::new(),
                finished: None,
                committed: None,
                unfinished: 0,
                kept: 0,
            };
            lanes.by_id.insert(id, lane);
        }
        lanes.note_assigned();
    }

    /// These partitions are no longer the member's: nothing of them counts any more.
    pub(crate) fn revoke(&self, member: Member, partitions: &[i32]) {
        let mut lanes = self.lock();
        for &partition in partitions {
            lanes.remove(member, partition);
        }
        lanes.note_assigned();
    }

    /// The member has read records at these positions: a ticket for each, in order. `None`: its
    /// partition is not the member's (any more).
    pub(crate) fn begin(
        &self,
        member: Member,
        positions: impl Iterator<Item = Position>,
        tickets: &mut Vec<Option<Ticket>>,
    ) {
        let mut lanes = self.lock();
        tickets.clear();
        tickets.extend(positions.map(|position| lanes.begin(member, position)));
    }

    /// The assignments that are in force now.
    pub(crate) fn assigned(&self) -> Assigned {
        self.lock().assigned.clone()
    }

    /// A record is put aside until its data type has a model; finishing takes it back.
    pub(crate) fn keep(&self, ticket: Ticket) {
        let mut lanes = self.lock();
        let Some(lane) = lanes.by_id.get_mut(&ticket.lane()) else {
            return;
        };
        let Some(entry) = lane.entry(ticket) else {
            return;
        };
        if !entry.finished && !std::mem::replace(&mut entry.kept, true) {
            lane.kept += 1;
        }
    }

    /// A record that was put aside goes on its way.
    pub(crate) fn resume(&self, ticket: Ticket) {
        let mut lanes = self.lock();
        let Some(lane) = lanes.by_id.get_mut(&ticket.lane()) else {
            return;
        };
        if let Some(entry) = lane.entry(ticket) {
            let kept = usize::from(std::mem::take(&mut entry.kept));
            lane.kept -= kept;
        }
    }

    /// A record is finished. Doing it twice, or after a revocation, changes nothing.
    pub(crate) fn finish(&self, ticket: Ticket) {
        let mut lanes = self.lock();
        let Some(lane) = lanes.by_id.get_mut(&ticket.lane()) else {
            return;
        };
        let Some(entry) = lane.entry(ticket) else {
            return;
        };
        if std::mem::replace(&mut entry.finished, true) {
            return;
        }
        let kept = usize::from(std::mem::take(&mut entry.kept));
        lane.kept -= kept;
        lane.unfinished -= 1;
        let before = lane.window.len();
        while let Some(entry) = lane.window.front().filter(|entry| entry.finished) {
            lane.finished = Some(entry.offset.saturating_add(1));
            lane.first += 1;
            lane.window.pop_front();
        }
        let closed = before - lane.window.len();
        lanes.unfinished -= 1;
        lanes.open -= closed;
    }

    /// How many records have been read and are not finished.
    pub(crate) fn unfinished(&self) -> usize {
        self.lock().unfinished
    }

    /// How many records have been read that cannot be committed: what is not finished, and what has
    /// been finished behind it.
    pub(crate) fn open(&self) -> usize {
        self.lock().open
    }

    /// Whether nothing of the member's partitions is under way; what waits for a model is not.
    pub(crate) fn is_idle(&self, member: Member, partitions: &[i32]) -> bool {
        let lanes = self.lock();
        partitions.iter().all(|&partition| {
            let lane = lanes
                .id_of
                .get(&(member, partition))
                .and_then(|id| lanes.by_id.get(id));
            lane.is_none_or(|lane| lane.unfinished == lane.kept)
        })
    }

    /// The partitions that are ours, ascending.
    pub(crate) fn partitions(&self) -> Vec<i32> {
        let lanes = self.lock();
        let partitions: BTreeSet<i32> = lanes
            .id_of
            .keys()
            .map(|&(_, partition)| partition)
            .collect();
        partitions.into_iter().collect()
    }

    /// What the member may commit and has not taken yet: for the commits on the way, of which a
    /// failed one is made up for by the next.
    pub(crate) fn take_committable(&self, member: Member) -> Vec<Position> {
        let mut lanes = self.lock();
        let committable = |lane: &mut Lane| {
            let offset = lane.finished.filter(|_| lane.finished != lane.committed)?;
            lane.committed = Some(offset);
            Some(Position {
                partition: lane.partition,
                offset,
            })
        };
        let own = lanes
            .by_id
            .values_mut()
            .filter(|lane| lane.member == member);
        own.filter_map(committable).collect()
    }

    /// What the member may commit, whether it was taken or not: for the last commit of a partition.
    pub(crate) fn committable(&self, member: Member, partitions: &[i32]) -> Vec<Position> {
        let lanes = self.lock();
        let ours = lanes
            .by_id
            .values()
            .filter(|lane| lane.member == member && partitions.contains(&lane.partition));
        ours.filter_map(|lane| {
            Some(Position {
                partition: lane.partition,
                offset: lane.finished?,
            })
        })
        .collect()
    }
}

impl Lanes {
    fn begin(&mut self, member: Member, position: Position) -> Option<Ticket> {
        let id = *self.id_of.get(&(member, position.partition))?;
        let lane = self.by_id.get_mut(&id)?;
        let place = lane.first + lane.window.len() as u64;
        lane.window.push_back(Entry {
            offset: position.offset,
            finished: false,
            kept: false,
        });
        lane.unfinished += 1;
        self.unfinished += 1;
        self.open += 1;
        Some(Ticket::new(id, place))
    }

    fn note_assigned(&mut self) {
        self.assigned = Assigned(Arc::new(self.by_id.keys().copied().collect()));
    }

    fn remove(&mut self, member: Member, partition: i32) {
        let Some(id) = self.id_of.remove(&(member, partition)) else {
            return;
        };
        if let Some(lane) = self.by_id.remove(&id) {
            self.unfinished -= lane.unfinished;
            self.open -= lane.window.len();
        }
    }
}

impl Lane {
    fn entry(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        let index = ticket.place().checked_sub(self.first)?;
        self.window.get_mut(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const M: Member = 0;

    fn begin(tracker: &Tracker, position: Position) -> Option<Ticket> {
        let mut tickets = Vec::new();
        tracker.begin(M, std::iter::once(position), &mut tickets);
        tickets[0]
    }

    fn at(partition: i32, offset: i64) -> Position {
        Position { partition, offset }
    }

    #[test]
    fn only_what_is_finished_without_a_gap_may_be_committed() {
        let tracker = Tracker::default();
        tracker.assign(M, &[0, 1]);
        let tickets: Vec<_> = [3, 4, 7]
            .map(|offset| begin(&tracker, at(0, offset)).unwrap())
            .into();
        assert!(tracker.take_committable(M).is_empty());
        tracker.finish(tickets[1]);
        assert!(tracker.take_committable(M).is_empty());
        tracker.finish(tickets[0]);
        assert_eq!(tracker.take_committable(M), [at(0, 5)]);
        assert!(tracker.take_committable(M).is_empty());
        tracker.finish(tickets[2]);
        tracker.finish(tickets[2]);
        assert_eq!(tracker.unfinished(), 0);
        assert_eq!(tracker.take_committable(M), [at(0, 8)]);
        assert_eq!(tracker.committable(M, &[0, 1]), [at(0, 8)]);
    }

    #[test]
    fn what_is_left_of_an_earlier_assignment_does_not_count() {
        let tracker = Tracker::default();
        tracker.assign(M, &[0]);
        let old = begin(&tracker, at(0, 10)).unwrap();
        tracker.revoke(M, &[0]);
        assert!(!tracker.assigned().holds(old));
        assert_eq!(begin(&tracker, at(0, 11)), None);
        tracker.assign(M, &[0]);
        let new = begin(&tracker, at(0, 10)).unwrap();
        tracker.finish(old);
        assert!(tracker.take_committable(M).is_empty());
        assert_eq!(tracker.unfinished(), 1);
        tracker.finish(new);
        assert_eq!(tracker.take_committable(M), [at(0, 11)]);
    }

    #[test]
    fn a_record_that_waits_for_a_model_holds_the_commit_and_not_the_revocation() {
        let tracker = Tracker::default();
        tracker.assign(M, &[0]);
        let kept = begin(&tracker, at(0, 0)).unwrap();
        let other = begin(&tracker, at(0, 1)).unwrap();
        tracker.keep(kept);
        tracker.keep(kept);
        assert!(!tracker.is_idle(M, &[0]));
        tracker.finish(other);
        assert_eq!((tracker.unfinished(), tracker.open()), (1, 2));
        assert!(tracker.is_idle(M, &[0]));
        assert!(tracker.take_committable(M).is_empty());
        // Its model has come: from now on its partition waits for it again.
        tracker.resume(kept);
        tracker.resume(kept);
        assert!(!tracker.is_idle(M, &[0]));
        tracker.finish(kept);
        assert!(tracker.is_idle(M, &[0]));
        assert_eq!(tracker.take_committable(M), [at(0, 2)]);
    }

    #[test]
    fn messages_that_no_record_waits_for_finish_nothing() {
        let tracker = Tracker::default();
        tracker.assign(M, &[0]);
        tracker.finish(Ticket::NONE);
        tracker.finish(Ticket::from_bits(12345));
        assert_eq!(tracker.unfinished(), 0);
    }

    proptest! {
        #[test]
        fn in_whatever_order_records_finish_the_commit_never_passes_one_that_is_not(
            order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
            gap in 1..5_i64,
        ) {
            let tracker = Tracker::default();
            tracker.assign(M, &[7]);
            let tickets: Vec<_> =
                (0..40).map(|i| begin(&tracker, at(7, i * gap)).unwrap()).collect();
            let mut finished = [false; 40];
            for i in order {
                tracker.finish(tickets[i]);
                finished[i] = true;
                let first = finished.iter().position(|done| !done).unwrap_or(40);
                for position in tracker.take_committable(M) {
                    prop_assert_eq!(position.offset, (first as i64 - 1) * gap + 1);
                }
            }
            prop_assert_eq!((tracker.unfinished(), tracker.open()), (0, 0));
        }
    }
}
