//! Distances of all rows of one matrix from all rows of another: `com.microsoft.CDist`, and the
//! `Scan` that scikit-learn's neighbours and kernels become where that operator is not to be used.
//! Every other `Scan` is refused.

use super::kernel::{Fact, Kernel, fact};
use crate::elements::{dispatch_reals, slice};
use std::sync::Arc;
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, TDim, TValue, Tensor as Value, TractResult, bail, ensure, format_err,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Euclidean,
    SquaredEuclidean,
    Manhattan,
}

/// What a `Scan` computes, if it is one of distances.
fn scanned(node: &NodeProto) -> Option<Metric> {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let listed = ["body", "num_scan_inputs"];
    let ordinary = |a: &tract_onnx::pb::AttributeProto| {
        // Axes and directions other than the first and forward.
        listed.contains(&a.name.as_str()) || a.ints.iter().all(|number| *number == 0)
    };
    if !node.attribute.iter().all(ordinary)
        || attribute("num_scan_inputs")?.i != 1
        || node.input.len() != 2
        || node.output.len() != 2
    {
        return None;
    }
    body(attribute("body")?.g.as_ref()?)
}

/// One value passes through; the rows of the other are subtracted from it, and each row of the
/// difference is reduced to a number.
fn body(graph: &GraphProto) -> Option<Metric> {
    let ([passing, row], [passed, distance]) = (&*graph.input, &*graph.output) else {
        return None;
    };
    let maker = |name: &str| {
        let mut makers = graph.node.iter();
        makers.find(|node| node.output.iter().any(|output| output == name))
    };
    let through = |name: &str| {
        let mut name = name.to_owned();
        while let Some(node) = maker(&name).filter(|node| node.op_type == "Identity") {
            name.clone_from(node.input.first()?);
        }
        Some(name)
    };
    if through(&passed.name)? != passing.name {
        return None;
    }
    let reduction = maker(&through(&distance.name)?)?;
    let flag = |name: &str| reduction.attribute.iter().find(|a| a.name == name);
    let axes = match flag("axes") {
        Some(axes) => axes.ints.clone(),
        None => {
            let name = reduction.input.get(1)?;
            let tensor = graph
                .initializer
                .iter()
                .find(|tensor| tensor.name == *name)?;
            if tensor.raw_data.is_empty() {
                tensor.int64_data.clone()
            } else {
                vec![i64::from_le_bytes(
                    tensor.raw_data.as_slice().try_into().ok()?,
                )]
            }
        }
    };
    if flag("keepdims").is_none_or(|keeps| keeps.i != 0) || !matches!(*axes, [1 | -1]) {
        return None;
    }
    let reduced = maker(reduction.input.first()?)?;
    let (metric, difference) = match (reduction.op_type.as_str(), reduced.op_type.as_str()) {
        ("ReduceSumSquare", "Sub") => (Metric::SquaredEuclidean, reduced),
        ("ReduceSum", "Abs") => (Metric::Manhattan, maker(reduced.input.first()?)?),
        _ => return None,
    };
    let same = difference.op_type == "Sub"
        && *difference.input == [passing.name.clone(), row.name.clone()];
    same.then_some(metric)
}

pub(super) fn is_scan_of_distances(node: &NodeProto) -> bool {
    scanned(node).is_some()
}

/// Distances, and of a `Scan` what passes through before them.
struct Distances {
    metric: Metric,
    scans: bool,
}

pub(super) fn scan(node: &NodeProto) -> TractResult<Arc<dyn Kernel>> {
    let metric = scanned(node).ok_or_else(|| format_err!("a Scan that is not of distances"))?;
    Ok(Arc::new(Distances {
        metric,
        scans: true,
    }))
}

pub(super) fn distances(
    attributes: super::attributes::Attributes<'_>,
) -> TractResult<Arc<dyn Kernel>> {
    let metric = match attributes.text("metric", "sqeuclidean")?.as_str() {
        "euclidean" => Metric::Euclidean,
        "sqeuclidean" => Metric::SquaredEuclidean,
        other => bail!("unknown metric `{other}`"),
    };
    Ok(Arc::new(Distances {
        metric,
        scans: false,
    }))
}

impl Distances {
    fn of<T: Real>(&self, left: &Value, right: &Value) -> TractResult<Value> {
        let ([rows, width], [others, other_width]) = (left.shape(), right.shape()) else {
            bail!("distances of {:?} and {:?}", left.shape(), right.shape());
        };
        ensure!(
            width == other_width && *width > 0,
            "rows of {width} and {other_width}"
        );
        let (left, right) = (slice::<T>(left)?, slice::<T>(right)?);
        // A scan gathers a row for each row of the second matrix.
        let shape = if self.scans {
            [*others, *rows]
        } else {
            [*rows, *others]
        };
        let mut found = Vec::with_capacity(rows * others);
        let (first, second) = if self.scans {
            (right, left)
        } else {
            (left, right)
        };
        for a in first.chunks_exact(*width) {
            found.extend(
                second
                    .chunks_exact(*width)
                    .map(|b| T::distance(self.metric, a, b)),
            );
        }
        Value::from_shape(&shape, &found)
    }
}

trait Real: Datum + Copy {
    fn distance(metric: Metric, a: &[Self], b: &[Self]) -> Self;
}

macro_rules! real {
    ($real:ty) => {
        impl Real for $real {
            fn distance(metric: Metric, a: &[$real], b: &[$real]) -> $real {
                let differences = a.iter().zip(b).map(|(a, b)| a - b);
                let squares = || differences.clone().fold(0.0, |sum: $real, d| sum + d * d);
                match metric {
                    Metric::Manhattan => differences.fold(0.0, |sum, d| sum + d.abs()),
                    Metric::SquaredEuclidean => squares(),
                    Metric::Euclidean => squares().sqrt(),
                }
            }
        }
    };
}

real!(f32);
real!(f64);

impl Kernel for Distances {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let [(left, left_shape), (right, right_shape)] = inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        ensure!(
            left == right && matches!(left, DatumType::F32 | DatumType::F64),
            "distances of {left:?} and {right:?}"
        );
        let rows = |shape: &[TDim]| match shape {
            [rows, _] => Ok(rows.clone()),
            _ => bail!("distances of {shape:?}"),
        };
        let (rows, others) = (rows(left_shape)?, rows(right_shape)?);
        Ok(if self.scans {
            vec![(*left, left_shape.clone()), fact(*left, [others, rows])]
        } else {
            vec![fact(*left, [rows, others])]
        })
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let [left, right] = inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        let distances = dispatch_reals!(left.datum_type(), self.of(left, right))?;
        Ok(if self.scans {
            vec![(**left).clone(), distances]
        } else {
            vec![distances]
        })
    }
}
