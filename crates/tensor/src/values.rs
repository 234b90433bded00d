//! Tensors of this crate as the runtime's, and back.

use crate::Role;
use crate::tensor::{Data, Element, Tensor};
use tract_onnx::tract_hir::internal::{
    Blob, Datum, DatumType, IntoTensor, TValue, Tensor as Value, TractResult,
};

/// What the runtime's type is to a caller: fed as it is, but read widened.
pub(crate) fn element(datum: DatumType, role: Role) -> Option<Element> {
    match datum {
        DatumType::F32 => Some(Element::Float),
        DatumType::F64 => Some(Element::Double),
        DatumType::I32 => Some(Element::Int32),
        DatumType::I64 => Some(Element::Int64),
        DatumType::Bool => Some(Element::Bool),
        DatumType::String | DatumType::Blob => Some(Element::Text),
        _ if role == Role::Input => None,
        DatumType::F16 => Some(Element::Float),
        DatumType::I8 | DatumType::U8 | DatumType::I16 | DatumType::U16 => Some(Element::Int32),
        DatumType::U32 | DatumType::TDim => Some(Element::Int64),
        _ => None,
    }
}

/// A tensor as the runtime's, of the given type.
pub(crate) fn to_value(tensor: &Tensor, datum: DatumType) -> TractResult<Value> {
    let shape = &tensor.shape;
    match &tensor.data {
        Data::Float(values) => Value::from_shape(shape, values),
        Data::Double(values) => Value::from_shape(shape, values),
        Data::Int32(values) => Value::from_shape(shape, values),
        Data::Int64(values) => Value::from_shape(shape, values),
        Data::Bool(values) => Value::from_shape(shape, values),
        Data::Text(values) if datum == DatumType::Blob => {
            let blobs: Vec<Blob> = values
                .iter()
                .map(|text| Blob::from_bytes(text.as_bytes()))
                .collect::<Result<_, _>>()?;
            strings(shape, blobs)
        }
        Data::Text(values) => strings(shape, values.clone()),
    }
}

fn strings<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<Value> {
    Ok(tract_onnx::tract_hir::tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into_tensor())
}

/// The runtime's tensor as one of this crate.
pub(crate) fn from_value(value: &TValue) -> TractResult<Tensor> {
    let shape = value.shape().to_vec();
    let data = match value.datum_type() {
        DatumType::F32 | DatumType::F16 => Data::Float(read::<f32>(value)?),
        DatumType::F64 => Data::Double(read::<f64>(value)?),
        DatumType::I8 | DatumType::U8 | DatumType::I16 | DatumType::U16 | DatumType::I32 => {
            Data::Int32(read::<i32>(value)?)
        }
        DatumType::Bool => Data::Bool(read::<bool>(value)?),
        DatumType::String => Data::Text(read::<String>(value)?),
        DatumType::Blob => {
            let blobs = read::<Blob>(value)?;
            let text = blobs
                .iter()
                .map(|blob| String::from_utf8_lossy(blob).into_owned());
            Data::Text(text.collect())
        }
        _ => Data::Int64(read::<i64>(value)?),
    };
    Ok(Tensor { shape, data })
}

fn read<T: Datum>(value: &Value) -> TractResult<Vec<T>> {
    let cast = value.cast_to::<T>()?;
    Ok(cast.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}
