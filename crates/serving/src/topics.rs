use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use configuration::Server;
use kafka::{Admin, TopicSpec};

use crate::Error;

/// The topics that a server reads and writes, as they were when they were last looked up.
pub(crate) struct Topics {
    admin: Admin,
    settings: Arc<Server>,
    results_partitions: AtomicU32,
    results_limit: AtomicUsize,
    dead_letters_limit: AtomicUsize,
}

impl Topics {
    pub(crate) fn new(admin: Admin, settings: Arc<Server>) -> Self {
        Self {
            admin,
            settings,
            results_partitions: AtomicU32::new(0),
            results_limit: AtomicUsize::new(usize::MAX),
            dead_letters_limit: AtomicUsize::new(usize::MAX),
        }
    }

    /// Looks the topics up, and creates those that a server writes to where they are missing. The
    /// results topic gets as many partitions as the records topic has, so it waits for that one.
    ///
    /// Returns whether there are records to be had.
    pub(crate) fn look_up(&self) -> Result<bool, Error> {
        let basics = &self.settings.basics;
        let create = |name: &str, partitions: usize| {
            let limit = kafka::LARGEST_MESSAGE.to_string();
            self.admin.ensure_topic(&TopicSpec {
                name: name.to_owned(),
                partitions,
                config: vec![("max.message.bytes".to_owned(), limit)],
            })
        };
        let dead_letters = &basics.dead_letter_topic;
        if self.admin.partition_count(dead_letters)?.is_none() {
            create(dead_letters, 1)?;
        }
        self.note_limit(&self.dead_letters_limit, dead_letters)?;

        let results = &basics.results_topic;
        let mut partitions = self.admin.partition_count(results)?;
        let records = self.admin.partition_count(&basics.data_topic)?;
        match records {
            None => {
                let topic = &basics.data_topic;
                tracing::warn!(
                    topic,
                    "the records topic does not exist yet; waiting for it"
                );
            }
            Some(records) if partitions.is_none() => {
                create(results, records)?;
                partitions = self.admin.partition_count(results)?;
            }
            Some(_) => {}
        }
        if let Some(partitions) = partitions {
            let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
            self.results_partitions.store(partitions, Ordering::Relaxed);
            self.note_limit(&self.results_limit, results)?;
        }
        Ok(records.is_some())
    }

    fn note_limit(&self, limit: &AtomicUsize, topic: &str) -> Result<(), Error> {
        // The limit is on what the broker gets: a batch, with a header of its own.
        const BATCH_HEADER: usize = 256;
        let found = self.admin.message_limit(topic)?;
        let found = found.map_or(usize::MAX, |found| found.saturating_sub(BATCH_HEADER));
        limit.store(found, Ordering::Relaxed);
        Ok(())
    }

    /// The partition for the result of a record: its own number, modulo the number there are.
    pub(crate) fn results_partition(&self, of_record: i32) -> Option<i32> {
        let partitions = self.results_partitions.load(Ordering::Relaxed);
        let partition = of_record.unsigned_abs().checked_rem(partitions)?;
        i32::try_from(partition).ok()
    }

    /// Bytes of key, value and headers that the results topic takes.
    pub(crate) fn results_limit(&self) -> usize {
        self.results_limit.load(Ordering::Relaxed)
    }

    /// Bytes of key, value and headers that the dead-letter topic takes.
    pub(crate) fn dead_letters_limit(&self) -> usize {
        self.dead_letters_limit.load(Ordering::Relaxed)
    }
}
