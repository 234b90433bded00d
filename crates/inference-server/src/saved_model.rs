//! Which signatures a SavedModel has. What computes them is the crate `tensor`'s.

use std::collections::BTreeMap;

use prost::Message as _;
use protobufs::tensorflow::{SavedModel, SignatureDef};
use tensor::Directory;

/// The file of the graphs.
pub(crate) const FILE: &str = "saved_model.pb";
/// What signatures begin with that are nothing to call, but run when a model is loaded.
const INTERNAL: &str = "__saved_model";

/// The graph of a SavedModel that is served.
pub(crate) struct ServedGraph {
    /// Which one it is in the file.
    pub(crate) position: usize,
    pub(crate) tags: Vec<String>,
    pub(crate) signatures: BTreeMap<String, SignatureDef>,
}

/// The graph with the tag `serve` and no other, or else the only one there is.
pub(crate) fn read(files: &Directory) -> Result<ServedGraph, String> {
    let bytes = files.file(FILE).ok_or("there is no saved_model.pb")?;
    let model = SavedModel::decode(bytes)
        .map_err(|error| format!("saved_model.pb is not a SavedModel: {error}"))?;
    let mut graphs: Vec<_> = model
        .meta_graphs
        .into_iter()
        .enumerate()
        .map(|(position, graph)| ServedGraph {
            position,
            tags: graph.meta_info_def.unwrap_or_default().tags,
            signatures: graph.signature_def,
        })
        .collect();
    let served = graphs.iter().position(|graph| graph.tags == ["serve"]);
    let mut graph = match (served, graphs.len()) {
        (Some(at), _) => graphs.swap_remove(at),
        (None, 1) => graphs.swap_remove(0),
        (None, _) => return Err("none of its graphs has the tag `serve` alone".to_owned()),
    };
    graph
        .signatures
        .retain(|name, signature| !name.starts_with(INTERNAL) && !signature.outputs.is_empty());
    Ok(graph)
}
