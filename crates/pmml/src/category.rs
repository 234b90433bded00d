use std::collections::HashMap;
use std::sync::Arc;

use crate::DataType;
use crate::schema::{Key, literal};
use crate::symbol::Symbols;
use crate::value::{Value, parse_number};

/// The categories of a target, numbered in the order in which the document comes to them.
///
/// What a category is depends on the target's type: to an integer target `5` and `5.0` are one.
#[derive(Debug, Default)]
pub(crate) struct Categories {
    data_type: Option<DataType>,
    /// The categories as the document first writes them.
    pub(crate) texts: Vec<Arc<str>>,
    /// The numbers that they read as.
    pub(crate) numbers: Vec<Option<f64>>,
    /// Their values.
    pub(crate) values: Vec<Value>,
    places: HashMap<Key, u32>,
    /// How many of them the data dictionary lists.
    pub(crate) declared: usize,
}

impl Categories {
    pub(crate) fn new(data_type: Option<DataType>) -> Self {
        Self {
            data_type: data_type.or(Some(DataType::String)),
            ..Self::default()
        }
    }

    /// The number of a category, a new one if it is new; none if it is no value of the type.
    pub(crate) fn number(&mut self, text: &str, symbols: &mut Symbols) -> Option<u32> {
        let value = literal(text, self.data_type, symbols)?;
        let key = Key::of(value)?;
        let next = self.texts.len() as u32;
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.texts.push(text.into());
            self.values.push(value);
            self.numbers.push(parse_number(text));
        }
        Some(place)
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }
}
