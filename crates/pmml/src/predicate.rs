//! Predicates (PMML 4.4, Tree Models), compiled: true, false or unknown.

use std::cmp::Ordering;

use crate::compile::Compiler;
use crate::document::Element;
use crate::program::{Frame, Program, Slot};
use crate::schema::literal;
use crate::value::{Value, whole};
use crate::{DataType, Error, ScoreError, array};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Predicate {
    Constant(bool),
    Missing {
        slot: Slot,
        wanted: bool,
    },
    Compare {
        slot: Slot,
        operator: Operator,
        value: Value,
    },
    Set {
        slot: Slot,
        members: Vec<Value>,
        wanted: bool,
    },
    Compound {
        operator: Compound,
        parts: Vec<Predicate>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compound {
    And,
    Or,
    Xor,
    /// The first of the parts that is not unknown.
    Surrogate,
}

const PREDICATES: [&str; 5] = [
    "True",
    "False",
    "SimplePredicate",
    "SimpleSetPredicate",
    "CompoundPredicate",
];

pub(crate) fn is_predicate(element: Element<'_>) -> bool {
    PREDICATES.contains(&element.name())
}

impl<'a> Compiler<'a> {
    /// Compiles the one predicate inside an element.
    pub(crate) fn predicate_in(
        &mut self,
        parent: Element<'a>,
        scope: usize,
    ) -> Result<Predicate, Error> {
        let element = parent
            .children()
            .find(|child| is_predicate(*child))
            .ok_or_else(|| parent.invalid(format!("`{}` without a predicate", parent.name())))?;
        self.predicate(element, scope)
    }

    fn predicate(&mut self, element: Element<'a>, scope: usize) -> Result<Predicate, Error> {
        match element.name() {
            "True" => Ok(Predicate::Constant(true)),
            "False" => Ok(Predicate::Constant(false)),
            "SimplePredicate" => self.simple_predicate(element, scope),
            "SimpleSetPredicate" => self.set_predicate(element, scope),
            "CompoundPredicate" => {
                let operator = match element.required("booleanOperator")? {
                    "and" => Compound::And,
                    "or" => Compound::Or,
                    "xor" => Compound::Xor,
                    "surrogate" => Compound::Surrogate,
                    _ => return Err(element.refused_value("booleanOperator")),
                };
                let parts = self.nested(element, |this| {
                    element
                        .children()
                        .map(|child| this.predicate(child, scope))
                        .collect()
                })?;
                let parts: Vec<Predicate> = parts;
                if parts.len() < 2 {
                    return Err(element.invalid("`CompoundPredicate` of fewer than two"));
                }
                Ok(Predicate::Compound { operator, parts })
            }
            _ => Err(element.refused()),
        }
    }

    fn simple_predicate(&mut self, element: Element<'a>, scope: usize) -> Result<Predicate, Error> {
        let slot = self.resolve(scope, element.required("field")?, element)?;
        let operator = match element.required("operator")? {
            "isMissing" => return Ok(Predicate::Missing { slot, wanted: true }),
            "isNotMissing" => {
                return Ok(Predicate::Missing {
                    slot,
                    wanted: false,
                });
            }
            "equal" => Operator::Equal,
            "notEqual" => Operator::NotEqual,
            "lessThan" => Operator::Less,
            "lessOrEqual" => Operator::LessOrEqual,
            "greaterThan" => Operator::Greater,
            "greaterOrEqual" => Operator::GreaterOrEqual,
            _ => return Err(element.refused_value("operator")),
        };
        let mut data_type = self.info(slot).data_type;
        // Whole numbers are split between two of them: the threshold need not be whole.
        if data_type == Some(DataType::Integer) {
            let text = element.required("value")?;
            if crate::value::parse_number(text).is_some_and(|x| whole(x).is_none()) {
                data_type = Some(DataType::Double);
            }
        }
        let value = self.literal(element, "value", data_type)?;
        Ok(Predicate::Compare {
            slot,
            operator,
            value,
        })
    }

    fn set_predicate(&mut self, element: Element<'a>, scope: usize) -> Result<Predicate, Error> {
        let slot = self.resolve(scope, element.required("field")?, element)?;
        let wanted = match element.required("booleanOperator")? {
            "isIn" => true,
            "isNotIn" => false,
            _ => return Err(element.refused_value("booleanOperator")),
        };
        let data_type = self.info(slot).data_type;
        let array = element.required_child("Array")?;
        let members = array::texts(array)?
            .iter()
            .map(|text| {
                literal(text, data_type, &mut self.symbols)
                    .ok_or_else(|| array.invalid(format!("`{text}` is no value of the field")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Predicate::Set {
            slot,
            members,
            wanted,
        })
    }
}

impl Predicate {
    /// Whether the predicate holds; unknown if it asks about a missing value.
    pub(crate) fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
    ) -> Result<Option<bool>, ScoreError> {
        match self {
            Self::Constant(value) => Ok(Some(*value)),
            Self::Missing { slot, wanted } => {
                Ok(Some(program.value(frame, *slot)?.is_missing() == *wanted))
            }
            Self::Compare {
                slot,
                operator,
                value,
            } => {
                let found = program.value(frame, *slot)?;
                if found.is_missing() {
                    return Ok(None);
                }
                // `NaN`, let in by a schema, lies above all numbers.
                let order = found
                    .compare(*value, &frame.texts)
                    .unwrap_or(Ordering::Greater);
                Ok(Some(match operator {
                    Operator::Equal => order.is_eq(),
                    Operator::NotEqual => order.is_ne(),
                    Operator::Less => order.is_lt(),
                    Operator::LessOrEqual => order.is_le(),
                    Operator::Greater => order.is_gt(),
                    Operator::GreaterOrEqual => order.is_ge(),
                }))
            }
            Self::Set {
                slot,
                members,
                wanted,
            } => {
                let found = program.value(frame, *slot)?;
                if found.is_missing() {
                    return Ok(None);
                }
                let texts = &frame.texts;
                let inside = members.iter().any(|member| found.equals(*member, texts));
                Ok(Some(inside == *wanted))
            }
            Self::Compound { operator, parts } => compound(*operator, parts, program, frame),
        }
    }
}

impl Predicate {
    /// Evaluates the predicate and counts if a surrogate had to answer.
    pub(crate) fn evaluate_or_surrogate(
        &self,
        program: &Program,
        frame: &mut Frame,
        surrogates: &mut i32,
    ) -> Result<Option<bool>, ScoreError> {
        let Self::Compound {
            operator: Compound::Surrogate,
            parts,
        } = self
        else {
            return self.evaluate(program, frame);
        };
        for (place, part) in parts.iter().enumerate() {
            let value = part.evaluate(program, frame)?;
            if value.is_some() {
                *surrogates += i32::from(place > 0);
                return Ok(value);
            }
        }
        Ok(None)
    }
}

/// All parts are evaluated, but those of a surrogate: an error in one is not hidden by another.
fn compound(
    operator: Compound,
    parts: &[Predicate],
    program: &Program,
    frame: &mut Frame,
) -> Result<Option<bool>, ScoreError> {
    let mut result = None;
    for (place, part) in parts.iter().enumerate() {
        let value = part.evaluate(program, frame)?;
        result = match (operator, place) {
            (Compound::Surrogate, _) if value.is_some() => return Ok(value),
            (_, 0) => value,
            (Compound::And, _) => match (result, value) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (None, _) | (_, None) => None,
                (Some(true), Some(true)) => Some(true),
            },
            (Compound::Or, _) => match (result, value) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (None, _) | (_, None) => None,
                (Some(false), Some(false)) => Some(false),
            },
            (Compound::Xor, _) => result.zip(value).map(|(left, right)| left ^ right),
            (Compound::Surrogate, _) => None,
        };
    }
    Ok(result)
}
