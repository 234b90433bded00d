//! The wine random forest, singly and in batches, beside a plain walk over flat arrays of the same
//! trees, the way one would write it in C. A figure is the time for all rows; `items/s` is per
//! record. The rows are many and distinct, for a branch predictor learns few rows by heart.
//!
//! `cargo bench -p pmml`

#![expect(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use pmml::{Model, Prediction, Row};

const ROWS: usize = 1 << 16;
const BATCH: usize = 1024;
const FEATURES: usize = 11;

fn main() {
    divan::main();
}

fn document() -> String {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../data/models/winequality-random-forest.pmml"
    );
    std::fs::read_to_string(path).unwrap()
}

/// Wines between the wines: each value is that of a random row, moved a little.
fn rows() -> Vec<[f64; FEATURES]> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../data/winequality_red.csv"
    );
    let table: Vec<Vec<f64>> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| line.split(';').map(|cell| cell.parse().unwrap()).collect())
        .collect();
    let mut seed = 42_u64;
    let mut random = move || {
        // Knuth's multiplier; the high bits are random enough.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    (0..ROWS)
        .map(|_| {
            let row = random() % table.len();
            std::array::from_fn(|column| {
                let factor = 0.9 + (random() % 1000) as f64 / 5000.0;
                table[row][column] * factor
            })
        })
        .collect()
}

/// For each input of the model, the column of the table.
fn columns(model: &Model) -> Vec<usize> {
    let names = [
        "fixed acidity",
        "volatile acidity",
        "citric acid",
        "residual sugar",
        "chlorides",
        "free sulfur dioxide",
        "total sulfur dioxide",
        "density",
        "pH",
        "sulphates",
        "alcohol",
    ];
    let place = |name: &str| names.iter().position(|known| *known == name).unwrap();
    model
        .inputs()
        .iter()
        .map(|input| place(&input.name))
        .collect()
}

fn fill(row: &mut Row, columns: &[usize], values: &[f64; FEATURES]) {
    for (input, column) in columns.iter().enumerate() {
        row.set_number(input, values[*column]);
    }
}

/// One row is filled and scored after the other.
#[divan::bench]
fn single(bencher: Bencher) {
    let model = Model::load(document().as_bytes()).unwrap();
    let (table, columns) = (rows(), columns(&model));
    let mut row = model.row();
    let mut prediction = Prediction::default();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        for values in &table {
            fill(&mut row, &columns, values);
            model.score(&mut row, &mut prediction).unwrap();
            black_box(&prediction);
        }
    });
}

/// 1,024 rows are filled and scored together.
#[divan::bench]
fn batches(bencher: Bencher) {
    let model = Model::load(document().as_bytes()).unwrap();
    let (table, columns) = (rows(), columns(&model));
    let mut rows: Vec<Row> = (0..BATCH).map(|_| model.row()).collect();
    let mut predictions = vec![Prediction::default(); BATCH];
    let mut results = Vec::with_capacity(BATCH);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        for values in table.chunks_exact(BATCH) {
            for (row, values) in rows.iter_mut().zip(values) {
                fill(row, &columns, values);
            }
            model.score_batch(&mut rows, &mut predictions, &mut results);
            black_box((&predictions, &results));
        }
    });
}

/// The baseline: parallel arrays, a loop down each tree, sums of distributions, the largest.
#[divan::bench]
fn flat_arrays(bencher: Bencher) {
    let forest = Flat::read(&document());
    let rows = rows();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        for row in &rows {
            black_box(forest.score(row));
        }
    });
}

/// The baseline in batches: every tree over all rows of a batch.
#[divan::bench]
fn flat_arrays_batches(bencher: Bencher) {
    let forest = Flat::read(&document());
    let rows = rows();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        for rows in rows.chunks(BATCH) {
            black_box(forest.score_batch(rows));
        }
    });
}

const CLASSES: usize = 6;

#[derive(Default)]
struct Flat {
    feature: Vec<i32>,
    threshold: Vec<f64>,
    left: Vec<u32>,
    right: Vec<u32>,
    distribution: Vec<[f64; CLASSES]>,
    roots: Vec<u32>,
}

impl Flat {
    fn read(document: &str) -> Self {
        let document = roxmltree::Document::parse(document).unwrap();
        let mut flat = Self::default();
        let names: Vec<&str> = document
            .descendants()
            .filter(|node| node.has_tag_name(("http://www.dmg.org/PMML-4_4", "DataField")))
            .filter_map(|node| node.attribute("name"))
            .filter(|name| *name != "quality")
            .collect();
        for tree in document
            .descendants()
            .filter(|node| node.tag_name().name() == "TreeModel")
        {
            let root = tree
                .children()
                .find(|node| node.tag_name().name() == "Node")
                .unwrap();
            let place = flat.node(root, &names);
            flat.roots.push(place);
        }
        flat
    }

    /// The children of a node are asked in turn; the last one is asked nothing.
    fn node(&mut self, node: roxmltree::Node<'_, '_>, names: &[&str]) -> u32 {
        let children: Vec<_> = elements(node, "Node").collect();
        if !children.is_empty() {
            return self.chain(&children, names);
        }
        let place = self.push();
        let counts = elements(node, "ScoreDistribution");
        for (share, entry) in self.distribution[place].iter_mut().zip(counts) {
            *share = entry.attribute("recordCount").unwrap().parse().unwrap();
        }
        place as u32
    }

    fn chain(&mut self, children: &[roxmltree::Node<'_, '_>], names: &[&str]) -> u32 {
        let (first, rest) = children.split_first().unwrap();
        let Some(test) = elements(*first, "SimplePredicate").next() else {
            return self.node(*first, names);
        };
        assert_eq!(test.attribute("operator"), Some("lessOrEqual"));
        let field = test.attribute("field").unwrap();
        let place = self.push();
        self.feature[place] = names.iter().position(|name| *name == field).unwrap() as i32;
        self.threshold[place] = test.attribute("value").unwrap().parse().unwrap();
        self.left[place] = self.node(*first, names);
        self.right[place] = self.chain(rest, names);
        place as u32
    }

    fn push(&mut self) -> usize {
        self.feature.push(-1);
        self.threshold.push(0.0);
        self.left.push(0);
        self.right.push(0);
        self.distribution.push([0.0; CLASSES]);
        self.feature.len() - 1
    }

    #[inline]
    fn leaf(&self, root: u32, row: &[f64; FEATURES]) -> &[f64; CLASSES] {
        let mut at = root as usize;
        while self.feature[at] >= 0 {
            let below = row[self.feature[at] as usize] <= self.threshold[at];
            at = if below { self.left[at] } else { self.right[at] } as usize;
        }
        &self.distribution[at]
    }

    fn score(&self, row: &[f64; FEATURES]) -> usize {
        let mut sums = [0.0; CLASSES];
        for root in &self.roots {
            for (sum, share) in sums.iter_mut().zip(self.leaf(*root, row)) {
                *sum += share;
            }
        }
        largest(&sums)
    }

    fn score_batch(&self, rows: &[[f64; FEATURES]]) -> Vec<usize> {
        let mut sums = vec![[0.0; CLASSES]; rows.len()];
        for root in &self.roots {
            for (row, sums) in rows.iter().zip(&mut sums) {
                for (sum, share) in sums.iter_mut().zip(self.leaf(*root, row)) {
                    *sum += share;
                }
            }
        }
        sums.iter().map(largest).collect()
    }
}

fn elements<'a, 'i>(
    node: roxmltree::Node<'a, 'i>,
    name: &'static str,
) -> impl Iterator<Item = roxmltree::Node<'a, 'i>> {
    node.children()
        .filter(move |child| child.tag_name().name() == name)
}

fn largest(sums: &[f64; CLASSES]) -> usize {
    let mut best = 0;
    for class in 1..CLASSES {
        if sums[class] > sums[best] {
            best = class;
        }
    }
    best
}
