//! What old records have to go.

use std::sync::Arc;

use crate::clock;
use crate::log::Partition;
use crate::node::Node;

/// Of the memory that trimmable records may take, what is left to them when they took more: a
/// little room, so that not every append has retention run.
const LEFT: (u64, u64) = (9, 10);

/// Applies every topic's retention and the broker's memory limit, again and again.
pub(crate) async fn run(node: Arc<Node>) {
    let mut rounds = tokio::time::interval(node.options.retention_check_interval);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rounds.tick() => trim(&node, clock::now_ms()),
            () = node.trim.notified() => trim_to_limit(&node),
        }
    }
}

/// One round at `now`, in ms since 1970.
pub(crate) fn trim(node: &Node, now: i64) {
    let age = i64::try_from(node.options.producer_retention.as_millis()).unwrap_or(i64::MAX);
    for topic in node.topics.all() {
        let config = topic.config();
        for partition in topic.partitions().iter() {
            partition.change(|log| {
                if let Some(age) = config.retention_ms {
                    log.trim_to_time(now.saturating_sub(age));
                }
                if let Some(bytes) = config.retention_bytes {
                    log.trim_to_bytes(bytes);
                }
                log.producers.forget(now.saturating_sub(age));
            });
        }
    }
    trim_to_limit(node);
}

/// Brings the trimmable partitions below the memory limit: the largest lose their oldest records
/// until all is well, the others lose nothing.
pub(crate) fn trim_to_limit(node: &Node) {
    let mut partitions: Vec<Arc<Partition>> = Vec::new();
    for topic in node.topics.all() {
        if topic.config().trimmable {
            partitions.extend(topic.partitions().iter().cloned());
        }
    }
    let sizes: Vec<u64> = partitions
        .iter()
        .map(|partition| partition.memory())
        .collect();
    let total: u64 = sizes.iter().sum();
    let limit = node.options.memory;
    if total > limit {
        let level = level(&sizes, limit / LEFT.1 * LEFT.0);
        tracing::debug!(total, limit, level, "memory limit reached, old records go");
        for partition in partitions
            .iter()
            .filter(|partition| partition.memory() > level)
        {
            partition.change(|log| log.trim_to_memory(level));
        }
    }
    node.set_trimmable(partitions.iter().map(|partition| partition.memory()).sum());
}

/// The size to which the larger ones must shrink so that all together take `budget`.
fn level(sizes: &[u64], budget: u64) -> u64 {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    let mut left = budget;
    let mut count = sorted.len() as u64;
    for size in sorted {
        let share = left / count.max(1);
        if size > share {
            return share;
        }
        left -= size;
        count -= 1;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_shrink_and_the_others_stay() {
        assert_eq!(level(&[10, 100, 1000], 500), 390);
        assert_eq!(level(&[1000, 1000], 500), 250);
        assert_eq!(level(&[10, 20], 500), u64::MAX);
        assert_eq!(level(&[], 0), u64::MAX);
    }
}
