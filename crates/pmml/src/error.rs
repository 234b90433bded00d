use std::fmt;

/// A position in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

/// Why a document is no model that this crate can score.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no text in an encoding this crate reads.
    #[error("the document is no text: {0}")]
    Encoding(String),
    /// The text is no XML, or has a document type declaration.
    #[error("the document is no well-formed XML")]
    Xml(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The document is larger or nested deeper than any model needs.
    #[error("{place}: {what}, the limit is {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: usize,
        /// Where it is exceeded.
        place: Place,
    },
    /// Correct PMML that this crate cannot evaluate.
    #[error("{place}: {what} is not supported")]
    Unsupported {
        /// The element, or the attribute with its value.
        what: String,
        /// Where it stands.
        place: Place,
    },
    /// Something that is no PMML.
    #[error("{place}: {what}")]
    Invalid {
        /// What is wrong.
        what: String,
        /// Where it stands.
        place: Place,
    },
    /// A field that nothing declares, or that the mining schema of the model does not list.
    #[error("{place}: there is no field `{name}` here")]
    UnknownField {
        /// Its name.
        name: String,
        /// Where it is referred to.
        place: Place,
    },
    /// The model does not reproduce a record of its own `ModelVerification`.
    #[error("verification record {record}: `{field}` is {found}, the document says {expected}")]
    Verification {
        /// The record's number, from 1.
        record: usize,
        /// The output or target field.
        field: String,
        /// What the document says.
        expected: String,
        /// What the model answers.
        found: String,
    },
    /// A record of the document's own `ModelVerification` cannot be scored.
    #[error("verification record {record} cannot be scored")]
    VerificationFailed {
        /// The record's number, from 1.
        record: usize,
        /// Why.
        #[source]
        source: ScoreError,
    },
}

/// Why one record could not be scored. Other records are not affected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A value that the field's declaration excludes; `NaN` is one to every field.
    #[error("`{field}` cannot be {value}")]
    InvalidValue {
        /// The field.
        field: String,
        /// The value.
        value: String,
    },
    /// A field is missing, and the model says that this is an error.
    #[error("`{field}` is missing")]
    MissingValue {
        /// The field.
        field: String,
    },
    /// A function was given what it is not defined for.
    #[error("{function} is not defined for {arguments}")]
    Undefined {
        /// The function or element.
        function: &'static str,
        /// What it was given.
        arguments: String,
    },
    /// A function was given a missing value, and it has no answer for that.
    #[error("{function} of a missing value")]
    MissingArgument {
        /// The function.
        function: &'static str,
    },
    /// A value is not of the type that a field, a parameter or a target asks for.
    #[error("{value} is no {data_type}")]
    Type {
        /// The value.
        value: String,
        /// The type.
        data_type: crate::DataType,
    },
    /// The tree ends in a node that has no score.
    #[error("the tree's node `{node}` has no score")]
    NoScore {
        /// The node's identifier, or its number in document order, from 1.
        node: String,
    },
}
