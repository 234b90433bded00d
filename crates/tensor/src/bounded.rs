//! Keeps the analysis of a graph from computing values beyond all measure: it evaluates every
//! operator whose inputs are constants, and a few bytes of a file can ask for a huge result.

use crate::plan::LONGEST_VALUE;
use std::collections::HashMap;
use tract_onnx::tract_hir::internal::{
    EvalContext, EvalOp, Factoid, InferenceFact, InferenceModel, InferenceModelPatch,
    InferenceNode, InferenceOp, Op, OpState, OutletId, StaticName, TValue, TVec, TractResult,
    TypedModel, TypedOp, bail,
};

/// An operator that is evaluated only if its results are of a bearable size.
#[derive(Debug, Clone)]
struct Bounded(Box<dyn InferenceOp>);

/// Bounds every operator of a graph.
pub(crate) fn bound(model: &mut InferenceModel) {
    for node in model.nodes_mut() {
        // Sources and constants have no inputs, and some passes look for them by type.
        if !node.inputs.is_empty() {
            node.op = Box::new(Bounded(node.op.clone()));
        }
    }
}

impl Bounded {
    fn check(outputs: &[InferenceFact]) -> TractResult<()> {
        for fact in outputs {
            let lengths = fact
                .shape
                .dims()
                .filter_map(|axis| axis.concretize()?.to_i64().ok());
            let volume = lengths.fold(1u64, |volume, length| {
                volume.saturating_mul(u64::try_from(length).unwrap_or(u64::MAX))
            });
            if volume > LONGEST_VALUE {
                bail!("a value would have {volume} elements");
            }
        }
        Ok(())
    }
}

impl PartialEq for Bounded {
    /// As of the runtime's own wrappers: no two nodes are taken for the same.
    fn eq(&self, _: &Bounded) -> bool {
        false
    }
}

impl Eq for Bounded {}

impl Op for Bounded {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn as_typed(&self) -> Option<&dyn TypedOp> {
        None
    }
}

impl EvalOp for Bounded {
    fn eval(&self, context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }

    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.0.eval_out_of_plan(inputs)
    }

    fn state(&self, context: &EvalContext<'_>) -> TractResult<Option<Box<dyn OpState>>> {
        self.0.state(context)
    }
}

type Facts = TVec<InferenceFact>;

impl InferenceOp for Bounded {
    fn infer(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(Facts, Facts, Facts)> {
        let (_, known, _) =
            self.0
                .infer_facts(inputs.clone(), outputs.clone(), observed.clone())?;
        Bounded::check(&known)?;
        self.0.infer(inputs, outputs, observed)
    }

    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(Facts, Facts, Facts)> {
        self.0.infer_facts(inputs, outputs, observed)
    }

    fn observe_outlets(
        &self,
        model: &InferenceModel,
        node: &InferenceNode,
    ) -> TractResult<Vec<OutletId>> {
        self.0.observe_outlets(model, node)
    }

    fn incorporate(
        &self,
        model: &InferenceModel,
        node: &InferenceNode,
    ) -> TractResult<Option<InferenceModelPatch>> {
        self.0.incorporate(model, node)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.0.nboutputs()
    }

    fn as_op(&self) -> &dyn Op {
        self.0.as_op()
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self.0.as_op_mut()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        self.0.to_typed(source, node, target, mapping)
    }
}
