//! From rows of numbers to the sums of the leaves that they reach.

use super::super::kernel::rows_of;
use super::leaves::{Leaves, Real};
use crate::elements::slice;
use crate::onnx::transform::Transform;
use forest::Forest;
use std::cell::Cell;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{DatumType, Tensor as Value, TractResult, bail, ensure};

/// How the numbers of several trees become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Aggregate {
    pub(super) fn named(name: &str) -> TractResult<Aggregate> {
        Ok(match name {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => bail!("unknown aggregate_function `{other}`"),
        })
    }

    /// By the numbers of `TreeEnsemble`.
    pub(super) fn numbered(number: i64) -> TractResult<Aggregate> {
        Ok(match number {
            0 => Aggregate::Average,
            1 => Aggregate::Sum,
            2 => Aggregate::Min,
            3 => Aggregate::Max,
            other => bail!("unknown aggregate_function {other}"),
        })
    }

    #[inline]
    fn of<T: Real>(self, score: T, touched: bool, value: T) -> T {
        match self {
            Aggregate::Sum | Aggregate::Average => score.plus(value),
            Aggregate::Min if !touched || value < score => value,
            Aggregate::Max if !touched || value > score => value,
            Aggregate::Min | Aggregate::Max => score,
        }
    }
}

/// An ensemble in the precision in which it is evaluated.
pub(super) struct Form<T> {
    pub(super) forest: Arc<Forest>,
    pub(super) leaves: Leaves<T>,
    pub(super) base: Vec<T>,
    pub(super) targets: usize,
    pub(super) aggregate: Aggregate,
    pub(super) transform: Transform,
}

/// The sums of one row.
pub(super) struct Sums<'a, T> {
    pub(super) scores: &'a mut [T],
    /// Which of them some leaf had a number for; none, if that is true of all.
    pub(super) touched: Option<&'a [bool]>,
}

/// Memory that a thread keeps between two evaluations.
#[derive(Default)]
pub(super) struct Scratch {
    rows: Vec<f64>,
    places: Vec<u32>,
    pub(super) singles: Vec<f32>,
    pub(super) doubles: Vec<f64>,
    touched: Vec<bool>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// Rows that are walked side by side: their numbers and sums fit the cache beside a tree.
const BLOCK: usize = 256;
/// Rows that are too few to be walked side by side.
const FEW: usize = 8;

impl<T: Real> Form<T> {
    /// Computes the sums of every row, one after the other.
    pub(super) fn each(
        &self,
        input: &Value,
        mut finish: impl FnMut(usize, Sums<'_, T>),
    ) -> TractResult<()> {
        let (count, columns) = rows_of(input.shape())?;
        let features = self.forest.features();
        ensure!(
            columns >= features,
            "the trees test feature {}, there are {columns}",
            features.saturating_sub(1)
        );
        let mut scratch = SCRATCH.take();
        let mut start = 0;
        while start < count {
            let rows = match count - start {
                left @ ..FEW => left,
                left => (left - left % FEW).min(BLOCK),
            };
            copy(input, start, rows, columns, features, &mut scratch.rows)?;
            if rows < FEW {
                self.few(start, rows, &mut scratch, &mut finish);
            } else {
                self.many(start, rows, &mut scratch, &mut finish);
            }
            start += rows;
        }
        SCRATCH.set(scratch);
        Ok(())
    }

    /// Row by row, all trees of a row side by side.
    fn few(
        &self,
        start: usize,
        rows: usize,
        scratch: &mut Scratch,
        finish: &mut impl FnMut(usize, Sums<'_, T>),
    ) {
        let mut places = std::mem::take(&mut scratch.places);
        let mut touched = std::mem::take(&mut scratch.touched);
        places.resize(self.forest.trees(), 0);
        let features = self.forest.features();
        for row in 0..rows {
            let values = &scratch.rows[row * features..][..features];
            self.forest.leaves(values, &mut places);
            let scores = T::memory(scratch);
            self.clear(1, scores, &mut touched);
            for place in &places {
                self.add(*place, scores, &mut touched);
            }
            let touched = self.touched(&touched, 0);
            finish(start + row, Sums { scores, touched });
        }
        scratch.places = places;
        scratch.touched = touched;
    }

    /// Tree by tree, the rows side by side.
    fn many(
        &self,
        start: usize,
        rows: usize,
        scratch: &mut Scratch,
        finish: &mut impl FnMut(usize, Sums<'_, T>),
    ) {
        let mut places = std::mem::take(&mut scratch.places);
        let mut touched = std::mem::take(&mut scratch.touched);
        let values = std::mem::take(&mut scratch.rows);
        places.resize(rows, 0);
        let scores = T::memory(scratch);
        self.clear(rows, scores, &mut touched);
        let targets = self.targets;
        self.forest.each_tree(&values, &mut places, |places| {
            if let (Leaves::One(numbers), Aggregate::Sum | Aggregate::Average) =
                (&self.leaves, self.aggregate)
            {
                for (score, place) in scores.iter_mut().zip(places) {
                    *score = score.plus(numbers[*place as usize]);
                }
                return;
            }
            for (row, place) in places.iter().enumerate() {
                let span = row * targets..(row + 1) * targets;
                let touched = touched.get_mut(span.clone()).unwrap_or_default();
                self.add(*place, &mut scores[span], touched);
            }
        });
        for (row, scores) in scores.chunks_exact_mut(targets).enumerate() {
            let touched = self.touched(&touched, row);
            finish(start + row, Sums { scores, touched });
        }
        scratch.places = places;
        scratch.touched = touched;
        scratch.rows = values;
    }

    fn clear(&self, rows: usize, scores: &mut Vec<T>, touched: &mut Vec<bool>) {
        scores.clear();
        scores.resize(rows * self.targets, T::of(0.0));
        touched.clear();
        if self.tracks() {
            touched.resize(rows * self.targets, false);
        }
    }

    /// Whether it has to be noted which targets leaves have numbers for.
    fn tracks(&self) -> bool {
        matches!(self.leaves, Leaves::Some { .. })
            || matches!(self.aggregate, Aggregate::Min | Aggregate::Max)
    }

    fn touched<'a>(&self, touched: &'a [bool], row: usize) -> Option<&'a [bool]> {
        let span = row * self.targets..(row + 1) * self.targets;
        self.tracks().then(|| touched.get(span).unwrap_or_default())
    }

    #[inline]
    fn add(&self, leaf: u32, scores: &mut [T], touched: &mut [bool]) {
        let leaf = leaf as usize;
        let summed = matches!(self.aggregate, Aggregate::Sum | Aggregate::Average);
        match &self.leaves {
            Leaves::One(numbers) if summed => scores[0] = scores[0].plus(numbers[leaf]),
            Leaves::Full(numbers) if summed => {
                let numbers = &numbers[leaf * scores.len()..][..scores.len()];
                for (score, number) in scores.iter_mut().zip(numbers) {
                    *score = score.plus(*number);
                }
            }
            Leaves::One(numbers) => self.put(0, numbers[leaf], scores, touched),
            Leaves::Full(numbers) => {
                let numbers = &numbers[leaf * scores.len()..][..scores.len()];
                for (target, number) in numbers.iter().enumerate() {
                    self.put(target, *number, scores, touched);
                }
            }
            Leaves::Some { starts, numbers } => {
                let span = starts[leaf] as usize..starts[leaf + 1] as usize;
                for (target, number) in &numbers[span] {
                    self.put(*target as usize, *number, scores, touched);
                }
            }
        }
    }

    #[inline]
    fn put(&self, target: usize, number: T, scores: &mut [T], touched: &mut [bool]) {
        scores[target] = self.aggregate.of(scores[target], touched[target], number);
        touched[target] = true;
    }
}

/// The first columns of some rows, as the trees read them: thresholds are compared in single
/// precision with all but numbers of double precision.
fn copy(
    input: &Value,
    start: usize,
    rows: usize,
    columns: usize,
    features: usize,
    to: &mut Vec<f64>,
) -> TractResult<()> {
    fn put<T: Copy>(
        values: &[T],
        columns: usize,
        features: usize,
        to: &mut Vec<f64>,
        convert: impl Fn(T) -> f64,
    ) {
        to.clear();
        if columns == features {
            to.extend(values.iter().map(|value| convert(*value)));
        } else if features > 0 {
            for row in values.chunks_exact(columns) {
                to.extend(row[..features].iter().map(|value| convert(*value)));
            }
        }
    }
    let span = start * columns..(start + rows) * columns;
    match input.datum_type() {
        DatumType::F32 => put(
            &slice::<f32>(input)?[span],
            columns,
            features,
            to,
            f64::from,
        ),
        DatumType::F64 => put(&slice::<f64>(input)?[span], columns, features, to, |v| v),
        DatumType::I32 => put(&slice::<i32>(input)?[span], columns, features, to, |v| {
            f64::from(v as f32)
        }),
        DatumType::I64 => put(&slice::<i64>(input)?[span], columns, features, to, |v| {
            f64::from(v as f32)
        }),
        other => bail!("trees over {other:?}"),
    }
    Ok(())
}
