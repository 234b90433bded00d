use std::borrow::Cow;

use axum::http::StatusCode;

/// What kind of failure it is: the codes of gRPC that are used here, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    FailedPrecondition = 9,
    Internal = 13,
}

impl Code {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Internal => "INTERNAL",
        }
    }

    /// The status that TensorFlow Serving answers over HTTP.
    pub(crate) fn http(self) -> StatusCode {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition => StatusCode::BAD_REQUEST,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a request has no answer. What was asked for is at fault, or the model; never the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }
}

impl From<Failure> for tonic::Status {
    fn from(failure: Failure) -> Self {
        Self::new((failure.code as i32).into(), failure.message)
    }
}

/// What a client is told of a model's error. Where in the source of a library it arose is logged
/// instead.
pub(crate) fn told(error: &tensor::Error) -> String {
    let whole = error.to_string();
    let told = without_places(&whole);
    if told != whole {
        tracing::warn!("{whole}");
    }
    told
}

/// A text without ` at PATH.rs:LINE:COLUMN`.
fn without_places(text: &str) -> String {
    const ENDING: &str = ".rs:";
    let mut told = String::new();
    let mut rest = text;
    while let Some(end) = rest.find(ENDING) {
        let (path, behind) = rest.split_at(end);
        told.push_str(path.rfind(" at ").map_or("", |start| &path[..start]));
        let place = |character: char| character.is_ascii_digit() || character == ':';
        rest = behind[ENDING.len()..].trim_start_matches(place);
        // What the message goes on with.
        told.push(':');
    }
    told.push_str(rest);
    told
}

#[cfg(test)]
mod tests {
    use super::without_places;

    #[test]
    fn places_are_left_out() {
        for (text, expected) in [
            (
                "the graph has no x: look at y",
                "the graph has no x: look at y",
            ),
            (
                "cannot run: panicked at /a dir/at b/c.rs:261:34: divided by 0",
                "cannot run: panicked: divided by 0",
            ),
            ("a at /b.rs:1:2: c at d.rs:3: e", "a: c: e"),
            ("/b.rs:1:2: c", ": c"),
        ] {
            assert_eq!(without_places(text), expected);
        }
    }
}
