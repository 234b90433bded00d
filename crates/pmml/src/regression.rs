//! `RegressionModel` (PMML 4.4, Regression).

use crate::category::Categories;
use crate::compile::Compiler;
use crate::document::Element;
use crate::expression::Expression;
use crate::link::{Link, simplemax, softmax};
use crate::outcome::Outcome;
use crate::program::{Frame, Program, Slot};
use crate::unit::{Context, MiningFunction};
use crate::value::{Precision, Value};
use crate::{DataType, Error, OpType, ScoreError};

#[derive(Debug)]
pub(crate) struct Regression {
    tables: Vec<Table>,
    normalization: Normalization,
    precision: Precision,
}

/// One linear predictor.
#[derive(Debug)]
struct Table {
    numeric: Vec<Numeric>,
    categorical: Vec<Categorical>,
    terms: Vec<(f64, Vec<Expression>)>,
    intercept: f64,
    category: u32,
}

#[derive(Debug)]
struct Numeric {
    slot: Slot,
    coefficient: f64,
    exponent: f64,
}

#[derive(Debug)]
struct Categorical {
    slot: Slot,
    value: Value,
    coefficient: f64,
}

/// What is made of the linear predictors.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Normalization {
    /// One predictor, one number.
    One(Link),
    /// The first predictor gives a probability, the second category has the rest.
    Binomial(Binomial),
    /// Each predictor gives a probability; the last category has the rest.
    Rest,
    Simplemax,
    Softmax,
    /// Each a logistic probability, divided by their sum.
    LogitSimplemax,
    /// Each predictor gives the probability of its category and all before.
    Cumulative(Binomial),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Binomial {
    /// Cut off to lie between 0 and 1.
    Restricted,
    Link(Link),
}

impl<'a> Compiler<'a> {
    pub(crate) fn regression(
        &mut self,
        context: Context<'a>,
        mut categories: Option<&mut Categories>,
    ) -> Result<Regression, Error> {
        let model = context.element;
        if let (Some(named), Some(target)) = (model.attribute("targetFieldName"), context.target)
            && named != target
        {
            return Err(model.unknown_field(named));
        }
        let mut tables = Vec::new();
        for element in model.all("RegressionTable") {
            tables.push(self.regression_table(element, context, categories.as_deref_mut())?);
        }
        let normalization = match context.function {
            MiningFunction::Regression => {
                if tables.len() != 1 {
                    return Err(model.invalid("a regression without its one `RegressionTable`"));
                }
                one(model)?
            }
            MiningFunction::Classification => {
                let declared = categories.map_or(0, |list| list.declared);
                if tables.len() < 2 || declared > 0 && declared != tables.len() {
                    return Err(model.invalid("a `RegressionTable` per category is wanted"));
                }
                several(model, &tables, context.op_type)?
            }
        };
        Ok(Regression {
            tables,
            normalization,
            precision: context.precision,
        })
    }

    fn regression_table(
        &mut self,
        element: Element<'a>,
        context: Context<'a>,
        categories: Option<&mut Categories>,
    ) -> Result<Table, Error> {
        let (scope, precision) = (context.scope, context.precision);
        let category = match categories {
            None => 0,
            Some(list) => {
                let text = element.required("targetCategory")?;
                list.number(text, &mut self.symbols)
                    .ok_or_else(|| element.invalid(format!("`{text}` is no value of the target")))?
            }
        };
        let exact = |element: Element<'a>, name: &'static str| {
            let number = element.required_number(name)?;
            let text = element.required(name)?;
            Ok::<_, Error>(precision.parse(text).unwrap_or(number))
        };
        let mut table = Table {
            numeric: Vec::new(),
            categorical: Vec::new(),
            terms: Vec::new(),
            intercept: exact(element, "intercept")?,
            category,
        };
        for child in element.children() {
            match child.name() {
                "NumericPredictor" => table.numeric.push(Numeric {
                    slot: self.resolve(scope, child.required("name")?, child)?,
                    coefficient: exact(child, "coefficient")?,
                    exponent: child.number("exponent")?.unwrap_or(1.0),
                }),
                "CategoricalPredictor" => {
                    let slot = self.resolve(scope, child.required("name")?, child)?;
                    let data_type = self.info(slot).data_type;
                    table.categorical.push(Categorical {
                        slot,
                        value: self.literal(child, "value", data_type)?,
                        coefficient: exact(child, "coefficient")?,
                    });
                }
                "PredictorTerm" => {
                    let factors = child
                        .all("FieldRef")
                        .map(|field| Ok(self.expression(field, scope)?.expression))
                        .collect::<Result<Vec<_>, Error>>()?;
                    if factors.is_empty() {
                        return Err(child.invalid("`PredictorTerm` without a field"));
                    }
                    table.terms.push((exact(child, "coefficient")?, factors));
                }
                _ => return Err(child.refused()),
            }
        }
        Ok(table)
    }
}

fn link(name: Option<&str>) -> Option<Link> {
    match name {
        Some("logit") => Some(Link::Logit),
        Some("probit") => Some(Link::Probit),
        Some("cloglog") => Some(Link::Cloglog),
        Some("loglog") => Some(Link::Loglog),
        Some("cauchit") => Some(Link::Cauchit),
        _ => None,
    }
}

fn one(model: Element<'_>) -> Result<Normalization, Error> {
    let name = model.attribute("normalizationMethod");
    match name {
        None | Some("none") => Ok(Normalization::One(Link::Identity)),
        Some("exp") => Ok(Normalization::One(Link::Log)),
        Some("softmax") => Ok(Normalization::One(Link::Logit)),
        _ => match link(name) {
            Some(link) => Ok(Normalization::One(link)),
            None => Err(model.refused_value("normalizationMethod")),
        },
    }
}

fn several(
    model: Element<'_>,
    tables: &[Table],
    op_type: Option<OpType>,
) -> Result<Normalization, Error> {
    let name = model.attribute("normalizationMethod");
    let none = matches!(name, None | Some("none"));
    let binomial = if none {
        Some(Binomial::Restricted)
    } else {
        link(name).map(Binomial::Link)
    };
    let refused = || model.refused_value("normalizationMethod");
    match (op_type, tables) {
        (Some(OpType::Continuous), _) => {
            Err(model.invalid("a classification whose target is continuous"))
        }
        (Some(OpType::Ordinal), _) => binomial.map(Normalization::Cumulative).ok_or_else(refused),
        (_, [_, second]) => match (binomial, name) {
            (Some(binomial), _) => Ok(Normalization::Binomial(binomial)),
            // Some exporters mean the logistic function when the second predictor is empty.
            (None, Some("softmax")) if second.is_empty() => {
                Ok(Normalization::Binomial(Binomial::Link(Link::Logit)))
            }
            (None, Some("softmax")) => Ok(Normalization::Softmax),
            (None, Some("simplemax")) => Ok(Normalization::Simplemax),
            _ => Err(refused()),
        },
        _ => match name {
            None | Some("none") => Ok(Normalization::Rest),
            Some("softmax") => Ok(Normalization::Softmax),
            Some("simplemax") => Ok(Normalization::Simplemax),
            Some("logit") => Ok(Normalization::LogitSimplemax),
            _ => Err(refused()),
        },
    }
}

impl Regression {
    /// The model's prediction; none if a numeric input is missing.
    pub(crate) fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        classes: usize,
        outcome: &mut Outcome,
    ) -> Result<(), ScoreError> {
        if let (Normalization::One(link), [table]) = (self.normalization, &self.tables[..]) {
            if let Some(value) = table.evaluate(program, frame, self.precision)? {
                outcome.known = true;
                outcome.value = link.inverse(value, self.precision);
            }
            return Ok(());
        }
        let mut values = std::mem::take(&mut frame.numbers);
        values.clear();
        let mut result = Ok(());
        for table in &self.tables {
            match table.evaluate(program, frame, self.precision) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        if result.is_ok() && values.len() == self.tables.len() {
            result = self.normalize(&mut values);
            if result.is_ok() {
                outcome.probabilities.resize(classes, 0.0);
                for (table, value) in self.tables.iter().zip(&values) {
                    outcome.put(table.category, *value);
                }
                if let Some(label) = outcome.most_probable() {
                    outcome.known = true;
                    outcome.label = label;
                }
            }
        }
        frame.numbers = values;
        result
    }

    fn normalize(&self, values: &mut [f64]) -> Result<(), ScoreError> {
        let precision = self.precision;
        let round = |value| precision.round(value);
        let binomial = |method: Binomial, value: f64| match method {
            Binomial::Restricted => value.clamp(0.0, 1.0),
            Binomial::Link(link) => link.inverse(value, precision),
        };
        let normal = match self.normalization {
            Normalization::One(_) => true,
            Normalization::Binomial(method) => {
                if let [first, second] = values {
                    *first = binomial(method, *first);
                    *second = round(1.0 - *first);
                }
                true
            }
            Normalization::Rest => {
                if let Some((last, others)) = values.split_last_mut() {
                    *last = round(1.0 - others.iter().fold(0.0, |sum, value| round(sum + value)));
                }
                true
            }
            Normalization::Simplemax => simplemax(values, precision),
            Normalization::Softmax => softmax(values, precision),
            Normalization::LogitSimplemax => {
                for value in &mut *values {
                    *value = Link::Logit.inverse(*value, precision);
                }
                simplemax(values, precision)
            }
            Normalization::Cumulative(method) => {
                if let Some((last, others)) = values.split_last_mut() {
                    let mut sum = 0.0;
                    for value in others {
                        *value = round(binomial(method, *value) - sum);
                        sum = round(sum + *value);
                    }
                    *last = round(1.0 - sum);
                }
                true
            }
        };
        if normal {
            return Ok(());
        }
        Err(ScoreError::Undefined {
            function: "normalizationMethod",
            arguments: "values that sum to zero".to_owned(),
        })
    }
}

impl Table {
    fn is_empty(&self) -> bool {
        self.numeric.is_empty()
            && self.categorical.is_empty()
            && self.terms.is_empty()
            && self.intercept == 0.0
    }

    /// The linear predictor, its terms in the standard's order of them, the intercept last.
    fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        precision: Precision,
    ) -> Result<Option<f64>, ScoreError> {
        let round = |value| precision.round(value);
        let mut sum = 0.0;
        for Numeric {
            slot,
            coefficient,
            exponent,
        } in &self.numeric
        {
            let value = program.value(frame, *slot)?;
            if value.is_missing() {
                return Ok(None);
            }
            let value = round(number(value, frame)?);
            let value = if *exponent == 1.0 {
                value
            } else {
                round(value.powf(*exponent))
            };
            sum = round(sum + round(coefficient * value));
        }
        // The predictors of one field stand together, and at most one of them applies.
        let mut matched = None;
        for Categorical {
            slot,
            value,
            coefficient,
        } in &self.categorical
        {
            if matched == Some(*slot) {
                continue;
            }
            matched = None;
            let found = program.value(frame, *slot)?;
            if found.is_missing() {
                matched = Some(*slot);
            } else if found.equals(*value, &frame.texts) {
                matched = Some(*slot);
                sum = round(sum + coefficient);
            }
        }
        for (coefficient, factors) in &self.terms {
            let mut product = *coefficient;
            for factor in factors {
                let value = factor.evaluate(program, frame, 0)?;
                if value.is_missing() {
                    return Ok(None);
                }
                product = round(product * round(number(value, frame)?));
            }
            sum = round(sum + product);
        }
        Ok(Some(round(sum + self.intercept)))
    }
}

pub(crate) fn number(value: Value, frame: &Frame) -> Result<f64, ScoreError> {
    value.number().ok_or_else(|| ScoreError::Type {
        value: value.to_text(&frame.texts),
        data_type: DataType::Double,
    })
}
