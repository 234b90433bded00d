use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Record, Spread, Statistics};
use serde::Serialize;

use crate::{Scored, ServedModel, clock};

/// The current model of a data type, and how it has done.
#[derive(Clone, Debug)]
pub struct ModelState {
    /// The model.
    pub model: Arc<ServedModel>,
    /// Since when it has been the current one, microseconds since 1970.
    pub since_us: i64,
    /// How it has done.
    pub statistics: Statistics,
    /// The staged model, if there is one.
    pub next: Option<Arc<ServedModel>>,
}

impl ModelState {
    /// That of a model which becomes the current one now.
    #[must_use]
    pub fn new(model: Arc<ServedModel>) -> Self {
        Self {
            model,
            since_us: clock::now_us(),
            statistics: Statistics::default(),
            next: None,
        }
    }

    /// Counts records that its model has scored, in order.
    pub fn count<'a>(&mut self, records: impl Iterator<Item = &'a Record>, scored: &Scored) {
        count(&mut self.statistics, records, scored);
    }
}

/// Counts records that were scored: those whose score failed are not.
pub(crate) fn count<'a>(
    statistics: &mut Statistics,
    records: impl Iterator<Item = &'a Record>,
    scored: &Scored,
) {
    for (record, score) in records.zip(&scored.scores) {
        if score.is_ok() {
            let submitted_us = record.submitted_us.unwrap_or(scored.scored_us);
            // Clocks of other machines may run ahead of ours.
            let total_us = scored.scored_us.saturating_sub(submitted_us).max(0);
            let total_ns = total_us.unsigned_abs().saturating_mul(1000);
            statistics.add(scored.scoring_ns, total_ns);
        }
    }
}

/// Puts together what the parts of a strategy say of the same data type, and sorts by data type.
///
/// Parts that have seen no record since a model came still have the one before: the newest one that
/// has scored anywhere, or is current anywhere, is the current one, and only what it has done counts.
pub(crate) fn merge(states: Vec<ModelState>) -> Vec<ModelState> {
    let mut merged: BTreeMap<Arc<str>, ModelState> = BTreeMap::new();
    for state in states {
        let data_type = Arc::clone(&state.model.descriptor.data_type);
        match merged.remove(&data_type) {
            None => merged.insert(data_type, state),
            Some(other) => merged.insert(data_type, both(state, other)),
        };
    }
    merged.into_values().collect()
}

fn both(one: ModelState, other: ModelState) -> ModelState {
    let (mut newer, older) = if one.model.sequence >= other.model.sequence {
        (one, other)
    } else {
        (other, one)
    };
    if newer.model.sequence == older.model.sequence {
        newer.since_us = newer.since_us.min(older.since_us);
        newer.statistics.merge(&older.statistics);
    }
    let current = newer.model.sequence;
    let staged = [newer.next.take(), older.next].into_iter().flatten();
    newer.next = staged
        .filter(|next| next.sequence > current)
        .max_by_key(|next| next.sequence);
    newer
}

/// What the state queries say of a data type's model. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StateAnswer {
    /// The data type.
    data_type: String,
    /// The name of the current model.
    name: String,
    /// Its description.
    description: String,
    /// Its format.
    model_type: &'static str,
    /// Its version.
    version: String,
    /// The first eight bytes of its SHA-256, in hexadecimal.
    digest: String,
    /// Since when it has been the current one, ms since 1970.
    since: i64,
    /// How many records it has scored.
    usage: u64,
    /// The sum of scoring times.
    duration: f64,
    /// The mean scoring time.
    average: f64,
    /// The shortest scoring time.
    min: f64,
    /// The longest scoring time.
    max: f64,
    /// From submission to score.
    total: TotalState,
    /// The model that is staged, if one is.
    next: Option<NextState>,
}

/// Times from a record's submission to its score, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TotalState {
    /// The mean.
    average: f64,
    /// The shortest.
    min: f64,
    /// The longest.
    max: f64,
}

/// A staged model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct NextState {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
}

impl StateAnswer {
    pub(crate) fn data_type(&self) -> &str {
        &self.data_type
    }

    pub(crate) fn of(state: &ModelState) -> Self {
        const NS_PER_MS: f64 = 1e6;
        let ms = |ns: u64| ns as f64 / NS_PER_MS;
        let mean = |spread: &Spread| spread.average() / NS_PER_MS;
        let descriptor = &state.model.descriptor;
        let (scoring, total) = (&state.statistics.scoring, &state.statistics.total);
        Self {
            data_type: descriptor.data_type.to_string(),
            name: descriptor.name.to_string(),
            description: descriptor.description.to_string(),
            model_type: descriptor.model_type.as_str_name(),
            version: descriptor.version.to_string(),
            digest: descriptor.digest.to_string(),
            since: state.since_us / 1000,
            usage: scoring.count,
            duration: ms(scoring.sum),
            average: mean(scoring),
            min: ms(scoring.min),
            max: ms(scoring.max),
            total: TotalState {
                average: mean(total),
                min: ms(total.min),
                max: ms(total.max),
            },
            next: state.next.as_ref().map(|next| NextState {
                name: next.descriptor.name.to_string(),
                version: next.descriptor.version.to_string(),
            }),
        }
    }
}
