//! What consumers say they subscribe to.

use kafka_protocol::messages::ConsumerProtocolSubscription;
use kafka_protocol::protocol::Decodable;

use bytes::{Buf, Bytes};

use super::rebalance::Group;
use crate::guard::Guarded;

impl Group {
    /// Whether some member reads `topic`; a member whose metadata cannot be read may.
    pub(crate) fn subscribes(&self, topic: &str) -> bool {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        self.roster
            .iter()
            .any(|member| match topics(member.metadata(protocol)) {
                Some(topics) => topics.iter().any(|name| name == topic),
                None => true,
            })
    }
}

/// The topics in a consumer's metadata. Every later version starts with the fields of the first.
fn topics(mut metadata: Bytes) -> Option<Vec<String>> {
    metadata.try_get_i16().ok()?;
    let guarded = Guarded::new(metadata);
    ConsumerProtocolSubscription::decode(&mut guarded.on_trial(), 0).ok()?;
    let subscription = ConsumerProtocolSubscription::decode(&mut guarded.clone(), 0).ok()?;
    Some(
        subscription
            .topics
            .iter()
            .map(|topic| topic.as_str().to_owned())
            .collect(),
    )
}
