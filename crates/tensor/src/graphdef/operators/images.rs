//! Resizing and rearranging of images, channels last.

use super::super::attributes::{integer, truth};
use super::super::routine::{Routine, known, own};
use super::{Inputs, Operation, integers_of, of};
use crate::elements::{dispatch_any, dispatch_numbers};
use crate::lowering::{Form, lower, lower_to};
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, DimLike, TDim, TVec, Tensor as Value, ToDim, TractResult, bail, ensure, f16,
};

pub(super) fn operation(read: &Inputs<'_>) -> Result<Option<Operation>, String> {
    let node = read.node;
    let operation = match node.op.as_str() {
        "ResizeBilinear" | "ResizeNearestNeighbor" => {
            let aligned = truth(node, "align_corners");
            let centred = truth(node, "half_pixel_centers");
            if aligned && centred {
                return Err(of(node, "with corners aligned and pixels centred"));
            }
            let bilinear = node.op == "ResizeBilinear";
            Operation::Apply(
                2,
                lower_to("Resize", &[1], 1, move |prefix, model, inputs| {
                    let sizes = known(model, inputs[1])?;
                    let [height, width] = sizes.as_slice() else {
                        bail!("a size that is no height and width");
                    };
                    let sizes = [height.to_usize()?, width.to_usize()?];
                    let resize = Resize {
                        sizes,
                        aligned,
                        centred,
                        bilinear,
                    };
                    own(resize, prefix, model, &inputs[..1])
                }),
            )
        }
        "SpaceToDepth" | "DepthToSpace" => {
            read.channels_last()?;
            let block = usize::try_from(integer(node, "block_size")).unwrap_or(0);
            if !(1..=1 << 10).contains(&block) {
                return Err(of(node, "in blocks of no size"));
            }
            let deeper = node.op == "SpaceToDepth";
            routine("Depth", Depth { block, deeper })
        }
        "SpaceToBatchND" | "BatchToSpaceND" => {
            let blocks = read.numbers(1)?;
            let edges = read.numbers(2)?;
            let bearable = edges.len() == 2 * blocks.len()
                && blocks.iter().all(|block| (1..=1 << 10).contains(block))
                && edges.iter().all(|edge| *edge <= 1 << 16);
            if !bearable {
                return Err(of(node, "in blocks of no size"));
            }
            let apart = node.op == "SpaceToBatchND";
            let edges = edges
                .chunks_exact(2)
                .map(|pair| (pair[0], pair[1]))
                .collect();
            routine(
                "Batch",
                Batch {
                    blocks,
                    edges,
                    apart,
                },
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(operation))
}

impl Inputs<'_> {
    fn numbers(&self, input: usize) -> Result<Vec<usize>, String> {
        let numbers = (self.constant)(input).and_then(|value| integers_of(&value));
        let numbers = numbers.ok_or_else(|| of(self.node, "in blocks that are not constant"))?;
        let numbers: Result<_, _> = numbers.into_iter().map(usize::try_from).collect();
        numbers.map_err(|_| of(self.node, "in blocks of negative size"))
    }
}

pub(super) fn routine(name: &'static str, routine: impl Routine) -> Operation {
    Operation::Apply(
        1,
        lower(name, move |prefix, model, inputs| {
            own(routine.clone(), prefix, model, inputs)
        }),
    )
}

pub(super) fn one(value: Value) -> TVec<Value> {
    [value].into_iter().collect()
}

/// Images of another height and width.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resize {
    sizes: [usize; 2],
    aligned: bool,
    centred: bool,
    bilinear: bool,
}

impl Resize {
    /// Of each element of an axis, the two it lies between, and how far from the first.
    fn sources(&self, length: usize, size: usize) -> Vec<(usize, usize, f32)> {
        let scale = if self.aligned && size > 1 {
            (length - 1) as f32 / (size - 1) as f32
        } else {
            length as f32 / size as f32
        };
        let last = length - 1;
        let source = |position: usize| {
            let position = position as f32;
            if self.bilinear {
                let place = if self.centred {
                    (position + 0.5) * scale - 0.5
                } else {
                    position * scale
                };
                let below = place.floor();
                let first = (below.max(0.0) as usize).min(last);
                return (
                    first,
                    (place.ceil().max(0.0) as usize).min(last),
                    place - below,
                );
            }
            let place = if self.centred {
                (position + 0.5) * scale
            } else {
                position * scale
            };
            let place = if self.aligned {
                place.round()
            } else {
                place.floor()
            };
            let place = (place.max(0.0) as usize).min(last);
            (place, place, 0.0)
        };
        (0..size).map(source).collect()
    }
}

fn nearest<T: Datum + Copy>(resize: &Resize, value: &Value) -> TractResult<Value> {
    let form = value.shape();
    let (height, width, channels) = (form[1], form[2], form[3]);
    let [rows, columns] = resize.sizes;
    let plain = value.try_as_plain_ram()?;
    let from = plain.as_slice::<T>()?;
    let mut found = Vec::with_capacity(form[0] * rows * columns * channels);
    let across = resize.sources(width, columns);
    for image in 0..form[0] {
        for (y, _, _) in resize.sources(height, rows) {
            for (x, _, _) in &across {
                let at = ((image * height + y) * width + x) * channels;
                found.extend_from_slice(&from[at..at + channels]);
            }
        }
    }
    Value::from_shape(&[form[0], rows, columns, channels], &found)
}

fn bilinear(resize: &Resize, value: &Value) -> TractResult<Value> {
    let form = value.shape();
    let (height, width, channels) = (form[1], form[2], form[3]);
    let [rows, columns] = resize.sizes;
    let wide = value.cast_to::<f32>()?;
    let plain = wide.try_as_plain_ram()?;
    let from = plain.as_slice::<f32>()?;
    let mut found = Vec::with_capacity(form[0] * rows * columns * channels);
    let across = resize.sources(width, columns);
    for image in 0..form[0] {
        for (top, bottom, down) in resize.sources(height, rows) {
            for (left, right, along) in &across {
                let at = |y: usize, x: usize, c: usize| {
                    from[((image * height + y) * width + x) * channels + c]
                };
                for c in 0..channels {
                    let above = at(top, *left, c);
                    let above = above + (at(top, *right, c) - above) * along;
                    let below = at(bottom, *left, c);
                    let below = below + (at(bottom, *right, c) - below) * along;
                    found.push(above + (below - above) * down);
                }
            }
        }
    }
    Value::from_shape(&[form[0], rows, columns, channels], &found)
}

impl Routine for Resize {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, form)] = inputs else {
            bail!("a resize of {} inputs", inputs.len());
        };
        ensure!(
            form.len() == 4 && self.sizes.iter().all(|size| *size > 0),
            "{form:?} resized"
        );
        ensure!(
            form.iter().all(|length| *length != TDim::Val(0)),
            "nothing resized"
        );
        let mut shape = form.clone();
        (shape[1], shape[2]) = (self.sizes[0].to_dim(), self.sizes[1].to_dim());
        // The bilinear one makes floating point numbers of all.
        let datum = if self.bilinear {
            DatumType::F32
        } else {
            *datum
        };
        Ok([(datum, shape)].into_iter().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let value = inputs[0];
        ensure!(
            value.shape()[1] > 0 && value.shape()[2] > 0,
            "nothing resized"
        );
        Ok(one(if self.bilinear {
            bilinear(self, value)?
        } else {
            dispatch_any!(value.datum_type(), nearest(self, value))?
        }))
    }
}

/// Blocks of pixels as channels, or the other way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Depth {
    block: usize,
    deeper: bool,
}

fn rearranged<T: Datum + Copy>(
    value: &Value,
    split: &[usize],
    order: &[usize],
    shape: &[usize],
) -> TractResult<Value> {
    use tract_onnx::tract_hir::internal::IntoTensor;
    let view = value
        .to_plain_array_view::<T>()?
        .into_shape_with_order(split)?;
    let moved = view.permuted_axes(order).as_standard_layout().into_owned();
    Ok(moved.into_shape_with_order(shape)?.into_tensor())
}

impl Routine for Depth {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, form)] = inputs else {
            bail!("blocks of {} inputs", inputs.len());
        };
        ensure!(form.len() == 4, "blocks of {form:?}");
        let (block, area) = (self.block, self.block * self.block);
        let whole = |length: &TDim, by: usize| length.to_i64().is_ok_and(|n| n % by as i64 == 0);
        let [images, height, width, channels] = &form[..] else {
            bail!("blocks of {form:?}");
        };
        let shape = if self.deeper {
            ensure!(
                whole(height, block) && whole(width, block),
                "{form:?} in blocks of {block}"
            );
            [
                images.clone(),
                height.clone() / block,
                width.clone() / block,
                channels.clone() * area,
            ]
        } else {
            ensure!(whole(channels, area), "{form:?} in blocks of {block}");
            [
                images.clone(),
                height.clone() * block,
                width.clone() * block,
                channels.clone() / area,
            ]
        };
        Ok([(*datum, shape.into_iter().collect())]
            .into_iter()
            .collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let (value, b) = (inputs[0], self.block);
        let form = value.shape();
        let (n, h, w, c) = (form[0], form[1], form[2], form[3]);
        let (split, order, shape): (Vec<usize>, [usize; 6], [usize; 4]) = if self.deeper {
            let split = vec![n, h / b, b, w / b, b, c];
            (split, [0, 1, 3, 2, 4, 5], [n, h / b, w / b, b * b * c])
        } else {
            let split = vec![n, h, w, b, b, c / (b * b)];
            (split, [0, 1, 3, 2, 4, 5], [n, h * b, w * b, c / (b * b)])
        };
        let result = dispatch_any!(
            value.datum_type(),
            rearranged(value, &split, &order, &shape)
        )?;
        Ok(one(result))
    }
}

/// Pixels that are a block apart as images of their own, or the other way; edges are added
/// before, or cut off after. So are convolutions dilated.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batch {
    blocks: Vec<usize>,
    edges: Vec<(usize, usize)>,
    apart: bool,
}

fn batch_of<T: Datum + Copy + Default>(how: &Batch, value: &Value) -> TractResult<Value> {
    use tract_onnx::tract_hir::internal::IntoTensor;
    use tract_onnx::tract_hir::tract_ndarray::{ArrayD, Axis, Slice};
    let spatial = how.blocks.len();
    let form = value.shape().to_vec();
    let all: usize = how.blocks.iter().product();
    if how.apart {
        let mut wide = form.clone();
        for (axis, (before, after)) in how.edges.iter().enumerate() {
            wide[axis + 1] += before + after;
            ensure!(
                wide[axis + 1].is_multiple_of(how.blocks[axis]),
                "{form:?} in blocks"
            );
        }
        let mut padded = ArrayD::<T>::default(wide.clone());
        let mut inner = padded.view_mut();
        for (axis, (before, _)) in how.edges.iter().enumerate() {
            let range = *before..*before + form[axis + 1];
            inner.slice_axis_inplace(Axis(axis + 1), Slice::from(range));
        }
        inner.assign(&value.to_plain_array_view::<T>()?);
        let (mut split, mut shape) = (vec![form[0]], vec![form[0] * all]);
        for (axis, block) in how.blocks.iter().enumerate() {
            split.extend([wide[axis + 1] / block, *block]);
            shape.push(wide[axis + 1] / block);
        }
        split.extend(&form[spatial + 1..]);
        shape.extend(&form[spatial + 1..]);
        let mut order: Vec<usize> = (0..spatial).map(|axis| 2 + 2 * axis).collect();
        order.push(0);
        order.extend((0..spatial).map(|axis| 1 + 2 * axis));
        order.extend(1 + 2 * spatial..split.len());
        return rearranged::<T>(&padded.into_tensor(), &split, &order, &shape);
    }
    ensure!(
        form[0].is_multiple_of(all),
        "{} images in blocks of {all}",
        form[0]
    );
    let mut split = how.blocks.clone();
    split.push(form[0] / all);
    split.extend(&form[1..]);
    let mut order = vec![spatial];
    let mut shape = vec![form[0] / all];
    for (axis, block) in how.blocks.iter().enumerate() {
        order.extend([spatial + 1 + axis, axis]);
        shape.push(form[axis + 1] * block);
    }
    order.extend(2 * spatial + 1..split.len());
    shape.extend(&form[spatial + 1..]);
    let whole = rearranged::<T>(value, &split, &order, &shape)?;
    let mut view = whole.to_plain_array_view::<T>()?;
    for (axis, (before, after)) in how.edges.iter().enumerate() {
        let length = shape[axis + 1];
        ensure!(before + after <= length, "more cut off than there is");
        view.slice_axis_inplace(Axis(axis + 1), Slice::from(*before..length - after));
    }
    Ok(view.to_owned().into_tensor())
}

impl Routine for Batch {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, form)] = inputs else {
            bail!("blocks of {} inputs", inputs.len());
        };
        ensure!(form.len() > self.blocks.len(), "blocks of {form:?}");
        let all: usize = self.blocks.iter().product();
        let mut shape = form.clone();
        shape[0] = if self.apart {
            form[0].clone() * all
        } else {
            form[0].clone() / all
        };
        for (axis, (block, (before, after))) in self.blocks.iter().zip(&self.edges).enumerate() {
            let length = form[axis + 1].clone();
            shape[axis + 1] = if self.apart {
                let wide = length + *before + *after;
                if let Ok(wide) = wide.to_i64() {
                    ensure!(wide % *block as i64 == 0, "{wide} in blocks of {block}");
                }
                wide / *block
            } else {
                let narrow = length * *block - *before - *after;
                ensure!(
                    narrow.to_i64().map_or(true, |n| n >= 0),
                    "more cut off than there is"
                );
                narrow
            };
        }
        Ok([(*datum, shape)].into_iter().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let value = inputs[0];
        let result = dispatch_numbers!(value.datum_type(), batch_of(self, value))?;
        Ok(one(result))
    }
}
