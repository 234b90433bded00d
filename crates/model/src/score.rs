use std::sync::Arc;

use tensor::Tensor;

use crate::Record;

/// What a model says of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// The predicted number; of a classifier, its label if that reads as a number.
    pub value: Option<f64>,
    /// The label that a classifier predicted.
    pub label: Option<Arc<str>>,
    /// The probability of each label; only with [`Detail::All`](crate::Detail::All).
    pub probabilities: Vec<(Arc<str>, f64)>,
    /// The model's outputs by name; only with [`Detail::All`](crate::Detail::All).
    pub outputs: Vec<(Arc<str>, Tensor)>,
}

/// Why a model says nothing of a record.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The prediction is not a number.
    #[error("the prediction is not a number (NaN)")]
    NotANumber,
    /// The evaluation of a PMML model failed.
    #[error("the evaluation failed: {0}")]
    Pmml(#[source] pmml::ScoreError),
    /// The run of a graph failed.
    #[error("the graph failed: {0}")]
    Tensor(#[source] Arc<tensor::Error>),
    /// A value of the record does not fit the model's input.
    #[error("the field `{field}` does not fit the model: {why}")]
    Unfit {
        /// The field.
        field: &'static str,
        /// Why.
        why: String,
    },
    /// A tensor of the record does not fit the model's input.
    #[error("the tensor `{tensor}` does not fit the model's input `{input}`: {why}")]
    Misfit {
        /// The tensor's name.
        tensor: String,
        /// The model's input.
        input: String,
        /// Why.
        why: String,
    },
    /// The tensors of the record are not those that the model takes.
    #[error("the record's tensors are not those that the model takes: {0}")]
    Tensors(String),
    /// The code that evaluates the model panicked: a defect, of which the stream sees a failure.
    #[error("the evaluation of the model panicked")]
    Panicked,
    /// The model runs elsewhere, and nothing came of it there.
    #[error("the model server: {0}")]
    Elsewhere(Arc<str>),
    /// The graph's output has no part for the record.
    #[error("the graph's output `{output}` has no row for each {schema} record")]
    Output {
        /// The output.
        output: String,
        /// The name of the record's schema.
        schema: &'static str,
    },
}

/// A model in the hands of one thread, with the space that scoring needs.
pub trait Evaluator: Send {
    /// Scores one record of the schema that the model was created for.
    ///
    /// # Errors
    /// When the model cannot score it.
    fn score(&mut self, record: &Record) -> Result<Score, ScoreError>;

    /// Scores records, one result each, in order, into `scores`, which is cleared first. The results
    /// are those that [`score`](Self::score) gives, to the last few bits.
    fn score_batch(&mut self, records: &[&Record], scores: &mut Vec<Result<Score, ScoreError>>) {
        scores.clear();
        scores.extend(records.iter().map(|record| self.score(record)));
    }
}
