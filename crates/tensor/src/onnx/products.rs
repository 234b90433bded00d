//! Products of rows and coefficients, summed as ONNX Runtime sums them for a batch on a processor
//! with fused multiply-add.
//!
//! Scores of models that were fitted on raw features are small differences of large numbers, and
//! the order and the rounding of a sum show in their sixth digit.

/// Adds to `to`, for each row of `values`, `factor` times its products with each row of
/// `coefficients`; all rows are `width` numbers long.
pub(super) fn add_products(
    values: &[f32],
    coefficients: &[f32],
    width: usize,
    factor: f32,
    to: &mut [f32],
) {
    if width == 0 {
        return;
    }
    let targets = coefficients.len() / width;
    if targets == 0 {
        return;
    }
    let block = block(targets, width);
    for (values, to) in values.chunks_exact(width).zip(to.chunks_exact_mut(targets)) {
        for (to, coefficients) in to.iter_mut().zip(coefficients.chunks_exact(width)) {
            for (values, coefficients) in values.chunks(block).zip(coefficients.chunks(block)) {
                *to += factor * fused(values, coefficients);
            }
        }
    }
}

/// How many products are summed up before they are added to the sums before them.
fn block(targets: usize, width: usize) -> usize {
    let (mut columns, mut block) = (128, 128);
    if targets < width {
        while columns > 16 && columns / 2 >= targets {
            columns /= 2;
            block *= 2;
        }
    }
    block
}

/// A sum of products that are not rounded before they are added: those of single precision are
/// exact in double precision.
fn fused(values: &[f32], coefficients: &[f32]) -> f32 {
    let pairs = values.iter().zip(coefficients);
    pairs.fold(0.0, |sum: f32, (value, coefficient)| {
        (f64::from(*value) * f64::from(*coefficient) + f64::from(sum)) as f32
    })
}
