//! Functions of one number that the runtime's own kernels do not compute faithfully: those clamp
//! their argument, so that NaN becomes a number, and `Sigmoid` never goes below 4.5e-7.

use crate::exponential::{exp, exp_m1, ln_1p};
use crate::lanes::{Machine, Work};
use pulp::Simd;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, ElementWiseIntoHir, ElementWiseMiniOp, InferenceOp, Tensor as Value,
    TractResult,
};
use tract_onnx::tract_hir::tract_core::ops::element_wise::ElementWiseOp;

/// A function, applied to each element. NaN stays NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Function {
    /// The error function.
    Erf,
    /// One minus the error function.
    Erfc,
    /// `x` where it is above zero, else `x` times this.
    LeakyRelu(f32),
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `ln(1 + exp(x))`, without overflow.
    Softplus,
    /// The hyperbolic tangent.
    Tanh,
}

// The factor of `LeakyRelu` comes out of a file; a NaN there makes a function unequal to itself,
// which only keeps the runtime from merging two nodes.
impl Eq for Function {}

impl Function {
    pub(crate) fn operator(self) -> Box<dyn InferenceOp> {
        ElementWiseOp(Box::new(self), None).into_hir()
    }

    /// Applies it to each of some 32-bit numbers, in the lanes of whoever calls.
    #[inline(always)]
    pub(crate) fn apply(self, values: &mut [f32]) {
        // Not through a function that takes the function: what it is called through would not be
        // inlined.
        macro_rules! each {
            ($function:expr $(, $factor:ident)?) => {
                for value in values {
                    *value = $function(*value $(, $factor)?);
                }
            };
        }
        match self {
            Function::Erf => each!(erf),
            Function::Erfc => each!(erfc),
            Function::LeakyRelu(slope) => each!(leaky_relu, slope),
            Function::Relu => each!(relu),
            Function::Relu6 => each!(relu6),
            Function::Sigmoid => each!(sigmoid),
            Function::Softplus => each!(softplus),
            Function::Tanh => each!(tanh),
        }
    }

    fn double(self, values: &mut [f64]) {
        match self {
            Function::Erf => each(values, libm::erf),
            Function::Erfc => each(values, libm::erfc),
            Function::LeakyRelu(slope) => {
                each(values, |x| if x < 0.0 { x * f64::from(slope) } else { x });
            }
            Function::Relu => each(values, |x| if x < 0.0 { 0.0 } else { x }),
            Function::Relu6 => each(values, |x| x.clamp(0.0, 6.0)),
            Function::Sigmoid => each(values, |x| 1.0 / (1.0 + (-x).exp())),
            Function::Softplus => {
                each(values, |x| {
                    if x < 0.0 {
                        x.exp().ln_1p()
                    } else {
                        x + (-x).exp().ln_1p()
                    }
                });
            }
            Function::Tanh => each(values, f64::tanh),
        }
    }
}

fn each(values: &mut [f64], function: impl Fn(f64) -> f64) {
    for value in values {
        *value = function(*value);
    }
}

struct Each<'a> {
    function: Function,
    values: &'a mut [f32],
}

impl Work for Each<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd, const FUSED: bool>(self, _: S) {
        self.function.apply(self.values);
    }
}

impl ElementWiseMiniOp for Function {
    fn name(&self) -> String {
        format!("{self:?}")
    }

    fn eval_in_place(&self, value: &mut Value, _: Option<DatumType>) -> TractResult<()> {
        if value.datum_type() == f64::datum_type() {
            self.double(value.try_as_plain_ram_mut()?.as_slice_mut::<f64>()?);
        } else {
            let mut plain = value.try_as_plain_ram_mut()?;
            let values = plain.as_slice_mut::<f32>()?;
            Machine::here().run(Each {
                function: *self,
                values,
            });
        }
        Ok(())
    }
}

#[inline(always)]
fn leaky_relu(x: f32, slope: f32) -> f32 {
    if x < 0.0 { x * slope } else { x }
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[inline(always)]
fn relu6(x: f32) -> f32 {
    x.clamp(0.0, 6.0)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

#[inline(always)]
fn softplus(x: f32) -> f32 {
    relu(x) + ln_1p(exp(-x.abs()))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    let e = exp_m1(-2.0 * x.abs());
    (-e / (2.0 + e)).copysign(x)
}

#[inline(always)]
fn erfc(x: f32) -> f32 {
    1.0 - erf(x)
}

/// The error function, by formula 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical
/// Functions: to 1.5e-7, which is what a 32-bit number holds of a value near one.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let size = f64::from(x.abs());
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let factors = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    let mut polynomial = 0.0;
    for factor in factors {
        polynomial = (polynomial + factor) * t;
    }
    let value = 1.0 - polynomial * f64::from(exp((-size * size) as f32));
    (value as f32).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::Function;

    fn at(function: Function, x: f32) -> f32 {
        let mut values = [x];
        function.apply(&mut values);
        values[0]
    }

    #[test]
    fn nan_stays_nan() {
        let all = [
            Function::Erf,
            Function::Erfc,
            Function::LeakyRelu(0.1),
            Function::Relu,
            Function::Relu6,
            Function::Sigmoid,
            Function::Softplus,
            Function::Tanh,
        ];
        for function in all {
            assert!(at(function, f32::NAN).is_nan(), "{function:?}");
        }
    }

    #[test]
    fn far_arguments_reach_the_limits() {
        assert_eq!(at(Function::Sigmoid, -200.0), 0.0);
        assert_eq!(at(Function::Sigmoid, 200.0), 1.0);
        assert_eq!(at(Function::Softplus, 200.0), 200.0);
        assert_eq!(at(Function::Softplus, -200.0), 0.0);
        assert_eq!(at(Function::Erf, -20.0), -1.0);
        assert_eq!(at(Function::Erfc, 20.0), 0.0);
    }

    /// Against the standard library's functions of 64-bit numbers.
    #[test]
    fn functions_are_right_to_32_bits() {
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let exact: [(Function, &dyn Fn(f64) -> f64); 3] = [
            (Function::Sigmoid, &|x| 1.0 / (1.0 + (-x).exp())),
            (Function::Softplus, &softplus),
            (Function::Tanh, &f64::tanh),
        ];
        for (function, exact) in exact {
            for sign in [1.0, -1.0] {
                for bits in (0..90f32.to_bits()).step_by(9_973) {
                    let x = sign * f32::from_bits(bits);
                    let (found, expected) = (f64::from(at(function, x)), exact(f64::from(x)));
                    let bound = 4e-7 * expected.abs() + f64::from(f32::MIN_POSITIVE) * 2.0;
                    assert!(
                        (found - expected).abs() <= bound,
                        "{function:?} of {x}: {found}, {expected}"
                    );
                }
            }
        }
    }

    /// Values of Abramowitz and Stegun, table 7.1.
    #[test]
    fn error_function_is_that_of_the_tables() {
        for (x, expected) in [(0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3)] {
            assert!((at(Function::Erf, x) - expected).abs() < 3e-7, "{x}");
            assert!(
                (at(Function::Erfc, -x) - (1.0 + expected)).abs() < 3e-7,
                "{x}"
            );
        }
    }
}
