use crate::Forest;
use crate::layout::{ANY_OF, EQUAL, Flat, MISSING_NO, MISSING_STOP, ONE_OF};

/// How many walks go on side by side. Each waits for its own loads; eight hide that from the
/// processor, and their positions still fit its registers.
const LANES: usize = 8;

impl Forest {
    /// Walks all trees over one row and writes the leaf each of them answers, in their order.
    ///
    /// # Panics
    ///
    /// When `row` has fewer values than the forest has features, or `leaves` is not as long as
    /// there are trees.
    pub fn leaves(&self, row: &[f64], leaves: &mut [u32]) {
        let row = &row[..self.features];
        assert_eq!(leaves.len(), self.roots.len(), "one leaf per tree");
        let any_missing = row.iter().any(|value| value.is_nan());
        match (self.thresholds_only, any_missing) {
            (true, false) => self.trees_over_row::<false, false>(row, leaves),
            (true, true) => self.trees_over_row::<false, true>(row, leaves),
            (false, false) => self.trees_over_row::<true, false>(row, leaves),
            (false, true) => self.trees_over_row::<true, true>(row, leaves),
        }
    }

    /// Walks all trees over many rows: the trees one after the other, each over the rows eight at
    /// a time, so that a tree stays in the cache. `rows` holds the rows one behind the other.
    /// `leaves[tree * count + row]` is the leaf of a tree for a row, where `count` is the number
    /// of rows.
    ///
    /// # Panics
    ///
    /// When `rows` is not `count` rows long, or `leaves` not `count` times the number of trees.
    pub fn leaves_of_rows(&self, rows: &[f64], count: usize, leaves: &mut [u32]) {
        assert_eq!(rows.len(), count * self.features, "whole rows");
        assert_eq!(
            leaves.len(),
            count * self.roots.len(),
            "one leaf per tree and row"
        );
        if count == 0 {
            return;
        }
        let any_missing = rows.iter().any(|value| value.is_nan());
        for (&root, leaves) in self.roots.iter().zip(leaves.chunks_exact_mut(count)) {
            self.tree(root, any_missing, rows, leaves);
        }
    }

    /// Walks all trees over many rows, as [`Forest::leaves_of_rows`] does, and hands over the leaf
    /// of every row after each tree, so that there is memory for the leaves of one tree alone:
    /// `leaves`, a number for each row.
    ///
    /// # Panics
    ///
    /// When `rows` is not as many rows as `leaves` has numbers.
    pub fn each_tree(&self, rows: &[f64], leaves: &mut [u32], mut each: impl FnMut(&[u32])) {
        assert_eq!(rows.len(), leaves.len() * self.features, "whole rows");
        let any_missing = rows.iter().any(|value| value.is_nan());
        for &root in &self.roots {
            self.tree(root, any_missing, rows, leaves);
            each(leaves);
        }
    }

    fn tree(&self, root: u32, any_missing: bool, rows: &[f64], leaves: &mut [u32]) {
        match (self.thresholds_only, any_missing) {
            (true, false) => self.tree_over_rows::<false, false>(root, rows, leaves),
            (true, true) => self.tree_over_rows::<false, true>(root, rows, leaves),
            (false, false) => self.tree_over_rows::<true, false>(root, rows, leaves),
            (false, true) => self.tree_over_rows::<true, true>(root, rows, leaves),
        }
    }

    fn trees_over_row<const KINDS: bool, const MISSING: bool>(
        &self,
        row: &[f64],
        leaves: &mut [u32],
    ) {
        let (roots, leaves) = self.groups::<KINDS, MISSING, LANES>(&self.roots, row, leaves);
        // What is left over is walked in ever smaller groups, so that no lane idles.
        let (roots, leaves) = self.groups::<KINDS, MISSING, 4>(roots, row, leaves);
        let (roots, leaves) = self.groups::<KINDS, MISSING, 2>(roots, row, leaves);
        self.groups::<KINDS, MISSING, 1>(roots, row, leaves);
    }

    /// Walks as many whole groups of trees as there are, and answers what is left over.
    #[inline]
    fn groups<'r, 'l, const KINDS: bool, const MISSING: bool, const N: usize>(
        &self,
        roots: &'r [u32],
        row: &[f64],
        leaves: &'l mut [u32],
    ) -> (&'r [u32], &'l mut [u32]) {
        let (groups, rest) = roots.as_chunks::<N>();
        let (answers, rest_of_leaves) = leaves.as_chunks_mut::<N>();
        for (roots, leaves) in groups.iter().zip(answers) {
            let mut places = *roots;
            loop {
                let mut moved = false;
                for place in &mut places {
                    let next = self.step::<KINDS, MISSING>(*place, row);
                    moved |= next != *place;
                    *place = next;
                }
                if !moved {
                    break;
                }
            }
            *leaves = places.map(|place| self.answers[place as usize]);
        }
        (rest, rest_of_leaves)
    }

    fn tree_over_rows<const KINDS: bool, const MISSING: bool>(
        &self,
        root: u32,
        rows: &[f64],
        leaves: &mut [u32],
    ) {
        // A forest without features has trees that are leaves: any row will do.
        let width = self.features.max(1);
        let mut blocks = rows.chunks_exact(LANES * width);
        let mut done = 0;
        for block in &mut blocks {
            let mut places = [root; LANES];
            loop {
                let mut moved = false;
                for (place, row) in places.iter_mut().zip(block.chunks_exact(width)) {
                    let next = self.step::<KINDS, MISSING>(*place, row);
                    moved |= next != *place;
                    *place = next;
                }
                if !moved {
                    break;
                }
            }
            for (leaf, place) in leaves[done..].iter_mut().zip(places) {
                *leaf = self.answers[place as usize];
            }
            done += LANES;
        }
        let rest = blocks.remainder();
        for (index, leaf) in leaves[done..].iter_mut().enumerate() {
            let row = rest.get(index * width..).unwrap_or(&[]);
            let mut place = root;
            loop {
                let next = self.step::<KINDS, MISSING>(place, row);
                if next == place {
                    break;
                }
                place = next;
            }
            *leaf = self.answers[place as usize];
        }
    }

    /// The place after one step; the same place at the end of a walk.
    #[inline(always)]
    fn step<const KINDS: bool, const MISSING: bool>(&self, place: u32, row: &[f64]) -> u32 {
        let node = &self.nodes[place as usize];
        // Only a forest without features has rows without a value.
        let value = row.get(usize::from(node.feature)).copied().unwrap_or(0.0);
        if MISSING && value.is_nan() {
            return if node.flags & MISSING_STOP != 0 {
                place
            } else {
                node.child + u32::from(node.flags & MISSING_NO)
            };
        }
        let yes = if KINDS {
            self.holds(node, value)
        } else {
            value <= node.operand
        };
        node.child + u32::from(!yes)
    }

    #[inline]
    fn holds(&self, node: &Flat, value: f64) -> bool {
        if node.flags & ONE_OF != 0 {
            let packed = node.operand.to_bits();
            let (start, words) = ((packed >> 32) as usize, packed & u64::from(u32::MAX));
            // A value that is no natural number is no member; casting would round it to one.
            let member = value as u64;
            member as f64 == value
                && member / 64 < words
                && self.sets[start + (member / 64) as usize] >> (member % 64) & 1 == 1
        } else if node.flags & ANY_OF != 0 {
            let packed = node.operand.to_bits();
            let (start, words) = ((packed >> 32) as usize, packed & u64::from(u32::MAX));
            let members = &self.sets[start..start + words as usize];
            // Both zeros are the same number, which the order of bits does not know.
            let value = value + 0.0;
            members
                .binary_search_by(|member| (f64::from_bits(*member) + 0.0).total_cmp(&value))
                .is_ok()
        } else if node.flags & EQUAL != 0 {
            value == node.operand
        } else {
            value <= node.operand
        }
    }
}
