use std::sync::Arc;

use crate::compile::Compiler;
use crate::document::{self, Element};
use crate::ensemble_forest::{EnsembleForest, State};
use crate::outcome::Outcome;
use crate::program::{Frame, Given, Program};
use crate::unit::{Class, MiningFunction, Standing, Unit, is_model};
use crate::value::Value;
use crate::verification;
use crate::{DataType, Error, OpType, ScoreError};

/// Rows of a batch that are walked together: what they need stays in the fastest cache.
const BLOCK: usize = 128;

/// A PMML document, checked and compiled. Immutable, and shared between threads.
#[derive(Debug)]
pub struct Model {
    pub(crate) program: Arc<Program>,
    pub(crate) unit: Unit,
    inputs: Vec<Input>,
    /// The target field, if the document names one.
    pub(crate) target: Option<String>,
}

/// A field that scoring reads from the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The field's name in the document.
    pub name: String,
    /// The type that values are converted to.
    pub data_type: DataType,
    /// What the model does with values.
    pub op_type: OpType,
}

/// The values of one record, and the scratch space to score it: belongs to one thread, is made
/// once by [`Model::row`], and is used for one record after the other with the model that made
/// it. Values stay until they are set again.
#[derive(Debug)]
pub struct Row {
    pub(crate) frame: Frame,
}

/// How much of a prediction is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// The predicted value and label.
    #[default]
    Value,
    /// Also probabilities and the fields of the document's `Output` element.
    All,
}

/// What a model says about a record. Reuse one for many records: its memory is kept.
///
/// Neither value nor label is the null result of a model that has no answer, for instance because
/// inputs are missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// How much of the rest is to be filled in; set by the caller.
    pub detail: Detail,
    /// The predicted number of a regression, which may be `NaN`; the label of a classification if
    /// it reads as a number.
    pub value: Option<f64>,
    /// The predicted category of a classification, as the document writes it.
    pub label: Option<Arc<str>>,
    /// The probability of every category, in the document's order of them, of a classification
    /// that has probabilities. Empty unless asked for.
    pub probabilities: Vec<(Arc<str>, f64)>,
    /// The output fields that are final results. Empty unless asked for.
    pub outputs: Vec<(Arc<str>, OutputValue)>,
}

/// The value of an output field.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputValue {
    /// There is none.
    Missing,
    /// A number of any of the numeric types.
    Number(f64),
    /// Text.
    Text(Arc<str>),
    /// True or false.
    Boolean(bool),
}

impl Model {
    /// Checks and compiles a document: UTF-8, UTF-16 with a mark, or ISO-8859-1 if it says so.
    /// Of several models in it, the first counts.
    ///
    /// # Errors
    ///
    /// When the document is no PMML 3.x or 4.x, contradicts itself, or needs what this crate does
    /// not evaluate; the message names it and says where it is. Also when it does not reproduce
    /// its own `ModelVerification`.
    pub fn load(document: &[u8]) -> Result<Self, Error> {
        let text = document::decode(document)?;
        let document = document::parse(&text)?;
        let root = Element::root(&document)?;
        let model = root
            .children()
            .find(|child| is_model(*child))
            .ok_or_else(|| root.invalid("PMML without a model"))?;
        let mut compiler = Compiler::new(root)?;
        let unit = compiler.unit(model, Standing::Top)?;
        let target = compiler.targets(0).first().map(|target| target.0);
        let (program, inputs) = compiler.finish();
        let target = target.map(str::to_owned);
        let loaded = Self {
            program: Arc::new(program),
            unit,
            inputs,
            target,
        };
        verification::verify(&loaded, model)?;
        Ok(loaded)
    }

    /// The fields that scoring reads; their order is that of [`Row::set_number`]'s `input`.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The categories of a classification, as the document writes them: what a label can be, and
    /// what probabilities belong to. `None` for a regression.
    #[must_use]
    pub fn categories(&self) -> Option<&[Arc<str>]> {
        match self.unit.function {
            MiningFunction::Regression => None,
            MiningFunction::Classification => {
                Some(&self.program.categories[self.unit.categories].texts)
            }
        }
    }

    /// Space for one record, all of whose values are missing.
    #[must_use]
    pub fn row(&self) -> Row {
        Row {
            frame: self.program.frame(),
        }
    }

    /// Scores the record in a row. Allocates nothing once the row has scored a record before, if
    /// all its values are numbers, no more than the value is asked for, and no median is formed.
    ///
    /// # Errors
    ///
    /// When the record has a value that the document excludes, or one that a function of the
    /// document is not defined for. The prediction then means nothing.
    pub fn score(&self, row: &mut Row, prediction: &mut Prediction) -> Result<(), ScoreError> {
        let frame = &mut row.frame;
        if let Some(forest) = self.forest() {
            let mut outcome = frame.outcome();
            let done = forest.evaluate_plain(frame, &mut outcome);
            let result = done.then(|| self.conclude(frame, &mut outcome, prediction));
            frame.recycle(outcome);
            if let Some(result) = result {
                return result;
            }
        }
        self.program.begin(frame)?;
        let outcome = self.unit.evaluate(&self.program, frame)?;
        let result = self.report(frame, &outcome, prediction);
        frame.recycle(outcome);
        result
    }

    /// Scores several records, each in a row of its own: `predictions[i]` and `results[i]` belong
    /// to `rows[i]`. Forests are walked tree by tree over all rows, which is faster.
    ///
    /// # Panics
    ///
    /// When there are not as many predictions as rows.
    pub fn score_batch(
        &self,
        rows: &mut [Row],
        predictions: &mut [Prediction],
        results: &mut Vec<Result<(), ScoreError>>,
    ) {
        assert_eq!(rows.len(), predictions.len(), "one prediction per row");
        results.clear();
        let Some(forest) = self.forest() else {
            for (row, prediction) in rows.iter_mut().zip(predictions) {
                results.push(self.score(row, prediction));
            }
            return;
        };
        let Some(first) = rows.first_mut() else {
            return;
        };
        let mut walks = std::mem::take(&mut first.frame.walks);
        let mut outcome = first.frame.outcome();
        for (rows, predictions) in rows.chunks_mut(BLOCK).zip(predictions.chunks_mut(BLOCK)) {
            forest.walk(&self.program, rows, &mut walks);
            for (number, (row, prediction)) in rows.iter_mut().zip(predictions).enumerate() {
                let state = std::mem::replace(&mut walks.states[number], State::Walked);
                results.push(match state {
                    State::Failed(error) => Err(error),
                    State::Walked if forest.outcome_of(&walks, number, &mut outcome) => {
                        self.conclude(&mut row.frame, &mut outcome, prediction)
                    }
                    State::Walked | State::Slow => self.score(row, prediction),
                });
            }
        }
        if let Some(first) = rows.first_mut() {
            first.frame.walks = walks;
            first.frame.recycle(outcome);
        }
    }

    /// The forest, if the model is one.
    fn forest(&self) -> Option<&EnsembleForest> {
        match &self.unit.class {
            Class::Mining(mining) => mining.forest.as_deref(),
            _ => None,
        }
    }

    /// Makes a prediction of what a forest says.
    fn conclude(
        &self,
        frame: &mut Frame,
        outcome: &mut Outcome,
        prediction: &mut Prediction,
    ) -> Result<(), ScoreError> {
        outcome.categories = self.unit.categories;
        let classes = self.program.categories[self.unit.categories].len();
        self.unit.settle(classes, outcome)?;
        if prediction.detail == Detail::All {
            // The output may read fields, of which the forest has no need to say anything.
            self.program.begin(frame)?;
        }
        self.report(frame, outcome, prediction)
    }

    /// Writes an outcome into a prediction.
    pub(crate) fn report(
        &self,
        frame: &mut Frame,
        outcome: &Outcome,
        prediction: &mut Prediction,
    ) -> Result<(), ScoreError> {
        prediction.value = None;
        prediction.outputs.clear();
        let categories = &self.program.categories[outcome.categories];
        match self.unit.function {
            MiningFunction::Regression => {
                prediction.label = None;
                prediction.value = outcome.known.then_some(outcome.value);
            }
            MiningFunction::Classification if outcome.known => {
                let label = outcome.label as usize;
                let text = &categories.texts[label];
                // Counting references costs more than looking whether the label has changed.
                if !prediction
                    .label
                    .as_ref()
                    .is_some_and(|old| Arc::ptr_eq(old, text))
                {
                    prediction.label = Some(text.clone());
                }
                prediction.value = categories.numbers[label];
            }
            MiningFunction::Classification => prediction.label = None,
        }
        if prediction.detail == Detail::Value {
            prediction.probabilities.clear();
            return Ok(());
        }
        if outcome.known && !outcome.probabilities.is_empty() {
            if prediction.probabilities.len() != categories.len() {
                prediction.probabilities.clear();
                let texts = categories.texts.iter().cloned();
                prediction
                    .probabilities
                    .extend(texts.map(|text| (text, 0.0)));
            }
            for ((entry, text), probability) in prediction
                .probabilities
                .iter_mut()
                .zip(&categories.texts)
                .zip(&outcome.probabilities)
            {
                if !Arc::ptr_eq(&entry.0, text) {
                    entry.0 = text.clone();
                }
                entry.1 = *probability;
            }
        } else {
            prediction.probabilities.clear();
        }
        self.unit.give_outputs(&self.program, frame, outcome)?;
        // The outputs of the segment that decided come before the model's own.
        let mut units = vec![&self.unit];
        let mut unit = &self.unit;
        for segment in outcome.via.iter().rev() {
            let Class::Mining(mining) = &unit.class else {
                break;
            };
            unit = &mining.segments[*segment as usize].unit;
            units.push(unit);
        }
        let fields = units.iter().rev().flat_map(|unit| &unit.outputs);
        for field in fields.filter(|field| field.is_final) {
            let value = match self.program.value(frame, field.slot)? {
                Value::Missing => OutputValue::Missing,
                Value::Boolean(value) => OutputValue::Boolean(value),
                Value::Text(symbol) => OutputValue::Text(frame.texts.text(symbol).into()),
                value => value
                    .number()
                    .map_or(OutputValue::Missing, OutputValue::Number),
            };
            prediction.outputs.push((field.name.clone(), value));
        }
        Ok(())
    }
}

impl Row {
    /// Sets an input to a number. `NaN` is an invalid value, not a missing one; the two zeros are
    /// one.
    ///
    /// # Panics
    ///
    /// When the model has no such input.
    pub fn set_number(&mut self, input: usize, value: f64) {
        self.frame.inputs[input] = Given::Number(value + 0.0);
    }

    /// Sets an input to a text: a category, or what a number or a boolean is spelled as.
    ///
    /// # Panics
    ///
    /// When the model has no such input.
    pub fn set_text(&mut self, input: usize, value: &str) {
        self.frame.inputs[input] = Given::Text;
        let text = &mut self.frame.input_texts[input];
        text.clear();
        text.push_str(value);
    }

    /// Says that an input has no value.
    ///
    /// # Panics
    ///
    /// When the model has no such input.
    pub fn set_missing(&mut self, input: usize) {
        self.frame.inputs[input] = Given::Missing;
    }
}
