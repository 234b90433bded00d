//! `Output` (PMML 4.4, Output).

use std::sync::Arc;

use crate::compile::Compiler;
use crate::document::Element;
use crate::expression::Expression;
use crate::outcome::Outcome;
use crate::program::{Frame, Program, Slot};
use crate::schema::DataField;
use crate::symbol::Symbol;
use crate::unit::{Class, Context, MiningFunction, Unit};
use crate::value::Value;
use crate::{DataType, Error, ScoreError};

#[derive(Debug)]
pub(crate) struct OutputField {
    pub(crate) name: Arc<str>,
    pub(crate) slot: Slot,
    feature: Feature,
    data_type: Option<DataType>,
    /// Whether it is part of the result.
    pub(crate) is_final: bool,
}

#[derive(Debug)]
enum Feature {
    Predicted,
    /// Of one category, or of the predicted one.
    Probability(Option<u32>),
    /// Of one category, or of the predicted one.
    Confidence(Option<u32>),
    /// What the document shows people instead of a category.
    Display(Vec<(u32, Symbol)>),
    /// The node of a tree.
    Entity,
    Transformed(Expression),
}

impl<'a> Compiler<'a> {
    /// Compiles output fields, for the model itself and for the scope of an enclosing chain.
    pub(crate) fn outputs(
        &mut self,
        element: Element<'a>,
        context: Context<'a>,
        chain: Option<usize>,
    ) -> Result<Vec<OutputField>, Error> {
        let mut fields = Vec::new();
        for field in element.children() {
            if field.name() != "OutputField" {
                return Err(field.refused());
            }
            let name = field.required("name")?;
            if let Some(target) = field.attribute("targetField")
                && context.target.is_some_and(|known| known != target)
            {
                return Err(field.unknown_field(target));
            }
            if field.attribute("segmentId").is_some() {
                return Err(field.refused_value("segmentId"));
            }
            let declared = DataType::of(field)?;
            let (feature, inferred) = self.feature(field, context)?;
            let data_type = declared.or(inferred);
            let slot = self.give(context.scope, name, data_type, None);
            if let Some(chain) = chain {
                self.give(chain, name, data_type, Some(slot));
            }
            let is_final = field.flag("isFinalResult", true)?;
            fields.push(OutputField {
                name: name.into(),
                slot,
                feature,
                data_type: declared,
                is_final,
            });
        }
        Ok(fields)
    }

    fn feature(
        &mut self,
        field: Element<'a>,
        context: Context<'a>,
    ) -> Result<(Feature, Option<DataType>), Error> {
        match field.attribute("feature").unwrap_or("predictedValue") {
            "predictedValue" => {
                let data_type = match context.target {
                    Some(target) => self.data_field(target).map(DataField::data_type),
                    None => None,
                };
                Ok((Feature::Predicted, data_type.transpose()?))
            }
            "probability" if context.function == MiningFunction::Classification => {
                let category = self.output_category(field, context)?;
                Ok((Feature::Probability(category), Some(DataType::Double)))
            }
            "confidence" if context.element.name() == "TreeModel" => {
                let category = self.output_category(field, context)?;
                Ok((Feature::Confidence(category), Some(DataType::Double)))
            }
            "predictedDisplayValue" if context.function == MiningFunction::Classification => Ok((
                Feature::Display(self.display_values(context)?),
                Some(DataType::String),
            )),
            "entityId" if context.element.name() == "TreeModel" => {
                Ok((Feature::Entity, Some(DataType::String)))
            }
            "transformedValue" | "decision" => {
                let compiled = self.expression_in(field, context.scope)?;
                Ok((Feature::Transformed(compiled.expression), None))
            }
            _ => Err(field.refused_value("feature")),
        }
    }
}

impl<'a> Compiler<'a> {
    /// The category that an output field is about.
    fn output_category(
        &mut self,
        field: Element<'a>,
        context: Context<'a>,
    ) -> Result<Option<u32>, Error> {
        let Some(text) = field.attribute("value") else {
            return Ok(None);
        };
        let number = self.with_categories(context, |this, list| {
            list.and_then(|list| list.number(text, &mut this.symbols))
        });
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(field.invalid(format!("`{text}` is no value of the target"))),
        }
    }

    /// What is shown instead of categories, as the model's targets say or else its data field.
    fn display_values(&mut self, context: Context<'a>) -> Result<Vec<(u32, Symbol)>, Error> {
        let targets = context.element.first("Targets").into_iter();
        let values = targets
            .flat_map(|targets| targets.all("Target"))
            .flat_map(|target| target.all("TargetValue"));
        let data = context.target.and_then(|name| self.data_field(name));
        let values: Vec<Element<'a>> = values
            .chain(data.into_iter().flat_map(|data| data.element.all("Value")))
            .collect();
        let mut display = Vec::new();
        for value in values {
            if let (Some(text), Some(shown)) =
                (value.attribute("value"), value.attribute("displayValue"))
            {
                let number = self.with_categories(context, |this, list| {
                    list.and_then(|list| list.number(text, &mut this.symbols))
                });
                if let Some(number) = number {
                    display.push((number, self.symbols.intern(shown)));
                }
            }
        }
        Ok(display)
    }
}

/// Evaluates a model's output fields into their slots. Without a prediction, those that depend on
/// it are missing.
pub(crate) fn give(
    unit: &Unit,
    program: &Program,
    frame: &mut Frame,
    outcome: &Outcome,
) -> Result<(), ScoreError> {
    for field in &unit.outputs {
        let value = match &field.feature {
            Feature::Transformed(expression) => expression.evaluate(program, frame, 0)?,
            _ if !outcome.known => Value::Missing,
            Feature::Predicted => match unit.function {
                MiningFunction::Regression => unit.target.value(outcome.value),
                MiningFunction::Classification => {
                    program.categories[outcome.categories].values[outcome.label as usize]
                }
            },
            Feature::Probability(category) => {
                let category = match category {
                    None => Some(outcome.label),
                    Some(category) => own_number(unit, program, outcome, *category),
                };
                let probability =
                    category.and_then(|category| outcome.probabilities.get(category as usize));
                Value::Double(probability.copied().unwrap_or(0.0))
            }
            Feature::Confidence(category) => match &unit.class {
                Class::Tree(tree) if !outcome.order.is_empty() => {
                    let category = category.unwrap_or(outcome.label);
                    Value::Double(tree.confidence(outcome, category).unwrap_or(0.0))
                }
                _ => Value::Missing,
            },
            Feature::Display(values) => {
                match values
                    .iter()
                    .find(|(category, _)| *category == outcome.label)
                {
                    Some((_, shown)) => Value::Text(*shown),
                    None => program.categories[outcome.categories].values[outcome.label as usize],
                }
            }
            Feature::Entity => match (&unit.class, outcome.entity) {
                (Class::Tree(tree), Some(node)) => {
                    let name = tree.name(node);
                    Value::Text(frame.texts.intern(&name))
                }
                _ => Value::Missing,
            },
        };
        let value = match field.data_type {
            Some(data_type) => value.cast_or_fail(data_type, &mut frame.texts)?,
            None => value,
        };
        frame.slots[field.slot.0 as usize] = Some(value);
    }
    Ok(())
}

/// The number that one of a model's categories has in an outcome, which may be that of a segment
/// with categories of its own.
fn own_number(unit: &Unit, program: &Program, outcome: &Outcome, category: u32) -> Option<u32> {
    if outcome.categories == unit.categories {
        return Some(category);
    }
    let text = program.categories[unit.categories]
        .texts
        .get(category as usize)?;
    let texts = &program.categories[outcome.categories].texts;
    texts
        .iter()
        .position(|other| other == text)
        .map(|place| place as u32)
}
