//! Produce and InitProducerId.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceResponse};

use super::produce_request::{Partition, Produce};
use crate::batch::{Batch, Compression};
use crate::clock;
use crate::log::Appended;
use crate::node::{Client, Node};
use crate::rejection::Rejection;
use crate::topics::Topic;
use crate::wire::{Call, Malformed, Response};

/// The first version whose clients understand zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;

pub(super) fn answer(client: &Client, call: &Call) -> Result<Option<Response>, Malformed> {
    let request = Produce::read(call)?;
    let refused = if request.transactional {
        Some(Rejection::new(
            ResponseError::InvalidTxnState,
            "transactions are not supported",
        ))
    } else if !(-1..=1).contains(&request.acks) {
        Some(ResponseError::InvalidRequiredAcks.into())
    } else {
        None
    };
    let now = clock::now_ms();
    let mut failed = false;
    let mut responses = Vec::with_capacity(request.topics.len());
    for data in request.topics {
        let topic = client.node.topics.named(&data.name);
        let mut partitions = Vec::with_capacity(data.partitions.len());
        for partition in data.partitions {
            let result = match &refused {
                Some(rejection) => Err(rejection.clone()),
                None => append(&client.node, topic.as_ref(), &partition, call, now),
            };
            if let Err(rejection) = &result {
                failed = true;
                tracing::debug!(topic = %data.name, partition = partition.index,
                    error = %rejection.error, message = rejection.message, "batch refused");
            }
            partitions.push(outcome(partition.index, result));
        }
        responses.push(
            TopicProduceResponse::default()
                .with_name(data.name.into())
                .with_partition_responses(partitions),
        );
    }
    if request.acks == 0 {
        // Nobody waits for an answer, so an error can only be shown by closing the connection.
        return if failed {
            Err(Malformed::new("a batch sent with acks=0 was refused"))
        } else {
            Ok(None)
        };
    }
    call.respond(&ProduceResponse::default().with_responses(responses))
        .map(Some)
}

fn append(
    node: &Node,
    topic: Option<&Arc<Topic>>,
    data: &Partition,
    call: &Call,
    now: i64,
) -> Result<Appended, Rejection> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic
        .partition(data.index)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let sent: &Bytes = data
        .records
        .as_ref()
        .filter(|records| !records.is_empty())
        .ok_or_else(|| Rejection::new(ResponseError::InvalidRecord, "there is no record batch"))?;
    let config = topic.config();
    if sent.len() > config.max_message_bytes {
        return Err(Rejection::new(
            ResponseError::MessageTooLarge,
            format!(
                "the record batch has {} bytes, max.message.bytes of the topic is {}",
                sent.len(),
                config.max_message_bytes
            ),
        ));
    }
    let mut batch = Batch::check(sent)?;
    if batch.compression == Compression::Zstd && call.version < ZSTD_SINCE {
        return Err(Rejection::new(
            ResponseError::UnsupportedCompressionType,
            "zstd needs produce requests of version 7",
        ));
    }
    if config.compact && batch.lacks_key() {
        return Err(Rejection::new(
            ResponseError::InvalidRecord,
            "Compacted topic cannot accept message without key",
        ));
    }
    if config.append_time {
        batch.stamp(now);
    } else {
        batch.keep_create_time();
    }
    batch.detach(call.size);
    let (appended, bytes) = partition.append(batch, &config, now)?;
    if config.trimmable {
        node.grew(bytes);
    }
    Ok(appended)
}

fn outcome(index: i32, result: Result<Appended, Rejection>) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match result {
        Ok(appended) => response
            .with_base_offset(appended.offset)
            .with_log_append_time_ms(appended.timestamp)
            .with_log_start_offset(appended.start),
        Err(rejection) => response
            .with_error_code(rejection.code())
            .with_error_message(rejection.text())
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(-1),
    }
}

pub(super) fn init_producer_id(
    client: &Client,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default();
    if request.transactional_id.is_some() {
        return response
            .with_error_code(ResponseError::TransactionalIdAuthorizationFailed.code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
    }
    // KIP-360: a producer may ask for its next epoch; it gets a new id, which serves as well.
    response
        .with_producer_id(client.node.producer_ids.next().into())
        .with_producer_epoch(0)
}
