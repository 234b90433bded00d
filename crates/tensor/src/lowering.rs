//! Operators that are put together of the runtime's.

use std::fmt;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    DatumType, DatumTypeExt, Expansion, InferenceOp, InferenceResult, OutletId, ShapeFactoid,
    Solver, SpecialOps, StaticName, TDim, TVec, Tensor as Value, TensorProxy, TractResult,
    TypedModel, bail, ensure, expand,
};

/// The type and the shape of a value.
pub(crate) type Form = (DatumType, TVec<TDim>);

type Wire = dyn Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>> + Send + Sync;

/// An operator that is put together of the runtime's once the shapes of its inputs are known.
#[derive(Clone)]
struct Lowered {
    name: &'static str,
    /// The inputs whose values have to be known, too.
    known: &'static [usize],
    outputs: usize,
    wire: Arc<Wire>,
}

/// An operator of one output; see [`lower_to`].
pub(crate) fn lower(
    name: &'static str,
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>
    + Send
    + Sync
    + 'static,
) -> Box<dyn InferenceOp> {
    lower_to(name, &[], 1, wire)
}

/// An operator that `wire` adds to a graph, once the forms of its inputs are known and the values
/// of those in `known`, which are constants in the graph.
pub(crate) fn lower_to(
    name: &'static str,
    known: &'static [usize],
    outputs: usize,
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>
    + Send
    + Sync
    + 'static,
) -> Box<dyn InferenceOp> {
    let wire = Arc::new(wire);
    expand(Lowered {
        name,
        known,
        outputs,
        wire,
    })
}

impl fmt::Debug for Lowered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Lowered {
    /// The forms of the outputs: those of a graph that consists of nothing else.
    fn forms(
        &self,
        types: &[DatumType],
        shapes: &[TVec<TDim>],
        values: &[Arc<Value>],
    ) -> TractResult<Vec<Form>> {
        let mut model = TypedModel::default();
        let mut inputs = Vec::with_capacity(types.len());
        for (position, (datum, shape)) in types.iter().zip(shapes).enumerate() {
            let name = format!("input.{position}");
            let value = self.known.iter().position(|known| *known == position);
            inputs.push(match value.and_then(|value| values.get(value)) {
                Some(value) => model.add_const(name, Arc::clone(value))?,
                None => model.add_source(name, datum.fact(&**shape))?,
            });
        }
        let outputs = (self.wire)(self.name, &mut model, &inputs)?;
        let forms = outputs.iter().map(|outlet| {
            let fact = model.outlet_fact(*outlet)?;
            Ok((fact.datum_type, fact.shape.to_tvec()))
        });
        forms.collect()
    }

    fn settle(
        &self,
        solver: &mut Solver<'_>,
        outputs: &[TensorProxy],
        (types, shapes): (&[DatumType], &[TVec<TDim>]),
        values: &[Arc<Value>],
    ) -> InferenceResult {
        let forms = self.forms(types, shapes, values)?;
        ensure!(
            forms.len() == outputs.len(),
            "{} of {} outputs",
            self.name,
            forms.len()
        );
        for ((datum, shape), output) in forms.into_iter().zip(outputs) {
            solver.equals(&output.datum_type, datum)?;
            solver.equals(&output.shape, ShapeFactoid::from(shape))?;
        }
        Ok(())
    }
}

impl Expansion for Lowered {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        if outputs.len() != self.outputs {
            bail!("{} has {} outputs", self.name, self.outputs);
        }
        let types = inputs.iter().map(|input| &input.datum_type);
        solver.given_all(types, move |solver, types: Vec<DatumType>| {
            let shapes = inputs.iter().map(|input| &input.shape);
            solver.given_all(shapes, move |solver, shapes: Vec<TVec<TDim>>| {
                if self.known.is_empty() {
                    return self.settle(solver, outputs, (&types, &shapes), &[]);
                }
                let mut known = Vec::with_capacity(self.known.len());
                for position in self.known {
                    match inputs.get(*position) {
                        Some(input) => known.push(&input.value),
                        None => bail!("{} of {} inputs", self.name, inputs.len()),
                    }
                }
                let (types, shapes) = (types.clone(), shapes.clone());
                solver.given_all(known, move |solver, values: Vec<Arc<Value>>| {
                    self.settle(solver, outputs, (&types, &shapes), &values)
                })
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        (self.wire)(prefix, model, inputs)
    }
}
