//! Networks on one record and on batches, beside the same networks written by hand; and loading.
//!
//! `cargo bench -p tensor`

mod network;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use network::Network;
use std::fs;
use std::path::Path;
use tensor::{Data, Graph, Options, Tensor};

/// The network of `data/models`, but for its last function.
const WINE: [usize; 4] = [11, 22, 16, 9];
/// 26,506 weights: a file of 106 KB.
const FEED_FORWARD: [usize; 4] = [784, 32, 32, 10];
const WIDE: [usize; 4] = [512, 512, 512, 512];
const BATCHES: [usize; 3] = [1, 16, 256];

fn main() {
    divan::main();
}

fn wine(name: &str, load: fn(&[u8], &Options) -> Result<Graph, tensor::Error>) -> Graph {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../data/models")
        .join(name);
    let bytes = fs::read(path).expect("the model is in the repository");
    load(&bytes, &Options::default()).expect("the model loads")
}

fn from_onnx(sizes: &[usize]) -> Graph {
    let file = Network::new(sizes).onnx();
    Graph::from_onnx(&file, &Options::default()).expect("the model loads")
}

fn from_graphdef(sizes: &[usize]) -> Graph {
    let file = Network::new(sizes).graphdef();
    Graph::from_graphdef(&file, &Options::default()).expect("the model loads")
}

/// Rows of numbers up to 16, no two alike.
fn rows(count: usize, width: usize) -> Vec<f64> {
    let mut state = 7u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 20)
    };
    (0..count * width).map(step).collect()
}

fn run(bencher: Bencher<'_, '_>, graph: &Graph, count: usize) {
    let width = graph.width().expect("it takes rows");
    let (rows, mut scratch, mut scores) = (rows(count, width), graph.scratch(), Vec::new());
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        graph
            .run_rows(black_box(&rows), count, &mut scratch, &mut scores)
            .expect("it runs");
    });
}

/// Loops over the weights, one row after the other, in memory that is there already.
fn by_hand(bencher: Bencher<'_, '_>, sizes: &[usize], count: usize) {
    let network = Network::new(sizes);
    let (rows, mut scores, mut memory) = (
        rows(count, sizes[0]),
        Vec::new(),
        <[Vec<f32>; 2]>::default(),
    );
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        scores.clear();
        for row in black_box(&rows).chunks_exact(sizes[0]) {
            network.score(row, &mut memory, &mut scores);
        }
    });
}

#[divan::bench(args = BATCHES)]
fn wine_tensorflow(bencher: Bencher<'_, '_>, count: usize) {
    run(
        bencher,
        &wine("winequality.pb", Graph::from_graphdef),
        count,
    );
}

#[divan::bench(args = BATCHES)]
fn wine_onnx(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, &wine("winequality.onnx", Graph::from_onnx), count);
}

#[divan::bench(args = BATCHES)]
fn wine_by_hand(bencher: Bencher<'_, '_>, count: usize) {
    by_hand(bencher, &WINE, count);
}

#[divan::bench(args = BATCHES)]
fn feed_forward_tensorflow(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, &from_graphdef(&FEED_FORWARD), count);
}

#[divan::bench(args = BATCHES)]
fn feed_forward_onnx(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, &from_onnx(&FEED_FORWARD), count);
}

/// A tensor of single precision, as the network takes it.
#[divan::bench(args = BATCHES)]
fn feed_forward_tensors(bencher: Bencher<'_, '_>, count: usize) {
    let (graph, rows) = (from_onnx(&FEED_FORWARD), rows(count, FEED_FORWARD[0]));
    let input = Tensor {
        shape: vec![count, FEED_FORWARD[0]],
        data: Data::Float(rows.iter().map(|value| *value as f32).collect()),
    };
    let (inputs, mut scratch) = ([input], graph.scratch());
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        graph
            .run(black_box(&inputs), &mut scratch)
            .expect("it runs")
    });
}

#[divan::bench(args = BATCHES)]
fn feed_forward_by_hand(bencher: Bencher<'_, '_>, count: usize) {
    by_hand(bencher, &FEED_FORWARD, count);
}

#[divan::bench(args = BATCHES)]
fn wide_onnx(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, &from_onnx(&WIDE), count);
}

#[divan::bench]
fn load_wine(bencher: Bencher<'_, '_>) {
    bencher.bench(|| wine("winequality.pb", Graph::from_graphdef));
}

#[divan::bench]
fn load_feed_forward_tensorflow(bencher: Bencher<'_, '_>) {
    let file = Network::new(&FEED_FORWARD).graphdef();
    bencher.bench(|| Graph::from_graphdef(black_box(&file), &Options::default()));
}

#[divan::bench]
fn load_feed_forward_onnx(bencher: Bencher<'_, '_>) {
    let file = Network::new(&FEED_FORWARD).onnx();
    bencher.bench(|| Graph::from_onnx(black_box(&file), &Options::default()));
}

/// 100 small layers: 700 nodes of a `GraphDef`.
#[divan::bench]
fn load_deep(bencher: Bencher<'_, '_>) {
    let file = Network::new(&[16; 101]).graphdef();
    bencher.bench(|| Graph::from_graphdef(black_box(&file), &Options::default()));
}
