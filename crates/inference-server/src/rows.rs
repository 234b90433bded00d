//! The body of `:predict`, read: `instances` (a value for each row) or `inputs` (a tensor for each
//! name).
//!
//! The rules, and the words of the errors, are those of TensorFlow Serving
//! (`tensorflow_serving/util/json_tensor.cc`), so that clients that look at them go on working.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tensor::{Data, Element, Port, Tensor};

use crate::engine::{Engine, Feed};
use crate::failure::Failure;
use crate::json::{Json, Kind, Malformed, Value};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a request gives its tensors, and so how the answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `instances`, answered by `predictions`.
    Row,
    /// `inputs`, answered by `outputs`.
    Column,
}

/// The body of a request, which is an object.
pub(crate) fn parse(body: &[u8]) -> Result<Json<'_>, Failure> {
    let json = Json::parse(body).map_err(|Malformed { reason, offset }| {
        let reason = reason.trim_end_matches('.');
        Failure::invalid(if body.is_empty() {
            "JSON Parse error: The document is empty".to_owned()
        } else {
            format!("JSON Parse error: {reason}. at offset: {offset}")
        })
    })?;
    if !json.root().is_object() {
        return Err(wrong(json.root(), "Is not object"));
    }
    Ok(json)
}

/// The signature that a request names; an empty name if it names none.
pub(crate) fn signature<'j>(root: Value<'j>) -> Result<&'j str, Failure> {
    match root.member("signature_name").map(Value::kind) {
        None => Ok(""),
        Some(Kind::Text(name)) => Ok(name),
        Some(_) => Err(wrong(
            root,
            "not formatted correctly. 'signature_name' key must be a string value.",
        )),
    }
}

/// What a request feeds for each of an engine's inputs.
pub(crate) fn feeds(
    root: Value<'_>,
    engine: &Engine,
) -> Result<(Format, Vec<Option<Feed>>), Failure> {
    match (root.member("instances"), root.member("inputs")) {
        (Some(_), Some(_)) => Err(wrong(
            root,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        )),
        (Some(instances), None) => {
            if !instances.is_array() {
                return Err(wrong(root, "Excepting 'instances' to be an list/array"));
            }
            if instances.kind() == Kind::Array(0) {
                return Err(wrong(root, "No values in 'instances' array"));
            }
            Ok((Format::Row, by_row(instances, engine)?))
        }
        (None, Some(columns)) => Ok((Format::Column, by_column(columns, engine)?)),
        (None, None) => Err(Failure::invalid("Missing 'inputs' or 'instances' key")),
    }
}

/// `inputs`: a tensor, if there is one input, or an object with a tensor for each.
fn by_column(columns: Value<'_>, engine: &Engine) -> Result<Vec<Option<Feed>>, Failure> {
    let (inputs, missing) = (engine.inputs(), engine.takes_missing());
    if !columns.is_object() || columns.base64().is_some() {
        let [input] = inputs else {
            return Err(Failure::invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors \
                 required as per tensorinfo_map",
            ));
        };
        let mut column = Column::new(input, missing);
        column.shape = shape(columns);
        column.fill(columns, 0)?;
        return Ok(vec![Some(column.feed())]);
    }
    let columns = inputs.iter().map(|input| {
        let Some(values) = columns.member(&input.name) else {
            if engine.may_lack(&input.name) {
                return Ok(None);
            }
            return Err(Failure::invalid(format!(
                "Missing named input: {} in 'inputs' object.",
                input.name
            )));
        };
        let mut column = Column::new(input, missing);
        column.shape = shape(values);
        column.fill(values, 0)?;
        Ok(Some(column.feed()))
    });
    columns.collect()
}

/// `instances`: for each row an object with a value for each input, or, if there is one input, its
/// value.
fn by_row(instances: Value<'_>, engine: &Engine) -> Result<Vec<Option<Feed>>, Failure> {
    let (inputs, missing) = (engine.inputs(), engine.takes_missing());
    let is_named = |value: Value<'_>| value.is_object() && value.base64().is_none();
    let named = instances.elements().next().is_some_and(is_named);
    if !named && inputs.len() > 1 {
        return Err(Failure::invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors \
             required as per tensorinfo_map",
        ));
    }
    let mut columns: Vec<_> = inputs
        .iter()
        .map(|input| Column::new(input, missing))
        .collect();
    let mut rows = 0;
    for (row, element) in instances.elements().enumerate() {
        rows = row + 1;
        if named && !is_named(element) {
            return Err(Failure::invalid(format!(
                "Expecting object but got list at item {row} of input list"
            )));
        }
        if !named && is_named(element) {
            return Err(Failure::invalid(format!(
                "Expecting value/list but got object at item {row} of input list"
            )));
        }
        if !named {
            for column in &mut columns {
                column
                    .add_row(element, row)
                    .map_err(|error| in_element(row, None, &error))?;
            }
            continue;
        }
        for (name, value) in element.members() {
            let column = inputs.iter().position(|input| input.name == name);
            let Some(column) = column.and_then(|at| columns.get_mut(at)) else {
                let why = format!("JSON object: does not have named input: {name}");
                return Err(in_element(row, Some(name), &Failure::invalid(why)));
            };
            // Of a name that is there twice, the last value counts.
            column
                .add_row(value, row)
                .map_err(|error| in_element(row, Some(name), &error))?;
        }
        // An input with a default is left out of all rows, or of none.
        let absent = |column: &Column<'_>| {
            let is_left_out = column.rows == 0 && engine.may_lack(&column.input.name);
            column.rows != rows && (missing || !is_left_out)
        };
        if missing {
            for column in columns.iter_mut().filter(|column| absent(column)) {
                column
                    .add_missing(row)
                    .map_err(|error| in_element(row, None, &error))?;
            }
        } else if columns.iter().any(absent) {
            let mut names: Vec<_> = inputs.iter().map(|input| &input.name[..]).collect();
            names.sort_unstable();
            return Err(Failure::invalid(format!(
                "Failed to process element: {row} of 'instances' list. JSON object: {} must only \
                 have keys: {}",
                element.shown(),
                names.join(",")
            )));
        }
    }
    let feeds = columns.into_iter().map(|mut column| {
        column.shape.insert(0, rows);
        (column.rows > 0).then(|| column.feed())
    });
    Ok(feeds.collect())
}

fn in_element(row: usize, key: Option<&str>, error: &Failure) -> Failure {
    let key = key.map_or(String::new(), |key| format!(" key: {key}"));
    Failure::invalid(format!(
        "Failed to process element: {row}{key} of 'instances' list. Error: {}: {}",
        error.code.name(),
        error.message
    ))
}

fn wrong(value: Value<'_>, why: &str) -> Failure {
    Failure::invalid(format!("JSON Value: {} {why}", value.shown()))
}

/// The lengths of lists in lists, going by the first of each.
fn shape(value: Value<'_>) -> Vec<usize> {
    let mut shape = Vec::new();
    let mut value = Some(value);
    while let Some(Kind::Array(count)) = value.map(Value::kind) {
        shape.push(count);
        value = value.and_then(|value| value.elements().next());
    }
    shape
}

/// The values of one input, as they come in.
struct Column<'p> {
    input: &'p Port,
    takes_missing: bool,
    /// Of a request by rows, the shape of one of them.
    shape: Vec<usize>,
    rows: usize,
    data: Data,
    missing: Vec<bool>,
}

impl<'p> Column<'p> {
    fn new(input: &'p Port, takes_missing: bool) -> Self {
        let data = match input.element {
            Element::Float => Data::Float(Vec::new()),
            Element::Double => Data::Double(Vec::new()),
            Element::Int32 => Data::Int32(Vec::new()),
            Element::Int64 => Data::Int64(Vec::new()),
            Element::Bool => Data::Bool(Vec::new()),
            Element::Text => Data::Text(Vec::new()),
        };
        Self {
            input,
            takes_missing,
            shape: Vec::new(),
            rows: 0,
            data,
            missing: Vec::new(),
        }
    }

    fn feed(mut self) -> Feed {
        if self.missing.len() < self.data.len() && !self.missing.is_empty() {
            self.missing.resize(self.data.len(), false);
        }
        Feed {
            tensor: Tensor {
                shape: self.shape,
                data: self.data,
            },
            missing: self.missing,
        }
    }

    fn add_row(&mut self, value: Value<'_>, row: usize) -> Result<(), Failure> {
        if self.rows > row {
            // The name is there twice: what was added goes.
            let before = self.data.len() / self.rows * row;
            self.truncate(before);
            self.rows = row;
        }
        let found = shape(value);
        if self.rows == 0 {
            self.shape = found;
        } else if self.shape != found {
            let size = |shape: &[usize]| {
                shape
                    .iter()
                    .try_fold(1usize, |size, axis| size.checked_mul(*axis))
            };
            let (expected, found_size) = (size(&self.shape), size(&found));
            // The lists have to be well formed before their shapes can be compared.
            let expected_shape = std::mem::replace(&mut self.shape, found.clone());
            let before = self.data.len();
            self.fill(value, 0)?;
            self.truncate(before);
            self.shape = expected_shape;
            return Err(Failure::invalid(if expected == found_size {
                format!(
                    "Expecting shape {} but got: {}",
                    listed(&self.shape),
                    listed(&found)
                )
            } else {
                format!(
                    "Expecting tensor size: {} but got: {}",
                    expected.unwrap_or(usize::MAX),
                    found_size.unwrap_or(usize::MAX)
                )
            }));
        }
        self.fill(value, 0)?;
        self.rows += 1;
        Ok(())
    }

    fn add_missing(&mut self, row: usize) -> Result<(), Failure> {
        if !self.shape.is_empty() {
            return Err(Failure::invalid(format!(
                "{} has no value, but lists in other rows",
                self.input.name
            )));
        }
        self.push_missing();
        self.rows = row + 1;
        Ok(())
    }

    fn truncate(&mut self, length: usize) {
        match &mut self.data {
            Data::Float(values) => values.truncate(length),
            Data::Double(values) => values.truncate(length),
            Data::Int32(values) => values.truncate(length),
            Data::Int64(values) => values.truncate(length),
            Data::Bool(values) => values.truncate(length),
            Data::Text(values) => values.truncate(length),
        }
        self.missing.truncate(length);
    }

    fn push_missing(&mut self) {
        self.missing.resize(self.data.len(), false);
        self.missing.push(true);
        match &mut self.data {
            Data::Float(values) => values.push(0.0),
            Data::Double(values) => values.push(0.0),
            Data::Int32(values) => values.push(0),
            Data::Int64(values) => values.push(0),
            Data::Bool(values) => values.push(false),
            Data::Text(values) => values.push(String::new()),
        }
    }

    /// Adds the values of lists that have the lengths of `self.shape`.
    fn fill(&mut self, value: Value<'_>, level: usize) -> Result<(), Failure> {
        let rank = self.shape.len();
        let Kind::Array(count) = value.kind() else {
            if level != rank {
                return Err(Failure::invalid(format!(
                    "JSON Value: {} found at incorrect level: {} in the JSON DOM. Expected at \
                     level: {rank}",
                    value.shown(),
                    level + 1
                )));
            }
            return self.push(value);
        };
        let Some(expected) = self.shape.get(level).copied() else {
            return Err(Failure::invalid(format!(
                "Encountered list at unexpected level: {level} expected < {rank}"
            )));
        };
        if count != expected {
            return Err(Failure::invalid(format!(
                "Encountered list at unexpected size: {count} at level: {level} expected size: \
                 {expected}"
            )));
        }
        for element in value.elements() {
            self.fill(element, level + 1)?;
        }
        Ok(())
    }

    fn push(&mut self, value: Value<'_>) -> Result<(), Failure> {
        let kind = value.kind();
        if kind == Kind::Null && self.takes_missing {
            self.push_missing();
            return Ok(());
        }
        let element = self.input.element;
        let refused = || {
            Failure::invalid(format!(
                "JSON Value: {} Type: {} is not of expected type: {element}",
                value.shown(),
                value.type_name()
            ))
        };
        let lossy = |target: &str| lossy(&value.shown(), target);
        match (&mut self.data, kind) {
            (Data::Float(values), Kind::Integer(_) | Kind::Unsigned(_) | Kind::Decimal(_)) => {
                let number = whole_within(kind, 1 << 24).and_then(narrowed);
                values.push(number.ok_or_else(|| lossy("float"))?);
            }
            (Data::Double(values), Kind::Integer(_) | Kind::Unsigned(_) | Kind::Decimal(_)) => {
                values.push(whole_within(kind, 1 << 53).ok_or_else(|| lossy("double"))?);
            }
            (Data::Int32(values), Kind::Integer(number)) => {
                values.push(number.try_into().map_err(|_| refused())?);
            }
            (Data::Int64(values), Kind::Integer(number)) => values.push(number),
            (Data::Bool(values), Kind::Bool(truth)) => values.push(truth),
            (Data::Text(values), Kind::Text(text)) => values.push(text.to_owned()),
            (Data::Text(values), Kind::Object(_)) => {
                let encoded = value
                    .base64()
                    .ok_or_else(|| wrong(value, "not formatted correctly for base64 data"))?;
                values.push(unescape(encoded)?);
            }
            _ => return Err(refused()),
        }
        Ok(())
    }
}

/// A number in single precision, unless it would become infinite.
pub(crate) fn narrowed(number: f64) -> Option<f32> {
    let is_too_large = number.is_finite() && number.abs() > f64::from(f32::MAX);
    (!is_too_large).then_some(number as f32)
}

/// What is said of a number that the type does not hold.
pub(crate) fn lossy(shown: &str, target: &str) -> Failure {
    Failure::invalid(format!(
        "Cannot convert JSON value: {shown} to {target} without loss of precision."
    ))
}

/// A number, unless it is a whole one that is not below `limit`, and so may not be what the floating
/// point number of that precision would be.
fn whole_within(kind: Kind<'_>, limit: u64) -> Option<f64> {
    match kind {
        Kind::Integer(number) => (number.unsigned_abs() < limit).then_some(number as f64),
        Kind::Decimal(number) => Some(number),
        _ => None,
    }
}

/// The text that is behind `{"b64": ...}`.
pub(crate) fn unescape(encoded: &str) -> Result<String, Failure> {
    String::from_utf8(unescaped(encoded)?).map_err(|_| Failure::invalid(NOT_UTF8))
}

/// The bytes that are behind `{"b64": ...}`.
pub(crate) fn unescaped(encoded: &str) -> Result<Vec<u8>, Failure> {
    let bytes = BASE64.decode(encoded);
    bytes.map_err(|_| Failure::invalid("Unable to base64 decode"))
}

pub(crate) const NOT_UTF8: &str = "strings that are not UTF-8 are not supported";

fn listed(shape: &[usize]) -> String {
    let lengths: Vec<_> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", lengths.join(","))
}
