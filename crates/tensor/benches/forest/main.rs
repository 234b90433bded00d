//! A random forest of 100 deep trees, of six classes by eleven features, in ONNX: one record, and
//! batches.
//!
//! `cargo bench -p tensor --bench forest`

mod model;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tensor::{Data, Graph, Options, Tensor};

const BATCHES: [usize; 4] = [1, 16, 256, 4096];
/// Distinct rows: a processor learns the branches of a few thousand of them by heart.
const ROWS: usize = 1 << 14;

fn main() {
    divan::main();
}

/// Labels and probabilities, as a caller of [`Graph::run`] has them.
#[divan::bench(args = BATCHES)]
fn forest(bencher: Bencher<'_, '_>, count: usize) {
    let graph = Graph::from_onnx(&model::bytes(), &Options::default()).expect("the model loads");
    let mut scratch = graph.scratch();
    let batches: Vec<Vec<Tensor>> = model::rows(ROWS)
        .chunks_exact(count * model::FEATURES)
        .map(|rows| {
            let shape = vec![count, model::FEATURES];
            vec![Tensor::new(shape, Data::Float(rows.to_vec())).expect("whole rows")]
        })
        .collect();
    let mut next = batches.iter().cycle();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let batch = next.next().expect("there are batches");
        graph.run(black_box(batch), &mut scratch).expect("it runs")
    });
}

#[divan::bench]
fn load(bencher: Bencher<'_, '_>) {
    let bytes = model::bytes();
    bencher.bench(|| Graph::from_onnx(&bytes, &Options::default()).expect("the model loads"));
}
