//! DeleteRecords, DescribeLogDirs and DescribeProducers.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeProducersRequest, DescribeProducersResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::node::Client;
use crate::partition::Partition;

/// The offset that stands for the end of the log.
const TO_THE_END: i64 = -1;
/// The log directory that is told to clients: there is none.
const LOG_DIR: &str = "memory";

pub(super) fn delete_records(
    client: &Client,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|ask| {
            let index = ask.partition_index;
            let deleted = match client.node.topics.partition(&topic.name.0, index) {
                Some(partition) => delete_before(&partition, ask.offset),
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
            match deleted {
                Ok(start) => result.with_low_watermark(start),
                Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete_before(partition: &Partition, offset: i64) -> Result<i64, ResponseError> {
    partition.change(|log| {
        let offset = if offset == TO_THE_END {
            log.end()
        } else {
            offset
        };
        if offset < 0 || offset > log.end() {
            return Err(ResponseError::OffsetOutOfRange);
        }
        log.delete_before(offset);
        Ok(log.start())
    })
}

pub(super) fn log_dirs(
    client: &Client,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let describe = |name: StrBytes, only: Option<Vec<i32>>| {
        let topic = client.node.topics.named(&name)?;
        let all = topic.partitions();
        let partitions = (0..)
            .zip(all.iter())
            .filter(|(index, _)| only.as_ref().is_none_or(|only| only.contains(index)));
        let partitions = partitions.map(|(index, partition)| {
            let size = i64::try_from(partition.log().bytes()).unwrap_or(i64::MAX);
            DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(size)
        });
        let partitions = partitions.collect();
        Some(
            DescribeLogDirsTopic::default()
                .with_name(name.into())
                .with_partitions(partitions),
        )
    };
    let topics = match request.topics {
        Some(topics) => topics
            .into_iter()
            .filter_map(|t| describe(t.topic.0, Some(t.partitions)))
            .collect(),
        None => {
            let all = client.node.topics.all();
            let name = |topic: &crate::topics::Topic| StrBytes::from_string(topic.name.to_string());
            all.iter()
                .filter_map(|topic| describe(name(topic), None))
                .collect()
        }
    };
    let directory = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_static_str(LOG_DIR))
        .with_topics(topics);
    DescribeLogDirsResponse::default().with_results(vec![directory])
}

pub(super) fn producers(
    client: &Client,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            let response = PartitionResponse::default().with_partition_index(*index);
            match client.node.topics.partition(&topic.name.0, *index) {
                Some(partition) => {
                    let log = partition.log();
                    let active = log.producers.iter().map(|(id, producer)| {
                        ProducerState::default()
                            .with_producer_id(id.into())
                            .with_producer_epoch(producer.epoch.into())
                            .with_last_sequence(producer.last_sequence())
                            .with_last_timestamp(producer.last_ms)
                            .with_coordinator_epoch(-1)
                            .with_current_txn_start_offset(-1)
                    });
                    response.with_active_producers(active.collect())
                }
                None => response.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
            }
        });
        let partitions = partitions.collect();
        TopicResponse::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_producers_request::TopicRequest;
    use kafka_protocol::protocol::{Decodable, Encodable};

    use super::*;
    use crate::batch::{Batch, Compression, Sequence};
    use crate::options::Options;
    use crate::samples;

    #[test]
    fn producers_are_described_with_their_last_sequence_number() {
        let client = samples::client(Options::default());
        let topic = client.node.auto_create("topic").unwrap();
        let sequence = Sequence {
            producer_id: 1 << 60,
            epoch: 3,
            first: 0,
            last: 1,
        };
        let records = [(5, None, &b"a"[..]), (6, None, b"b")];
        let sent = samples::batch(&records, Compression::None, Some(sequence));
        let batch = Batch::check(&sent).unwrap();
        topic
            .partition(0)
            .unwrap()
            .append(batch, &topic.config(), 77)
            .unwrap();
        let ask = TopicRequest::default()
            .with_name(StrBytes::from_static_str("topic").into())
            .with_partition_indexes(vec![0, 1]);
        let request = DescribeProducersRequest::default().with_topics(vec![ask]);
        let mut bytes = bytes::BytesMut::new();
        producers(&client, request).encode(&mut bytes, 0).unwrap();
        let response = DescribeProducersResponse::decode(&mut bytes.freeze(), 0).unwrap();
        let [found, missing] = &response.topics[0].partitions[..] else {
            panic!("{response:?}")
        };
        assert_eq!(
            missing.error_code,
            ResponseError::UnknownTopicOrPartition.code()
        );
        let [producer] = &found.active_producers[..] else {
            panic!("{found:?}")
        };
        assert_eq!(producer.producer_id.0, 1 << 60);
        assert_eq!((producer.producer_epoch, producer.last_sequence), (3, 1));
        assert_eq!(producer.last_timestamp, 77);
    }
}
