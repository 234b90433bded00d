use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use protobufs::ModelDescriptor;
use protobufs::model_descriptor::{MessageContent, ModelType};
use sha2::{Digest as _, Sha256};

/// Bytes of a descriptor's name, version, description and data type together.
const LONGEST_NAMES: usize = 16 * 1024;

/// The SHA-256 of a model's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its first eight bytes, big endian: enough to tell models apart in a result.
    #[must_use]
    pub fn short(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// The short form, 16 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.short())
    }
}

/// A model as the models topic has it: checked, with its bytes at hand, not loaded yet.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// The model's name.
    pub name: Arc<str>,
    /// Where it comes from, in free text.
    pub description: Arc<str>,
    /// The data type whose records it scores. Never empty.
    pub data_type: Arc<str>,
    /// Its format.
    pub model_type: ModelType,
    /// Its version; the offset on the models topic where the publisher gave none.
    pub version: Arc<str>,
    /// The model itself. Never empty.
    pub bytes: Bytes,
    /// The digest of the bytes.
    pub digest: Digest,
    /// Choices that the model leaves open, e.g. `input`, `output`.
    pub options: BTreeMap<String, String>,
}

/// Why a message of the models topic becomes no model.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no message.
    #[error("the message has no value")]
    NoValue,
    /// The bytes are no message.
    #[error("the value is no ModelDescriptor message: {0}")]
    Undecodable(#[source] prost::DecodeError),
    /// The message does not say what it scores.
    #[error("the model's data type is empty")]
    NoDataType,
    /// The data type is one that queries cannot name.
    #[error("the data type `{0}` is reserved")]
    ReservedDataType(String),
    /// The format has a number that nobody defined.
    #[error("unknown model type {number}; known: {known}")]
    UnknownType {
        /// The number.
        number: i32,
        /// The known formats.
        known: String,
    },
    /// The format is defined, and not one that this build loads.
    #[error("models of type {model_type} are not supported; supported: {supported}")]
    UnsupportedType {
        /// The format's name.
        model_type: &'static str,
        /// The formats that are.
        supported: String,
    },
    /// There is no model in the message.
    #[error("the descriptor of model `{0}` has no content")]
    NoContent(String),
    /// The names are longer than names are; every result would carry them.
    #[error(
        "name, version, description and data type have {length} bytes, at most {limit} are accepted"
    )]
    LongNames {
        /// Their length in bytes.
        length: usize,
        /// What is accepted.
        limit: usize,
    },
    /// The code that loads the model panicked: a defect, of which the stream sees a refusal.
    #[error("loading the model panicked")]
    Panicked,
    /// The model is elsewhere.
    #[error(
        "models by location are not supported yet (`{0}`): publish the model's bytes in `data`"
    )]
    ByLocation(String),
    /// The bytes are not those that the publisher meant.
    #[error("the model's SHA-256 is {found}, the descriptor says {expected}")]
    WrongDigest {
        /// What the descriptor says.
        expected: String,
        /// What the bytes give.
        found: String,
    },
    /// The record type has no such field.
    #[error(
        "the model needs the field `{field}`, which a {schema} record lacks (it has: {fields})"
    )]
    MissingField {
        /// The field, as the model calls it.
        field: String,
        /// The name of the schema.
        schema: &'static str,
        /// The fields it has.
        fields: String,
    },
    /// The model's inputs or outputs do not fit the record.
    #[error("{0}")]
    Unfit(String),
    /// The PMML document cannot be evaluated.
    #[error("the PMML document cannot be served: {0}")]
    Pmml(#[source] pmml::Error),
    /// The graph cannot be run.
    #[error("the graph cannot be served: {0}")]
    Tensor(#[source] tensor::Error),
}

impl Descriptor {
    /// Reads the message at `offset` of the models topic.
    ///
    /// # Errors
    /// When it is no descriptor, or none that could become a model.
    pub fn decode(value: Option<Bytes>, offset: i64) -> Result<Self, Refusal> {
        let value = value.ok_or(Refusal::NoValue)?;
        let message = ModelDescriptor::decode(value).map_err(Refusal::Undecodable)?;
        Self::from_message(message, offset)
    }

    /// Checks a message that stands at `offset` of the models topic.
    ///
    /// # Errors
    /// When it could not become a model.
    pub fn from_message(message: ModelDescriptor, offset: i64) -> Result<Self, Refusal> {
        if message.data_type.is_empty() {
            return Err(Refusal::NoDataType);
        }
        // GET /state/instances is about instances.
        if message.data_type == "instances" {
            return Err(Refusal::ReservedDataType(message.data_type));
        }
        let names = [
            &message.name,
            &message.version,
            &message.description,
            &message.data_type,
        ];
        let length = names.iter().map(|name| name.len()).sum();
        if length > LONGEST_NAMES {
            return Err(Refusal::LongNames {
                length,
                limit: LONGEST_NAMES,
            });
        }
        let model_type = ModelType::try_from(message.modeltype).map_err(|_| {
            let known = (0..).map_while(|number| ModelType::try_from(number).ok());
            Refusal::UnknownType {
                number: message.modeltype,
                known: known
                    .map(|t| t.as_str_name())
                    .collect::<Vec<_>>()
                    .join(", "),
            }
        })?;
        let bytes = match message.message_content {
            Some(MessageContent::Data(bytes)) if !bytes.is_empty() => bytes,
            Some(MessageContent::Location(location)) => return Err(Refusal::ByLocation(location)),
            _ => return Err(Refusal::NoContent(message.name)),
        };
        let digest = Digest::of(&bytes);
        if !message.sha256.is_empty() && message.sha256[..] != digest.0 {
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
            return Err(Refusal::WrongDigest {
                expected: hex(&message.sha256),
                found: hex(&digest.0),
            });
        }
        let version = if message.version.is_empty() {
            offset.to_string()
        } else {
            message.version
        };
        Ok(Self {
            name: message.name.into(),
            description: message.description.into(),
            data_type: message.data_type.into(),
            model_type,
            version: version.into(),
            bytes,
            digest,
            options: message.options.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> ModelDescriptor {
        ModelDescriptor {
            name: "m".to_owned(),
            data_type: "wine".to_owned(),
            modeltype: ModelType::Pmml.into(),
            message_content: Some(MessageContent::Data(Bytes::from_static(b"abc"))),
            ..ModelDescriptor::default()
        }
    }

    #[test]
    fn the_version_is_the_offset_where_the_publisher_gives_none() {
        let descriptor = Descriptor::decode(Some(message().encode_to_vec().into()), 42).unwrap();
        assert_eq!(&*descriptor.version, "42");
        let named = ModelDescriptor {
            version: "v1".to_owned(),
            ..message()
        };
        assert_eq!(&*Descriptor::from_message(named, 42).unwrap().version, "v1");
    }

    #[test]
    fn the_digest_is_that_of_the_standard() {
        // FIPS 180-4, the example for "abc".
        let descriptor = Descriptor::from_message(message(), 0).unwrap();
        assert_eq!(descriptor.digest.short(), 0xba78_16bf_8f01_cfea);
        assert_eq!(descriptor.digest.to_string(), "ba7816bf8f01cfea");
    }

    #[test]
    fn a_digest_that_differs_is_refused() {
        let sha256 = Bytes::copy_from_slice(&Digest::of(b"abc").0);
        let right = ModelDescriptor {
            sha256,
            ..message()
        };
        assert!(Descriptor::from_message(right, 0).is_ok());
        for wrong in [&b"x"[..], &[0; 32]] {
            let sha256 = Bytes::copy_from_slice(wrong);
            let message = ModelDescriptor {
                sha256,
                ..message()
            };
            let refusal = Descriptor::from_message(message, 0).unwrap_err();
            assert!(matches!(refusal, Refusal::WrongDigest { .. }), "{refusal}");
        }
    }

    #[test]
    fn what_cannot_become_a_model_is_told_apart() {
        let refusal = |message| Descriptor::from_message(message, 0).unwrap_err();
        let data_type = |name: &str| ModelDescriptor {
            data_type: name.to_owned(),
            ..message()
        };
        assert!(matches!(refusal(data_type("")), Refusal::NoDataType));
        assert!(matches!(
            refusal(data_type("instances")),
            Refusal::ReservedDataType(_)
        ));
        let unknown = refusal(ModelDescriptor {
            modeltype: 9,
            ..message()
        });
        assert_eq!(
            unknown.to_string(),
            "unknown model type 9; known: TENSORFLOW, TENSORFLOWSAVED, PMML, ONNX"
        );
        let content = |message_content| ModelDescriptor {
            message_content,
            ..message()
        };
        assert!(matches!(refusal(content(None)), Refusal::NoContent(_)));
        let empty = Some(MessageContent::Data(Bytes::new()));
        assert!(matches!(refusal(content(empty)), Refusal::NoContent(_)));
        let elsewhere = Some(MessageContent::Location("/models/wine.pmml".to_owned()));
        assert!(matches!(
            refusal(content(elsewhere)),
            Refusal::ByLocation(_)
        ));
        assert!(matches!(Descriptor::decode(None, 0), Err(Refusal::NoValue)));
        let noise = Bytes::from_static(b"\xff\xff");
        assert!(matches!(
            Descriptor::decode(Some(noise), 0),
            Err(Refusal::Undecodable(_))
        ));
        assert!(matches!(
            Descriptor::decode(Some(Bytes::new()), 0),
            Err(Refusal::NoDataType)
        ));
    }
}
