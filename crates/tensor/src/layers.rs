//! Dense layers, one after the other, on blocks of rows that stay in the nearest memory.

use crate::functions::Function;
use crate::lanes::{Machine, Work};
use crate::softmax::softmax;
use crate::tile::{Panel, Strided, VECTORS};
use pulp::Simd;
use std::fmt;
use std::mem::swap;

/// Rows that go through all layers together, at most: a multiple of what is multiplied at once, 8
/// rows or 6. More of them would not fit beside the weights of small layers, fewer would wait for
/// those of large ones.
const BLOCK: usize = 48;

/// What a layer does with its sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    /// A function of each.
    Each(Function),
    /// The softmax of a row.
    Softmax,
}

/// What is done to the inputs before the first layer, with a number for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// An operation, and its numbers for one row after the other: short rows would leave lanes empty.
#[derive(Debug)]
pub(crate) struct Preparation {
    operation: Operation,
    numbers: Vec<f32>,
}

/// `f(x w + b)` of 32-bit numbers: a row of inputs to a row of outputs.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Inputs of a row.
    depth: usize,
    /// Outputs of a row.
    width: usize,
    /// The same, filled up to whole vectors.
    padded: usize,
    weights: Aligned,
    biases: Vec<f32>,
    activation: Option<Activation>,
}

/// Numbers that begin where a line of the cache does, as a vector that lies in two lines is slow
/// to read.
struct Aligned {
    memory: Vec<f32>,
    start: usize,
}

/// Layers, of which each takes what the one before it puts out.
#[derive(Debug)]
pub(crate) struct Layers {
    machine: Machine,
    /// Axes of the inputs that a row has.
    axes: usize,
    preparations: Vec<Preparation>,
    first: Layer,
    others: Vec<Layer>,
}

/// What a block is between its layers.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Its rows in single precision.
    rows: Vec<f32>,
    inputs: Vec<f32>,
    outputs: Vec<f32>,
}

/// A number that rows are made of.
pub(crate) trait Number: Copy + From<f32> {
    /// The numbers as they are, if they are of single precision.
    fn single(values: &[Self]) -> Option<&[f32]>;

    fn rounded(self) -> f32;
}

impl Number for f32 {
    #[inline(always)]
    fn single(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }

    #[inline(always)]
    fn rounded(self) -> f32 {
        self
    }
}

impl Number for f64 {
    #[inline(always)]
    fn single(_: &[f64]) -> Option<&[f32]> {
        None
    }

    #[inline(always)]
    fn rounded(self) -> f32 {
        self as f32
    }
}

impl Preparation {
    /// Of a number for each input of a row.
    pub(crate) fn new(operation: Operation, numbers: &[f32]) -> Preparation {
        let rows = 64usize.div_ceil(numbers.len().max(1));
        Preparation {
            operation,
            numbers: numbers.repeat(rows),
        }
    }

    #[inline(always)]
    fn apply(&self, rows: &mut [f32]) {
        // Not through a function that takes the operator, which would not be inlined for certain.
        macro_rules! each {
            ($operator:tt) => {
                for rows in rows.chunks_mut(self.numbers.len()) {
                    for (x, number) in rows.iter_mut().zip(&self.numbers) {
                        *x $operator *number;
                    }
                }
            };
        }
        match self.operation {
            Operation::Add => each!(+=),
            Operation::Subtract => each!(-=),
            Operation::Multiply => each!(*=),
            Operation::Divide => each!(/=),
        }
    }
}

impl Aligned {
    const LINE: usize = 64;

    /// Room for so many numbers.
    fn with_capacity(count: usize) -> Aligned {
        let spare = Aligned::LINE / size_of::<f32>();
        let mut memory: Vec<f32> = Vec::with_capacity(count + spare);
        let start = memory.as_ptr().align_offset(Aligned::LINE).min(spare);
        memory.resize(start, 0.0);
        Aligned { memory, start }
    }

    #[inline(always)]
    fn values(&self) -> &[f32] {
        &self.memory[self.start..]
    }
}

impl fmt::Debug for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers", self.values().len())
    }
}

impl Layer {
    /// Of a row of weights for each input, with a weight for each output, and of a bias for each
    /// output.
    pub(crate) fn new(
        machine: Machine,
        weights: &[f32],
        biases: &[f32],
        activation: Option<Activation>,
    ) -> Layer {
        let (lanes, width) = (machine.width(), biases.len());
        let depth = weights.len() / width;
        let padded = width.next_multiple_of(lanes);
        let mut panels = Aligned::with_capacity(depth * padded);
        for first in (0..padded).step_by(lanes * VECTORS) {
            let end = padded.min(first + lanes * VECTORS);
            let missing = end.saturating_sub(width);
            for row in weights.chunks_exact(width) {
                panels.memory.extend_from_slice(&row[first..end - missing]);
                panels.memory.extend(std::iter::repeat_n(0.0, missing));
            }
        }
        let mut biases = biases.to_vec();
        biases.resize(padded, 0.0);
        Layer {
            depth,
            width,
            padded,
            weights: panels,
            biases,
            activation,
        }
    }

    /// Inputs of a row.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Whether its outputs are sums.
    pub(crate) fn is_linear(&self) -> bool {
        self.activation.is_none()
    }

    /// Puts the outputs of each row, filled up, one after the other.
    #[inline(always)]
    fn apply<S: Simd, const FUSED: bool>(&self, lanes: S, rows: Strided<'_>, outputs: &mut [f32]) {
        let (weights, _) = S::as_simd_f32s(self.weights.values());
        let (biases, _) = S::as_simd_f32s(&self.biases);
        let panels = weights.chunks(VECTORS * self.depth);
        for (number, (weights, biases)) in panels.zip(biases.chunks(VECTORS)).enumerate() {
            let panel = Panel::<S> {
                depth: self.depth,
                weights,
                biases,
            };
            let first = number * VECTORS * S::F32_LANES;
            panel.multiply::<FUSED>(lanes, rows, &mut outputs[first..], self.padded);
        }
        let outputs = &mut outputs[..rows.count * self.padded];
        match self.activation {
            Some(Activation::Each(function)) => function.apply(outputs),
            Some(Activation::Softmax) => softmax(lanes, outputs, self.padded, self.width),
            None => {}
        }
    }
}

impl Layers {
    /// Each of them takes as many inputs as the one before it has outputs.
    pub(crate) fn new(
        machine: Machine,
        axes: usize,
        preparations: Vec<Preparation>,
        first: Layer,
        others: Vec<Layer>,
    ) -> Layers {
        Layers {
            machine,
            axes,
            preparations,
            first,
            others,
        }
    }

    /// Outputs of a row.
    pub(crate) fn width(&self) -> usize {
        self.last().width
    }

    /// Inputs of a row.
    pub(crate) fn depth(&self) -> usize {
        self.first.depth
    }

    pub(crate) fn axes(&self) -> usize {
        self.axes
    }

    /// The shape of the outputs of inputs of some shape, if that is one of rows.
    pub(crate) fn output_shape(&self, inputs: &[usize]) -> Option<Vec<usize>> {
        let (rows, row) = inputs.split_at_checked(inputs.len().checked_sub(self.axes)?)?;
        let depth = row
            .iter()
            .try_fold(1usize, |depth, axis| depth.checked_mul(*axis))?;
        (depth == self.first.depth).then(|| [rows, &[self.width()]].concat())
    }

    pub(crate) fn len(&self) -> usize {
        1 + self.others.len()
    }

    fn last(&self) -> &Layer {
        self.others.last().unwrap_or(&self.first)
    }

    /// Computes the outputs of as many rows as there are inputs and room for.
    pub(crate) fn score<I: Number, O: Number>(
        &self,
        rows: &[I],
        outputs: &mut [O],
        memory: &mut Memory,
    ) {
        self.machine.run(Run {
            layers: self,
            rows,
            outputs,
            memory,
        });
    }
}

struct Run<'a, I, O> {
    layers: &'a Layers,
    rows: &'a [I],
    outputs: &'a mut [O],
    memory: &'a mut Memory,
}

impl<I: Number, O: Number> Work for Run<'_, I, O> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd, const FUSED: bool>(self, lanes: S) {
        let Layers {
            preparations,
            first,
            others,
            ..
        } = self.layers;
        let last = self.layers.last();
        let count = (self.rows.len() / first.depth).min(BLOCK);
        let widest = others
            .iter()
            .fold(first.padded, |widest, layer| widest.max(layer.padded));
        let Memory {
            rows: converted,
            inputs,
            outputs,
        } = self.memory;
        for memory in [&mut *inputs, &mut *outputs] {
            if memory.len() < count * widest {
                memory.resize(count * widest, 0.0);
            }
        }
        let blocks = self.rows.chunks(BLOCK * first.depth);
        for (rows, results) in blocks.zip(self.outputs.chunks_mut(BLOCK * last.width)) {
            let count = rows.len() / first.depth;
            let values = match I::single(rows) {
                Some(values) if preparations.is_empty() => values,
                _ => {
                    if converted.len() < rows.len() {
                        converted.resize(rows.len(), 0.0);
                    }
                    let converted = &mut converted[..rows.len()];
                    for (to, value) in converted.iter_mut().zip(rows) {
                        *to = value.rounded();
                    }
                    for preparation in preparations {
                        preparation.apply(converted);
                    }
                    converted
                }
            };
            let rows = Strided {
                values,
                stride: first.depth,
                count,
            };
            first.apply::<S, FUSED>(lanes, rows, outputs);
            let mut stride = first.padded;
            for layer in others {
                swap(inputs, outputs);
                let rows = Strided {
                    values: inputs,
                    stride,
                    count,
                };
                layer.apply::<S, FUSED>(lanes, rows, outputs);
                stride = layer.padded;
            }
            let results = results.chunks_exact_mut(last.width);
            for (row, result) in outputs.chunks_exact(stride).zip(results) {
                for (value, to) in row.iter().zip(result) {
                    *to = O::from(*value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Activation, Layer, Layers, Memory, Operation, Preparation};
    use crate::functions::Function;
    use crate::lanes::Machine;

    /// Multiples of a quarter, so that sums are exact in any order.
    fn quarters(count: usize) -> Vec<f32> {
        (0..count)
            .map(|number| (number * 7 % 13) as f32 * 0.25 - 1.5)
            .collect()
    }

    /// Rectified layers with weights that are those numbers.
    fn layers(machine: Machine, sizes: &[usize]) -> Layers {
        let layer = |sizes: &[usize]| {
            let weights = quarters(sizes[0] * sizes[1]);
            let relu = Some(Activation::Each(Function::Relu));
            Layer::new(machine, &weights, &quarters(sizes[1]), relu)
        };
        let mut layers = sizes.windows(2).map(layer);
        let first = layers.next().unwrap();
        Layers::new(machine, 1, Vec::new(), first, layers.collect())
    }

    fn score(layers: &Layers, rows: &[f32]) -> Vec<f32> {
        let mut outputs = vec![0.0; rows.len() / layers.depth() * layers.width()];
        layers.score(rows, &mut outputs, &mut Memory::default());
        outputs
    }

    #[test]
    fn layers_of_any_shape_are_products_sums_and_functions() {
        let shapes = [
            (1, 1, 1),
            (3, 5, 8),
            (4, 2, 9),
            (9, 11, 22),
            (61, 13, 70),
            (0, 3, 3),
        ];
        for (machine, (count, depth, width)) in Machine::all()
            .into_iter()
            .flat_map(|machine| shapes.map(|shape| (machine, shape)))
        {
            let (rows, weights) = (quarters(count * depth), quarters(depth * width));
            let biases = quarters(width);
            let expected: Vec<f32> = (0..count * width)
                .map(|at| {
                    let (row, column) = (at / width, at % width);
                    let products = (0..depth)
                        .map(|input| rows[row * depth + input] * weights[input * width + column]);
                    (products.sum::<f32>() + biases[column]).max(0.0)
                })
                .collect();
            let found = score(&layers(machine, &[depth, width]), &rows);
            assert_eq!(found, expected, "{machine:?} {count} {depth} {width}");
        }
    }

    #[test]
    fn a_row_has_the_same_outputs_in_any_company() {
        for machine in Machine::all() {
            let layers = layers(machine, &[29, 23, 40, 3]);
            let rows: Vec<f32> = (0..29 * 101).map(|at| (at as f32 * 0.37).sin()).collect();
            let all = score(&layers, &rows);
            for count in [1, 2, 3, 5, 7, 47] {
                let some = rows
                    .chunks(29 * count)
                    .flat_map(|rows| score(&layers, rows));
                assert!(some.eq(all.iter().copied()), "{machine:?} {count}");
            }
        }
    }

    #[test]
    fn numbers_of_double_precision_are_rounded() {
        let layers = layers(Machine::here(), &[5, 7, 3]);
        let single = quarters(5 * 60);
        let double: Vec<f64> = single.iter().map(|x| f64::from(*x) + 1e-12).collect();
        let (mut outputs, mut memory) = (vec![0.0f64; 3 * 60], Memory::default());
        layers.score(&double, &mut outputs, &mut memory);
        let expected = score(&layers, &single).into_iter().map(f64::from);
        assert!(outputs.into_iter().eq(expected));
    }

    #[test]
    fn inputs_are_prepared_in_order() {
        let weights = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let one = Layer::new(Machine::here(), &weights, &[0.0; 3], None);
        let preparations = [
            (Operation::Add, [1.0, 2.0, 3.0]),
            (Operation::Multiply, [2.0, 4.0, 8.0]),
            (Operation::Subtract, [1.0, 0.0, 2.0]),
            (Operation::Divide, [1.0, 2.0, 4.0]),
        ];
        let preparations =
            preparations.map(|(operation, numbers)| Preparation::new(operation, &numbers));
        let layers = Layers::new(Machine::here(), 1, preparations.into(), one, Vec::new());
        let rows = quarters(3 * 101);
        for (found, row) in score(&layers, &rows).chunks(3).zip(rows.chunks(3)) {
            let expected = [
                (row[0] + 1.0) * 2.0 - 1.0,
                (row[1] + 2.0) * 4.0 / 2.0,
                ((row[2] + 3.0) * 8.0 - 2.0) / 4.0,
            ];
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn nan_is_the_result_of_its_row_alone() {
        for machine in Machine::all() {
            let layers = layers(machine, &[2, 3, 5]);
            for bad in 0..20 {
                let mut rows = [1.0; 40];
                rows[bad * 2] = f32::NAN;
                for (row, outputs) in score(&layers, &rows).chunks_exact(5).enumerate() {
                    assert!(outputs.iter().all(|value| value.is_nan() == (row == bad)));
                }
            }
        }
    }

    #[test]
    fn memory_of_another_network_does_not_matter() {
        let (narrow, wide) = (
            layers(Machine::here(), &[2, 3]),
            layers(Machine::here(), &[4, 90, 2]),
        );
        let mut memory = Memory::default();
        for _ in 0..2 {
            for layers in [&narrow, &wide] {
                let rows = quarters(layers.depth() * 7);
                let mut outputs = vec![0.0; layers.width() * 7];
                layers.score(&rows, &mut outputs, &mut memory);
                assert_eq!(outputs, score(layers, &rows));
            }
        }
    }
}
