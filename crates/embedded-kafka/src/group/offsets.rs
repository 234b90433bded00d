use std::collections::BTreeMap;
use std::sync::Arc;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// -1 if the client did not say.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// What a group has committed, by topic and partition.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    by_topic: BTreeMap<Arc<str>, BTreeMap<i32, Committed>>,
    used: bool,
}

impl Offsets {
    pub(crate) fn commit(&mut self, topic: &Arc<str>, partition: i32, committed: Committed) {
        self.used = true;
        self.by_topic
            .entry(Arc::clone(topic))
            .or_default()
            .insert(partition, committed);
    }

    /// Whether nothing has ever been committed.
    pub(crate) fn were_never_used(&self) -> bool {
        !self.used
    }

    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.by_topic.get(topic)?.get(&partition)
    }

    pub(crate) fn iter(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = (i32, &Committed)>)> {
        self.by_topic.iter().map(|(topic, partitions)| {
            (
                topic,
                partitions
                    .iter()
                    .map(|(index, committed)| (*index, committed)),
            )
        })
    }

    pub(crate) fn remove(&mut self, topic: &str, partition: i32) -> bool {
        let Some(partitions) = self.by_topic.get_mut(topic) else {
            return false;
        };
        let removed = partitions.remove(&partition).is_some();
        if partitions.is_empty() {
            self.by_topic.remove(topic);
        }
        removed
    }

    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.by_topic.remove(topic);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }
}
