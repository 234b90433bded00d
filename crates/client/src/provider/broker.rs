//! The broker that the provider publishes to: one that runs, or its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use configuration::DataProvider;
use embedded_kafka::Options;
use kafka::{Admin, Connection, TopicSpec};

use super::topics;
use crate::Interrupt;
use crate::arrival::await_broker;

/// How long nothing must have been written before the topics are looked after.
const STALLED: Duration = Duration::from_secs(2);

/// A broker with the provider's topics.
pub(super) struct Broker {
    connection: Connection,
    own: Option<embedded_kafka::Broker>,
    specs: Vec<TopicSpec>,
    progress: Mutex<Progress>,
    /// Whether somebody is looking after the topics.
    busy: Arc<AtomicBool>,
}

struct Progress {
    written: u64,
    since: Instant,
}

impl Broker {
    /// Finds the broker that the settings name, or starts one; creates the topics. `None` if it
    /// was interrupted.
    pub(super) fn reach(settings: &DataProvider, interrupt: &Interrupt) -> Result<Option<Self>> {
        let basics = &settings.basics;
        let mut connection = Connection {
            brokers: basics.brokers().to_owned(),
            client_id: "data_provider".to_owned(),
            properties: basics.properties.clone(),
        };
        connection.check()?;
        let own = match &basics.brokers {
            Some(_) => None,
            None => Some(start(&settings.listen)?),
        };
        if let Some(own) = &own {
            connection.brokers = own.bootstrap();
        }
        if !await_broker(&connection, basics.broker_timeout.get(), interrupt)? {
            return Ok(None);
        }
        let specs = topics::specs(settings);
        topics::ensure(&Admin::open(&connection)?, &specs)?;
        Ok(Some(Self {
            connection,
            own,
            specs,
            progress: Mutex::new(Progress {
                written: 0,
                since: Instant::now(),
            }),
            busy: Arc::default(),
        }))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the broker ends with the provider.
    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Creates the topics again, beside the stream, if nothing has been written for a while though
    /// something is underway: the broker may have come back without them.
    pub(super) fn keep_topics(&self, underway: bool, written: u64) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if !underway || written != progress.written {
            *progress = Progress {
                written,
                since: Instant::now(),
            };
            return;
        }
        if progress.since.elapsed() < STALLED || self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        progress.since = Instant::now();
        let (connection, specs, busy) = (
            self.connection.clone(),
            self.specs.clone(),
            Arc::clone(&self.busy),
        );
        let keep = move || {
            // It takes as long as the broker is away; then nothing is lost but the try.
            let kept = Admin::open(&connection).and_then(|admin| topics::ensure(&admin, &specs));
            if let Err(error) = kept {
                tracing::debug!(%error, "the topics could not be looked after");
            }
            busy.store(false, Ordering::Release);
        };
        if let Err(error) = thread::Builder::new().name("topics".to_owned()).spawn(keep) {
            tracing::warn!(%error, "no thread to look after the topics");
            self.busy.store(false, Ordering::Release);
        }
    }
}

fn start(listen: &str) -> Result<embedded_kafka::Broker> {
    let options = Options {
        listen: listen.to_owned(),
        ..Options::default()
    };
    match embedded_kafka::Broker::start(options) {
        Ok(broker) => Ok(broker),
        Err(embedded_kafka::Error::AddressInUse { address, .. }) => bail!(
            "cannot start a broker on {address}: the port is taken; publish to the broker that \
             runs there (--brokers {address}), or take another port (--listen HOST:PORT)"
        ),
        Err(error) => Err(error).context("cannot start a broker"),
    }
}
