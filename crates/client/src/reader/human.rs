//! A message as a line for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use configuration::Shown;
use model::{NamedTensor, Record};
use protobufs::model_descriptor::{MessageContent, ModelType};
use protobufs::{ModelDescriptor, ServingResult, WineRecord};

use super::content::{Content, DeadLetter};
use super::{Counts, Item, tensors};
use crate::wine;

/// The line for the message that is the `number`th of its topic to be read.
pub(super) fn line(item: &Item, number: u64) -> String {
    let kind = match item.shown {
        Shown::Records => "record",
        Shown::Models => "model",
        Shown::Results => "result",
        Shown::DeadLetters => "dead letter",
    };
    let position = item.message.position;
    let mut line = format!(
        "{kind} {number} [{}@{}] ",
        position.partition, position.offset
    );
    let bytes = item.message.payload.as_ref().map_or(0, bytes::Bytes::len);
    // Writing to a string does not fail.
    let _ = match &item.content {
        Content::Record(content) => record(&mut line, content),
        Content::Tensors(content) => tensors_of(&mut line, content),
        Content::Model(content) => model(&mut line, content),
        Content::Result(content) => result(&mut line, content),
        Content::DeadLetter(content) => dead_letter(&mut line, content, bytes),
        Content::Undecodable(reason) => {
            write!(
                line,
                "does not decode: {}, {bytes} bytes",
                printable(reason)
            )
        }
    };
    line
}

fn record(line: &mut String, record: &WineRecord) -> std::fmt::Result {
    write!(line, "{}:", data_type(&record.data_type))?;
    for (name, value) in wine::measurements(record) {
        write!(line, " {name}={value}")?;
    }
    Ok(())
}

fn tensors_of(line: &mut String, record: &Record) -> std::fmt::Result {
    let tensors: Vec<_> = record.tensors.iter().map(tensors::line).collect();
    let data_type = data_type(&record.data_type);
    write!(line, "{data_type}: {}", tensors.join(", "))
}

fn model(line: &mut String, model: &ModelDescriptor) -> std::fmt::Result {
    let of = data_type(&model.data_type);
    write!(
        line,
        "{}, {}, data type {of}, ",
        printable(&model.name),
        format(model.modeltype)
    )?;
    match &model.message_content {
        Some(MessageContent::Data(data)) => write!(line, "{} bytes", data.len())?,
        Some(MessageContent::Location(location)) => write!(line, "at {}", printable(location))?,
        None => write!(line, "no content")?,
    }
    if !model.version.is_empty() {
        write!(line, ", version {}", printable(&model.version))?;
    }
    write!(line, ": {}", printable(&model.description))
}

fn result(line: &mut String, result: &ServingResult) -> std::fmt::Result {
    write!(line, "{}: ", data_type(&result.data_type))?;
    match (result.value, &result.label) {
        (Some(value), Some(label)) if *label != value.to_string() => {
            write!(line, "{value:?} (label {})", printable(label))?;
        }
        (Some(value), _) => write!(line, "{value:?}")?,
        (None, Some(label)) => write!(line, "label {}", printable(label))?,
        (None, None) => write!(line, "no value")?,
    }
    write!(
        line,
        ", model {} version {}, record [{}@{}], scored in {} us",
        printable(&result.model_name),
        printable(&result.model_version),
        result.source_partition,
        result.source_offset,
        result.scoring_ns as f64 / 1e3,
    )?;
    if result.submitted_us > 0 && result.scored_us >= result.submitted_us {
        let total = result.scored_us.saturating_sub(result.submitted_us) as f64 / 1e3;
        write!(line, ", {total} ms after it was submitted")?;
    }
    let probabilities: BTreeMap<_, _> = result.probabilities.iter().collect();
    for (place, (class, probability)) in probabilities.into_iter().enumerate() {
        let before = if place == 0 { "; probabilities" } else { "," };
        write!(line, "{before} {}={probability}", printable(class))?;
    }
    for (place, output) in result.outputs.iter().enumerate() {
        let before = if place == 0 { "; outputs" } else { "," };
        match NamedTensor::from_message(output) {
            Ok(named) => write!(line, "{before} {}", tensors::line(&named))?,
            Err(error) => write!(line, "{before} {}", printable(&error.to_string()))?,
        }
    }
    Ok(())
}

fn dead_letter(line: &mut String, letter: &DeadLetter, bytes: usize) -> std::fmt::Result {
    write!(
        line,
        "{} of {} [{}@{}] by {}: {} ({bytes} bytes)",
        printable(&letter.kind),
        printable(&letter.topic),
        printable(&letter.partition),
        printable(&letter.offset),
        printable(&letter.strategy),
        printable(&letter.message),
    )
}

/// How much has been read.
pub(super) fn summary(counts: &Counts) -> String {
    let read = |shown| counts.read.get(&shown).copied().unwrap_or_default();
    format!(
        "read {} records, {} models, {} results, {} dead letters; {} of them do not decode",
        read(Shown::Records),
        read(Shown::Models),
        read(Shown::Results),
        read(Shown::DeadLetters),
        counts.undecodable
    )
}

fn data_type(name: &str) -> String {
    if name.is_empty() {
        "(no data type)".to_owned()
    } else {
        printable(name)
    }
}

/// The name of a format, as the message's definition has it.
pub(super) fn format(number: i32) -> String {
    ModelType::try_from(number).map_or_else(
        |_| format!("unknown type {number}"),
        |known| known.as_str_name().to_owned(),
    )
}

/// A text on one line, whatever it does to a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}
