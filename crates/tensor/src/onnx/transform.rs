//! What `ai.onnx.ml` does to scores at the end, in single precision, as ONNX Runtime does.

use std::f32::consts::{PI, SQRT_2};
use tract_onnx::tract_hir::internal::{TractResult, bail};

/// `post_transform`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl Transform {
    pub(super) fn named(name: &str) -> TractResult<Transform> {
        Ok(match name {
            "NONE" => Transform::None,
            "LOGISTIC" => Transform::Logistic,
            "SOFTMAX" => Transform::Softmax,
            "SOFTMAX_ZERO" => Transform::SoftmaxZero,
            "PROBIT" => Transform::Probit,
            other => bail!("unknown post_transform `{other}`"),
        })
    }

    /// By the numbers of `TreeEnsemble`.
    pub(super) fn numbered(number: i64) -> TractResult<Transform> {
        Ok(match number {
            0 => Transform::None,
            1 => Transform::Logistic,
            2 => Transform::Softmax,
            3 => Transform::SoftmaxZero,
            4 => Transform::Probit,
            other => bail!("unknown post_transform {other}"),
        })
    }

    /// Transforms the scores of one row, of which there are two or more.
    pub(super) fn apply(self, scores: &mut [f32]) {
        match self {
            Transform::None => {}
            Transform::Logistic => scores
                .iter_mut()
                .for_each(|score| *score = logistic(*score)),
            Transform::Softmax => softmax(scores),
            Transform::SoftmaxZero => softmax_zero(scores),
            Transform::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }
}

pub(super) fn logistic(value: f32) -> f32 {
    let v = 1.0 / (1.0 + (-value.abs()).exp());
    if value < 0.0 { 1.0 - v } else { v }
}

fn largest(scores: &[f32]) -> f32 {
    scores.iter().fold(
        -f32::MAX,
        |most, score| if *score > most { *score } else { most },
    )
}

fn softmax(scores: &mut [f32]) {
    let most = largest(scores);
    let mut sum = 0.0;
    for score in &mut *scores {
        *score = (*score - most).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// A softmax in which zero stays zero.
fn softmax_zero(scores: &mut [f32]) {
    let most = largest(scores);
    let zero = (-most).exp();
    let mut sum = 0.0;
    for score in &mut *scores {
        if *score > 1e-7 || *score < -1e-7 {
            *score = (*score - most).exp();
            sum += *score;
        } else {
            *score *= zero;
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// The quantile function of the normal distribution, by Winitzki's approximation of the inverse of
/// the error function.
pub(super) fn probit(value: f32) -> f32 {
    const A: f32 = 0.147;
    let x = 2.0 * value - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (PI * A) + 0.5 * log;
    let root = -v + (v * v - 1.0 / A * log).sqrt();
    SQRT_2 * sign * root.sqrt()
}
