//! Ensembles of trees as one forest: the fast path.

use std::collections::HashMap;

use forest::{Forest, Missing, Node, Scores};

use crate::aggregate::Method;
use crate::compile::Compiler;
use crate::flat::{Features, NULL, flatten};
use crate::mining::{Combination, Mining};
use crate::outcome::Outcome;
use crate::predicate::Predicate;
use crate::program::{Frame, Program};
use crate::unit::{Class, Context, MiningFunction};
use crate::value::Precision;
use crate::{Row, ScoreError};

/// Scratch space for walks over one row or many.
#[derive(Debug, Default)]
pub(crate) struct Walks {
    pub(crate) features: Vec<f64>,
    leaves: Vec<u32>,
    sums: Vec<f64>,
    pub(crate) states: Vec<State>,
}

/// What became of a row.
#[derive(Debug)]
pub(crate) enum State {
    Walked,
    /// It is to be scored by itself.
    Slow,
    Failed(ScoreError),
}

/// Numbers in the table of what leaves are worth. Larger ones are not worth their memory.
const MAX_NUMBERS: usize = 1 << 25;

/// An ensemble whose trees all are always asked, all have flat form, and whose answers are summed.
/// What a leaf contributes to the sums is known when the document is: rescaled, weighted.
#[derive(Debug)]
pub(crate) struct EnsembleForest {
    forest: Forest,
    features: Features,
    scores: Scores,
    /// The category every leaf votes for.
    labels: Vec<u32>,
    /// What the sums are divided by; nothing for sums and votes.
    divisor: Option<f64>,
    votes: bool,
    classification: bool,
    precision: Precision,
    /// Whether an enclosing model wants to know which categories have a probability.
    ordered: bool,
}

impl EnsembleForest {
    /// The forest of an ensemble, if it has one.
    pub(crate) fn of(
        mining: &Mining,
        context: Context<'_>,
        compiler: &Compiler<'_>,
    ) -> Option<Self> {
        let Combination::Aggregate(method) = mining.combination else {
            return None;
        };
        let (weighted, votes) = match method {
            Method::Sum { weighted } | Method::Average { weighted } => (weighted, false),
            Method::Vote { weighted } => (weighted, true),
            Method::Median | Method::WeightedMedian | Method::Max => return None,
        };
        let classification = context.function == MiningFunction::Classification;
        let classes = compiler.category_lists[context.categories].len();
        let width = if classification { classes } else { 1 };
        let precision = context.precision;
        let (mut features, mut trees) = (Features::default(), Vec::new());
        let (mut scores, mut labels, mut total) = (Scores::new(width), Vec::new(), 0.0);
        for segment in &mining.segments {
            let Class::Tree(tree) = &segment.unit.class else {
                return None;
            };
            if segment.predicate != Predicate::Constant(true) {
                return None;
            }
            let weight = if weighted {
                precision.round(segment.weight)
            } else {
                1.0
            };
            total = precision.round(total + weight);
            let mut numbers = HashMap::new();
            let mut leaf = |node: u32| -> Option<u32> {
                if node == NULL {
                    return Some(NULL);
                }
                if let Some(&number) = numbers.get(&node) {
                    return Some(number);
                }
                if (labels.len() + 1) * width > MAX_NUMBERS {
                    return None;
                }
                let mut outcome = Outcome::default();
                tree.answer(node, classes, &mut outcome).ok()?;
                segment.unit.settle(classes, &mut outcome).ok()?;
                let worth = worth(&outcome, classification, votes, width, weight, precision)?;
                scores.push(&worth);
                let number = labels.len() as u32;
                labels.push(outcome.label);
                numbers.insert(node, number);
                Some(number)
            };
            let flat = flatten(tree, &mut features, compiler)?;
            let mut nodes = flat.nodes().to_vec();
            for node in &mut nodes {
                match node {
                    Node::Leaf(answer)
                    | Node::Split {
                        missing: Missing::Stop(answer),
                        ..
                    } => *answer = leaf(*answer)?,
                    Node::Split { .. } => {}
                }
            }
            trees.push(forest::Tree::new(nodes));
        }
        let forest = Forest::new(features.len(), &trees).ok()?;
        let divisor = match method {
            Method::Average { .. } => Some(total),
            _ => None,
        };
        if divisor == Some(0.0) {
            return None;
        }
        Some(Self {
            forest,
            features,
            scores,
            labels,
            divisor,
            votes,
            classification,
            precision,
            ordered: !context.top,
        })
    }

    /// Scores a record. False if it takes the slow way: a tree has no prediction, a value is in
    /// error, or categories are equally probable and the order of the document decides.
    pub(crate) fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        outcome: &mut Outcome,
    ) -> bool {
        let mut walks = std::mem::take(&mut frame.walks);
        walks.features.clear();
        // A value that is in error may not be reached: only the trees themselves can tell.
        let done = self
            .features
            .read(program, frame, &mut walks.features)
            .is_ok()
            && self.walk_one(&mut walks, outcome);
        frame.walks = walks;
        if !done {
            outcome.clear();
        }
        done
    }

    /// Scores a record whose values are all numbers that the schema leaves as they are: nothing
    /// else of it has to be looked at. False as in [`EnsembleForest::evaluate`].
    pub(crate) fn evaluate_plain(&self, frame: &mut Frame, outcome: &mut Outcome) -> bool {
        let mut walks = std::mem::take(&mut frame.walks);
        walks.features.clear();
        let done = self.features.read_plain(frame, &mut walks.features)
            && self.walk_one(&mut walks, outcome);
        frame.walks = walks;
        if !done {
            outcome.clear();
        }
        done
    }

    fn walk_one(&self, walks: &mut Walks, outcome: &mut Outcome) -> bool {
        walks.leaves.resize(self.forest.trees(), 0);
        self.forest.leaves(&walks.features, &mut walks.leaves);
        outcome.probabilities.clear();
        outcome.probabilities.resize(self.scores.stride(), 0.0);
        let mut complete = true;
        for &leaf in &walks.leaves {
            complete &= leaf != NULL;
            self.add(leaf, &mut outcome.probabilities);
        }
        outcome.probabilities.truncate(self.scores.width());
        complete && self.conclude(outcome, walks.leaves.iter().copied())
    }

    /// Walks the trees over several rows.
    pub(crate) fn walk(&self, program: &Program, rows: &mut [Row], walks: &mut Walks) {
        let (count, stride) = (rows.len(), self.scores.stride());
        walks.features.clear();
        walks.states.clear();
        for (number, row) in rows.iter_mut().enumerate() {
            if self.features.read_plain(&row.frame, &mut walks.features) {
                walks.states.push(State::Walked);
                continue;
            }
            walks.features.truncate(number * self.features.len());
            let read = program.begin(&mut row.frame).map(|()| {
                self.features
                    .read(program, &mut row.frame, &mut walks.features)
                    .is_ok()
            });
            // Whatever a row that is not walked has left, every row is as long as the others.
            walks
                .features
                .resize((number + 1) * self.features.len(), 0.0);
            walks.states.push(match read {
                Ok(true) => State::Walked,
                Ok(false) => State::Slow,
                Err(error) => State::Failed(error),
            });
        }
        walks.leaves.resize(count * self.forest.trees(), 0);
        self.forest
            .leaves_of_rows(&walks.features, count, &mut walks.leaves);
        walks.sums.clear();
        walks.sums.resize(count * stride, 0.0);
        if stride == 0 {
            return;
        }
        for leaves in walks.leaves.chunks_exact(count.max(1)) {
            let rows = walks.sums.chunks_exact_mut(stride).zip(&mut walks.states);
            for (&leaf, (sums, state)) in leaves.iter().zip(rows) {
                if leaf == NULL && matches!(state, State::Walked) {
                    *state = State::Slow;
                }
                self.add(leaf, sums);
            }
        }
    }

    /// The outcome of a row that was walked. False as in [`EnsembleForest::evaluate`].
    pub(crate) fn outcome_of(&self, walks: &Walks, row: usize, outcome: &mut Outcome) -> bool {
        let start = row * self.scores.stride();
        outcome.clear();
        let sums = walks
            .sums
            .get(start..start + self.scores.width())
            .unwrap_or_default();
        outcome.probabilities.extend_from_slice(sums);
        let leaves = walks
            .leaves
            .iter()
            .skip(row)
            .step_by(walks.states.len().max(1));
        let done = self.conclude(outcome, leaves.copied());
        if !done {
            outcome.clear();
        }
        done
    }

    #[inline]
    fn add(&self, leaf: u32, sums: &mut [f64]) {
        match self.precision {
            Precision::Double => self.scores.add(leaf, sums),
            Precision::Single => {
                for (sum, value) in sums.iter_mut().zip(self.scores.of(leaf)) {
                    *sum = f64::from((*sum + value) as f32);
                }
            }
        }
    }

    /// Turns the sums in an outcome's probabilities into its prediction.
    fn conclude(&self, outcome: &mut Outcome, leaves: impl Iterator<Item = u32>) -> bool {
        let round = |value| self.precision.round(value);
        let divisor = match self.divisor {
            None if self.votes => outcome
                .probabilities
                .iter()
                .fold(0.0, |sum, votes| round(sum + votes)),
            None => 1.0,
            Some(divisor) => divisor,
        };
        if divisor == 0.0 {
            return false;
        }
        if divisor != 1.0 {
            for sum in &mut outcome.probabilities {
                *sum = round(*sum / divisor);
            }
        }
        if !self.classification {
            outcome.value = outcome.probabilities.first().copied().unwrap_or(0.0);
            outcome.probabilities.clear();
            outcome.known = true;
            return true;
        }
        let (mut best, mut most, mut tied) = (0, f64::NEG_INFINITY, false);
        for (category, &probability) in outcome.probabilities.iter().enumerate() {
            if probability > most {
                (best, most, tied) = (category as u32, probability, false);
            } else if probability == most {
                tied = true;
            }
        }
        if tied {
            // Of equals, that wins which a tree named first.
            let first = leaves
                .filter_map(|leaf| self.labels.get(leaf as usize).copied())
                .find(|&label| outcome.probabilities.get(label as usize) == Some(&most));
            match first {
                Some(label) if self.votes => best = label,
                _ => return false,
            }
        }
        outcome.known = true;
        outcome.label = best;
        if self.ordered {
            outcome.order.extend(0..outcome.probabilities.len() as u32);
        }
        true
    }
}

/// What an outcome contributes to the sums; none if it cannot be told.
fn worth(
    outcome: &Outcome,
    classification: bool,
    votes: bool,
    width: usize,
    weight: f64,
    precision: Precision,
) -> Option<Vec<f64>> {
    let times = |value: f64| {
        if weight == 1.0 {
            precision.round(value)
        } else {
            precision.round(weight * precision.round(value))
        }
    };
    if !outcome.known {
        return None;
    }
    if !classification {
        return Some(vec![times(outcome.value)]);
    }
    let mut worth = vec![0.0; width];
    if votes {
        *worth.get_mut(outcome.label as usize)? = weight;
        return Some(worth);
    }
    if outcome.order.is_empty() {
        return None;
    }
    for &category in &outcome.order {
        *worth.get_mut(category as usize)? = times(*outcome.probabilities.get(category as usize)?);
    }
    Some(worth)
}
