use std::sync::{Arc, Mutex, PoisonError};

use pmml::{DataType, Detail, Model, Prediction, Row};
use tensor::{Data, Element, Port, Tensor};

use crate::engine::Feed;
use crate::failure::Failure;

/// Records that are evaluated in one go: few enough to stay in the cache.
const CHUNK: usize = 256;
/// Spaces that are kept for later runs.
const MOST_SPACES: usize = 64;

/// A PMML document: an input for each of its fields, with a value for each row.
///
/// The output of a regression is `value`; of a classification these are `label` and
/// `probabilities`, the latter in the document's order of categories.
pub(crate) struct Document {
    model: Model,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    spaces: Mutex<Vec<Space>>,
}

#[derive(Default)]
struct Space {
    rows: Vec<Row>,
    predictions: Vec<Prediction>,
    results: Vec<Result<(), pmml::ScoreError>>,
}

impl Document {
    pub(crate) fn load(bytes: &[u8]) -> Result<Self, pmml::Error> {
        let model = Model::load(bytes)?;
        let port = |name: &str, element, width: &[Option<usize>]| Port {
            name: name.to_owned(),
            shape: [&[None], width].concat(),
            element,
        };
        let inputs = model.inputs().iter();
        let inputs = inputs.map(|input| port(&input.name, element(input.data_type), &[]));
        let inputs = inputs.collect();
        let outputs = match model.categories() {
            None => vec![port("value", Element::Double, &[])],
            Some(categories) => vec![
                port("label", Element::Text, &[]),
                port("probabilities", Element::Double, &[Some(categories.len())]),
            ],
        };
        Ok(Self {
            model,
            inputs,
            outputs,
            spaces: Mutex::default(),
        })
    }

    pub(crate) fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    pub(crate) fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The categories of a classification.
    pub(crate) fn labels(&self) -> Option<Vec<String>> {
        let categories = self.model.categories()?;
        Some(categories.iter().map(ToString::to_string).collect())
    }

    pub(crate) fn run(&self, feeds: &[Option<Feed>]) -> Result<Vec<Tensor>, Failure> {
        let mut count = None;
        for (feed, port) in feeds.iter().zip(&self.inputs) {
            let Some(feed) = feed else { continue };
            let ([rows] | [rows, 1]) = feed.tensor.shape[..] else {
                return Err(Failure::invalid(format!(
                    "input `{}` takes one value for each row, shape {:?} was given",
                    port.name, feed.tensor.shape
                )));
            };
            if rows != feed.tensor.data.len() || feed.tensor.data.element() != port.element {
                return Err(Failure::invalid(format!(
                    "input `{}` takes {} values, {} {} were given",
                    port.name,
                    port.element,
                    feed.tensor.data.len(),
                    feed.tensor.data.element()
                )));
            }
            if *count.get_or_insert(rows) != rows {
                return Err(Failure::invalid(
                    "the inputs have different numbers of rows",
                ));
            }
        }
        let count = count.unwrap_or(0);
        let spaces = || self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut space = spaces().pop().unwrap_or_default();
        let result = self.score(feeds, count, &mut space);
        let mut spaces = spaces();
        if spaces.len() < MOST_SPACES {
            spaces.push(space);
        }
        result
    }

    fn score(
        &self,
        feeds: &[Option<Feed>],
        count: usize,
        space: &mut Space,
    ) -> Result<Vec<Tensor>, Failure> {
        let categories = self.model.categories();
        let mut values = Vec::new();
        let mut labels = Vec::new();
        for start in (0..count).step_by(CHUNK) {
            let rows = CHUNK.min(count - start);
            while space.rows.len() < rows {
                space.rows.push(self.model.row());
                space.predictions.push(Prediction {
                    detail: Detail::All,
                    ..Prediction::default()
                });
            }
            let records = &mut space.rows[..rows];
            let predictions = &mut space.predictions[..rows];
            for (number, row) in records.iter_mut().enumerate() {
                fill(row, feeds, start + number);
            }
            let results = &mut space.results;
            self.model.score_batch(records, predictions, results);
            for (number, (result, prediction)) in results.drain(..).zip(predictions).enumerate() {
                result.map_err(|error| {
                    Failure::invalid(format!("row {} cannot be scored: {error}", start + number))
                })?;
                match categories {
                    None => values.push(prediction.value.unwrap_or(f64::NAN)),
                    Some(categories) => {
                        labels.push(prediction.label.as_deref().unwrap_or("").to_owned());
                        let probability = |(at, category): (usize, &Arc<str>)| {
                            let known = &prediction.probabilities;
                            let same = known.get(at).filter(|(name, _)| name == category);
                            let found = same.or_else(|| known.iter().find(|(n, _)| n == category));
                            found.map_or(f64::NAN, |(_, probability)| *probability)
                        };
                        values.extend(categories.iter().enumerate().map(probability));
                    }
                }
            }
        }
        let tensor = |shape, data| Tensor { shape, data };
        Ok(match categories {
            None => vec![tensor(vec![count], Data::Double(values))],
            Some(categories) => vec![
                tensor(vec![count], Data::Text(labels)),
                tensor(vec![count, categories.len()], Data::Double(values)),
            ],
        })
    }
}

fn element(data_type: DataType) -> Element {
    match data_type {
        DataType::Integer => Element::Int64,
        DataType::Float => Element::Float,
        DataType::Double => Element::Double,
        DataType::Boolean => Element::Bool,
        // Whatever else there may be can be spelled.
        _ => Element::Text,
    }
}

fn fill(row: &mut Row, feeds: &[Option<Feed>], number: usize) {
    for (input, feed) in feeds.iter().enumerate() {
        let feed = feed
            .as_ref()
            .filter(|feed| feed.missing.get(number).is_none_or(|missing| !missing));
        match feed.map(|feed| &feed.tensor.data) {
            None => row.set_missing(input),
            Some(Data::Float(values)) => row.set_number(input, values[number].into()),
            Some(Data::Double(values)) => row.set_number(input, values[number]),
            Some(Data::Int32(values)) => row.set_number(input, values[number].into()),
            Some(Data::Int64(values)) => row.set_number(input, values[number] as f64),
            Some(Data::Bool(values)) => {
                row.set_text(input, if values[number] { "true" } else { "false" });
            }
            Some(Data::Text(values)) => row.set_text(input, &values[number]),
        }
    }
}
