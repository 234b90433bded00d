use std::collections::HashMap;
use std::sync::Arc;

/// A text by its number: equal texts have equal numbers, within one model and record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Symbol(pub(crate) u32);

/// The texts that a document mentions.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    numbers: HashMap<Arc<str>, Symbol>,
    texts: Vec<Arc<str>>,
}

impl Symbols {
    pub(crate) fn intern(&mut self, text: &str) -> Symbol {
        if let Some(&symbol) = self.numbers.get(text) {
            return symbol;
        }
        let symbol = Symbol(self.texts.len() as u32);
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, symbol);
        symbol
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol.0 as usize).map_or("", |text| text)
    }
}

/// The texts of a document, and behind them those that only the record at hand has.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    known: Arc<Symbols>,
    own: Vec<Arc<str>>,
}

impl Texts {
    pub(crate) fn new(known: Arc<Symbols>) -> Self {
        Self {
            known,
            own: Vec::new(),
        }
    }

    /// Forgets the record's own texts.
    pub(crate) fn clear(&mut self) {
        self.own.clear();
    }

    pub(crate) fn intern(&mut self, text: &str) -> Symbol {
        if let Some(&symbol) = self.known.numbers.get(text) {
            return symbol;
        }
        let first = self.known.texts.len();
        let place = match self.own.iter().position(|own| **own == *text) {
            Some(place) => place,
            None => {
                self.own.push(text.into());
                self.own.len() - 1
            }
        };
        Symbol((first + place) as u32)
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        let place = symbol.0 as usize;
        match place.checked_sub(self.known.texts.len()) {
            None => self.known.text(symbol),
            Some(own) => self.own.get(own).map_or("", |text| text),
        }
    }
}
