use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;

/// Why a request, or a part of one, is refused: the protocol's error and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) error: ResponseError,
    pub(crate) message: String,
}

impl Rejection {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Rejection {
            error,
            message: message.into(),
        }
    }

    pub(crate) fn code(&self) -> i16 {
        self.error.code()
    }

    pub(crate) fn text(&self) -> Option<StrBytes> {
        Some(StrBytes::from_string(self.message.clone()))
    }
}

impl From<ResponseError> for Rejection {
    fn from(error: ResponseError) -> Self {
        Rejection {
            error,
            message: error.to_string(),
        }
    }
}
