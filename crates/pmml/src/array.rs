//! `Array` elements (PMML 4.4, General Structure).

use crate::Error;
use crate::document::Element;

/// The entries of an array: separated by white space, in double quotes if they contain any; a
/// quote inside is written `\"`.
pub(crate) fn texts(element: Element<'_>) -> Result<Vec<String>, Error> {
    let text = element.text();
    let mut entries = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        if first.is_whitespace() {
            continue;
        }
        let mut entry = String::new();
        if first == '"' {
            let mut closed = false;
            while let Some(character) = characters.next() {
                match character {
                    '"' => {
                        closed = true;
                        break;
                    }
                    '\\' if characters.peek() == Some(&'"') => {
                        characters.next();
                        entry.push('"');
                    }
                    other => entry.push(other),
                }
            }
            if !closed {
                return Err(element.invalid("an entry without its closing quote"));
            }
        } else {
            entry.push(first);
            while let Some(character) = characters.next_if(|next| !next.is_whitespace()) {
                match character {
                    '\\' if characters.peek() == Some(&'"') => {}
                    other => entry.push(other),
                }
            }
        }
        entries.push(entry);
    }
    if let Some(count) = element.attribute("n")
        && count.trim().parse() != Ok(entries.len())
    {
        return Err(element.invalid(format!("n=\"{count}\", but {} entries", entries.len())));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Result<Vec<String>, Error> {
        let text = format!("<PMML version='4.4'><Array>{text}</Array></PMML>");
        let document = crate::document::parse(&text).unwrap();
        texts(Element::root(&document).unwrap().first("Array").unwrap())
    }

    #[test]
    fn entries_may_be_quoted() {
        assert_eq!(entries(" a \n b").unwrap(), ["a", "b"]);
        assert_eq!(entries(r#""a b" "" "c\"d""#).unwrap(), ["a b", "", "c\"d"]);
        assert_eq!(entries("").unwrap(), [""; 0]);
        assert!(entries("\"a").is_err());
    }
}
