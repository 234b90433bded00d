//! `exp(x) / sum(exp(x))` of rows. The runtime's own forgets NaN where a row has one.

use crate::exponential::exp;
use crate::lanes::{Machine, Work};
use pulp::Simd;
use tract_onnx::tract_hir::internal::{
    EvalContext, EvalOp, IntoTValue, IntoTensor, Op, StaticName, TValue, TVec, TractResult,
    TypedFact, TypedOp, ensure,
};
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op, op_out_of_plan};

/// Of rows of `width` numbers, `padded` after each other; what lies between them becomes zero.
#[inline(always)]
pub(crate) fn softmax<S: Simd>(lanes: S, values: &mut [f32], padded: usize, width: usize) {
    for row in values.chunks_exact_mut(padded) {
        row[width..].fill(f32::NEG_INFINITY);
        let (row, _) = S::as_mut_simd_f32s(row);
        // Whatever is the largest of a row that has NaN: its sum is NaN, and so are its quotients.
        let mut largest = lanes.splat_f32s(f32::NEG_INFINITY);
        for values in &*row {
            largest = lanes.max_f32s(largest, *values);
        }
        let largest = lanes.splat_f32s(lanes.reduce_max_f32s(largest));
        for values in row {
            *values = lanes.sub_f32s(*values, largest);
        }
    }
    for value in &mut *values {
        *value = exp(*value);
    }
    for row in values.chunks_exact_mut(padded) {
        let (row, _) = S::as_mut_simd_f32s(row);
        let mut sum = lanes.splat_f32s(0.0);
        for values in &*row {
            sum = lanes.add_f32s(sum, *values);
        }
        let sum = lanes.splat_f32s(lanes.reduce_sum_f32s(sum));
        for values in row {
            *values = lanes.div_f32s(*values, sum);
        }
    }
}

/// The softmax of 32-bit numbers over the last axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Softmax;

struct Rows<'a> {
    values: &'a mut [f32],
    width: usize,
}

impl Work for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd, const FUSED: bool>(self, lanes: S) {
        const BLOCK: usize = 16;
        let width = self.width;
        let padded = width.next_multiple_of(S::F32_LANES);
        let mut memory = vec![0.0; padded * BLOCK];
        for rows in self.values.chunks_mut(width * BLOCK) {
            let memory = &mut memory[..rows.len() / width * padded];
            for (row, to) in rows
                .chunks_exact(width)
                .zip(memory.chunks_exact_mut(padded))
            {
                to[..width].copy_from_slice(row);
            }
            softmax(lanes, memory, padded, width);
            for (row, from) in rows
                .chunks_exact_mut(width)
                .zip(memory.chunks_exact(padded))
            {
                row.copy_from_slice(&from[..width]);
            }
        }
    }
}

impl Op for Softmax {
    fn name(&self) -> StaticName {
        "Softmax".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Softmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == 1, "Softmax of {} inputs", inputs.len());
        let mut result = inputs.remove(0).into_tensor();
        let width = result.shape().last().copied().unwrap_or(1);
        let mut plain = result.try_as_plain_ram_mut()?;
        let values = plain.as_slice_mut::<f32>()?;
        if width > 0 {
            Machine::here().run(Rows { values, width });
        }
        Ok([result.into_tvalue()].into_iter().collect())
    }
}

impl TypedOp for Softmax {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 1, "Softmax of {} inputs", inputs.len());
        Ok([inputs[0].without_value()].into_iter().collect())
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::Rows;
    use crate::lanes::Machine;

    fn softmax(machine: Machine, rows: &[f32], width: usize) -> Vec<f32> {
        let mut values = rows.to_vec();
        machine.run(Rows {
            values: &mut values,
            width,
        });
        values
    }

    #[test]
    fn rows_of_any_length_are_quotients_of_exponentials() {
        for machine in Machine::all() {
            for (count, width) in [(1, 1), (3, 4), (2, 10), (40, 17), (5, 33)] {
                let rows: Vec<f32> = (0..count * width)
                    .map(|number| (number * 7 % 23) as f32 * 3.0 - 30.0)
                    .collect();
                let found = softmax(machine, &rows, width);
                for (row, found) in rows.chunks(width).zip(found.chunks(width)) {
                    let exponentials = row.iter().map(|x| f64::from(*x).exp());
                    let sum: f64 = exponentials.clone().sum();
                    for (expected, found) in exponentials.zip(found) {
                        let difference = f64::from(*found) - expected / sum;
                        assert!(difference.abs() < 2e-7, "{machine:?} {width}: {difference}");
                    }
                }
            }
        }
    }

    #[test]
    fn nan_and_infinity_are_the_result_of_their_row_alone() {
        for machine in Machine::all() {
            for bad in [f32::NAN, f32::INFINITY] {
                for at in 0..10 {
                    let mut rows = [1.0; 30];
                    rows[10 + at] = bad;
                    let found = softmax(machine, &rows, 10);
                    for (row, values) in found.chunks(10).enumerate() {
                        assert!(values.iter().all(|value| value.is_nan() == (row == 1)));
                    }
                }
            }
            let found = softmax(machine, &[0.0, f32::NEG_INFINITY, 0.0], 3);
            assert_eq!(found, [0.5, 0.0, 0.5]);
            let lowest = [f32::NEG_INFINITY; 3];
            assert!(
                softmax(machine, &lowest, 3)
                    .iter()
                    .all(|value| value.is_nan())
            );
        }
    }
}
