//! Which graph, which signature, and which of its inputs and outputs are meant.

use super::messages::{MetaGraphDef, SavedModel, SignatureDef, TensorInfo};
use super::{graph, malformed};
use crate::{Error, Options, Role};
use std::collections::BTreeMap;

/// The tags and the signature that exporters give if nobody says otherwise.
const USUAL_TAG: &str = "serve";
const USUAL_SIGNATURE: &str = "serving_default";

/// What a signature's input is to the caller.
pub(super) enum Feeding<'a> {
    /// It is fed, at this position.
    Fed(usize),
    /// It has a value of its own.
    Default(&'a graph::TensorProto),
    /// It is not fed, so that nothing may depend on it.
    Missing,
}

/// A signature's inputs and outputs.
pub(super) struct Selection<'a> {
    /// All inputs, by name, in alphabetical order.
    pub(super) inputs: Vec<(&'a str, &'a TensorInfo, Feeding<'a>)>,
    /// The inputs that are fed, in the order in which they are.
    pub(super) fed: Vec<&'a str>,
    /// The outputs that are computed.
    pub(super) outputs: Vec<(&'a str, &'a TensorInfo)>,
}

/// The graph with just these tags; if there are none, the usual one, or the only one there is.
pub(super) fn meta_graph<'a>(
    model: &'a SavedModel,
    tags: &[String],
) -> Result<&'a MetaGraphDef, Error> {
    let usual = [USUAL_TAG.to_owned()];
    let wanted = sorted(if tags.is_empty() { &usual } else { tags });
    let tags_of = |graph: &MetaGraphDef| {
        let info = graph.meta_info_def.as_ref();
        sorted(info.map_or(&[][..], |info| &info.tags))
    };
    let graphs = &model.meta_graphs;
    let tagged = graphs.iter().find(|graph| tags_of(graph) == wanted);
    match (tagged, graphs.as_slice()) {
        (Some(graph), _) => Ok(graph),
        (None, []) => Err(Error::Empty),
        (None, [graph]) if tags.is_empty() => Ok(graph),
        (None, graphs) => Err(Error::UnknownTags {
            tags: wanted.join(","),
            candidates: graphs
                .iter()
                .map(|graph| format!("`{}`", tags_of(graph).join(",")))
                .collect(),
        }),
    }
}

fn sorted(tags: &[String]) -> Vec<String> {
    let mut tags = tags.to_vec();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// The inputs and outputs that the options ask for.
pub(super) fn select<'a>(
    graph: &'a MetaGraphDef,
    options: &Options,
) -> Result<Selection<'a>, Error> {
    let signature = signature(graph, options.signature.as_deref())?;
    let names = |chosen: &[String], all: &'a BTreeMap<String, TensorInfo>, role| {
        if chosen.is_empty() {
            return Ok(all.keys().map(String::as_str).collect::<Vec<_>>());
        }
        let key = |name: &String| match all.get_key_value(name) {
            Some((key, _)) => Ok(key.as_str()),
            None => Err(Error::UnknownPort {
                role,
                name: name.clone(),
                candidates: all.keys().cloned().collect(),
            }),
        };
        chosen.iter().map(key).collect()
    };
    let fed = names(&options.inputs, &signature.inputs, Role::Input)?;
    if let Some(name) = repeated(&fed) {
        return Err(malformed(format!("input `{name}` is asked for twice")));
    }
    let inputs = signature.inputs.iter().map(|(name, info)| {
        let feeding = match fed.iter().position(|fed| fed == name) {
            Some(position) => Feeding::Fed(position),
            None => signature
                .defaults
                .get(name)
                .map_or(Feeding::Missing, Feeding::Default),
        };
        (name.as_str(), info, feeding)
    });
    let outputs = names(&options.outputs, &signature.outputs, Role::Output)?;
    let outputs = outputs.into_iter().filter_map(|name| {
        let info = signature.outputs.get(name)?;
        Some((name, info))
    });
    Ok(Selection {
        inputs: inputs.collect(),
        outputs: outputs.collect(),
        fed,
    })
}

/// The signature of this name; if there is none, the usual one, or the only one there is. What
/// only runs when a model is loaded is no candidate.
fn signature<'a>(graph: &'a MetaGraphDef, name: Option<&str>) -> Result<&'a SignatureDef, Error> {
    let mut candidates = graph.signature_def.iter().filter(|(name, signature)| {
        !signature.outputs.is_empty() && !name.starts_with("__saved_model")
    });
    let wanted = name.unwrap_or(USUAL_SIGNATURE);
    if let Some((_, signature)) = candidates.clone().find(|(name, _)| *name == wanted) {
        return Ok(signature);
    }
    match (name, candidates.clone().count(), candidates.next()) {
        (None, 1, Some((_, signature))) => Ok(signature),
        (_, _, first) => Err(Error::UnknownSignature {
            name: wanted.to_owned(),
            candidates: first
                .into_iter()
                .chain(candidates)
                .map(|(name, _)| name.clone())
                .collect(),
        }),
    }
}

fn repeated<'a>(names: &[&'a str]) -> Option<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    let mut pairs = names.windows(2);
    pairs.find_map(|pair| (pair.first() == pair.last()).then(|| pair.first().copied())?)
}
