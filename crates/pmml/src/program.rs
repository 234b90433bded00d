//! A compiled document's fields, and the scratch space in which one record's values come to be.

use std::sync::Arc;

use crate::DataType;
use crate::ScoreError;
use crate::category::Categories;
use crate::ensemble_forest::Walks;
use crate::expression::{Expression, UserFunction};
use crate::outcome::Outcome;
use crate::schema::Rule;
use crate::symbol::{Symbols, Texts};
use crate::value::Value;

/// The place of a field's value in a [`Frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

/// Where the value of a field comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// From the record.
    Input { input: usize, rule: Rule },
    /// From an enclosing model, under this model's own rule.
    Inherited { slot: Slot, rule: Rule },
    /// From other fields.
    Derived {
        expression: Expression,
        data_type: Option<DataType>,
    },
    /// From a model that was evaluated before.
    Given,
}

/// All fields and functions of a document that evaluation can reach.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) sources: Vec<Source>,
    pub(crate) functions: Vec<UserFunction>,
    pub(crate) symbols: Arc<Symbols>,
    /// The slots of the fields that come from the record.
    pub(crate) inputs: Vec<Slot>,
    /// How many inputs a record has.
    pub(crate) width: usize,
    /// The lists of the targets' categories.
    pub(crate) categories: Vec<Categories>,
}

/// A value as the caller gave it. The text of one is kept beside it, with its memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Given {
    #[default]
    Missing,
    Number(f64),
    Text,
}

/// Scratch space for one record.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) texts: Texts,
    /// The record's values as they were set.
    pub(crate) inputs: Vec<Given>,
    pub(crate) input_texts: Vec<String>,
    pub(crate) slots: Vec<Option<Value>>,
    /// Arguments of the functions that are being evaluated.
    pub(crate) arguments: Vec<Value>,
    pub(crate) spare: Vec<Outcome>,
    /// Lists for ensembles to collect the votes of their segments in, with their weights.
    pub(crate) spare_votes: Vec<Vec<(Outcome, f64)>>,
    pub(crate) walks: Walks,
    pub(crate) numbers: Vec<f64>,
}

impl Program {
    pub(crate) fn frame(&self) -> Frame {
        Frame {
            texts: Texts::new(self.symbols.clone()),
            inputs: vec![Given::default(); self.width],
            input_texts: vec![String::new(); self.width],
            slots: vec![None; self.sources.len()],
            arguments: Vec::new(),
            spare: Vec::new(),
            spare_votes: Vec::new(),
            walks: Walks::default(),
            numbers: Vec::new(),
        }
    }

    /// Forgets the record before. `NaN` is looked for in all inputs, whether the evaluation will
    /// come by them or not; what else a schema excludes is found when it does.
    pub(crate) fn begin(&self, frame: &mut Frame) -> Result<(), ScoreError> {
        frame.slots.fill(None);
        frame.texts.clear();
        for place in 0..frame.inputs.len() {
            if let Given::Number(number) = frame.inputs[place]
                && number.is_nan()
            {
                self.value(frame, self.inputs[place])?;
            }
        }
        Ok(())
    }

    /// The value of a field: evaluated when it is first asked for.
    #[inline]
    pub(crate) fn value(&self, frame: &mut Frame, slot: Slot) -> Result<Value, ScoreError> {
        match frame.slots[slot.0 as usize] {
            Some(value) => Ok(value),
            None => self.evaluate(frame, slot),
        }
    }

    fn evaluate(&self, frame: &mut Frame, slot: Slot) -> Result<Value, ScoreError> {
        let value = match &self.sources[slot.0 as usize] {
            Source::Input { input, rule } => {
                let value = match frame.inputs[*input] {
                    Given::Missing => Value::Missing,
                    Given::Number(number) => Value::Double(number),
                    Given::Text => Value::Text(frame.texts.intern(&frame.input_texts[*input])),
                };
                rule.apply(value, &mut frame.texts)?
            }
            Source::Inherited { slot, rule } => {
                let value = self.value(frame, *slot)?;
                rule.apply(value, &mut frame.texts)?
            }
            Source::Derived {
                expression,
                data_type,
            } => {
                let value = expression.evaluate(self, frame, 0)?;
                match data_type {
                    Some(data_type) => value.cast_or_fail(*data_type, &mut frame.texts)?,
                    None => value,
                }
            }
            // Its segment was not chosen.
            Source::Given => Value::Missing,
        };
        frame.slots[slot.0 as usize] = Some(value);
        Ok(value)
    }

    /// Whether the value of a field is valid, which those are not that passed `asIs`.
    pub(crate) fn is_valid(&self, frame: &mut Frame, slot: Slot) -> Result<bool, ScoreError> {
        let value = self.value(frame, slot)?;
        Ok(!value.is_missing()
            && match &self.sources[slot.0 as usize] {
                Source::Input { rule, .. } | Source::Inherited { rule, .. } => {
                    rule.accepts(value, &mut frame.texts)
                }
                Source::Derived { .. } | Source::Given => true,
            })
    }
}

impl Frame {
    /// An empty outcome, with the room of an earlier one.
    pub(crate) fn outcome(&mut self) -> Outcome {
        let mut outcome = self.spare.pop().unwrap_or_default();
        outcome.clear();
        outcome
    }

    pub(crate) fn recycle(&mut self, outcome: Outcome) {
        self.spare.push(outcome);
    }
}
