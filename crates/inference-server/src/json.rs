//! JSON as requests hold it: a flat list of values, which needs no more than sixteen bytes for
//! each, and has no pointers to follow. Beyond the standard there are `NaN`, `Infinity` and `Inf`,
//! with a sign or without, as TensorFlow Serving accepts them.

use std::fmt::Write as _;

use crate::decimal;

/// Arrays and objects in each other, at most.
const MOST_DEPTH: usize = 64;
/// Characters of a value that an error shows.
const MOST_SHOWN: usize = 1024;

/// A parsed text.
pub(crate) struct Json<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    /// The texts that have escapes, unescaped.
    unescaped: String,
}

/// What is wrong with a text, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) reason: &'static str,
    pub(crate) offset: usize,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Null,
    Bool(bool),
    Integer(i64),
    /// Beyond what a signed integer holds.
    Unsigned(u64),
    Decimal(f64),
    /// Where it is in the text.
    Plain(u32, u32),
    /// Where it is among the unescaped ones.
    Escaped(u32, u32),
    /// How many elements there are, and where the next value behind them is.
    Array(u32, u32),
    /// How many members there are, each a text and a value, and where the next value is.
    Object(u32, u32),
}

/// One value of a parsed text.
#[derive(Clone, Copy)]
pub(crate) struct Value<'j> {
    json: &'j Json<'j>,
    at: usize,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind<'j> {
    Null,
    Bool(bool),
    Integer(i64),
    /// Beyond what a signed integer holds.
    Unsigned(u64),
    Decimal(f64),
    Text(&'j str),
    /// With the number of elements.
    Array(usize),
    /// With the number of members.
    Object(usize),
}

impl<'a> Json<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|error| Malformed {
            reason: "Invalid encoding in string.",
            offset: error.valid_up_to(),
        })?;
        if u32::try_from(text.len()).is_err() {
            return Err(Malformed {
                reason: "The document is too long.",
                offset: 0,
            });
        }
        let mut parser = Parser {
            bytes: text.as_bytes(),
            at: 0,
            json: Json {
                text,
                nodes: Vec::with_capacity(bytes.len() / 8 + 4),
                unescaped: String::new(),
            },
        };
        // Some editors and shells put a byte order mark first.
        if text.starts_with('\u{feff}') {
            parser.at = '\u{feff}'.len_utf8();
        }
        parser.skip_space();
        if parser.at == bytes.len() {
            return Err(parser.malformed("The document is empty."));
        }
        parser.value(0)?;
        parser.skip_space();
        if parser.at < bytes.len() {
            return Err(parser.malformed("The document root must not be followed by other values."));
        }
        Ok(parser.json)
    }

    pub(crate) fn root(&self) -> Value<'_> {
        Value { json: self, at: 0 }
    }

    fn string(&self, at: usize) -> &str {
        match self.nodes.get(at) {
            Some(Node::Plain(from, to)) => &self.text[*from as usize..*to as usize],
            Some(Node::Escaped(from, to)) => &self.unescaped[*from as usize..*to as usize],
            _ => "",
        }
    }
}

impl<'j> Value<'j> {
    pub(crate) fn kind(self) -> Kind<'j> {
        match self.node() {
            Node::Null => Kind::Null,
            Node::Bool(value) => Kind::Bool(value),
            Node::Integer(value) => Kind::Integer(value),
            Node::Unsigned(value) => Kind::Unsigned(value),
            Node::Decimal(value) => Kind::Decimal(value),
            Node::Plain(..) | Node::Escaped(..) => Kind::Text(self.json.string(self.at)),
            Node::Array(count, _) => Kind::Array(count as usize),
            Node::Object(count, _) => Kind::Object(count as usize),
        }
    }

    fn node(self) -> Node {
        self.json.nodes.get(self.at).copied().unwrap_or(Node::Null)
    }

    fn next(self) -> usize {
        match self.node() {
            Node::Array(_, next) | Node::Object(_, next) => next as usize,
            _ => self.at + 1,
        }
    }

    /// The elements of an array; of anything else, none.
    pub(crate) fn elements(self) -> impl Iterator<Item = Value<'j>> {
        let count = match self.kind() {
            Kind::Array(count) => count,
            _ => 0,
        };
        let mut at = self.at + 1;
        (0..count).map(move |_| {
            let value = Value {
                json: self.json,
                at,
            };
            at = value.next();
            value
        })
    }

    /// The members of an object; of anything else, none.
    pub(crate) fn members(self) -> impl Iterator<Item = (&'j str, Value<'j>)> {
        let count = match self.kind() {
            Kind::Object(count) => count,
            _ => 0,
        };
        let mut at = self.at + 1;
        (0..count).map(move |_| {
            let name = self.json.string(at);
            let value = Value {
                json: self.json,
                at: at + 1,
            };
            at = value.next();
            (name, value)
        })
    }

    /// The first member of this name.
    pub(crate) fn member(self, name: &str) -> Option<Value<'j>> {
        self.members()
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn is_array(self) -> bool {
        matches!(self.node(), Node::Array(..))
    }

    pub(crate) fn is_object(self) -> bool {
        matches!(self.node(), Node::Object(..))
    }

    /// The text of an object `{"b64": text}`.
    pub(crate) fn base64(self) -> Option<&'j str> {
        match (self.kind(), self.member("b64").map(Value::kind)) {
            (Kind::Object(1), Some(Kind::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// The name of its type, as TensorFlow Serving's errors have it.
    pub(crate) fn type_name(self) -> &'static str {
        match self.kind() {
            Kind::Null => "Null",
            Kind::Bool(false) => "False",
            Kind::Bool(true) => "True",
            Kind::Integer(_) | Kind::Unsigned(_) | Kind::Decimal(_) => "Number",
            Kind::Text(_) => "String",
            Kind::Array(_) => "Array",
            Kind::Object(_) => "Object",
        }
    }

    /// The value as text, for errors; a long one is cut off.
    pub(crate) fn shown(self) -> String {
        let mut text = String::new();
        self.show(&mut text, 0);
        if text.len() > MOST_SHOWN {
            let end = text.floor_char_boundary(MOST_SHOWN);
            text.truncate(end);
            text.push_str("...");
        }
        text
    }

    fn show(self, text: &mut String, depth: usize) {
        let line = |text: &mut String, depth: usize| {
            text.push('\n');
            text.extend(std::iter::repeat_n("    ", depth));
        };
        match self.kind() {
            Kind::Null => text.push_str("null"),
            Kind::Bool(value) => text.push_str(if value { "true" } else { "false" }),
            Kind::Integer(value) => _ = write!(text, "{value}"),
            Kind::Unsigned(value) => _ = write!(text, "{value}"),
            Kind::Decimal(value) => decimal::write_double(text, value),
            Kind::Text(value) => write_text(text, value),
            Kind::Array(_) => {
                text.push('[');
                let mut some = false;
                for element in self.elements() {
                    if text.len() > MOST_SHOWN {
                        return;
                    }
                    if some {
                        text.push(',');
                    }
                    some = true;
                    line(text, depth + 1);
                    element.show(text, depth + 1);
                }
                if some {
                    line(text, depth);
                }
                text.push(']');
            }
            Kind::Object(_) => {
                text.push('{');
                let mut some = false;
                for (name, value) in self.members() {
                    if text.len() > MOST_SHOWN {
                        return;
                    }
                    if some {
                        text.push(',');
                    }
                    some = true;
                    line(text, depth + 1);
                    write_text(text, name);
                    text.push_str(": ");
                    value.show(text, depth + 1);
                }
                if some {
                    line(text, depth);
                }
                text.push('}');
            }
        }
    }
}

/// Writes a text with its quotes and escapes.
pub(crate) fn write_text(to: &mut String, text: &str) {
    to.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| matches!(c, '"' | '\\' | '\0'..='\x1f')) {
        to.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => to.push_str("\\\""),
            b'\\' => to.push_str("\\\\"),
            b'\n' => to.push_str("\\n"),
            b'\r' => to.push_str("\\r"),
            b'\t' => to.push_str("\\t"),
            0x08 => to.push_str("\\b"),
            0x0c => to.push_str("\\f"),
            other => _ = write!(to, "\\u{other:04X}"),
        }
        rest = &rest[at + 1..];
    }
    to.push_str(rest);
    to.push('"');
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    json: Json<'a>,
}

impl Parser<'_> {
    fn malformed(&self, reason: &'static str) -> Malformed {
        Malformed {
            reason,
            offset: self.at,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.text(),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, node: Node) -> Result<(), Malformed> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed("Invalid value."));
        }
        self.at += word.len();
        self.json.nodes.push(node);
        Ok(())
    }

    fn open(&mut self, depth: usize) -> Result<usize, Malformed> {
        if depth >= MOST_DEPTH {
            return Err(self.malformed("Nested too deeply."));
        }
        let place = self.json.nodes.len();
        self.json.nodes.push(Node::Null);
        self.at += 1;
        self.skip_space();
        Ok(place)
    }

    fn array(&mut self, depth: usize) -> Result<(), Malformed> {
        let missing = "Missing a comma or ] after an array element.";
        let (place, count) = self.list(depth, b']', missing, |json| json.value(depth + 1))?;
        self.json.nodes[place] = Node::Array(count, self.json.nodes.len() as u32);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Malformed> {
        let missing = "Missing a comma or } after an object member.";
        let (place, count) = self.list(depth, b'}', missing, |json| {
            if json.peek() != Some(b'"') {
                return Err(json.malformed("Missing a name for object member."));
            }
            json.text()?;
            json.skip_space();
            if json.peek() != Some(b':') {
                return Err(json.malformed("Missing a colon after a name of object member."));
            }
            json.at += 1;
            json.skip_space();
            json.value(depth + 1)
        })?;
        self.json.nodes[place] = Node::Object(count, self.json.nodes.len() as u32);
        Ok(())
    }

    /// What is between brackets, with commas in between: the place of the whole, and how many there
    /// are.
    fn list(
        &mut self,
        depth: usize,
        end: u8,
        missing: &'static str,
        mut one: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(usize, u32), Malformed> {
        let place = self.open(depth)?;
        let mut count = 0;
        if self.peek() != Some(end) {
            loop {
                one(self)?;
                count += 1;
                self.skip_space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == end => break,
                    _ => return Err(self.malformed(missing)),
                }
                self.skip_space();
            }
        }
        self.at += 1;
        Ok((place, count))
    }

    fn text(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        let start = self.at;
        let end = |bytes: &[u8], from: usize| {
            let found = bytes[from..]
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            found.map_or(bytes.len(), |found| from + found)
        };
        self.at = end(self.bytes, start);
        if self.peek() == Some(b'"') {
            self.json
                .nodes
                .push(Node::Plain(start as u32, self.at as u32));
            self.at += 1;
            return Ok(());
        }
        let place = self.json.unescaped.len() as u32;
        let mut from = start;
        loop {
            self.json.unescaped.push_str(&self.json.text[from..self.at]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.malformed("Invalid encoding in string.")),
                None => return Err(self.malformed("Missing a closing quotation mark in string.")),
            }
            from = self.at;
            self.at = end(self.bytes, from);
        }
        self.at += 1;
        let to = self.json.unescaped.len() as u32;
        self.json.nodes.push(Node::Escaped(place, to));
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let escaped = match self.bytes.get(start + 1) {
            Some(b'u') => return self.unicode(),
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.malformed("Invalid escape character in string.")),
        };
        self.json.unescaped.push(escaped);
        self.at = start + 2;
        Ok(())
    }

    fn unicode(&mut self) -> Result<(), Malformed> {
        const SURROGATE: &str = "The surrogate pair in string is invalid.";
        let start = self.at;
        let unit = |at: usize| {
            let digits = self.bytes.get(at..at + 4)?;
            digits.iter().try_fold(0, |value, digit| {
                Some(value * 16 + char::from(*digit).to_digit(16)?)
            })
        };
        let Some(first) = unit(start + 2) else {
            return Err(self.malformed("Incorrect hex digit after \\u escape in string."));
        };
        let (code, length) = if (0xd800..0xdc00).contains(&first) {
            let second = match self.bytes.get(start + 6..start + 8) {
                Some(b"\\u") => unit(start + 8).filter(|unit| (0xdc00..0xe000).contains(unit)),
                _ => None,
            };
            let second = second.ok_or_else(|| self.malformed(SURROGATE))?;
            (0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), 12)
        } else {
            (first, 6)
        };
        let character = char::from_u32(code).ok_or_else(|| self.malformed(SURROGATE))?;
        self.json.unescaped.push(character);
        self.at = start + length;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        let mut at = start + usize::from(negative);
        let digits = |at: usize| {
            let rest = self.bytes.get(at..).unwrap_or_default();
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let whole = match self.bytes.get(at) {
            Some(b'0') => 1,
            Some(b'1'..=b'9') => digits(at),
            _ => return self.not_finite(at, negative),
        };
        at += whole;
        let mut is_whole = true;
        if self.bytes.get(at) == Some(&b'.') {
            is_whole = false;
            let fraction = digits(at + 1);
            if fraction == 0 {
                return Err(self.malformed("Miss fraction part in number."));
            }
            at += 1 + fraction;
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            is_whole = false;
            let sign = matches!(self.bytes.get(at + 1), Some(b'+' | b'-'));
            let power = digits(at + 1 + usize::from(sign));
            if power == 0 {
                return Err(self.malformed("Miss exponent in number."));
            }
            at += 1 + usize::from(sign) + power;
        }
        let text = &self.json.text[start..at];
        let node = if is_whole {
            let signed = text.parse().map(Node::Integer);
            signed
                .or_else(|_| text.parse().map(Node::Unsigned))
                .or_else(|_| text.parse().map(Node::Decimal))
        } else {
            text.parse().map(Node::Decimal)
        };
        match node {
            Ok(Node::Decimal(value)) if value.is_infinite() => {
                Err(self.malformed("Number too big to be stored in double."))
            }
            Ok(node) => {
                self.json.nodes.push(node);
                self.at = at;
                Ok(())
            }
            Err(_) => Err(self.malformed("Invalid value.")),
        }
    }

    /// The names of what is no finite number.
    fn not_finite(&mut self, at: usize, negative: bool) -> Result<(), Malformed> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let (value, length) = if rest.starts_with(b"NaN") {
            (f64::NAN, 3)
        } else if rest.starts_with(b"Infinity") {
            (f64::INFINITY, 8)
        } else if rest.starts_with(b"Inf") {
            (f64::INFINITY, 3)
        } else {
            return Err(self.malformed("Invalid value."));
        };
        let value = if negative { -value } else { value };
        self.json.nodes.push(Node::Decimal(value));
        self.at = at + length;
        Ok(())
    }
}
