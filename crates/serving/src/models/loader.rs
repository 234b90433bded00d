use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use kafka::OwnedMessage;
use model::{Descriptor, Detail, FetchError, Locations, Model, ModelRegistry, Refusal, Schema};
use prost::Message as _;
use protobufs::ModelDescriptor;

use crate::counters::Counters;
use crate::dead_letter::chain;
use crate::delivery::{Delivery, Stray};
use crate::tracker::Ticket;
use crate::{DeadLetterKind, Shutdown};

/// Turns messages into models, or into dead letters.
pub(super) struct Loader {
    pub(super) topic: String,
    pub(super) registry: ModelRegistry,
    pub(super) locations: Locations,
    pub(super) schema: Arc<Schema>,
    pub(super) detail: Detail,
    pub(super) delivery: Delivery,
    pub(super) counters: Arc<Counters>,
    pub(super) shutdown: Shutdown,
    /// Models are fetched beside each other, and created one after the other: creating takes the
    /// processor, which scoring needs.
    pub(super) creating: Mutex<()>,
}

/// A model that can serve, with what the topic said of it.
pub(super) type Loaded = (Descriptor, Arc<dyn Model>);

impl Loader {
    /// The message, or a dead letter if it is none.
    pub(super) fn decode(&self, message: &OwnedMessage) -> Option<ModelDescriptor> {
        let decoded = match message.payload.clone() {
            None => Err(Refusal::NoValue),
            Some(value) => ModelDescriptor::decode(value).map_err(Refusal::Undecodable),
        };
        match decoded {
            Ok(descriptor) if descriptor.data_type.is_empty() => {
                self.refuse(message, &Refusal::NoDataType);
                None
            }
            Ok(descriptor) => Some(descriptor),
            Err(refusal) => {
                self.refuse(message, &refusal);
                None
            }
        }
    }

    /// Fetches a model where it is not in its message, until `deadline` at most, and creates it.
    pub(super) fn load(
        &self,
        message: ModelDescriptor,
        offset: i64,
        deadline: Option<Instant>,
    ) -> Result<Loaded, Refusal> {
        let shutdown = self.shutdown.clone();
        let stop = async move {
            let Some(deadline) = deadline else {
                return shutdown.requested().await;
            };
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        };
        let started = Instant::now();
        let descriptor = self
            .locations
            .resolve(message, offset, stop)
            .map_err(|refusal| match refusal {
                Refusal::Location(FetchError::Interrupted) if !self.shutdown.is_requested() => {
                    let timeout = self.locations.limits().timeout;
                    Refusal::Location(FetchError::TimedOut(timeout))
                }
                refusal => refusal,
            })?;
        let fetched = started.elapsed();
        let creating = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let model = catch_unwind(AssertUnwindSafe(|| {
            self.registry.create(&descriptor, &self.schema, self.detail)
        }))
        .unwrap_or(Err(Refusal::Panicked))?;
        drop(creating);
        self.counters.model_loaded();
        tracing::info!(
            model = &*descriptor.name,
            version = &*descriptor.version,
            data_type = &*descriptor.data_type,
            model_type = descriptor.model_type.as_str_name(),
            bytes = descriptor.content.size(),
            runtime = model.runtime().name(),
            ?fetched,
            took = ?started.elapsed(),
            "model loaded"
        );
        if let Some(notice) = model.notice() {
            tracing::warn!(model = &*descriptor.name, "{notice}");
        }
        Ok((descriptor, model))
    }

    pub(super) fn refuse(&self, message: &OwnedMessage, refusal: &Refusal) {
        self.refuse_for(message, refusal, &chain(refusal));
    }

    /// Sends a dead letter with these words for the refusal.
    pub(super) fn refuse_for(&self, message: &OwnedMessage, refusal: &Refusal, reason: &str) {
        let kind = match refusal {
            Refusal::NoValue | Refusal::Undecodable(_) | Refusal::NoDataType => {
                DeadLetterKind::Undecodable
            }
            Refusal::UnknownType { .. } => DeadLetterKind::UnknownModelType,
            _ => DeadLetterKind::ModelRefused,
        };
        let stray = Stray {
            topic: &self.topic,
            position: message.position,
            key: message.key.as_ref().map(Bytes::as_ref),
            value: message.payload.as_ref().map(Bytes::as_ref),
            headers: message
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_deref()))
                .collect(),
            ticket: Ticket::NONE,
        };
        self.delivery.stray(&stray, kind, reason);
    }
}
