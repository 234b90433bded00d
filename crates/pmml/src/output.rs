//! `Output` (PMML 4.4, Output).

use std::sync::Arc;

use crate::compile::Compiler;
use crate::document::Element;
use crate::expression::Expression;
use crate::outcome::Outcome;
use crate::program::{Frame, Program, Slot};
use crate::schema::DataField;
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
            "probability" => {
                if context.function != MiningFunction::Classification {
                    return Err(field.refused_value("feature"));
                }
                let category = match field.attribute("value") {
                    None => None,
                    Some(text) => self
                        .with_categories(context, |this, list| {
                            list.map(|list| list.number(text, &mut this.symbols))
                        })
                        .map(|number| {
                            number.ok_or_else(|| {
                                field.invalid(format!("`{text}` is no value of the target"))
                            })
                        })
                        .transpose()?,
                };
                Ok((Feature::Probability(category), Some(DataType::Double)))
            }
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
