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
    let volume = shape
        .iter()
        .try_fold(1_usize, |volume, &length| volume.checked_mul(length))
        .ok_or_else(|| format!("has the shape {shape:?}, which is too large"))?;
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message as _;
    use protobufs::TensorRecord;

    use super::*;

    fn record(tensors: Vec<protobufs::Tensor>) -> Vec<u8> {
        let record = TensorRecord {
            data_type: "digits".to_owned(),
            ts: 1_700_000_000_123,
            tensors,
        };
        record.encode_to_vec()
    }

    fn tensor(name: &str, shape: &[i64], element: ElementType, data: &[u8]) -> protobufs::Tensor {
        protobufs::Tensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            r#type: element.into(),
            data: data.to_vec().into(),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Record, Undecodable> {
        TensorDecoder::new().decode(bytes)
    }

    fn refusal(tensor: protobufs::Tensor) -> String {
        decode(&record(vec![tensor])).unwrap_err().to_string()
    }

    #[test]
    fn tensors_have_the_names_shapes_and_elements_they_came_with() {
        let floats = [1.5_f32, -2.0].map(f32::to_le_bytes).concat();
        let record = decode(&record(vec![
            tensor("x", &[1, 2], ElementType::Float, &floats),
            tensor(
                "words",
                &[2],
                ElementType::String,
                b"\x02\0\0\0\xc3\xa9\0\0\0\0",
            ),
            tensor("none", &[0, 3], ElementType::Int64, b""),
            tensor("one", &[], ElementType::Bool, b"\x01"),
        ]));
        let record = record.unwrap();
        assert_eq!(&*record.data_type, "digits");
        assert_eq!(record.submitted_us, Some(1_700_000_000_123_000));
        let found: Vec<_> = record
            .tensors
            .iter()
            .map(|named| {
                let tensor = &named.tensor;
                (named.name.as_str(), tensor.shape.as_slice(), &tensor.data)
            })
            .collect();
        let words = Data::Text(vec!["é".to_owned(), String::new()]);
        assert_eq!(
            found,
            [
                ("x", &[1, 2][..], &Data::Float(vec![1.5, -2.0])),
                ("words", &[2][..], &words),
                ("none", &[0, 3][..], &Data::Int64(Vec::new())),
                ("one", &[][..], &Data::Bool(vec![true])),
            ]
        );
    }

    #[test]
    fn a_tensor_that_is_not_what_it_says_is_named_with_what_is_wrong() {
        use ElementType::{Bool, Double, Float, String as Text, Unspecified};
        let huge = i64::MAX;
        for (shape, element, data, why) in [
            (
                &[2_i64][..],
                Float,
                &[0_u8; 7][..],
                "has 7 bytes of data, which is not what float [2] takes",
            ),
            (&[2], Double, &[0; 8], "has 8 bytes of data"),
            (&[], Float, &[], "has 0 bytes of data"),
            (&[-1], Float, &[], "has an axis of the length -1"),
            (&[huge, huge], Float, &[], "which is too large"),
            (
                &[huge],
                Double,
                &[],
                "which is not what double [9223372036854775807] takes",
            ),
            (&[1; 33], Float, &[0; 4], "has more than 32 axes"),
            (
                &[1],
                Unspecified,
                &[0; 4],
                "does not say the type of its elements",
            ),
            (&[2], Bool, &[1, 2], "has the truth value 2"),
            (
                &[1],
                Text,
                &[1, 0, 0, 0, 0xff],
                "has a string that is not UTF-8, at 0",
            ),
            (
                &[1],
                Text,
                &[2, 0, 0, 0, 0x61],
                "has a string that is cut off, at 0",
            ),
            (
                &[1],
                Text,
                &[0, 0, 0, 0, 0x61],
                "has 1 bytes after its last string",
            ),
            (&[huge], Text, &[0; 16], "which is not what string"),
        ] {
            let refusal = refusal(tensor("x", shape, element, data));
            assert!(
                refusal.starts_with("the tensor `x` ") && refusal.contains(why),
                "{refusal:?}, not {why:?}"
            );
        }
        let mut unknown = tensor("x", &[1], Float, &[0; 4]);
        unknown.r#type = 99;
        assert!(refusal(unknown).contains("the unknown type 99"));
        let long = refusal(tensor(&"n".repeat(1_000_000), &[2], Float, &[]));
        assert!(long.len() < 250, "{} characters", long.len());
    }

    #[test]
    fn a_name_is_there_once_however_many_there_are() {
        let named = |n: usize| tensor(&n.to_string(), &[1], ElementType::Bool, &[0]);
        for count in [2, MANY - 1, MANY, 1_000] {
            let mut tensors: Vec<_> = (0..count).map(named).collect();
            assert_eq!(
                decode(&record(tensors.clone())).unwrap().tensors.len(),
                count
            );
            tensors[count - 1].name = "0".to_owned();
            let refusal = decode(&record(tensors)).unwrap_err().to_string();
            assert_eq!(refusal, "the tensor `0` is there twice");
        }
        let many = (0..=MOST_TENSORS).map(named).collect();
        let refusal = decode(&record(many)).unwrap_err();
        assert!(matches!(refusal, Undecodable::TooManyTensors { .. }));
    }

    #[test]
    fn nothing_of_a_record_is_left_for_the_next() {
        let mut decoder = TensorDecoder::new();
        let mut found = Record::default();
        let one = |element, data: &[u8]| record(vec![tensor("t", &[1], element, data)]);
        let two = record(vec![
            tensor("a", &[2], ElementType::String, b"\x01\0\0\0a\x01\0\0\0b"),
            tensor("b", &[1, 1, 1], ElementType::Float, &[0; 4]),
        ]);
        for (bytes, count) in [
            (two.clone(), 2),
            (one(ElementType::String, b"\0\0\0\0"), 1),
            (one(ElementType::Int32, &7_i32.to_le_bytes()), 1),
            (two, 2),
            (record(Vec::new()), 0),
        ] {
            decoder.decode_into(&bytes, &mut found).unwrap();
            assert_eq!(found, decode(&bytes).unwrap());
            assert_eq!(found.tensors.len(), count);
        }
        // A record that failed half-way must not shine through either.
        assert!(
            decoder
                .decode_into(&one(ElementType::Bool, &[2]), &mut found)
                .is_err()
        );
        let bytes = one(ElementType::Bool, &[1]);
        decoder.decode_into(&bytes, &mut found).unwrap();
        assert_eq!(found, decode(&bytes).unwrap());
    }

    #[test]
    fn what_is_no_record_is_told_apart() {
        assert!(matches!(decode(b""), Err(Undecodable::NoDataType)));
        let whole = record(vec![tensor("x", &[1], ElementType::Float, &[0; 4])]);
        assert!(decode(&whole).is_ok());
        for length in 1..whole.len() {
            // Cut between two fields it is a shorter message.
            if TensorRecord::decode(&whole[..length]).is_err() {
                let refusal = decode(&whole[..length]).unwrap_err();
                assert!(
                    matches!(refusal, Undecodable::Malformed { .. }),
                    "{refusal}"
                );
            }
        }
        for bytes in [
            &b"\x0a\x01\xff"[..],
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0b",
            b"\x0c",
            b"\x0f",
            b"\x00\x00",
            b"\x08\x01",
            b"\x1d\0\0\0\0",
        ] {
            let refusal = decode(bytes).unwrap_err();
            assert!(
                matches!(refusal, Undecodable::Malformed { .. }),
                "{bytes:?}: {refusal}"
            );
        }
        let mut groups = vec![0x33; 200_000];
        groups.push(0x34);
        assert!(decode(&groups).is_err());
    }

    #[test]
    fn large_tensors_are_given_back_and_small_ones_kept() {
        let mut small = decode(&record(vec![tensor(
            "x",
            &[784],
            ElementType::Float,
            &[0; 3136],
        )]))
        .unwrap();
        assert!(small.trim() >= 3136 && small.tensors.len() == 1);
        let mut large = decode(&record(vec![tensor(
            "x",
            &[1_000_000],
            ElementType::Bool,
            &[0; 1_000_000],
        )]))
        .unwrap();
        assert_eq!((large.trim(), large.tensors.capacity()), (0, 0));
        let mut texts = decode(&record(vec![tensor(
            "x",
            &[10_000],
            ElementType::String,
            &[0; 40_000],
        )]))
        .unwrap();
        assert_eq!((texts.trim(), texts.tensors.capacity()), (0, 0));
    }

    fn any_data() -> impl Strategy<Value = (Data, usize)> {
        prop_oneof![
            vec(any::<u32>().prop_map(f32::from_bits), 0..40).prop_map(Data::Float),
            vec(any::<u64>().prop_map(f64::from_bits), 0..40).prop_map(Data::Double),
            vec(any::<i32>(), 0..40).prop_map(Data::Int32),
            vec(any::<i64>(), 0..40).prop_map(Data::Int64),
            vec(any::<bool>(), 0..40).prop_map(Data::Bool),
            vec(".*", 0..10).prop_map(Data::Text),
        ]
        .prop_map(|data| {
            let length = data.len();
            (data, length)
        })
    }

    /// Bits, so that NaN equals itself.
    fn bits(record: &Record) -> String {
        let tensors = record.tensors.iter();
        let sent: Vec<_> = tensors.map(|t| message(&t.name, &t.tensor)).collect();
        format!("{} {:?} {sent:?}", record.data_type, record.submitted_us)
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_out_again(
            tensors in vec((any_data(), 0..3_usize), 0..20),
            data_type in ".+",
            ts in any::<i64>(),
        ) {
            let named = |(n, ((data, length), ones)): (usize, ((Data, usize), usize))| {
                let mut shape = vec![1; ones];
                shape.push(length);
                NamedTensor { name: format!("tensor {n}"), tensor: Tensor { shape, data } }
            };
            let wanted = Record {
                data_type: data_type.as_str().into(),
                submitted_us: (ts > 0).then(|| ts.saturating_mul(1000)),
                tensors: tensors.into_iter().enumerate().map(named).collect(),
                ..Record::default()
            };
            let messages: Vec<_> = wanted.tensors.iter().map(|t| message(&t.name, &t.tensor)).collect();
            for sent in &messages {
                prop_assert!(NamedTensor::from_message(sent).is_ok());
            }
            let sent = TensorRecord { data_type, ts, tensors: messages };
            let found = decode(&sent.encode_to_vec()).unwrap();
            prop_assert_eq!(bits(&found), bits(&wanted));
        }

        /// Bytes that are almost a record: as prost reads them, or refused.
        #[test]
        fn altered_bytes_are_refused_or_mean_what_they_mean_to_others(
            shape in vec(-1..4_i64, 0..4),
            element in 0..8,
            data in vec(0..3_u8, 0..30),
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            noise in vec(any::<u8>(), 0..12),
        ) {
            let mut sent = tensor("x", &shape, ElementType::Float, &data);
            sent.r#type = element;
            let mut bytes = record(vec![sent]);
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes.extend(noise);
            if let Ok(found) = decode(&bytes) {
                let other = TensorRecord::decode(&bytes[..]).unwrap();
                prop_assert_eq!(&*found.data_type, other.data_type.as_str());
                let tensors = found.tensors.iter().map(|t| message(&t.name, &t.tensor));
                prop_assert_eq!(tensors.collect::<Vec<_>>(), other.tensors);
            }
        }

        #[test]
        fn random_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
            if decode(&bytes).is_ok() {
                prop_assert!(TensorRecord::decode(&bytes[..]).is_ok());
            }
        }
    }
}
