use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use model::{Evaluator, Record, Score, ScoreError, Statistics};

use crate::ServedModel;
use crate::clock;

/// What became of a record.
#[derive(Debug)]
pub enum Outcome {
    /// It was scored.
    Scored {
        /// The score.
        score: Score,
        /// By this model.
        model: Arc<ServedModel>,
        /// At this time, microseconds since 1970.
        scored_us: i64,
        /// In this time, nanoseconds; records scored together share theirs equally.
        scoring_ns: u64,
    },
    /// Its data type has no model.
    NoModel,
    /// The model could not score it.
    Failed(ScoreError),
}

/// The heart: the current model of a data type, the next one, and what scoring with them took.
///
/// It does no I/O. A staged model becomes current between two records: at the next call of
/// [`score`](Self::score), never inside one. Whoever stages while nothing is current makes it
/// current at once.
#[derive(Default)]
pub struct Scorer {
    current: Option<Current>,
    next: Option<Arc<ServedModel>>,
    results: Vec<Result<Score, ScoreError>>,
}

/// The current model, in the hands of this thread.
struct Current {
    model: Arc<ServedModel>,
    evaluator: Box<dyn Evaluator>,
    since_us: i64,
    statistics: Statistics,
}

impl Current {
    fn new(model: Arc<ServedModel>) -> Self {
        Self {
            evaluator: model.model.evaluator(),
            model,
            since_us: clock::now_us(),
            statistics: Statistics::default(),
        }
    }
}

impl Current {
    /// Scores, and takes a panic of the model's code for what it is to the stream: scores that
    /// failed. The evaluator may be left in any state then, so another one takes its place.
    fn score(&mut self, records: &[&Record], results: &mut Vec<Result<Score, ScoreError>>) {
        let evaluator = &mut self.evaluator;
        let scored = catch_unwind(AssertUnwindSafe(|| {
            evaluator.score_batch(records, &mut *results);
        }));
        if scored.is_err() || results.len() != records.len() {
            self.evaluator = self.model.model.evaluator();
            results.clear();
            results.extend(records.iter().map(|_| Err(ScoreError::Panicked)));
        }
    }
}

/// What a scorer can say of itself.
#[derive(Clone, Debug)]
pub struct ScorerState {
    /// The current model.
    pub model: Arc<ServedModel>,
    /// Since when, microseconds since 1970.
    pub since_us: i64,
    /// How it has done.
    pub statistics: Statistics,
    /// The staged model, if there is one.
    pub next: Option<Arc<ServedModel>>,
}

impl Scorer {
    /// Makes `model` the next one. A model that was staged before and never scored is replaced.
    pub fn stage(&mut self, model: Arc<ServedModel>) {
        if self.current.is_none() {
            self.current = Some(Current::new(model));
        } else {
            self.next = Some(model);
        }
    }

    /// Whether there is a model to score with.
    #[must_use]
    pub fn has_model(&self) -> bool {
        self.current.is_some()
    }

    /// Scores records with one model, in order; `outcomes` is cleared and gets one for each.
    pub fn score(&mut self, records: &[&Record], outcomes: &mut Vec<Outcome>) {
        outcomes.clear();
        if records.is_empty() {
            return;
        }
        if let Some(next) = self.next.take() {
            self.current = Some(Current::new(next));
        }
        let Some(current) = &mut self.current else {
            outcomes.extend(records.iter().map(|_| Outcome::NoModel));
            return;
        };
        let started = Instant::now();
        current.score(records, &mut self.results);
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let scoring_ns = took / records.len() as u64;
        let scored_us = clock::now_us();
        for (record, result) in records.iter().zip(self.results.drain(..)) {
            outcomes.push(match result {
                Ok(score) => {
                    let submitted_us = record.submitted_us.unwrap_or(scored_us);
                    // Clocks of other machines may run ahead of ours.
                    let total_us = scored_us.saturating_sub(submitted_us).max(0).unsigned_abs();
                    current
                        .statistics
                        .add(scoring_ns, total_us.saturating_mul(1000));
                    let model = Arc::clone(&current.model);
                    Outcome::Scored {
                        score,
                        model,
                        scored_us,
                        scoring_ns,
                    }
                }
                Err(error) => Outcome::Failed(error),
            });
        }
    }

    /// The current model and how it has done; nothing before the first model.
    #[must_use]
    pub fn state(&self) -> Option<ScorerState> {
        self.current.as_ref().map(|current| ScorerState {
            model: Arc::clone(&current.model),
            since_us: current.since_us,
            statistics: current.statistics,
            next: self.next.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{Descriptor, Detail, ModelRegistry, Value};
    use protobufs::ModelDescriptor;
    use protobufs::model_descriptor::{MessageContent, ModelType};

    use super::*;

    /// A model that predicts `intercept + alcohol`.
    fn model(name: &str, intercept: f64) -> Arc<ServedModel> {
        let document = format!(
            r#"<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>
            <DataDictionary><DataField name="alcohol" optype="continuous" dataType="double"/>
            <DataField name="y" optype="continuous" dataType="double"/></DataDictionary>
            <RegressionModel functionName="regression"><MiningSchema><MiningField name="alcohol"/>
            <MiningField name="y" usageType="target"/></MiningSchema>
            <RegressionTable intercept="{intercept}">
            <NumericPredictor name="alcohol" coefficient="1"/></RegressionTable>
            </RegressionModel></PMML>"#
        );
        let message = ModelDescriptor {
            name: name.to_owned(),
            data_type: "wine".to_owned(),
            modeltype: ModelType::Pmml.into(),
            message_content: Some(MessageContent::Data(Bytes::from(document))),
            ..ModelDescriptor::default()
        };
        let descriptor = Descriptor::from_message(message, 0).unwrap();
        let decoder = model::decoder("wine").unwrap();
        let model = ModelRegistry::default()
            .create(&descriptor, decoder.schema(), Detail::Value)
            .unwrap();
        Arc::new(ServedModel::new(descriptor, model))
    }

    fn record(alcohol: f64) -> Record {
        let mut values = vec![Value::Number(0.0); 11];
        values[10] = Value::Number(alcohol);
        Record {
            data_type: "wine".into(),
            submitted_us: Some(1),
            values,
        }
    }

    fn names(outcomes: &[Outcome]) -> Vec<String> {
        let name = |outcome: &Outcome| match outcome {
            Outcome::Scored { model, score, .. } => {
                format!(
                    "{} {}",
                    model.descriptor.name,
                    score.value.unwrap_or(f64::NAN)
                )
            }
            Outcome::NoModel => "no model".to_owned(),
            Outcome::Failed(_) => "failed".to_owned(),
        };
        outcomes.iter().map(name).collect()
    }

    #[test]
    fn a_staged_model_takes_over_between_two_calls() {
        let mut scorer = Scorer::default();
        let mut outcomes = Vec::new();
        let (one, two) = (record(1.0), record(2.0));
        scorer.score(&[&one], &mut outcomes);
        assert_eq!(names(&outcomes), ["no model"]);
        scorer.stage(model("a", 10.0));
        scorer.score(&[&one, &two], &mut outcomes);
        assert_eq!(names(&outcomes), ["a 11", "a 12"]);
        scorer.stage(model("b", 20.0));
        let state = scorer.state().unwrap();
        assert_eq!(&*state.model.descriptor.name, "a");
        assert_eq!(&*state.next.unwrap().descriptor.name, "b");
        // A batch of nothing is no record: the model that serves still does.
        scorer.score(&[], &mut outcomes);
        assert_eq!(&*scorer.state().unwrap().model.descriptor.name, "a");
        scorer.stage(model("c", 30.0));
        scorer.score(&[&one], &mut outcomes);
        assert_eq!(names(&outcomes), ["c 31"]);
        assert!(scorer.state().unwrap().next.is_none());
    }

    #[test]
    fn a_failed_score_is_an_outcome_and_is_not_counted() {
        let mut scorer = Scorer::default();
        scorer.stage(model("a", 0.0));
        let mut outcomes = Vec::new();
        scorer.score(
            &[&record(1.0), &record(f64::NAN), &record(3.0)],
            &mut outcomes,
        );
        assert_eq!(names(&outcomes), ["a 1", "failed", "a 3"]);
        let state = scorer.state().unwrap();
        assert_eq!(
            (state.statistics.scoring.count, state.statistics.total.count),
            (2, 2)
        );
        assert!(state.statistics.scoring.min <= state.statistics.scoring.max);
        assert!(state.since_us > 1_600_000_000_000_000);
    }

    #[test]
    fn statistics_start_anew_with_each_model() {
        let mut scorer = Scorer::default();
        let mut outcomes = Vec::new();
        scorer.stage(model("a", 0.0));
        scorer.score(&[&record(1.0)], &mut outcomes);
        scorer.stage(model("b", 0.0));
        scorer.score(&[&record(1.0), &record(1.0)], &mut outcomes);
        assert_eq!(scorer.state().unwrap().statistics.scoring.count, 2);
    }
}
