//! The inputs and outputs of a graph that a library runs: chosen as for any other runtime,
//! whatever operators are in it.

use super::messages::GraphDef;
use super::wiring::Wiring;
use super::{SCHEMA, malformed, outputs};
use crate::protobuf::check;
use crate::{Error, Options};
use prost::Message;
use std::collections::BTreeSet;

/// Variables: their values are in no GraphDef.
const VARIABLES: [&str; 4] = ["TemporaryVariable", "VarHandleOp", "Variable", "VariableV2"];

/// What fills tables from the graph's own constants.
const FILLING: [&str; 4] = [
    "InitializeTable",
    "InitializeTableV2",
    "LookupTableImport",
    "LookupTableImportV2",
];

/// A node's output.
pub(crate) struct Slot {
    /// What it is called outside the graph.
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) position: usize,
}

/// What is fed, computed, and run once before.
pub(crate) struct Ports {
    pub(crate) inputs: Vec<Slot>,
    pub(crate) outputs: Vec<Slot>,
    pub(crate) first: Vec<String>,
}

/// Decodes a graph and chooses its inputs and outputs.
pub(crate) fn choose(bytes: &[u8], options: &Options) -> Result<Ports, Error> {
    check(bytes, SCHEMA, malformed)?;
    let graph = GraphDef::decode(bytes).map_err(|cause| malformed(cause.to_string()))?;
    if graph.node.is_empty() {
        return Err(Error::Empty);
    }
    let wiring = Wiring::of(&graph.node)?;
    let outputs = outputs(&graph, &wiring, options)?;
    let part = wiring.part(&outputs, &options.inputs, true)?;
    let nodes = part.nodes.iter().filter_map(|id| wiring.node(*id));
    let operators = nodes.map(|node| node.op.as_str());
    let variables = operators.filter(|name| VARIABLES.contains(name));
    let operators: BTreeSet<String> = variables.map(str::to_owned).collect();
    if !operators.is_empty() {
        return Err(Error::Unsupported {
            operators: operators.into_iter().collect(),
        });
    }
    let slot = |name: String, id, position| Slot {
        name,
        node: wiring.names(&[id]).concat(),
        position,
    };
    let names = wiring.names(&part.inputs).into_iter().zip(&part.inputs);
    let filling = graph
        .node
        .iter()
        .filter(|node| FILLING.contains(&node.op.as_str()));
    Ok(Ports {
        inputs: names.map(|(name, id)| slot(name, *id, 0)).collect(),
        outputs: outputs
            .into_iter()
            .map(|(name, (id, position))| slot(name, id, position))
            .collect(),
        first: filling.map(|node| node.name.clone()).collect(),
    })
}
