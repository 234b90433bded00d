//! The attributes of tree ensembles, in both of their forms.

use super::super::attributes::Attributes;
use super::growth::{Branch, Mode, Split, grow, position};
use super::sums::Aggregate;
use super::{Ensemble, Transform};
use forest::Forest;
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{TractResult, bail, ensure, format_err};

/// `TreeEnsembleRegressor`.
pub(super) fn regressor(attributes: Attributes<'_>) -> TractResult<Ensemble> {
    let targets = position("n_targets", attributes.int("n_targets", 0)?, MOST_TARGETS)?;
    let aggregate = Aggregate::named(&attributes.text("aggregate_function", "SUM")?)?;
    let ensemble = by_tree(attributes, "target", targets, aggregate)?;
    let bases = ensemble.base.len();
    ensure!(
        bases == 0 || bases == targets,
        "{bases} base_values of {targets} targets"
    );
    Ok(ensemble)
}

/// `TreeEnsembleClassifier`, which always sums.
pub(super) fn classifier(attributes: Attributes<'_>, classes: usize) -> TractResult<Ensemble> {
    by_tree(attributes, "class", classes, Aggregate::Sum)
}

/// Outputs of an ensemble, at most.
const MOST_TARGETS: usize = 1 << 16;

/// Numbers that are in one of two attributes, of single or of any precision.
fn numbers(attributes: Attributes<'_>, name: &str) -> TractResult<(Vec<f64>, bool)> {
    let singles = attributes.floats(name)?;
    let Some((numbers, double)) = attributes.numbers(&format!("{name}_as_tensor"))? else {
        return Ok((singles.iter().copied().map(f64::from).collect(), false));
    };
    if numbers.is_empty() {
        return Ok((singles.iter().copied().map(f64::from).collect(), false));
    }
    ensure!(singles.is_empty(), "`{name}` and `{name}_as_tensor`");
    Ok((numbers, double))
}

fn same_length(what: &str, found: usize, expected: usize) -> TractResult<()> {
    ensure!(found == expected, "{found} {what} for {expected}");
    Ok(())
}

/// The form in which nodes and leaves are one list, each with the numbers of its tree and itself.
fn by_tree(
    attributes: Attributes<'_>,
    kind: &str,
    targets: usize,
    aggregate: Aggregate,
) -> TractResult<Ensemble> {
    ensure!(targets > 0, "no targets");
    let trees = attributes.ints("nodes_treeids")?;
    let ids = attributes.ints("nodes_nodeids")?;
    let modes = attributes.texts("nodes_modes")?;
    let features = attributes.ints("nodes_featureids")?;
    let yes = attributes.ints("nodes_truenodeids")?;
    let no = attributes.ints("nodes_falsenodeids")?;
    let missing = attributes.ints("nodes_missing_value_tracks_true")?;
    let (values, double_values) = numbers(attributes, "nodes_values")?;
    for (what, length) in [
        ("nodes_nodeids", ids.len()),
        ("nodes_modes", modes.len()),
        ("nodes_featureids", features.len()),
        ("nodes_truenodeids", yes.len()),
        ("nodes_falsenodeids", no.len()),
        ("nodes_values", values.len()),
    ] {
        same_length(what, length, trees.len())?;
    }

    let mut places = HashMap::with_capacity(ids.len());
    let (mut splits, mut leaves) = (0, 0);
    for ((tree, id), mode) in trees.iter().zip(ids).zip(&modes) {
        let branch = if mode == "LEAF" {
            leaves += 1;
            Branch::Leaf(leaves - 1)
        } else {
            splits += 1;
            Branch::Node(splits - 1)
        };
        let taken = places.insert((*tree, *id), branch);
        ensure!(taken.is_none(), "two nodes {id} in tree {tree}");
    }

    let mut roots = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut nodes = Vec::with_capacity(splits);
    let mut fallbacks = Vec::with_capacity(leaves as usize);
    for (at, (tree, id)) in trees.iter().zip(ids).enumerate() {
        let find = |id: i64| {
            let found = places.get(&(*tree, id)).copied();
            found.ok_or_else(|| format_err!("there is no node {id} in tree {tree}"))
        };
        if at == 0 || trees[at - 1] != *tree {
            ensure!(seen.insert(*tree), "the nodes of tree {tree} are apart");
            roots.push(find(*id)?);
        }
        if modes[at] == "LEAF" {
            fallbacks.push(values[at]);
            continue;
        }
        nodes.push(Split {
            feature: position("feature", features[at], Forest::MAX_FEATURES)?,
            mode: mode(&modes[at])?,
            value: values[at],
            members: Vec::new(),
            missing_is_yes: missing.get(at) == Some(&1),
            yes: find(yes[at])?,
            no: find(no[at])?,
        });
    }

    let attribute = |name: &str| attributes.ints(&format!("{kind}_{name}"));
    let (at_trees, at_nodes) = (attribute("treeids")?, attribute("nodeids")?);
    let at_targets = attribute("ids")?;
    let (weights, double_weights) = numbers(attributes, &format!("{kind}_weights"))?;
    same_length("node numbers of weights", at_nodes.len(), at_trees.len())?;
    same_length("targets of weights", at_targets.len(), at_trees.len())?;
    same_length("weights", weights.len(), at_trees.len())?;
    let mut of_leaves = vec![Vec::new(); leaves as usize];
    for (at, weight) in weights.iter().enumerate() {
        let (tree, node) = (at_trees[at], at_nodes[at]);
        let target = position("target", at_targets[at], targets)?;
        match places.get(&(tree, node)) {
            Some(Branch::Leaf(leaf)) => of_leaves[*leaf as usize].push((target as u32, *weight)),
            // Old converters gave numbers to nodes, too; nobody reads them.
            Some(Branch::Node(_)) => {}
            None => bail!("a weight of node {node} in tree {tree}, which is not there"),
        }
    }
    let (base, double_base) = numbers(attributes, "base_values")?;
    Ok(Ensemble {
        forest: grow(&nodes, &roots)?,
        weights: Arc::new(of_leaves),
        fallbacks: Arc::new(fallbacks),
        base,
        targets,
        aggregate,
        transform: Transform::named(&attributes.text("post_transform", "NONE")?)?,
        double: double_values || double_weights || double_base,
    })
}

fn mode(name: &str) -> TractResult<Mode> {
    Ok(match name {
        "BRANCH_LEQ" => Mode::AtMost,
        "BRANCH_LT" => Mode::Below,
        "BRANCH_GTE" => Mode::AtLeast,
        "BRANCH_GT" => Mode::Above,
        "BRANCH_EQ" => Mode::Equal,
        "BRANCH_NEQ" => Mode::Unequal,
        other => bail!("unknown mode of a node `{other}`"),
    })
}

/// `TreeEnsemble`, in which nodes and leaves are two lists.
pub(super) fn ensemble(attributes: Attributes<'_>) -> TractResult<Ensemble> {
    let targets = position("n_targets", attributes.int("n_targets", 0)?, MOST_TARGETS)?;
    ensure!(targets > 0, "no targets");
    let modes = attributes
        .tensor("nodes_modes")?
        .ok_or_else(|| format_err!("no nodes_modes"))?;
    let modes = modes.try_as_plain_ram()?.as_slice::<u8>()?;
    let tensor = |name: &str| -> TractResult<(Vec<f64>, bool)> {
        Ok(attributes.numbers(name)?.unwrap_or_default())
    };
    let (values, double_values) = tensor("nodes_splits")?;
    let (weights, double_weights) = tensor("leaf_weights")?;
    let (members, _) = tensor("membership_values")?;
    let features = attributes.ints("nodes_featureids")?;
    let yes = attributes.ints("nodes_truenodeids")?;
    let no = attributes.ints("nodes_falsenodeids")?;
    let yes_are_leaves = attributes.ints("nodes_trueleafs")?;
    let no_are_leaves = attributes.ints("nodes_falseleafs")?;
    let missing = attributes.ints("nodes_missing_value_tracks_true")?;
    let leaf_targets = attributes.ints("leaf_targetids")?;
    for (what, length) in [
        ("nodes_splits", values.len()),
        ("nodes_featureids", features.len()),
        ("nodes_truenodeids", yes.len()),
        ("nodes_falsenodeids", no.len()),
        ("nodes_trueleafs", yes_are_leaves.len()),
        ("nodes_falseleafs", no_are_leaves.len()),
    ] {
        same_length(what, length, modes.len())?;
    }
    same_length("leaf_targetids", leaf_targets.len(), weights.len())?;

    // The members of all nodes that ask for some, each list ended by a NaN.
    let mut members = members.split(|member| member.is_nan());
    let branch = |id: i64, is_leaf: i64| -> TractResult<Branch> {
        Ok(if is_leaf == 0 {
            Branch::Node(position("node", id, modes.len())?)
        } else {
            Branch::Leaf(position("leaf", id, weights.len())? as u32)
        })
    };
    let mut nodes = Vec::with_capacity(modes.len());
    for (at, mode) in modes.iter().enumerate() {
        let mode = match mode {
            0 => Mode::AtMost,
            1 => Mode::Below,
            2 => Mode::AtLeast,
            3 => Mode::Above,
            4 => Mode::Equal,
            5 => Mode::Unequal,
            6 => Mode::Member,
            other => bail!("unknown mode of a node {other}"),
        };
        let members = if mode == Mode::Member {
            members.next().unwrap_or_default()
        } else {
            &[]
        };
        nodes.push(Split {
            feature: position("feature", features[at], Forest::MAX_FEATURES)?,
            mode,
            value: values[at],
            members: members.to_vec(),
            missing_is_yes: missing.get(at) == Some(&1),
            yes: branch(yes[at], yes_are_leaves[at])?,
            no: branch(no[at], no_are_leaves[at])?,
        });
    }
    let roots = attributes.ints("tree_roots")?;
    let roots = roots
        .iter()
        .map(|root| Ok(Branch::Node(position("node", *root, modes.len())?)))
        .collect::<TractResult<Vec<_>>>()?;
    let weigh = |(target, weight): (&i64, &f64)| {
        Ok(vec![(
            position("target", *target, targets)? as u32,
            *weight,
        )])
    };
    let weights: Vec<_> = leaf_targets
        .iter()
        .zip(&weights)
        .map(weigh)
        .collect::<TractResult<_>>()?;
    Ok(Ensemble {
        forest: grow(&nodes, &roots)?,
        fallbacks: Arc::new(vec![0.0; weights.len()]),
        weights: Arc::new(weights),
        base: Vec::new(),
        targets,
        aggregate: Aggregate::numbered(attributes.int("aggregate_function", 1)?)?,
        transform: Transform::numbered(attributes.int("post_transform", 0)?)?,
        double: double_values || double_weights,
    })
}
