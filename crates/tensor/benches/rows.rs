//! The wine network on one record and on a batch, beside the same network written by hand.
//!
//! `cargo bench -p tensor`

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use std::fs;
use std::path::Path;
use tensor::{Graph, Options};

const LAYERS: [usize; 4] = [11, 22, 16, 9];
const BATCHES: [usize; 3] = [1, 16, 256];

fn main() {
    divan::main();
}

fn graph(name: &str, load: fn(&[u8], &Options) -> Result<Graph, tensor::Error>) -> Graph {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../data/models")
        .join(name);
    let bytes = fs::read(path).expect("the model is in the repository");
    load(&bytes, &Options::default()).expect("the model loads")
}

/// Rows of numbers up to 16, no two alike.
fn rows(count: usize) -> Vec<f64> {
    let mut state = 7u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 20)
    };
    (0..count * LAYERS[0]).map(step).collect()
}

fn run(bencher: Bencher<'_, '_>, graph: &Graph, count: usize) {
    let (rows, mut scratch, mut scores) = (rows(count), graph.scratch(), Vec::new());
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        graph
            .run_rows(black_box(&rows), count, &mut scratch, &mut scores)
            .expect("it runs");
    });
}

#[divan::bench(args = BATCHES)]
fn tensorflow(bencher: Bencher<'_, '_>, count: usize) {
    run(
        bencher,
        &graph("winequality.pb", Graph::from_graphdef),
        count,
    );
}

#[divan::bench(args = BATCHES)]
fn onnx(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, &graph("winequality.onnx", Graph::from_onnx), count);
}

#[divan::bench]
fn load(bencher: Bencher<'_, '_>) {
    bencher.bench(|| graph("winequality.pb", Graph::from_graphdef));
}

/// Loops over the weights, one row after the other, in memory that is there already, and the
/// library's `exp`.
#[divan::bench(args = BATCHES)]
fn by_hand(bencher: Bencher<'_, '_>, count: usize) {
    let network = Network::new();
    let (rows, mut scores) = (rows(count), Vec::new());
    let mut memory = [vec![0.0; 22], vec![0.0; 22]];
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        scores.clear();
        for row in black_box(&rows).chunks_exact(LAYERS[0]) {
            network.score(row, &mut memory, &mut scores);
        }
    });
}

struct Network {
    layers: Vec<Layer>,
}

struct Layer {
    /// One row of weights for each input.
    weights: Vec<f32>,
    biases: Vec<f32>,
}

impl Network {
    fn new() -> Network {
        let layer = |sizes: &[usize]| {
            let weight = |number: usize| (number % 17) as f32 * 0.01 - 0.08;
            Layer {
                weights: (0..sizes[0] * sizes[1]).map(weight).collect(),
                biases: (0..sizes[1]).map(weight).collect(),
            }
        };
        Network {
            layers: LAYERS.windows(2).map(layer).collect(),
        }
    }

    fn score(&self, row: &[f64], [values, next]: &mut [Vec<f32>; 2], scores: &mut Vec<f64>) {
        values.clear();
        values.extend(row.iter().map(|value| *value as f32));
        for (depth, layer) in self.layers.iter().enumerate() {
            next.clone_from(&layer.biases);
            for (value, weights) in values.iter().zip(layer.weights.chunks_exact(next.len())) {
                for (sum, weight) in next.iter_mut().zip(weights) {
                    *sum += value * weight;
                }
            }
            if depth + 1 < self.layers.len() {
                next.iter_mut().for_each(|sum| *sum = sum.max(0.0));
            }
            std::mem::swap(values, next);
        }
        scores.extend(
            values
                .iter()
                .map(|logit| f64::from(1.0 / (1.0 + (-logit).exp()))),
        );
    }
}
