//! `RNN`, `GRU` and `LSTM`: layers that go along a sequence with a state.
//!
//! The runtime's own know neither a direction backwards, nor other activations than the usual ones,
//! nor a batch whose length is open, and say so of the last alone.

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel};
use crate::elements::{dispatch_reals, slice};
use std::iter::once;
use std::ops::Range;
use std::sync::Arc;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, IntoTensor, TDim, TValue, Tensor as Value, ToDim, TractResult, bail, ensure,
    format_err,
};
use tract_onnx::tract_hir::tract_ndarray::{
    Array2, Array3, Array4, ArrayView, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis,
    Ix3, LinalgScalar, s,
};

/// What a layer computes at each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Simple,
    Gru,
    Lstm,
}

impl Cell {
    /// How many products with weights make a new state.
    fn gates(self) -> usize {
        match self {
            Cell::Simple => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    /// The activations where the file names none.
    fn activations(self) -> &'static [&'static str] {
        match self {
            Cell::Simple => &["Tanh"],
            Cell::Gru => &["Sigmoid", "Tanh"],
            Cell::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

/// A function of each element, with the parameters that it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Activation {
    Relu,
    Tanh,
    Sigmoid,
    Softsign,
    Softplus,
    LeakyRelu(f32),
    Elu(f32),
    HardSigmoid(f32, f32),
}

impl Activation {
    /// An activation by its name, in any letters; it takes its parameters from those of the node.
    fn of(
        name: &str,
        alphas: &mut impl Iterator<Item = f32>,
        betas: &mut impl Iterator<Item = f32>,
    ) -> TractResult<Activation> {
        let mut alpha = |default| alphas.next().unwrap_or(default);
        Ok(match name.to_ascii_lowercase().as_str() {
            "relu" => Activation::Relu,
            "tanh" => Activation::Tanh,
            "sigmoid" => Activation::Sigmoid,
            "softsign" => Activation::Softsign,
            "softplus" => Activation::Softplus,
            "leakyrelu" => Activation::LeakyRelu(alpha(0.01)),
            "elu" => Activation::Elu(alpha(1.0)),
            "hardsigmoid" => Activation::HardSigmoid(alpha(0.2), betas.next().unwrap_or(0.5)),
            _ => bail!("activation {name}"),
        })
    }
}

/// A floating point number.
trait Real: Datum + LinalgScalar {
    fn activated(self, activation: Activation) -> Self;
}

macro_rules! real {
    ($real:ty) => {
        impl Real for $real {
            fn activated(self, activation: Activation) -> $real {
                let x = self;
                match activation {
                    Activation::Relu => {
                        if x < 0.0 {
                            0.0
                        } else {
                            x
                        }
                    }
                    Activation::Tanh => x.tanh(),
                    Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                    Activation::Softsign => x / (1.0 + x.abs()),
                    Activation::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
                    Activation::LeakyRelu(alpha) if x < 0.0 => <$real>::from(alpha) * x,
                    Activation::Elu(alpha) if x < 0.0 => <$real>::from(alpha) * x.exp_m1(),
                    Activation::LeakyRelu(_) | Activation::Elu(_) => x,
                    Activation::HardSigmoid(alpha, beta) => {
                        (<$real>::from(alpha) * x + <$real>::from(beta)).clamp(0.0, 1.0)
                    }
                }
            }
        }
    };
}

real!(f32);
real!(f64);

/// Which of the inputs of a node each is: those that it leaves out are not there.
#[derive(Debug, Clone, Copy)]
enum Input {
    Sequence,
    Weights,
    RecurrentWeights,
    Biases,
    Lengths,
    State,
    CellState,
    Peepholes,
}

const INPUTS: [Input; 8] = [
    Input::Sequence,
    Input::Weights,
    Input::RecurrentWeights,
    Input::Biases,
    Input::Lengths,
    Input::State,
    Input::CellState,
    Input::Peepholes,
];

/// A layer.
struct Layer {
    cell: Cell,
    /// For each direction, whether it goes from the end of the sequence.
    backwards: Vec<bool>,
    /// Those of each direction.
    activations: Vec<Vec<Activation>>,
    /// Of a GRU, whether the state is reset after it is multiplied.
    resets_products: bool,
    /// Whether the batch is the first axis, and the sequence the second.
    batch_first: bool,
    /// Where among the inputs that are there each one is.
    positions: [Option<usize>; INPUTS.len()],
}

/// The layer of a node, of which only forms that are evaluated alike everywhere are taken.
pub(super) fn layer(
    node: &NodeProto,
    attributes: Attributes<'_>,
    cell: Cell,
) -> TractResult<Arc<dyn Kernel>> {
    for refused in ["clip", "input_forget"] {
        let harmless = refused == "input_forget" && attributes.int(refused, 0)? == 0;
        ensure!(
            harmless || !attributes.has(refused),
            "{} with {refused}",
            node.op_type
        );
    }
    let backwards = match attributes.text("direction", "forward")?.as_str() {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => bail!("direction {other}"),
    };
    let usual = cell.activations();
    let mut names = attributes.texts("activations")?;
    if names.is_empty() {
        names = usual
            .repeat(backwards.len())
            .into_iter()
            .map(str::to_owned)
            .collect();
    }
    ensure!(
        names.len() == usual.len() * backwards.len(),
        "{} activations",
        names.len()
    );
    let mut alphas = attributes.floats("activation_alpha")?.iter().copied();
    let mut betas = attributes.floats("activation_beta")?.iter().copied();
    let activations = names
        .iter()
        .map(|name| Activation::of(name, &mut alphas, &mut betas))
        .collect::<TractResult<Vec<_>>>()?;
    let mut there = 0..;
    let mut positions = [None; INPUTS.len()];
    for (name, position) in node.input.iter().zip(&mut positions) {
        if !name.is_empty() {
            *position = there.next();
        }
    }
    Ok(Arc::new(Layer {
        cell,
        activations: activations.chunks(usual.len()).map(<[_]>::to_vec).collect(),
        backwards,
        resets_products: attributes.int("linear_before_reset", 0)? != 0,
        batch_first: attributes.int("layout", 0)? != 0,
        positions,
    }))
}

/// The lengths that a layer has to do with.
#[derive(Clone, Copy)]
struct Lengths {
    steps: usize,
    batch: usize,
    hidden: usize,
}

/// What one direction of a layer is made of.
struct Direction<'a, T> {
    cell: Cell,
    backwards: bool,
    activations: &'a [Activation],
    resets_products: bool,
    /// hidden x gates, transposed.
    recurrent: ArrayView2<'a, T>,
    /// Those that are added to the products of the state.
    biases: Vec<T>,
    /// Of an LSTM, of its three gates.
    peepholes: Option<&'a [T]>,
}

/// The states of all rows, and what they are after each step.
struct States<'a, T> {
    hidden: ArrayViewMut2<'a, T>,
    cell: ArrayViewMut2<'a, T>,
    all: ArrayViewMut3<'a, T>,
}

/// The state of a row.
struct State<'a, T> {
    hidden: &'a mut [T],
    cell: &'a mut [T],
}

/// A product of matrices, row after row: `dot` may leave it column after column.
fn product<T: Real>(left: &ArrayView2<'_, T>, right: &ArrayView2<'_, T>) -> Array2<T> {
    let product = left.dot(right);
    if product.is_standard_layout() {
        return product;
    }
    product.as_standard_layout().into_owned()
}

impl<T: Real> Direction<'_, T> {
    fn activated(&self, number: usize, x: T) -> T {
        let activation = self.activations.get(number).copied();
        x.activated(activation.unwrap_or(Activation::Tanh))
    }

    /// Goes along a sequence, of whose rows each has as many steps as `counts` says. `fed` are the
    /// products of what is fed, by step, row and gate.
    fn along(
        &self,
        fed: &ArrayView3<'_, T>,
        counts: &[usize],
        mut states: States<'_, T>,
    ) -> TractResult<()> {
        let whole = || format_err!("values that are not in order");
        for step in 0..fed.len_of(Axis(0)) {
            let products = product(&states.hidden.view(), &self.recurrent);
            for (row, count) in counts.iter().enumerate() {
                // A row that has come to its end keeps its state.
                if step >= *count {
                    continue;
                }
                let at = if self.backwards {
                    count - 1 - step
                } else {
                    step
                };
                let mut hidden = states.hidden.row_mut(row);
                let mut cell = states.cell.row_mut(row);
                let mut state = State {
                    hidden: hidden.as_slice_mut().ok_or_else(whole)?,
                    cell: cell.as_slice_mut().ok_or_else(whole)?,
                };
                let fed = fed.slice(s![at, row, ..]);
                let products = products.row(row);
                let fed = fed.to_slice().ok_or_else(whole)?;
                self.step(fed, products.to_slice().ok_or_else(whole)?, &mut state);
                states.all.slice_mut(s![at, row, ..]).assign(&hidden);
            }
        }
        Ok(())
    }

    /// The next state of a row: `fed` are the products of what is fed, `products` those of the
    /// state, both gate after gate.
    fn step(&self, fed: &[T], products: &[T], state: &mut State<'_, T>) {
        let hidden = state.hidden.len();
        let sum = |gate: usize, unit: usize| {
            let at = gate * hidden + unit;
            fed[at] + products[at] + self.biases[at]
        };
        let peephole = |gate: usize, unit: usize| {
            self.peepholes
                .map_or(T::zero(), |weights| weights[gate * hidden + unit])
        };
        match self.cell {
            Cell::Simple => {
                for unit in 0..hidden {
                    state.hidden[unit] = self.activated(0, sum(0, unit));
                }
            }
            Cell::Lstm => {
                for unit in 0..hidden {
                    let before = state.cell[unit];
                    let input = self.activated(0, sum(0, unit) + peephole(0, unit) * before);
                    let forget = self.activated(0, sum(2, unit) + peephole(2, unit) * before);
                    let cell = forget * before + input * self.activated(1, sum(3, unit));
                    let output = self.activated(0, sum(1, unit) + peephole(1, unit) * cell);
                    state.cell[unit] = cell;
                    state.hidden[unit] = output * self.activated(2, cell);
                }
            }
            Cell::Gru => {
                let gate = |number: usize, unit: usize| self.activated(0, sum(number, unit));
                let updates: Vec<T> = (0..hidden).map(|unit| gate(0, unit)).collect();
                let resets: Vec<T> = (0..hidden).map(|unit| gate(1, unit)).collect();
                let last = 2 * hidden..3 * hidden;
                let own: Vec<T> = if self.resets_products {
                    let products = products[last.clone()]
                        .iter()
                        .zip(&self.biases[last.clone()]);
                    let reset = products.zip(&resets);
                    reset
                        .map(|((x, bias), reset)| *reset * (*x + *bias))
                        .collect()
                } else {
                    let states = state.hidden.iter().zip(&resets);
                    let kept: Vec<T> = states.map(|(x, reset)| *x * *reset).collect();
                    let kept = ArrayView::from(&kept).insert_axis(Axis(0));
                    let products = product(&kept, &self.recurrent.slice(s![.., last.clone()]));
                    let biased = products.iter().zip(&self.biases[last.clone()]);
                    biased.map(|(x, bias)| *x + *bias).collect()
                };
                for (unit, own) in own.into_iter().enumerate() {
                    let candidate = self.activated(1, fed[last.start + unit] + own);
                    let update = updates[unit];
                    state.hidden[unit] =
                        (T::one() - update) * candidate + update * state.hidden[unit];
                }
            }
        }
    }
}

impl Layer {
    fn input<'a, V>(&self, inputs: &'a [V], input: Input) -> Option<&'a V> {
        inputs.get((*self.positions.get(input as usize)?)?)
    }

    fn needed<'a, V>(&self, inputs: &'a [V], input: Input) -> TractResult<&'a V> {
        let missing = || format_err!("no {input:?}");
        self.input(inputs, input).ok_or_else(missing)
    }

    /// Steps, batch and width of a sequence.
    fn lengths<D: Clone>(&self, shape: &[D]) -> TractResult<[D; 3]> {
        let [first, second, width] = shape else {
            bail!("a sequence of {} axes, not three", shape.len());
        };
        let (steps, batch) = if self.batch_first {
            (second, first)
        } else {
            (first, second)
        };
        Ok([steps.clone(), batch.clone(), width.clone()])
    }

    /// The shapes of what is given for each step, and of a state.
    fn shapes<D: Clone>(&self, steps: D, batch: D, directions: D, hidden: D) -> (Vec<D>, Vec<D>) {
        if self.batch_first {
            let all = vec![batch.clone(), steps, directions.clone(), hidden.clone()];
            return (all, vec![batch, directions, hidden]);
        }
        let all = vec![steps, directions.clone(), batch.clone(), hidden.clone()];
        (all, vec![directions, batch, hidden])
    }

    /// Where the numbers of a direction are in an input that has some for each.
    fn part(&self, input: &Value, direction: usize, length: usize) -> TractResult<Range<usize>> {
        ensure!(
            input.len() == length * self.backwards.len(),
            "{} numbers where {} directions take {length} each",
            input.len(),
            self.backwards.len()
        );
        Ok(direction * length..(direction + 1) * length)
    }

    /// A state, direction by direction and row by row; zeros, where none is given.
    fn state<T: Real>(
        &self,
        inputs: &[TValue],
        input: Input,
        lengths: Lengths,
    ) -> TractResult<Array3<T>> {
        let shape = (self.backwards.len(), lengths.batch, lengths.hidden);
        let Some(state) = self.input(inputs, input) else {
            return Ok(Array3::zeros(shape));
        };
        let mut view = state
            .to_plain_array_view::<T>()?
            .into_dimensionality::<Ix3>()?;
        if self.batch_first {
            view.swap_axes(0, 1);
        }
        ensure!(
            view.dim() == shape,
            "{input:?} of shape {:?}",
            state.shape()
        );
        Ok(view.as_standard_layout().into_owned())
    }

    /// How many steps each row has.
    fn counts(&self, inputs: &[TValue], lengths: Lengths) -> TractResult<Vec<usize>> {
        let Some(counts) = self.input(inputs, Input::Lengths) else {
            return Ok(vec![lengths.steps; lengths.batch]);
        };
        let counts = counts.cast_to::<i64>()?;
        let counts = slice::<i64>(&counts)?.iter();
        let counts = counts.map(|count| {
            let count = usize::try_from(*count).ok();
            count
                .filter(|count| *count <= lengths.steps)
                .ok_or_else(|| format_err!("a length outside 0 to {}", lengths.steps))
        });
        let counts = counts.collect::<TractResult<Vec<_>>>()?;
        ensure!(counts.len() == lengths.batch, "{} lengths", counts.len());
        Ok(counts)
    }

    fn run<T: Real>(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let sequence = self.needed(inputs, Input::Sequence)?;
        let weights = self.needed(inputs, Input::Weights)?;
        let recurrent = self.needed(inputs, Input::RecurrentWeights)?;
        let [steps, batch, width] = self.lengths(sequence.shape())?;
        let hidden = *recurrent
            .shape()
            .last()
            .ok_or_else(|| format_err!("no weights"))?;
        let lengths = Lengths {
            steps,
            batch,
            hidden,
        };
        let gates = self.cell.gates() * hidden;
        let mut fed = sequence
            .to_plain_array_view::<T>()?
            .into_dimensionality::<Ix3>()?;
        if self.batch_first {
            fed.swap_axes(0, 1);
        }
        let fed = fed.as_standard_layout();
        let fed = fed.view().into_shape_with_order((steps * batch, width))?;
        let counts = self.counts(inputs, lengths)?;
        let mut states = self.state::<T>(inputs, Input::State, lengths)?;
        let mut cells = self.state::<T>(inputs, Input::CellState, lengths)?;
        let mut all = Array4::<T>::zeros((steps, self.backwards.len(), batch, hidden));

        let weights: ArrayView3<'_, T> = weights.to_plain_array_view()?.into_dimensionality()?;
        let recurrents: ArrayView3<'_, T> =
            recurrent.to_plain_array_view()?.into_dimensionality()?;
        for (number, backwards) in self.backwards.iter().enumerate() {
            let mut fed = product(&fed, &weights.index_axis(Axis(0), number).t());
            let mut biases = vec![T::zero(); gates];
            if let Some(given) = self.input(inputs, Input::Biases) {
                let part = self.part(given, number, 2 * gates)?;
                let (of_fed, of_state) = slice::<T>(given)?[part].split_at(gates);
                biases.copy_from_slice(of_state);
                fed = fed + ArrayView2::from_shape((1, gates), of_fed)?;
            }
            let peepholes = self.input(inputs, Input::Peepholes);
            let peepholes = peepholes.map(|given| {
                let part = self.part(given, number, 3 * hidden)?;
                TractResult::Ok(&slice::<T>(given)?[part])
            });
            let direction = Direction {
                cell: self.cell,
                activations: &self.activations[number],
                resets_products: self.resets_products,
                backwards: *backwards,
                recurrent: recurrents.index_axis_move(Axis(0), number).reversed_axes(),
                biases,
                peepholes: peepholes.transpose()?,
            };
            let given = fed.view().into_shape_with_order((steps, batch, gates))?;
            direction.along(
                &given,
                &counts,
                States {
                    hidden: states.index_axis_mut(Axis(0), number),
                    cell: cells.index_axis_mut(Axis(0), number),
                    all: all.index_axis_mut(Axis(1), number),
                },
            )?;
        }
        if self.batch_first {
            let order = |states: Array3<T>| states.permuted_axes([1, 0, 2]);
            (states, cells) = (order(states), order(cells));
            all = all.permuted_axes([2, 0, 1, 3]);
        }
        let all = all.as_standard_layout().into_owned().into_tensor();
        let states = once(states).chain((self.cell == Cell::Lstm).then_some(cells));
        let states = states.map(|state| state.as_standard_layout().into_owned().into_tensor());
        Ok(once(all).chain(states).collect())
    }
}

impl Kernel for Layer {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, sequence) = self.needed(inputs, Input::Sequence)?;
        ensure!(
            matches!(datum, DatumType::F32 | DatumType::F64),
            "{:?} of {datum:?}",
            self.cell
        );
        for (place, input) in INPUTS.iter().enumerate() {
            if let (Some((other, _)), false) =
                (self.input(inputs, *input), matches!(input, Input::Lengths))
            {
                ensure!(other == datum, "input {place} of {other:?}, not {datum:?}");
            }
        }
        let [steps, batch, width] = self.lengths(sequence)?;
        let (_, recurrent) = self.needed(inputs, Input::RecurrentWeights)?;
        let (_, weights) = self.needed(inputs, Input::Weights)?;
        let hidden = recurrent.last().cloned().unwrap_or_else(|| 0.to_dim());
        let directions = self.backwards.len().to_dim();
        let gates = hidden.clone() * self.cell.gates();
        for (given, lengths) in [
            (weights, [&directions, &gates, &width]),
            (recurrent, [&directions, &gates, &hidden]),
        ] {
            let fits = given.len() == 3 && given.iter().eq(lengths);
            ensure!(fits, "weights of shape {given:?} where {lengths:?} are due");
        }
        let (all, state) = self.shapes(steps, batch, directions, hidden);
        let fact = |shape: Vec<TDim>| -> Fact { (*datum, shape.into_iter().collect()) };
        let mut facts = vec![fact(all), fact(state.clone())];
        if self.cell == Cell::Lstm {
            facts.push(fact(state));
        }
        Ok(facts)
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let datum = self.needed(inputs, Input::Sequence)?.datum_type();
        Ok(dispatch_reals!(datum, self.run(inputs))?)
    }
}
