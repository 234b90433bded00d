//! From the nodes of a file to trees.

use forest::{Forest, Missing, Node, Test, Tree};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{TractResult, bail, ensure, format_err};

/// What is asked about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
    Member,
}

/// A node or a leaf by its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Branch {
    Node(usize),
    Leaf(u32),
}

/// A node of a file that is no leaf.
#[derive(Debug, Clone)]
pub(super) struct Split {
    pub(super) feature: usize,
    pub(super) mode: Mode,
    pub(super) value: f64,
    /// Of a node that asks for membership, the members.
    pub(super) members: Vec<f64>,
    /// Whether a missing value answers yes; otherwise it is compared like any.
    pub(super) missing_is_yes: bool,
    pub(super) yes: Branch,
    pub(super) no: Branch,
}

/// Sets of small natural numbers are a bit for each; a set whose largest is beyond is searched.
const LARGEST_BIT: f64 = 4096.0;

/// Nodes that are laid out, at most, beside twice those of the file: converters let several nodes
/// share a branch, which is repeated then, and a circle would be repeated for ever.
const SPARE_NODES: usize = 1 << 16;

/// Lays out the trees that begin at `roots`.
pub(super) fn grow(splits: &[Split], roots: &[Branch]) -> TractResult<Arc<Forest>> {
    ensure!(!roots.is_empty(), "no trees");
    let features = splits.iter().map(|split| split.feature + 1).max();
    let mut left = 2 * (splits.len() + roots.len()) + SPARE_NODES;
    let trees: Vec<Tree> = roots
        .iter()
        .map(|root| tree(splits, *root, &mut left))
        .collect::<TractResult<_>>()?;
    let forest = Forest::new(features.unwrap_or(0), &trees)
        .map_err(|cause| format_err!("the trees cannot be laid out: {cause}"))?;
    Ok(Arc::new(forest))
}

fn tree(splits: &[Split], root: Branch, left: &mut usize) -> TractResult<Tree> {
    let mut nodes = Vec::new();
    // What each node of the tree is; those that are not looked at yet are at the end.
    let mut branches = vec![root];
    while let Some(branch) = branches.get(nodes.len()).copied() {
        *left = left
            .checked_sub(1)
            .ok_or_else(|| format_err!("a tree is no tree, or shares too many branches"))?;
        let place = branches.len();
        nodes.push(match branch {
            Branch::Leaf(leaf) => Node::Leaf(leaf),
            Branch::Node(position) => {
                let split = splits
                    .get(position)
                    .ok_or_else(|| format_err!("there is no node {position}"))?;
                let (test, no) = question(splits, split);
                let mut kids = [split.yes, no];
                let swapped = matches!(test, Question::Swapped(_));
                if swapped {
                    kids.reverse();
                }
                branches.extend(kids);
                let (Question::Plain(test) | Question::Swapped(test)) = test;
                // Comparisons with a value that is none are false, and its inequality true.
                let yes = split.missing_is_yes || split.mode == Mode::Unequal;
                let missing = if yes == swapped {
                    Missing::No
                } else {
                    Missing::Yes
                };
                Node::Split {
                    feature: split.feature,
                    test,
                    missing,
                    yes: place,
                    no: place + 1,
                }
            }
        });
    }
    Ok(Tree::new(nodes))
}

enum Question {
    Plain(Test),
    /// The opposite is asked: yes and no change places.
    Swapped(Test),
}

/// What a node asks, and where to go when the answer is no.
fn question(splits: &[Split], split: &Split) -> (Question, Branch) {
    use Question::{Plain, Swapped};
    let value = split.value;
    let question = match split.mode {
        Mode::AtMost => Plain(Test::AtMost(value)),
        Mode::Below => Plain(Test::below(value)),
        // No value compares with NaN, so that the opposite of a comparison is none.
        Mode::AtLeast | Mode::Above if value.is_nan() => Plain(Test::AtMost(value)),
        Mode::AtLeast => Swapped(Test::below(value)),
        Mode::Above => Swapped(Test::AtMost(value)),
        Mode::Unequal => Swapped(Test::Equal(value)),
        Mode::Member => Plain(set(&split.members)),
        Mode::Equal => return chain(splits, split),
    };
    (question, split.no)
}

/// Converters write membership as a chain of nodes that ask for equality and share a branch.
fn chain(splits: &[Split], first: &Split) -> (Question, Branch) {
    let mut members = vec![first.value];
    let mut no = first.no;
    while let Branch::Node(position) = no
        && let Some(next) = splits.get(position)
        && next.mode == Mode::Equal
        && next.feature == first.feature
        && next.missing_is_yes == first.missing_is_yes
        && next.yes == first.yes
        && members.len() < splits.len()
    {
        members.push(next.value);
        no = next.no;
    }
    let test = match *members {
        [value] => Test::Equal(value),
        _ => set(&members),
    };
    (Question::Plain(test), no)
}

fn set(members: &[f64]) -> Test {
    let bit = |member: &f64| {
        let natural = *member >= 0.0 && *member <= LARGEST_BIT && member.fract() == 0.0;
        natural.then_some(*member as u32)
    };
    members
        .iter()
        .map(bit)
        .collect::<Option<Vec<u32>>>()
        .map_or_else(|| Test::AnyOf(members.to_vec()), Test::OneOf)
}

/// A number of a file as a position below `limit`.
pub(super) fn position(what: &str, number: i64, limit: usize) -> TractResult<usize> {
    match usize::try_from(number) {
        Ok(position) if position < limit => Ok(position),
        _ => bail!("{what} {number}, of {limit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Branch, Mode, Split, grow};

    fn split(mode: Mode, value: f64, yes: Branch, no: Branch) -> Split {
        Split {
            feature: 0,
            mode,
            value,
            members: Vec::new(),
            missing_is_yes: false,
            yes,
            no,
        }
    }

    fn leaf(splits: &[Split], value: f64) -> u32 {
        let forest = grow(splits, &[Branch::Node(0)]).unwrap();
        let mut leaves = [9];
        forest.leaves(&[value], &mut leaves);
        leaves[0]
    }

    #[test]
    fn a_circle_is_refused() {
        let circle = [
            split(Mode::AtMost, 0.0, Branch::Node(1), Branch::Leaf(0)),
            split(Mode::Below, 1.0, Branch::Leaf(1), Branch::Node(0)),
        ];
        assert!(grow(&circle, &[Branch::Node(0)]).is_err());
        let itself = [split(Mode::Equal, 0.0, Branch::Leaf(0), Branch::Node(0))];
        assert!(grow(&itself, &[Branch::Node(0)]).is_err());
        assert!(grow(&itself, &[Branch::Node(1)]).is_err());
        assert!(grow(&itself, &[]).is_err());
    }

    /// Branches that are shared at every level double what has to be laid out.
    #[test]
    fn a_few_nodes_do_not_become_a_large_tree() {
        let level = |at: usize| {
            let next = if at < 40 {
                Branch::Node(at + 1)
            } else {
                Branch::Leaf(0)
            };
            split(Mode::AtMost, at as f64, next, next)
        };
        let splits: Vec<Split> = (0..=40).map(level).collect();
        assert!(grow(&splits, &[Branch::Node(0)]).is_err());
        assert_eq!(
            leaf(
                &splits[39..=40]
                    .iter()
                    .map(|s| {
                        let mut split = s.clone();
                        if let Branch::Node(_) = split.yes {
                            (split.yes, split.no) = (Branch::Node(1), Branch::Node(1));
                        }
                        split
                    })
                    .collect::<Vec<_>>(),
                3.0
            ),
            0
        );
    }

    #[test]
    fn a_chain_of_equalities_is_a_set() {
        let (yes, no) = (Branch::Leaf(1), Branch::Leaf(0));
        for values in [[3.0, 70.0, 5.0], [0.5, -3.0, 1e9]] {
            let chain = [
                split(Mode::Equal, values[0], yes, Branch::Node(1)),
                split(Mode::Equal, values[1], yes, Branch::Node(2)),
                split(Mode::Equal, values[2], yes, no),
            ];
            let forest = grow(&chain, &[Branch::Node(0)]).unwrap();
            assert_eq!(forest.nodes(), 3);
            for value in values {
                assert_eq!(leaf(&chain, value), 1);
            }
            for value in [4.0, -0.5, f64::NAN] {
                assert_eq!(leaf(&chain, value), 0);
            }
        }
    }

    #[test]
    fn no_number_compares_with_a_threshold_that_is_none() {
        for (mode, expected) in [
            (Mode::AtMost, 0),
            (Mode::Below, 0),
            (Mode::AtLeast, 0),
            (Mode::Above, 0),
            (Mode::Equal, 0),
            (Mode::Unequal, 1),
        ] {
            let tree = [split(mode, f64::NAN, Branch::Leaf(1), Branch::Leaf(0))];
            for value in [1.0, f64::NAN] {
                assert_eq!(leaf(&tree, value), expected, "{mode:?} of {value}");
            }
        }
    }
}
