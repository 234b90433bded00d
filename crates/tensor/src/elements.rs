//! The elements of values: the choice of their type, and loops over them.

use tract_onnx::tract_hir::internal::{Datum, IntoTensor, Tensor as Value, TractResult};
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::tract_ndarray::{ArrayD, Zip};

/// Calls a generic function or method for the type of element, which is one of those that are
/// listed.
macro_rules! dispatch {
    ($datum:expr, [$($element:ident: $rust:ty),+], $function:ident $arguments:tt) => {
        match $datum {
            $($crate::elements::DatumType::$element => $function::<$rust> $arguments,)+
            other => $crate::elements::bail!("elements of {other:?}"),
        }
    };
    ($datum:expr, [$($element:ident: $rust:ty),+], $of:ident.$method:ident $arguments:tt) => {
        match $datum {
            $($crate::elements::DatumType::$element => $of.$method::<$rust> $arguments,)+
            other => $crate::elements::bail!("elements of {other:?}"),
        }
    };
}

/// Of floating point numbers.
macro_rules! dispatch_reals {
    ($datum:expr, $($call:tt)+) => {
        $crate::elements::dispatch!($datum, [F32: f32, F64: f64], $($call)+)
    };
}

/// Of numbers that are calculated with.
macro_rules! dispatch_numbers {
    ($datum:expr, $($call:tt)+) => {
        $crate::elements::dispatch!($datum, [F32: f32, F64: f64, I32: i32, I64: i64], $($call)+)
    };
}

/// Of any type of element that is copied around.
macro_rules! dispatch_any {
    ($datum:expr, $($call:tt)+) => {
        $crate::elements::dispatch!($datum, [F32: f32, F64: f64, I32: i32, I64: i64, Bool: bool,
            U8: u8, I8: i8, I16: i16, F16: f16], $($call)+)
    };
}

// What they name, so that those who call them need not.
pub(crate) use tract_onnx::tract_hir::internal::{DatumType, bail};
pub(crate) use {dispatch, dispatch_any, dispatch_numbers, dispatch_reals};

/// The elements of a value, row-major.
pub(crate) fn slice<T: Datum>(value: &Value) -> TractResult<&[T]> {
    value.try_as_plain_ram()?.as_slice::<T>()
}

/// A function of each element.
pub(crate) fn map<T: Datum, R: Datum>(
    value: &Value,
    function: impl Fn(&T) -> R,
) -> TractResult<Value> {
    let found: Vec<R> = slice::<T>(value)?.iter().map(function).collect();
    Ok(ArrayD::from_shape_vec(value.shape(), found)?.into_tensor())
}

/// A function of two values of the same type, either of which may be repeated.
pub(crate) fn broadcast<T: Datum + Copy>(
    left: &Value,
    right: &Value,
    mut function: impl FnMut(T, T) -> T,
) -> TractResult<Value> {
    let shape = multi_broadcast(&[left.shape(), right.shape()])?;
    let mut result = Value::zero_dt(T::datum_type(), &shape)?;
    let mut plain = result.try_as_plain_ram_mut()?;
    if left.shape() == right.shape() {
        let pairs = slice::<T>(left)?.iter().zip(slice::<T>(right)?);
        for (to, (a, b)) in plain.as_slice_mut::<T>()?.iter_mut().zip(pairs) {
            *to = function(*a, *b);
        }
        return Ok(result);
    }
    let left = left.to_plain_array_view::<T>()?;
    let right = right.to_plain_array_view::<T>()?;
    let mut view = plain.to_array_view_mut::<T>()?;
    Zip::from(&mut view)
        .and_broadcast(&left)
        .and_broadcast(&right)
        .for_each(|to, a, b| *to = function(*a, *b));
    Ok(result)
}

/// A number without its fraction. What is no 64-bit integer is the least of them, as the
/// instruction of x86-64 has it, and with it TensorFlow and ONNX Runtime.
pub(crate) fn truncated(value: f64) -> i64 {
    let limit = 2f64.powi(63);
    if value >= -limit && value < limit {
        value as i64
    } else {
        i64::MIN
    }
}

/// The same of 32-bit integers.
pub(crate) fn truncated_to_32(value: f64) -> i32 {
    if value > -2_147_483_649.0 && value < 2_147_483_648.0 {
        value as i32
    } else {
        i32::MIN
    }
}
