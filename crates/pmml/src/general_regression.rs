//! `GeneralRegressionModel` (PMML 4.4, General Regression).

use std::collections::HashMap;

use crate::category::Categories;
use crate::compile::Compiler;
use crate::document::Element;
use crate::link::{Link, simplemax};
use crate::outcome::Outcome;
use crate::program::{Frame, Program, Slot};
use crate::regression::number;
use crate::unit::{Context, MiningFunction};
use crate::value::{Precision, Value};
use crate::{Error, ScoreError};

#[derive(Debug)]
pub(crate) struct GeneralRegression {
    kind: Kind,
    /// The linear predictors: one, or one for each category but the last.
    predictors: Vec<Vec<Term>>,
    /// The categories in the model's order of them.
    categories: Vec<u32>,
    offset: Variable,
    trials: Variable,
    precision: Precision,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Linear,
    Generalized(Link),
    Multinomial,
    Ordinal(Link),
}

/// A number that is given, or that a field gives.
#[derive(Debug)]
enum Variable {
    None,
    Constant(f64),
    Field(Slot, String),
}

/// A parameter with what it is multiplied by.
#[derive(Clone, Debug)]
struct Term {
    beta: f64,
    factors: Vec<(Slot, Value)>,
    covariates: Vec<(Slot, f64)>,
}

/// The cells of a matrix that are for all categories or for one.
type Cells<'a> = Vec<(Option<&'a str>, Element<'a>)>;

impl<'a> Compiler<'a> {
    pub(crate) fn general_regression(
        &mut self,
        context: Context<'a>,
        categories: Option<&mut Categories>,
    ) -> Result<GeneralRegression, Error> {
        let model = context.element;
        let kind = match (model.required("modelType")?, context.function) {
            ("regression" | "generalLinear", MiningFunction::Regression) => Kind::Linear,
            ("generalizedLinear", _) => Kind::Generalized(generalized_link(model)?),
            ("multinomialLogistic", MiningFunction::Classification) => Kind::Multinomial,
            ("ordinalMultinomial", MiningFunction::Classification) => {
                Kind::Ordinal(cumulative_link(model)?)
            }
            _ => return Err(model.refused_value("modelType")),
        };
        let scope = context.scope;
        let offset = self.variable(model, scope, "offsetVariable", "offsetValue")?;
        let trials = self.variable(model, scope, "trialsVariable", "trialsValue")?;
        let correlations = self.correlations(model, scope)?;
        let cells = cells(model.required_child("ParamMatrix")?, "PCell");
        let all: Vec<Element<'a>> = cells
            .iter()
            .filter(|cell| cell.0.is_none())
            .map(|cell| cell.1)
            .collect();
        let (mut order, mut predictors) = (Vec::new(), Vec::new());
        match categories {
            None => {
                if all.len() != cells.len() || all.is_empty() {
                    return Err(model.invalid("a regression with parameters for categories"));
                }
                predictors.push(terms(&all, &correlations, None, context.precision)?);
            }
            Some(list) => {
                let texts = self.category_order(model, kind, &cells, list)?;
                for text in &texts {
                    let category = list.number(text, &mut self.symbols);
                    order.push(category.ok_or_else(|| {
                        model.invalid(format!("`{text}` is no value of the target"))
                    })?);
                }
                for text in texts.iter().take(texts.len().saturating_sub(1)) {
                    let own = cells
                        .iter()
                        .filter(|cell| cell.0 == Some(text))
                        .map(|cell| cell.1);
                    let mut own: Vec<Element<'a>> = own.collect();
                    if let Kind::Ordinal(_) = kind {
                        if own.len() != 1 {
                            let what = format!("`{text}` has not the one intercept of its own");
                            return Err(model.invalid(what));
                        }
                        own = all.iter().copied().chain(own).collect();
                    } else if own.is_empty() && texts.len() == 2 {
                        own = all.clone();
                    }
                    if own.is_empty() {
                        return Err(model.invalid(format!("`{text}` has no parameters")));
                    }
                    predictors.push(terms(&own, &correlations, Some(text), context.precision)?);
                }
            }
        }
        let precision = context.precision;
        Ok(GeneralRegression {
            kind,
            predictors,
            categories: order,
            offset,
            trials,
            precision,
        })
    }

    fn variable(
        &mut self,
        model: Element<'a>,
        scope: usize,
        field: &'static str,
        constant: &'static str,
    ) -> Result<Variable, Error> {
        match (model.attribute(field), model.number(constant)?) {
            (Some(name), _) => Ok(Variable::Field(
                self.resolve(scope, name, model)?,
                name.to_owned(),
            )),
            (None, Some(number)) => Ok(Variable::Constant(number)),
            (None, None) => Ok(Variable::None),
        }
    }

    /// For each category, or for all, what each parameter is multiplied by.
    fn correlations(
        &mut self,
        model: Element<'a>,
        scope: usize,
    ) -> Result<HashMap<Option<&'a str>, HashMap<&'a str, Term>>, Error> {
        let mut kinds = HashMap::new();
        for (list, is_factor) in [("FactorList", true), ("CovariateList", false)] {
            for predictor in model
                .first(list)
                .into_iter()
                .flat_map(|list| list.all("Predictor"))
            {
                if let Some(matrix) = predictor.first("Matrix") {
                    return Err(matrix.unsupported("`Matrix`, the contrasts of a factor,"));
                }
                kinds
                    .entry(predictor.required("name")?)
                    .or_insert(is_factor);
            }
        }
        let mut correlations: HashMap<_, HashMap<_, Term>> = HashMap::new();
        for (category, cell) in cells(model.required_child("PPMatrix")?, "PPCell") {
            let name = cell.required("predictorName")?;
            let term = correlations
                .entry(category)
                .or_default()
                .entry(cell.required("parameterName")?)
                .or_insert(Term {
                    beta: 0.0,
                    factors: Vec::new(),
                    covariates: Vec::new(),
                });
            let slot = self.resolve(scope, name, cell)?;
            match kinds.get(name) {
                Some(true) => {
                    let data_type = self.info(slot).data_type;
                    term.factors
                        .push((slot, self.literal(cell, "value", data_type)?));
                }
                Some(false) => term.covariates.push((slot, cell.required_number("value")?)),
                None => {
                    let what = format!("`{name}` is neither a factor nor a covariate");
                    return Err(cell.invalid(what));
                }
            }
        }
        Ok(correlations)
    }

    /// The categories in the model's order: the reference category is the last.
    fn category_order(
        &self,
        model: Element<'a>,
        kind: Kind,
        cells: &Cells<'a>,
        list: &Categories,
    ) -> Result<Vec<&'a str>, Error> {
        let Some((target, field)) = context_target(self, model) else {
            return Err(model.invalid("a classification without a target field"));
        };
        let mut texts = field.categories()?;
        if texts.len() < 2 || texts.len() != list.declared {
            return Err(model.invalid(format!("the categories of `{target}` are not listed")));
        }
        let reference = match (model.attribute("targetReferenceCategory"), kind) {
            (Some(reference), _) => Some(reference),
            (None, Kind::Ordinal(_)) => None,
            (None, _) => {
                let mut unused = texts
                    .iter()
                    .copied()
                    .filter(|text| cells.iter().all(|cell| cell.0 != Some(text)));
                match (unused.next(), unused.next()) {
                    (Some(reference), None) => Some(reference),
                    _ => return Err(model.invalid("which category is the reference is not clear")),
                }
            }
        };
        if let Some(reference) = reference
            && let Some(place) = texts.iter().position(|text| *text == reference)
        {
            let reference = texts.remove(place);
            texts.push(reference);
        }
        Ok(texts)
    }
}

fn context_target<'a>(
    compiler: &Compiler<'a>,
    model: Element<'a>,
) -> Option<(&'a str, crate::schema::DataField<'a>)> {
    let schema = model.first("MiningSchema")?;
    let target = schema.all("MiningField").find(|field| {
        matches!(
            crate::schema::usage(*field),
            Ok(crate::schema::Usage::Target)
        )
    })?;
    let name = target.attribute("name")?;
    Some((name, compiler.data_field(name)?))
}

fn cells<'a>(matrix: Element<'a>, name: &'static str) -> Cells<'a> {
    matrix
        .all(name)
        .map(|cell| (cell.attribute("targetCategory"), cell))
        .collect()
}

fn terms<'a>(
    cells: &[Element<'a>],
    correlations: &HashMap<Option<&'a str>, HashMap<&'a str, Term>>,
    category: Option<&'a str>,
    precision: Precision,
) -> Result<Vec<Term>, Error> {
    let rows = correlations
        .get(&category)
        .or_else(|| correlations.get(&None));
    cells
        .iter()
        .map(|cell| {
            let parameter = cell.required("parameterName")?;
            let beta = cell.required_number("beta")?;
            let mut term = rows
                .and_then(|rows| rows.get(parameter))
                .cloned()
                .unwrap_or(Term {
                    beta: 0.0,
                    factors: Vec::new(),
                    covariates: Vec::new(),
                });
            term.beta = precision.round(beta);
            Ok(term)
        })
        .collect()
}

fn generalized_link(model: Element<'_>) -> Result<Link, Error> {
    Ok(match model.required("linkFunction")? {
        "identity" => Link::Identity,
        "log" => Link::Log,
        "logit" => Link::Logit,
        "probit" => Link::Probit,
        "cloglog" => Link::Cloglog,
        "loglog" => Link::Loglog,
        "logc" => Link::Logc,
        "negbin" => Link::Negbin(model.required_number("distParameter")?),
        "oddspower" => Link::OddsPower(model.required_number("linkParameter")?),
        "power" => Link::Power(model.required_number("linkParameter")?),
        _ => return Err(model.refused_value("linkFunction")),
    })
}

fn cumulative_link(model: Element<'_>) -> Result<Link, Error> {
    let attribute = "cumulativeLink";
    Ok(match model.required(attribute)? {
        "logit" => Link::Logit,
        "probit" => Link::Probit,
        "cloglog" => Link::Cloglog,
        "loglog" => Link::Loglog,
        "cauchit" => Link::Cauchit,
        _ => return Err(model.refused_value(attribute)),
    })
}

impl GeneralRegression {
    /// The model's prediction; none if a predictor is missing.
    pub(crate) fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        classes: usize,
        outcome: &mut Outcome,
    ) -> Result<(), ScoreError> {
        if let (true, [predictor]) = (self.categories.is_empty(), &self.predictors[..]) {
            if let Some(value) = self.predict(predictor, program, frame)? {
                outcome.known = true;
                outcome.value = value;
            }
            return Ok(());
        }
        let mut values = std::mem::take(&mut frame.numbers);
        values.clear();
        let result = self.probabilities(program, frame, &mut values);
        if let Ok(true) = result {
            outcome.probabilities.resize(classes, 0.0);
            for (category, value) in self.categories.iter().zip(&values) {
                outcome.put(*category, *value);
            }
            if let Some(label) = outcome.most_probable() {
                outcome.known = true;
                outcome.label = label;
            }
        }
        frame.numbers = values;
        result.map(|_| ())
    }

    fn probabilities(
        &self,
        program: &Program,
        frame: &mut Frame,
        values: &mut Vec<f64>,
    ) -> Result<bool, ScoreError> {
        let round = |value| self.precision.round(value);
        let mut before = 0.0;
        for predictor in &self.predictors {
            let Some(value) = self.predict(predictor, program, frame)? else {
                return Ok(false);
            };
            values.push(match self.kind {
                Kind::Ordinal(_) => round(value - before),
                _ => value,
            });
            before = value;
        }
        values.push(match self.kind {
            // By convention the parameters of the last category are zero.
            Kind::Multinomial => 1.0,
            _ => round(1.0 - before),
        });
        if self.kind == Kind::Multinomial && !simplemax(values, self.precision) {
            return Err(ScoreError::Undefined {
                function: "multinomialLogistic",
                arguments: "values that sum to zero".to_owned(),
            });
        }
        Ok(true)
    }

    fn predict(
        &self,
        terms: &[Term],
        program: &Program,
        frame: &mut Frame,
    ) -> Result<Option<f64>, ScoreError> {
        let round = |value| self.precision.round(value);
        let mut sum = 0.0;
        for term in terms {
            let Some(product) = term.product(program, frame, self.precision)? else {
                return Ok(None);
            };
            sum = round(sum + round(term.beta * product));
        }
        Ok(Some(match self.kind {
            Kind::Linear => sum,
            Kind::Multinomial => self.precision.exp(sum),
            Kind::Generalized(link) | Kind::Ordinal(link) => {
                if let Some(offset) = self.offset.read(program, frame)? {
                    sum = round(sum + offset);
                }
                let mean = link.inverse(sum, self.precision);
                match (self.kind, self.trials.read(program, frame)?) {
                    (Kind::Generalized(_), Some(trials)) => round(mean * trials),
                    _ => mean,
                }
            }
        }))
    }
}

impl Term {
    fn product(
        &self,
        program: &Program,
        frame: &mut Frame,
        precision: Precision,
    ) -> Result<Option<f64>, ScoreError> {
        let mut applies = true;
        for (slot, value) in &self.factors {
            let found = program.value(frame, *slot)?;
            if found.is_missing() {
                return Ok(None);
            }
            applies &= found.equals(*value, &frame.texts);
        }
        if !applies {
            return Ok(Some(0.0));
        }
        let mut product = 1.0;
        for (slot, exponent) in &self.covariates {
            let found = program.value(frame, *slot)?;
            if found.is_missing() {
                return Ok(None);
            }
            let found = precision.round(number(found, frame)?);
            let power = if *exponent == 1.0 {
                found
            } else {
                precision.round(found.powf(*exponent))
            };
            product = precision.round(product * power);
        }
        Ok(Some(product))
    }
}

impl Variable {
    /// The number. Its field must not be missing.
    fn read(&self, program: &Program, frame: &mut Frame) -> Result<Option<f64>, ScoreError> {
        match self {
            Self::None => Ok(None),
            Self::Constant(number) => Ok(Some(*number)),
            Self::Field(slot, name) => {
                let value = program.value(frame, *slot)?;
                if value.is_missing() {
                    return Err(ScoreError::MissingValue {
                        field: name.clone(),
                    });
                }
                number(value, frame).map(Some)
            }
        }
    }
}
