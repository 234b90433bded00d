use crate::{Element, Runtime};
use std::fmt;

/// The side of a graph that a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A value to feed.
    Input,
    /// A value to compute.
    Output,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Input => "input",
            Role::Output => "output",
        })
    }
}

/// Why a file is no graph, or why a graph did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing in the file: no bytes, or no node.
    #[error("the file holds no graph")]
    Empty,
    /// A file could not be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file or directory.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// The bytes are not a message of the format.
    #[error("not a {format}: {reason}")]
    Malformed {
        /// The format that was asked for.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The file, or what running it would take, is larger than this crate accepts.
    #[error("too large: {found} {what}, at most {limit} are accepted")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is; saturated.
        found: u64,
        /// How much is accepted.
        limit: u64,
    },
    /// The graph uses operators, or forms of them, that cannot be evaluated faithfully.
    #[error("unsupported operators: {}", .operators.join(", "))]
    Unsupported {
        /// The operators, each once, in alphabetical order, with what is unsupported about them.
        operators: Vec<String>,
    },
    /// A value has an element type that cannot be fed or read.
    #[error("{role} `{name}` has the unsupported element type {element}")]
    UnsupportedElement {
        /// Whether it is fed or computed.
        role: Role,
        /// Its name.
        name: String,
        /// The file's name of the type.
        element: String,
    },
    /// No value of this name can be fed or computed.
    #[error("no {role} `{name}`, there are: {}", listed(.candidates))]
    UnknownPort {
        /// Whether it was to be fed or to be computed.
        role: Role,
        /// The name that was asked for.
        name: String,
        /// The names that could have been given.
        candidates: Vec<String>,
    },
    /// The SavedModel has no signature of this name, or several, and none has the usual one.
    #[error("no signature `{name}`, there are: {}", listed(.candidates))]
    UnknownSignature {
        /// The name that was asked for, or the usual one.
        name: String,
        /// The names that could have been given.
        candidates: Vec<String>,
    },
    /// The SavedModel has no graph with these tags, or several, and none has the usual one.
    #[error("no graph with the tags `{tags}`, there are: {}", listed(.candidates))]
    UnknownTags {
        /// The tags that were asked for, or the usual one, with commas between them.
        tags: String,
        /// The tags of each graph there is.
        candidates: Vec<String>,
    },
    /// The graph does not say which of several values is meant, or has none at all.
    #[error("cannot tell the graph's {role}, candidates are: {}", listed(.candidates))]
    Ambiguous {
        /// Whether the choice is of inputs or of outputs.
        role: Role,
        /// The names to choose from.
        candidates: Vec<String>,
    },
    /// Inputs were named, but the outputs depend on others, too.
    #[error("the outputs depend on inputs that are not among the named ones: {}", listed(.names))]
    Unbound {
        /// The inputs that are missing.
        names: Vec<String>,
    },
    /// The shape of an input cannot be told from the graph.
    #[error("input `{name}` has no known rank")]
    UnknownRank {
        /// The input's name.
        name: String,
    },
    /// The graph contradicts itself, or the runtime cannot evaluate it.
    #[error("cannot load the graph: {reason}")]
    Load {
        /// The runtime's words.
        reason: String,
    },
    /// A runtime that was asked for is not compiled in, or its library cannot be used.
    #[error("the runtime {runtime} is not available: {reason}")]
    NoRuntime {
        /// The runtime.
        runtime: Runtime,
        /// What is missing, and where it was looked for.
        reason: String,
    },
    /// A runtime that was asked for does not run files of this format.
    #[error("the runtime {runtime} does not run a {format}")]
    WrongRuntime {
        /// The runtime.
        runtime: Runtime,
        /// The format.
        format: &'static str,
    },
    /// The graph is not supported natively, and the library that might run it does not either.
    #[error("{native}; {runtime} cannot serve it instead: {reason}")]
    Unserved {
        /// Why it is not run natively.
        native: Box<Error>,
        /// The runtime of the library.
        runtime: Runtime,
        /// Why the library does not run it.
        reason: String,
    },
    /// The number of tensors is not the number of inputs.
    #[error("the graph has {expected} inputs, {found} tensors were given")]
    WrongCount {
        /// Inputs of the graph.
        expected: usize,
        /// Tensors given.
        found: usize,
    },
    /// A tensor does not fit the input it was given for.
    #[error("input `{name}` takes {expected}, {found} was given")]
    WrongInput {
        /// The input's name.
        name: String,
        /// Element type and shape of the input.
        expected: String,
        /// Element type and shape of what was given.
        found: String,
    },
    /// A tensor's data has another length than its shape says.
    #[error("a tensor of shape {shape:?} was given {found} elements")]
    WrongLength {
        /// The tensor's shape.
        shape: Vec<usize>,
        /// Elements of its data.
        found: usize,
    },
    /// Rows were given to a graph that does not take one vector, or does not return numbers by
    /// row.
    #[error("the graph does not score rows: {reason}")]
    NotRows {
        /// What stands in the way.
        reason: String,
    },
    /// The rows' length is not `count` times the width of the input.
    #[error("{count} rows of {width} values are {} values, {found} were given", .count.saturating_mul(*.width))]
    WrongRows {
        /// Rows announced.
        count: usize,
        /// Values of a row.
        width: usize,
        /// Values given.
        found: usize,
    },
    /// A number cannot be had as the input's element type.
    #[error("{value} is not a value of input `{name}`, which is of type {element}")]
    NotRepresentable {
        /// The input's name.
        name: String,
        /// The input's element type.
        element: Element,
        /// The number.
        value: f64,
    },
    /// The graph failed on these inputs.
    #[error("cannot run the graph: {reason}")]
    Run {
        /// The runtime's words.
        reason: String,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
