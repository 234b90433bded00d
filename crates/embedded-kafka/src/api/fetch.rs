//! Fetch.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::HeaderVersion;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::log::Read;
use crate::node::Client;
use crate::partition::Partition;
use crate::wire::{Call, Malformed, Parts, Response};

/// The first version that names topics by id (KIP-516).
const BY_ID_SINCE: i16 = 13;
const FLEXIBLE_SINCE: i16 = 12;
/// Bytes of records in a response, whatever the request allows.
const MOST: usize = 64 << 20;
/// The longest that a request may wait.
const LONGEST: Duration = Duration::from_mins(5);
/// Full fetch requests carry these session epochs (KIP-227).
const FULL: [i32; 2] = [0, -1];

/// A partition of the request.
struct Wanted {
    partition: Result<Arc<Partition>, ResponseError>,
    ask: FetchPartition,
}

struct WantedTopic {
    name: TopicName,
    id: Uuid,
    partitions: Vec<Wanted>,
}

/// What a partition answers.
struct Answer {
    error: i16,
    end: i64,
    start: i64,
    read: Read,
    bytes: usize,
}

impl Answer {
    fn error(error: ResponseError) -> Self {
        Answer {
            error: error.code(),
            end: -1,
            start: -1,
            read: Vec::new(),
            bytes: 0,
        }
    }
}

/// All partitions' answers, in order of the request.
struct Answers {
    partitions: Vec<Answer>,
    bytes: usize,
    failed: bool,
}

pub(super) async fn answer(client: &Client, call: &Call) -> Result<Response, Malformed> {
    let request: FetchRequest = call.decode()?;
    // No sessions are kept: every full fetch is answered with session id 0, upon which clients go
    // on with full fetches, and an incremental one is of no session.
    if !FULL.contains(&request.session_epoch) {
        let error = ResponseError::FetchSessionIdNotFound.code();
        return call.respond(&FetchResponse::default().with_error_code(error));
    }
    let topics = find(client, call, &request);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(MOST);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(LONGEST);
    let enough = |answers: &Answers| answers.failed || answers.bytes >= min_bytes;

    let mut answers = read(&topics, max_bytes);
    if !enough(&answers) && !wait.is_zero() && !answers.partitions.is_empty() {
        let deadline = Instant::now() + wait;
        // Watching starts before the log is read again, so nothing is missed in between.
        let watch = Watch::start(&topics);
        loop {
            answers = read(&topics, max_bytes);
            if enough(&answers)
                || timeout_at(deadline, watch.appended.notified())
                    .await
                    .is_err()
            {
                break;
            }
        }
    }
    encode(call, &topics, answers)
}

fn find(client: &Client, call: &Call, request: &FetchRequest) -> Vec<WantedTopic> {
    let by_id = call.version >= BY_ID_SINCE;
    let wanted = request.topics.iter().map(|asked| {
        let (topic, missing) = if by_id {
            (
                client.node.topics.with_id(asked.topic_id),
                ResponseError::UnknownTopicId,
            )
        } else {
            (
                client.node.topics.named(&asked.topic.0),
                ResponseError::UnknownTopicOrPartition,
            )
        };
        let partitions = asked.partitions.iter().map(|ask| Wanted {
            partition: match &topic {
                Some(topic) => topic
                    .partition(ask.partition)
                    .ok_or(ResponseError::UnknownTopicOrPartition),
                None => Err(missing),
            },
            ask: ask.clone(),
        });
        WantedTopic {
            name: asked.topic.clone(),
            id: asked.topic_id,
            partitions: partitions.collect(),
        }
    });
    wanted.collect()
}

fn read(topics: &[WantedTopic], max_bytes: usize) -> Answers {
    let mut answers = Answers {
        partitions: Vec::new(),
        bytes: 0,
        failed: false,
    };
    for wanted in topics.iter().flat_map(|topic| &topic.partitions) {
        let room = max_bytes.saturating_sub(answers.bytes);
        let answer = match &wanted.partition {
            Ok(partition) => read_partition(partition, &wanted.ask, room, answers.bytes == 0),
            Err(error) => Answer::error(*error),
        };
        answers.bytes += answer.bytes;
        answers.failed |= answer.error != 0;
        answers.partitions.push(answer);
    }
    answers
}

fn read_partition(partition: &Partition, ask: &FetchPartition, room: usize, first: bool) -> Answer {
    let log = partition.log();
    if log.closed() {
        return Answer::error(ResponseError::UnknownTopicOrPartition);
    }
    if let Some(error) = check_epoch(ask.current_leader_epoch, log.leader_epoch()) {
        return Answer::error(error);
    }
    if ask.fetch_offset < log.start() || ask.fetch_offset > log.end() {
        let mut answer = Answer::error(ResponseError::OffsetOutOfRange);
        answer.end = log.end();
        answer.start = log.start();
        return answer;
    }
    let room = room.min(usize::try_from(ask.partition_max_bytes).unwrap_or(0));
    let mut read = Read::new();
    let bytes = log.read(ask.fetch_offset, room, first, &mut read);
    Answer {
        error: 0,
        end: log.end(),
        start: log.start(),
        read,
        bytes,
    }
}

/// Compares the leader epoch that a client knows with the partition's (KIP-320); -1 knows none.
pub(super) fn check_epoch(known: i32, epoch: i32) -> Option<ResponseError> {
    if known < 0 || known == epoch {
        None
    } else if known < epoch {
        Some(ResponseError::FencedLeaderEpoch)
    } else {
        Some(ResponseError::UnknownLeaderEpoch)
    }
}

/// Is told of appends to partitions for as long as it lives.
struct Watch<'a> {
    appended: Arc<Notify>,
    topics: &'a [WantedTopic],
}

impl<'a> Watch<'a> {
    fn start(topics: &'a [WantedTopic]) -> Self {
        let watch = Watch {
            appended: Arc::new(Notify::new()),
            topics,
        };
        for partition in watch.partitions() {
            partition.watch(&watch.appended);
        }
        watch
    }

    fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        let wanted = self.topics.iter().flat_map(|topic| &topic.partitions);
        wanted.filter_map(|wanted| wanted.partition.as_ref().ok())
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        for partition in self.partitions() {
            partition.unwatch(&self.appended);
        }
    }
}

/// Writes the response by hand: the codec would copy every record.
fn encode(call: &Call, topics: &[WantedTopic], answers: Answers) -> Result<Response, Malformed> {
    let version = call.version;
    let flexible = version >= FLEXIBLE_SINCE;
    let fields = answers.partitions.len() * 64 + topics.len() * 64;
    let begun = call.begin(FetchResponse::header_version(version), fields)?;
    let mut parts = Parts::new(begun);
    let out = parts.bytes();
    out.put_i32(0); // throttle time
    if version >= 7 {
        out.put_i16(0);
        out.put_i32(0); // no session
    }
    put_count(out, flexible, topics.len());
    let mut answers = answers.partitions.into_iter();
    for topic in topics {
        let out = parts.bytes();
        if version >= BY_ID_SINCE {
            out.put_slice(topic.id.as_bytes());
        } else {
            let name = topic.name.0.as_bytes();
            if flexible {
                put_unsigned(out, name.len() + 1);
            } else {
                out.put_i16(i16::try_from(name.len()).unwrap_or(0));
            }
            out.put_slice(name);
        }
        put_count(out, flexible, topic.partitions.len());
        for wanted in &topic.partitions {
            let Some(answer) = answers.next() else { break };
            let out = parts.bytes();
            out.put_i32(wanted.ask.partition);
            out.put_i16(answer.error);
            out.put_i64(answer.end);
            out.put_i64(answer.end); // last stable offset
            if version >= 5 {
                out.put_i64(answer.start);
            }
            put_count(out, flexible, 0); // aborted transactions
            if version >= 11 {
                out.put_i32(-1); // preferred read replica
            }
            if flexible {
                put_unsigned(out, answer.bytes + 1);
            } else {
                out.put_i32(i32::try_from(answer.bytes).unwrap_or(i32::MAX));
            }
            for (header, records) in &answer.read {
                parts.bytes().put_slice(header);
                parts.append(records);
            }
            if flexible {
                parts.bytes().put_u8(0);
            }
        }
        if flexible {
            parts.bytes().put_u8(0);
        }
    }
    if flexible {
        parts.bytes().put_u8(0);
    }
    parts.finish()
}

fn put_count(out: &mut BytesMut, flexible: bool, count: usize) {
    if flexible {
        put_unsigned(out, count + 1);
    } else {
        out.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
    }
}

fn put_unsigned(out: &mut BytesMut, value: usize) {
    let mut rest = value;
    while rest >= 0x80 {
        out.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}
