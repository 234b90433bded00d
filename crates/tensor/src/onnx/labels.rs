//! The labels of classes.

use super::attributes::Attributes;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, IntoTensor, Tensor as Value, TractResult, ensure,
};
use tract_onnx::tract_hir::tract_ndarray::Array1;

/// Integers or text, in the order of the classes.
#[derive(Debug, Clone)]
pub(super) enum Labels {
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

impl Labels {
    /// Of two attributes, of which one is there.
    pub(super) fn of(
        attributes: Attributes<'_>,
        texts: &str,
        integers: &str,
    ) -> TractResult<Labels> {
        let texts = attributes.texts(texts)?;
        let integers = attributes.ints(integers)?.to_vec();
        ensure!(
            texts.is_empty() != integers.is_empty(),
            "class labels have to be integers or text"
        );
        Ok(if texts.is_empty() {
            Labels::Integers(integers)
        } else {
            Labels::Texts(texts)
        })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Labels::Integers(labels) => labels.len(),
            Labels::Texts(labels) => labels.len(),
        }
    }

    pub(super) fn datum(&self) -> DatumType {
        match self {
            Labels::Integers(_) => i64::datum_type(),
            Labels::Texts(_) => String::datum_type(),
        }
    }

    /// The labels at these positions. Of a single class, whose label is no choice, they are the
    /// numbers 0 and 1.
    pub(super) fn of_choices(&self, choices: &[usize]) -> Value {
        match self {
            Labels::Integers(labels) => {
                let label = |choice: &usize| match labels.as_slice() {
                    [_] => *choice as i64,
                    labels => labels.get(*choice).copied().unwrap_or_default(),
                };
                Array1::from_vec(choices.iter().map(label).collect()).into_tensor()
            }
            Labels::Texts(labels) => {
                let label = |choice: &usize| match labels.as_slice() {
                    [_] => choice.to_string(),
                    labels => labels.get(*choice).cloned().unwrap_or_default(),
                };
                Array1::from_vec(choices.iter().map(label).collect()).into_tensor()
            }
        }
    }
}

/// The position of the first of the largest.
pub(super) fn first_largest<T: PartialOrd>(values: &[T]) -> usize {
    let mut best = 0;
    for (position, value) in values.iter().enumerate() {
        if values.get(best).is_some_and(|most| value > most) {
            best = position;
        }
    }
    best
}
