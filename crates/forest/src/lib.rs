//! Compiled tree ensembles: layout and walk.
//!
//! A [`Forest`] holds any number of binary decision trees in one flat array of 16-byte nodes.
//! The two children of a node lie side by side, and a tree is laid out breadth-first, so that a
//! step is a load, a comparison and an addition, and the top of every tree shares few cache lines.
//! A row is a slice of `f64`, one per feature; `NaN` is a missing value. A walk answers, for every
//! tree, the *leaf* it ended in: a number the caller chose when it built the tree, with which it
//! looks up scores, votes or distributions of its own. [`Scores`] does that for the common case,
//! a sum over the trees in their order.
//!
//! Nothing here knows a file format: `pmml` and `tensor` translate their documents to [`Tree`]s.
//!
//! ```
//! use forest::{Forest, Missing, Node, Test, Tree};
//!
//! let tree = Tree::new(vec![
//!     Node::Split { feature: 0, test: Test::AtMost(2.5), missing: Missing::No, yes: 1, no: 2 },
//!     Node::Leaf(7),
//!     Node::Leaf(8),
//! ]);
//! let forest = Forest::new(1, &[tree])?;
//! let mut leaves = [0];
//! forest.leaves(&[2.5], &mut leaves);
//! assert_eq!(leaves, [7]);
//! forest.leaves(&[f64::NAN], &mut leaves);
//! assert_eq!(leaves, [8]);
//! # Ok::<(), forest::Error>(())
//! ```

mod layout;
mod scores;
mod tree;
mod walk;

pub use layout::Forest;
pub use scores::Scores;
pub use tree::{Missing, Node, Test, Tree};

/// Why a forest could not be laid out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tree without a node.
    #[error("tree {tree} has no node")]
    Empty {
        /// Position of the tree.
        tree: usize,
    },
    /// A node names a child that does not exist, or one that is already another node's child.
    #[error("node {node} of tree {tree} is not the root of a tree: {child} is no free node")]
    NotATree {
        /// Position of the tree.
        tree: usize,
        /// Position of the parent in the tree.
        node: usize,
        /// The child it names.
        child: usize,
    },
    /// A node tests a feature that rows do not have.
    #[error("node {node} of tree {tree} tests feature {feature}, rows have {features}")]
    UnknownFeature {
        /// Position of the tree.
        tree: usize,
        /// Position of the node in the tree.
        node: usize,
        /// The feature it names.
        feature: usize,
        /// The number of features.
        features: usize,
    },
    /// More features, nodes or set members than the layout can number.
    #[error("the forest is too large: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}
