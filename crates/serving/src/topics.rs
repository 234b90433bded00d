use std::sync::Arc;

use configuration::Server;
use kafka::{Admin, TopicSpec};

use crate::Error;

/// Partitions of the results topic where neither it nor the records topic exists.
const PARTITIONS: usize = 4;

/// The topics that a server reads and writes.
pub(crate) struct Topics {
    admin: Admin,
    settings: Arc<Server>,
}

impl Topics {
    pub(crate) fn new(admin: Admin, settings: Arc<Server>) -> Self {
        Self { admin, settings }
    }

    pub(crate) fn data_topic(&self) -> &str {
        &self.settings.basics.data_topic
    }

    /// Creates the topics that a server writes to, where they are missing; returns the number of
    /// partitions of the results topic.
    pub(crate) fn ensure(&self) -> Result<usize, Error> {
        let basics = &self.settings.basics;
        let dead_letters = TopicSpec {
            name: basics.dead_letter_topic.clone(),
            partitions: 1,
            config: vec![(
                "max.message.bytes".to_owned(),
                kafka::LARGEST_MESSAGE.to_string(),
            )],
        };
        if self.admin.partition_count(&dead_letters.name)?.is_none() {
            self.admin.ensure_topic(&dead_letters)?;
        }
        let records = self.admin.partition_count(&basics.data_topic)?;
        if records.is_none() {
            let topic = &basics.data_topic;
            tracing::warn!(
                topic,
                "the records topic does not exist yet; waiting for it"
            );
        }
        if let Some(partitions) = self.admin.partition_count(&basics.results_topic)? {
            return Ok(partitions);
        }
        let partitions = records.unwrap_or(PARTITIONS);
        let name = basics.results_topic.clone();
        self.admin.ensure_topic(&TopicSpec {
            name,
            partitions,
            config: Vec::new(),
        })?;
        Ok(self
            .admin
            .partition_count(&basics.results_topic)?
            .unwrap_or(partitions))
    }
}
