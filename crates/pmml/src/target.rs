//! `Targets` (PMML 4.4, Targets): what becomes of a model's raw prediction.

use crate::category::Categories;
use crate::document::Element;
use crate::function::round_half_up;
use crate::outcome::Outcome;
use crate::symbol::Symbols;
use crate::value::{Precision, Value, whole};
use crate::{DataType, Error, ScoreError};

#[derive(Debug)]
pub(crate) struct Target {
    data_type: DataType,
    low: f64,
    high: f64,
    factor: f64,
    constant: f64,
    cast: Option<Cast>,
    /// The prediction of a regression that would be null.
    default: Option<f64>,
    /// The probabilities of a classification that would be null.
    priors: Vec<(u32, f64)>,
    precision: Precision,
    /// Whether all this changes nothing.
    plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cast {
    Round,
    Ceiling,
    Floor,
}

impl Target {
    /// Reads what a model says about its target field of this type.
    pub(crate) fn read(
        model: Element<'_>,
        field: Option<&str>,
        data_type: DataType,
        precision: Precision,
        categories: Option<&mut Categories>,
        symbols: &mut Symbols,
    ) -> Result<Self, Error> {
        let mut target = Self {
            data_type,
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
            factor: 1.0,
            constant: 0.0,
            cast: None,
            default: None,
            priors: Vec::new(),
            precision,
            plain: false,
        };
        let element = model.first("Targets").and_then(|targets| {
            targets.all("Target").find(|target| {
                let name = target.attribute("field");
                name.is_none() || field.is_none() || name == field
            })
        });
        if let Some(element) = element {
            target.low = element.number("min")?.unwrap_or(target.low);
            target.high = element.number("max")?.unwrap_or(target.high);
            target.factor = target
                .read_exactly(element, "rescaleFactor")?
                .unwrap_or(1.0);
            target.constant = target
                .read_exactly(element, "rescaleConstant")?
                .unwrap_or(0.0);
            target.cast = match element.attribute("castInteger") {
                None => None,
                Some("round") => Some(Cast::Round),
                Some("ceiling") => Some(Cast::Ceiling),
                Some("floor") => Some(Cast::Floor),
                Some(_) => return Err(element.refused_value("castInteger")),
            };
            target.values(element, categories, symbols)?;
        }
        let unbounded = target.low == f64::NEG_INFINITY && target.high == f64::INFINITY;
        target.plain = data_type == DataType::Double
            && precision == Precision::Double
            && target.cast.is_none()
            && unbounded
            && target.factor == 1.0
            && target.constant == 0.0;
        Ok(target)
    }

    fn read_exactly(&self, element: Element<'_>, name: &'static str) -> Result<Option<f64>, Error> {
        Ok(element
            .number(name)?
            .map(|number| match element.attribute(name) {
                Some(text) => self.precision.parse(text).unwrap_or(number),
                None => number,
            }))
    }

    fn values(
        &mut self,
        element: Element<'_>,
        mut categories: Option<&mut Categories>,
        symbols: &mut Symbols,
    ) -> Result<(), Error> {
        for value in element.all("TargetValue") {
            match &mut categories {
                Some(categories) => {
                    let Some(prior) = value.number("priorProbability")? else {
                        continue;
                    };
                    let text = value.required("value")?;
                    let category = categories.number(text, symbols).ok_or_else(|| {
                        value.invalid(format!("`{text}` is no value of the target"))
                    })?;
                    self.priors.push((category, prior));
                }
                None if self.default.is_some() => {
                    return Err(value.invalid("a second value of a continuous target"));
                }
                None => self.default = value.number("defaultValue")?,
            }
        }
        Ok(())
    }

    /// Turns the raw prediction of a regression into that of its target.
    pub(crate) fn regression(&self, outcome: &mut Outcome) -> Result<(), ScoreError> {
        if !outcome.known {
            let Some(default) = self.default else {
                return Ok(());
            };
            outcome.known = true;
            outcome.value = default;
        }
        if self.plain {
            return Ok(());
        }
        let round = |value| self.precision.round(value);
        let mut value = outcome.value.max(self.low).min(self.high);
        if outcome.value.is_nan() {
            value = outcome.value;
        }
        value = round(round(round(value) * self.factor) + self.constant);
        value = match self.cast {
            None => value,
            // Rounding ends at the largest and the smallest 64-bit integer.
            Some(Cast::Round) => (round_half_up(value) as i64) as f64,
            Some(Cast::Ceiling) => value.ceil(),
            Some(Cast::Floor) => value.floor(),
        };
        outcome.value = match self.data_type {
            DataType::Integer if whole(value).is_none() => {
                let data_type = self.data_type;
                return Err(ScoreError::Type {
                    value: value.to_string(),
                    data_type,
                });
            }
            DataType::Float => f64::from(value as f32),
            _ => value,
        };
        Ok(())
    }

    /// Gives a classification without a prediction that of the prior probabilities.
    pub(crate) fn classification(&self, classes: usize, outcome: &mut Outcome) {
        if outcome.known || self.priors.is_empty() {
            return;
        }
        outcome.probabilities.clear();
        outcome.order.clear();
        outcome.probabilities.resize(classes, 0.0);
        for &(category, prior) in &self.priors {
            outcome.put(category, prior);
        }
        if outcome.normalize(self.precision)
            && let Some(label) = outcome.most_probable()
        {
            outcome.known = true;
            outcome.label = label;
        }
    }

    /// A predicted number as a value of the target's type.
    pub(crate) fn value(&self, number: f64) -> Value {
        match self.data_type {
            DataType::Integer => whole(number).map_or(Value::Double(number), Value::Integer),
            DataType::Float => Value::Float(number as f32),
            _ => Value::Double(number),
        }
    }
}
