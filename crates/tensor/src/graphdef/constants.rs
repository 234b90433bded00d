//! Constants: `tensorflow/core/framework/tensor.proto`.

use super::attributes;
use super::messages::{NodeDef, TensorProto, TensorShapeProto};
use tract_onnx::tract_hir::internal::{Datum, DatumType, Tensor as Value, f16};

/// Elements of all constants that are stored as one repeated value, at most: what is stored in
/// full is bounded by the file.
const MOST_REPEATED: usize = 1 << 24;

/// Reads constants and keeps count of what they grow to.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    repeated: usize,
}

impl Constants {
    /// The value of a `Const` node, or what is wrong with it.
    pub(super) fn read(&mut self, node: &NodeDef) -> Result<Value, String> {
        let tensor = attributes::tensor(node, "value").ok_or("without a value")?;
        if tensor.dtype != 0 {
            let datum = attributes::datum_of(tensor.dtype)?;
            if attributes::datum(node, "dtype").is_ok_and(|declared| declared != datum) {
                return Err("of another type than it declares".to_owned());
            }
        }
        self.tensor(tensor)
    }

    /// A value, or what is wrong with it.
    pub(crate) fn tensor(&mut self, tensor: &TensorProto) -> Result<Value, String> {
        let shape = tensor
            .tensor_shape
            .as_ref()
            .map(lengths)
            .transpose()?
            .unwrap_or_default();
        let small = || tensor.int_val.iter();
        match attributes::datum_of(tensor.dtype)? {
            DatumType::F32 => self.value(tensor, &shape, &tensor.float_val, f32::from_le_bytes),
            DatumType::F64 => self.value(tensor, &shape, &tensor.double_val, f64::from_le_bytes),
            DatumType::I32 => self.value(tensor, &shape, &tensor.int_val, i32::from_le_bytes),
            DatumType::I64 => self.value(tensor, &shape, &tensor.int64_val, i64::from_le_bytes),
            DatumType::U8 => {
                let listed: Vec<u8> = small().map(|value| *value as u8).collect();
                self.value(tensor, &shape, &listed, u8::from_le_bytes)
            }
            DatumType::I8 => {
                let listed: Vec<i8> = small().map(|value| *value as i8).collect();
                self.value(tensor, &shape, &listed, i8::from_le_bytes)
            }
            DatumType::I16 => {
                let listed: Vec<i16> = small().map(|value| *value as i16).collect();
                self.value(tensor, &shape, &listed, i16::from_le_bytes)
            }
            DatumType::F16 => {
                let bits = tensor.half_val.iter();
                let listed: Vec<f16> = bits.map(|bits| f16::from_bits(*bits as u16)).collect();
                self.value(tensor, &shape, &listed, f16::from_le_bytes)
            }
            _ => self.value(tensor, &shape, &tensor.bool_val, |[byte]: [u8; 1]| {
                byte != 0
            }),
        }
    }

    /// The elements are the bytes in `tensor_content`, else those listed, of which the last one is
    /// repeated to fill the shape; nothing at all is zeros.
    fn value<T: Datum + Copy + Default, const WIDTH: usize>(
        &mut self,
        tensor: &TensorProto,
        shape: &[usize],
        listed: &[T],
        decode: fn([u8; WIDTH]) -> T,
    ) -> Result<Value, String> {
        let volume = shape
            .iter()
            .try_fold(1usize, |volume, length| volume.checked_mul(*length))
            .ok_or("of an immense shape")?;
        let mut elements: Vec<T> = if tensor.tensor_content.is_empty() {
            listed.to_vec()
        } else {
            let (chunks, rest) = tensor.tensor_content.as_chunks::<WIDTH>();
            if !rest.is_empty() || chunks.len() != volume {
                return Err("of another length than its shape".to_owned());
            }
            chunks.iter().map(|bytes| decode(*bytes)).collect()
        };
        if elements.len() > volume {
            return Err("of another length than its shape".to_owned());
        }
        let repeated = volume - elements.len();
        self.repeated = self.repeated.saturating_add(repeated);
        if self.repeated > MOST_REPEATED {
            return Err("of an immense shape".to_owned());
        }
        let filling = elements.last().copied().unwrap_or_default();
        elements.resize(volume, filling);
        Value::from_shape(shape, &elements).map_err(|cause| cause.to_string())
    }
}

fn lengths(shape: &TensorShapeProto) -> Result<Vec<usize>, String> {
    let length = |size: i64| usize::try_from(size).map_err(|_| "of unknown shape".to_owned());
    if shape.unknown_rank {
        return Err("of unknown shape".to_owned());
    }
    shape.dim.iter().map(|dim| length(dim.size)).collect()
}
