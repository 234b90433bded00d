//! Record batches made by hand, and their way to a broker.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::wire::{Connection, topic_name};

/// Who writes a batch: producer id, its epoch, and the sequence number of the first record.
#[derive(Clone, Copy)]
pub(crate) struct Writer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
}

/// A writer that is not idempotent.
pub(crate) const ANYONE: Writer = Writer {
    id: -1,
    epoch: -1,
    sequence: -1,
};

/// A batch of `count` small records.
pub(crate) fn batch(writer: Writer, count: i32) -> Bytes {
    // Of another day they would be beyond their age, and might be gone before they are read.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_millis() as i64;
    let records: Vec<Record> = (0..count)
        .map(|number| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: writer.id,
            producer_epoch: writer.epoch,
            timestamp_type: TimestampType::Creation,
            offset: number.into(),
            sequence: if writer.id < 0 {
                number - 1
            } else {
                writer.sequence + number
            },
            timestamp: now,
            key: None,
            value: Some(Bytes::from(format!("record {number}"))),
            headers: IndexMap::new(),
        })
        .collect();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut batch, &records, &options).unwrap();
    batch.freeze()
}

impl Connection {
    /// Sends a batch to partition 0; the error code and the offset of its first record.
    pub(crate) fn produce(&mut self, topic: &str, batch: &Bytes) -> (i16, i64) {
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![
                TopicProduceData::default()
                    .with_name(topic_name(topic))
                    .with_partition_data(vec![
                        PartitionProduceData::default()
                            .with_index(0)
                            .with_records(Some(batch.clone())),
                    ]),
            ]);
        let response = self.call(7, &request);
        let partition = &response.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    }
}
