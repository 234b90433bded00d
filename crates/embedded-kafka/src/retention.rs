//! What old records have to go.

use std::sync::Arc;

use crate::clock;
use crate::node::Node;
use crate::partition::Partition;

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
    let silence = i64::try_from(node.options.producer_retention.as_millis()).unwrap_or(i64::MAX);
    for topic in node.topics.all() {
        let config = topic.config();
        for partition in topic.partitions().iter() {
            if let Some(age) = config.retention_ms {
                partition.trim_to_time(now.saturating_sub(age));
            }
            if let Some(bytes) = config.retention_bytes {
                partition.trim_to_bytes(bytes);
            }
            partition
                .log()
                .producers
                .forget(now.saturating_sub(silence));
        }
    }
    trim_to_limit(node);
}

/// Brings the trimmable partitions below the memory limit: the largest lose their oldest records
/// until all is well, the others lose nothing. Likewise, under a limit of their own, those that are
/// to be kept for ever, which nothing that lives in memory can promise.
pub(crate) fn trim_to_limit(node: &Node) {
    let mut trimmable: Vec<Arc<Partition>> = Vec::new();
    let mut unlimited: Vec<Arc<Partition>> = Vec::new();
    for topic in node.topics.all() {
        let config = topic.config();
        if config.trimmable {
            trimmable.extend(topic.partitions().iter().cloned());
        } else if !config.compact {
            unlimited.extend(topic.partitions().iter().cloned());
        }
    }
    if let Some(level) = shrink(&trimmable, node.options.memory, 0) {
        tracing::debug!(level, "memory limit reached, old records go");
    }
    if let Some(level) = shrink(&unlimited, node.options.unlimited_memory, 1) {
        tracing::warn!(
            level,
            "topics with unlimited retention take more memory than there is for them: their oldest records go"
        );
    }
    node.set_trimmable(trimmable.iter().map(|partition| partition.memory()).sum());
}

/// Trims the largest of these partitions so that all together are below the limit. Returns the
/// size that they were cut to, if they were. Each keeps its newest `kept` batches: of a topic that
/// is to be kept for ever, the newest is what matters most.
fn shrink(partitions: &[Arc<Partition>], limit: u64, kept: usize) -> Option<u64> {
    let sizes: Vec<u64> = partitions
        .iter()
        .map(|partition| partition.memory())
        .collect();
    if sizes.iter().sum::<u64>() <= limit {
        return None;
    }
    let level = level(&sizes, limit / LEFT.1 * LEFT.0);
    for partition in partitions
        .iter()
        .filter(|partition| partition.memory() > level)
    {
        partition.trim_to_memory(level, kept);
    }
    Some(level)
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
    use std::time::Duration;

    use super::*;
    use crate::batch::{Batch, Compression};
    use crate::config::TopicConfig;
    use crate::options::Options;
    use crate::samples;
    use crate::topics::Topic;

    #[test]
    fn the_largest_shrink_and_the_others_stay() {
        assert_eq!(level(&[10, 100, 1000], 500), 390);
        assert_eq!(level(&[1000, 1000], 500), 250);
        assert_eq!(level(&[10, 20], 500), u64::MAX);
        assert_eq!(level(&[], 0), u64::MAX);
    }

    fn topic(node: &Node, name: &str, settings: &[(&str, &str)]) -> Arc<Topic> {
        let set = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let config = TopicConfig::new(set, &node.options).unwrap();
        node.topics.create(name, 1, config, false).unwrap()
    }

    fn fill(node: &Node, topic: &Topic, batches: usize, timestamp: i64) {
        let config = topic.config();
        for _ in 0..batches {
            let sent = samples::batch(&[(timestamp, None, &[7; 1000])], Compression::None, None);
            let batch = Batch::check(&sent).unwrap();
            let partition = topic.partition(0).unwrap();
            let (_, bytes) = partition.append(batch, &config, 1_000).unwrap();
            if config.trimmable {
                node.grew(bytes);
            }
        }
    }

    fn start(topic: &Topic) -> i64 {
        topic.partition(0).unwrap().log().start()
    }

    const UNLIMITED: &[(&str, &str)] = &[("retention.ms", "-1"), ("retention.bytes", "-1")];
    const COMPACT: &[(&str, &str)] = &[("cleanup.policy", "compact"), ("retention.ms", "1")];

    #[test]
    fn memory_is_bounded_at_the_cost_of_the_largest() {
        let memory = 1 << 20;
        let node = Node::new(Options {
            memory,
            ..Options::default()
        });
        let (small, large) = (topic(&node, "small", &[]), topic(&node, "large", &[]));
        let (unlimited, compact) = (
            topic(&node, "models", UNLIMITED),
            topic(&node, "c", COMPACT),
        );
        for topic in [&small, &unlimited, &compact] {
            fill(&node, topic, 100, 1_000);
        }
        fill(&node, &large, 5_000, 1_000);
        trim_to_limit(&node);
        let held = |topic: &Topic| topic.partition(0).unwrap().memory();
        assert!(held(&small) + held(&large) <= memory);
        assert!(
            held(&small) + held(&large) > memory / 2,
            "no more is trimmed than need be"
        );
        assert_eq!(
            (start(&small), start(&unlimited), start(&compact)),
            (0, 0, 0)
        );
        assert!(start(&large) > 4_000);
    }

    #[test]
    fn even_unlimited_retention_ends_where_memory_does() {
        let node = Node::new(Options {
            unlimited_memory: 1 << 20,
            ..Options::default()
        });
        let (models, compact) = (
            topic(&node, "models", UNLIMITED),
            topic(&node, "c", COMPACT),
        );
        fill(&node, &models, 5_000, 1_000);
        fill(&node, &compact, 5_000, 1_000);
        trim_to_limit(&node);
        assert!(models.partition(0).unwrap().memory() <= 1 << 20);
        assert!(start(&models) > 3_000, "the oldest go");
        assert!(start(&models) < 5_000, "the newest stay");
        assert_eq!(start(&compact), 0);
        shrink(&models.partitions(), 1, 1);
        assert_eq!(start(&models), 4_999, "never the newest");
    }

    #[test]
    fn passing_the_limit_wakes_retention_at_once() {
        let node = Node::new(Options {
            memory: 100_000,
            ..Options::default()
        });
        let topic = topic(&node, "topic", &[]);
        fill(&node, &topic, 200, 1_000);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let woken = node.trim.notified();
            tokio::time::timeout(Duration::from_secs(10), woken)
                .await
                .unwrap();
        });
    }

    #[test]
    fn old_records_go_but_not_from_topics_that_keep_them() {
        let day = 24 * 3600 * 1000;
        let node = Node::new(Options::default());
        let (usual, brief) = (
            topic(&node, "usual", &[]),
            topic(&node, "brief", &[("retention.ms", "10")]),
        );
        let (unlimited, compact) = (
            topic(&node, "models", UNLIMITED),
            topic(&node, "c", COMPACT),
        );
        for topic in [&usual, &brief, &unlimited, &compact] {
            fill(&node, topic, 2, 1_000);
        }
        trim(&node, 1_000 + day);
        assert_eq!((start(&usual), start(&brief), start(&unlimited)), (0, 2, 0));
        trim(&node, 1_001 + 7 * day);
        assert_eq!(
            (start(&usual), start(&unlimited), start(&compact)),
            (2, 0, 0)
        );
    }
}
