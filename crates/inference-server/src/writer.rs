use std::fmt::Write as _;

use crate::{decimal, json};

/// Writes JSON with line breaks, in the form that TensorFlow Serving's answers have.
pub(crate) struct Writer {
    text: String,
    levels: Vec<Level>,
    indent: usize,
    /// Arrays are written in one line.
    flat: bool,
}

struct Level {
    is_array: bool,
    /// Values so far; in an object names count, too.
    values: usize,
}

impl Writer {
    /// With so many spaces for each level.
    pub(crate) fn new(indent: usize) -> Self {
        Self {
            text: String::with_capacity(256),
            levels: Vec::new(),
            indent,
            flat: false,
        }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// Whether arrays are written in one line from now on.
    pub(crate) fn set_flat(&mut self, flat: bool) {
        self.flat = flat;
    }

    /// What stands between the last value and the next.
    fn begin(&mut self) {
        let Some(level) = self.levels.last_mut() else {
            return;
        };
        let position = level.values;
        level.values += 1;
        if level.is_array {
            if position > 0 {
                self.text.push_str(if self.flat { ", " } else { "," });
            }
            if !self.flat {
                self.line();
            }
        } else if position % 2 == 1 {
            self.text.push_str(": ");
        } else {
            if position > 0 {
                self.text.push(',');
            }
            self.line();
        }
    }

    fn line(&mut self) {
        self.text.push('\n');
        let spaces = self.indent * self.levels.len();
        self.text.extend(std::iter::repeat_n(' ', spaces));
    }

    fn open(&mut self, is_array: bool) {
        self.begin();
        self.text.push(if is_array { '[' } else { '{' });
        let values = 0;
        self.levels.push(Level { is_array, values });
    }

    fn close(&mut self) {
        let Some(level) = self.levels.pop() else {
            return;
        };
        if level.values > 0 && !(level.is_array && self.flat) {
            self.line();
        }
        self.text.push(if level.is_array { ']' } else { '}' });
    }

    pub(crate) fn array(&mut self, elements: impl FnOnce(&mut Self)) {
        self.open(true);
        elements(self);
        self.close();
    }

    pub(crate) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.open(false);
        members(self);
        self.close();
    }

    pub(crate) fn member(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        self.text(name);
        value(self);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.begin();
        json::write_text(&mut self.text, value);
    }

    /// A value that is JSON already.
    pub(crate) fn plain(&mut self, value: &str) {
        self.begin();
        self.text.push_str(value);
    }

    pub(crate) fn float(&mut self, value: f32) {
        self.begin();
        decimal::write_float(&mut self.text, value);
    }

    pub(crate) fn double(&mut self, value: f64) {
        self.begin();
        decimal::write_double(&mut self.text, value);
    }

    pub(crate) fn integer(&mut self, value: i64) {
        self.begin();
        _ = write!(self.text, "{value}");
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.begin();
        self.text.push_str(if value { "true" } else { "false" });
    }
}
