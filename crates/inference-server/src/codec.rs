//! Tensors as TensorFlow's messages, and back.

use bytes::Bytes;
use protobufs::tensorflow::tensor_shape_proto::Dim;
use protobufs::tensorflow::{DataType, TensorInfo, TensorProto, TensorShapeProto, tensor_info};
use tensor::{Data, Element, Port, Tensor};

use crate::failure::Failure;

/// Elements of a tensor that its message does not spell out, at most.
const MOST_IMPLIED: usize = 1 << 24;

/// TensorFlow's type of these elements.
pub(crate) fn data_type(element: Element) -> DataType {
    match element {
        Element::Float => DataType::DtFloat,
        Element::Double => DataType::DtDouble,
        Element::Int32 => DataType::DtInt32,
        Element::Int64 => DataType::DtInt64,
        Element::Bool => DataType::DtBool,
        Element::Text => DataType::DtString,
    }
}

/// TensorFlow's name of a type, as its errors have it: `float`, `uint8`.
pub(crate) fn type_name(data_type: i32) -> String {
    let name = DataType::try_from(data_type).map(|data_type| data_type.as_str_name());
    name.unwrap_or("DT_INVALID")
        .trim_start_matches("DT_")
        .to_lowercase()
}

/// What a signature says of an input or output.
pub(crate) fn describe(port: &Port) -> TensorInfo {
    let dim = port.shape.iter().map(|axis| Dim {
        size: axis.map_or(-1, |length| length as i64),
        name: String::new(),
    });
    TensorInfo {
        dtype: data_type(port.element).into(),
        tensor_shape: Some(TensorShapeProto {
            dim: dim.collect(),
            unknown_rank: false,
        }),
        encoding: Some(tensor_info::Encoding::Name(port.name.clone())),
    }
}

/// A tensor as a message, with a field of values for its type.
pub(crate) fn encode(tensor: Tensor) -> TensorProto {
    let dim = tensor.shape.iter().map(|length| Dim {
        size: *length as i64,
        name: String::new(),
    });
    let mut message = TensorProto {
        dtype: data_type(tensor.data.element()).into(),
        tensor_shape: Some(TensorShapeProto {
            dim: dim.collect(),
            unknown_rank: false,
        }),
        ..TensorProto::default()
    };
    match tensor.data {
        Data::Float(values) => message.float_val = values,
        Data::Double(values) => message.double_val = values,
        Data::Int32(values) => message.int_val = values,
        Data::Int64(values) => message.int64_val = values,
        Data::Bool(values) => message.bool_val = values,
        Data::Text(values) => message.string_val = values.into_iter().map(Bytes::from).collect(),
    }
    message
}

/// The tensor that a message for the input `port` holds: its bytes, or its values. Where there are
/// too few of these, the last one fills the rest, and where there are none, zeros do.
pub(crate) fn decode(message: TensorProto, port: &Port) -> Result<Tensor, Failure> {
    let name = &port.name;
    let expected = data_type(port.element);
    if message.dtype != expected as i32 {
        return Err(Failure::invalid(format!(
            "Expects {name} to be {} but {} is provided",
            type_name(expected as i32),
            type_name(message.dtype)
        )));
    }
    let unparsed = |why: &str| Failure::invalid(format!("tensor parsing error: {name}: {why}"));
    let dim = message.tensor_shape.unwrap_or_default();
    if dim.unknown_rank {
        return Err(unparsed("its rank is unknown"));
    }
    let shape = dim.dim.iter().map(|dim| usize::try_from(dim.size));
    let shape = shape.collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| unparsed("an axis has a negative length"))?;
    let volume = shape
        .iter()
        .try_fold(1usize, |volume, axis| volume.checked_mul(*axis));
    let volume = volume.ok_or_else(|| unparsed("it is too large"))?;
    let content = &message.tensor_content[..];
    let data = match port.element {
        Element::Float => {
            numbers(content, message.float_val, f32::from_le_bytes, volume).map(Data::Float)
        }
        Element::Double => {
            numbers(content, message.double_val, f64::from_le_bytes, volume).map(Data::Double)
        }
        Element::Int32 => {
            numbers(content, message.int_val, i32::from_le_bytes, volume).map(Data::Int32)
        }
        Element::Int64 => {
            numbers(content, message.int64_val, i64::from_le_bytes, volume).map(Data::Int64)
        }
        Element::Bool => {
            numbers(content, message.bool_val, |[byte]| byte != 0, volume).map(Data::Bool)
        }
        Element::Text if content.is_empty() => texts(&message.string_val)
            .and_then(|texts| filled(texts, volume))
            .map(Data::Text),
        Element::Text => Err("the bytes of strings are in string_val"),
    };
    let data = data.map_err(unparsed)?;
    Ok(Tensor { shape, data })
}

/// The tensor that a constant of a graph is.
pub(crate) fn constant(message: TensorProto) -> Result<Tensor, Failure> {
    let element = match DataType::try_from(message.dtype) {
        Ok(DataType::DtFloat) => Element::Float,
        Ok(DataType::DtDouble) => Element::Double,
        Ok(DataType::DtInt32) => Element::Int32,
        Ok(DataType::DtInt64) => Element::Int64,
        Ok(DataType::DtBool) => Element::Bool,
        Ok(DataType::DtString) => Element::Text,
        _ => {
            let name = type_name(message.dtype);
            return Err(Failure::invalid(format!("{name} is not supported")));
        }
    };
    let port = Port {
        name: "a constant".to_owned(),
        shape: Vec::new(),
        element,
    };
    decode(message, &port)
}

fn numbers<T: Copy + Default, const N: usize>(
    content: &[u8],
    values: Vec<T>,
    read: impl Fn([u8; N]) -> T,
    volume: usize,
) -> Result<Vec<T>, &'static str> {
    if content.is_empty() {
        return filled(values, volume);
    }
    if volume.checked_mul(N) != Some(content.len()) {
        return Err("its bytes are not as many as its shape says");
    }
    let (chunks, _) = content.as_chunks::<N>();
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}

fn texts(values: &[Bytes]) -> Result<Vec<String>, &'static str> {
    let texts = values
        .iter()
        .map(|bytes| std::str::from_utf8(bytes).map(str::to_owned));
    texts
        .collect::<Result<_, _>>()
        .map_err(|_| "a string is not UTF-8")
}

fn filled<T: Clone + Default>(mut values: Vec<T>, volume: usize) -> Result<Vec<T>, &'static str> {
    if values.len() > volume {
        return Err("it has more values than its shape says");
    }
    if volume - values.len() > MOST_IMPLIED {
        return Err("it is too large");
    }
    let last = values.last().cloned().unwrap_or_default();
    values.resize(volume, last);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(element: Element) -> Port {
        Port {
            name: "x".to_owned(),
            shape: vec![None],
            element,
        }
    }

    fn message(data_type: DataType, shape: &[i64]) -> TensorProto {
        let dim = shape.iter().map(|size| Dim {
            size: *size,
            name: String::new(),
        });
        TensorProto {
            dtype: data_type.into(),
            tensor_shape: Some(TensorShapeProto {
                dim: dim.collect(),
                unknown_rank: false,
            }),
            ..TensorProto::default()
        }
    }

    #[test]
    fn every_type_comes_back() {
        for data in [
            Data::Float(vec![1.5, f32::NAN.abs()]),
            Data::Double(vec![-1.5, 2.0]),
            Data::Int32(vec![i32::MIN, 7]),
            Data::Int64(vec![i64::MAX, -7]),
            Data::Bool(vec![true, false]),
            Data::Text(vec!["é".to_owned(), String::new()]),
        ] {
            let tensor = Tensor {
                shape: vec![2, 1],
                data,
            };
            let port = port(tensor.data.element());
            let back = decode(encode(tensor.clone()), &port).unwrap();
            assert_eq!(format!("{back:?}"), format!("{tensor:?}"));
        }
    }

    #[test]
    fn bytes_are_little_endian() {
        let mut sent = message(DataType::DtInt32, &[2]);
        sent.tensor_content = Bytes::from_static(&[1, 0, 0, 0, 0, 1, 0, 0]);
        let tensor = decode(sent, &port(Element::Int32)).unwrap();
        assert_eq!(tensor.data, Data::Int32(vec![1, 256]));
    }

    /// As `tf.make_tensor_proto(7.0, shape=[3])` and `tf.zeros` are sent.
    #[test]
    fn the_last_value_fills_the_rest() {
        let mut sent = message(DataType::DtFloat, &[3]);
        let zeros = decode(sent.clone(), &port(Element::Float)).unwrap();
        assert_eq!(zeros.data, Data::Float(vec![0.0; 3]));
        sent.float_val = vec![7.0];
        let sevens = decode(sent, &port(Element::Float)).unwrap();
        assert_eq!(sevens.data, Data::Float(vec![7.0; 3]));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_takes_no_memory() {
        let floats = port(Element::Float);
        let refused = |message| decode(message, &floats).unwrap_err().message;
        let huge = message(DataType::DtFloat, &[1 << 40]);
        assert!(refused(huge).contains("too large"));
        let overflow = message(DataType::DtFloat, &[i64::MAX, i64::MAX]);
        assert!(refused(overflow).contains("too large"));
        let negative = message(DataType::DtFloat, &[-1]);
        assert!(refused(negative).contains("negative"));
        let double = message(DataType::DtDouble, &[1]);
        assert!(refused(double).contains("to be float but double"));
        let mut short = message(DataType::DtFloat, &[2]);
        short.tensor_content = Bytes::from_static(&[0; 7]);
        assert!(refused(short).contains("bytes"));
        let mut long = message(DataType::DtFloat, &[1]);
        long.float_val = vec![1.0, 2.0];
        assert!(refused(long).contains("more values"));
        let mut bytes = message(DataType::DtString, &[1]);
        bytes.string_val = vec![Bytes::from_static(&[0xff])];
        let refused = decode(bytes, &port(Element::Text)).unwrap_err();
        assert!(refused.message.contains("UTF-8"));
    }
}
