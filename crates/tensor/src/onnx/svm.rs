//! `SVMRegressor` and `SVMClassifier`.

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, check_numbers, fact, only, open_rows_of, rows_of, singles};
use super::labels::{Labels, first_largest};
use super::products::add_products;
use super::transform::{Transform, logistic, probit};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    Datum, TDim, TValue, Tensor as Value, ToDim, TractResult, bail, ensure,
};

/// How near a row is to a vector.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Nearness {
    Linear,
    Polynomial {
        gamma: f32,
        coefficient: f32,
        degree: f32,
    },
    Radial {
        gamma: f32,
    },
    Sigmoid {
        gamma: f32,
        coefficient: f32,
    },
}

/// Vectors, and how rows are compared with them.
struct Vectors {
    nearness: Nearness,
    vectors: Vec<f32>,
    count: usize,
    features: usize,
    /// What is added to every product, where nearness is linear.
    offset: f32,
}

impl Vectors {
    fn new(attributes: Attributes<'_>, vectors: &[f32], count: usize) -> TractResult<Vectors> {
        ensure!(
            count > 0 && !vectors.is_empty() && vectors.len().is_multiple_of(count),
            "{} numbers of {count} vectors",
            vectors.len()
        );
        Ok(Vectors {
            nearness: Nearness::of(attributes)?,
            vectors: vectors.to_vec(),
            count,
            features: vectors.len() / count,
            offset: 0.0,
        })
    }

    /// Coefficients alone.
    fn linear(coefficients: &[f32], count: usize, offset: f32) -> TractResult<Vectors> {
        ensure!(
            count > 0 && !coefficients.is_empty() && coefficients.len().is_multiple_of(count),
            "{} coefficients of {count} classes",
            coefficients.len()
        );
        Ok(Vectors {
            nearness: Nearness::Linear,
            vectors: coefficients.to_vec(),
            count,
            features: coefficients.len() / count,
            offset,
        })
    }

    /// Checks the type and the width of an input; returns its rows.
    fn check(&self, inputs: &[Fact]) -> TractResult<TDim> {
        let (datum, shape) = only(inputs)?;
        check_numbers(*datum)?;
        let (rows, columns) = open_rows_of(shape)?;
        if let Ok(columns) = usize::try_from(&columns) {
            self.check_columns(columns)?;
        }
        Ok(rows)
    }

    fn check_columns(&self, columns: usize) -> TractResult<()> {
        ensure!(
            columns == self.features,
            "vectors of {} features for {columns}",
            self.features
        );
        Ok(())
    }

    /// For every row, its nearness to every vector.
    fn near(&self, input: &Value) -> TractResult<Vec<f32>> {
        let (rows, columns) = rows_of(input.shape())?;
        self.check_columns(columns)?;
        let values = singles(input)?;
        let mut near = vec![self.offset; rows * self.count];
        let product = |factor: f32, near: &mut [f32]| {
            add_products(&values, &self.vectors, self.features, factor, near);
        };
        match self.nearness {
            Nearness::Linear => product(1.0, &mut near),
            Nearness::Polynomial {
                gamma,
                coefficient,
                degree,
            } => {
                near.fill(coefficient);
                product(gamma, &mut near);
                near.iter_mut().for_each(|near| {
                    let x = *near;
                    *near = match degree {
                        2.0 => x * x,
                        3.0 => x * x * x,
                        _ => x.powf(degree),
                    };
                });
            }
            Nearness::Sigmoid { gamma, coefficient } => {
                near.fill(coefficient);
                product(gamma, &mut near);
                near.iter_mut().for_each(|near| *near = tanh(*near));
            }
            Nearness::Radial { gamma } => {
                let rows = values.chunks_exact(self.features);
                for (row, near) in rows.zip(near.chunks_exact_mut(self.count)) {
                    let vectors = self.vectors.chunks_exact(self.features);
                    for (vector, near) in vectors.zip(near) {
                        let squares = row.iter().zip(vector).map(|(a, b)| (a - b) * (a - b));
                        let sum = squares.fold(0.0, |sum: f32, square| sum + square);
                        *near = (-gamma * sum).exp();
                    }
                }
            }
        }
        Ok(near)
    }
}

/// The hyperbolic tangent by a quotient of polynomials, as ONNX Runtime has it: the sum of many, of
/// both signs, shows that.
fn tanh(x: f32) -> f32 {
    const ABOVE: [f32; 7] = [
        -2.760_768_4e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297_3e-8,
        1.485_722_35e-5,
        6.372_619_5e-4,
        4.893_524_6e-3,
    ];
    const BELOW: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3];
    let fused = |a: f32, b: f32, c: f32| (f64::from(a) * f64::from(b) + f64::from(c)) as f32;
    let x = x.clamp(-9.0, 9.0);
    let square = x * x;
    let sum = |factors: &[f32]| factors.iter().fold(0.0, |sum, f| fused(sum, square, *f));
    x * sum(&ABOVE) / sum(&BELOW)
}

impl Nearness {
    fn of(attributes: Attributes<'_>) -> TractResult<Nearness> {
        let parameters = attributes.floats("kernel_params")?;
        let (gamma, coefficient, degree) = match *parameters {
            [] => (0.0, 0.0, 0.0),
            [gamma, coefficient, degree, ..] => (gamma, coefficient, degree),
            _ => bail!("{} kernel_params, not three", parameters.len()),
        };
        Ok(match attributes.text("kernel_type", "LINEAR")?.as_str() {
            "LINEAR" => Nearness::Linear,
            "POLY" => Nearness::Polynomial {
                gamma,
                coefficient,
                degree,
            },
            "RBF" => Nearness::Radial { gamma },
            "SIGMOID" => Nearness::Sigmoid { gamma, coefficient },
            other => bail!("unknown kernel_type `{other}`"),
        })
    }
}

struct Regressor {
    vectors: Vectors,
    /// A number for each vector, and what is added; none for coefficients alone.
    coefficients: Option<(Vec<f32>, f32)>,
    one_class: bool,
}

pub(super) fn regressor(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let count = usize::try_from(attributes.int("n_supports", 0)?)?;
    let coefficients = attributes.floats("coefficients")?;
    let Some(rho) = attributes.floats("rho")?.first().copied() else {
        bail!("no rho");
    };
    // As in ONNX Runtime, no transform is applied; none is what converters ask for.
    let transform = Transform::named(&attributes.text("post_transform", "NONE")?)?;
    ensure!(transform == Transform::None, "post_transform {transform:?}");
    let one_class = attributes.int("one_class", 0)? != 0;
    let (vectors, coefficients) = if count > 0 {
        let vectors = Vectors::new(attributes, attributes.floats("support_vectors")?, count)?;
        ensure!(
            coefficients.len() == count,
            "{} coefficients of {count} vectors",
            coefficients.len()
        );
        (vectors, Some((coefficients.to_vec(), rho)))
    } else {
        (Vectors::linear(coefficients, 1, rho)?, None)
    };
    Ok(Arc::new(Regressor {
        vectors,
        coefficients,
        one_class,
    }))
}

impl Kernel for Regressor {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let rows = self.vectors.check(inputs)?;
        Ok(vec![fact(f32::datum_type(), [rows, 1.to_dim()])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let (rows, _) = rows_of(input.shape())?;
        let mut scores = self.vectors.near(input)?;
        if let Some((coefficients, rho)) = &self.coefficients {
            let near = scores;
            scores = vec![*rho; rows];
            add_products(&near, coefficients, coefficients.len(), 1.0, &mut scores);
        }
        if self.one_class {
            for score in &mut scores {
                *score = if *score > 0.0 { 1.0 } else { -1.0 };
            }
        }
        Ok(vec![Value::from_shape(&[rows, 1], &scores)?])
    }
}

struct Classifier {
    vectors: Vectors,
    labels: Labels,
    transform: Transform,
    /// Of vectors that are compared class by class; none for coefficients alone.
    pairs: Option<Pairs>,
    all_positive: bool,
}

/// A decision for every pair of classes.
struct Pairs {
    /// Where the vectors of each class begin, and how many there are.
    classes: Vec<(usize, usize)>,
    /// A row for every class but one, of a number for each vector.
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    /// For each pair, what makes a probability of its decision.
    probabilities: Vec<(f32, f32)>,
}

pub(super) fn classifier(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let labels = Labels::of(attributes, "classlabels_strings", "classlabels_ints")?;
    let coefficients = attributes.floats("coefficients")?;
    let rho = attributes.floats("rho")?;
    let transform = Transform::named(&attributes.text("post_transform", "NONE")?)?;
    let all_positive = coefficients.iter().all(|value| *value >= 0.0);
    let mut count = 0usize;
    let mut classes = Vec::new();
    for of_class in attributes.ints("vectors_per_class")? {
        let of_class = usize::try_from(*of_class)?;
        classes.push((count, of_class));
        count = count.saturating_add(of_class);
    }
    let (vectors, pairs) = if count == 0 {
        let offset = rho.first().copied().unwrap_or_default();
        (Vectors::linear(coefficients, labels.len(), offset)?, None)
    } else {
        let vectors = Vectors::new(attributes, attributes.floats("support_vectors")?, count)?;
        ensure!(classes.len() > 1, "vectors of {} classes", classes.len());
        ensure!(
            classes.len() == labels.len(),
            "vectors of {} classes, {} labels",
            classes.len(),
            labels.len()
        );
        let pairs = classes.len() * (classes.len() - 1) / 2;
        ensure!(rho.len() == pairs, "{} rho of {pairs} pairs", rho.len());
        ensure!(
            Some(coefficients.len()) == count.checked_mul(classes.len() - 1),
            "{} coefficients of {count} vectors",
            coefficients.len()
        );
        let (a, b) = (attributes.floats("prob_a")?, attributes.floats("prob_b")?);
        ensure!(
            a.len() == b.len() && (a.is_empty() || a.len() == pairs),
            "{} prob_a and {} prob_b of {pairs} pairs",
            a.len(),
            b.len()
        );
        let pairs = Pairs {
            classes,
            coefficients: coefficients.to_vec(),
            rho: rho.to_vec(),
            probabilities: a.iter().copied().zip(b.iter().copied()).collect(),
        };
        (vectors, Some(pairs))
    };
    Ok(Arc::new(Classifier {
        vectors,
        labels,
        transform,
        pairs,
        all_positive,
    }))
}

impl Pairs {
    /// The decisions of all pairs, and how many each class has won.
    fn decide(&self, near: &[f32]) -> (Vec<f32>, Vec<u32>) {
        let mut votes = vec![0; self.classes.len()];
        let mut scores = Vec::with_capacity(self.rho.len());
        let sum = |row: usize, (start, count): (usize, usize), sum: f64| {
            let coefficients = self.coefficients.iter().skip(row * near.len() + start);
            let near = near.iter().skip(start).take(count);
            near.zip(coefficients)
                .fold(sum, |sum, (near, coefficient)| {
                    sum + f64::from(coefficient * near)
                })
        };
        for first in 0..self.classes.len() {
            for second in first + 1..self.classes.len() {
                let of_first = sum(second - 1, self.classes[first], 0.0);
                let of_both = sum(first, self.classes[second], of_first);
                let score = of_both + f64::from(self.rho[scores.len()]);
                votes[if score > 0.0 { first } else { second }] += 1;
                scores.push(score as f32);
            }
        }
        (scores, votes)
    }

    /// Probabilities of the classes from those of the pairs, after Wu, Lin and Weng, Probability
    /// Estimates for Multi-class Classification by Pairwise Coupling, as libsvm does.
    fn couple(&self, scores: &[f32]) -> Vec<f32> {
        let count = self.classes.len();
        let at = |row: usize, column: usize| row * count + column;
        let mut pairs = vec![0.0f32; count * count];
        let mut all = scores.iter().zip(&self.probabilities);
        for first in 0..count {
            for second in first + 1..count {
                let Some((score, (a, b))) = all.next() else {
                    break;
                };
                let probability = 1.0 - logistic(score * a + b);
                let probability = probability.clamp(1e-7, 1.0 - 1e-7);
                pairs[at(first, second)] = probability;
                pairs[at(second, first)] = 1.0 - probability;
            }
        }
        let mut q = vec![0.0f32; count * count];
        for i in 0..count {
            for j in (0..count).filter(|j| *j != i) {
                q[at(i, i)] += pairs[at(j, i)] * pairs[at(j, i)];
                q[at(i, j)] = if j < i {
                    q[at(j, i)]
                } else {
                    -pairs[at(j, i)] * pairs[at(i, j)]
                };
            }
        }
        let mut p = vec![1.0 / count as f32; count];
        let mut qp = vec![0.0f32; count];
        for _ in 0..100 {
            let mut pqp = 0.0f32;
            for i in 0..count {
                qp[i] = (0..count).fold(0.0, |sum, j| sum + q[at(i, j)] * p[j]);
                pqp += p[i] * qp[i];
            }
            let error = qp.iter().fold(0.0f32, |most, qp| {
                let error = (qp - pqp).abs();
                if error > most { error } else { most }
            });
            if error < 0.005 / count as f32 {
                break;
            }
            for i in 0..count {
                let step = (-qp[i] + pqp) / q[at(i, i)];
                p[i] += step;
                let next = step * (step * q[at(i, i)] + 2.0 * qp[i]);
                pqp = (pqp + next) / (1.0 + step) / (1.0 + step);
                for j in 0..count {
                    qp[j] = (qp[j] + step * q[at(i, j)]) / (1.0 + step);
                    p[j] /= 1.0 + step;
                }
            }
        }
        p
    }
}

impl Classifier {
    fn width(&self) -> usize {
        let classes = self.labels.len();
        match &self.pairs {
            Some(pairs) if pairs.probabilities.is_empty() && classes > 2 => pairs.rho.len(),
            _ => classes,
        }
    }

    /// The position of a row's class; its scores into `to`.
    fn row(&self, near: &[f32], to: &mut [f32]) -> usize {
        let Some(pairs) = &self.pairs else {
            to.copy_from_slice(near);
            let best = first_largest(near);
            let most = near.get(best).copied().unwrap_or_default();
            self.transform_row(to);
            let second = if self.all_positive {
                most >= 0.5
            } else {
                most > 0.0
            };
            return if self.labels.len() == 2 && second {
                1
            } else {
                best
            };
        };
        let (scores, votes) = pairs.decide(near);
        if !pairs.probabilities.is_empty() {
            to.copy_from_slice(&pairs.couple(&scores));
            self.transform_row(to);
        } else if let ([score], [first, second]) = (scores.as_slice(), &mut *to) {
            (*first, *second) = match self.transform {
                Transform::None => (-score, *score),
                Transform::Logistic => (logistic(-score), logistic(*score)),
                Transform::Probit => (probit(*score), 0.0),
                Transform::Softmax | Transform::SoftmaxZero => (1.0 - score, *score),
            };
        } else {
            to.copy_from_slice(&scores);
            self.transform_row(to);
        }
        first_largest(&votes)
    }

    fn transform_row(&self, scores: &mut [f32]) {
        match (self.transform, scores) {
            (Transform::Probit, [score]) => *score = probit(*score),
            (_, [_]) => {}
            (transform, scores) => transform.apply(scores),
        }
    }
}

impl Kernel for Classifier {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let rows = self.vectors.check(inputs)?;
        Ok(vec![
            fact(self.labels.datum(), [rows.clone()]),
            fact(f32::datum_type(), [rows, self.width().to_dim()]),
        ])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let (rows, _) = rows_of(input.shape())?;
        let near = self.vectors.near(input)?;
        let mut output = Value::zero_dt(f32::datum_type(), &[rows, self.width()])?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?.chunks_exact_mut(self.width());
        let mut choices = Vec::with_capacity(rows);
        for (near, to) in near.chunks_exact(self.vectors.count).zip(to) {
            choices.push(self.row(near, to));
        }
        Ok(vec![self.labels.of_choices(&choices), output])
    }
}
