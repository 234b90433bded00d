use std::fmt;
use std::sync::Arc;

use model::{Descriptor, Evaluator, Model, Record, Score, ScoreError};
use prost::Message as _;
use protobufs::ServingResult;

/// A loaded model with its descriptor, shared by whoever scores with it.
pub struct ServedModel {
    /// What the models topic said of it.
    pub descriptor: Descriptor,
    /// The model itself.
    pub model: Arc<dyn Model>,
    /// Its place among all models that this process has loaded: of two, the greater is the newer.
    pub sequence: u64,
    /// What all of its results have in common, encoded once.
    header: Vec<u8>,
}

impl ServedModel {
    /// The model that came of this descriptor, as the `sequence`th of this process.
    #[must_use]
    pub fn new(descriptor: Descriptor, model: Arc<dyn Model>, sequence: u64) -> Self {
        let shared = ServingResult {
            data_type: descriptor.data_type.to_string(),
            model_name: descriptor.name.to_string(),
            model_version: descriptor.version.to_string(),
            model_type: descriptor.model_type.into(),
            model_digest: descriptor.digest.short(),
            ..ServingResult::default()
        };
        Self {
            header: shared.encode_to_vec(),
            descriptor,
            model,
            sequence,
        }
    }

    /// A model of another process, which scores there: to name it in results and state queries.
    #[must_use]
    pub fn elsewhere(descriptor: Descriptor, sequence: u64) -> Self {
        Self::new(descriptor, Arc::new(Elsewhere), sequence)
    }

    /// The encoded fields that all of its results share. Messages of the same type may be
    /// concatenated: the fields of both are those of one (Protocol Buffers encoding, "Last One
    /// Wins").
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }
}

/// Stands for a model that another process has.
struct Elsewhere;

impl Model for Elsewhere {
    fn evaluator(&self) -> Box<dyn Evaluator> {
        Box::new(Self)
    }
}

impl Evaluator for Elsewhere {
    fn score(&mut self, _: &Record) -> Result<Score, ScoreError> {
        Err(ScoreError::Elsewhere("it cannot score here".into()))
    }
}

impl fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedModel")
            .field("name", &self.descriptor.name)
            .field("version", &self.descriptor.version)
            .finish_non_exhaustive()
    }
}
