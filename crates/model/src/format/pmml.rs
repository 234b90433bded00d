use std::sync::Arc;

use pmml::{OutputValue, Prediction, Row};
use tensor::{Data, Tensor};

use crate::{
    Descriptor, Detail, Evaluator, Model, ModelFactory, Record, Refusal, Schema, Score, ScoreError,
    Value,
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
        let positions = model.inputs().iter().map(|input| {
            schema
                .position(&input.name)
                .ok_or_else(|| Refusal::MissingField {
                    field: input.name.clone(),
                    schema: schema.name(),
                    fields: schema.field_names(),
                })
        });
        let positions = positions.collect::<Result<_, _>>()?;
        Ok(Arc::new(Document {
            model: Arc::new(model),
            positions,
            detail,
        }))
    }
}

struct Document {
    model: Arc<pmml::Model>,
    /// Of each input of the document, its position in a record.
    positions: Arc<[usize]>,
    detail: Detail,
}

impl Model for Document {
    fn evaluator(&self) -> Box<dyn Evaluator> {
        let mut evaluator = DocumentEvaluator {
            model: Arc::clone(&self.model),
            positions: Arc::clone(&self.positions),
            detail: self.detail,
            rows: Vec::new(),
            predictions: Vec::new(),
            results: Vec::new(),
        };
        evaluator.grow(1);
        Box::new(evaluator)
    }
}

struct DocumentEvaluator {
    model: Arc<pmml::Model>,
    positions: Arc<[usize]>,
    detail: Detail,
    rows: Vec<Row>,
    predictions: Vec<Prediction>,
    results: Vec<Result<(), pmml::ScoreError>>,
}

impl Evaluator for DocumentEvaluator {
    fn score(&mut self, record: &Record) -> Result<Score, ScoreError> {
        let (Some(row), Some(prediction)) = (self.rows.first_mut(), self.predictions.first_mut())
        else {
            // There is always one.
            return Ok(Score::default());
        };
        fill(row, &self.positions, record);
        self.model
            .score(row, prediction)
            .map_err(ScoreError::Pmml)?;
        score(prediction)
    }

    fn score_batch(&mut self, records: &[&Record], scores: &mut Vec<Result<Score, ScoreError>>) {
        scores.clear();
        for records in records.chunks(CHUNK) {
            self.grow(records.len());
            let rows = &mut self.rows[..records.len()];
            let predictions = &mut self.predictions[..records.len()];
            for (row, record) in rows.iter_mut().zip(records) {
                fill(row, &self.positions, record);
            }
            self.model.score_batch(rows, predictions, &mut self.results);
            let results = self.results.drain(..).zip(predictions);
            scores.extend(results.map(|(result, prediction)| {
                result
                    .map_err(ScoreError::Pmml)
                    .and_then(|()| score(prediction))
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

fn fill(row: &mut Row, positions: &[usize], record: &Record) {
    for (input, &position) in positions.iter().enumerate() {
        match record.values.get(position) {
            Some(Value::Number(number)) => row.set_number(input, *number),
            Some(Value::Text(text)) => row.set_text(input, text),
            Some(Value::Missing) | None => row.set_missing(input),
        }
    }
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
