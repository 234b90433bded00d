//! Up to where each partition may be committed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use kafka::Position;

/// One assignment of a partition: a later one of the same partition is another, so that what is
/// left over from an earlier one does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tenure(u64);

/// The bits of a ticket that say which offset; the others say which tenure.
const OFFSET_BITS: u32 = 44;
const OFFSETS: u64 = (1 << OFFSET_BITS) - 1;
const TENURES: u64 = 1 << (64 - OFFSET_BITS);

impl Tenure {
    /// What goes through the sink with the message at `offset`. The lower bits will do: what is
    /// under way lies close together.
    pub(super) fn ticket(self, offset: i64) -> u64 {
        self.0 << OFFSET_BITS | offset.cast_unsigned() & OFFSETS
    }
}

/// Which records of the partitions that are ours have been sent and are not acknowledged, and so
/// up to where each partition may be committed: the first of them.
///
/// Records of a partition are sent in the order of their offsets and are mostly acknowledged in
/// that order, which costs nothing but moving the start of a range. Any other order is right too.
#[derive(Debug, Default)]
pub(super) struct Positions {
    lanes: BTreeMap<Tenure, Lane>,
    tenures: BTreeMap<i32, Tenure>,
    next: u64,
    under_way: u64,
    finished: u64,
    /// Partitions that were taken away since somebody asked.
    taken_away: Vec<i32>,
}

#[derive(Debug)]
struct Lane {
    partition: i32,
    /// Sent and not acknowledged, ascending; offsets may have gaps between ranges.
    under_way: VecDeque<Range<i64>>,
    /// Of those, what was acknowledged before its turn.
    early: BTreeSet<i64>,
    /// The offset after the last record that is finished, as all before it are.
    finished: Option<i64>,
    committed: Option<i64>,
}

impl Positions {
    /// These partitions are ours from now on.
    pub(super) fn assign(&mut self, partitions: &[i32]) {
        for &partition in partitions {
            self.remove(partition);
            let tenure = Tenure(self.next);
            self.next = (self.next + 1) % TENURES;
            self.tenures.insert(partition, tenure);
            let lane = Lane {
                partition,
                under_way: VecDeque::new(),
                early: BTreeSet::new(),
                finished: None,
                committed: None,
            };
            self.lanes.insert(tenure, lane);
        }
    }

    /// These partitions are no longer ours: nothing of them counts any more.
    pub(super) fn revoke(&mut self, partitions: &[i32]) {
        for &partition in partitions {
            self.remove(partition);
            self.taken_away.push(partition);
        }
    }

    fn remove(&mut self, partition: i32) {
        let tenure = self.tenures.remove(&partition);
        if let Some(lane) = tenure.and_then(|tenure| self.lanes.remove(&tenure)) {
            self.under_way -= lane.unfinished();
        }
    }

    /// The partitions that were taken away since the last call of [`Positions::forget_taken_away`].
    pub(super) fn taken_away(&self) -> &[i32] {
        &self.taken_away
    }

    /// What was taken away before now is of no interest any more.
    pub(super) fn forget_taken_away(&mut self) {
        self.taken_away.clear();
    }

    /// By which assignment the partition is ours, if it is.
    pub(super) fn tenure(&self, partition: i32) -> Option<Tenure> {
        self.tenures.get(&partition).copied()
    }

    /// The records at these offsets have been sent, all of them; later ones than those before.
    pub(super) fn sent(&mut self, tenure: Tenure, offsets: Range<i64>) {
        let Some(lane) = self.lanes.get_mut(&tenure) else {
            return;
        };
        self.under_way += length(&offsets);
        match lane.under_way.back_mut() {
            Some(last) if last.end == offsets.start => last.end = offsets.end,
            _ if offsets.is_empty() => {}
            _ => lane.under_way.push_back(offsets),
        }
    }

    /// A record is acknowledged. Doing it twice, or after a revocation, changes nothing.
    pub(super) fn acknowledged(&mut self, ticket: u64) {
        let Some(lane) = self.lanes.get_mut(&Tenure(ticket >> OFFSET_BITS)) else {
            return;
        };
        let newly = lane.acknowledge(ticket & OFFSETS);
        self.under_way -= u64::from(newly);
        self.finished += u64::from(newly);
    }

    /// How many records have been sent and are not acknowledged.
    pub(super) fn under_way(&self) -> u64 {
        self.under_way
    }

    /// How many records have been acknowledged since the start.
    pub(super) fn finished(&self) -> u64 {
        self.finished
    }

    /// Whether nothing of these partitions is under way.
    pub(super) fn is_idle(&self, partitions: &[i32]) -> bool {
        let lanes = self.lanes.values();
        lanes
            .filter(|lane| partitions.contains(&lane.partition))
            .all(|lane| lane.under_way.is_empty())
    }

    /// What may be committed and was not taken yet.
    pub(super) fn take_committable(&mut self) -> Vec<Position> {
        let committable = |lane: &mut Lane| {
            let offset = lane.finished.filter(|_| lane.finished != lane.committed)?;
            lane.committed = Some(offset);
            Some(Position {
                partition: lane.partition,
                offset,
            })
        };
        self.lanes.values_mut().filter_map(committable).collect()
    }

    /// What may be committed, whether it was taken or not: for the last commit of a partition.
    pub(super) fn committable(&self, partitions: &[i32]) -> Vec<Position> {
        let lanes = self.lanes.values();
        lanes
            .filter(|lane| partitions.contains(&lane.partition))
            .filter_map(|lane| {
                Some(Position {
                    partition: lane.partition,
                    offset: lane.finished?,
                })
            })
            .collect()
    }
}

impl Lane {
    /// Whether it had not been acknowledged.
    fn acknowledge(&mut self, low_bits: u64) -> bool {
        let Some(first) = self.under_way.front_mut() else {
            return false;
        };
        // The first offset under way that ends in these bits.
        let ahead = low_bits.wrapping_sub(first.start.cast_unsigned()) & OFFSETS;
        if ahead > 0 {
            let offset = first.start.saturating_add_unsigned(ahead);
            let known = self.under_way.iter().any(|range| range.contains(&offset));
            return known && self.early.insert(offset);
        }
        first.start += 1;
        self.finished = Some(first.start);
        if first.is_empty() {
            self.under_way.pop_front();
        }
        self.take_early();
        true
    }

    /// What was acknowledged before its turn, and has its turn now.
    fn take_early(&mut self) {
        while let Some(first) = self.under_way.front_mut()
            && self.early.remove(&first.start)
        {
            first.start += 1;
            self.finished = Some(first.start);
            if first.is_empty() {
                self.under_way.pop_front();
            }
        }
    }

    fn unfinished(&self) -> u64 {
        self.under_way.iter().map(length).sum::<u64>() - self.early.len() as u64
    }
}

fn length(offsets: &Range<i64>) -> u64 {
    offsets
        .end
        .saturating_sub(offsets.start)
        .max(0)
        .cast_unsigned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position { partition, offset }
    }

    #[test]
    fn in_order_the_commit_follows_every_acknowledgement() {
        let mut positions = Positions::default();
        positions.assign(&[0, 1]);
        let tenure = positions.tenure(1).unwrap();
        positions.sent(tenure, 3..5);
        positions.sent(tenure, 5..6);
        positions.sent(tenure, 8..9);
        assert_eq!(positions.under_way(), 4);
        assert!(positions.take_committable().is_empty());
        for (offset, committable) in [(3, 4), (4, 5), (5, 6), (8, 9)] {
            assert!(!positions.is_idle(&[0, 1]));
            positions.acknowledged(tenure.ticket(offset));
            assert_eq!(positions.take_committable(), [at(1, committable)]);
            assert!(positions.take_committable().is_empty());
        }
        assert!(positions.is_idle(&[0, 1]));
        assert_eq!((positions.under_way(), positions.finished()), (0, 4));
        assert_eq!(positions.committable(&[0, 1]), [at(1, 9)]);
    }

    #[test]
    fn what_is_left_of_an_earlier_assignment_does_not_count() {
        let mut positions = Positions::default();
        positions.assign(&[0]);
        let old = positions.tenure(0).unwrap();
        positions.sent(old, 10..12);
        positions.revoke(&[0]);
        assert_eq!((positions.tenure(0), positions.under_way()), (None, 0));
        assert_eq!(positions.taken_away(), [0]);
        positions.sent(old, 12..13);
        positions.assign(&[0]);
        let new = positions.tenure(0).unwrap();
        positions.sent(new, 10..11);
        positions.acknowledged(old.ticket(10));
        assert!(positions.take_committable().is_empty());
        assert_eq!(positions.under_way(), 1);
        positions.acknowledged(new.ticket(10));
        assert_eq!(positions.take_committable(), [at(0, 11)]);
    }

    #[test]
    fn offsets_that_need_more_bits_than_a_ticket_has_are_told_apart() {
        let mut positions = Positions::default();
        positions.assign(&[0]);
        let tenure = positions.tenure(0).unwrap();
        let start = (1 << 62) - 2;
        positions.sent(tenure, start..start + 4);
        for offset in [start + 3, start, start + 1, start + 2] {
            positions.acknowledged(tenure.ticket(offset));
        }
        assert_eq!(positions.take_committable(), [at(0, start + 4)]);
    }

    proptest! {
        #[test]
        fn in_whatever_order_they_are_acknowledged_the_commit_passes_none_that_is_not(
            order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
            gap in 1..4_i64,
        ) {
            let mut positions = Positions::default();
            positions.assign(&[7]);
            let tenure = positions.tenure(7).unwrap();
            let offset = |i: usize| i as i64 * gap;
            for i in 0..40 {
                positions.sent(tenure, offset(i)..offset(i) + 1);
            }
            let mut done = [false; 40];
            for (count, i) in order.into_iter().enumerate() {
                positions.acknowledged(tenure.ticket(offset(i)));
                positions.acknowledged(tenure.ticket(offset(i)));
                done[i] = true;
                prop_assert_eq!(positions.under_way(), 39 - count as u64);
                let first = done.iter().position(|done| !done).unwrap_or(40);
                for position in positions.take_committable() {
                    prop_assert_eq!(position.offset, offset(first - 1) + 1);
                }
            }
            prop_assert_eq!(positions.committable(&[7]), [at(7, offset(39) + 1)]);
        }
    }
}
