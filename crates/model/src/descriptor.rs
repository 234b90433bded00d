use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use protobufs::ModelDescriptor;
use protobufs::model_descriptor::{MessageContent, ModelType};
use tensor::Directory;

use crate::archive::{self, ArchiveError};
use crate::location::{FetchError, Limits};
use crate::{Content, Digest};

/// Bytes of a descriptor's name, version, description and data type together.
const LONGEST_NAMES: usize = 16 * 1024;

/// A model as the models topic has it: checked, with its files at hand, not loaded yet.
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
    /// The model itself. Never empty; a SavedModel is a directory, whatever it came as.
    pub content: Content,
    /// The digest of what was in the message, or at the location: of an archive, not of what was
    /// in it.
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
    /// The model is elsewhere, and nothing is fetched here.
    #[error("the model is at a location (`{0}`), and only models in `data` are taken here")]
    ByLocation(String),
    /// The model cannot be had from its location.
    #[error("the model's location is refused")]
    Location(#[source] FetchError),
    /// The archive that the model is in cannot be unpacked.
    #[error("the model's archive is refused")]
    Archive(#[source] ArchiveError),
    /// There is no SavedModel in the directory or archive, or there are several.
    #[error("there is one saved_model.pb in a SavedModel, here {found}")]
    NoSavedModel {
        /// Where there are some.
        found: String,
    },
    /// A format that is one file came as a directory.
    #[error("a model of type {model_type} is one file, and a directory was found")]
    NotAFile {
        /// The format.
        model_type: &'static str,
    },
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

impl Refusal {
    /// Whether trying again may help: the model is at a location that cannot be reached now.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Location(error) if error.is_transient())
    }
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

    /// Checks a message that stands at `offset` of the models topic and has its model in it. For
    /// models that are elsewhere there is [`Locations::resolve`](crate::Locations::resolve).
    ///
    /// # Errors
    /// When it could not become a model.
    pub fn from_message(message: ModelDescriptor, offset: i64) -> Result<Self, Refusal> {
        let elsewhere = |location: &str| Err(Refusal::ByLocation(location.to_owned()));
        Self::read(message, offset, Limits::default().size, elsewhere)
    }

    /// The model, which is one file.
    ///
    /// # Errors
    /// [`Refusal::NotAFile`]: it is a directory.
    pub fn file(&self) -> Result<&Bytes, Refusal> {
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes),
            Content::Directory(_) => Err(Refusal::NotAFile {
                model_type: self.model_type.as_str_name(),
            }),
        }
    }

    /// Checks a message, and fetches what it refers to once everything else is in order.
    pub(crate) fn read(
        message: ModelDescriptor,
        offset: i64,
        limit: u64,
        fetch: impl FnOnce(&str) -> Result<Content, Refusal>,
    ) -> Result<Self, Refusal> {
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
        let content = match message.message_content {
            Some(MessageContent::Data(bytes)) => Content::Bytes(bytes),
            Some(MessageContent::Location(location)) if !location.is_empty() => fetch(&location)?,
            _ => return Err(Refusal::NoContent(message.name)),
        };
        if content.is_empty() {
            return Err(Refusal::NoContent(message.name));
        }
        let digest = content.digest();
        if !message.sha256.is_empty() && message.sha256[..] != digest.0 {
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
            return Err(Refusal::WrongDigest {
                expected: hex(&message.sha256),
                found: hex(&digest.0),
            });
        }
        let content = match model_type {
            ModelType::Tensorflowsaved => Content::Directory(saved_model(content, limit)?),
            _ => content,
        };
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
            content,
            digest,
            options: message.options.into_iter().collect(),
        })
    }
}

/// The SavedModel in what came: a directory, an archive of one, or its `saved_model.pb` alone.
fn saved_model(content: Content, limit: u64) -> Result<Arc<Directory>, Refusal> {
    let directory = match content {
        Content::Directory(directory) => directory,
        Content::Bytes(bytes) if archive::is_archive(&bytes) => {
            let directory = archive::unpack(&bytes, limit).map_err(Refusal::Archive)?;
            Arc::new(directory)
        }
        Content::Bytes(bytes) => return Ok(Arc::new(archive::saved_model_alone(&bytes))),
    };
    archive::saved_model(&directory).map_err(|found| Refusal::NoSavedModel {
        found: if found.is_empty() {
            "is none".to_owned()
        } else {
            let directories: Vec<_> = found.into_iter().map(|path| format!("`{path}`")).collect();
            format!("they are in {}", directories.join(", "))
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Locations;

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

    const SAVED_MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/models/wine/1");

    fn saved_model(content: MessageContent) -> ModelDescriptor {
        ModelDescriptor {
            modeltype: ModelType::Tensorflowsaved.into(),
            message_content: Some(content),
            ..message()
        }
    }

    fn files(descriptor: &Descriptor) -> Vec<&str> {
        match &descriptor.content {
            Content::Directory(directory) => directory.files().map(|(path, _)| path).collect(),
            Content::Bytes(_) => panic!("a directory"),
        }
    }

    #[test]
    fn a_saved_model_is_a_directory_whatever_it_came_as() {
        let root = [SAVED_MODEL.to_owned()];
        let locations = Locations::new(&root, Limits::default()).unwrap();
        let location = MessageContent::Location(SAVED_MODEL.to_owned());
        let resolve = |message| locations.resolve(message, 0, std::future::pending());
        let there = resolve(saved_model(location.clone())).unwrap();
        let all = [
            "saved_model.pb",
            "variables/variables.data-00000-of-00001",
            "variables/variables.index",
        ];
        assert_eq!(files(&there), all);
        let Content::Directory(directory) = &there.content else {
            panic!("a directory");
        };
        // With its digest, at the location or in the message.
        let with = |digest: &Digest, message| ModelDescriptor {
            sha256: Bytes::copy_from_slice(&digest.0),
            ..message
        };
        assert!(resolve(with(&there.digest, saved_model(location.clone()))).is_ok());
        let packed = archive::pack(directory).unwrap();
        let data = saved_model(MessageContent::Data(packed.clone()));
        let here = Descriptor::from_message(with(&Digest::of(&packed), data.clone()), 0).unwrap();
        assert_eq!(files(&here), all);
        assert_eq!(here.digest, Digest::of(&packed));
        for wrong in [
            with(&here.digest, saved_model(location)),
            with(&there.digest, data),
        ] {
            let refusal = resolve(wrong).unwrap_err();
            assert!(matches!(refusal, Refusal::WrongDigest { .. }), "{refusal}");
            assert!(!refusal.is_transient());
        }
        // The graph alone, without variables.
        let alone = MessageContent::Data(Bytes::from_static(b"graph"));
        let alone = Descriptor::from_message(saved_model(alone), 0).unwrap();
        assert_eq!(files(&alone), ["saved_model.pb"]);
        // Nothing of the kind.
        let other = Directory::new([("x".to_owned(), vec![1])].into());
        let other = saved_model(MessageContent::Data(archive::pack(&other).unwrap()));
        let refusal = Descriptor::from_message(other, 0).unwrap_err();
        assert!(refusal.to_string().ends_with("here is none"), "{refusal}");
    }

    #[test]
    fn a_format_of_one_file_is_not_taken_from_a_directory() {
        let root = [SAVED_MODEL.to_owned()];
        let locations = Locations::new(&root, Limits::default()).unwrap();
        let at = |location: String| ModelDescriptor {
            message_content: Some(MessageContent::Location(location)),
            ..message()
        };
        let resolve = |message| locations.resolve(message, 0, std::future::pending());
        let directory = resolve(at(SAVED_MODEL.to_owned())).unwrap();
        assert!(matches!(directory.file(), Err(Refusal::NotAFile { .. })));
        let file = resolve(at(format!("file://{SAVED_MODEL}/saved_model.pb"))).unwrap();
        assert!(file.file().is_ok_and(|bytes| !bytes.is_empty()));
        let missing = resolve(at(format!("{SAVED_MODEL}/missing"))).unwrap_err();
        assert!(!missing.is_transient(), "{missing}");
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
