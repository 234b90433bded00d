#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::mem::replace;
use std::sync::Arc;

use protobufs::ElementType;
use tensor::{Data, Tensor};

use super::wire::{Content, Fields, Malformed};
use super::{DataTypes, Decoder, Record, Schema, Undecodable};

/// Tensors of a record, and axes of a tensor, at most.
const MOST_TENSORS: usize = 4_096;
const MOST_AXES: usize = 32;
/// The product of the other axes of a tensor that an axis of length 0 leaves without elements, at
/// most: it says nothing of them, and a graph may compute as many.
const LARGEST_EMPTY: usize = 1 << 20;
/// From how many tensors on a set finds equal names faster than comparing each with each.
const MANY: usize = 16;
/// Characters of a name that a message repeats.
const SHOWN: usize = 64;

/// A tensor under the name that it came with.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The name of the model's input, as far as the sender knows it.
    pub name: String,
    /// The tensor.
    pub tensor: Tensor,
}

/// Makes records from `TensorRecord` messages: whatever tensors they bring.
///
/// A tensor has to be what it says: as many bytes as its shape and type take, truth values of 0 and
/// 1, texts in UTF-8; and of each name a record has one.
#[derive(Debug)]
pub struct TensorDecoder {
    schema: Arc<Schema>,
    data_types: DataTypes,
}

impl TensorDecoder {
    /// A decoder.
    #[must_use]
    pub fn new() -> Self {
        Self {
            schema: Arc::new(Schema::open("tensor")),
            data_types: DataTypes::default(),
        }
    }
}

impl Default for TensorDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for TensorDecoder {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn decode_into(&mut self, bytes: &[u8], record: &mut Record) -> Result<(), Undecodable> {
        let malformed = |reason: Malformed| Undecodable::Malformed {
            schema: "tensor",
            reason: reason.to_owned(),
        };
        record.values.clear();
        let (mut data_type, mut ts, mut count) = ("", 0, 0);
        let mut fields = Fields::of(bytes);
        while let Some((number, content)) = fields.next().map_err(malformed)? {
            match number {
                1 => data_type = content.text().map_err(malformed)?,
                2 => ts = content.varint().map_err(malformed)?.cast_signed(),
                3 => {
                    if count == MOST_TENSORS {
                        return Err(Undecodable::TooManyTensors {
                            limit: MOST_TENSORS,
                        });
                    }
                    if count == record.tensors.len() {
                        record.tensors.push(NamedTensor::empty());
                    }
                    let message = content.bytes().map_err(malformed)?;
                    record.tensors[count].read(message)?;
                    count += 1;
                }
                _ => {}
            }
        }
        record.tensors.truncate(count);
        if data_type.is_empty() {
            return Err(Undecodable::NoDataType);
        }
        check_names(&record.tensors)?;
        if *record.data_type != *data_type {
            record.data_type = self.data_types.intern(data_type);
        }
        record.submitted_us = (ts > 0).then(|| ts.saturating_mul(1000));
        Ok(())
    }
}

fn check_names(tensors: &[NamedTensor]) -> Result<(), Undecodable> {
    let twice = if tensors.len() < MANY {
        let mut numbered = tensors.iter().enumerate();
        numbered.find(|(n, tensor)| tensors[..*n].iter().any(|t| t.name == tensor.name))
    } else {
        let mut names = HashSet::with_capacity(tensors.len());
        let mut numbered = tensors.iter().enumerate();
        numbered.find(|(_, tensor)| !names.insert(&tensor.name))
    };
    match twice {
        None => Ok(()),
        Some((_, tensor)) => Err(wrong(&tensor.name, "is there twice")),
    }
}

fn wrong(name: &str, why: impl Into<String>) -> Undecodable {
    Undecodable::Tensor {
        name: shown(name),
        why: why.into(),
    }
}

/// A name as a message repeats it.
pub(crate) fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}...", &name[..end]),
    }
}

impl NamedTensor {
    fn empty() -> Self {
        Self {
            name: String::new(),
            tensor: Tensor {
                shape: Vec::new(),
                data: Data::Float(Vec::new()),
            },
        }
    }

    /// About how many bytes of memory it holds.
    pub(super) fn memory(&self) -> usize {
        let data = match &self.tensor.data {
            Data::Float(values) => 4 * values.capacity(),
            Data::Double(values) => 8 * values.capacity(),
            Data::Int32(values) => 4 * values.capacity(),
            Data::Int64(values) => 8 * values.capacity(),
            Data::Bool(values) => values.capacity(),
            Data::Text(values) => {
                let texts = values.iter().map(String::capacity).sum::<usize>();
                texts + values.capacity() * size_of::<String>()
            }
        };
        let shape = self.tensor.shape.capacity() * size_of::<usize>();
        size_of::<Self>() + self.name.capacity() + shape + data
    }

    /// The tensor that a message holds, checked as those of records are.
    ///
    /// # Errors
    /// [`Undecodable::Tensor`] when it is not what it says.
    pub fn from_message(message: &protobufs::Tensor) -> Result<Self, Undecodable> {
        let mut read = Self {
            name: message.name.clone(),
            ..Self::empty()
        };
        let shape = message.shape.iter().map(|&length| axis(length));
        read.tensor.shape = shape
            .collect::<Result<_, _>>()
            .map_err(|why| wrong(&message.name, why))?;
        read.fill(message.r#type, &message.data)?;
        Ok(read)
    }

    /// Overwrites this one with the tensor of an encoded message; its memory serves again.
    fn read(&mut self, message: &[u8]) -> Result<(), Undecodable> {
        self.tensor.shape.clear();
        let (mut name, mut element, mut data) = ("", 0, &[][..]);
        let mut parse = || -> Result<Result<(), String>, Malformed> {
            let mut fields = Fields::of(message);
            let mut axes = Ok(());
            while let Some((number, content)) = fields.next()? {
                match (number, content) {
                    (1, content) => name = content.text()?,
                    (2, Content::Bytes(packed)) => {
                        let mut packed = Fields::of(packed);
                        while let Some(length) = packed.packed()? {
                            axes = axes.and_then(|()| push(&mut self.tensor.shape, length));
                        }
                    }
                    (2, content) => {
                        let length = content.varint()?;
                        axes = axes.and_then(|()| push(&mut self.tensor.shape, length));
                    }
                    // An enum is an int32, of which the upper half is cut.
                    (3, content) => element = content.varint()? as i32,
                    (4, content) => data = content.bytes()?,
                    _ => {}
                }
            }
            Ok(axes)
        };
        let axes = parse().map_err(|reason| Undecodable::Malformed {
            schema: "tensor",
            reason: reason.to_owned(),
        })?;
        self.name.clear();
        self.name.push_str(name);
        axes.map_err(|why| wrong(name, why))?;
        self.fill(element, data)
    }

    /// Overwrites the elements with those that the bytes hold, as many as the shape says.
    fn fill(&mut self, element: i32, bytes: &[u8]) -> Result<(), Undecodable> {
        let Tensor { shape, data } = &mut self.tensor;
        elements(data, shape, element, bytes).map_err(|why| wrong(&self.name, why))
    }
}

fn push(shape: &mut Vec<usize>, length: u64) -> Result<(), String> {
    if shape.len() == MOST_AXES {
        return Err(format!("has more than {MOST_AXES} axes"));
    }
    shape.push(axis(length.cast_signed())?);
    Ok(())
}

fn axis(length: i64) -> Result<usize, String> {
    usize::try_from(length).map_err(|_| format!("has an axis of the length {length}"))
}

fn elements(data: &mut Data, shape: &[usize], element: i32, bytes: &[u8]) -> Result<(), String> {
    if shape.len() > MOST_AXES {
        return Err(format!("has more than {MOST_AXES} axes"));
    }
    let element = ElementType::try_from(element)
        .map_err(|_| format!("has elements of the unknown type {element}"))?;
    let too_large = || format!("has the shape {shape:?}, which is too large");
    let product = shape
        .iter()
        .try_fold(1_usize, |product, &length| {
            product.checked_mul(length.max(1))
        })
        .ok_or_else(too_large)?;
    let is_empty = shape.contains(&0);
    if is_empty && product > LARGEST_EMPTY {
        return Err(too_large());
    }
    let volume = if is_empty { 0 } else { product };
    let (word, size) = match element {
        ElementType::Unspecified => return Err("does not say the type of its elements".to_owned()),
        ElementType::Float => ("float", 4),
        ElementType::Double => ("double", 8),
        ElementType::Int32 => ("int32", 4),
        ElementType::Int64 => ("int64", 8),
        ElementType::Bool => ("bool", 1),
        // At least: the length of each.
        ElementType::String => ("string", 4),
    };
    let needed = volume.checked_mul(size);
    let fits = match element {
        ElementType::String => needed.is_some_and(|needed| needed <= bytes.len()),
        _ => needed == Some(bytes.len()),
    };
    if !fits {
        return Err(format!(
            "has {} bytes of data, which is not what {word} {shape:?} takes",
            bytes.len()
        ));
    }
    // What there is goes on as it is if it is of the type, so that its memory serves again.
    let old = replace(data, Data::Bool(Vec::new()));
    *data = match element {
        ElementType::Double => Data::Double(numbers(
            if let Data::Double(old) = old {
                old
            } else {
                Vec::new()
            },
            bytes,
            f64::from_le_bytes,
        )),
        ElementType::Int32 => Data::Int32(numbers(
            if let Data::Int32(old) = old {
                old
            } else {
                Vec::new()
            },
            bytes,
            i32::from_le_bytes,
        )),
        ElementType::Int64 => Data::Int64(numbers(
            if let Data::Int64(old) = old {
                old
            } else {
                Vec::new()
            },
            bytes,
            i64::from_le_bytes,
        )),
        ElementType::Bool => {
            if let Some(byte) = bytes.iter().find(|byte| **byte > 1) {
                return Err(format!("has the truth value {byte}: 0 and 1 are taken"));
            }
            let old = if let Data::Bool(old) = old {
                old
            } else {
                Vec::new()
            };
            Data::Bool(numbers(old, bytes, |[byte]: [u8; 1]| byte == 1))
        }
        ElementType::String => {
            let old = if let Data::Text(old) = old {
                old
            } else {
                Vec::new()
            };
            Data::Text(texts(old, volume, bytes)?)
        }
        ElementType::Float | ElementType::Unspecified => Data::Float(numbers(
            if let Data::Float(old) = old {
                old
            } else {
                Vec::new()
            },
            bytes,
            f32::from_le_bytes,
        )),
    };
    Ok(())
}

/// The numbers that the bytes hold, in the memory of others.
fn numbers<T, const SIZE: usize>(
    mut into: Vec<T>,
    bytes: &[u8],
    number: impl Fn([u8; SIZE]) -> T,
) -> Vec<T> {
    into.clear();
    let (chunks, _) = bytes.as_chunks::<SIZE>();
    into.extend(chunks.iter().map(|chunk| number(*chunk)));
    into
}

/// The texts that the bytes hold, in the memory of others. There are at least four bytes for each.
fn texts(mut into: Vec<String>, count: usize, bytes: &[u8]) -> Result<Vec<String>, String> {
    into.truncate(count);
    let mut rest = bytes;
    for place in 0..count {
        let cut_off = || format!("has a string that is cut off, at {place}");
        let (length, after) = rest.split_first_chunk().ok_or_else(cut_off)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut_off())?;
        let (text, after) = after.split_at_checked(length).ok_or_else(cut_off)?;
        let text = std::str::from_utf8(text)
            .map_err(|_| format!("has a string that is not UTF-8, at {place}"))?;
        rest = after;
        match into.get_mut(place) {
            Some(old) => {
                old.clear();
                old.push_str(text);
            }
            None => into.push(text.to_owned()),
        }
    }
    if rest.is_empty() {
        Ok(into)
    } else {
        Err(format!("has {} bytes after its last string", rest.len()))
    }
}

/// A tensor as a message: little endian, row-major.
#[must_use]
pub fn message(name: &str, tensor: &Tensor) -> protobufs::Tensor {
    fn bytes<T: Copy, const SIZE: usize>(values: &[T], bytes: fn(T) -> [u8; SIZE]) -> Vec<u8> {
        let mut all = Vec::with_capacity(values.len() * SIZE);
        values
            .iter()
            .for_each(|value| all.extend_from_slice(&bytes(*value)));
        all
    }
    let (element, data) = match &tensor.data {
        Data::Float(values) => (ElementType::Float, bytes(values, f32::to_le_bytes)),
        Data::Double(values) => (ElementType::Double, bytes(values, f64::to_le_bytes)),
        Data::Int32(values) => (ElementType::Int32, bytes(values, i32::to_le_bytes)),
        Data::Int64(values) => (ElementType::Int64, bytes(values, i64::to_le_bytes)),
        Data::Bool(values) => (ElementType::Bool, bytes(values, |truth| [u8::from(truth)])),
        Data::Text(values) => {
            let mut all = Vec::new();
            for text in values {
                // Longer ones fit into no message.
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                all.extend_from_slice(&length.to_le_bytes());
                all.extend_from_slice(text.as_bytes());
            }
            (ElementType::String, all)
        }
    };
    let length = |&length: &usize| i64::try_from(length).unwrap_or(i64::MAX);
    protobufs::Tensor {
        name: name.to_owned(),
        shape: tensor.shape.iter().map(length).collect(),
        r#type: element.into(),
        data: data.into(),
    }
}
