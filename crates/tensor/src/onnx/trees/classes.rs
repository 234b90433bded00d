//! From the sums of a row to its class.

use super::leaves::Real;
use super::sums::Sums;
use super::{Ensemble, Transform};
use crate::onnx::labels::Labels;
use crate::onnx::transform::{logistic, probit};
use std::collections::BTreeSet;
use tract_onnx::tract_hir::internal::{TractResult, ensure};

/// The class of a row. Where the trees weigh both of two classes, ONNX Runtime names them 1 and 0
/// whatever their integers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Choice {
    At(usize),
    Positive,
    #[default]
    Negative,
}

impl Choice {
    pub(super) fn integer(self, labels: &[i64]) -> i64 {
        match self {
            Choice::At(position) => labels.get(position).copied().unwrap_or_default(),
            Choice::Positive => 1,
            Choice::Negative => 0,
        }
    }

    pub(super) fn text(self, labels: &[String]) -> &str {
        let position = match self {
            Choice::At(position) => position,
            Choice::Positive => 1,
            Choice::Negative => 0,
        };
        labels.get(position).map_or("", String::as_str)
    }
}

/// The second of two scores, where the trees have numbers for one class alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    /// None.
    Nothing,
    /// The first is a probability, and the second the rest.
    Rest,
    /// The first is positive for one class and negative for the other.
    Opposite,
}

#[derive(Debug, Clone)]
pub(super) struct Classes {
    pub(super) labels: Labels,
    /// Of two classes, the trees have numbers for one.
    binary: bool,
    all_positive: bool,
}

impl Classes {
    pub(super) fn new(labels: Labels, ensemble: &Ensemble) -> TractResult<Classes> {
        let count = labels.len();
        ensure!(
            count > 1 || matches!(labels, Labels::Integers(_)),
            "a single class"
        );
        let bases = ensemble.base.len();
        ensure!(
            bases == 0 || bases == count || (bases == 1 && count <= 2),
            "{bases} base_values of {count} classes"
        );
        let weights = || ensemble.weights.iter().flatten();
        let weighted: BTreeSet<u32> = weights().map(|(target, _)| *target).collect();
        Ok(Classes {
            labels,
            binary: count == 2 && weighted.len() == 1,
            all_positive: !weights().any(|(_, weight)| *weight < 0.0),
        })
    }

    /// The class of a row, and its scores into `to`; none if no class has a score.
    pub(super) fn decide<T: Real>(
        &self,
        sums: Sums<'_, T>,
        base: &[T],
        transform: Transform,
        to: &mut [f32],
    ) -> Option<Choice> {
        let Sums { scores, touched } = sums;
        match scores {
            [score] => {
                if let [base] = base {
                    *score = score.plus(*base);
                }
                let (choice, _) = self.of_two(*score);
                to.fill(if transform == Transform::Probit {
                    probit(score.single())
                } else {
                    score.single()
                });
                Some(choice)
            }
            [first, second] => {
                let touched = touched.map_or([true; 2], |touched| [touched[0], touched[1]]);
                Some(self.two([*first, *second], touched, base, transform, to))
            }
            several => {
                let mut best: Option<(usize, T)> = None;
                for (class, score) in several.iter_mut().enumerate() {
                    let mut known = touched.is_none_or(|touched| touched[class]);
                    if let Some(base) = base.get(class) {
                        *score = score.plus(*base);
                        known = true;
                    }
                    if known && best.is_none_or(|(_, most)| *score > most) {
                        best = Some((class, *score));
                    }
                    to[class] = if known { score.single() } else { 0.0 };
                }
                transform.apply(to);
                best.map(|(class, _)| Choice::At(class))
            }
        }
    }

    fn two<T: Real>(
        &self,
        [mut first, mut second]: [T; 2],
        [has_first, mut has_second]: [bool; 2],
        base: &[T],
        transform: Transform,
        to: &mut [f32],
    ) -> Choice {
        let zero = T::of(0.0);
        let mut alone = false;
        match base {
            [_, of_second] if has_second => {
                second = of_second.plus(first);
                first = second.minus();
            }
            [of_first, of_second] => {
                first = first.plus(*of_first);
                second = second.plus(*of_second);
            }
            [one] => {
                first = first.plus(*one);
                alone = !has_second;
            }
            _ => alone = !has_second,
        }
        if alone {
            has_second = false;
        }
        let (choice, mut rule) = self.of_two(if has_second {
            second
        } else if has_first {
            first
        } else {
            zero
        });
        if !self.binary && base.is_empty() {
            rule = Second::Opposite;
        }
        let first = if has_first { first } else { zero };
        if !alone {
            to[0] = first.single();
            to[1] = if has_second { second.single() } else { 0.0 };
            transform.apply(to);
            return choice;
        }
        let scores = match (transform, rule) {
            (Transform::Probit, _) => [probit(first.single()), 0.0],
            (_, Second::Nothing) => [first.single(), 0.0],
            (Transform::Logistic, Second::Rest | Second::Opposite) => {
                [logistic(-first.single()), logistic(first.single())]
            }
            (_, Second::Rest) => [T::of(1.0).plus(first.minus()).single(), first.single()],
            (_, Second::Opposite) => [first.minus().single(), first.single()],
        };
        to.copy_from_slice(&scores);
        choice
    }

    /// The class by the weight of the positive one, and what the other's score is.
    fn of_two<T: Real>(&self, weight: T) -> (Choice, Second) {
        let above = |limit: f64| weight > T::of(limit);
        match (self.binary, self.all_positive) {
            (true, true) => (Choice::At(usize::from(above(0.5))), Second::Rest),
            (true, false) => (Choice::At(usize::from(above(0.0))), Second::Opposite),
            (false, _) if above(0.0) => (Choice::Positive, Second::Nothing),
            (false, _) => (Choice::Negative, Second::Nothing),
        }
    }
}
