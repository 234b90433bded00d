//! `Cast` between text and numbers, and of fractions to integers. The runtime has the others.

use super::kernel::{Fact, Kernel, node_of, only};
use crate::elements::{map, slice, truncated, truncated_to_32};
use crate::lowering::lower;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, InferenceOp, IntoTensor, SpecialOps, TDim, TValue, Tensor as Value,
    TractResult, bail, ensure, format_err,
};
use tract_onnx::tract_hir::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::tract_ndarray::ArrayD;

/// A conversion to a type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cast {
    pub(super) to: DatumType,
}

impl Cast {
    pub(super) fn operator(self) -> Box<dyn InferenceOp> {
        lower("Cast", move |prefix, model, inputs| {
            let from = model.outlet_fact(*only(inputs)?)?.datum_type;
            if self.is_ours(from) {
                return node_of("Cast", Arc::new(self), prefix, model, inputs);
            }
            model.wire_node(prefix, cast(self.result(from)), inputs)
        })
    }

    /// Whether a conversion is one of ours.
    fn is_ours(&self, from: DatumType) -> bool {
        let text = DatumType::String;
        let real = matches!(from, DatumType::F32 | DatumType::F64);
        let integer = matches!(self.to, DatumType::I64 | DatumType::I32);
        (from == text) != (self.to == text) || (real && integer)
    }

    /// The type of the result: lengths, which can be symbols, stay what they are to the runtime.
    fn result(&self, from: DatumType) -> DatumType {
        if from == TDim::datum_type() && self.to == i64::datum_type() {
            from
        } else {
            self.to
        }
    }
}

impl Kernel for Cast {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (_, shape) = only(inputs)?;
        Ok(vec![(self.to, shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        Ok(vec![match (input.datum_type(), self.to) {
            (DatumType::String, DatumType::F32) => {
                each(input, |text| real(text).map(|value| value as f32))?
            }
            (DatumType::String, DatumType::F64) => each(input, real)?,
            (DatumType::String, DatumType::I64) => each(input, integer)?,
            (DatumType::String, DatumType::I32) => {
                each(input, |text| integer(text).map(|value| value as i32))?
            }
            (DatumType::String, DatumType::Bool) => {
                each(input, |text| integer(text).map(|value| value != 0))?
            }
            (_, DatumType::I64) => map(&*input.cast_to::<f64>()?, |value| truncated(*value))?,
            (_, DatumType::I32) => map(&*input.cast_to::<f64>()?, |value| truncated_to_32(*value))?,
            (DatumType::F32 | DatumType::F64, DatumType::String) => {
                map(&*input.cast_to::<f64>()?, |value| digits(*value))?
            }
            (from, DatumType::String) if from.is_integer() || from == bool::datum_type() => {
                map(&*input.cast_to::<i64>()?, i64::to_string)?
            }
            (from, to) => bail!("Cast of {from:?} to {to:?}"),
        }])
    }
}

/// What each text is read as.
fn each<T: Datum>(input: &Value, read: impl Fn(&str) -> TractResult<T>) -> TractResult<Value> {
    let found = slice::<String>(input)?.iter().map(|text| read(text));
    let found: Vec<T> = found.collect::<TractResult<_>>()?;
    Ok(ArrayD::from_shape_vec(input.shape(), found)?.into_tensor())
}

/// The number that a text begins with, as the C library reads it.
fn real(text: &str) -> TractResult<f64> {
    let text = text.trim_start();
    let unsigned = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    for word in ["infinity", "inf", "nan"] {
        if unsigned.starts_with(word) && text.len() - unsigned.len() < 2 {
            let sign = if text.starts_with('-') { "-" } else { "" };
            return Ok(format!("{sign}{word}").parse()?);
        }
    }
    ensure!(
        !unsigned.starts_with("0x"),
        "`{text}` is a hexadecimal number"
    );
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    let mut end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    while end > 0 {
        if let Ok(value) = text[..end].parse() {
            return Ok(value);
        }
        end -= 1;
    }
    Err(format_err!("`{text}` is no number"))
}

/// The integer that a text begins with.
fn integer(text: &str) -> TractResult<i64> {
    let text = text.trim_start();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let length = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let end = text.len() - digits.len() + length;
    text[..end]
        .parse()
        .map_err(|_| format_err!("`{text}` is no integer"))
}

/// A number in eight significant digits, as C's `%.8g` writes it.
fn digits(value: f64) -> String {
    const DIGITS: i32 = 8;
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "INF" } else { "-INF" }.to_owned();
    }
    let scientific = format!("{value:.*e}", DIGITS as usize - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..DIGITS).contains(&exponent) {
        return trimmed(&format!("{value:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::{digits, integer, real};

    /// What ONNX Runtime makes of these.
    #[test]
    fn numbers_are_written_in_eight_digits() {
        for (value, expected) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (1e10, "1e+10"),
            (f64::from(1e-7f32), "1e-07"),
            (f64::from(0.1f32), "0.1"),
            (123_456_789.0, "1.2345679e+08"),
            (f64::from(1e38f32), "9.9999997e+37"),
            (1.0 / 3.0, "0.33333333"),
            (-0.0, "-0"),
            (f64::INFINITY, "INF"),
            (f64::NEG_INFINITY, "-INF"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(digits(value), expected);
        }
    }

    #[test]
    fn a_text_is_read_as_far_as_it_is_a_number() {
        for (text, expected) in [
            ("1.5", 1.5),
            (" 2", 2.0),
            ("1e3", 1000.0),
            ("1.5x", 1.5),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(real(text).unwrap(), expected, "{text}");
        }
        assert!(real("nan").unwrap().is_nan());
        assert!(real("abc").is_err());
        for (text, expected) in [("15", 15), (" 2", 2), ("-3", -3), ("1.5", 1)] {
            assert_eq!(integer(text).unwrap(), expected, "{text}");
        }
        assert!(integer("abc").is_err());
    }
}
