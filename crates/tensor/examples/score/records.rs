//! Records of a file of separated values, one after the other.

use std::error::Error;
use std::io::BufRead;

/// Bytes of a record, at most.
const LONGEST: usize = 64 << 20;

/// A record and the line on which it begins, from one on.
pub(crate) struct Record {
    pub(crate) line: usize,
    pub(crate) cells: Vec<String>,
}

/// Reads records; fields may be in quotes, and then hold separators, line ends, and quotes twice.
pub(crate) struct Records {
    name: String,
    source: Box<dyn BufRead>,
    line: usize,
    separator: Option<u8>,
}

impl Records {
    pub(crate) fn new(name: String, source: Box<dyn BufRead>) -> Records {
        Records {
            name,
            source,
            line: 0,
            separator: None,
        }
    }

    /// The file's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads the bytes of the next record, and returns its first line; nothing at the end.
    fn bytes(&mut self, bytes: &mut Vec<u8>) -> Result<Option<usize>, Box<dyn Error>> {
        let mut first = 0;
        loop {
            let before = bytes.len();
            let read = self
                .source
                .read_until(b'\n', bytes)
                .map_err(|cause| format!("{}: {cause}", self.name))?;
            if read == 0 {
                if bytes.is_empty() {
                    return Ok(None);
                }
                return Err(format!("{}:{first}: a quote is not closed", self.name).into());
            }
            self.line += 1;
            if self.line == 1 && bytes.starts_with("\u{feff}".as_bytes()) {
                bytes.drain(..3);
            }
            if before == 0 {
                first = self.line;
                if bytes.trim_ascii().is_empty() {
                    bytes.clear();
                    continue;
                }
            }
            if bytes.len() > LONGEST {
                return Err(format!("{}:{first}: a record is too long", self.name).into());
            }
            if bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 0 {
                return Ok(Some(first));
            }
        }
    }

    fn record(&mut self) -> Result<Option<Record>, Box<dyn Error>> {
        let mut bytes = Vec::new();
        let Some(line) = self.bytes(&mut bytes)? else {
            return Ok(None);
        };
        let separator = *self.separator.get_or_insert_with(|| separator(&bytes));
        let text = String::from_utf8(bytes)
            .map_err(|_| format!("{}:{line}: the text is not UTF-8", self.name))?;
        Ok(Some(Record {
            line,
            cells: cells(text.trim_end_matches(['\n', '\r']), separator),
        }))
    }
}

impl Iterator for Records {
    type Item = Result<Record, Box<dyn Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.record().transpose()
    }
}

/// The most frequent of the usual separators outside quotes.
fn separator(bytes: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut inside = false;
    for byte in bytes {
        inside ^= *byte == b'"';
        for (separator, count) in &mut counts {
            *count += usize::from(!inside && byte == separator);
        }
    }
    let mut best = counts[0];
    for found in counts {
        if found.1 > best.1 {
            best = found;
        }
    }
    best.0
}

fn cells(text: &str, separator: u8) -> Vec<String> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let (mut inside, mut was_quoted) = (false, false);
    let mut rest = text.chars().peekable();
    let finish = |cell: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(cell);
        if std::mem::take(was_quoted) {
            text
        } else {
            text.trim().to_owned()
        }
    };
    while let Some(next) = rest.next() {
        if next == '"' && inside && rest.peek() == Some(&'"') {
            cell.push('"');
            rest.next();
        } else if next == '"' && (inside || cell.trim().is_empty()) {
            if !inside {
                cell.clear();
            }
            inside = !inside;
            was_quoted = true;
        } else if next == char::from(separator) && !inside {
            cells.push(finish(&mut cell, &mut was_quoted));
        } else if inside || !was_quoted || !next.is_whitespace() {
            cell.push(next);
        }
    }
    cells.push(finish(&mut cell, &mut was_quoted));
    cells
}
