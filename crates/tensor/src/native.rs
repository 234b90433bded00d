//! Graphs that this crate runs itself, with tract.

use crate::graph::Rows;
use crate::layers::{Layers, Memory, Number};
use crate::plan::chain;
use crate::shield::shield;
use crate::values::{from_value, to_value};
use crate::{Data, Error, Tensor};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    DatumType, IntoTValue, TValue, TVec, Tensor as Value, TractResult, TypedSimplePlan,
    TypedSimpleState,
};

/// A plan, and the runtime's types of its inputs.
pub(crate) struct Native {
    pub(crate) runnable: Arc<TypedSimplePlan>,
    pub(crate) types: Vec<DatumType>,
    /// All that there is to run, if it is layers only: they run without the runtime.
    pub(crate) layers: Option<Arc<Layers>>,
}

/// Memory that running reuses. It belongs to one thread at a time, and fits any graph: it adapts
/// itself to the one it is used with.
#[derive(Debug, Default)]
pub struct Scratch {
    state: Option<TypedSimpleState>,
    memory: Memory,
}

impl Native {
    /// Computes all outputs; the inputs have been checked.
    pub(crate) fn run(
        &self,
        inputs: &[Tensor],
        scratch: &mut Scratch,
    ) -> Result<Vec<Tensor>, Error> {
        if let Some(layers) = &self.layers
            && let [
                Tensor {
                    shape,
                    data: Data::Float(rows),
                },
            ] = inputs
            && let Some(shape) = layers.output_shape(shape)
        {
            let mut values = vec![0.0; rows.len() / layers.depth() * layers.width()];
            layers.score(rows, &mut values, &mut scratch.memory);
            let data = Data::Float(values);
            return Ok(vec![Tensor { shape, data }]);
        }
        scratch.guarded(&self.runnable, |state| {
            let values = inputs
                .iter()
                .zip(&self.types)
                .map(|(tensor, datum)| Ok(to_value(tensor, *datum)?.into_tvalue()))
                .collect::<TractResult<TVec<TValue>>>()?;
            state.run(values)?.iter().map(from_value).collect()
        })
    }

    /// Appends the first output's numbers for `count` rows, and says how many a row has. That the
    /// rows are what the graph takes has been checked.
    pub(crate) fn run_rows(
        &self,
        rows: &[f64],
        count: usize,
        form: &Rows,
        scratch: &mut Scratch,
        outputs: &mut Vec<f64>,
    ) -> Result<usize, Error> {
        if let Some(width) = self.score(rows, count, scratch, outputs) {
            return Ok(width);
        }
        let Some(datum) = self.types.first() else {
            return Ok(0);
        };
        scratch.guarded(&self.runnable, |state| {
            if form.batched {
                let shape = [count, form.width];
                return run_once(state, rows, &shape, *datum, count, outputs);
            }
            let mut values = 0;
            for row in rows.chunks_exact(form.width) {
                let shape = if form.axis {
                    &[1, form.width][..]
                } else {
                    &[form.width][..]
                };
                values = run_once(state, row, shape, *datum, 1, outputs)?;
            }
            Ok(values)
        })
    }

    /// As [`Native::run_rows`], of 32-bit numbers for an input of such.
    pub(crate) fn run_floats(
        &self,
        rows: &[f32],
        count: usize,
        form: &Rows,
        scratch: &mut Scratch,
        outputs: &mut Vec<f64>,
    ) -> Result<usize, Error> {
        if let Some(width) = self.score(rows, count, scratch, outputs) {
            return Ok(width);
        }
        // All rows are one run, or each is one.
        let at_once = if form.batched { count } else { 1 };
        let shape = [at_once, form.width];
        let shape = if form.axis { &shape[..] } else { &shape[1..] };
        scratch.guarded(&self.runnable, |state| {
            let mut values = 0;
            for rows in rows.chunks_exact(at_once * form.width) {
                let input = Value::from_shape(shape, rows)?.into_tvalue();
                let results = state.run([input].into_iter().collect())?;
                if let Some(result) = results.first() {
                    let before = outputs.len();
                    append(result, outputs)?;
                    values = (outputs.len() - before) / at_once;
                }
            }
            Ok(values)
        })
    }

    /// Scores rows with layers that are all there is, and says how many numbers a row has.
    fn score(
        &self,
        rows: &[impl Number],
        count: usize,
        scratch: &mut Scratch,
        outputs: &mut Vec<f64>,
    ) -> Option<usize> {
        let layers = self.layers.as_ref()?;
        outputs.resize(count * layers.width(), 0.0);
        layers.score(rows, outputs, &mut scratch.memory);
        Some(layers.width())
    }
}

impl Scratch {
    /// Runs `work` on the state of a plan. After a failure the state is not used again.
    fn guarded<T>(
        &mut self,
        plan: &Arc<TypedSimplePlan>,
        work: impl FnOnce(&mut TypedSimpleState) -> TractResult<T>,
    ) -> Result<T, Error> {
        let fitting = self
            .state
            .take()
            .filter(|state| Arc::ptr_eq(state.plan(), plan));
        let outcome = shield(|| {
            let mut state = match fitting {
                Some(state) => state,
                None => plan.spawn()?,
            };
            let result = work(&mut state)?;
            Ok((state, result))
        });
        match outcome {
            Ok(Ok((state, result))) => {
                self.state = Some(state);
                Ok(result)
            }
            Ok(Err(cause)) => Err(Error::Run {
                reason: chain(&cause),
            }),
            Err(reason) => Err(Error::Run { reason }),
        }
    }
}

/// Feeds `rows` as one tensor and appends the first output to `outputs`; returns its values per
/// row.
fn run_once(
    state: &mut TypedSimpleState,
    rows: &[f64],
    shape: &[usize],
    datum: DatumType,
    count: usize,
    outputs: &mut Vec<f64>,
) -> TractResult<usize> {
    let results = state.run(
        [numbers(rows, shape, datum)?.into_tvalue()]
            .into_iter()
            .collect(),
    )?;
    let Some(result) = results.first() else {
        return Ok(0);
    };
    let before = outputs.len();
    append(result, outputs)?;
    Ok((outputs.len() - before) / count.max(1))
}

/// Appends the numbers of a result to others.
fn append(result: &Value, outputs: &mut Vec<f64>) -> TractResult<()> {
    if result.datum_type() == DatumType::F32 {
        let plain = result.try_as_plain_ram()?;
        outputs.extend(plain.as_slice::<f32>()?.iter().map(|v| f64::from(*v)));
    } else {
        let cast = result.cast_to::<f64>()?;
        outputs.extend_from_slice(cast.try_as_plain_ram()?.as_slice::<f64>()?);
    }
    Ok(())
}

/// Numbers as a tensor of the given type; that they can be represented has been checked.
fn numbers(values: &[f64], shape: &[usize], datum: DatumType) -> TractResult<Value> {
    if datum != DatumType::F32 {
        return Ok(Value::from_shape(shape, values)?
            .cast_to_dt(datum)?
            .into_owned());
    }
    let mut tensor = Value::zero_dt(datum, shape)?;
    let mut plain = tensor.try_as_plain_ram_mut()?;
    for (to, value) in plain.as_slice_mut::<f32>()?.iter_mut().zip(values) {
        *to = *value as f32;
    }
    Ok(tensor)
}
