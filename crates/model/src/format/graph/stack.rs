use std::sync::Arc;

use tensor::{Data, Port, Tensor};

use super::columns::{Columns, columns};
use super::conversion::{append, doubles, none, truncate};
use super::intake::Intake;
use crate::format::matching::Matching;
use crate::record::shown;
use crate::{Record, Refusal, Schema, ScoreError, Value};

/// Elements that are fed at once, at most, unless one record alone has more: a batch of large
/// records is split, so that it stays in the cache and memory stays bounded.
const MOST_ELEMENTS: usize = 1 << 18;

/// What the inputs of a graph take of records of a schema.
pub(super) struct Layout {
    pub(super) intakes: Vec<Intake>,
    /// Whether all inputs take several records at once.
    pub(super) batch: bool,
    from: Source,
}

/// Where a record has what the inputs take.
enum Source {
    /// In its fields.
    Fields(Vec<Columns>),
    /// In its tensors, by name.
    Tensors(Matching),
}

impl Layout {
    pub(super) fn of(inputs: &[Port], schema: &Schema) -> Result<Self, Refusal> {
        let intakes = Intake::of_all(inputs);
        let from = if schema.is_open() {
            let names = intakes.iter().map(|intake| intake.name.as_str());
            Source::Tensors(Matching::new(names))
        } else {
            Source::Fields(columns(inputs, &intakes, schema)?)
        };
        Ok(Self {
            batch: !intakes.is_empty() && intakes.iter().all(|intake| intake.batch),
            intakes,
            from,
        })
    }
}

/// The parts of records, stacked to be fed at once.
pub(super) struct Stack {
    layout: Arc<Layout>,
    /// What was found in the last record of tensors.
    matching: Option<Matching>,
    positions: Vec<usize>,
    numbers: Vec<f64>,
    /// Of each input, the shape of a record's part: of those in the stack, and of the next.
    parts: Vec<Vec<usize>>,
    next: Vec<Vec<usize>>,
    /// Of each input, the parts; their shape is set when they are fed.
    tensors: Vec<Tensor>,
    records: usize,
    most: usize,
}

impl Stack {
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        let tensor = |intake: &Intake| Tensor {
            shape: Vec::new(),
            data: none(intake.element),
        };
        let parts = vec![Vec::new(); layout.intakes.len()];
        Self {
            matching: match &layout.from {
                Source::Fields(_) => None,
                Source::Tensors(matching) => Some(matching.clone()),
            },
            positions: Vec::new(),
            numbers: Vec::new(),
            next: parts.clone(),
            parts,
            tensors: layout.intakes.iter().map(tensor).collect(),
            records: 0,
            most: 1,
            layout,
        }
    }

    /// How many records it holds.
    pub(super) fn len(&self) -> usize {
        self.records
    }

    pub(super) fn clear(&mut self) {
        self.records = 0;
        for tensor in &mut self.tensors {
            truncate(&mut tensor.data, 0);
        }
    }

    /// Puts a record on the stack. `false`: what is there has to be fed first.
    ///
    /// # Errors
    /// When the record does not fit the graph; the stack is as before.
    pub(super) fn push(&mut self, record: &Record) -> Result<bool, ScoreError> {
        if self.records > 0 && self.records >= self.most {
            return Ok(false);
        }
        let layout = Arc::clone(&self.layout);
        self.find(&layout, record)?;
        if self.records == 0 {
            std::mem::swap(&mut self.parts, &mut self.next);
            let volume = self.parts.iter().map(|part| volume(part)).sum::<usize>();
            self.most = if layout.batch {
                MOST_ELEMENTS / volume.max(1)
            } else {
                1
            };
        } else if self.parts != self.next {
            return Ok(false);
        }
        let pushed = match &layout.from {
            Source::Fields(columns) => self.push_fields(columns, record),
            Source::Tensors(_) => self.push_tensors(&layout.intakes, record),
        };
        if pushed.is_err() {
            for (tensor, part) in self.tensors.iter_mut().zip(&self.parts) {
                truncate(&mut tensor.data, self.records * volume(part));
            }
        }
        pushed?;
        self.records += 1;
        Ok(true)
    }

    /// Finds the parts of a record, and their shapes.
    fn find(&mut self, layout: &Layout, record: &Record) -> Result<(), ScoreError> {
        let Some(matching) = &mut self.matching else {
            if let Source::Fields(columns) = &layout.from {
                let inputs = layout.intakes.iter().zip(columns).zip(&mut self.next);
                for ((intake, columns), next) in inputs {
                    // That it does was found when the model was created.
                    intake.takes(&[columns.len()], next);
                }
            }
            return Ok(());
        };
        matching
            .all(&record.tensors, &mut self.positions)
            .map_err(ScoreError::Tensors)?;
        let inputs = layout.intakes.iter().zip(&self.positions);
        for ((intake, &position), next) in inputs.zip(&mut self.next) {
            let named = &record.tensors[position];
            if !intake.takes(&named.tensor.shape, next) {
                let (shape, wanted) = (&named.tensor.shape, intake.describe());
                let why = format!("it has the shape {shape:?}, {wanted} is taken of each record");
                return Err(misfit(intake, &named.name, why));
            }
        }
        Ok(())
    }

    fn push_fields(&mut self, columns: &[Columns], record: &Record) -> Result<(), ScoreError> {
        for (columns, tensor) in columns.iter().zip(&mut self.tensors) {
            self.numbers.clear();
            for &(position, field) in columns {
                let unfit = |why: String| ScoreError::Unfit { field, why };
                match (record.values.get(position), &mut tensor.data) {
                    (Some(Value::Number(number)), Data::Float(numbers)) => {
                        numbers.push(*number as f32);
                    }
                    (Some(Value::Number(number)), data) => {
                        doubles(data, &[*number]).map_err(unfit)?;
                    }
                    (Some(Value::Text(text)), Data::Text(texts)) => texts.push(text.to_string()),
                    (Some(Value::Text(_)), _) => {
                        return Err(unfit("the model takes numbers".to_owned()));
                    }
                    (Some(Value::Missing) | None, _) => {
                        return Err(unfit("the value is missing".to_owned()));
                    }
                }
            }
        }
        Ok(())
    }

    fn push_tensors(&mut self, intakes: &[Intake], record: &Record) -> Result<(), ScoreError> {
        let inputs = intakes.iter().zip(&self.positions);
        for ((intake, &position), tensor) in inputs.zip(&mut self.tensors) {
            let named = &record.tensors[position];
            append(&mut tensor.data, &named.tensor.data)
                .map_err(|why| misfit(intake, &named.name, why))?;
        }
        Ok(())
    }

    /// What to feed, in the order of the graph's inputs.
    pub(super) fn tensors(&mut self) -> &[Tensor] {
        let inputs = self.layout.intakes.iter().zip(&self.parts);
        for ((intake, part), tensor) in inputs.zip(&mut self.tensors) {
            tensor.shape.clear();
            tensor.shape.extend(intake.batch.then_some(self.records));
            tensor.shape.extend_from_slice(part);
        }
        &self.tensors
    }

    /// The numbers to feed the one input that takes `float`.
    pub(super) fn floats(&self) -> Option<&[f32]> {
        match &self.tensors[..] {
            [
                Tensor {
                    data: Data::Float(values),
                    ..
                },
            ] => Some(values),
            _ => None,
        }
    }
}

fn misfit(intake: &Intake, tensor: &str, why: String) -> ScoreError {
    ScoreError::Misfit {
        tensor: shown(tensor),
        input: intake.name.clone(),
        why,
    }
}

/// Of a part that is there, so that it does not overflow.
fn volume(part: &[usize]) -> usize {
    part.iter().product()
}
