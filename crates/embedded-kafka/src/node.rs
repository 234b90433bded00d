//! What every connection of a broker shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kafka_protocol::protocol::StrBytes;
use tokio::sync::Notify;

use crate::clock::{self, ProducerIds};
use crate::config::TopicConfig;
use crate::group::Groups;
use crate::options::Options;
use crate::rejection::Rejection;
use crate::topics::{Topic, Topics};

/// The id of the only broker.
pub(crate) const NODE_ID: i32 = 1;
/// The id of the cluster; the same for every start, so that clients see their cluster again.
pub(crate) const CLUSTER_ID: &str = "embedded-kafka";

/// The broker's state.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) options: Options,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) leader_epoch: i32,
    /// Bytes of memory taken by trimmable records, counted up between two rounds of retention.
    trimmable: AtomicU64,
    /// Wakes retention before its time.
    pub(crate) trim: Notify,
}

impl Node {
    pub(crate) fn new(options: Options) -> Self {
        let leader_epoch = clock::leader_epoch();
        Node {
            topics: Topics::new(leader_epoch, options.max_partitions),
            groups: Groups::new(&options),
            producer_ids: ProducerIds::new(),
            leader_epoch,
            trimmable: AtomicU64::new(0),
            trim: Notify::new(),
            options,
        }
    }

    /// Counts appended bytes, and has retention run when the limit is passed.
    pub(crate) fn grew(&self, bytes: u64) {
        let before = self.trimmable.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.options.memory {
            self.trim.notify_one();
        }
    }

    /// Sets the count right.
    pub(crate) fn set_trimmable(&self, bytes: u64) {
        self.trimmable.store(bytes, Ordering::Relaxed);
    }

    /// Creates a topic that a client only mentioned.
    pub(crate) fn auto_create(&self, name: &str) -> Result<Arc<Topic>, Rejection> {
        let config = TopicConfig::new([], &self.options)?;
        self.topics
            .create(name, self.options.partitions, config, false)
    }
}

/// Where a client finds the broker.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) host: StrBytes,
    pub(crate) port: i32,
}

/// Who is asking.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) node: Arc<Node>,
    pub(crate) endpoint: Endpoint,
    /// The client's address, as groups are described with it.
    pub(crate) host: String,
}
