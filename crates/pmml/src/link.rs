//! Link functions, inverted: from a linear predictor to a mean or a probability.

use crate::function::normal_cdf;
use crate::outcome::exceeds;
use crate::value::Precision;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Link {
    Identity,
    Log,
    Logit,
    Probit,
    Cloglog,
    Loglog,
    Cauchit,
    Logc,
    /// With the distribution's parameter.
    Negbin(f64),
    /// With the link's parameter, as the next.
    OddsPower(f64),
    Power(f64),
}

impl Link {
    /// The inverse of the link function.
    pub(crate) fn inverse(self, x: f64, precision: Precision) -> f64 {
        let round = |value| precision.round(value);
        let exp = |value: f64| precision.exp(value);
        round(match self {
            Self::Identity => x,
            Self::Log => exp(x),
            Self::Logit => 1.0 / round(1.0 + exp(-x)),
            Self::Probit => normal_cdf(x),
            Self::Cloglog => 1.0 - exp(-exp(x)),
            Self::Loglog => exp(-exp(-x)),
            Self::Cauchit => {
                0.5 + round(round(1.0 / round(std::f64::consts::PI)) * round(x.atan()))
            }
            Self::Logc => 1.0 - exp(x),
            Self::Negbin(parameter) => 1.0 / round(parameter * round(exp(-x) - 1.0)),
            Self::OddsPower(0.0) => 1.0 / round(1.0 + exp(-x)),
            Self::OddsPower(parameter) => {
                let base = round(1.0 + round(parameter * x));
                1.0 / round(1.0 + round(base.powf(-(1.0 / parameter))))
            }
            Self::Power(0.0) => exp(x),
            Self::Power(parameter) => x.powf(1.0 / parameter),
        })
    }
}

/// Divides numbers by their sum; false if that is zero.
pub(crate) fn simplemax(values: &mut [f64], precision: Precision) -> bool {
    let Some((&first, rest)) = values.split_first() else {
        return true;
    };
    let sum = rest
        .iter()
        .fold(first, |sum, value| precision.round(sum + value));
    if sum == 0.0 {
        return false;
    }
    if sum != 1.0 {
        for value in values {
            *value = precision.round(*value / sum);
        }
    }
    true
}

/// Exponentials divided by their sum, relative to the largest so that none overflows.
pub(crate) fn softmax(values: &mut [f64], precision: Precision) -> bool {
    let mut largest = f64::NEG_INFINITY;
    for &value in &*values {
        if exceeds(value, largest) {
            largest = value;
        }
    }
    for value in &mut *values {
        *value = precision.exp(precision.round(*value - largest));
    }
    simplemax(values, precision)
}
