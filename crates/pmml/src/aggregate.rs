//! Many predictions made into one (PMML 4.4, Multiple Models).

use crate::ScoreError;
use crate::outcome::Outcome;
use crate::value::Precision;

/// The arithmetic of a combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Average { weighted: bool },
    Sum { weighted: bool },
    Median,
    WeightedMedian,
    Max,
    Vote { weighted: bool },
}

/// What a segment without a prediction does to the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingPrediction {
    /// It counts as a vote for nothing; numbers and probabilities cannot be combined with it.
    Continue,
    SkipSegment,
    ReturnMissing,
}

/// How predictions are combined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) method: Method,
    pub(crate) missing: MissingPrediction,
    /// The share of missing weight above which the result is missing.
    pub(crate) threshold: f64,
    pub(crate) precision: Precision,
}

type Votes = [(Outcome, f64)];

impl Rules {
    /// Combines numbers. The outcome stays unknown where a result is missing.
    pub(crate) fn numbers(&self, votes: &Votes, outcome: &mut Outcome) -> Result<(), ScoreError> {
        let round = |value| self.precision.round(value);
        if !self.enough(votes) {
            return Ok(());
        }
        let known = || votes.iter().filter(|vote| vote.0.known);
        let count = known().count();
        let weighted = |weighted: bool, weight: f64, value: f64| {
            if weighted && weight != 1.0 {
                round(round(weight) * round(value))
            } else {
                round(value)
            }
        };
        let sum = |with_weights: bool| {
            known().fold(0.0, |sum, (vote, weight)| {
                round(sum + weighted(with_weights, *weight, vote.value))
            })
        };
        let weights = || known().fold(0.0, |sum, (_, weight)| round(sum + round(*weight)));
        let undefined = |what: &str| ScoreError::Undefined {
            function: "multipleModelMethod",
            arguments: what.to_owned(),
        };
        outcome.value = match self.method {
            Method::Sum { weighted } => sum(weighted),
            _ if count == 0 => return Err(undefined("no prediction at all")),
            Method::Average { weighted: false } => round(sum(false) / count as f64),
            Method::Average { weighted: true } => match weights() {
                0.0 => return Err(undefined("weights that sum to zero")),
                total => round(sum(true) / total),
            },
            Method::Median => {
                let mut values: Vec<f64> = known().map(|vote| round(vote.0.value)).collect();
                median(&mut values, self.precision)
            }
            Method::WeightedMedian => {
                let mut pairs: Vec<(f64, f64)> = known()
                    .map(|(vote, weight)| (round(vote.value), *weight))
                    .collect();
                pairs.sort_by(|left, right| left.0.total_cmp(&right.0));
                let half = 0.5 * weights();
                let mut reached = 0.0;
                let found = pairs.iter().find(|(_, weight)| {
                    reached += weight;
                    reached >= half
                });
                found.or(pairs.last()).map_or(0.0, |pair| pair.0)
            }
            Method::Max | Method::Vote { .. } => return Err(undefined("numbers")),
        };
        outcome.known = true;
        Ok(())
    }

    /// Combines labels or probabilities.
    pub(crate) fn categories(
        &self,
        votes: &Votes,
        classes: usize,
        outcome: &mut Outcome,
    ) -> Result<(), ScoreError> {
        outcome.probabilities.resize(classes, 0.0);
        let combined = match self.method {
            Method::Vote { weighted } => self.votes(weighted, votes, outcome)?,
            _ if !self.enough(votes) => false,
            _ => {
                let known = || {
                    votes
                        .iter()
                        .filter(|vote| vote.0.known)
                        .map(|(o, w)| (o, *w))
                };
                if known().any(|(vote, _)| vote.order.is_empty()) {
                    return Err(ScoreError::Undefined {
                        function: "multipleModelMethod",
                        arguments: "a segment without probabilities".to_owned(),
                    });
                }
                match self.method {
                    Method::Average { weighted } => self.average(weighted, known(), outcome)?,
                    _ => self.representatives(&known().collect::<Vec<_>>(), outcome)?,
                }
                true
            }
        };
        match outcome.most_probable() {
            Some(label) if combined => {
                outcome.known = true;
                outcome.label = label;
            }
            _ => outcome.known = false,
        }
        Ok(())
    }

    /// Whether the predictions that are not missing are enough for a result.
    fn enough(&self, votes: &Votes) -> bool {
        let missing = || votes.iter().filter(|vote| !vote.0.known);
        match self.missing {
            _ if missing().next().is_none() => true,
            MissingPrediction::ReturnMissing | MissingPrediction::Continue => false,
            MissingPrediction::SkipSegment => self.share_missing(votes) <= self.threshold,
        }
    }

    fn share_missing(&self, votes: &Votes) -> f64 {
        let sum = |known: bool| {
            votes
                .iter()
                .filter(|vote| known || !vote.0.known)
                .fold(0.0, |sum, vote| self.precision.round(sum + vote.1))
        };
        sum(false) / sum(true)
    }

    /// Counts votes. A missing one counts for nothing; if that gets the most votes, it wins.
    fn votes(
        &self,
        weighted: bool,
        votes: &Votes,
        outcome: &mut Outcome,
    ) -> Result<bool, ScoreError> {
        let round = |value| self.precision.round(value);
        if votes.iter().any(|vote| !vote.0.known)
            && (self.missing == MissingPrediction::ReturnMissing
                || self.share_missing(votes) > self.threshold)
        {
            return Ok(false);
        }
        let mut nothing = 0.0;
        for (vote, weight) in votes {
            let weight = if weighted { round(*weight) } else { 1.0 };
            if vote.known {
                outcome.count(vote.label, weight, self.precision);
            } else if self.missing == MissingPrediction::Continue {
                nothing = round(nothing + weight);
            }
        }
        let most = outcome
            .most_probable()
            .map(|label| outcome.probabilities[label as usize]);
        if most.is_none_or(|most| nothing > most) {
            return Ok(false);
        }
        if !outcome.normalize(self.precision) {
            return Err(ScoreError::Undefined {
                function: "multipleModelMethod",
                arguments: "votes that sum to zero".to_owned(),
            });
        }
        Ok(true)
    }

    fn average<'v>(
        &self,
        weighted: bool,
        votes: impl Iterator<Item = (&'v Outcome, f64)>,
        outcome: &mut Outcome,
    ) -> Result<(), ScoreError> {
        let round = |value| self.precision.round(value);
        let mut total = 0.0;
        for (vote, weight) in votes {
            total = if weighted {
                round(total + round(weight))
            } else {
                total + 1.0
            };
            for &category in &vote.order {
                let probability = vote.probabilities[category as usize];
                let share = if weighted && weight != 1.0 {
                    round(round(weight) * round(probability))
                } else {
                    round(probability)
                };
                outcome.count(category, share, self.precision);
            }
        }
        if total == 0.0 {
            return Err(ScoreError::Undefined {
                function: "multipleModelMethod",
                arguments: "weights that sum to zero".to_owned(),
            });
        }
        for &category in &outcome.order {
            let place = &mut outcome.probabilities[category as usize];
            *place = round(*place / total);
        }
        Ok(())
    }

    /// Maximum and median: the category that wins by that measure is found, and the predictions
    /// that are nearest to it there are averaged.
    fn representatives(
        &self,
        votes: &[(&Outcome, f64)],
        outcome: &mut Outcome,
    ) -> Result<(), ScoreError> {
        let precision = self.precision;
        // A prediction has a probability for a category only if it names it.
        let of = |category: u32| {
            votes
                .iter()
                .filter(move |(vote, _)| vote.order.contains(&category))
                .map(move |(vote, _)| {
                    (
                        *vote,
                        precision.round(vote.probabilities[category as usize]),
                    )
                })
        };
        let mut categories = Vec::new();
        for (vote, _) in votes {
            for &category in &vote.order {
                if !categories.contains(&category) {
                    categories.push(category);
                }
            }
        }
        // Equals go to the category that the data dictionary lists first.
        categories.sort_unstable();
        let mut best: Option<(u32, f64)> = None;
        for &category in &categories {
            let mut values: Vec<f64> = of(category).map(|pair| pair.1).collect();
            let value = match self.method {
                Method::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                _ => median(&mut values, precision),
            };
            if best.is_none_or(|(_, most)| value > most) {
                best = Some((category, value));
            }
        }
        let Some((winner, wanted)) = best else {
            return Ok(());
        };
        let distance = |value: f64| (wanted - value).abs();
        let least = of(winner)
            .map(|pair| distance(pair.1))
            .fold(f64::INFINITY, f64::min);
        let nearest = of(winner)
            .filter(|pair| distance(pair.1) <= least)
            .map(|pair| (pair.0, 1.0));
        self.average(false, nearest, outcome)
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &mut [f64], precision: Precision) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(below), Some(above)) if values.len().is_multiple_of(2) => {
            // As a percentile is interpolated.
            precision.round(below + 0.5 * (above - below))
        }
        (_, Some(value)) => *value,
        (_, None) => f64::NAN,
    }
}
