//! The topics of the broker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use parking_lot::RwLock;
use uuid::Uuid;

use crate::config::TopicConfig;
use crate::partition::Partition;
use crate::rejection::Rejection;

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: Uuid,
    partitions: RwLock<Arc<[Arc<Partition>]>>,
    config: RwLock<Arc<TopicConfig>>,
}

impl Topic {
    /// Its partitions, as many as there are now.
    pub(crate) fn partitions(&self) -> Arc<[Arc<Partition>]> {
        Arc::clone(&self.partitions.read())
    }

    /// One partition.
    pub(crate) fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        self.partitions
            .read()
            .get(usize::try_from(index).ok()?)
            .cloned()
    }

    /// Its configuration as it is now.
    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read())
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&self, config: TopicConfig) {
        *self.config.write() = Arc::new(config);
    }
}

#[derive(Debug, Default)]
struct Index {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    partitions: usize,
}

/// All topics, by name and by id.
#[derive(Debug)]
pub(crate) struct Topics {
    index: RwLock<Index>,
    leader_epoch: i32,
    max_partitions: usize,
}

impl Topics {
    pub(crate) fn new(leader_epoch: i32, max_partitions: usize) -> Self {
        Topics {
            index: RwLock::default(),
            leader_epoch,
            max_partitions,
        }
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Topic>> {
        self.index.read().by_name.get(name).cloned()
    }

    pub(crate) fn with_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.index.read().by_id.get(&id).cloned()
    }

    /// All topics in order of name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.index.read().by_name.values().cloned().collect()
    }

    /// One partition of a topic.
    pub(crate) fn partition(&self, name: &str, index: i32) -> Option<Arc<Partition>> {
        self.named(name)?.partition(index)
    }

    /// Creates a topic, or only says whether that would be refused.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        config: TopicConfig,
        validate_only: bool,
    ) -> Result<Arc<Topic>, Rejection> {
        check_name(name)?;
        let count = check_count(partitions)?;
        let mut index = self.index.write();
        if index.by_name.contains_key(name) {
            return Err(Rejection::new(
                ResponseError::TopicAlreadyExists,
                format!("Topic '{name}' already exists."),
            ));
        }
        // Apache Kafka's metric names confuse '.' and '_', so it refuses what differs only there.
        let flat = name.replace('.', "_");
        if let Some(other) = index
            .by_name
            .keys()
            .find(|other| other.replace('.', "_") == flat)
        {
            return Err(Rejection::new(
                ResponseError::InvalidTopicException,
                format!("Topic '{name}' collides with existing topic: {other}"),
            ));
        }
        self.check_room(index.partitions, count)?;
        let topic = Arc::new(Topic {
            name: name.into(),
            id: Uuid::new_v4(),
            partitions: RwLock::new((0..count).map(|_| self.partition_of_new()).collect()),
            config: RwLock::new(Arc::new(config)),
        });
        if !validate_only {
            index.partitions += count;
            index
                .by_name
                .insert(Arc::clone(&topic.name), Arc::clone(&topic));
            index.by_id.insert(topic.id, Arc::clone(&topic));
        }
        Ok(topic)
    }

    fn partition_of_new(&self) -> Arc<Partition> {
        Arc::new(Partition::new(self.leader_epoch))
    }

    fn check_room(&self, before: usize, more: usize) -> Result<(), Rejection> {
        if before + more > self.max_partitions {
            return Err(Rejection::new(
                ResponseError::PolicyViolation,
                format!(
                    "this broker holds at most {} partitions",
                    self.max_partitions
                ),
            ));
        }
        Ok(())
    }

    /// Gives a topic more partitions, or only says whether that would be refused.
    pub(crate) fn grow(
        &self,
        name: &str,
        partitions: i32,
        validate_only: bool,
    ) -> Result<(), Rejection> {
        let mut index = self.index.write();
        let Some(topic) = index.by_name.get(name).cloned() else {
            return Err(Rejection::new(
                ResponseError::UnknownTopicOrPartition,
                format!("The topic '{name}' does not exist."),
            ));
        };
        let before = topic.partitions();
        let count = check_count(partitions)?;
        if count <= before.len() {
            return Err(Rejection::new(
                ResponseError::InvalidPartitions,
                format!(
                    "Topic currently has {} partitions, which is not fewer than the requested {count}.",
                    before.len()
                ),
            ));
        }
        let more = count - before.len();
        self.check_room(index.partitions, more)?;
        if !validate_only {
            index.partitions += more;
            let new = (0..more).map(|_| self.partition_of_new());
            *topic.partitions.write() = before.iter().cloned().chain(new).collect();
        }
        Ok(())
    }

    /// Deletes a topic; its records go and those who wait for more are told.
    pub(crate) fn delete(&self, name: &str) -> Option<Arc<Topic>> {
        let topic = {
            let mut index = self.index.write();
            let topic = index.by_name.remove(name)?;
            index.by_id.remove(&topic.id);
            index.partitions -= topic.partitions().len();
            topic
        };
        for partition in topic.partitions().iter() {
            partition.close();
        }
        Some(topic)
    }
}

fn check_count(partitions: i32) -> Result<usize, Rejection> {
    usize::try_from(partitions)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| {
            Rejection::new(
                ResponseError::InvalidPartitions,
                "Number of partitions must be larger than 0.",
            )
        })
}

/// Apache Kafka's rules for topic names.
pub(crate) fn check_name(name: &str) -> Result<(), Rejection> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let why = if name.is_empty() {
        "the empty string is not allowed"
    } else if name == "." || name == ".." {
        "'.' and '..' are not allowed"
    } else if name.len() > 249 {
        "it is longer than 249 characters"
    } else if !name.bytes().all(legal) {
        "it has characters other than ASCII letters, digits, '.', '_' and '-'"
    } else {
        return Ok(());
    };
    Err(Rejection::new(
        ResponseError::InvalidTopicException,
        format!("Topic name is invalid: {why}"),
    ))
}
