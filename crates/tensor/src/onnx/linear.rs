//! `LinearRegressor` and `LinearClassifier`.

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, check_numbers, fact, only, open_rows_of, rows_of, singles};
use super::labels::{Labels, first_largest};
use super::products::add_products;
use super::transform::{Transform, logistic, probit};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    Datum, TDim, TValue, Tensor as Value, ToDim, TractResult, ensure,
};

/// `x w + b` for each of some targets.
struct Linear {
    /// A row for each target.
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    targets: usize,
    features: usize,
}

impl Linear {
    fn new(coefficients: &[f32], intercepts: &[f32], targets: usize) -> TractResult<Linear> {
        ensure!(
            targets > 0 && !coefficients.is_empty() && coefficients.len().is_multiple_of(targets),
            "{} coefficients of {targets} targets",
            coefficients.len()
        );
        ensure!(
            intercepts.is_empty() || intercepts.len() == targets,
            "{} intercepts of {targets} targets",
            intercepts.len()
        );
        Ok(Linear {
            coefficients: coefficients.to_vec(),
            intercepts: intercepts.to_vec(),
            targets,
            features: coefficients.len() / targets,
        })
    }

    /// Checks the type and the width of an input; returns its rows.
    fn check(&self, inputs: &[Fact]) -> TractResult<TDim> {
        let (datum, shape) = only(inputs)?;
        check_numbers(*datum)?;
        let (rows, columns) = open_rows_of(shape)?;
        if let Ok(columns) = usize::try_from(&columns) {
            ensure!(
                columns == self.features,
                "{} coefficients for {columns} features",
                self.features
            );
        }
        Ok(rows)
    }

    fn scores(&self, input: &Value, scores: &mut [f32]) -> TractResult<()> {
        let (_, columns) = rows_of(input.shape())?;
        ensure!(
            columns == self.features,
            "{} coefficients for {columns} features",
            self.features
        );
        let values = singles(input)?;
        if !self.intercepts.is_empty() {
            for scores in scores.chunks_exact_mut(self.targets) {
                scores.copy_from_slice(&self.intercepts);
            }
        }
        add_products(&values, &self.coefficients, self.features, 1.0, scores);
        Ok(())
    }
}

struct Regressor {
    linear: Linear,
    transform: Transform,
}

pub(super) fn regressor(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let targets = usize::try_from(attributes.int("targets", 1)?)?;
    let linear = Linear::new(
        attributes.floats("coefficients")?,
        attributes.floats("intercepts")?,
        targets,
    )?;
    let transform = Transform::named(&attributes.text("post_transform", "NONE")?)?;
    Ok(Arc::new(Regressor { linear, transform }))
}

impl Kernel for Regressor {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let rows = self.linear.check(inputs)?;
        let targets = self.linear.targets.to_dim();
        Ok(vec![fact(f32::datum_type(), [rows, targets])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let (rows, _) = rows_of(input.shape())?;
        let targets = self.linear.targets;
        let mut output = Value::zero_dt(f32::datum_type(), &[rows, targets])?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let scores = plain.as_slice_mut::<f32>()?;
        self.linear.scores(input, scores)?;
        for scores in scores.chunks_exact_mut(targets) {
            match (self.transform, scores) {
                (Transform::Probit, [score]) => *score = probit(*score),
                // Of a single target there is no other transform.
                (_, [_]) => {}
                (transform, scores) => transform.apply(scores),
            }
        }
        Ok(vec![output])
    }
}

struct Classifier {
    linear: Linear,
    transform: Transform,
    labels: Labels,
    /// Whether there is one row of coefficients for two classes.
    second: bool,
}

pub(super) fn classifier(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let labels = Labels::of(attributes, "classlabels_strings", "classlabels_ints")?;
    let intercepts = attributes.floats("intercepts")?;
    let coefficients = attributes.floats("coefficients")?;
    // The standard has it that intercepts can be left out; ONNX Runtime counts them.
    ensure!(!intercepts.is_empty(), "no intercepts");
    let linear = Linear::new(coefficients, intercepts, intercepts.len())?;
    ensure!(
        linear.targets == 1 || linear.targets == labels.len(),
        "{} intercepts for {} classes",
        linear.targets,
        labels.len()
    );
    let second = linear.targets == 1 && labels.len() == 2;
    Ok(Arc::new(Classifier {
        linear,
        transform: Transform::named(&attributes.text("post_transform", "NONE")?)?,
        labels,
        second,
    }))
}

impl Classifier {
    fn width(&self) -> usize {
        if self.second { 2 } else { self.linear.targets }
    }

    fn transform(&self, row: &[f32], to: &mut [f32]) {
        match (row, &mut *to) {
            ([score], [first, second]) => {
                if self.transform == Transform::Probit {
                    (*first, *second) = (probit(*score), 0.0);
                } else if self.transform == Transform::Logistic {
                    let probability = logistic(*score);
                    (*first, *second) = (1.0 - probability, probability);
                } else {
                    // The score is taken for a probability, and no other transform is applied.
                    (*first, *second) = (1.0 - *score, *score);
                }
            }
            ([score], [one]) => {
                *one = if self.transform == Transform::Probit {
                    probit(*score)
                } else {
                    *score
                };
            }
            _ => {
                to.copy_from_slice(row);
                self.transform.apply(to);
            }
        }
    }
}

impl Kernel for Classifier {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let rows = self.linear.check(inputs)?;
        Ok(vec![
            fact(self.labels.datum(), [rows.clone()]),
            fact(f32::datum_type(), [rows, self.width().to_dim()]),
        ])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let (rows, _) = rows_of(input.shape())?;
        let mut raw = vec![0.0; rows * self.linear.targets];
        self.linear.scores(input, &mut raw)?;
        let mut output = Value::zero_dt(f32::datum_type(), &[rows, self.width()])?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?.chunks_exact_mut(self.width());
        let mut choices = Vec::with_capacity(rows);
        for (row, to) in raw.chunks_exact(self.linear.targets).zip(to) {
            choices.push(match row {
                [score] => usize::from(*score > 0.0),
                scores => first_largest(scores),
            });
            self.transform(row, to);
        }
        Ok(vec![self.labels.of_choices(&choices), output])
    }
}
