//! From bytes to a tree of elements that know where they stand.

use roxmltree::{Document, Node, NodeType, ParsingOptions};

use crate::{Error, Place};

/// Elements may be nested this deep. Trees are read without recursion, so this only has to be
/// more than any exporter writes.
const MAX_DEPTH: usize = 4096;
/// Attributes of one element. The parser compares each with all before it.
const MAX_ATTRIBUTES: usize = 256;
/// Namespace declarations of the whole document: the parser copies them downwards.
const MAX_NAMESPACES: usize = 64;
const MAX_NODES: u32 = 100_000_000;

/// Decodes a document: UTF-8, with or without a mark, UTF-16 with one, or ISO-8859-1 if declared.
pub(crate) fn decode(bytes: &[u8]) -> Result<String, Error> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => match declared_encoding(bytes).as_deref() {
            None | Some("utf-8" | "utf8" | "us-ascii" | "ascii") => utf8(bytes),
            Some("iso-8859-1" | "latin1" | "iso_8859-1") => {
                Ok(bytes.iter().map(|&byte| char::from(byte)).collect())
            }
            Some(other) => Err(Error::Encoding(format!(
                "encoding `{other}` is not supported"
            ))),
        },
    }
}

fn utf8(bytes: &[u8]) -> Result<String, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(Error::Encoding(format!(
            "no UTF-8 from byte {} on",
            error.valid_up_to()
        ))),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Error> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::Encoding("UTF-16 of an odd number of bytes".into()));
    }
    char::decode_utf16(units.iter().map(|&pair| unit(pair)))
        .collect::<Result<String, _>>()
        .map_err(|error| Error::Encoding(format!("no UTF-16: {error}")))
}

/// The encoding an XML declaration names, in lower case.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let head = bytes.get(..bytes.len().min(256))?;
    let head: String = head
        .iter()
        .take_while(|byte| byte.is_ascii())
        .map(|&b| b as char)
        .collect();
    let declaration = head.strip_prefix("<?xml")?.split("?>").next()?;
    let value = declaration
        .split("encoding")
        .nth(1)?
        .trim_start()
        .strip_prefix('=')?
        .trim_start();
    let quote = value
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))?;
    value
        .get(1..)?
        .split(quote)
        .next()
        .map(str::to_ascii_lowercase)
}

/// Parses a document whose size and shape have been checked to be harmless.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, Error> {
    check_shape(text)?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).map_err(|error| Error::Xml(Box::new(error)))
}

/// Refuses what would make the parser slow: it is quadratic in the attributes of an element and
/// in nested namespaces. The scan only has to be right for well-formed text; the parser refuses
/// the rest.
fn check_shape(text: &str) -> Result<(), Error> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut namespaces) = (0, 0_usize, 0);
    while let Some(start) = find(bytes, at, b'<') {
        let rest = bytes.get(start..).unwrap_or_default();
        let limit = |what, limit| {
            Err(Error::Limit {
                what,
                limit,
                place: place(text, start),
            })
        };
        if rest.starts_with(b"<!--") {
            at = find_text(bytes, start + 4, b"-->");
        } else if rest.starts_with(b"<![CDATA[") {
            at = find_text(bytes, start + 9, b"]]>");
        } else if rest.starts_with(b"<?") {
            at = find_text(bytes, start + 2, b"?>");
        } else if rest.starts_with(b"</") {
            depth = depth.saturating_sub(1);
            at = find(bytes, start, b'>').unwrap_or(bytes.len());
        } else {
            let (mut attributes, mut quote, mut end) = (0_usize, None, bytes.len());
            for (index, &byte) in rest.iter().enumerate().skip(1) {
                match (quote, byte) {
                    (Some(open), _) if open == byte => quote = None,
                    (Some(_), _) => {}
                    (None, b'"' | b'\'') => {
                        quote = Some(byte);
                        attributes += 1;
                    }
                    (None, b'x') if rest.get(index..).is_some_and(|r| r.starts_with(b"xmlns")) => {
                        namespaces += 1;
                    }
                    (None, b'>') => {
                        end = start + index;
                        break;
                    }
                    (None, _) => {}
                }
            }
            if attributes > MAX_ATTRIBUTES {
                return limit("too many attributes", MAX_ATTRIBUTES);
            }
            if namespaces > MAX_NAMESPACES {
                return limit("too many namespace declarations", MAX_NAMESPACES);
            }
            if end == 0 || bytes.get(end - 1) != Some(&b'/') {
                depth += 1;
                if depth > MAX_DEPTH {
                    return limit("elements are nested too deep", MAX_DEPTH);
                }
            }
            at = end;
        }
    }
    Ok(())
}

fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    let found = bytes.get(from..)?.iter().position(|&byte| byte == wanted)?;
    Some(from + found)
}

/// Where a text ends, or the end of all.
fn find_text(bytes: &[u8], from: usize, wanted: &[u8]) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let found = rest
        .windows(wanted.len())
        .position(|window| window == wanted);
    found.map_or(bytes.len(), |found| from + found + wanted.len())
}

fn place(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    Place {
        line: line as u32,
        column: column as u32,
    }
}

/// An element of the document. Elements of other namespaces and extensions are not seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a>(Node<'a, 'a>);

impl<'a> Element<'a> {
    /// The document's own element, which must be `PMML` of version 3 or 4.
    pub(crate) fn root(document: &'a Document<'a>) -> Result<Self, Error> {
        let root = Self(document.root_element());
        if root.name() != "PMML" {
            return Err(root.invalid(format!("this is `{}`, not `PMML`", root.name())));
        }
        if let Some(namespace) = root.0.tag_name().namespace() {
            let version = namespace
                .strip_prefix("http://www.dmg.org/PMML-")
                .or_else(|| namespace.strip_prefix("https://www.dmg.org/PMML-"));
            if !version.is_some_and(known_version) {
                return Err(root.unsupported(format!("namespace `{namespace}`")));
            }
        }
        match root.attribute("version") {
            Some(version) if known_version(version) => Ok(root),
            Some(version) => Err(root.unsupported(format!("PMML version `{version}`"))),
            None => Err(root.invalid("PMML without a version")),
        }
    }

    pub(crate) fn name(self) -> &'a str {
        self.0.tag_name().name()
    }

    /// The elements inside, without extensions.
    pub(crate) fn children(self) -> impl Iterator<Item = Self> + 'a {
        let namespace = self.0.tag_name().namespace();
        self.0
            .children()
            .filter(move |node| {
                node.is_element()
                    && node.tag_name().namespace() == namespace
                    && node.tag_name().name() != "Extension"
            })
            .map(Self)
    }

    /// The elements inside that have this name.
    pub(crate) fn all(self, name: &'static str) -> impl Iterator<Item = Self> + 'a {
        self.children().filter(move |child| child.name() == name)
    }

    pub(crate) fn first(self, name: &'static str) -> Option<Self> {
        self.all(name).next()
    }

    pub(crate) fn required_child(self, name: &'static str) -> Result<Self, Error> {
        self.first(name)
            .ok_or_else(|| self.invalid(format!("`{}` without `{name}`", self.name())))
    }

    pub(crate) fn attribute(self, name: &str) -> Option<&'a str> {
        self.0.attribute(name)
    }

    pub(crate) fn required(self, name: &'static str) -> Result<&'a str, Error> {
        self.attribute(name)
            .ok_or_else(|| self.invalid(format!("`{}` without `{name}`", self.name())))
    }

    /// An attribute that is a number.
    pub(crate) fn number(self, name: &'static str) -> Result<Option<f64>, Error> {
        self.attribute(name)
            .map(|text| self.parse_number(name, text))
            .transpose()
    }

    pub(crate) fn required_number(self, name: &'static str) -> Result<f64, Error> {
        self.parse_number(name, self.required(name)?)
    }

    fn parse_number(self, name: &'static str, text: &str) -> Result<f64, Error> {
        crate::value::parse_number(text)
            .ok_or_else(|| self.invalid(format!("`{name}` is `{text}`, not a number")))
    }

    /// An attribute that is `true` or `false`.
    pub(crate) fn flag(self, name: &'static str, default: bool) -> Result<bool, Error> {
        match self.attribute(name) {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(self.invalid(format!("`{name}` is `{other}`, not a boolean"))),
        }
    }

    /// The text inside, as it stands.
    pub(crate) fn text(self) -> String {
        self.0
            .children()
            .filter(|node| node.node_type() == NodeType::Text)
            .filter_map(|node| node.text())
            .collect()
    }

    /// The cells of an `InlineTable`'s row: elements of any namespace, under the names that are
    /// written there, with their prefixes.
    pub(crate) fn cells(self) -> impl Iterator<Item = (&'a str, Self)> + 'a {
        self.0.children().filter(Node::is_element).map(|node| {
            let text = node
                .document()
                .input_text()
                .get(node.range())
                .unwrap_or_default();
            let name = text.trim_start_matches('<');
            let end = name.find(|c: char| c.is_whitespace() || matches!(c, '/' | '>'));
            (
                end.and_then(|end| name.get(..end)).unwrap_or(name),
                Self(node),
            )
        })
    }

    pub(crate) fn place(self) -> Place {
        let position = self.0.document().text_pos_at(self.0.range().start);
        Place {
            line: position.row,
            column: position.col,
        }
    }

    pub(crate) fn invalid(self, what: impl Into<String>) -> Error {
        Error::Invalid {
            what: what.into(),
            place: self.place(),
        }
    }

    pub(crate) fn unsupported(self, what: impl Into<String>) -> Error {
        Error::Unsupported {
            what: what.into(),
            place: self.place(),
        }
    }

    /// This element as something that is not supported here.
    pub(crate) fn refused(self) -> Error {
        self.unsupported(format!("element `{}`", self.name()))
    }

    /// The value of an attribute as something that is not supported.
    pub(crate) fn refused_value(self, attribute: &'static str) -> Error {
        let value = self.attribute(attribute).unwrap_or_default();
        self.unsupported(format!("{attribute}=\"{value}\" of `{}`", self.name()))
    }

    pub(crate) fn unknown_field(self, name: &str) -> Error {
        Error::UnknownField {
            name: name.to_owned(),
            place: self.place(),
        }
    }
}

fn known_version(version: &str) -> bool {
    let mut parts = version.split(['.', '_']);
    matches!(parts.next(), Some("3" | "4"))
        && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_error(text: &str) -> String {
        let document = parse(text).unwrap();
        Element::root(&document).unwrap_err().to_string()
    }

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(decode(b"\xef\xbb\xbfa\xc3\xa9").unwrap(), "aé");
        assert_eq!(decode(b"\xff\xfea\0\xe9\0").unwrap(), "aé");
        assert_eq!(decode(b"\xfe\xff\0a\0\xe9").unwrap(), "aé");
        let latin = b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>\xe9</a>";
        assert!(decode(latin).unwrap().ends_with("<a>é</a>"));
        assert!(
            decode(b"ok\xff\xff")
                .unwrap_err()
                .to_string()
                .contains("byte 2")
        );
        let shift_jis = decode(b"<?xml version=\"1.0\" encoding=\"Shift_JIS\"?><a/>");
        assert!(shift_jis.unwrap_err().to_string().contains("shift_jis"));
        assert!(decode(b"\xff\xfea").is_err());
    }

    #[test]
    fn only_pmml_of_known_versions_is_read() {
        assert!(root_error("<html/>").contains("this is `html`"));
        assert!(root_error("<PMML version='2.1'/>").contains("version `2.1`"));
        assert!(root_error("<PMML/>").contains("without a version"));
        assert!(root_error("<PMML version='4.4' xmlns='http://x.org/'/>").contains("x.org"));
        for ok in [
            "<PMML version='4.4.1' xmlns='http://www.dmg.org/PMML-4_4'/>",
            "<p:PMML version='3.2' xmlns:p='http://www.dmg.org/PMML-3_2'/>",
            "<PMML version='4.0'/>",
        ] {
            Element::root(&parse(ok).unwrap()).unwrap();
        }
    }

    #[test]
    fn hostile_shapes_are_refused_quickly() {
        let deep = "<a>".repeat(1_000_000);
        assert!(matches!(
            parse(&deep),
            Err(Error::Limit {
                limit: MAX_DEPTH,
                ..
            })
        ));
        let wide: String = (0..1_000_000)
            .map(|index| format!(" a{index}=''"))
            .collect();
        let wide = format!("<a{wide}/>");
        assert!(matches!(
            parse(&wide),
            Err(Error::Limit {
                limit: MAX_ATTRIBUTES,
                ..
            })
        ));
        let spaces: String = (0..1_000)
            .map(|index| format!("<a xmlns:p{index}='u'>"))
            .collect();
        assert!(matches!(
            parse(&spaces),
            Err(Error::Limit {
                limit: MAX_NAMESPACES,
                ..
            })
        ));
        let entities = "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>";
        assert!(matches!(parse(entities), Err(Error::Xml(_))));
    }

    #[test]
    fn positions_are_lines_and_columns() {
        let document = parse("<PMML version='4.4'>\n  <a>é<b/></a>\n</PMML>").unwrap();
        let root = Element::root(&document).unwrap();
        let inner = root.first("a").unwrap().first("b").unwrap();
        assert_eq!(inner.place(), Place { line: 2, column: 7 });
    }
}
