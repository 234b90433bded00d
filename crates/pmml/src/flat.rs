//! Trees as `forest` walks them.

use std::collections::HashMap;

use forest::{Forest, Missing, Test};

use crate::compile::Compiler;
use crate::predicate::{Operator, Predicate};
use crate::program::{Frame, Given, Program, Slot, Source};
use crate::symbol::Symbol;
use crate::tree::{MissingStrategy, Tree};
use crate::value::{Precision, Value};
use crate::{DataType, ScoreError};

/// The leaf of a null prediction.
pub(crate) const NULL: u32 = u32::MAX;

/// The fields that trees read, as the columns of a row of numbers.
#[derive(Debug, Default)]
pub(crate) struct Features {
    columns: Vec<Column>,
    places: HashMap<Slot, usize>,
}

#[derive(Debug)]
struct Column {
    slot: Slot,
    /// The record's own value, if the schema leaves it as it is.
    input: Option<(usize, Precision)>,
    /// The numbers of the texts that the trees mention: small ones, for small sets.
    texts: HashMap<Symbol, u32>,
}

impl Features {
    fn place(&mut self, slot: Slot, compiler: &Compiler<'_>) -> usize {
        *self.places.entry(slot).or_insert_with(|| {
            let input = match &compiler.sources[slot.0 as usize] {
                Source::Input { input, rule } => rule.plain().map(|precision| (*input, precision)),
                _ => None,
            };
            self.columns.push(Column {
                slot,
                input,
                texts: HashMap::new(),
            });
            self.columns.len() - 1
        })
    }

    fn text(&mut self, place: usize, symbol: Symbol) -> u32 {
        let texts = &mut self.columns[place].texts;
        let next = texts.len() as u32;
        *texts.entry(symbol).or_insert(next)
    }

    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Appends a record's values to rows, if they are all numbers that the schema leaves as they
    /// are, and the record has no others.
    #[inline]
    pub(crate) fn read_plain(&self, frame: &Frame, rows: &mut Vec<f64>) -> bool {
        if self.columns.len() != frame.inputs.len() {
            return false;
        }
        for column in &self.columns {
            let Some((input, precision)) = column.input else {
                return false;
            };
            match frame.inputs[input] {
                Given::Number(number) if !number.is_nan() => rows.push(precision.round(number)),
                _ => return false,
            }
        }
        true
    }

    /// Appends a record's values to rows: missing ones as `NaN`, texts as their numbers.
    pub(crate) fn read(
        &self,
        program: &Program,
        frame: &mut Frame,
        rows: &mut Vec<f64>,
    ) -> Result<(), ScoreError> {
        for column in &self.columns {
            if let Some((input, precision)) = column.input
                && let Given::Number(number) = frame.inputs[input]
                && !number.is_nan()
            {
                rows.push(precision.round(number));
                continue;
            }
            rows.push(match program.value(frame, column.slot)? {
                Value::Double(number) if !number.is_nan() => number,
                Value::Missing => f64::NAN,
                // No set has a member below zero.
                Value::Text(symbol) => column.texts.get(&symbol).map_or(-1.0, |&n| f64::from(n)),
                value => match value.number() {
                    Some(number) if !number.is_nan() => number,
                    // `NaN`, let in by a schema, lies above all numbers.
                    _ => f64::INFINITY,
                },
            });
        }
        Ok(())
    }
}

/// A single tree in flat form; its leaves are numbers of nodes.
#[derive(Debug)]
pub(crate) struct Flattened {
    forest: Forest,
    features: Features,
}

impl Flattened {
    /// A tree in flat form, if that form can express it.
    pub(crate) fn of(tree: &Tree, compiler: &Compiler<'_>) -> Option<Self> {
        let mut features = Features::default();
        let tree = flatten(tree, &mut features, compiler)?;
        let forest = Forest::new(features.len(), std::slice::from_ref(&tree)).ok()?;
        Some(Self { forest, features })
    }

    /// The node a record ends in; none for a null prediction.
    pub(crate) fn walk(
        &self,
        program: &Program,
        frame: &mut Frame,
    ) -> Result<Option<u32>, ScoreError> {
        let mut row = std::mem::take(&mut frame.walks.features);
        row.clear();
        let read = self.features.read(program, frame, &mut row);
        let leaf = read.map(|()| {
            let mut leaf = [NULL];
            self.forest.leaves(&row, &mut leaf);
            (leaf[0] != NULL).then_some(leaf[0])
        });
        frame.walks.features = row;
        leaf
    }
}

/// One question of the flat form; `yes` is the answer that makes the predicate true.
struct Question {
    feature: usize,
    test: Test,
    yes: bool,
    /// The answer of a missing value, if that is not unknown.
    missing: Option<bool>,
}

/// The flat form of a tree, with the numbers of nodes as leaves.
pub(crate) fn flatten(
    tree: &Tree,
    features: &mut Features,
    compiler: &Compiler<'_>,
) -> Option<forest::Tree> {
    if tree.nodes.first()?.predicate != Predicate::Constant(true) {
        return None;
    }
    let mut flat = vec![forest::Node::Leaf(NULL)];
    // A node of the document, the first of its children still to be asked, and the place where
    // that becomes a node of the flat tree.
    let mut pending = vec![(0_u32, 0_usize, 0_usize)];
    while let Some((number, first, place)) = pending.pop() {
        let node = &tree.nodes[number as usize];
        let scored = |number: u32| tree.nodes[number as usize].score.is_some();
        if node.children.is_empty() {
            // A walk that ends here is an error, which the flat form does not have.
            if !scored(number) {
                return None;
            }
            flat[place] = forest::Node::Leaf(number);
            continue;
        }
        let no_true_child = tree.no_true_child(number).unwrap_or(NULL);
        let Some(&child) = node.children.get(first) else {
            flat[place] = forest::Node::Leaf(no_true_child);
            continue;
        };
        let question = match &tree.nodes[child as usize].predicate {
            Predicate::Constant(true) => {
                pending.push((child, 0, place));
                continue;
            }
            Predicate::Constant(false) => {
                pending.push((number, first + 1, place));
                continue;
            }
            predicate => question(predicate, features, compiler)?,
        };
        let next = node.children.get(first + 1).copied();
        // The last two children often are the two answers to one question.
        let other = next.filter(|&next| {
            first + 2 == node.children.len()
                && complement(
                    &tree.nodes[child as usize].predicate,
                    &tree.nodes[next as usize].predicate,
                )
        });
        let missing = match (question.missing, tree.missing) {
            (Some(true), _) => Missing::Yes,
            (Some(false), _) => Missing::No,
            (None, MissingStrategy::NullPrediction) => Missing::Stop(NULL),
            (None, MissingStrategy::LastPrediction) if !scored(number) => return None,
            (None, MissingStrategy::LastPrediction) => Missing::Stop(number),
            (None, MissingStrategy::NotTrue) if other.is_some() => Missing::Stop(no_true_child),
            (None, MissingStrategy::NotTrue) => toward(false, question.yes),
            (None, MissingStrategy::DefaultChild) => {
                let default = node.default?;
                if default == child {
                    toward(true, question.yes)
                } else if other == Some(default)
                    || all_ask(
                        tree,
                        &node.children[first + 1..],
                        default,
                        question.feature,
                        features,
                    )
                {
                    toward(false, question.yes)
                } else {
                    return None;
                }
            }
        };
        let (yes, no) = (flat.len(), flat.len() + 1);
        flat.extend([forest::Node::Leaf(NULL), forest::Node::Leaf(NULL)]);
        let (on_true, on_false) = if question.yes { (yes, no) } else { (no, yes) };
        let Question { feature, test, .. } = question;
        flat[place] = forest::Node::Split {
            feature,
            test,
            missing,
            yes,
            no,
        };
        pending.push((child, 0, on_true));
        pending.push(match other {
            Some(other) => (other, 0, on_false),
            None => (number, first + 1, on_false),
        });
    }
    Some(forest::Tree::new(flat))
}

/// The branch on which the predicate counts as `answer`.
fn toward(answer: bool, yes: bool) -> Missing {
    if answer == yes {
        Missing::Yes
    } else {
        Missing::No
    }
}

/// Whether a missing value of a feature leads from these children to the default one: they ask
/// about nothing else, and so does it, or it asks nothing.
fn all_ask(
    tree: &Tree,
    children: &[u32],
    default: u32,
    feature: usize,
    features: &Features,
) -> bool {
    for &child in children {
        let same = match &tree.nodes[child as usize].predicate {
            Predicate::Compare { slot, .. } | Predicate::Set { slot, .. } => {
                features.places.get(slot) == Some(&feature)
            }
            Predicate::Constant(true) => return child == default,
            _ => false,
        };
        if !same {
            return false;
        }
        if child == default {
            return true;
        }
    }
    false
}

fn question(
    predicate: &Predicate,
    features: &mut Features,
    compiler: &Compiler<'_>,
) -> Option<Question> {
    match predicate {
        Predicate::Missing { slot, wanted } => {
            let feature = features.place(*slot, compiler);
            // Not true of any value; of a missing one, the answer is yes.
            Some(Question {
                feature,
                test: Test::AtMost(f64::NAN),
                yes: *wanted,
                missing: Some(true),
            })
        }
        Predicate::Compare {
            slot,
            operator,
            value,
        } => {
            let data_type = compiler.info(*slot).data_type?;
            let feature = features.place(*slot, compiler);
            let (test, yes) = match (*value, operator) {
                (Value::Text(symbol), Operator::Equal | Operator::NotEqual)
                    if data_type == DataType::String =>
                {
                    let number = features.text(feature, symbol);
                    (Test::Equal(f64::from(number)), *operator == Operator::Equal)
                }
                (Value::Text(_) | Value::Missing, _) => return None,
                (value, _) if data_type != DataType::String => {
                    let number = value.number().filter(|number| number.is_finite())?;
                    match operator {
                        Operator::Equal => (Test::Equal(number), true),
                        Operator::NotEqual => (Test::Equal(number), false),
                        Operator::LessOrEqual => (Test::AtMost(number), true),
                        Operator::Greater => (Test::AtMost(number), false),
                        Operator::Less => (Test::below(number), true),
                        Operator::GreaterOrEqual => (Test::below(number), false),
                    }
                }
                _ => return None,
            };
            Some(Question {
                feature,
                test,
                yes,
                missing: None,
            })
        }
        Predicate::Set {
            slot,
            members,
            wanted,
        } => {
            let data_type = compiler.info(*slot).data_type?;
            let feature = features.place(*slot, compiler);
            let test = match members[..] {
                [Value::Text(symbol)] => Test::Equal(f64::from(features.text(feature, symbol))),
                _ if data_type == DataType::String => {
                    let mut numbers = Vec::with_capacity(members.len());
                    for member in members {
                        let Value::Text(symbol) = member else {
                            return None;
                        };
                        numbers.push(features.text(feature, *symbol));
                    }
                    Test::OneOf(numbers)
                }
                [member] => Test::Equal(member.number().filter(|number| number.is_finite())?),
                _ => return None,
            };
            Some(Question {
                feature,
                test,
                yes: *wanted,
                missing: None,
            })
        }
        Predicate::Constant(_) | Predicate::Compound { .. } => None,
    }
}

/// Whether exactly one of two predicates is true of every value.
fn complement(left: &Predicate, right: &Predicate) -> bool {
    match (left, right) {
        (
            Predicate::Compare {
                slot,
                operator,
                value,
            },
            Predicate::Compare {
                slot: other,
                operator: opposite,
                value: same,
            },
        ) => {
            slot == other
                && value == same
                && matches!(
                    (operator, opposite),
                    (Operator::Equal, Operator::NotEqual)
                        | (Operator::NotEqual, Operator::Equal)
                        | (Operator::Less, Operator::GreaterOrEqual)
                        | (Operator::GreaterOrEqual, Operator::Less)
                        | (Operator::LessOrEqual, Operator::Greater)
                        | (Operator::Greater, Operator::LessOrEqual)
                )
        }
        (
            Predicate::Set {
                slot,
                members,
                wanted,
            },
            Predicate::Set {
                slot: other,
                members: same,
                wanted: opposite,
            },
        ) => slot == other && members == same && wanted != opposite,
        _ => false,
    }
}
