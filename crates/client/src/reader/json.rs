//! A message as a JSON object on one line.

use configuration::{DataReader, Shown};
use model::{NamedTensor, Record};
use protobufs::model_descriptor::MessageContent;
use protobufs::{ModelDescriptor, ServingResult, WineRecord};
use serde_json::{Map, Value, json};

use super::content::{Content, DeadLetter};
use super::human::format;
use super::{Item, tensors};
use crate::wine;

/// Where the message is, and what it holds: `value`, or `error` if it does not decode. Names are
/// those of the .proto files; of a model, its size takes the place of its bytes.
pub(super) fn line(item: &Item, settings: &DataReader) -> Value {
    let basics = &settings.basics;
    let (kind, topic) = match item.shown {
        Shown::Records => ("record", &basics.data_topic),
        Shown::Models => ("model", &basics.models_topic),
        Shown::Results => ("result", &basics.results_topic),
        Shown::DeadLetters => ("dead-letter", &basics.dead_letter_topic),
    };
    let message = &item.message;
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<Value> = message
        .headers
        .iter()
        .map(|(name, value)| json!([name, value.as_deref().map(lossy)]))
        .collect();
    let mut line = json!({
        "kind": kind,
        "topic": topic,
        "partition": message.position.partition,
        "offset": message.position.offset,
        "timestamp": message.timestamp_ms,
        "key": message.key.as_deref().map(lossy),
        "headers": headers,
        "bytes": message.payload.as_ref().map(bytes::Bytes::len),
    });
    let (name, value) = match &item.content {
        Content::Record(content) => ("value", record(content)),
        Content::Tensors(content) => ("value", tensors_of(content)),
        Content::Model(content) => ("value", model(content)),
        Content::Result(content) => ("value", result(content)),
        Content::DeadLetter(content) => ("value", dead_letter(content)),
        Content::Undecodable(reason) => ("error", reason.as_str().into()),
    };
    if let Some(line) = line.as_object_mut() {
        line.insert(name.to_owned(), value);
    }
    line
}

/// NaN and infinities, which JSON lacks, become null.
fn record(record: &WineRecord) -> Value {
    let mut object: Map<String, Value> = wine::measurements(record)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    object.insert("data_type".to_owned(), record.data_type.as_str().into());
    object.insert("ts".to_owned(), record.ts.into());
    object.into()
}

fn tensors_of(record: &Record) -> Value {
    json!({
        "data_type": &*record.data_type,
        "ts": record.submitted_us.unwrap_or_default() / 1000,
        "tensors": record.tensors.iter().map(tensors::object).collect::<Vec<_>>(),
    })
}

fn model(model: &ModelDescriptor) -> Value {
    let (size, location) = match &model.message_content {
        Some(MessageContent::Data(data)) => (Some(data.len()), None),
        Some(MessageContent::Location(location)) => (None, Some(location)),
        None => (None, None),
    };
    let sha256: String = model
        .sha256
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({
        "name": model.name,
        "description": model.description,
        "data_type": model.data_type,
        "modeltype": format(model.modeltype),
        "size": size,
        "location": location,
        "version": model.version,
        "sha256": sha256,
        "options": model.options,
    })
}

fn result(result: &ServingResult) -> Value {
    let output = |output| match NamedTensor::from_message(output) {
        Ok(named) => tensors::object(&named),
        Err(error) => json!({ "name": output.name, "error": error.to_string() }),
    };
    let outputs: Vec<Value> = result.outputs.iter().map(output).collect();
    json!({
        "data_type": result.data_type,
        "model_name": result.model_name,
        "model_version": result.model_version,
        "model_type": format(result.model_type),
        "value": result.value,
        "label": result.label,
        "probabilities": result.probabilities,
        "outputs": outputs,
        "submitted_us": result.submitted_us,
        "scored_us": result.scored_us,
        "scoring_ns": result.scoring_ns,
        "source_partition": result.source_partition,
        "source_offset": result.source_offset,
        "model_digest": format!("{:016x}", result.model_digest),
    })
}

fn dead_letter(letter: &DeadLetter) -> Value {
    json!({
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "kind": letter.kind,
        "message": letter.message,
        "strategy": letter.strategy,
    })
}
