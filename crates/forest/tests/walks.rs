//! Every way to walk a forest answers what a plain recursive reading of its trees answers.

use forest::{Forest, Missing, Node, Scores, Test, Tree};
use proptest::prelude::*;

const FEATURES: usize = 3;

/// The reference: the tree read as it is written.
fn reading(tree: &Tree, row: &[f64]) -> u32 {
    let mut at = 0;
    loop {
        match &tree.nodes()[at] {
            Node::Leaf(answer) => return *answer,
            Node::Split {
                feature,
                test,
                missing,
                yes,
                no,
            } => {
                let value = row[*feature];
                at = match (value.is_nan(), missing) {
                    (true, Missing::Yes) => *yes,
                    (true, Missing::No) => *no,
                    (true, Missing::Stop(answer)) => return *answer,
                    (false, _) if test.holds(value) => *yes,
                    (false, _) => *no,
                };
            }
        }
    }
}

/// Few distinct numbers, so that equality, thresholds and sets are met from both sides.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-2..70_i32).prop_map(f64::from),
        Just(0.5),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::from_bits(1)),
    ]
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![4 => number(), 1 => Just(f64::NAN)]
}

fn test(kinds: bool) -> BoxedStrategy<Test> {
    if kinds {
        prop_oneof![
            number().prop_map(Test::AtMost),
            number().prop_map(Test::below),
            number().prop_map(Test::Equal),
            prop::collection::vec(0..70_u32, 0..5).prop_map(Test::OneOf),
            prop::collection::vec(number(), 0..5).prop_map(Test::AnyOf),
        ]
        .boxed()
    } else {
        prop_oneof![
            number().prop_map(Test::AtMost),
            number().prop_map(Test::below)
        ]
        .boxed()
    }
}

fn missing() -> impl Strategy<Value = Missing> {
    prop_oneof![
        Just(Missing::Yes),
        Just(Missing::No),
        any::<u32>().prop_map(Missing::Stop)
    ]
}

/// A tree grown by splitting leaves: each step names the leaf to split.
fn tree(kinds: bool) -> impl Strategy<Value = Tree> {
    let step = (
        any::<prop::sample::Index>(),
        0..FEATURES,
        test(kinds),
        missing(),
    );
    (
        any::<u32>(),
        prop::collection::vec((step, any::<u32>(), any::<u32>()), 0..24),
    )
        .prop_map(|(root, steps)| {
            let mut nodes = vec![Node::Leaf(root)];
            let mut leaves = vec![0];
            for ((leaf, feature, test, missing), left, right) in steps {
                let at = leaves.swap_remove(leaf.index(leaves.len()));
                let (yes, no) = (nodes.len(), nodes.len() + 1);
                nodes.extend([Node::Leaf(left), Node::Leaf(right)]);
                leaves.extend([yes, no]);
                nodes[at] = Node::Split {
                    feature,
                    test,
                    missing,
                    yes,
                    no,
                };
            }
            Tree::new(nodes)
        })
}

proptest! {
    #[test]
    fn single_and_batch_walks_answer_what_the_trees_say(
        (trees, rows) in any::<bool>().prop_flat_map(|kinds| (
            prop::collection::vec(tree(kinds), 0..20),
            prop::collection::vec(prop::collection::vec(value(), FEATURES), 0..20),
        )),
    ) {
        let forest = Forest::new(FEATURES, &trees).unwrap();
        let flat: Vec<f64> = rows.concat();
        let mut batch = vec![0; rows.len() * trees.len()];
        forest.leaves_of_rows(&flat, rows.len(), &mut batch);
        for (index, row) in rows.iter().enumerate() {
            let expected: Vec<u32> = trees.iter().map(|tree| reading(tree, row)).collect();
            let mut single = vec![0; trees.len()];
            forest.leaves(row, &mut single);
            prop_assert_eq!(&single, &expected);
            let batch: Vec<u32> =
                (0..trees.len()).map(|tree| batch[tree * rows.len() + index]).collect();
            prop_assert_eq!(&batch, &expected);
        }
        let mut trees_seen = Vec::new();
        forest.each_tree(&flat, &mut vec![0; rows.len()], |leaves| trees_seen.extend_from_slice(leaves));
        prop_assert_eq!(&trees_seen, &batch);
    }

    #[test]
    fn below_is_strictly_less(value in number(), threshold in number()) {
        prop_assert_eq!(Test::below(threshold).holds(value), value < threshold);
    }
}

#[test]
fn a_forest_of_leaves_needs_no_features() {
    let trees: Vec<Tree> = (0..3)
        .map(|leaf| Tree::new(vec![Node::Leaf(leaf)]))
        .collect();
    let forest = Forest::new(0, &trees).unwrap();
    let mut leaves = [9; 3];
    forest.leaves(&[], &mut leaves);
    assert_eq!(leaves, [0, 1, 2]);
    let mut leaves = [9; 6];
    forest.leaves_of_rows(&[], 2, &mut leaves);
    assert_eq!(leaves, [0, 0, 1, 1, 2, 2]);
}

#[test]
fn what_is_not_a_tree_is_refused() {
    let split = |feature, yes, no| Node::Split {
        feature,
        test: Test::AtMost(0.0),
        missing: Missing::Yes,
        yes,
        no,
    };
    let refused = |nodes| Forest::new(1, &[Tree::new(nodes)]).unwrap_err().to_string();
    assert_eq!(refused(vec![]), "tree 0 has no node");
    // A node that is its own child would be walked for ever.
    assert!(refused(vec![split(0, 0, 1), Node::Leaf(0)]).contains("0 is no free node"));
    assert!(refused(vec![split(0, 1, 1), Node::Leaf(0)]).contains("1 is no free node"));
    assert!(refused(vec![split(0, 1, 2), Node::Leaf(0)]).contains("2 is no free node"));
    assert!(refused(vec![split(1, 1, 2), Node::Leaf(0), Node::Leaf(0)]).contains("feature 1"));
}

#[test]
fn sums_follow_the_order_of_the_trees() {
    for width in [1, 2, 3, 6, 8, 9, 17] {
        let mut scores = Scores::new(width);
        for value in [1e16, 1.0, -1e16] {
            scores.push(&vec![value; width]);
        }
        let sum = |leaves: &[u32]| {
            let mut sums = vec![0.0; scores.stride()];
            for leaf in leaves {
                scores.add(*leaf, &mut sums);
            }
            sums.truncate(width);
            sums
        };
        assert_eq!(sum(&[0, 1, 2]), vec![0.0; width]);
        assert_eq!(sum(&[0, 2, 1]), vec![1.0; width]);
        assert_eq!(
            sum(&[1, 3, u32::MAX]),
            vec![1.0; width],
            "leaves that are not there"
        );
        assert_eq!(scores.of(1), vec![1.0; width]);
    }
}

#[test]
fn a_tree_as_deep_as_it_has_nodes_is_walked() {
    let mut nodes = Vec::new();
    for level in 0..100_000 {
        nodes.push(Node::Split {
            feature: 0,
            test: Test::AtMost(f64::from(level)),
            missing: Missing::No,
            yes: nodes.len() + 1,
            no: nodes.len() + 2,
        });
        nodes.push(Node::Leaf(level as u32));
    }
    nodes.push(Node::Leaf(u32::MAX));
    let forest = Forest::new(1, &[Tree::new(nodes)]).unwrap();
    let mut leaf = [0];
    forest.leaves(&[99_999.0], &mut leaf);
    assert_eq!(leaf, [99_999]);
    forest.leaves(&[f64::NAN], &mut leaf);
    assert_eq!(leaf, [u32::MAX]);
}
