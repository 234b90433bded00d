//! `TreeModel` (PMML 4.4, Tree Models).

use crate::category::Categories;
use crate::compile::Compiler;
use crate::document::Element;
use crate::flat::Flattened;
use crate::outcome::Outcome;
use crate::predicate::{Predicate, is_predicate};
use crate::program::{Frame, Program};
use crate::value::Precision;
use crate::{Error, ScoreError};

/// A tree as its document has it, and flat if it can be.
#[derive(Debug)]
pub(crate) struct Tree {
    /// In document order, root first.
    pub(crate) nodes: Vec<Node>,
    /// The categories and probabilities of all score distributions.
    entries: Vec<(u32, f64)>,
    /// The confidences, where a distribution gives them.
    confidences: Vec<Option<f64>>,
    /// What every missing value on the way multiplies confidences by.
    penalty: f64,
    pub(crate) missing: MissingStrategy,
    /// Whether a node none of whose children is true answers its own score.
    pub(crate) stays: bool,
    flat: Option<Box<Flattened>>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) predicate: Predicate,
    pub(crate) children: Vec<u32>,
    pub(crate) default: Option<u32>,
    pub(crate) score: Option<Score>,
    /// Where its distribution is among the entries.
    distribution: std::ops::Range<usize>,
    pub(crate) id: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Score {
    Number(f64),
    Category(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingStrategy {
    /// An unknown predicate is not true.
    NotTrue,
    LastPrediction,
    NullPrediction,
    DefaultChild,
}

impl<'a> Compiler<'a> {
    /// Compiles a tree. `categories` are those of a classification.
    pub(crate) fn tree(
        &mut self,
        model: Element<'a>,
        scope: usize,
        precision: Precision,
        mut categories: Option<&mut Categories>,
    ) -> Result<Tree, Error> {
        let missing = match model.attribute("missingValueStrategy") {
            None | Some("none") => MissingStrategy::NotTrue,
            Some("lastPrediction") => MissingStrategy::LastPrediction,
            Some("nullPrediction") => MissingStrategy::NullPrediction,
            Some("defaultChild") => MissingStrategy::DefaultChild,
            Some(_) => return Err(model.refused_value("missingValueStrategy")),
        };
        let stays = match model.attribute("noTrueChildStrategy") {
            None | Some("returnNullPrediction") => false,
            Some("returnLastPrediction") => true,
            Some(_) => return Err(model.refused_value("noTrueChildStrategy")),
        };
        let mut tree = Tree {
            nodes: Vec::new(),
            entries: Vec::new(),
            confidences: Vec::new(),
            penalty: model.number("missingValuePenalty")?.unwrap_or(1.0),
            missing,
            stays,
            flat: None,
        };
        // Trees are as deep as they are: no recursion. The parent of a node is known when it is
        // taken off the stack, so children are appended in document order.
        let mut pending = vec![(model.required_child("Node")?, None)];
        let mut defaults = Vec::new();
        while let Some((element, parent)) = pending.pop() {
            let number = tree.nodes.len() as u32;
            let node = self.node(
                element,
                scope,
                precision,
                categories.as_deref_mut(),
                &mut tree,
            )?;
            tree.nodes.push(node);
            if let Some(parent) = parent {
                let parent: &mut Node = &mut tree.nodes[parent as usize];
                parent.children.push(number);
            }
            if let Some(child) = element.attribute("defaultChild") {
                defaults.push((element, number, child));
            }
            let first = pending.len();
            for child in element.children() {
                match child.name() {
                    "Node" => pending.push((child, Some(number))),
                    "ScoreDistribution" | "Partition" => {}
                    _ if is_predicate(child) => {}
                    _ => return Err(child.refused()),
                }
            }
            pending[first..].reverse();
        }
        for (element, number, id) in defaults {
            let found = tree.nodes[number as usize]
                .children
                .iter()
                .copied()
                .find(|&child| tree.nodes[child as usize].id.as_deref() == Some(id));
            if found.is_none() && missing == MissingStrategy::DefaultChild {
                return Err(element.invalid(format!("no child has the id `{id}`")));
            }
            tree.nodes[number as usize].default = found;
        }
        Ok(tree)
    }

    fn node(
        &mut self,
        element: Element<'a>,
        scope: usize,
        precision: Precision,
        categories: Option<&mut Categories>,
        tree: &mut Tree,
    ) -> Result<Node, Error> {
        let predicate = self.predicate_in(element, scope)?;
        let start = tree.entries.len();
        let score = match (element.attribute("score"), categories) {
            (None, None) => None,
            (Some(text), None) => {
                Some(Score::Number(precision.parse(text).ok_or_else(|| {
                    element.invalid(format!("`score` is `{text}`, not a number"))
                })?))
            }
            (text, Some(categories)) => {
                let mut category = |text| {
                    categories.number(text, &mut self.symbols).ok_or_else(|| {
                        element.invalid(format!("`{text}` is no value of the target"))
                    })
                };
                let score = text.map(&mut category).transpose()?.map(Score::Category);
                let mut by_probability = false;
                for (place, entry) in element.all("ScoreDistribution").enumerate() {
                    if place == 0 {
                        by_probability = entry.attribute("probability").is_some();
                    }
                    let value = entry.required_number(if by_probability {
                        "probability"
                    } else {
                        "recordCount"
                    })?;
                    if value < 0.0 || value.is_nan() || by_probability && value > 1.0 {
                        return Err(entry.invalid("a score distribution below 0 or above 1"));
                    }
                    tree.entries
                        .push((category(entry.required("value")?)?, precision.round(value)));
                }
                for entry in element.all("ScoreDistribution") {
                    tree.confidences.push(entry.number("confidence")?);
                }
                normalize(&mut tree.entries[start..], precision)
                    .ok_or_else(|| element.invalid("a score distribution that is all zero"))?;
                score
            }
        };
        Ok(Node {
            predicate,
            children: Vec::new(),
            default: None,
            score,
            distribution: start..tree.entries.len(),
            id: element.attribute("id").map(Into::into),
        })
    }
}

/// Divides a distribution by its sum.
fn normalize(entries: &mut [(u32, f64)], precision: Precision) -> Option<()> {
    let sum = entries
        .iter()
        .fold(0.0, |sum, entry| precision.round(sum + entry.1));
    if entries.is_empty() || sum == 1.0 {
        return Some(());
    }
    if sum == 0.0 || !sum.is_finite() {
        return None;
    }
    for entry in entries {
        entry.1 = precision.round(entry.1 / sum);
    }
    Some(())
}

impl Tree {
    /// Brings the tree into flat form, if it is not part of a forest.
    pub(crate) fn flatten(&mut self, compiler: &Compiler<'_>) {
        // The flat form does not count the missing values it meets.
        let counts = self.penalty != 1.0 && self.confidences.iter().any(Option::is_some);
        if !counts {
            self.flat = Flattened::of(self, compiler).map(Box::new);
        }
    }

    /// The tree's answer: the node it ends in, or none for a null prediction.
    pub(crate) fn evaluate(
        &self,
        program: &Program,
        frame: &mut Frame,
        classes: usize,
        outcome: &mut Outcome,
    ) -> Result<(), ScoreError> {
        let node = match &self.flat {
            // A value that is in error may not be reached: only the tree itself can tell.
            Some(flat) => match flat.walk(program, frame) {
                Ok(node) => node,
                Err(_) => self.walk(program, frame, outcome)?,
            },
            None => self.walk(program, frame, outcome)?,
        };
        if let Some(number) = node {
            self.answer(number, classes, outcome)?;
        }
        Ok(())
    }

    /// Walks the tree as the document has it.
    fn walk(
        &self,
        program: &Program,
        frame: &mut Frame,
        outcome: &mut Outcome,
    ) -> Result<Option<u32>, ScoreError> {
        let mut at = 0;
        let levels = &mut outcome.missing_levels;
        if self.nodes[0]
            .predicate
            .evaluate_or_surrogate(program, frame, levels)?
            != Some(true)
        {
            return Ok(None);
        }
        'down: loop {
            let node = &self.nodes[at as usize];
            if node.children.is_empty() {
                return Ok(Some(at));
            }
            for &child in &node.children {
                match self.nodes[child as usize]
                    .predicate
                    .evaluate_or_surrogate(program, frame, levels)?
                {
                    Some(true) => {
                        at = child;
                        continue 'down;
                    }
                    Some(false) => {}
                    None => match self.missing {
                        MissingStrategy::NotTrue => {}
                        MissingStrategy::NullPrediction => return Ok(None),
                        MissingStrategy::LastPrediction => return Ok(Some(at)),
                        MissingStrategy::DefaultChild => {
                            *levels += 1;
                            at = node.default.ok_or_else(|| self.no_score(at))?;
                            continue 'down;
                        }
                    },
                }
            }
            return Ok(self.no_true_child(at));
        }
    }

    /// What a node answers none of whose children is true.
    pub(crate) fn no_true_child(&self, node: u32) -> Option<u32> {
        (self.stays && self.nodes[node as usize].score.is_some()).then_some(node)
    }

    /// Writes down what ending in a node means.
    pub(crate) fn answer(
        &self,
        number: u32,
        classes: usize,
        outcome: &mut Outcome,
    ) -> Result<(), ScoreError> {
        let node = &self.nodes[number as usize];
        match node.score.ok_or_else(|| self.no_score(number))? {
            Score::Number(value) => outcome.value = value,
            Score::Category(category) => outcome.label = category,
        }
        outcome.known = true;
        outcome.entity = Some(number);
        let entries = &self.entries[node.distribution.clone()];
        if !entries.is_empty() {
            outcome.probabilities.resize(classes, 0.0);
            for &(category, probability) in entries {
                outcome.put(category, probability);
            }
        }
        Ok(())
    }

    /// The confidence of a category in the node that an outcome ended in.
    pub(crate) fn confidence(&self, outcome: &Outcome, category: u32) -> Option<f64> {
        let node = &self.nodes[outcome.entity? as usize];
        let range = node.distribution.clone();
        let place = self.entries[range.clone()]
            .iter()
            .position(|entry| entry.0 == category)?;
        let confidence = self.confidences[range.start + place]?;
        Some(confidence * self.penalty.powi(outcome.missing_levels))
    }

    fn no_score(&self, number: u32) -> ScoreError {
        ScoreError::NoScore {
            node: self.name(number),
        }
    }

    /// The name of a node: its id, or its number from 1.
    pub(crate) fn name(&self, number: u32) -> String {
        let node = &self.nodes[number as usize];
        node.id
            .as_deref()
            .map_or_else(|| (number + 1).to_string(), str::to_owned)
    }
}
