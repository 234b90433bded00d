//! Reductions along axes, and products.

use super::super::attributes::{datum, text, truth};
use super::super::routine::{Routine, axis_of, lengths, own};
use super::{Inputs, Operation, both, floating, of};
use crate::einsum::{Terms, einsum};
use crate::elements::dispatch_reals;
use crate::lowering::{Form, lower};
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, ElementWiseIntoHir, Expansion, IntoTensor, OutletId, SpecialOps, TDim, TVec,
    Tensor as Value, TractResult, TypedModel, bail, ensure, expand, tensor0,
};
use tract_onnx::tract_hir::ops::cast::cast;
use tract_onnx::tract_hir::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::ops::{math, matmul};
use tract_onnx::tract_hir::tract_ndarray::Axis;
use tract_onnx::tract_hir::tract_num_traits::Float;

pub(super) fn operation(read: &Inputs<'_>) -> Result<Option<Operation>, String> {
    let node = read.node;
    let operation = match node.op.as_str() {
        "ArgMax" => position(read, Reducer::ArgMax(false)),
        "ArgMin" => position(read, Reducer::ArgMin(false)),
        "Max" => reduction(read, Reducer::Max),
        "Mean" => reduction(read, Reducer::Mean),
        "Min" => reduction(read, Reducer::Min),
        "Prod" => reduction(read, Reducer::Prod),
        "Sum" => reduction(read, Reducer::Sum),
        "EuclideanNorm" => {
            floating(node, math::square().into_hir())?;
            let kept = truth(node, "keep_dims");
            read.along(1, "EuclideanNorm", move |axes, prefix, model, input| {
                let name = format!("{prefix}.squares");
                let squares = model.wire_node(name, math::square(), &[input])?;
                let name = format!("{prefix}.sum");
                let sum = reduced(Reducer::Sum, axes, kept, &name, model, squares[0])?;
                model.wire_node(prefix, math::sqrt(), &sum)
            })
        }
        "All" => truths(read, Reducer::Prod),
        "Any" => truths(read, Reducer::Sum),
        "L2Loss" => Operation::Chain(
            1,
            vec![
                floating(node, math::square().into_hir())?,
                expand(Reduce::new(None, false, Reducer::Sum)),
                lower("L2Loss", |prefix, model, inputs| {
                    let fact = model.outlet_fact(inputs[0])?;
                    let two = tensor0(0.5f32).cast_to_dt(fact.datum_type)?.into_owned();
                    let two = model.add_const(format!("{prefix}.half"), two)?;
                    let wires = [inputs[0], two];
                    model.wire_node(prefix, math::mul(), &wires)
                }),
            ],
        ),
        "MatMul" => read.product("transpose_a", "transpose_b")?,
        "BatchMatMul" | "BatchMatMulV2" => read.product("adj_x", "adj_y")?,
        "BatchMatMulV3" => {
            let same =
                datum(node, "Ta") == datum(node, "Tb") && datum(node, "Ta") == datum(node, "Tout");
            if !same {
                return Err(of(node, "of several types"));
            }
            read.product("adj_x", "adj_y")?
        }
        "Einsum" => {
            let equation = text(node, "equation").and_then(|text| std::str::from_utf8(text).ok());
            let equation = equation.ok_or_else(|| of(node, "without an equation"))?;
            let terms = Terms::of(equation).ok_or_else(|| of(node, &format!("of `{equation}`")))?;
            if terms.inputs.len() != read.arity {
                return Err(of(node, "of another number of inputs"));
            }
            Operation::Apply(
                read.arity,
                floating(
                    node,
                    lower("Einsum", move |prefix, model, inputs| {
                        einsum(&terms, prefix, model, inputs)
                    }),
                )?,
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(operation))
}

/// A reduction along axes that are in the graph.
fn reduction(read: &Inputs<'_>, reducer: Reducer) -> Operation {
    let kept = truth(read.node, "keep_dims");
    read.along(1, "Reduction", move |axes, prefix, model, input| {
        reduced(reducer, axes, kept, prefix, model, input)
    })
}

fn reduced(
    reducer: Reducer,
    axes: &[i64],
    kept: bool,
    prefix: &str,
    model: &mut TypedModel,
    input: OutletId,
) -> TractResult<TVec<OutletId>> {
    let fact = model.outlet_fact(input)?;
    let (datum, rank) = (fact.datum_type, fact.rank());
    let resolved = axes.iter().map(|axis| axis_of(*axis, rank));
    let mut resolved = resolved.collect::<TractResult<Vec<usize>>>()?;
    resolved.sort_unstable();
    ensure!(
        resolved.windows(2).all(|pair| pair[0] != pair[1]),
        "an axis twice: {axes:?}"
    );
    if let (DatumType::TDim, 1, Some(value)) = (datum, axes.len(), &fact.konst) {
        // Of lengths that may be unknown, with which the runtime cannot do that.
        let lengths = lengths(value)?.into_iter();
        let result = match reducer {
            Reducer::Prod => lengths.product(),
            Reducer::Sum => lengths.sum(),
            _ => bail!("{reducer:?} of lengths"),
        };
        let shape = vec![1; if kept { rank } else { rank - 1 }];
        let result = tensor0::<TDim>(result).into_shape(&shape)?;
        return Ok([model.add_const(prefix, result)?].into_iter().collect());
    }
    if matches!(reducer, Reducer::Max | Reducer::Min) && datum.is_float() {
        let largest = reducer == Reducer::Max;
        let extreme = Along {
            axes: resolved,
            kept,
            largest,
        };
        return own(extreme, prefix, model, &[input]);
    }
    Reduce::new(Some(axes.to_vec()), kept, reducer).wire(prefix, model, &[input])
}

/// Of truth values, as numbers.
fn truths(read: &Inputs<'_>, reducer: Reducer) -> Operation {
    let kept = truth(read.node, "keep_dims");
    read.along(1, "Truths", move |axes, prefix, model, input| {
        let counts = model.wire_node(format!("{prefix}.counts"), cast(DatumType::I64), &[input])?;
        let name = format!("{prefix}.reduced");
        let count = reduced(reducer, axes, kept, &name, model, counts[0])?;
        model.wire_node(prefix, cast(DatumType::Bool), &count)
    })
}

fn position(read: &Inputs<'_>, reducer: Reducer) -> Operation {
    let datum = datum(read.node, "output_type").unwrap_or(DatumType::I64);
    read.along(1, "Position", move |axes, prefix, model, input| {
        ensure!(axes.len() == 1, "along several axes");
        let name = format!("{prefix}.index");
        let index = reduced(reducer, axes, false, &name, model, input)?;
        model.wire_node(prefix, cast(datum), &index)
    })
}

/// The largest or the smallest number along axes. The runtime's own forget NaN.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Along {
    axes: Vec<usize>,
    kept: bool,
    largest: bool,
}

impl Along {
    fn shape<D: Clone>(&self, shape: &[D], one: D) -> TVec<D> {
        let lengths = shape.iter().enumerate();
        let lengths = lengths.filter_map(|(axis, length)| match self.axes.contains(&axis) {
            false => Some(length.clone()),
            true => self.kept.then(|| one.clone()),
        });
        lengths.collect()
    }
}

fn extreme<T: Datum + Float>(how: &Along, value: &Value) -> TractResult<Value> {
    let mut found = value.to_plain_array_view::<T>()?.to_owned();
    let start = if how.largest {
        T::neg_infinity()
    } else {
        T::infinity()
    };
    for axis in how.axes.iter().rev() {
        found = found.fold_axis(Axis(*axis), start, |most, next| {
            let further = if how.largest {
                next > most
            } else {
                next < most
            };
            if further || next.is_nan() {
                *next
            } else {
                *most
            }
        });
    }
    let shape = how.shape(value.shape(), 1);
    Ok(found.into_shape_with_order(&*shape)?.into_tensor())
}

impl Routine for Along {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let one = TDim::Val(1);
        let forms = inputs.iter();
        Ok(forms
            .map(|(datum, shape)| (*datum, self.shape(shape, one.clone())))
            .collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let value = inputs[0];
        let found = dispatch_reals!(value.datum_type(), extreme(self, value))?;
        Ok([found].into_iter().collect())
    }
}

impl Inputs<'_> {
    fn product(&self, left: &str, right: &str) -> Result<Operation, String> {
        let product = matmul::MatMulInference::default()
            .with_a_trans(truth(self.node, left))
            .with_b_trans(truth(self.node, right));
        let both_types = if self.node.op == "BatchMatMulV3" {
            "Ta"
        } else {
            "T"
        };
        match datum(self.node, both_types).map_err(|what| of(self.node, &what))? {
            DatumType::F32 | DatumType::F64 => Ok(both(expand(product))),
            _ => Err(of(self.node, "of integers")),
        }
    }
}
