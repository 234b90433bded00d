//! The built-in functions (PMML 4.4, Built-in Functions).

use crate::symbol::Texts;
use crate::value::{Value, whole};
use crate::{DataType, ScoreError};

macro_rules! functions {
    ($($variant:ident $name:literal $arity:pat,)*) => {
        /// A built-in function that this crate evaluates.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function { $($variant,)* }

        impl Function {
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub(crate) fn takes(self, arguments: usize) -> bool {
                match self { $(Self::$variant => matches!(arguments, $arity),)* }
            }
        }
    };
}

functions! {
    Add "+" 2, Subtract "-" 2, Multiply "*" 2, Divide "/" 2, Modulo "modulo" 2,
    Min "min" 1.., Max "max" 1.., Sum "sum" 1.., Average "avg" 1.., Product "product" 1..,
    Log10 "log10" 1, Ln "ln" 1, Ln1p "ln1p" 1, Exp "exp" 1, Expm1 "expm1" 1, Sqrt "sqrt" 1,
    Abs "abs" 1, Pow "pow" 2, Threshold "threshold" 2,
    Floor "floor" 1, Ceil "ceil" 1, Round "round" 1, Rint "rint" 1,
    Sin "sin" 1, Cos "cos" 1, Tan "tan" 1, Asin "asin" 1, Acos "acos" 1, Atan "atan" 1,
    Sinh "sinh" 1, Cosh "cosh" 1, Tanh "tanh" 1,
    Atan2 "x-atan2" 2, Hypot "hypot" 2, Erf "erf" 1,
    NormalCdf "normalCDF" 3, StandardNormalCdf "stdNormalCDF" 1,
    NormalPdf "normalPDF" 3, StandardNormalPdf "stdNormalPDF" 1,
    IsMissing "isMissing" 1, IsNotMissing "isNotMissing" 1,
    Equal "equal" 2, NotEqual "notEqual" 2, Less "lessThan" 2, LessOrEqual "lessOrEqual" 2,
    Greater "greaterThan" 2, GreaterOrEqual "greaterOrEqual" 2,
    And "and" 2.., Or "or" 2.., Not "not" 1, IsIn "isIn" 2.., IsNotIn "isNotIn" 2..,
    Uppercase "uppercase" 1, Lowercase "lowercase" 1, StringLength "stringLength" 1,
    Substring "substring" 3, TrimBlanks "trimBlanks" 1, Concat "concat" 2..,
}

impl Function {
    /// Applies the function. `if` is not among them: it does not evaluate all its arguments.
    pub(crate) fn apply(self, values: &[Value], texts: &mut Texts) -> Result<Value, ScoreError> {
        let first = values.first().copied().unwrap_or(Value::Missing);
        let second = values.get(1).copied().unwrap_or(Value::Missing);
        match self {
            Self::IsMissing => return Ok(Value::Boolean(first.is_missing())),
            Self::IsNotMissing => return Ok(Value::Boolean(!first.is_missing())),
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Modulo
                if first.is_missing() || second.is_missing() =>
            {
                return Ok(Value::Missing);
            }
            Self::Min | Self::Max | Self::Sum | Self::Average | Self::Product => {
                return self.statistic(values, texts);
            }
            Self::IsIn | Self::IsNotIn => {
                let found = values
                    .iter()
                    .skip(1)
                    .any(|&value| same(first, value, texts));
                return Ok(Value::Boolean(found == (self == Self::IsIn)));
            }
            Self::Concat => {
                let text: String = values
                    .iter()
                    .filter(|value| !value.is_missing())
                    .map(|value| value.to_text(texts))
                    .collect();
                return Ok(Value::Text(texts.intern(&text)));
            }
            _ => {}
        }
        if values.iter().any(|value| value.is_missing()) {
            return Err(ScoreError::MissingArgument {
                function: self.name(),
            });
        }
        let double = |value: f64| Ok(Value::Double(value));
        match self {
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Modulo => {
                self.arithmetic(first, second, texts)
            }
            Self::Pow => self.power(first, second, texts),
            Self::Threshold => {
                let above = self.number(first, texts)? > self.number(second, texts)?;
                typed(f64::from(u8::from(above)), common(first, second), texts)
            }
            Self::Equal => Ok(Value::Boolean(same(first, second, texts))),
            Self::NotEqual => Ok(Value::Boolean(!same(first, second, texts))),
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => {
                let order = first
                    .compare(second, texts)
                    .ok_or_else(|| self.undefined(values, texts))?;
                Ok(Value::Boolean(match self {
                    Self::Less => order.is_lt(),
                    Self::LessOrEqual => order.is_le(),
                    Self::Greater => order.is_gt(),
                    _ => order.is_ge(),
                }))
            }
            Self::And | Self::Or => {
                let mut result = self == Self::And;
                for &value in values {
                    let value = boolean(value, texts)?;
                    result = if self == Self::And {
                        result & value
                    } else {
                        result | value
                    };
                }
                Ok(Value::Boolean(result))
            }
            Self::Not => Ok(Value::Boolean(!boolean(first, texts)?)),
            Self::Abs => match first {
                Value::Integer(value) => value
                    .checked_abs()
                    .map(Value::Integer)
                    .ok_or_else(|| self.undefined(values, texts)),
                _ => typed(self.number(first, texts)?.abs(), first.data_type(), texts),
            },
            Self::Rint => typed(
                self.number(first, texts)?.round_ties_even(),
                first.data_type(),
                texts,
            ),
            Self::Floor => self.integer(self.number(first, texts)?.floor(), values, texts),
            Self::Ceil => self.integer(self.number(first, texts)?.ceil(), values, texts),
            Self::Round => self.integer(round_half_up(self.number(first, texts)?), values, texts),
            Self::Atan2 => double(
                self.number(first, texts)?
                    .atan2(self.number(second, texts)?),
            ),
            Self::Hypot => double(
                self.number(first, texts)?
                    .hypot(self.number(second, texts)?),
            ),
            Self::NormalCdf | Self::NormalPdf => {
                let third = values.get(2).copied().unwrap_or(Value::Missing);
                let deviation = self.number(third, texts)?;
                if deviation <= 0.0 {
                    return Err(self.undefined(values, texts));
                }
                let scaled = (self.number(first, texts)? - self.number(second, texts)?) / deviation;
                double(if self == Self::NormalCdf {
                    normal_cdf(scaled)
                } else {
                    normal_pdf(scaled) / deviation
                })
            }
            Self::Uppercase | Self::Lowercase | Self::TrimBlanks => {
                let text = first.to_text(texts);
                let text = match self {
                    Self::Uppercase => text.to_uppercase(),
                    Self::Lowercase => text.to_lowercase(),
                    // Blanks are all characters up to the space, as the standard's functions have
                    // always been implemented.
                    _ => text.trim_matches(|c: char| c <= ' ').to_owned(),
                };
                Ok(Value::Text(texts.intern(&text)))
            }
            Self::StringLength => Ok(Value::Integer(
                first.to_text(texts).encode_utf16().count() as i64
            )),
            Self::Substring => self.substring(values, texts),
            _ => double(self.unary(self.number(first, texts)?)),
        }
    }

    fn unary(self, x: f64) -> f64 {
        match self {
            Self::Log10 => x.log10(),
            Self::Ln => x.ln(),
            Self::Ln1p => x.ln_1p(),
            Self::Exp => x.exp(),
            Self::Expm1 => x.exp_m1(),
            Self::Sqrt => x.sqrt(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tan => x.tan(),
            Self::Asin => x.asin(),
            Self::Acos => x.acos(),
            Self::Atan => x.atan(),
            Self::Sinh => x.sinh(),
            Self::Cosh => x.cosh(),
            Self::Tanh => x.tanh(),
            Self::Erf => libm::erf(x),
            Self::StandardNormalCdf => normal_cdf(x),
            Self::StandardNormalPdf => normal_pdf(x),
            _ => f64::NAN,
        }
    }

    /// Whole numbers stay whole, and so does their division; everything else is calculated with
    /// 64 bits and rounded to the wider type of the two.
    fn arithmetic(self, left: Value, right: Value, texts: &mut Texts) -> Result<Value, ScoreError> {
        if let (Value::Integer(left), Value::Integer(right)) = (left, right) {
            let result = match self {
                Self::Add => left.checked_add(right),
                Self::Subtract => left.checked_sub(right),
                Self::Multiply => left.checked_mul(right),
                Self::Divide => left.checked_div(right),
                // The sign of the divisor, as `x - floor(x / y) * y` has it.
                _ => left.checked_rem(right).map(|rest| {
                    if rest != 0 && (rest < 0) != (right < 0) {
                        rest + right
                    } else {
                        rest
                    }
                }),
            };
            return result.map(Value::Integer).ok_or_else(|| {
                self.undefined(&[Value::Integer(left), Value::Integer(right)], texts)
            });
        }
        let (x, y) = (self.number(left, texts)?, self.number(right, texts)?);
        let result = match self {
            Self::Add => x + y,
            Self::Subtract => x - y,
            Self::Multiply => x * y,
            Self::Divide => x / y,
            _ => x - (x / y).floor() * y,
        };
        typed(result, common(left, right), texts)
    }

    fn power(self, base: Value, exponent: Value, texts: &mut Texts) -> Result<Value, ScoreError> {
        if let (Value::Integer(x), Value::Integer(y)) = (base, exponent) {
            return u32::try_from(y)
                .ok()
                .and_then(|y| x.checked_pow(y))
                .map(Value::Integer)
                .ok_or_else(|| self.undefined(&[base, exponent], texts));
        }
        let result = self
            .number(base, texts)?
            .powf(self.number(exponent, texts)?);
        typed(result, common(base, exponent), texts)
    }

    /// A statistic of the values that are not missing; of none at all it is missing.
    fn statistic(self, values: &[Value], texts: &mut Texts) -> Result<Value, ScoreError> {
        let (mut result, mut count, mut data_type) = (0.0, 0.0, None);
        for &value in values.iter().filter(|value| !value.is_missing()) {
            let x = self.number(value, texts)?;
            count += 1.0;
            result = match self {
                _ if count == 1.0 => x,
                Self::Min => f64::min(result, x),
                Self::Max => f64::max(result, x),
                Self::Sum => result + x,
                Self::Product => result * x,
                // The running mean of the reference engine, whose rounding it shares.
                _ => result + (x - result) / count,
            };
            data_type = wider(data_type, value.data_type());
        }
        if count == 0.0 {
            return Ok(Value::Missing);
        }
        if self == Self::Average && data_type == Some(DataType::Integer) {
            data_type = Some(DataType::Double);
        }
        typed(result, data_type, texts)
    }

    fn substring(self, values: &[Value], texts: &mut Texts) -> Result<Value, ScoreError> {
        let &[text, start, length] = values else {
            return Err(self.undefined(values, texts));
        };
        let position = |value: Value| value.number().and_then(whole);
        match (position(start), position(length)) {
            (Some(start @ 1..), Some(length @ 0..)) => {
                let text: String = text
                    .to_text(texts)
                    .chars()
                    .skip(usize::try_from(start - 1).unwrap_or(usize::MAX))
                    .take(usize::try_from(length).unwrap_or(usize::MAX))
                    .collect();
                Ok(Value::Text(texts.intern(&text)))
            }
            _ => Err(self.undefined(values, texts)),
        }
    }

    fn integer(self, x: f64, values: &[Value], texts: &Texts) -> Result<Value, ScoreError> {
        whole(x)
            .map(Value::Integer)
            .ok_or_else(|| self.undefined(values, texts))
    }

    /// The number an argument is. Text is none, even if it spells one.
    fn number(self, value: Value, texts: &Texts) -> Result<f64, ScoreError> {
        value.number().ok_or_else(|| ScoreError::Type {
            value: value.to_text(texts),
            data_type: DataType::Double,
        })
    }

    pub(crate) fn undefined(self, values: &[Value], texts: &Texts) -> ScoreError {
        let arguments: Vec<String> = values.iter().map(|value| value.to_text(texts)).collect();
        ScoreError::Undefined {
            function: self.name(),
            arguments: arguments.join(", "),
        }
    }
}

pub(crate) fn boolean(value: Value, texts: &mut Texts) -> Result<bool, ScoreError> {
    match value.cast_or_fail(DataType::Boolean, texts)? {
        Value::Boolean(value) => Ok(value),
        _ => Ok(false),
    }
}

/// Whether two values are equal; a missing one equals a missing one.
fn same(left: Value, right: Value, texts: &Texts) -> bool {
    match (left, right) {
        (Value::Missing, Value::Missing) => true,
        _ => left
            .compare(right, texts)
            .is_some_and(std::cmp::Ordering::is_eq),
    }
}

fn typed(x: f64, data_type: Option<DataType>, texts: &mut Texts) -> Result<Value, ScoreError> {
    match data_type {
        Some(data_type @ (DataType::Integer | DataType::Float)) => {
            Value::Double(x).cast_or_fail(data_type, texts)
        }
        _ => Ok(Value::Double(x)),
    }
}

fn common(left: Value, right: Value) -> Option<DataType> {
    wider(left.data_type(), right.data_type())
}

fn wider(left: Option<DataType>, right: Option<DataType>) -> Option<DataType> {
    match (left, right) {
        (None, other) | (other, None) => other,
        (Some(DataType::Integer), Some(DataType::Integer)) => left,
        (Some(DataType::Integer | DataType::Float), Some(DataType::Integer | DataType::Float)) => {
            Some(DataType::Float)
        }
        _ => Some(DataType::Double),
    }
}

/// Half a unit goes up, towards positive infinity.
pub(crate) fn round_half_up(x: f64) -> f64 {
    let below = x.floor();
    if x - below >= 0.5 { below + 1.0 } else { below }
}

/// The distribution function of the standard normal distribution.
pub(crate) fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

fn normal_pdf(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}
