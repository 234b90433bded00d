//! Tensors of this crate as the library's, and back.
//!
//! Of a tensor without elements the library has no memory to show: such are made and read without
//! looking at it.

use crate::tensor::{Data, Tensor};
use std::ops::Deref;
use tensorflow::{DataType, FetchToken, Output, SessionRunArgs, Status, TensorType};

/// A tensor of the library.
pub(super) enum Value {
    Float(tensorflow::Tensor<f32>),
    Double(tensorflow::Tensor<f64>),
    Int32(tensorflow::Tensor<i32>),
    Int64(tensorflow::Tensor<i64>),
    Bool(tensorflow::Tensor<bool>),
    Text(tensorflow::Tensor<String>),
}

impl Value {
    pub(super) fn of(tensor: &Tensor) -> Result<Value, Status> {
        let shape = &tensor.shape;
        Ok(match &tensor.data {
            Data::Float(values) => Value::Float(filled(shape, values)?),
            Data::Double(values) => Value::Double(filled(shape, values)?),
            Data::Int32(values) => Value::Int32(filled(shape, values)?),
            Data::Int64(values) => Value::Int64(filled(shape, values)?),
            Data::Bool(values) => Value::Bool(filled(shape, values)?),
            Data::Text(values) => Value::Text(filled(shape, values)?),
        })
    }

    /// Numbers as a tensor of single precision, without a copy in between.
    pub(super) fn floats(shape: &[usize], numbers: &[f64]) -> Value {
        let mut tensor = tensorflow::Tensor::<f32>::new(&lengths(shape));
        if !numbers.is_empty() {
            for (to, number) in tensor.iter_mut().zip(numbers) {
                *to = *number as f32;
            }
        }
        Value::Float(tensor)
    }

    pub(super) fn feed<'a>(&'a self, to: &Output, run: &mut SessionRunArgs<'a>) {
        let (operation, index) = (&to.operation, to.index);
        match self {
            Value::Float(tensor) => run.add_feed(operation, index, tensor),
            Value::Double(tensor) => run.add_feed(operation, index, tensor),
            Value::Int32(tensor) => run.add_feed(operation, index, tensor),
            Value::Int64(tensor) => run.add_feed(operation, index, tensor),
            Value::Bool(tensor) => run.add_feed(operation, index, tensor),
            Value::Text(tensor) => run.add_feed(operation, index, tensor),
        }
    }
}

fn lengths(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|length| *length as u64).collect()
}

fn filled<T: TensorType>(shape: &[usize], values: &[T]) -> Result<tensorflow::Tensor<T>, Status> {
    let tensor = tensorflow::Tensor::new(&lengths(shape));
    if values.is_empty() {
        return Ok(tensor);
    }
    tensor.with_values(values)
}

/// What was computed for an output, of the type that it has.
pub(super) fn fetch(
    run: &mut SessionRunArgs<'_>,
    token: FetchToken,
    datum: DataType,
) -> Result<Tensor, Status> {
    match datum {
        DataType::Float => taken(run, token, Data::Float),
        DataType::Double => taken(run, token, Data::Double),
        DataType::Int32 => taken(run, token, Data::Int32),
        DataType::Bool => taken(run, token, Data::Bool),
        DataType::String => taken(run, token, Data::Text),
        DataType::Int8 => taken(run, token, |values: Vec<i8>| Data::Int32(widened(values))),
        DataType::UInt8 => taken(run, token, |values: Vec<u8>| Data::Int32(widened(values))),
        DataType::Int16 => taken(run, token, |values: Vec<i16>| Data::Int32(widened(values))),
        DataType::UInt16 => taken(run, token, |values: Vec<u16>| Data::Int32(widened(values))),
        DataType::UInt32 => taken(run, token, |values: Vec<u32>| Data::Int64(widened(values))),
        // Any other type has been refused, or is refused here.
        _ => taken(run, token, Data::Int64),
    }
}

fn widened<T, U: From<T>>(values: Vec<T>) -> Vec<U> {
    values.into_iter().map(U::from).collect()
}

fn taken<T: TensorType>(
    run: &mut SessionRunArgs<'_>,
    token: FetchToken,
    data: impl FnOnce(Vec<T>) -> Data,
) -> Result<Tensor, Status> {
    let (shape, values) = with(run, token, <[T]>::to_vec)?;
    Ok(Tensor {
        shape,
        data: data(values),
    })
}

/// Appends the numbers of single precision that were computed for an output.
pub(super) fn append_floats(
    run: &mut SessionRunArgs<'_>,
    token: FetchToken,
    outputs: &mut Vec<f64>,
) -> Result<(), Status> {
    with(run, token, |values: &[f32]| {
        outputs.extend(values.iter().copied().map(f64::from));
    })
    .map(|_| ())
}

fn with<T: TensorType, R>(
    run: &mut SessionRunArgs<'_>,
    token: FetchToken,
    read: impl FnOnce(&[T]) -> R,
) -> Result<(Vec<usize>, R), Status> {
    let tensor = run.fetch::<T>(token)?;
    let lengths = tensor.dims().iter();
    let shape: Vec<usize> = lengths.map(|length| *length as usize).collect();
    let values = if shape.contains(&0) {
        read(&[])
    } else {
        read(tensor.deref())
    };
    Ok((shape, values))
}
