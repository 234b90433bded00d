use std::future::Future;
use std::pin::Pin;

use model::Spread;
use serde::Serialize;

use crate::scorer::ScorerState;

/// What the state queries say of a data type's model. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelState {
    /// The data type.
    pub data_type: String,
    /// The name of the current model.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its format.
    pub model_type: &'static str,
    /// Its version.
    pub version: String,
    /// The first eight bytes of its SHA-256, in hexadecimal.
    pub digest: String,
    /// Since when it has been the current one, ms since 1970.
    pub since: i64,
    /// How many records it has scored.
    pub usage: u64,
    /// The sum of scoring times.
    pub duration: f64,
    /// The mean scoring time.
    pub average: f64,
    /// The shortest scoring time.
    pub min: f64,
    /// The longest scoring time.
    pub max: f64,
    /// From submission to score.
    pub total: TotalState,
    /// The model that is staged, if one is.
    pub next: Option<NextState>,
}

/// Times from a record's submission to its score, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TotalState {
    /// The mean.
    pub average: f64,
    /// The shortest.
    pub min: f64,
    /// The longest.
    pub max: f64,
}

/// A staged model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextState {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl ModelState {
    pub(crate) fn of(state: &ScorerState) -> Self {
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

/// An answer that comes later.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks a strategy for its state, wherever that lives. `None`: the strategy does not answer.
pub trait StateQuery: Send + Sync {
    /// The states of all data types that have a model, in the order of their names.
    fn states(&self) -> Answer<Option<Vec<ModelState>>>;
}
