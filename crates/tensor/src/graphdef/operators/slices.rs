//! Parts of values.

use super::super::attributes::integer;
use super::super::routine::{Routine, axis_of, known, own, shape};
use super::{Inputs, Operation, integers_of, of};
use crate::elements::dispatch_any;
use crate::lowering::{Form, lower, lower_to};
use tract_onnx::tract_hir::internal::{
    AxisOp, Datum, IntoTensor, OutletId, SpecialOps, TDim, TVec, Tensor as Value, TractResult,
    TypedModel, bail, ensure, f16,
};
use tract_onnx::tract_hir::tract_core::ops::array::Slice;
use tract_onnx::tract_hir::tract_ndarray::{self, Axis, Dimension};

/// Parts that a value is split into, at most.
const MOST_PARTS: usize = 256;

pub(super) fn operation(read: &Inputs<'_>) -> Result<Option<Operation>, String> {
    let node = read.node;
    let operation = match node.op.as_str() {
        "Slice" => Operation::Apply(3, lower_to("Slice", &[1, 2], 1, slice)),
        "StridedSlice" => {
            let mask = |name| integer(node, name) as u64;
            let masks = Masks {
                begin: mask("begin_mask"),
                end: mask("end_mask"),
                ellipsis: mask("ellipsis_mask"),
                new: mask("new_axis_mask"),
                shrink: mask("shrink_axis_mask"),
            };
            if masks.ellipsis.count_ones() > 1 {
                return Err(of(node, "with several ellipses"));
            }
            Operation::Apply(
                4,
                lower_to(
                    "StridedSlice",
                    &[1, 2, 3],
                    1,
                    move |prefix, model, inputs| strided(masks, prefix, model, inputs),
                ),
            )
        }
        "MatrixBandPart" => Operation::Apply(
            3,
            lower("MatrixBandPart", |prefix, model, inputs| {
                own(Band, prefix, model, inputs)
            }),
        ),
        "Split" => {
            let (axis, count) = (read.axis(0)?, parts(read, "num_split")?);
            Operation::Pick(
                &[1],
                lower_to("Split", &[], count, move |prefix, model, inputs| {
                    let axis = axis_of(axis, model.outlet_fact(inputs[0])?.rank())?;
                    let whole = shape(model, inputs[0])?[axis].clone();
                    if let Ok(length) = whole.to_i64() {
                        ensure!(length % count as i64 == 0, "{length} in {count} parts");
                    }
                    split(&vec![whole / count; count], axis, prefix, model, inputs[0])
                }),
            )
        }
        "SplitV" => {
            let unknown = || of(node, "in parts that are not constant");
            let sizes = (read.constant)(1).and_then(|sizes| integers_of(&sizes));
            let sizes = sizes.ok_or_else(unknown)?;
            let (axis, count) = (read.axis(2)?, parts(read, "num_split")?);
            let rest = sizes.iter().filter(|size| **size == -1).count();
            if sizes.len() != count || rest > 1 || sizes.iter().any(|size| *size < -1) {
                return Err(of(node, "in parts that contradict each other"));
            }
            Operation::Apply(
                1,
                lower_to("SplitV", &[], count, move |prefix, model, inputs| {
                    let axis = axis_of(axis, model.outlet_fact(inputs[0])?.rank())?;
                    let whole = shape(model, inputs[0])?[axis].clone();
                    let named: i64 = sizes.iter().filter(|size| **size >= 0).sum();
                    if let Ok(length) = whole.to_i64() {
                        let fits = if rest == 0 {
                            length == named
                        } else {
                            length >= named
                        };
                        ensure!(fits, "{length} in parts of {sizes:?}");
                    }
                    ensure!(
                        rest == 1 || whole.to_i64().is_ok(),
                        "an unknown length in parts"
                    );
                    let size = |size: &i64| match *size {
                        -1 => whole.clone() - named,
                        size => TDim::Val(size),
                    };
                    let sizes: Vec<TDim> = sizes.iter().map(size).collect();
                    split(&sizes, axis, prefix, model, inputs[0])
                }),
            )
        }
        "Unpack" => {
            let (axis, count) = (integer(node, "axis"), parts(read, "num")?);
            Operation::Apply(
                1,
                lower_to("Unpack", &[], count, move |prefix, model, inputs| {
                    let axis = axis_of(axis, model.outlet_fact(inputs[0])?.rank())?;
                    let whole = shape(model, inputs[0])?[axis].clone();
                    ensure!(whole == TDim::Val(count as i64), "{whole} in {count} parts");
                    let whole = format!("{prefix}.parts");
                    let parts = split(&vec![TDim::Val(1); count], axis, &whole, model, inputs[0])?;
                    let mut wires = TVec::new();
                    for (position, part) in parts.iter().enumerate() {
                        let name = format!("{prefix}.{position}");
                        wires.extend(model.wire_node(name, AxisOp::Rm(axis), &[*part])?);
                    }
                    Ok(wires)
                }),
            )
        }
        "ReverseV2" => {
            let axes = read.axes(1)?;
            Operation::Apply(
                1,
                lower("ReverseV2", move |prefix, model, inputs| {
                    let mut wires: TVec<OutletId> = [inputs[0]].into_iter().collect();
                    for (position, axis) in axes.iter().enumerate() {
                        let axis = axis_of(*axis, model.outlet_fact(inputs[0])?.rank())?;
                        let stride = Stride { axis, step: -1 };
                        wires = own(stride, &format!("{prefix}.{position}"), model, &wires)?;
                    }
                    Ok(wires)
                }),
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(operation))
}

fn parts(read: &Inputs<'_>, attribute: &str) -> Result<usize, String> {
    match usize::try_from(integer(read.node, attribute)) {
        Ok(count @ 1..=MOST_PARTS) => Ok(count),
        _ => Err(of(read.node, "in no or too many parts")),
    }
}

fn split(
    sizes: &[TDim],
    axis: usize,
    prefix: &str,
    model: &mut TypedModel,
    input: OutletId,
) -> TractResult<TVec<OutletId>> {
    let mut start = TDim::Val(0);
    let mut wires = TVec::new();
    for (position, size) in sizes.iter().enumerate() {
        let end = start.clone() + size;
        let name = format!("{prefix}.{position}");
        wires.extend(model.wire_node(name, Slice::new(axis, start, end.clone()), &[input])?);
        start = end;
    }
    Ok(wires)
}

fn slice(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let (begin, size) = (known(model, inputs[1])?, known(model, inputs[2])?);
    let whole = shape(model, inputs[0])?;
    ensure!(
        begin.len() == whole.len() && size.len() == whole.len(),
        "another number of axes"
    );
    let mut wires: TVec<OutletId> = [inputs[0]].into_iter().collect();
    for (axis, ((begin, size), whole)) in begin.iter().zip(&size).zip(&whole).enumerate() {
        let end = match size.to_i64() {
            Ok(-1) => whole.clone(),
            _ => begin.clone() + size,
        };
        if *begin == TDim::Val(0) && end == *whole {
            continue;
        }
        for length in [begin, &(end.clone() - begin), &(whole.clone() - &end)] {
            ensure!(
                length.to_i64().map_or(true, |length| length >= 0),
                "a slice beyond the value"
            );
        }
        let name = format!("{prefix}.{axis}");
        wires = model.wire_node(name, Slice::new(axis, begin.clone(), end), &wires)?;
    }
    Ok(wires)
}

#[derive(Debug, Clone, Copy)]
struct Masks {
    begin: u64,
    end: u64,
    ellipsis: u64,
    new: u64,
    shrink: u64,
}

fn strided(
    masks: Masks,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let (begin, end) = (known(model, inputs[1])?, known(model, inputs[2])?);
    let steps = known(model, inputs[3])?;
    let terms = begin.len();
    ensure!(
        end.len() == terms && steps.len() == terms && terms <= 32,
        "bounds do not agree"
    );
    let rank = model.outlet_fact(inputs[0])?.rank();
    let has = |mask: u64, term: usize| mask >> term & 1 == 1;
    let ellipsis = (0..terms).find(|term| has(masks.ellipsis, *term));
    let used = (0..terms).filter(|term| !has(masks.new, *term) && Some(*term) != ellipsis);
    let used = used.count();
    ensure!(used <= rank, "{used} bounds of {rank} axes");
    let mut wires: TVec<OutletId> = [inputs[0]].into_iter().collect();
    let mut axis = 0;
    for term in 0..terms {
        let name = format!("{prefix}.{term}");
        if Some(term) == ellipsis {
            axis += rank - used;
            continue;
        }
        if has(masks.new, term) {
            wires = model.wire_node(name, AxisOp::Add(axis), &wires)?;
            axis += 1;
            continue;
        }
        let whole = shape(model, wires[0])?[axis].clone();
        let Ok(step) = steps[term].to_i64() else {
            bail!("a step that is not known before running");
        };
        if has(masks.shrink, term) {
            ensure!(step > 0, "one element by a step of {step}");
            let start = match begin[term].to_i64() {
                Ok(index) if index < 0 => whole.clone() + index,
                _ => begin[term].clone(),
            };
            let outside = |place: &TDim| place.to_i64().is_ok_and(|place| place < 0);
            ensure!(
                !outside(&start) && !outside(&(whole - &start - 1)),
                "an index beyond the value"
            );
            let one = Slice::new(axis, start.clone(), start + 1);
            wires = model.wire_node(format!("{name}.one"), one, &wires)?;
            wires = model.wire_node(name, AxisOp::Rm(axis), &wires)?;
            continue;
        }
        let begin = (!has(masks.begin, term)).then(|| &begin[term]);
        let end = (!has(masks.end, term)).then(|| &end[term]);
        let (start, stop, step) = bounds(begin, end, step, &whole)?;
        if start != TDim::Val(0) || stop != whole {
            let part = Slice::new(axis, start, stop);
            wires = model.wire_node(format!("{name}.part"), part, &wires)?;
        }
        if step != 1 {
            wires = own(Stride { axis, step }, &name, model, &wires)?;
        }
        axis += 1;
    }
    Ok(wires)
}

/// The part of an axis that is stepped through, from its first element, or backwards from its
/// last.
fn bounds(
    begin: Option<&TDim>,
    end: Option<&TDim>,
    step: i64,
    whole: &TDim,
) -> TractResult<(TDim, TDim, i64)> {
    ensure!(step != 0 && step != i64::MIN, "a step of {step}");
    let number = |bound: Option<&TDim>| bound.map(TDim::to_i64).transpose();
    if let (Ok(length), Ok(begin), Ok(end)) = (whole.to_i64(), number(begin), number(end)) {
        let (least, most) = if step > 0 {
            (0, length)
        } else {
            (-1, length - 1)
        };
        let place = |bound: i64| {
            let from = if bound < 0 { length } else { 0 };
            (bound.saturating_add(from)).clamp(least, most)
        };
        let (first, last) = if step > 0 {
            (least, most)
        } else {
            (most, least)
        };
        let (begin, end) = (begin.map_or(first, place), end.map_or(last, place));
        let (start, stop) = if step > 0 {
            (begin, end)
        } else {
            (end + 1, begin + 1)
        };
        return Ok((start.into(), stop.max(start).into(), step));
    }
    // Of an axis whose length is not known yet, bounds that are beyond it fail when it is.
    let place = |bound: &TDim| match bound.to_i64() {
        Ok(bound) if bound < 0 => whole.clone() + bound,
        _ => bound.clone(),
    };
    match (step > 0, begin, end) {
        (false, None, None) => Ok((TDim::Val(0), whole.clone(), step)),
        (true, begin, end) => {
            let begin = begin.map_or(TDim::Val(0), place);
            let end = end.map_or(whole.clone(), |end| {
                let stop = place(end);
                let single = stop.clone() - &begin == TDim::Val(1);
                // A number may be beyond the end, which is not an error.
                if end.to_i64().is_ok_and(|end| end >= 0) && !single {
                    TDim::Min(vec![stop, whole.clone()]).reduce()
                } else {
                    stop
                }
            });
            Ok((begin, end, step))
        }
        _ => bail!("backwards from an unknown place"),
    }
}

/// Every so many elements along an axis, from the first on, or backwards from the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stride {
    pub(super) axis: usize,
    pub(super) step: i64,
}

impl Routine for Stride {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, shape)] = inputs else {
            bail!("a stride through {} inputs", inputs.len());
        };
        let mut shape = shape.clone();
        let Some(length) = shape.get_mut(self.axis) else {
            bail!("no axis {}", self.axis);
        };
        *length = length.clone().div_ceil(self.step.unsigned_abs());
        Ok([(*datum, shape)].into_iter().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        fn stepped<T: Datum + Clone>(value: &Value, axis: usize, step: i64) -> TractResult<Value> {
            let view = value.to_plain_array_view::<T>()?;
            let every = tract_ndarray::Slice::new(0, None, step as isize);
            Ok(view
                .slice_axis(Axis(axis), every)
                .into_owned()
                .into_tensor())
        }
        let value = inputs[0];
        let result = dispatch_any!(value.datum_type(), stepped(value, self.axis, self.step))?;
        Ok([result].into_iter().collect())
    }
}

/// `MatrixBandPart`: of each matrix the diagonals from so many below the main one to so many above
/// it, and zeros elsewhere. A negative number stands for all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Band;

impl Band {
    fn banded<T: Datum + Default + Copy>(
        &self,
        value: &Value,
        below: i64,
        above: i64,
    ) -> TractResult<Value> {
        let mut band = value.to_plain_array_view::<T>()?.to_owned();
        for (position, element) in band.indexed_iter_mut() {
            let [.., row, column] = *position.slice() else {
                bail!("a value of no matrices");
            };
            let beyond = column as i64 - row as i64;
            let is_outside = (above >= 0 && beyond > above) || (below >= 0 && -beyond > below);
            if is_outside {
                *element = T::default();
            }
        }
        Ok(band.into_tensor())
    }
}

impl Routine for Band {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        ensure!(inputs.len() == 3, "{} inputs, not three", inputs.len());
        ensure!(inputs[0].1.len() >= 2, "a value of no matrices");
        Ok(inputs[..1].iter().cloned().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let count = |input: &Value| input.cast_to_scalar::<i64>();
        let (below, above) = (count(inputs[1])?, count(inputs[2])?);
        let value = inputs[0];
        let band = dispatch_any!(value.datum_type(), self.banded(value, below, above))?;
        Ok([band].into_iter().collect())
    }
}
