//! Tensors as the JSON of TensorFlow Serving's REST interface, and back.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Data, Element, Tensor};
use serde_json::Value;

/// Axes of a tensor, at most.
const MOST_AXES: usize = 32;

/// Writes the elements from `first` on as lists within lists of this shape.
pub(crate) fn write(out: &mut Vec<u8>, data: &Data, shape: &[usize], first: usize) {
    let Some((&length, rest)) = shape.split_first() else {
        element(out, data, first);
        return;
    };
    let stride = rest.iter().product::<usize>();
    out.push(b'[');
    for place in 0..length {
        if place > 0 {
            out.push(b',');
        }
        write(out, data, rest, first + place * stride);
    }
    out.push(b']');
}

fn element(out: &mut Vec<u8>, data: &Data, place: usize) {
    // Writing to memory does not fail.
    let _ = match data {
        Data::Float(values) if values[place].is_finite() => {
            // The shortest text that reads as this number of 32 bits.
            write!(out, "{:?}", values[place])
        }
        Data::Float(values) => write!(out, "{}", unusual(values[place].into())),
        Data::Double(values) if values[place].is_finite() => write!(out, "{:?}", values[place]),
        Data::Double(values) => write!(out, "{}", unusual(values[place])),
        Data::Int32(values) => write!(out, "{}", values[place]),
        Data::Int64(values) => write!(out, "{}", values[place]),
        Data::Bool(values) => write!(out, "{}", values[place]),
        Data::Text(values) => {
            text(out, &values[place]);
            Ok(())
        }
    };
}

/// Writes a text with its quotes.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

/// What JSON has no word for, as both sides of the interface write it.
fn unusual(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// A document; `NaN` and `Infinity` in it, which are no JSON, become texts.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).or_else(|error| {
        let mut quoted = Vec::with_capacity(bytes.len() + 16);
        let mut rest = bytes;
        let mut inside = false;
        while let Some(&byte) = rest.first() {
            let words: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
            let word = words.iter().find(|word| rest.starts_with(word));
            if let Some(word) = word.filter(|_| !inside) {
                quoted.push(b'"');
                quoted.extend_from_slice(word);
                quoted.push(b'"');
                rest = &rest[word.len()..];
                continue;
            }
            let length = if inside && byte == b'\\' {
                rest.len().min(2)
            } else {
                1
            };
            inside ^= byte == b'"';
            quoted.extend_from_slice(&rest[..length]);
            rest = &rest[length..];
        }
        serde_json::from_slice(&quoted).map_err(|_| error.to_string())
    })
}

/// The tensor that a document holds, of elements of this type; where that is not known, of numbers
/// or, if the first element is one, of texts or truth values.
pub(crate) fn tensor(value: &Value, wanted: Option<Element>) -> Result<Tensor, String> {
    let mut shape = Vec::new();
    let mut inner = value;
    while let Value::Array(list) = inner {
        if shape.len() == MOST_AXES {
            return Err("it has too many axes".to_owned());
        }
        shape.push(list.len());
        let Some(first) = list.first() else { break };
        inner = first;
    }
    let guessed = match inner {
        Value::String(text) if number(inner).is_none() || text.is_empty() => Element::Text,
        Value::Object(_) => Element::Text,
        Value::Bool(_) => Element::Bool,
        _ => Element::Double,
    };
    let mut data = match wanted.unwrap_or(guessed) {
        Element::Float => Data::Float(Vec::new()),
        Element::Double => Data::Double(Vec::new()),
        Element::Int32 => Data::Int32(Vec::new()),
        Element::Int64 => Data::Int64(Vec::new()),
        Element::Bool => Data::Bool(Vec::new()),
        Element::Text => Data::Text(Vec::new()),
    };
    fill(&mut data, value, &shape)?;
    Ok(Tensor { shape, data })
}

fn fill(data: &mut Data, value: &Value, shape: &[usize]) -> Result<(), String> {
    let Some((&length, rest)) = shape.split_first() else {
        return push(data, value).ok_or_else(|| {
            let element = data.element();
            format!(
                "{} is no {element}",
                crate::protocol::shortened(&value.to_string())
            )
        });
    };
    match value {
        Value::Array(list) if list.len() == length => {
            list.iter().try_for_each(|value| fill(data, value, rest))
        }
        _ => Err("its lists have different lengths".to_owned()),
    }
}

fn push(data: &mut Data, value: &Value) -> Option<()> {
    match data {
        Data::Float(values) => values.push(number(value)? as f32),
        Data::Double(values) => values.push(number(value)?),
        Data::Int32(values) => values.push(i32::try_from(value.as_i64()?).ok()?),
        Data::Int64(values) => values.push(value.as_i64()?),
        Data::Bool(values) => values.push(value.as_bool()?),
        Data::Text(values) => values.push(match value {
            Value::String(text) => text.clone(),
            Value::Object(fields) => {
                let bytes = STANDARD.decode(fields.get("b64")?.as_str()?).ok()?;
                String::from_utf8(bytes).ok()?
            }
            _ => return None,
        }),
    }
    Some(())
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        value => value.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_lists_within_lists() {
        let data = Data::Float(vec![0.1, -3.0, 1e-7, f32::NAN, f32::INFINITY, 6.0]);
        let mut out = Vec::new();
        write(&mut out, &data, &[3, 2], 0);
        assert_eq!(out, b"[[0.1,-3.0],[1e-7,NaN],[Infinity,6.0]]");
        let read = tensor(&parse(&out).unwrap(), Some(Element::Float)).unwrap();
        assert_eq!(read.shape, [3, 2]);
        assert_eq!(format!("{:?}", read.data), format!("{data:?}"));
        out.clear();
        write(&mut out, &Data::Text(vec!["a\"b".to_owned()]), &[], 0);
        assert_eq!(out, br#""a\"b""#);
        out.clear();
        write(&mut out, &Data::Int64(vec![i64::MAX, 2]), &[1], 1);
        assert_eq!(out, b"[2]");
    }

    #[test]
    fn unusual_numbers_are_not_looked_for_in_texts() {
        let value = parse(br#"{"a":"NaN \" Infinity","b":[NaN,-Infinity]}"#).unwrap();
        assert_eq!(value["a"], "NaN \" Infinity");
        let read = tensor(&value["b"], None).unwrap();
        assert_eq!(format!("{:?}", read.data), "Double([NaN, -inf])");
        assert!(parse(b"{\"a\":[1,2").is_err());
        assert!(parse(b"NaN NaN").is_err());
    }

    #[test]
    fn what_is_no_tensor_of_its_type_is_refused() {
        let refused = |text: &str, element| {
            tensor(&parse(text.as_bytes()).unwrap(), Some(element)).unwrap_err()
        };
        assert!(refused("[[1],[2,3]]", Element::Float).contains("lengths"));
        assert!(refused("[[1],2]", Element::Float).contains("lengths"));
        assert!(refused("[1.5]", Element::Int64).contains("1.5 is no"));
        assert!(refused("[3000000000]", Element::Int32).contains("is no"));
        assert!(refused("[null]", Element::Float).contains("null"));
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert!(refused(&deep, Element::Float).contains("axes"));
        let text = tensor(&parse(br#"[{"b64":"YWI="},"c"]"#).unwrap(), None).unwrap();
        assert_eq!(text.data, Data::Text(vec!["ab".to_owned(), "c".to_owned()]));
    }
}
