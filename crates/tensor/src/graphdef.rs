//! Frozen TensorFlow graphs: `tensorflow/core/framework/graph.proto`.

mod attributes;
mod constants;
mod folding;
pub(crate) mod messages;
mod operators;
#[cfg(feature = "libtensorflow")]
pub(crate) mod ports;
mod routine;
mod wiring;

use crate::lowering::lower;
use crate::plan::{Draft, load};
use crate::protobuf::{Kind, check};
use crate::shield::shield;
use crate::{Error, Options};
pub(crate) use constants::Constants;
use messages::{GraphDef, NodeDef};
use operators::Operation;
use prost::Message;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    DatumType, GenericFactoid, InferenceFact, InferenceModel, OutletId, ShapeFactoid, SpecialOps,
    TVec, Tensor as Value, ToDim, TractResult, expand,
};
use tract_onnx::tract_hir::ops::cast::cast;
use tract_onnx::tract_hir::ops::{array, konst};
use wiring::{Id, Part, Slot, Wiring};

/// The messages of a graph, as far as they are decoded.
const SCHEMA: &[Kind] = &[
    &[(1, NODE), (4, LEAF)],
    &[(5, ATTRIBUTE)],
    &[(2, VALUE)],
    &[(1, LEAF), (7, SHAPE), (8, TENSOR)],
    &[(2, LEAF)],
    &[(2, SHAPE)],
    &[],
];
const NODE: usize = 1;
const ATTRIBUTE: usize = 2;
const VALUE: usize = 3;
const SHAPE: usize = 4;
const TENSOR: usize = 5;
const LEAF: usize = 6;

/// Decodes a graph, chooses its inputs and outputs, and checks what they depend on.
pub(crate) fn read(bytes: &[u8], options: &Options) -> Result<Draft, Error> {
    check(bytes, SCHEMA, malformed)?;
    let graph = GraphDef::decode(bytes).map_err(|cause| malformed(cause.to_string()))?;
    if graph.node.is_empty() {
        return Err(Error::Empty);
    }
    let wiring = Wiring::of(&graph.node)?;
    let outputs = outputs(&graph, &wiring, options)?;
    let part = wiring.part(&outputs, &options.inputs, false)?;
    wiring.check_size(&part)?;
    let names = wiring.names(&part.inputs);
    Importer::new(&wiring, &part, &HashMap::new())?.draft(names, &outputs)
}

/// The outputs that were asked for, or the one that the graph was made for.
fn outputs(
    graph: &GraphDef,
    wiring: &Wiring<'_>,
    options: &Options,
) -> Result<Vec<(String, Slot)>, Error> {
    if graph.versions.is_none()
        && options.outputs.is_empty()
        && let Some(name) = wiring.unused_constant()
    {
        // The versions are the file's last field, and some tools leave them out. A file that was
        // cut between two nodes is a graph, too, but not the one that was meant.
        return Err(malformed(format!(
            "it seems to be cut off, nobody takes `{name}`"
        )));
    }
    wiring.outputs(&options.outputs)
}

/// A graph whose inputs and outputs are known.
pub(crate) struct Known {
    pub(crate) nodes: Vec<NodeDef>,
    /// Values of `Const` nodes that are not in these themselves.
    pub(crate) values: HashMap<String, Arc<Value>>,
    /// Names of inputs, and of the placeholders that take them.
    pub(crate) inputs: Vec<(String, String)>,
    /// Names of outputs, and of the values that they are.
    pub(crate) outputs: Vec<(String, String)>,
}

/// Checks what the outputs of a graph depend on.
pub(crate) fn import(graph: &Known) -> Result<Draft, Error> {
    let wiring = Wiring::of(&graph.nodes)?;
    let missing = |name: &str| malformed(format!("there is no `{name}`"));
    let slot = |name: &str| wiring.slot(name).ok_or_else(|| missing(name));
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for (name, value) in &graph.outputs {
        outputs.push((name.clone(), slot(value)?));
    }
    let mut inputs = Vec::with_capacity(graph.inputs.len());
    for (_, placeholder) in &graph.inputs {
        inputs.push(slot(placeholder)?.0);
    }
    let part = wiring.part_between(inputs, &outputs, false)?;
    wiring.check_size(&part)?;
    let names = graph.inputs.iter().map(|(name, _)| name.clone()).collect();
    Importer::new(&wiring, &part, &graph.values)?.draft(names, &outputs)
}

fn malformed(reason: String) -> Error {
    Error::Malformed {
        format: "TensorFlow GraphDef",
        reason,
    }
}

/// The part of a graph that is run, on its way to the runtime's graph.
struct Importer<'a> {
    wiring: &'a Wiring<'a>,
    part: &'a Part,
    constants: HashMap<Id, Arc<Value>>,
    sources: HashMap<Id, InferenceFact>,
    operations: HashMap<Id, Operation>,
}

impl<'a> Importer<'a> {
    /// Looks at every node, and names everything that is unsupported about them.
    fn new(
        wiring: &'a Wiring<'a>,
        part: &'a Part,
        values: &HashMap<String, Arc<Value>>,
    ) -> Result<Importer<'a>, Error> {
        let mut importer = Importer {
            wiring,
            part,
            constants: HashMap::new(),
            sources: HashMap::new(),
            operations: HashMap::new(),
        };
        let mut constants = Constants::default();
        let mut unsupported = BTreeSet::new();
        for id in &part.nodes {
            let Some(node) = wiring.node(*id) else {
                continue;
            };
            if let Some(value) = values.get(&node.name) {
                importer.constants.insert(*id, Arc::clone(value));
            } else if let Err(reason) = importer.look_at(*id, node, &mut constants) {
                unsupported.insert(reason);
            }
        }
        if unsupported.is_empty() {
            importer.settle_widths();
            return Ok(importer);
        }
        Err(Error::Unsupported {
            operators: unsupported.into_iter().collect(),
        })
    }

    fn look_at(&mut self, id: Id, node: &NodeDef, constants: &mut Constants) -> Result<(), String> {
        if self.part.inputs.contains(&id) {
            let fact = source(node).map_err(|what| format!("{} {what}", node.op))?;
            self.sources.insert(id, fact);
        } else if node.op == "Const" {
            let value = constants
                .read(node)
                .map_err(|what| format!("{} {what}", node.op))?;
            self.constants.insert(id, Arc::new(value));
        } else if !operators::is_alias(&node.op) {
            let sources = self.wiring.sources(id);
            let constant = |input: usize| {
                let (source, _) = self.resolve(*sources.get(input)?);
                self.constants.get(&source).cloned()
            };
            let operation = || operators::operation(node, sources.len(), &constant);
            let inputs: Option<Vec<Arc<Value>>> = (0..sources.len()).map(constant).collect();
            if let Some(inputs) = inputs.filter(|inputs| folding::is_foldable(node, inputs))
                && let Some(value) = folding::fold(node, &inputs, &operation)
            {
                self.constants.insert(id, Arc::new(value));
                return Ok(());
            }
            self.operations.insert(id, operation()?);
        }
        Ok(())
    }

    /// A placeholder that does not say its shape, or its width, has it from the weights that it is
    /// multiplied with: `MatMul` takes matrices only.
    fn settle_widths(&mut self) {
        for id in &self.part.nodes {
            let Some(node) = self.wiring.node(*id).filter(|node| node.op == "MatMul") else {
                continue;
            };
            let [left, right] = self.wiring.sources(*id) else {
                continue;
            };
            let Some(weights) = self.constants.get(&self.resolve(*right).0) else {
                continue;
            };
            let axis = usize::from(attributes::truth(node, "transpose_b"));
            let (Some(width), false) = (
                weights.shape().get(axis),
                attributes::truth(node, "transpose_a"),
            ) else {
                continue;
            };
            let (source, _) = self.resolve(*left);
            if let Some(fact) = self.sources.get_mut(&source) {
                let batch = fact.shape.dim(0).unwrap_or_default();
                let known = fact.shape.dim(1).unwrap_or_default();
                if known == GenericFactoid::Any {
                    let axes = [batch, GenericFactoid::Only(width.to_dim())];
                    fact.shape = ShapeFactoid::closed(axes.into_iter().collect());
                }
            }
        }
    }

    /// The output that is meant: what only hands on its input stands for that input.
    fn resolve(&self, mut slot: Slot) -> Slot {
        // The part has no cycles, so that this comes to an end.
        while let Some(node) = self.wiring.node(slot.0) {
            if self.part.inputs.contains(&slot.0) || !operators::is_alias(&node.op) {
                break;
            }
            match self.wiring.sources(slot.0).get(slot.1) {
                Some(source) => slot = *source,
                None => break,
            }
        }
        slot
    }

    fn draft(mut self, inputs: Vec<String>, outputs: &[(String, Slot)]) -> Result<Draft, Error> {
        let model = shield(|| self.model(outputs)).map_err(|reason| Error::Load { reason })??;
        Ok(Draft {
            model,
            inputs,
            outputs: outputs.iter().map(|(name, _)| name.clone()).collect(),
            classes: Vec::new(),
        })
    }

    fn model(&mut self, outputs: &[(String, Slot)]) -> Result<InferenceModel, Error> {
        let mut model = InferenceModel::default();
        let mut outlets: HashMap<Slot, OutletId> = HashMap::new();
        for id in &self.part.nodes {
            let Some(node) = self.wiring.node(*id) else {
                continue;
            };
            let wires = if let Some(fact) = self.sources.remove(id) {
                model
                    .add_source(&node.name, fact)
                    .map(|outlet| [outlet].into_iter().collect())
            } else if let Some(value) = self.constants.remove(id) {
                konst::Const::new(value)
                    .and_then(|constant| model.wire_node(&node.name, constant, &[]))
            } else if let Some(operation) = self.operations.remove(id) {
                let mut wires = Vec::new();
                for source in self.wiring.sources(*id) {
                    wires.push(self.outlet(&outlets, *source)?);
                }
                wire(&mut model, &node.name, operation, &wires)
            } else {
                continue;
            };
            for (slot, wire) in wires.map_err(|cause| load(&cause))?.into_iter().enumerate() {
                outlets.insert((*id, slot), wire);
            }
        }
        let inputs = self
            .part
            .inputs
            .iter()
            .map(|id| self.outlet(&outlets, (*id, 0)));
        let inputs = inputs.collect::<Result<Vec<OutletId>, Error>>()?;
        let results = outputs.iter().map(|(_, slot)| self.outlet(&outlets, *slot));
        let results = results.collect::<Result<Vec<OutletId>, Error>>()?;
        let mut finished = Vec::with_capacity(results.len());
        for (position, ((_, (id, _)), result)) in outputs.iter().zip(results).enumerate() {
            let datum = self
                .wiring
                .node(*id)
                .map_or(DatumType::I32, operators::counted);
            let finish = lower("Output", move |prefix, model, inputs| {
                if model.outlet_fact(inputs[0])?.datum_type != DatumType::TDim {
                    return Ok([inputs[0]].into_iter().collect());
                }
                // Lengths that depend on the batch become numbers when there is one.
                model.wire_node(prefix, cast(datum), inputs)
            });
            let name = format!("output.{position}");
            let wires = model.wire_node(name, finish, &[result]);
            finished.extend(wires.map_err(|cause| load(&cause))?);
        }
        model
            .set_input_outlets(&inputs)
            .map_err(|cause| load(&cause))?;
        model
            .select_output_outlets(&finished)
            .map_err(|cause| load(&cause))?;
        Ok(model)
    }

    fn outlet(&self, outlets: &HashMap<Slot, OutletId>, slot: Slot) -> Result<OutletId, Error> {
        outlets.get(&self.resolve(slot)).copied().ok_or_else(|| {
            let name = self.wiring.names(&[slot.0]).concat();
            malformed(format!("node `{name}` has no output {}", slot.1))
        })
    }
}

/// The type of a node that is fed: what is not known of its shape is found out later.
fn source(node: &NodeDef) -> Result<InferenceFact, String> {
    let datum = attributes::datum(node, "dtype")?;
    let fact = InferenceFact::dt(datum);
    let shape = match attributes::shape(node, "shape") {
        Some(shape) if !shape.unknown_rank => shape,
        _ => return Ok(fact),
    };
    let axis = |size: i64| match size {
        -1 => Ok(GenericFactoid::Any),
        0.. => Ok(GenericFactoid::Only(size.to_dim())),
        _ => Err("of negative length".to_owned()),
    };
    let axes = shape
        .dim
        .iter()
        .map(|dim| axis(dim.size))
        .collect::<Result<TVec<_>, String>>()?;
    Ok(fact.with_shape(ShapeFactoid::closed(axes)))
}

fn wire(
    model: &mut InferenceModel,
    name: &str,
    operation: Operation,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    match operation {
        Operation::Apply(taken, operator) => {
            model.wire_node(name, operator, inputs.get(..taken).unwrap_or(inputs))
        }
        Operation::Pick(places, operator) => {
            let picked = places
                .iter()
                .filter_map(|place| inputs.get(*place).copied());
            model.wire_node(name, operator, &picked.collect::<Vec<_>>())
        }
        Operation::Chain(taken, mut operators) => {
            let last = operators.pop();
            let mut wires: TVec<OutletId> = inputs.iter().take(taken).copied().collect();
            for (position, operator) in operators.into_iter().enumerate() {
                wires = model.wire_node(format!("{name}.{position}"), operator, &wires)?;
            }
            match last {
                Some(operator) => model.wire_node(name, operator, &wires),
                None => Ok(wires),
            }
        }
        Operation::Pack(axis) => {
            let mut wires = Vec::with_capacity(inputs.len());
            for (position, input) in inputs.iter().enumerate() {
                let axis = expand(array::AddDims::new(vec![axis]));
                wires.extend(model.wire_node(format!("{name}.{position}"), axis, &[*input])?);
            }
            model.wire_node(name, expand(array::Concat::new(axis as i64)), &wires)
        }
    }
}
