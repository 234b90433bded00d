//! Arithmetic in as many lanes as the machine has.
//!
//! A program is built for the least machine of its kind, and finds out what it runs on when it
//! runs: AVX-512, AVX2 with FMA, or neither.

use pulp::{Arch, Scalar128b, Simd, WithSimd};

/// Work on lanes.
pub(crate) trait Work {
    /// What comes of it.
    type Output;

    /// Does it. An implementation is `#[inline(always)]`, and so is everything that it calls: what
    /// is not inlined is built for the least machine. Where `FUSED` is false, an instruction that
    /// multiplies and adds is not there, and would be a slow call.
    fn with<S: Simd, const FUSED: bool>(self, lanes: S) -> Self::Output;
}

/// What the machine can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine(Arch);

impl Machine {
    pub(crate) fn here() -> Machine {
        Machine(Arch::new())
    }

    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        match self.0 {
            // The least machines have four lanes, too.
            Arch::Scalar => work.with::<_, false>(Scalar128b),
            arch => arch.dispatch(Fused(work)),
        }
    }

    /// How many 32-bit numbers there are in a register.
    pub(crate) fn width(self) -> usize {
        self.run(Width)
    }

    /// All that can be tried on this machine.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Machine> {
        #[cfg_attr(
            not(target_arch = "x86_64"),
            expect(unused_mut, reason = "others have two only")
        )]
        let mut all = vec![Machine(Arch::Scalar), Machine::here()];
        #[cfg(target_arch = "x86_64")]
        all.extend(pulp::x86::V3::try_new().map(|lanes| Machine(Arch::V3(lanes))));
        all
    }
}

struct Fused<W>(W);

impl<W: Work> WithSimd for Fused<W> {
    type Output = W::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, lanes: S) -> W::Output {
        self.0.with::<S, true>(lanes)
    }
}

struct Width;

impl Work for Width {
    type Output = usize;

    #[inline(always)]
    fn with<S: Simd, const FUSED: bool>(self, _: S) -> usize {
        S::F32_LANES
    }
}
