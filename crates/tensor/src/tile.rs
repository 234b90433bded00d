//! Products of a few rows with a panel of weights, in registers.

use pulp::Simd;

/// Vectors of outputs that are summed up together.
pub(crate) const VECTORS: usize = 2;

/// A sum over the inputs is that of the sums over so many parts of them. A single row is summed up
/// in all parts at once, as a sum alone waits for itself; many rows part by part, so that a row has
/// the same outputs in any company.
const PARTS: usize = 4;

/// Rows of numbers, each so many after the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

impl<'a> Strided<'a> {
    #[inline(always)]
    fn row(self, number: usize, depth: usize) -> &'a [f32] {
        &self.values[number * self.stride..][..depth]
    }
}

/// Up to [`VECTORS`] vectors of outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panel<'a, S: Simd> {
    /// Inputs of a row.
    pub(crate) depth: usize,
    /// For each input, a weight for each output.
    pub(crate) weights: &'a [S::f32s],
    pub(crate) biases: &'a [S::f32s],
}

impl<S: Simd> Panel<'_, S> {
    /// Puts the outputs of each row where its part of `outputs` begins, `stride` after the row
    /// before.
    #[inline(always)]
    pub(crate) fn multiply<const FUSED: bool>(
        self,
        lanes: S,
        rows: Strided<'_>,
        outputs: &mut [f32],
        stride: usize,
    ) {
        if self.biases.len() == VECTORS {
            self.tiles::<FUSED, VECTORS>(lanes, rows, outputs, stride);
        } else {
            self.tiles::<FUSED, 1>(lanes, rows, outputs, stride);
        }
    }

    #[inline(always)]
    fn tiles<const FUSED: bool, const N: usize>(
        self,
        lanes: S,
        rows: Strided<'_>,
        outputs: &mut [f32],
        stride: usize,
    ) {
        // The sums, a panel's weights and an input: of 16 registers 15, of 32 19.
        let mut next = 0;
        while next < rows.count {
            let outputs = &mut outputs[next * stride..];
            next += match rows.count - next {
                8.. if S::REGISTER_COUNT >= 32 => {
                    self.tile::<FUSED, 8, N>(lanes, rows, next, outputs, stride)
                }
                6.. if S::REGISTER_COUNT < 32 => {
                    self.tile::<FUSED, 6, N>(lanes, rows, next, outputs, stride)
                }
                4.. => self.tile::<FUSED, 4, N>(lanes, rows, next, outputs, stride),
                2.. => self.tile::<FUSED, 2, N>(lanes, rows, next, outputs, stride),
                _ => self.single::<FUSED, N>(lanes, rows.row(next, self.depth), outputs),
            };
        }
    }

    /// The outputs of `M` rows; returns how many rows that were.
    #[inline(always)]
    fn tile<const FUSED: bool, const M: usize, const N: usize>(
        self,
        lanes: S,
        rows: Strided<'_>,
        first: usize,
        outputs: &mut [f32],
        stride: usize,
    ) -> usize {
        let mut total = [self.start::<N>(lanes); M];
        for part in 0..PARTS {
            let range = self.part(part);
            let weights = &self.weights[range.start * N..range.end * N];
            let mut inputs: [&[f32]; M] = [&[]; M];
            for (row, inputs) in inputs.iter_mut().enumerate() {
                *inputs = &rows.row(first + row, self.depth)[range.clone()];
            }
            let mut sums = if part == 0 {
                total
            } else {
                [[lanes.splat_f32s(0.0); N]; M]
            };
            for (at, weights) in weights.chunks_exact(N).enumerate() {
                for (sums, inputs) in sums.iter_mut().zip(inputs) {
                    let input = lanes.splat_f32s(inputs[at]);
                    add_products::<S, FUSED, N>(lanes, input, weights, sums);
                }
            }
            if part == 0 {
                total = sums;
            } else {
                for (total, sums) in total.iter_mut().zip(sums) {
                    add::<S, N>(lanes, total, sums);
                }
            }
        }
        for (row, total) in total.into_iter().enumerate() {
            store::<S, N>(total, &mut outputs[row * stride..]);
        }
        M
    }

    /// The outputs of one row.
    #[inline(always)]
    fn single<const FUSED: bool, const N: usize>(
        self,
        lanes: S,
        row: &[f32],
        outputs: &mut [f32],
    ) -> usize {
        let mut sums = [[lanes.splat_f32s(0.0); N]; PARTS];
        sums[0] = self.start::<N>(lanes);
        let length = self.depth / PARTS;
        let mut weights: [&[S::f32s]; PARTS] = [&[]; PARTS];
        let mut inputs: [&[f32]; PARTS] = [&[]; PARTS];
        for (part, (weights, inputs)) in weights.iter_mut().zip(&mut inputs).enumerate() {
            *weights = &self.weights[part * length * N..][..length * N];
            *inputs = &row[part * length..][..length];
        }
        for at in 0..length {
            for (part, sums) in sums.iter_mut().enumerate() {
                let input = lanes.splat_f32s(inputs[part][at]);
                let weights = &weights[part][at * N..][..N];
                add_products::<S, FUSED, N>(lanes, input, weights, sums);
            }
        }
        let left = PARTS * length;
        let weights = self.weights[left * N..].chunks_exact(N);
        for (input, weights) in row[left..].iter().zip(weights) {
            let input = lanes.splat_f32s(*input);
            add_products::<S, FUSED, N>(lanes, input, weights, &mut sums[PARTS - 1]);
        }
        let [mut total, rest @ ..] = sums;
        for sums in rest {
            add::<S, N>(lanes, &mut total, sums);
        }
        store::<S, N>(total, outputs);
        1
    }

    #[inline(always)]
    fn start<const N: usize>(self, lanes: S) -> [S::f32s; N] {
        let mut sums = [lanes.splat_f32s(0.0); N];
        sums.copy_from_slice(&self.biases[..N]);
        sums
    }

    /// The inputs of a part; the last has what is left over.
    #[inline(always)]
    fn part(self, part: usize) -> std::ops::Range<usize> {
        let length = self.depth / PARTS;
        let end = if part + 1 == PARTS {
            self.depth
        } else {
            (part + 1) * length
        };
        part * length..end
    }
}

#[inline(always)]
fn add_products<S: Simd, const FUSED: bool, const N: usize>(
    lanes: S,
    input: S::f32s,
    weights: &[S::f32s],
    sums: &mut [S::f32s; N],
) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum = if FUSED {
            lanes.mul_add_e_f32s(input, *weight, *sum)
        } else {
            lanes.add_f32s(lanes.mul_f32s(input, *weight), *sum)
        };
    }
}

#[inline(always)]
fn add<S: Simd, const N: usize>(lanes: S, total: &mut [S::f32s; N], sums: [S::f32s; N]) {
    for (total, sum) in total.iter_mut().zip(sums) {
        *total = lanes.add_f32s(*total, sum);
    }
}

#[inline(always)]
fn store<S: Simd, const N: usize>(values: [S::f32s; N], outputs: &mut [f32]) {
    let (outputs, _) = S::as_mut_simd_f32s(&mut outputs[..N * S::F32_LANES]);
    outputs.copy_from_slice(&values);
}
