//! The results topic.

use std::sync::atomic::{AtomicU32, Ordering};

use configuration::Passthrough;
use kafka::{Admin, Connection, TopicSpec};

/// The results topic, as it was when it was last looked up.
pub(super) struct Results {
    admin: Admin,
    records: String,
    topic: String,
    partitions: AtomicU32,
}

impl Results {
    pub(super) fn open(connection: &Connection, settings: &Passthrough) -> kafka::Result<Self> {
        Ok(Self {
            admin: Admin::open(connection)?,
            records: settings.basics.data_topic.clone(),
            topic: settings.basics.results_topic.clone(),
            partitions: AtomicU32::new(0),
        })
    }

    /// Looks the topic up, and creates it where it is missing, with as many partitions as the
    /// records topic has. Returns whether that one exists.
    pub(super) fn look_up(&self) -> kafka::Result<bool> {
        let records = self.admin.partition_count(&self.records)?;
        let mut found = self.admin.partition_count(&self.topic)?;
        if let (None, Some(partitions)) = (found, records) {
            self.admin.ensure_topic(&TopicSpec {
                name: self.topic.clone(),
                partitions,
                config: vec![(
                    "max.message.bytes".to_owned(),
                    kafka::LARGEST_MESSAGE.to_string(),
                )],
            })?;
            found = self.admin.partition_count(&self.topic)?;
        }
        if let Some(partitions) = found {
            let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
            self.partitions.store(partitions, Ordering::Relaxed);
        }
        Ok(records.is_some())
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition for the result of a record: that of the record, modulo the number there are.
    pub(super) fn partition(&self, of_record: i32) -> Option<i32> {
        let partitions = self.partitions.load(Ordering::Relaxed);
        let partition = of_record.unsigned_abs().checked_rem(partitions)?;
        i32::try_from(partition).ok()
    }
}
