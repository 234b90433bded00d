//! Elements of one type as elements of another.
//!
//! Floating point numbers and integers become floating point numbers rounded to nearest. Integers
//! and truth values are had from numbers that are one. Texts are texts.

use tensor::{Data, Element};

/// Appends elements to others, as their type.
///
/// # Errors
/// Says what has no counterpart; some elements may have been appended then.
pub(super) fn append(to: &mut Data, from: &Data) -> Result<(), String> {
    match from {
        Data::Float(from) => match to {
            Data::Float(to) => to.extend_from_slice(from),
            _ => numbers(to, from.iter().map(|&value| f64::from(value)))?,
        },
        Data::Double(from) => doubles(to, from)?,
        Data::Int32(from) => match to {
            Data::Int32(to) => to.extend_from_slice(from),
            _ => integers(to, from.iter().map(|&value| i64::from(value)))?,
        },
        Data::Int64(from) => match to {
            Data::Int64(to) => to.extend_from_slice(from),
            _ => integers(to, from.iter().copied())?,
        },
        Data::Bool(from) => match to {
            Data::Bool(to) => to.extend_from_slice(from),
            _ => integers(to, from.iter().map(|&value| i64::from(value)))?,
        },
        Data::Text(from) => match to {
            Data::Text(to) => to.extend_from_slice(from),
            _ => return Err(format!("it is text where {} is taken", to.element())),
        },
    }
    Ok(())
}

/// Appends numbers to elements of any type.
///
/// # Errors
/// As of [`append`].
pub(super) fn doubles(to: &mut Data, from: &[f64]) -> Result<(), String> {
    match to {
        Data::Double(to) => to.extend_from_slice(from),
        Data::Float(to) => to.extend(from.iter().map(|&value| value as f32)),
        _ => numbers(to, from.iter().copied())?,
    }
    Ok(())
}

fn numbers(to: &mut Data, from: impl Iterator<Item = f64>) -> Result<(), String> {
    let element = to.element();
    let none = |value: f64| no_counterpart(value, element);
    match to {
        Data::Float(to) => to.extend(from.map(|value| value as f32)),
        Data::Double(to) => to.extend(from),
        Data::Int32(to) => {
            for value in from {
                let whole = whole(value).and_then(|whole| i32::try_from(whole).ok());
                to.push(whole.ok_or_else(|| none(value))?);
            }
        }
        Data::Int64(to) => {
            for value in from {
                to.push(whole(value).ok_or_else(|| none(value))?);
            }
        }
        Data::Bool(to) => {
            for value in from {
                to.push(match value {
                    0.0 => false,
                    1.0 => true,
                    _ => return Err(none(value)),
                });
            }
        }
        Data::Text(_) => return Err("it is numbers where text is taken".to_owned()),
    }
    Ok(())
}

fn integers(to: &mut Data, from: impl Iterator<Item = i64>) -> Result<(), String> {
    let element = to.element();
    let none = |value: i64| no_counterpart(value, element);
    match to {
        Data::Float(to) => to.extend(from.map(|value| value as f32)),
        Data::Double(to) => to.extend(from.map(|value| value as f64)),
        Data::Int32(to) => {
            for value in from {
                to.push(i32::try_from(value).map_err(|_| none(value))?);
            }
        }
        Data::Int64(to) => to.extend(from),
        Data::Bool(to) => {
            for value in from {
                to.push(match value {
                    0 => false,
                    1 => true,
                    _ => return Err(none(value)),
                });
            }
        }
        Data::Text(_) => return Err("it is numbers where text is taken".to_owned()),
    }
    Ok(())
}

fn no_counterpart(value: impl std::fmt::Debug, element: Element) -> String {
    format!("it has {value:?}, which is no {element}")
}

/// The integer that this number is. 2^63 is none of 64 bits, and the number below it is one.
fn whole(value: f64) -> Option<i64> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    (value.trunc() == value && (-BEYOND..BEYOND).contains(&value)).then_some(value as i64)
}

/// No elements of this type.
pub(super) fn none(element: Element) -> Data {
    match element {
        Element::Float => Data::Float(Vec::new()),
        Element::Double => Data::Double(Vec::new()),
        Element::Int32 => Data::Int32(Vec::new()),
        Element::Int64 => Data::Int64(Vec::new()),
        Element::Bool => Data::Bool(Vec::new()),
        Element::Text => Data::Text(Vec::new()),
    }
}

/// Cuts off all elements but the first `length`.
pub(super) fn truncate(data: &mut Data, length: usize) {
    match data {
        Data::Float(values) => values.truncate(length),
        Data::Double(values) => values.truncate(length),
        Data::Int32(values) => values.truncate(length),
        Data::Int64(values) => values.truncate(length),
        Data::Bool(values) => values.truncate(length),
        Data::Text(values) => values.truncate(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_type(element: Element, from: &Data) -> Result<Data, String> {
        let mut to = none(element);
        append(&mut to, from).map(|()| to)
    }

    #[test]
    fn numbers_become_floating_point_numbers_rounded_to_nearest() {
        let exact = Data::Double(vec![0.1, -3.0, 1e300, f64::INFINITY]);
        let rounded = Data::Float(vec![0.1, -3.0, f32::INFINITY, f32::INFINITY]);
        assert_eq!(as_type(Element::Float, &exact), Ok(rounded));
        // 2^24 + 1 has no float, 2^53 + 1 no double: both lie half-way, and even wins.
        let integers = Data::Int64(vec![7, (1 << 24) + 1, (1 << 53) + 1]);
        let floats = Data::Float(vec![7.0, 16_777_216.0, 9_007_199_254_740_992.0]);
        assert_eq!(as_type(Element::Float, &integers), Ok(floats));
        let doubles = Data::Double(vec![7.0, 16_777_217.0, 9_007_199_254_740_992.0]);
        assert_eq!(as_type(Element::Double, &integers), Ok(doubles));
        let exact = Data::Float(vec![0.1]);
        let same = Data::Double(vec![f64::from(0.1_f32)]);
        assert_eq!(as_type(Element::Double, &exact), Ok(same));
        let truths = Data::Bool(vec![true, false]);
        assert_eq!(
            as_type(Element::Float, &truths),
            Ok(Data::Float(vec![1.0, 0.0]))
        );
    }

    #[test]
    fn integers_and_truth_values_are_had_from_what_is_one() {
        use Element::{Bool, Int32, Int64};
        let largest = 9_223_372_036_854_774_784.0;
        for (element, from, to) in [
            (
                Int64,
                Data::Double(vec![largest]),
                Data::Int64(vec![largest as i64]),
            ),
            (Int64, Data::Float(vec![-2.0]), Data::Int64(vec![-2])),
            (Int64, Data::Int32(vec![-2]), Data::Int64(vec![-2])),
            (Int32, Data::Int64(vec![-2]), Data::Int32(vec![-2])),
            (Int32, Data::Bool(vec![true]), Data::Int32(vec![1])),
            (
                Bool,
                Data::Double(vec![1.0, -0.0]),
                Data::Bool(vec![true, false]),
            ),
            (Bool, Data::Int64(vec![0, 1]), Data::Bool(vec![false, true])),
        ] {
            assert_eq!(as_type(element, &from), Ok(to));
        }
        for (element, from, message) in [
            (
                Int64,
                Data::Double(vec![1.0, 0.5]),
                "it has 0.5, which is no int64",
            ),
            (
                Int64,
                Data::Double(vec![f64::NAN]),
                "it has NaN, which is no int64",
            ),
            (
                Int64,
                Data::Double(vec![2f64.powi(63)]),
                "it has 9.223372036854776e18, which is no int64",
            ),
            (
                Int32,
                Data::Float(vec![3e9]),
                "it has 3000000000.0, which is no int32",
            ),
            (
                Int32,
                Data::Int64(vec![1 << 31]),
                "it has 2147483648, which is no int32",
            ),
            (Bool, Data::Int32(vec![2]), "it has 2, which is no bool"),
            (
                Int64,
                Data::Text(vec!["1".to_owned()]),
                "it is text where int64 is taken",
            ),
            (
                Element::Text,
                Data::Float(vec![1.0]),
                "it is numbers where text is taken",
            ),
            (
                Element::Text,
                Data::Bool(vec![true]),
                "it is numbers where text is taken",
            ),
        ] {
            assert_eq!(as_type(element, &from), Err(message.to_owned()));
        }
    }
}
