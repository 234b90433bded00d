//! What is scored: records, their schemas, and the decoders that make them from bytes.

mod tensor;
mod wine;
mod wire;

use std::sync::Arc;

pub(crate) use tensor::shown;
pub use tensor::{NamedTensor, TensorDecoder, message};
pub use wine::WineDecoder;

/// One field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The record does not have it.
    Missing,
    /// A number; NaN is a value too, and an invalid one to most models.
    Number(f64),
    /// A text.
    Text(Box<str>),
}

/// One thing to score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Which model scores it. Never empty.
    pub data_type: Arc<str>,
    /// When the record was submitted, in microseconds since 1970, as far as it is known.
    pub submitted_us: Option<i64>,
    /// The values, in the order of the schema's fields; none of an open schema.
    pub values: Vec<Value>,
    /// The tensors that a record of an open schema brings.
    pub tensors: Vec<NamedTensor>,
}

impl Record {
    /// Bytes of memory that a record keeps for the next one. Beyond that, making memory costs little
    /// beside filling it.
    const MOST_KEPT: usize = 16 * 1024;

    /// Gives back the memory of tensors that are large, and returns about how many bytes those of a
    /// record keep that are not. For records that wait to be overwritten.
    pub fn trim(&mut self) -> usize {
        let kept = self.tensors.iter().map(NamedTensor::memory).sum();
        if kept <= Self::MOST_KEPT {
            return kept;
        }
        self.tensors = Vec::new();
        0
    }
}

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// [`Value::Number`].
    Number,
    /// [`Value::Text`].
    Text,
}

/// A field that every record of a schema has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, as the record's definition has it.
    pub name: &'static str,
    /// The type of its values.
    pub field_type: FieldType,
}

/// The fields of a record, in order; or that each record says for itself what it has.
#[derive(Clone, Debug)]
pub struct Schema {
    name: &'static str,
    fields: Vec<Field>,
    folded: Vec<String>,
    open: bool,
}

impl Schema {
    /// The schema of this name with these fields.
    #[must_use]
    pub fn new(name: &'static str, fields: Vec<Field>) -> Self {
        let folded = fields.iter().map(|field| fold(field.name)).collect();
        Self {
            name,
            fields,
            folded,
            open: false,
        }
    }

    /// The schema of this name whose records have [tensors](Record::tensors) instead of fields, each
    /// with the names it came with.
    #[must_use]
    pub fn open(name: &'static str) -> Self {
        Self {
            open: true,
            ..Self::new(name, Vec::new())
        }
    }

    /// Whether each record says for itself what it has.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Its name, as `--record` has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The fields, in the order of a record's values.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The position of the field that a model calls `name`: the same name, else the same after
    /// lower-casing and turning every run of other than letters and digits into `_`.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields
            .iter()
            .position(|field| field.name == name)
            .or_else(|| {
                let wanted = fold(name);
                self.folded.iter().position(|folded| *folded == wanted)
            })
    }

    /// The positions of the numeric fields: what a model with one vector input gets.
    #[must_use]
    pub fn numeric(&self) -> Vec<usize> {
        let numeric = |field: &Field| field.field_type == FieldType::Number;
        (0..self.fields.len())
            .filter(|&i| numeric(&self.fields[i]))
            .collect()
    }

    /// The names of the fields, for messages.
    #[must_use]
    pub fn field_names(&self) -> String {
        self.fields
            .iter()
            .map(|field| field.name)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A name in lower case, with `_` for every run of other than letters and digits.
pub(crate) fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    let mut pending = false;
    for c in name.chars() {
        if c.is_alphanumeric() {
            if std::mem::take(&mut pending) {
                folded.push('_');
            }
            folded.extend(c.to_lowercase());
        } else {
            pending = true;
        }
    }
    if pending {
        folded.push('_');
    }
    folded
}

/// Why bytes are no record.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// They are no message of the schema.
    #[error("the value is no {schema} message: {reason}")]
    Malformed {
        /// The name of the schema.
        schema: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// A tensor is not what it says it is.
    #[error("the tensor `{name}` {why}")]
    Tensor {
        /// Its name, or the beginning of a long one.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// There are more tensors than models have inputs.
    #[error("the record has more than {limit} tensors")]
    TooManyTensors {
        /// How many are accepted.
        limit: usize,
    },
    /// The message does not say which model scores it.
    #[error("the record's data type is empty")]
    NoDataType,
}

/// Makes records from bytes. A decoder belongs to one thread: it keeps what it can use again.
pub trait Decoder: Send {
    /// What every record has.
    fn schema(&self) -> &Arc<Schema>;

    /// Overwrites `record` with the one that the bytes hold; its memory serves again.
    ///
    /// # Errors
    /// When they hold none; what is in `record` then is not to be used.
    fn decode_into(&mut self, bytes: &[u8], record: &mut Record) -> Result<(), Undecodable>;

    /// The record that the bytes hold.
    ///
    /// # Errors
    /// When they hold none.
    fn decode(&mut self, bytes: &[u8]) -> Result<Record, Undecodable> {
        let mut record = Record::default();
        self.decode_into(bytes, &mut record)?;
        Ok(record)
    }
}

/// A decoder for the schema of this name (`wine`, `tensor`), or the names there are.
///
/// # Errors
/// The known names, when this is none of them.
pub fn decoder(schema: &str) -> Result<Box<dyn Decoder>, &'static [&'static str]> {
    match schema {
        "wine" => Ok(Box::new(WineDecoder::new())),
        "tensor" => Ok(Box::new(TensorDecoder::new())),
        _ => Err(&["wine", "tensor"]),
    }
}

/// Hands out one `Arc` per data type, so that a record does not allocate for its own.
#[derive(Debug, Default)]
struct DataTypes {
    last: Option<Arc<str>>,
    known: std::collections::HashSet<Arc<str>>,
}

impl DataTypes {
    /// Data types come from outside: past this many, forget and start again; and what is longer
    /// than a name is not kept at all.
    const LIMIT: usize = 10_000;
    const LONGEST: usize = 256;

    fn intern(&mut self, name: &str) -> Arc<str> {
        if let Some(last) = self.last.as_ref().filter(|last| &***last == name) {
            return Arc::clone(last);
        }
        if name.len() > Self::LONGEST {
            return name.into();
        }
        let found = self.known.get(name).cloned().unwrap_or_else(|| {
            if self.known.len() >= Self::LIMIT {
                self.known.clear();
            }
            let new: Arc<str> = name.into();
            self.known.insert(Arc::clone(&new));
            new
        });
        self.last = Some(Arc::clone(&found));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_own_name_and_by_what_exports_make_of_it() {
        let schema = Arc::clone(WineDecoder::new().schema());
        for (name, position) in [
            ("fixed_acidity", Some(0)),
            ("fixed acidity", Some(0)),
            ("Fixed.  Acidity", Some(0)),
            ("pH", Some(8)),
            ("ph", Some(8)),
            ("alcohol", Some(10)),
            ("alcohol_", None),
            ("fixedacidity", None),
            ("quality", None),
            ("", None),
        ] {
            assert_eq!(schema.position(name), position, "{name}");
        }
    }

    #[test]
    fn an_exact_name_wins_over_a_folded_one() {
        let field = |name| Field {
            name,
            field_type: FieldType::Number,
        };
        let schema = Schema::new("test", vec![field("PH"), field("ph")]);
        assert_eq!(schema.position("ph"), Some(1));
        assert_eq!(schema.position("pH"), Some(0));
    }

    #[test]
    fn an_unknown_schema_lists_the_known_ones() {
        assert_eq!(decoder("beer").err(), Some(&["wine", "tensor"][..]));
    }

    #[test]
    fn data_types_are_shared_and_bounded() {
        let mut types = DataTypes::default();
        let first = types.intern("wine");
        for i in 0..3 * DataTypes::LIMIT {
            types.intern(&i.to_string());
        }
        assert!(types.known.len() <= DataTypes::LIMIT);
        assert_eq!(types.intern("wine"), first);
        let again = types.intern("wine");
        assert!(Arc::ptr_eq(&again, &types.intern("wine")));
    }
}
