//! What all formats share: from a graph with named inputs and outputs to an optimized plan.

use crate::bounded::bound;
use crate::dense::{fuse, only};
use crate::layers::Layers;
use crate::mended::mend;
use crate::sealed::seal;
use crate::shield::shield;
use crate::tensor::Port;
use crate::values::element;
use crate::{Error, Role};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    DatumType, DimLike, Factoid, GenericFactoid, InferenceFact, InferenceModel, InferenceModelExt,
    OutletId, SymbolValues, TDim, TVec, ToDim, TractError, TypedFact, TypedModel, TypedNode,
    TypedSimplePlan,
};
use tract_onnx::tract_hir::tract_core::ops::einsum::EinSum;

/// The longest value, in elements, that a graph may compute for a batch of one.
pub(crate) const LONGEST_VALUE: u64 = 1 << 26;

/// Nodes of a graph, at most, and inputs of all of them. The runtime compares each node that an
/// optimization adds with all that there are, so that loading takes time in the square of them: in
/// a release build 0.8 s for 1,500 matrix products, 1.6 s for one `Pack` of 3,000 inputs.
const MOST_NODES: usize = 8_000;
const MOST_INPUTS: usize = 12_000;
const MOST_JOINED: usize = 3_000;

/// The same of the runtime's nodes, of which an operator of a file may become several.
const MOST_TYPED_NODES: usize = 20_000;
const MOST_PRODUCTS: usize = 2_000;

/// Refuses a graph that takes too long to load. Constants count as nodes as well as operators.
pub(crate) fn check_size(nodes: usize, inputs: usize) -> Result<(), Error> {
    at_most("nodes", nodes, MOST_NODES)?;
    at_most("inputs of nodes", inputs, MOST_INPUTS)
}

/// Refuses a graph that joins too many values one by one.
pub(crate) fn check_joined(inputs: usize) -> Result<(), Error> {
    at_most("values joined", inputs, MOST_JOINED)
}

pub(crate) fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Error> {
    if found <= limit {
        return Ok(());
    }
    Err(Error::TooLarge {
        what,
        found: found as u64,
        limit: limit as u64,
    })
}

/// Refuses a product that sums over the batch while its length is not known: the runtime takes for
/// ever to find out how.
fn check_sums(model: &TypedModel, node: &TypedNode, batch: &TDim) -> Result<(), Error> {
    let Some(product) = node.op_as::<EinSum>() else {
        return Ok(());
    };
    for axis in product.axes.iter_all_axes() {
        if batch.to_i64().is_ok() || !axis.outputs.iter().all(TVec::is_empty) {
            continue;
        }
        let mut lengths = Vec::new();
        for (input, positions) in node.inputs.iter().zip(&axis.inputs) {
            let fact = model.outlet_fact(*input).map_err(|cause| load(&cause))?;
            lengths.extend(positions.iter().filter_map(|axis| fact.shape.get(*axis)));
        }
        // Where another value knows the length, the batch is no batch, but that long.
        let is_open = lengths.iter().all(|length| length.to_i64().is_err());
        if is_open && lengths.contains(&batch) {
            let reason = format!("{} sums over the batch", node.name);
            return Err(Error::Load { reason });
        }
    }
    Ok(())
}

/// A checked graph of some format, with its inputs and outputs chosen.
pub(crate) struct Draft {
    pub(crate) model: InferenceModel,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    /// The names of the classes that the columns of each output belong to; of outputs beyond the
    /// end there are none.
    pub(crate) classes: Vec<Option<Vec<String>>>,
}

/// A graph that can run, and the ports it runs between.
pub(crate) struct Plan {
    pub(crate) runnable: Arc<TypedSimplePlan>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// The runtime's types of the inputs.
    pub(crate) types: Vec<DatumType>,
    /// Which dimensions of the outputs are the batch.
    pub(crate) batched: Vec<bool>,
    /// All that there is to run, if it is layers only.
    pub(crate) layers: Option<Arc<Layers>>,
    /// The names of the classes that the columns of each output belong to, where there are any.
    pub(crate) classes: Vec<Option<Vec<String>>>,
}

impl Draft {
    /// Types and optimizes the graph, for any batch where that works, else for a batch of one.
    pub(crate) fn plan(mut self) -> Result<Plan, Error> {
        bound(&mut self.model);
        let symbol = self.model.symbols.sym("batch");
        let any = shield(|| self.compile(&symbol.to_dim()));
        match any {
            Ok(Ok(plan)) => return Ok(plan),
            Ok(Err(error @ (Error::UnknownRank { .. } | Error::TooLarge { .. }))) => {
                return Err(error);
            }
            Ok(Err(_)) | Err(_) => {}
        }
        shield(|| self.compile(&TDim::Val(1))).map_err(|reason| Error::Load { reason })?
    }

    fn compile(&self, batch: &TDim) -> Result<Plan, Error> {
        let mut model = self.model.clone();
        self.close_inputs(&mut model, batch)?;
        let mut model = model.into_typed().map_err(|cause| load(&cause))?;
        seal(&mut model);
        mend(&mut model);
        check_volumes(&model)?;
        at_most("nodes", model.nodes().len(), MOST_TYPED_NODES)?;
        let products = model.nodes().iter().filter(|node| node.op_is::<EinSum>());
        at_most("matrix products", products.clone().count(), MOST_PRODUCTS)?;
        for node in products {
            check_sums(&model, node, batch)?;
        }
        let inputs = ports(&model, &model.inputs, &self.inputs, Role::Input)?;
        let outputs = ports(&model, &model.outputs, &self.outputs, Role::Output)?;
        let mut batched = Vec::with_capacity(outputs.len());
        for outlet in &model.outputs {
            let fact = model.outlet_fact(*outlet).map_err(|cause| load(&cause))?;
            batched.push(fact.shape.first() == Some(batch) && !matches!(batch, TDim::Val(_)));
        }
        let mut types = Vec::with_capacity(inputs.len());
        for outlet in &model.inputs {
            types.push(
                model
                    .outlet_fact(*outlet)
                    .map_err(|cause| load(&cause))?
                    .datum_type,
            );
        }
        // Should the runtime fail to simplify a graph that it has checked, it still runs it.
        let mut model = match model.clone().into_decluttered() {
            Ok(simplified) => simplified,
            Err(_) => model,
        };
        fuse(&mut model).map_err(|cause| load(&cause))?;
        model.optimize().map_err(|cause| load(&cause))?;
        let layers = only(&model);
        let runnable = TypedSimplePlan::new(model).map_err(|cause| load(&cause))?;
        Ok(Plan {
            runnable,
            layers,
            inputs,
            outputs,
            types,
            batched,
            classes: self.classes.clone(),
        })
    }

    /// Gives every input a full type: the batch where the first axis is open, and a length of its
    /// own to any other open axis that the graph does not settle. An input that nothing depends on
    /// is no part of the batch.
    fn close_inputs(&self, model: &mut InferenceModel, batch: &TDim) -> Result<(), Error> {
        for (position, input) in model.inputs.clone().into_iter().enumerate() {
            let outputs = model.nodes().get(input.node).map(|node| &node.outputs);
            let output = outputs.and_then(|outputs| outputs.get(input.slot));
            let unused = output.is_some_and(|output| output.successors.is_empty());
            if unused && !model.outputs.contains(&input) {
                continue;
            }
            let mut fact = input_fact(model, position)?;
            let open = fact.shape.dims().next().is_some_and(|axis| match axis {
                GenericFactoid::Any => true,
                GenericFactoid::Only(length) => length.to_i64().is_err(),
            });
            if open {
                fact.shape.set_dim(0, batch.clone());
                model
                    .set_input_fact(position, fact)
                    .map_err(|cause| load(&cause))?;
            }
        }
        model.analyse(false).map_err(|cause| load(&cause))?;
        for (position, name) in self.inputs.iter().enumerate() {
            let mut fact = input_fact(model, position)?;
            let Some(rank) = fact.shape.rank().concretize() else {
                return Err(Error::UnknownRank { name: name.clone() });
            };
            for axis in 0..usize::try_from(rank).unwrap_or(0) {
                if fact
                    .shape
                    .dim(axis)
                    .is_some_and(|length| length.concretize().is_none())
                {
                    let length = model.symbols.sym(&format!("input_{position}_axis_{axis}"));
                    fact.shape.set_dim(axis, length.to_dim());
                }
            }
            model
                .set_input_fact(position, fact)
                .map_err(|cause| load(&cause))?;
        }
        Ok(())
    }
}

fn input_fact(model: &InferenceModel, position: usize) -> Result<InferenceFact, Error> {
    model
        .input_fact(position)
        .cloned()
        .map_err(|cause| load(&cause))
}

/// Refuses a graph in which a value grows beyond all measure: constants are folded when a graph is
/// optimized, so that its size has to be known before.
fn check_volumes(model: &TypedModel) -> Result<(), Error> {
    let one = model
        .symbols
        .all_symbols()
        .iter()
        .fold(SymbolValues::default(), |values, symbol| {
            values.with(symbol, 1)
        });
    for node in model.nodes() {
        for output in &node.outputs {
            let volume = volume(&output.fact, &one);
            if volume > LONGEST_VALUE {
                return Err(Error::TooLarge {
                    what: "elements in a value",
                    found: volume,
                    limit: LONGEST_VALUE,
                });
            }
        }
    }
    Ok(())
}

fn volume(fact: &TypedFact, symbols: &SymbolValues) -> u64 {
    fact.shape.iter().fold(1u64, |volume, axis| {
        let length = axis
            .eval(symbols)
            .to_i64()
            .map_or(u64::MAX, |length| length.max(0) as u64);
        volume.saturating_mul(length)
    })
}

fn ports(
    model: &TypedModel,
    outlets: &[OutletId],
    names: &[String],
    role: Role,
) -> Result<Vec<Port>, Error> {
    let mut ports = Vec::with_capacity(outlets.len());
    for (outlet, name) in outlets.iter().zip(names) {
        let fact = model.outlet_fact(*outlet).map_err(|cause| load(&cause))?;
        let element = element(fact.datum_type, role).ok_or_else(|| Error::UnsupportedElement {
            role,
            name: name.clone(),
            element: format!("{:?}", fact.datum_type).to_lowercase(),
        })?;
        let shape = fact.shape.iter().map(|axis| axis.to_usize().ok()).collect();
        ports.push(Port {
            name: name.clone(),
            shape,
            element,
        });
    }
    Ok(ports)
}

pub(crate) fn load(cause: &TractError) -> Error {
    Error::Load {
        reason: chain(cause),
    }
}

/// A runtime's error with its causes, which this crate's errors cannot carry along.
pub(crate) fn chain(cause: &TractError) -> String {
    let mut text = String::new();
    for (depth, part) in cause.chain().enumerate() {
        if depth > 0 {
            text.push_str(": ");
        }
        text.push_str(&part.to_string());
    }
    text
}
