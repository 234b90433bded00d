//! Which signatures a SavedModel has. What computes them is the crate `tensor`'s.

use std::collections::BTreeMap;

use prost::Message as _;
use protobufs::tensorflow::{SavedModel, SignatureDef};
use tensor::Directory;

/// The signature that only initializes the model, which is nothing to call.
const INITIALIZE: &str = "__saved_model_init_op";
/// The same, of models that train.
const TRAIN: &str = "__saved_model_train_op";

/// The graph of a SavedModel that is served.
pub(crate) struct ServedGraph {
    pub(crate) tags: Vec<String>,
    pub(crate) signatures: BTreeMap<String, SignatureDef>,
}

/// The graph with the tag `serve` and no other, or else the only one there is.
pub(crate) fn read(files: &Directory) -> Result<ServedGraph, String> {
    let bytes = files
        .file("saved_model.pb")
        .ok_or("there is no saved_model.pb")?;
    let model = SavedModel::decode(bytes)
        .map_err(|error| format!("saved_model.pb is not a SavedModel: {error}"))?;
    let mut graphs: Vec<_> = model
        .meta_graphs
        .into_iter()
        .map(|graph| ServedGraph {
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
    for name in [INITIALIZE, TRAIN] {
        graph.signatures.remove(name);
    }
    Ok(graph)
}
