/// A decision tree as its builder sees it: nodes that name their children by position.
/// The root is the first node. Only nodes that can be reached from it are laid out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    pub(crate) nodes: Vec<Node>,
}

impl Tree {
    /// A tree of these nodes; the first one is the root.
    #[must_use]
    pub fn new(nodes: Vec<Node>) -> Self {
        Self { nodes }
    }

    /// The nodes, root first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// A node of a [`Tree`].
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// The walk ends here, with this number.
    Leaf(u32),
    /// The walk goes on with `yes` or `no`.
    Split {
        /// Position of the tested value in a row.
        feature: usize,
        /// What is asked about it.
        test: Test,
        /// Where to go when it is missing.
        missing: Missing,
        /// The node to go to when the answer is yes.
        yes: usize,
        /// The node to go to when the answer is no.
        no: usize,
    },
}

/// A question about one value that is not missing.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `value <= threshold`; never true for a threshold that is `NaN`.
    AtMost(f64),
    /// `value == other`.
    Equal(f64),
    /// The value, a small natural number such as the position of a category in a list, is one of
    /// these.
    OneOf(Vec<u32>),
    /// The value is one of these numbers, whatever they are.
    AnyOf(Vec<f64>),
}

impl Test {
    /// `value < threshold` as a question this crate has: `value <= the number just below`.
    #[must_use]
    pub fn below(threshold: f64) -> Self {
        // `next_down` of zero is the smallest negative number, which both zeros exceed.
        Self::AtMost(if threshold == f64::NEG_INFINITY {
            f64::NAN
        } else {
            threshold.next_down()
        })
    }

    /// The answer for one value that is not missing.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        match self {
            Self::AtMost(threshold) => value <= *threshold,
            Self::Equal(other) => value == *other,
            Self::OneOf(members) => members.iter().any(|&member| f64::from(member) == value),
            Self::AnyOf(members) => members.contains(&value),
        }
    }
}

/// Where a walk goes from a node whose value is missing (`NaN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// As if the answer were yes.
    Yes,
    /// As if the answer were no.
    No,
    /// The walk ends at this node, with this number.
    Stop(u32),
}
