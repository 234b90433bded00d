use crate::{Error, Missing, Node, Test, Tree};

/// A node as it is walked: 16 bytes, four to a cache line.
///
/// The child for *yes* is at `child`, the one for *no* just behind it. A leaf is its own child and
/// holds a test that every value passes, so a walk that has ended stays where it is, and rows or
/// trees can be walked side by side without asking which of them are done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flat {
    /// The threshold, the number to compare with, or the position and length of a set.
    pub(crate) operand: f64,
    pub(crate) child: u32,
    pub(crate) feature: u16,
    pub(crate) flags: u16,
}

/// Where a missing value goes: two bits.
pub(crate) const MISSING_NO: u16 = 1;
pub(crate) const MISSING_STOP: u16 = 2;
/// What the operand is: a threshold unless one of these is set.
pub(crate) const EQUAL: u16 = 4;
pub(crate) const ONE_OF: u16 = 8;
pub(crate) const ANY_OF: u16 = 16;

/// Decision trees in one flat array, ready to be walked. Immutable, and shared between threads.
///
/// See the crate's documentation for the layout.
#[derive(Clone, Debug)]
pub struct Forest {
    pub(crate) nodes: Box<[Flat]>,
    /// For every node the number a walk that ends there answers.
    pub(crate) answers: Box<[u32]>,
    pub(crate) roots: Box<[u32]>,
    /// The bits of all sets, each set starting at a word of its own; of a set of any numbers, these
    /// numbers in ascending order.
    pub(crate) sets: Box<[u64]>,
    pub(crate) features: usize,
    /// Whether every test is a threshold.
    pub(crate) thresholds_only: bool,
}

impl Forest {
    /// The most features a forest can tell apart.
    pub const MAX_FEATURES: usize = u16::MAX as usize;
    const MAX_NODES: usize = (u32::MAX >> 1) as usize;
    /// Members of sets are small numbers: a set is a bit per number up to its largest.
    const MAX_MEMBER: usize = 1 << 20;

    /// Lays out trees over rows of `features` values.
    ///
    /// # Errors
    ///
    /// When a tree is empty or not a tree, tests a feature that rows do not have, or when there is
    /// too much of something to be numbered.
    pub fn new(features: usize, trees: &[Tree]) -> Result<Self, Error> {
        if features > Self::MAX_FEATURES {
            return Err(Error::TooLarge {
                what: "features",
                limit: Self::MAX_FEATURES,
            });
        }
        let mut layout = Layout {
            features,
            ..Layout::default()
        };
        for (position, tree) in trees.iter().enumerate() {
            layout.add(position, tree)?;
        }
        Ok(Self {
            nodes: layout.nodes.into(),
            answers: layout.answers.into(),
            roots: layout.roots.into(),
            sets: layout.sets.into(),
            features,
            thresholds_only: layout.thresholds_only,
        })
    }

    /// The number of values in a row.
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of trees.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    /// The number of nodes of all trees.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }
}

struct Layout {
    nodes: Vec<Flat>,
    answers: Vec<u32>,
    roots: Vec<u32>,
    sets: Vec<u64>,
    features: usize,
    thresholds_only: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            answers: Vec::new(),
            roots: Vec::new(),
            sets: Vec::new(),
            features: 0,
            thresholds_only: true,
        }
    }
}

impl Layout {
    fn add(&mut self, position: usize, tree: &Tree) -> Result<(), Error> {
        if tree.nodes.is_empty() {
            return Err(Error::Empty { tree: position });
        }
        let mut taken = vec![false; tree.nodes.len()];
        if let Some(root) = taken.first_mut() {
            *root = true;
        }
        let root = self.reserve(1)?;
        self.roots.push(root);
        // Breadth-first: `queue` holds a node of the tree and the place kept for it.
        let mut queue = std::collections::VecDeque::from([(0, root)]);
        while let Some((from, place)) = queue.pop_front() {
            let Some(node) = tree.nodes.get(from) else {
                continue;
            };
            let (flat, answer) = match node {
                Node::Leaf(answer) => (leaf(place), *answer),
                Node::Split {
                    feature,
                    test,
                    missing,
                    yes,
                    no,
                } => {
                    if *feature >= self.features {
                        return Err(Error::UnknownFeature {
                            tree: position,
                            node: from,
                            feature: *feature,
                            features: self.features,
                        });
                    }
                    let child = self.reserve(2)?;
                    for (branch, place) in [(*yes, child), (*no, child + 1)] {
                        match taken.get_mut(branch) {
                            Some(taken) if !*taken => *taken = true,
                            _ => {
                                return Err(Error::NotATree {
                                    tree: position,
                                    node: from,
                                    child: branch,
                                });
                            }
                        }
                        queue.push_back((branch, place));
                    }
                    self.split(*feature, test, *missing, child)?
                }
            };
            let place = place as usize;
            if let (Some(node), Some(slot)) =
                (self.nodes.get_mut(place), self.answers.get_mut(place))
            {
                *node = flat;
                *slot = answer;
            }
        }
        Ok(())
    }

    /// Keeps room for sibling nodes and answers the place of the first.
    fn reserve(&mut self, count: usize) -> Result<u32, Error> {
        let limit = Forest::MAX_NODES;
        if self.nodes.len() + count > limit {
            return Err(Error::TooLarge {
                what: "nodes",
                limit,
            });
        }
        let place = self.nodes.len() as u32;
        self.nodes.resize(self.nodes.len() + count, leaf(place));
        self.answers.resize(self.nodes.len(), 0);
        Ok(place)
    }

    fn split(
        &mut self,
        feature: usize,
        test: &Test,
        missing: Missing,
        child: u32,
    ) -> Result<(Flat, u32), Error> {
        let (operand, kind) = match test {
            Test::AtMost(threshold) => (*threshold, 0),
            Test::Equal(value) => (*value, EQUAL),
            Test::OneOf(members) => (self.set(members)?, ONE_OF),
            Test::AnyOf(members) => (self.numbers(members)?, ANY_OF),
        };
        self.thresholds_only &= kind == 0;
        let (missing, answer) = match missing {
            Missing::Yes => (0, 0),
            Missing::No => (MISSING_NO, 0),
            Missing::Stop(answer) => (MISSING_STOP, answer),
        };
        Ok((
            Flat {
                operand,
                child,
                feature: feature as u16,
                flags: kind | missing,
            },
            answer,
        ))
    }

    /// Stores a set and answers its position and length in words, packed into a number's bits.
    fn set(&mut self, members: &[u32]) -> Result<f64, Error> {
        let words = match members.iter().max() {
            Some(&largest) if largest as usize > Forest::MAX_MEMBER => {
                return Err(Error::TooLarge {
                    what: "categories",
                    limit: Forest::MAX_MEMBER,
                });
            }
            Some(&largest) => largest as usize / 64 + 1,
            None => 0,
        };
        let start = self.words(words)?;
        for &member in members {
            if let Some(word) = self.sets.get_mut(start + member as usize / 64) {
                *word |= 1 << (member % 64);
            }
        }
        Ok(packed(start, words))
    }

    /// Stores numbers in ascending order and answers where, as [`Layout::set`] does.
    fn numbers(&mut self, members: &[f64]) -> Result<f64, Error> {
        let mut members: Vec<f64> = members.iter().copied().filter(|m| !m.is_nan()).collect();
        members.sort_by(f64::total_cmp);
        let start = self.words(members.len())?;
        for (word, member) in self.sets.iter_mut().skip(start).zip(&members) {
            *word = member.to_bits();
        }
        Ok(packed(start, members.len()))
    }

    /// Keeps room for words of a set and answers the place of the first.
    fn words(&mut self, count: usize) -> Result<usize, Error> {
        let start = self.sets.len();
        let limit = u32::MAX as usize;
        if start + count > limit {
            return Err(Error::TooLarge {
                what: "words of sets",
                limit,
            });
        }
        self.sets.resize(start + count, 0);
        Ok(start)
    }
}

fn packed(start: usize, words: usize) -> f64 {
    f64::from_bits((start as u64) << 32 | words as u64)
}

fn leaf(place: u32) -> Flat {
    Flat {
        operand: f64::INFINITY,
        child: place,
        feature: 0,
        flags: 0,
    }
}
