use std::cmp::Ordering;
use std::fmt;

use crate::Error;
use crate::ScoreError;
use crate::document::Element;
use crate::symbol::{Symbol, Texts};

/// The type of a field's values (PMML 4.4, DataDictionary, `dataType`).
///
/// Dates and times are not supported yet: a model that reads such a field is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// Text.
    String,
    /// Whole numbers.
    Integer,
    /// Numbers of 32 bits.
    Float,
    /// Numbers of 64 bits.
    Double,
    /// True or false.
    Boolean,
}

impl DataType {
    /// The type an element's attribute names, if it has the attribute.
    pub(crate) fn of(element: Element<'_>) -> Result<Option<Self>, Error> {
        match element.attribute("dataType") {
            None => Ok(None),
            Some("string") => Ok(Some(Self::String)),
            Some("integer") => Ok(Some(Self::Integer)),
            Some("float") => Ok(Some(Self::Float)),
            Some("double") => Ok(Some(Self::Double)),
            Some("boolean") => Ok(Some(Self::Boolean)),
            Some(_) => Err(element.refused_value("dataType")),
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Double => "double",
            Self::Boolean => "boolean",
        })
    }
}

/// What may be done with a field's values (PMML 4.4, DataDictionary, `optype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpType {
    /// Compared for equality.
    Categorical,
    /// Compared for order, too.
    Ordinal,
    /// Calculated with.
    Continuous,
}

impl OpType {
    pub(crate) fn of(element: Element<'_>) -> Result<Option<Self>, Error> {
        match element.attribute("optype") {
            None => Ok(None),
            Some("categorical") => Ok(Some(Self::Categorical)),
            Some("ordinal") => Ok(Some(Self::Ordinal)),
            Some("continuous") => Ok(Some(Self::Continuous)),
            Some(_) => Err(element.refused_value("optype")),
        }
    }
}

/// The value of a field in one record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Missing,
    Integer(i64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Text(Symbol),
}

impl Value {
    pub(crate) fn is_missing(self) -> bool {
        matches!(self, Self::Missing)
    }

    /// The number, if this is one or can be taken for one, as `true` for 1.
    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Float(value) => Some(f64::from(value)),
            Self::Double(value) => Some(value),
            Self::Boolean(value) => Some(f64::from(u8::from(value))),
            Self::Missing | Self::Text(_) => None,
        }
    }

    pub(crate) fn data_type(self) -> Option<DataType> {
        match self {
            Self::Missing => None,
            Self::Integer(_) => Some(DataType::Integer),
            Self::Float(_) => Some(DataType::Float),
            Self::Double(_) => Some(DataType::Double),
            Self::Boolean(_) => Some(DataType::Boolean),
            Self::Text(_) => Some(DataType::String),
        }
    }

    /// This value as one of another type, if it is one without loss of meaning: whole numbers as
    /// integers, 0 and 1 as booleans, text as what it spells, everything as text.
    pub(crate) fn cast(self, to: DataType, texts: &mut Texts) -> Option<Self> {
        match (self, to) {
            (Self::Missing, _) => Some(Self::Missing),
            (Self::Text(symbol), DataType::String) => Some(Self::Text(symbol)),
            (Self::Text(symbol), _) => parse(texts.text(symbol), to),
            (_, DataType::String) => {
                let text = self.to_text(texts);
                Some(Self::Text(texts.intern(&text)))
            }
            (_, DataType::Integer) => self.number().and_then(whole).map(Self::Integer),
            (_, DataType::Float) => self.number().map(|value| Self::Float(value as f32)),
            (_, DataType::Double) => self.number().map(Self::Double),
            (_, DataType::Boolean) => match self.number() {
                Some(0.0) => Some(Self::Boolean(false)),
                Some(1.0) => Some(Self::Boolean(true)),
                _ => None,
            },
        }
    }

    /// As [`Value::cast`]; what cannot be cast is an error.
    pub(crate) fn cast_or_fail(self, to: DataType, texts: &mut Texts) -> Result<Self, ScoreError> {
        self.cast(to, texts).ok_or_else(|| ScoreError::Type {
            value: self.to_text(texts),
            data_type: to,
        })
    }

    /// The text of this value.
    pub(crate) fn to_text(self, texts: &Texts) -> String {
        match self {
            Self::Missing => "missing".to_owned(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => number_text(&format!("{value:e}")),
            Self::Double(value) => number_text(&format!("{value:e}")),
            Self::Boolean(value) => value.to_string(),
            Self::Text(symbol) => texts.text(symbol).to_owned(),
        }
    }

    /// Whether two values are equal; a missing one equals none.
    pub(crate) fn equals(self, other: Self, texts: &Texts) -> bool {
        self.compare(other, texts).is_some_and(Ordering::is_eq)
    }

    /// The order of two values. Numbers compare as numbers, text with anything else as what the
    /// text spells.
    pub(crate) fn compare(self, other: Self, texts: &Texts) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) if left == right => Some(Ordering::Equal),
            (Self::Text(left), Self::Text(right)) => Some(texts.text(left).cmp(texts.text(right))),
            (Self::Text(left), _) => {
                let left = parse(texts.text(left), other.data_type()?)?;
                left.number()?.partial_cmp(&other.number()?)
            }
            (_, Self::Text(_)) => other.compare(self, texts).map(Ordering::reverse),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }
}

/// A number as text, from the shortest scientific notation that reads back: always with a point,
/// and with an exponent below a thousandth and from ten million on. Documents compare texts, so
/// there must be one way to write a number; it is that of the reference engine's language.
fn number_text(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific.replace("inf", "Infinity");
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let pad = |digits: &str| {
        if digits.is_empty() {
            "0".to_owned()
        } else {
            digits.to_owned()
        }
    };
    if digits != "0" && !(-3..7).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        return format!("{sign}{first}.{}E{exponent}", pad(rest));
    }
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return format!("{sign}0.{zeros}{digits}");
    }
    let point = exponent as usize + 1;
    if digits.len() <= point {
        return format!("{sign}{digits}{}.0", "0".repeat(point - digits.len()));
    }
    let (whole, fraction) = digits.split_at(point);
    format!("{sign}{whole}.{}", pad(fraction))
}

/// The whole number that a number is.
pub(crate) fn whole(value: f64) -> Option<i64> {
    // 2^63 itself is no i64, and everything below it that is whole converts exactly.
    (value.fract() == 0.0
        && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value))
    .then_some(value as i64)
}

/// A number as documents write it: with white space around, `INF` and `-INF` (XML Schema), too.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    match text.trim() {
        "INF" => Some(f64::INFINITY),
        "-INF" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

/// The value of a type that text spells; never one of type string.
pub(crate) fn parse(text: &str, data_type: DataType) -> Option<Value> {
    match data_type {
        DataType::String => None,
        DataType::Integer => match text.trim().parse() {
            Ok(value) => Some(Value::Integer(value)),
            // Exporters write `1.0` for integer fields.
            Err(_) => parse_number(text).and_then(whole).map(Value::Integer),
        },
        // Through 32 bits at once: through 64 it would be rounded twice.
        DataType::Float => match text.trim().parse::<f32>() {
            Ok(value) => Some(Value::Float(value)),
            Err(_) => parse_number(text).map(|value| Value::Float(value as f32)),
        },
        DataType::Double => parse_number(text).map(Value::Double),
        DataType::Boolean => match text.trim() {
            text if text.eq_ignore_ascii_case("true") => Some(Value::Boolean(true)),
            text if text.eq_ignore_ascii_case("false") => Some(Value::Boolean(false)),
            text => match parse_number(text)? {
                0.0 => Some(Value::Boolean(false)),
                1.0 => Some(Value::Boolean(true)),
                _ => None,
            },
        },
    }
}

/// How exactly a model calculates (`x-mathContext` of JPMML's exporters): XGBoost's sums are of
/// 32 bits, and only the same rounding reproduces them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Precision {
    Single,
    #[default]
    Double,
}

impl Precision {
    pub(crate) fn of(element: Element<'_>) -> Result<Self, Error> {
        match element.attribute("x-mathContext") {
            None | Some("double") => Ok(Self::Double),
            Some("float") => Ok(Self::Single),
            Some(_) => Err(element.refused_value("x-mathContext")),
        }
    }

    /// Rounds the result of one operation. For `+`, `-`, `*`, `/` on numbers of 32 bits, rounding
    /// a 64-bit result is the same as calculating with 32 bits.
    #[inline]
    pub(crate) fn round(self, value: f64) -> f64 {
        match self {
            Self::Single => f64::from(value as f32),
            Self::Double => value,
        }
    }

    /// The exponential function. With 32 bits it is a power of the 32-bit Euler number, as the
    /// reference engine has it.
    #[inline]
    pub(crate) fn exp(self, x: f64) -> f64 {
        match self {
            Self::Single => f64::from(2.718_281_7_f64.powf(x) as f32),
            Self::Double => x.exp(),
        }
    }

    /// A number that an attribute spells.
    pub(crate) fn parse(self, text: &str) -> Option<f64> {
        match self {
            Self::Double => parse_number(text),
            Self::Single => match parse(text, DataType::Float)? {
                Value::Float(value) => Some(f64::from(value)),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Double.toString` of Java 17 prints.
    #[test]
    fn numbers_become_the_texts_of_the_reference_engine() {
        let text = |value: f64| Value::Double(value).to_text(&Texts::new(Default::default()));
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.00012, "1.2E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (123_456_789.5, "1.234567895E8"),
            (1e300, "1.0E300"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(value), expected);
        }
        let single = Value::Float(0.1).to_text(&Texts::new(Default::default()));
        assert_eq!(single, "0.1");
    }

    #[test]
    fn whole_numbers_are_those_that_fit() {
        assert_eq!(whole(5.0), Some(5));
        assert_eq!(whole(5.5), None);
        assert_eq!(whole(f64::NAN), None);
        assert_eq!(whole(-9_223_372_036_854_775_808.0), Some(i64::MIN));
        assert_eq!(whole(9_223_372_036_854_775_808.0), None);
    }
}
