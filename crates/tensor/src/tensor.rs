use crate::Error;
use std::fmt;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// Truth value.
    Bool,
    /// UTF-8 string.
    Text,
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Element::Float => "float",
            Element::Double => "double",
            Element::Int32 => "int32",
            Element::Int64 => "int64",
            Element::Bool => "bool",
            Element::Text => "string",
        })
    }
}

/// The elements of a tensor, row-major: the last axis varies fastest.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// [`Element::Float`].
    Float(Vec<f32>),
    /// [`Element::Double`].
    Double(Vec<f64>),
    /// [`Element::Int32`].
    Int32(Vec<i32>),
    /// [`Element::Int64`].
    Int64(Vec<i64>),
    /// [`Element::Bool`].
    Bool(Vec<bool>),
    /// [`Element::Text`].
    Text(Vec<String>),
}

impl Data {
    /// The type of the elements.
    #[must_use]
    pub fn element(&self) -> Element {
        match self {
            Data::Float(_) => Element::Float,
            Data::Double(_) => Element::Double,
            Data::Int32(_) => Element::Int32,
            Data::Int64(_) => Element::Int64,
            Data::Bool(_) => Element::Bool,
            Data::Text(_) => Element::Text,
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Data::Float(values) => values.len(),
            Data::Double(values) => values.len(),
            Data::Int32(values) => values.len(),
            Data::Int64(values) => values.len(),
            Data::Bool(values) => values.len(),
            Data::Text(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An array of any rank: of a scalar the shape is empty, and there is one element.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The length of each axis, outermost first.
    pub shape: Vec<usize>,
    /// As many elements as the product of `shape`.
    pub data: Data,
}

impl Tensor {
    /// A tensor, checked.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if `data` has another length than the product of `shape`.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Tensor, Error> {
        let tensor = Tensor { shape, data };
        tensor.check()?;
        Ok(tensor)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let volume = self
            .shape
            .iter()
            .try_fold(1usize, |volume, &axis| volume.checked_mul(axis));
        if volume == Some(self.data.len()) {
            return Ok(());
        }
        Err(Error::WrongLength {
            shape: self.shape.clone(),
            found: self.data.len(),
        })
    }
}

/// An input or an output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The name in the file.
    pub name: String,
    /// The length of each axis, outermost first; `None` where it is the batch, or not known before
    /// running.
    pub shape: Vec<Option<usize>>,
    /// The type of the elements.
    pub element: Element,
}

impl Port {
    /// Whether a tensor has the element type, the rank and the known lengths of this port.
    pub(crate) fn takes(&self, tensor: &Tensor) -> bool {
        self.element == tensor.data.element()
            && self.shape.len() == tensor.shape.len()
            && self
                .shape
                .iter()
                .zip(&tensor.shape)
                .all(|(known, length)| known.is_none_or(|known| known == *length))
    }

    pub(crate) fn describe(&self) -> String {
        let mut text = format!("{} [", self.element);
        for (position, axis) in self.shape.iter().enumerate() {
            if position > 0 {
                text.push_str(", ");
            }
            match axis {
                Some(length) => text.push_str(&length.to_string()),
                None => text.push('?'),
            }
        }
        text.push(']');
        text
    }
}
