//! The exponential of many 32-bit numbers at once.
//!
//! The library's `exp` is a call for each number, and a slow one where the result is too large or
//! too small to be told. What is here is plain arithmetic without branches, which the compiler
//! turns into as many lanes as the machine has.
//!
//! With `n` the integer next to `x / ln 2` and `r = x - n ln 2`, `exp(x) = 2^n (1 + p(r))`, where
//! `p` is the Taylor series of `exp(r) - 1` up to `r^7`. As `|r|` is at most `ln 2 / 2`, what is
//! left out is below `2 |r|^7 / 8!`, 3e-8 of `p`: half the distance of two 32-bit numbers.

/// Adding this and taking it away again rounds a small number to an integer: 1.5 * 2^23.
const ROUNDING: f32 = 12_582_912.0;

/// The upper part of `ln 2`, whose product with an exponent is exact, and the rest.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);

/// `1/7!` to `1/2!`.
const FACTORS: [f32; 6] = [
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
];

/// Below this the exponential is zero: it would hardly be a normal number, and arithmetic with
/// others takes a hundred times as long.
const LEAST: f32 = -87.0;

/// Below this the exponential less one is minus one, in 32 bits.
const LEAST_M1: f32 = -20.0;

/// `exp(x)` as `2^n` and `p(r)`, of a number from [`LEAST`] to zero, or NaN.
#[inline(always)]
fn parts(x: f32) -> (f32, f32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUNDING;
    let exponent = shifted - ROUNDING;
    let r = x - exponent * LN_2.0 - exponent * LN_2.1;
    let mut series = 0.0;
    for factor in FACTORS {
        series = series * r + factor;
    }
    // `n` is in the lowest bits of `shifted`, and moves from there to where an exponent is. Of
    // NaN, whatever it is gets multiplied with NaN.
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (scale, r * r * series + r)
}

/// `exp(x)` for `x` up to zero, to 2 units in the last place; NaN of NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // NaN is not below anything.
    let (scale, rest) = parts(if x < LEAST { LEAST } else { x });
    if x < LEAST { 0.0 } else { scale * (1.0 + rest) }
}

/// `exp(x) - 1` for `x` up to zero, without cancellation near zero; NaN of NaN.
#[inline(always)]
pub(crate) fn exp_m1(x: f32) -> f32 {
    let (scale, rest) = parts(if x < LEAST_M1 { LEAST_M1 } else { x });
    scale * rest + (scale - 1.0)
}

/// `ln(1 + x)` for `x` from zero to one; NaN of NaN.
///
/// It is twice the inverse hyperbolic tangent of `s = x / (2 + x)`, here its series up to `s^13`.
/// As `s` is at most a third, what is left out is below `9/8 s^14 / 15`, 2e-8 of the result.
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    const FACTORS: [f32; 6] = [
        1.0 / 13.0,
        1.0 / 11.0,
        1.0 / 9.0,
        1.0 / 7.0,
        1.0 / 5.0,
        1.0 / 3.0,
    ];
    let s = x / (2.0 + x);
    let square = s * s;
    let mut series = 0.0;
    for factor in FACTORS {
        series = (series + factor) * square;
    }
    2.0 * s + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::{exp, exp_m1, ln_1p};

    /// The largest relative error from zero to `last`, against the standard library's function
    /// of 64-bit numbers.
    fn error(last: f32, found: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let sign = f32::from_bits(last.to_bits() & (1 << 31));
        let error = |bits: u32| {
            let x = f32::from_bits(bits).copysign(sign);
            let exact = exact(f64::from(x));
            ((f64::from(found(x)) - exact) / exact).abs()
        };
        let first = f32::MIN_POSITIVE.to_bits();
        (first..=last.abs().to_bits())
            .step_by(4_999)
            .map(error)
            .fold(0.0, f64::max)
    }

    #[test]
    fn errors_are_within_units_in_the_last_place() {
        let unit = f64::from(f32::EPSILON);
        assert!(error(-87.0, exp, f64::exp) < unit);
        assert!(error(-87.0, exp_m1, f64::exp_m1) < unit);
        assert!(error(1.0, ln_1p, f64::ln_1p) < 2.0 * unit);
    }

    #[test]
    fn ends_are_exact() {
        for zero in [0.0, -0.0] {
            assert_eq!((exp(zero), exp_m1(zero), ln_1p(zero)), (1.0, 0.0, 0.0));
        }
        for far in [-87.1, -1e4, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!((exp(far), exp_m1(far)), (0.0, -1.0));
        }
    }

    #[test]
    fn nan_stays_nan() {
        assert!([exp, exp_m1, ln_1p].iter().all(|f| f(f32::NAN).is_nan()));
    }
}
