//! Which tensor of the variables' files each variable is restored from.

use super::bundle::Bundle;
use super::graph::{Attribute, NodeDef};
use super::inliner::{Inliner, Place};
use super::malformed;
use super::messages::{MetaGraphDef, TrackableObjectGraph};
use crate::Error;
use crate::protobuf::{Kind, check};
use prost::Message;
use std::collections::HashMap;

/// Where TensorFlow 2 puts the objects that a checkpoint was made of.
const OBJECTS: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";

/// The messages of these objects, as far as they are decoded.
const SCHEMA: &[Kind] = &[&[(1, 1)], &[(2, 2)], &[]];

/// Keys of the variables' files, by variables.
pub(super) struct Restoration {
    restored: HashMap<String, String>,
    /// Whether the checkpoint's objects are among them.
    complete: bool,
}

impl Restoration {
    /// Follows what TensorFlow runs to restore the variables: `RestoreV2`, whose results are
    /// assigned.
    pub(super) fn of<'a>(
        meta: &'a MetaGraphDef,
        inliner: &mut Inliner<'_, 'a>,
    ) -> Result<Restoration, Error> {
        let mut restored = HashMap::new();
        let saver = meta.saver_def.as_ref();
        if let Some(saver) = saver.filter(|saver| !saver.restore_op_name.is_empty()) {
            for place in inliner.executed(&[], &[&saver.restore_op_name])? {
                if !matches!(place.node.op.as_str(), "Assign" | "AssignVariableOp") {
                    continue;
                }
                let variable = inliner.variable_of(place)?;
                let (Some(variable), Some(key)) = (variable, key(inliner, place)?) else {
                    continue;
                };
                let before = restored.insert(variable.clone(), key.clone());
                if before.is_some_and(|before| before != key) {
                    return Err(malformed(format!("`{variable}` is restored twice")));
                }
            }
        }
        Ok(Restoration {
            restored,
            complete: false,
        })
    }

    /// The key of a variable, where it is told by the graph, by the objects, or by its name, as a
    /// file without a saver has it.
    pub(super) fn key(&mut self, variable: &str, bundle: &Bundle<'_>) -> Result<String, Error> {
        if let Some(key) = self.restored.get(variable) {
            return Ok(key.clone());
        }
        if !self.complete {
            self.complete = true;
            for (name, key) in objects(bundle)? {
                self.restored.entry(name).or_insert(key);
            }
        }
        let key = self.restored.get(variable).cloned();
        Ok(key.unwrap_or_else(|| variable.to_owned()))
    }
}

/// The key under which the value that a node assigns is stored.
fn key<'a>(inliner: &mut Inliner<'_, 'a>, place: Place<'a>) -> Result<Option<String>, Error> {
    let value = inliner.origin(place, 1)?;
    let Some((restore, slot)) = value.filter(|(place, _)| place.node.op == "RestoreV2") else {
        return Ok(None);
    };
    let names = inliner.origin(restore, 1)?;
    let name = names.and_then(|(names, _)| string(names.node, slot));
    let name = name.ok_or_else(|| malformed("what is restored has no name"))?;
    Ok(Some(name.to_owned()))
}

/// An element of a constant.
fn string(node: &NodeDef, position: usize) -> Option<&str> {
    match &node.attr.get("value")?.value {
        Some(Attribute::Tensor(tensor)) => {
            std::str::from_utf8(tensor.string_val.get(position)?).ok()
        }
        _ => None,
    }
}

/// Names of variables and their keys, without names that are several variables'.
fn objects(bundle: &Bundle<'_>) -> Result<HashMap<String, String>, Error> {
    if !bundle.has(OBJECTS) {
        return Ok(HashMap::new());
    }
    let bytes = bundle.string(OBJECTS)?;
    check(bytes, SCHEMA, malformed)?;
    let objects = TrackableObjectGraph::decode(bytes)
        .map_err(|cause| malformed(format!("the checkpoint's objects are broken: {cause}")))?;
    let mut keys: HashMap<String, Option<String>> = HashMap::new();
    for tensor in objects.nodes.into_iter().flat_map(|node| node.attributes) {
        if tensor.name != "VARIABLE_VALUE" || tensor.full_name.is_empty() {
            continue;
        }
        keys.entry(tensor.full_name)
            .and_modify(|key| *key = None)
            .or_insert(Some(tensor.checkpoint_key));
    }
    let keys = keys.into_iter();
    Ok(keys.filter_map(|(name, key)| Some((name, key?))).collect())
}
