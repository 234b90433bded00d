//! What a message holds.

use bytes::Bytes;
use configuration::{RecordChoice, Shown};
use kafka::OwnedMessage;
use model::{Decoder as _, Record, record::TensorDecoder};
use prost::Message;
use protobufs::{ModelDescriptor, ServingResult, WineRecord};

/// What a message holds.
#[derive(Debug)]
pub(super) enum Content {
    Record(WineRecord),
    /// Checked as servers check it.
    Tensors(Record),
    Model(ModelDescriptor),
    Result(ServingResult),
    DeadLetter(DeadLetter),
    /// The message is not what its topic should hold, and why.
    Undecodable(String),
}

/// Why a message could not be scored, and which it was: what the headers of a dead letter say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DeadLetter {
    pub(super) topic: String,
    pub(super) partition: String,
    pub(super) offset: String,
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) strategy: String,
}

impl Content {
    pub(super) fn of(shown: Shown, record: RecordChoice, message: &OwnedMessage) -> Self {
        match shown {
            Shown::Records if record == RecordChoice::Tensor => tensors(message),
            Shown::Records => decode(message, Self::Record),
            Shown::Models => decode(message, Self::Model),
            Shown::Results => decode(message, Self::Result),
            Shown::DeadLetters => DeadLetter::of(message),
        }
    }
}

fn decode<M: Message + Default>(message: &OwnedMessage, content: fn(M) -> Content) -> Content {
    match &message.payload {
        None => Content::Undecodable("it has no value".to_owned()),
        Some(payload) => match M::decode(Bytes::clone(payload)) {
            Ok(decoded) => content(decoded),
            Err(error) => Content::Undecodable(error.to_string()),
        },
    }
}

fn tensors(message: &OwnedMessage) -> Content {
    let Some(payload) = &message.payload else {
        return Content::Undecodable("it has no value".to_owned());
    };
    match TensorDecoder::new().decode(payload) {
        Ok(record) => Content::Tensors(record),
        Err(error) => Content::Undecodable(error.to_string()),
    }
}

impl DeadLetter {
    fn of(message: &OwnedMessage) -> Content {
        // The last of a name: a letter may be about another letter.
        let header = |name: &str| {
            let found = message
                .headers
                .iter()
                .rev()
                .find(|(found, _)| found == name);
            let value = found.and_then(|(_, value)| value.as_deref());
            value.map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let Some(kind) = header("errors.kind") else {
            return Content::Undecodable("it has no header errors.kind".to_owned());
        };
        let text = |name| header(name).unwrap_or_default();
        Content::DeadLetter(Self {
            topic: text("errors.topic"),
            partition: text("errors.partition"),
            offset: text("errors.offset"),
            kind,
            message: text("errors.message"),
            strategy: text("errors.strategy"),
        })
    }
}
