//! What leaves are worth, in the precision that sums have.

use std::fmt::Debug;
use tract_onnx::tract_hir::internal::{TractResult, ensure};

/// A floating point number of one of the two precisions.
pub(super) trait Real: Copy + PartialOrd + Debug + Send + Sync + 'static {
    fn of(value: f64) -> Self;
    fn single(self) -> f32;
    fn double(self) -> f64;
    fn plus(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn minus(self) -> Self;
    /// Memory for sums that a thread keeps.
    fn memory(scratch: &mut super::sums::Scratch) -> &mut Vec<Self>;
}

macro_rules! real {
    ($real:ty, $memory:ident) => {
        impl Real for $real {
            fn of(value: f64) -> Self {
                value as $real
            }
            fn single(self) -> f32 {
                self as f32
            }
            fn double(self) -> f64 {
                f64::from(self)
            }
            fn plus(self, other: Self) -> Self {
                self + other
            }
            fn over(self, other: Self) -> Self {
                self / other
            }
            fn minus(self) -> Self {
                -self
            }
            fn memory(scratch: &mut super::sums::Scratch) -> &mut Vec<Self> {
                &mut scratch.$memory
            }
        }
    };
}

real!(f32, singles);
real!(f64, doubles);

/// Numbers by leaf.
#[derive(Debug)]
pub(super) enum Leaves<T> {
    /// Of a single target, one of each leaf.
    One(Vec<T>),
    /// Of each leaf one for every target, one after the other.
    Full(Vec<T>),
    /// Of each leaf any, with their targets: those between its start and the next leaf's.
    Some {
        starts: Vec<u32>,
        numbers: Vec<(u32, T)>,
    },
}

impl<T: Real> Leaves<T> {
    pub(super) fn new(
        targets: usize,
        weights: &[Vec<(u32, f64)>],
        fallbacks: &[f64],
    ) -> TractResult<Leaves<T>> {
        if targets == 1 {
            // The first number of a leaf, as in ONNX Runtime; there is no use for more.
            let one = weights.iter().zip(fallbacks);
            let one = one.map(|(weights, fallback)| weights.first().map_or(*fallback, |w| w.1));
            return Ok(Leaves::One(one.map(T::of).collect()));
        }
        let full = |weights: &Vec<(u32, f64)>| {
            let mut seen = vec![false; targets];
            weights.len() == targets
                && weights.iter().all(|(target, _)| {
                    seen.get_mut(*target as usize)
                        .is_some_and(|seen| !std::mem::replace(seen, true))
                })
        };
        if weights.iter().all(full) {
            let mut numbers = vec![T::of(0.0); targets * weights.len()];
            for (leaf, weights) in numbers.chunks_exact_mut(targets).zip(weights) {
                for (target, weight) in weights {
                    leaf[*target as usize] = T::of(*weight);
                }
            }
            return Ok(Leaves::Full(numbers));
        }
        let total: usize = weights.iter().map(Vec::len).sum();
        ensure!(u32::try_from(total).is_ok(), "{total} weights of leaves");
        let mut starts = vec![0];
        let mut numbers = Vec::with_capacity(total);
        for weights in weights {
            numbers.extend(weights.iter().map(|(target, w)| (*target, T::of(*w))));
            starts.push(numbers.len() as u32);
        }
        Ok(Leaves::Some { starts, numbers })
    }
}
