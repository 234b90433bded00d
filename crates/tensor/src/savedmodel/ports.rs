//! The graph, the inputs and the outputs of a SavedModel that a library runs: chosen as for any
//! other runtime, whatever operators are in it.

use super::messages::{SavedModel, TensorInfo};
use super::selection::{self, Feeding};
use super::{INFO, META, SCHEMA, SIGNATURE_ENTRY, decoded, file, malformed, several};
use crate::graphdef::ports::Slot;
use crate::protobuf::{Kind, check};
use crate::{Directory, Error, Options, Role};
use std::collections::HashSet;

/// The messages of the file without those of the graph: how many they may be is the library's
/// business.
const SIGNATURES: [Kind; SCHEMA.len()] = {
    let mut kinds = SCHEMA;
    kinds[META] = &[(1, INFO), (5, SIGNATURE_ENTRY)];
    kinds
};

/// What is loaded, fed and computed.
pub(crate) struct Ports {
    /// The path to the directory of the model, with a slash behind it if it is another one.
    pub(crate) root: String,
    /// The tags of the graph.
    pub(crate) tags: Vec<String>,
    pub(crate) inputs: Vec<Slot>,
    /// The inputs that are not fed. What the signature says is their default is in the graph, too,
    /// wherever TensorFlow wrote it.
    pub(crate) left_out: Vec<Slot>,
    pub(crate) outputs: Vec<Slot>,
}

/// Decodes a file and chooses a signature.
pub(crate) fn choose(files: &Directory, options: &Options) -> Result<Ports, Error> {
    let (root, bytes) = file(files)?;
    check(bytes, &SIGNATURES, malformed)?;
    let model: SavedModel = decoded(bytes)?;
    let meta = selection::meta_graph(&model, &options.tags)?;
    let selection = selection::select(meta, options)?;
    let mut inputs = Vec::new();
    let mut left_out = Vec::new();
    let mut seen = HashSet::new();
    for (name, info, feeding) in selection.inputs {
        let slot = slot(name, info, Role::Input)?;
        if !seen.insert((slot.node.clone(), slot.position)) {
            return Err(malformed(format!("`{}` is two inputs", info.name)));
        }
        match feeding {
            Feeding::Fed(order) => inputs.push((order, slot)),
            Feeding::Default(_) | Feeding::Missing => left_out.push(slot),
        }
    }
    inputs.sort_by_key(|(order, _)| *order);
    let outputs = selection.outputs.into_iter();
    let outputs = outputs.map(|(name, info)| slot(name, info, Role::Output));
    Ok(Ports {
        root,
        tags: meta.meta_info_def.clone().unwrap_or_default().tags,
        inputs: inputs.into_iter().map(|(_, slot)| slot).collect(),
        left_out,
        outputs: outputs.collect::<Result<_, _>>()?,
    })
}

fn slot(name: &str, info: &TensorInfo, role: Role) -> Result<Slot, Error> {
    if info.name.is_empty() {
        return Err(several(&format!("{role} `{name}`")));
    }
    let (node, position) = info.name.rsplit_once(':').unwrap_or((&info.name, "0"));
    let position = position.parse();
    Ok(Slot {
        name: name.to_owned(),
        node: node.to_owned(),
        position: position.map_err(|_| malformed(format!("there is no `{}`", info.name)))?,
    })
}
