use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use model::{Evaluator, Record, Score, ScoreError, Statistics};

use crate::{ModelState, ServedModel, clock, state};

/// What a model says of records that were scored together.
#[derive(Debug)]
pub struct Scored {
    /// The model.
    pub model: Arc<ServedModel>,
    /// When, microseconds since 1970.
    pub scored_us: i64,
    /// In what time each, nanoseconds: records that are scored together share theirs equally.
    pub scoring_ns: u64,
    /// What it says of each record, in order.
    pub scores: Vec<Result<Score, ScoreError>>,
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

impl Scored {
    /// These scores, made now, each in `scoring_ns` nanoseconds.
    #[must_use]
    pub fn now(
        model: Arc<ServedModel>,
        scoring_ns: u64,
        scores: Vec<Result<Score, ScoreError>>,
    ) -> Self {
        Self {
            model,
            scored_us: clock::now_us(),
            scoring_ns,
            scores,
        }
    }
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

    /// Scores records with one model, in order. Nothing: there is no model.
    pub fn score(&mut self, records: &[&Record]) -> Option<Scored> {
        if !records.is_empty()
            && let Some(next) = self.next.take()
        {
            self.current = Some(Current::new(next));
        }
        let current = self.current.as_mut()?;
        let mut scores = Vec::with_capacity(records.len());
        let started = Instant::now();
        current.score(records, &mut scores);
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let scoring_ns = took.checked_div(records.len() as u64).unwrap_or_default();
        let scored_us = clock::now_us();
        let scored = Scored {
            model: Arc::clone(&current.model),
            scored_us,
            scoring_ns,
            scores,
        };
        let records = records.iter().copied();
        state::count(&mut current.statistics, records, &scored);
        Some(scored)
    }

    /// The current model and how it has done; nothing before the first model.
    #[must_use]
    pub fn state(&self) -> Option<ModelState> {
        self.current.as_ref().map(|current| ModelState {
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
        Arc::new(ServedModel::new(descriptor, model, 0))
    }

    fn record(alcohol: f64) -> Record {
        let mut values = vec![Value::Number(0.0); 11];
        values[10] = Value::Number(alcohol);
        Record {
            data_type: "wine".into(),
            submitted_us: Some(1),
            values,
            ..Record::default()
        }
    }

    fn says(scorer: &mut Scorer, records: &[&Record]) -> Vec<String> {
        let Some(scored) = scorer.score(records) else {
            return vec!["no model".to_owned()];
        };
        let name = &scored.model.descriptor.name;
        let scores = scored.scores.iter().map(|score| match score {
            Ok(score) => format!("{name} {}", score.value.unwrap_or(f64::NAN)),
            Err(_) => "failed".to_owned(),
        });
        scores.collect()
    }

    #[test]
    fn a_staged_model_takes_over_between_two_calls() {
        let mut scorer = Scorer::default();
        let (one, two) = (record(1.0), record(2.0));
        assert_eq!(says(&mut scorer, &[&one]), ["no model"]);
        scorer.stage(model("a", 10.0));
        assert_eq!(says(&mut scorer, &[&one, &two]), ["a 11", "a 12"]);
        scorer.stage(model("b", 20.0));
        let state = scorer.state().unwrap();
        assert_eq!(&*state.model.descriptor.name, "a");
        assert_eq!(&*state.next.unwrap().descriptor.name, "b");
        // A batch of nothing is no record: the model that serves still does.
        assert_eq!(says(&mut scorer, &[]), [""; 0]);
        assert_eq!(&*scorer.state().unwrap().model.descriptor.name, "a");
        scorer.stage(model("c", 30.0));
        assert_eq!(says(&mut scorer, &[&one]), ["c 31"]);
        assert!(scorer.state().unwrap().next.is_none());
    }

    #[test]
    fn a_failed_score_is_not_counted() {
        let mut scorer = Scorer::default();
        scorer.stage(model("a", 0.0));
        let records = [record(1.0), record(f64::NAN), record(3.0)];
        let records: Vec<_> = records.iter().collect();
        assert_eq!(says(&mut scorer, &records), ["a 1", "failed", "a 3"]);
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
        scorer.stage(model("a", 0.0));
        says(&mut scorer, &[&record(1.0)]);
        scorer.stage(model("b", 0.0));
        says(&mut scorer, &[&record(1.0), &record(1.0)]);
        assert_eq!(scorer.state().unwrap().statistics.scoring.count, 2);
    }
}
