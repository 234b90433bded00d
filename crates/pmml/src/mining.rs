//! `MiningModel` (PMML 4.4, Multiple Models): compiling and choosing segments.

use crate::aggregate::{self, Method, MissingPrediction};
use crate::compile::Compiler;
use crate::document::Element;
use crate::ensemble_forest::EnsembleForest;
use crate::outcome::Outcome;
use crate::predicate::Predicate;
use crate::program::{Frame, Program};
use crate::unit::{Class, Context, MiningFunction, Standing, Unit, is_model};
use crate::{Error, ScoreError};

#[derive(Debug)]
pub(crate) struct Mining {
    pub(crate) combination: Combination,
    pub(crate) segments: Vec<Segment>,
    missing: MissingPrediction,
    threshold: f64,
    function: MiningFunction,
    precision: crate::value::Precision,
    pub(crate) forest: Option<Box<EnsembleForest>>,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) predicate: Predicate,
    pub(crate) weight: f64,
    pub(crate) unit: Unit,
}

/// How the segments make one prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combination {
    Aggregate(Method),
    SelectFirst,
    Chain,
}

impl<'a> Compiler<'a> {
    pub(crate) fn mining(&mut self, context: Context<'a>) -> Result<Mining, Error> {
        let model = context.element;
        if let Some(embedded) = ["Regression", "DecisionTree"]
            .into_iter()
            .find_map(|name| model.first(name))
        {
            return Err(embedded.refused());
        }
        let segmentation = model.required_child("Segmentation")?;
        if let Some(local) = segmentation.first("LocalTransformations") {
            return Err(local.refused());
        }
        let combination = combination(segmentation, context.function)?;
        let missing = match (
            segmentation.attribute("missingPredictionTreatment"),
            combination,
        ) {
            (None | Some("continue"), _) => MissingPrediction::Continue,
            (Some("returnMissing"), _) => MissingPrediction::ReturnMissing,
            (Some("skipSegment"), Combination::Aggregate(_) | Combination::SelectFirst) => {
                MissingPrediction::SkipSegment
            }
            _ => return Err(segmentation.refused_value("missingPredictionTreatment")),
        };
        let threshold = segmentation.number("missingThreshold")?.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(segmentation.invalid("`missingThreshold` is not between 0 and 1"));
        }
        let mut segments = Vec::new();
        for element in segmentation.all("Segment") {
            segments.push(self.segment(element, context, combination)?);
        }
        match (segments.last(), combination) {
            (None, _) => return Err(segmentation.invalid("`Segmentation` without a segment")),
            (Some(last), Combination::Chain) if last.unit.function != context.function => {
                return Err(segmentation.invalid("the last segment has another `functionName`"));
            }
            _ => {}
        }
        let mut mining = Mining {
            combination,
            segments,
            missing,
            threshold,
            function: context.function,
            precision: context.precision,
            forest: None,
        };
        mining.forest = EnsembleForest::of(&mining, context, self).map(Box::new);
        if mining.forest.is_none() {
            for segment in &mut mining.segments {
                if let Class::Tree(tree) = &mut segment.unit.class {
                    tree.flatten(self);
                }
            }
        }
        Ok(mining)
    }

    fn segment(
        &mut self,
        element: Element<'a>,
        context: Context<'a>,
        combination: Combination,
    ) -> Result<Segment, Error> {
        let predicate = self.predicate_in(element, context.scope)?;
        let weight = element.number("weight")?.unwrap_or(1.0);
        if weight < 0.0 || weight.is_nan() {
            return Err(element.invalid("a segment's `weight` is below zero"));
        }
        if let Some(variable) = element.first("VariableWeight") {
            return Err(variable.refused());
        }
        let model = element
            .children()
            .find(|child| is_model(*child))
            .ok_or_else(|| element.invalid("`Segment` without a model"))?;
        let chained = combination == Combination::Chain;
        // The models of a chain may predict different things.
        let shared = !chained || self.same_target(model, context);
        let unit = self.unit(
            model,
            Standing::Segment {
                scope: context.scope,
                categories: shared.then_some(context.categories),
                chained,
                reported: chained || combination == Combination::SelectFirst,
            },
        )?;
        if !chained && unit.function != context.function {
            return Err(model.invalid("a segment of another `functionName`"));
        }
        Ok(Segment {
            predicate,
            weight,
            unit,
        })
    }

    fn same_target(&self, model: Element<'a>, context: Context<'a>) -> bool {
        let target = model.first("MiningSchema").and_then(|schema| {
            schema
                .all("MiningField")
                .filter(|field| {
                    matches!(
                        crate::schema::usage(*field),
                        Ok(crate::schema::Usage::Target)
                    )
                })
                .find_map(|field| field.attribute("name"))
        });
        model.attribute("functionName") == Some("classification")
            && context.function == MiningFunction::Classification
            && target == context.target
    }
}

fn combination(element: Element<'_>, function: MiningFunction) -> Result<Combination, Error> {
    use MiningFunction::{Classification, Regression};
    Ok(Combination::Aggregate(
        match (element.required("multipleModelMethod")?, function) {
            ("selectFirst", _) => return Ok(Combination::SelectFirst),
            ("modelChain", _) => return Ok(Combination::Chain),
            ("average", _) => Method::Average { weighted: false },
            ("weightedAverage", _) => Method::Average { weighted: true },
            ("median", _) => Method::Median,
            ("weightedMedian", Regression) => Method::WeightedMedian,
            ("sum", Regression) => Method::Sum { weighted: false },
            ("weightedSum" | "x-weightedSum", Regression) => Method::Sum { weighted: true },
            ("max", Classification) => Method::Max,
            ("majorityVote", Classification) => Method::Vote { weighted: false },
            ("weightedMajorityVote", Classification) => Method::Vote { weighted: true },
            _ => return Err(element.refused_value("multipleModelMethod")),
        },
    ))
}

impl Mining {
    /// The combined prediction. True if it is final: the prediction of one segment, to which that
    /// segment's own targets have been applied.
    pub(crate) fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        classes: usize,
        outcome: &mut Outcome,
    ) -> Result<bool, ScoreError> {
        if let Some(forest) = &self.forest
            && forest.evaluate(program, frame, outcome)
        {
            return Ok(false);
        }
        match self.combination {
            Combination::Aggregate(method) => {
                self.aggregate(method, program, frame, classes, outcome)?;
                Ok(false)
            }
            Combination::SelectFirst => self.select_first(program, frame, outcome),
            Combination::Chain => self.chain(program, frame, outcome),
        }
    }

    fn aggregate(
        &self,
        method: Method,
        program: &Program,
        frame: &mut Frame,
        classes: usize,
        outcome: &mut Outcome,
    ) -> Result<(), ScoreError> {
        let mut votes = frame.spare_votes.pop().unwrap_or_default();
        let mut result = Ok(());
        let mut null = false;
        for segment in &self.segments {
            match segment.chosen(program, frame) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            match segment.unit.evaluate(program, frame) {
                Ok(vote) => {
                    null |= !vote.known && self.missing == MissingPrediction::ReturnMissing;
                    votes.push((vote, segment.weight));
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            if null {
                break;
            }
        }
        if result.is_ok() && !null && !votes.is_empty() {
            let rules = aggregate::Rules {
                method,
                missing: self.missing,
                threshold: self.threshold,
                precision: self.precision,
            };
            result = match self.function {
                MiningFunction::Regression => rules.numbers(&votes, outcome),
                MiningFunction::Classification => rules.categories(&votes, classes, outcome),
            };
        }
        for (vote, _) in votes.drain(..) {
            frame.recycle(vote);
        }
        frame.spare_votes.push(votes);
        result
    }

    fn select_first(
        &self,
        program: &Program,
        frame: &mut Frame,
        outcome: &mut Outcome,
    ) -> Result<bool, ScoreError> {
        for (number, segment) in self.segments.iter().enumerate() {
            if !segment.chosen(program, frame)? {
                continue;
            }
            let mut found = segment.unit.evaluate(program, frame)?;
            let known = found.known;
            if !known && self.missing == MissingPrediction::SkipSegment {
                frame.recycle(found);
                continue;
            }
            segment.unit.give_outputs(program, frame, &found)?;
            found.via.push(number as u32);
            frame.recycle(std::mem::replace(outcome, found));
            // Nothing chosen and no prediction returned as missing are the same: the default.
            return Ok(known || self.missing != MissingPrediction::ReturnMissing);
        }
        Ok(false)
    }

    fn chain(
        &self,
        program: &Program,
        frame: &mut Frame,
        outcome: &mut Outcome,
    ) -> Result<bool, ScoreError> {
        let mut last = None;
        for (number, segment) in self.segments.iter().enumerate() {
            if !segment.chosen(program, frame)? {
                continue;
            }
            let mut found = segment.unit.evaluate(program, frame)?;
            segment.unit.give_outputs(program, frame, &found)?;
            let known = found.known;
            found.via.push(number as u32);
            frame.recycle(std::mem::replace(outcome, found));
            last = Some(segment.unit.function);
            if !known && self.missing == MissingPrediction::ReturnMissing {
                outcome.clear();
                return Ok(false);
            }
        }
        match last {
            None => Ok(false),
            Some(function) if function == self.function => Ok(true),
            Some(_) => Err(ScoreError::Undefined {
                function: "modelChain",
                arguments: "a record whose last segment predicts something else".to_owned(),
            }),
        }
    }
}

impl Segment {
    pub(crate) fn chosen(&self, program: &Program, frame: &mut Frame) -> Result<bool, ScoreError> {
        Ok(self.predicate.evaluate(program, frame)? == Some(true))
    }
}
