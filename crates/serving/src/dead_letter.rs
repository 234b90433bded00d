use std::fmt;

/// Why a message is in the dead-letter topic: the header `errors.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterKind {
    /// It is no message of its topic, has no value, or an empty data type.
    Undecodable,
    /// The model's format has a number that nobody defined.
    UnknownModelType,
    /// The model has no content, has the wrong digest, cannot be loaded, or is not supported.
    ModelRefused,
    /// The current model cannot score the record.
    ScoreFailed,
    /// There is no model for the record, and `--on-no-model` is `dead-letter`.
    NoModel,
}

impl DeadLetterKind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Undecodable,
        Self::UnknownModelType,
        Self::ModelRefused,
        Self::ScoreFailed,
        Self::NoModel,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::UnknownModelType => "unknown-model-type",
            Self::ModelRefused => "model-refused",
            Self::ScoreFailed => "score-failed",
            Self::NoModel => "no-model",
        }
    }
}

impl fmt::Display for DeadLetterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason as a header may carry it: ASCII, and of a length that a person reads.
pub(crate) fn ascii(text: &str) -> String {
    const LONGEST: usize = 2_000;
    let mut ascii = String::new();
    for c in text.chars() {
        if ascii.len() > LONGEST {
            ascii.push_str("...");
            break;
        }
        if c.is_ascii() && !c.is_ascii_control() {
            ascii.push(c);
        } else if c.is_whitespace() {
            ascii.push(' ');
        } else {
            ascii.extend(c.escape_unicode());
        }
    }
    ascii
}

/// An error with what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some messages end in their cause already.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_in_a_header_is_short_ascii() {
        assert_eq!(
            ascii("field `größe`\nmissing"),
            "field `gr\\u{f6}\\u{df}e` missing"
        );
        let long = ascii(&"ä".repeat(100_000));
        assert!(long.is_ascii() && long.len() < 2_100);
    }
}
