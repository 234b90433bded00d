use std::sync::Arc;

use pmml::{OutputValue, Prediction, Row};
use tensor::{Data, Tensor};

use super::matching::{Matching, listed};
use crate::record::shown;
use crate::{
    Descriptor, Detail, Evaluator, Model, ModelFactory, NamedTensor, Record, Refusal, Schema,
    Score, ScoreError, Value,
};

/// Records that are evaluated in one go: few enough to stay in the cache.
const CHUNK: usize = 256;

/// PMML documents, by the crate `pmml`.
pub(crate) struct Factory;

impl ModelFactory for Factory {
    fn create(
        &self,
        descriptor: &Descriptor,
        schema: &Schema,
        detail: Detail,
    ) -> Result<Arc<dyn Model>, Refusal> {
        let model = pmml::Model::load(descriptor.file()?).map_err(Refusal::Pmml)?;
        let inputs = model.inputs().iter();
        let from = if schema.is_open() {
            Source::Tensors(Matching::new(inputs.map(|input| input.name.as_str())))
        } else {
            let position = |input: &pmml::Input| {
                schema
                    .position(&input.name)
                    .ok_or_else(|| Refusal::MissingField {
                        field: input.name.clone(),
                        schema: schema.name(),
                        fields: schema.field_names(),
                    })
            };
            Source::Fields(inputs.map(position).collect::<Result<_, _>>()?)
        };
        Ok(Arc::new(Document {
            model: Arc::new(model),
            from,
            detail,
        }))
    }
}

struct Document {
    model: Arc<pmml::Model>,
    from: Source,
    detail: Detail,
}

/// Where a record has what the document's inputs take.
#[derive(Clone)]
enum Source {
    /// In its fields: of each input, the position.
    Fields(Arc<[usize]>),
    /// In its tensors, by name: scalars. One that is not there is a missing value, as a document
    /// has its own words on those.
    Tensors(Matching),
}

impl Model for Document {
    fn evaluator(&self) -> Box<dyn Evaluator> {
        let mut evaluator = DocumentEvaluator {
            model: Arc::clone(&self.model),
            from: self.from.clone(),
            detail: self.detail,
            rows: Vec::new(),
            predictions: Vec::new(),
            results: Vec::new(),
            waiting: Vec::new(),
        };
        evaluator.grow(1);
        Box::new(evaluator)
    }
}

struct DocumentEvaluator {
    model: Arc<pmml::Model>,
    from: Source,
    detail: Detail,
    rows: Vec<Row>,
    predictions: Vec<Prediction>,
    results: Vec<Result<(), pmml::ScoreError>>,
    /// Of the records of a chunk: in a row, or why not.
    waiting: Vec<Option<ScoreError>>,
}

impl Evaluator for DocumentEvaluator {
    fn score(&mut self, record: &Record) -> Result<Score, ScoreError> {
        let (Some(row), Some(prediction)) = (self.rows.first_mut(), self.predictions.first_mut())
        else {
            // There is always one.
            return Ok(Score::default());
        };
        self.from.fill(row, record)?;
        self.model
            .score(row, prediction)
            .map_err(ScoreError::Pmml)?;
        score(prediction)
    }

    fn score_batch(&mut self, records: &[&Record], scores: &mut Vec<Result<Score, ScoreError>>) {
        scores.clear();
        for records in records.chunks(CHUNK) {
            self.grow(records.len());
            // What does not fit leaves its row to the next record.
            let mut filled = 0;
            self.waiting.clear();
            for record in records {
                let failed = self.from.fill(&mut self.rows[filled], record).err();
                filled += usize::from(failed.is_none());
                self.waiting.push(failed);
            }
            let rows = &mut self.rows[..filled];
            let predictions = &mut self.predictions[..filled];
            self.model.score_batch(rows, predictions, &mut self.results);
            let mut results = self.results.drain(..).zip(predictions);
            scores.extend(self.waiting.drain(..).map(|failed| match failed {
                Some(error) => Err(error),
                None => results.next().map_or_else(
                    || Ok(Score::default()),
                    |(result, prediction)| {
                        result
                            .map_err(ScoreError::Pmml)
                            .and_then(|()| score(prediction))
                    },
                ),
            }));
        }
    }
}

impl DocumentEvaluator {
    fn grow(&mut self, rows: usize) {
        while self.rows.len() < rows {
            self.rows.push(self.model.row());
            let detail = match self.detail {
                Detail::Value => pmml::Detail::Value,
                Detail::All => pmml::Detail::All,
            };
            self.predictions.push(Prediction {
                detail,
                ..Prediction::default()
            });
        }
    }
}

impl Source {
    /// Fills a row with what a record has.
    fn fill(&mut self, row: &mut Row, record: &Record) -> Result<(), ScoreError> {
        match self {
            Self::Fields(positions) => {
                for (input, &position) in positions.iter().enumerate() {
                    match record.values.get(position) {
                        Some(Value::Number(number)) => row.set_number(input, *number),
                        Some(Value::Text(text)) => row.set_text(input, text),
                        Some(Value::Missing) | None => row.set_missing(input),
                    }
                }
            }
            Self::Tensors(matching) => {
                let mut none = true;
                let positions = matching.positions(&record.tensors);
                for (input, position) in positions.iter().enumerate() {
                    match position.and_then(|position| record.tensors.get(position)) {
                        Some(tensor) => {
                            none = false;
                            set(row, input, tensor)?;
                        }
                        None => row.set_missing(input),
                    }
                }
                if none && !positions.is_empty() {
                    let present = record.tensors.iter().map(|tensor| tensor.name.as_str());
                    return Err(ScoreError::Tensors(format!(
                        "it has {}; the document takes scalars: {}",
                        listed(present),
                        matching.names()
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Sets an input to the one element of a tensor.
fn set(row: &mut Row, input: usize, named: &NamedTensor) -> Result<(), ScoreError> {
    match &named.tensor.data {
        Data::Float(values) if values.len() == 1 => row.set_number(input, values[0].into()),
        Data::Double(values) if values.len() == 1 => row.set_number(input, values[0]),
        Data::Int32(values) if values.len() == 1 => row.set_number(input, values[0].into()),
        Data::Int64(values) if values.len() == 1 => row.set_number(input, values[0] as f64),
        Data::Bool(values) if values.len() == 1 => {
            row.set_text(input, if values[0] { "true" } else { "false" });
        }
        Data::Text(values) if values.len() == 1 => row.set_text(input, &values[0]),
        _ => {
            return Err(ScoreError::Misfit {
                tensor: shown(&named.name),
                input: shown(&named.name),
                why: format!(
                    "it has the shape {:?}, a scalar is taken",
                    named.tensor.shape
                ),
            });
        }
    }
    Ok(())
}

fn score(prediction: &mut Prediction) -> Result<Score, ScoreError> {
    if prediction.value.is_some_and(f64::is_nan) {
        return Err(ScoreError::NotANumber);
    }
    Ok(Score {
        value: prediction.value,
        label: prediction.label.clone(),
        probabilities: prediction.probabilities.clone(),
        outputs: prediction.outputs.drain(..).filter_map(output).collect(),
    })
}

/// An output field as a tensor without axes; a missing one is left out.
fn output((name, value): (Arc<str>, OutputValue)) -> Option<(Arc<str>, Tensor)> {
    let data = match value {
        OutputValue::Missing => return None,
        OutputValue::Number(number) => Data::Double(vec![number]),
        OutputValue::Text(text) => Data::Text(vec![text.to_string()]),
        OutputValue::Boolean(truth) => Data::Bool(vec![truth]),
    };
    Some((
        name,
        Tensor {
            shape: Vec::new(),
            data,
        },
    ))
}
