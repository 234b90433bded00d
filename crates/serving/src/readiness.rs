use tokio::sync::watch;

/// Whether the server can serve: it has read the models topic, and the consumer group has assigned
/// it partitions (none is an answer too).
#[derive(Debug)]
pub(crate) struct Readiness {
    models_read: watch::Sender<bool>,
    assigned: watch::Sender<bool>,
}

impl Readiness {
    pub(crate) fn new() -> Self {
        Self {
            models_read: watch::Sender::new(false),
            assigned: watch::Sender::new(false),
        }
    }

    pub(crate) fn models_are_read(&self) {
        self.models_read.send_replace(true);
    }

    pub(crate) fn is_assigned(&self) {
        self.assigned.send_replace(true);
    }

    /// What is still to come, if anything is.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        if !*self.models_read.borrow() {
            Some("the models topic has not been read to its end yet")
        } else if !*self.assigned.borrow() {
            Some("the consumer group has not assigned partitions yet")
        } else {
            None
        }
    }

    /// Waits until nothing is.
    pub(crate) async fn reached(&self) {
        for step in [&self.models_read, &self.assigned] {
            // The senders live in this value, so that waiting cannot fail.
            let _ = step.subscribe().wait_for(|done| *done).await;
        }
    }
}
