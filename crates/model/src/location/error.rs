use std::time::Duration;

/// Why there is nothing to be had from a location.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// It is no location.
    #[error("`{location}` is no location: {reason}")]
    Syntax {
        /// The location.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not where models may come from.
    #[error("`{location}` is not under a root that models may come from ({roots})")]
    Outside {
        /// The location.
        location: String,
        /// The roots.
        roots: String,
    },
    /// There is nothing.
    #[error("there is nothing at `{0}`")]
    NotFound(String),
    /// It may not be read by this process, or with these credentials.
    #[error("`{location}` may not be read: {reason}")]
    Denied {
        /// The location.
        location: String,
        /// Who says so.
        reason: String,
    },
    /// It is larger than models may be.
    #[error("what is at the location has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is accepted.
        limit: u64,
    },
    /// The server sends us elsewhere, to where we do not go.
    #[error("the server redirects to `{target}`, which is refused: {reason}")]
    Redirect {
        /// Where to.
        target: String,
        /// Why not.
        reason: String,
    },
    /// The host is not one that models come from, whatever the roots say.
    #[error("`{host}` is {address}, a link-local or metadata address")]
    Address {
        /// The host as it was named.
        host: String,
        /// Its address.
        address: String,
    },
    /// The network, the server or the disk failed; another time it may not.
    #[error("cannot fetch the model now: {0}")]
    Unavailable(String),
    /// It took too long; another time it may not.
    #[error("the model did not come within {0:?}")]
    TimedOut(Duration),
    /// Whoever asked no longer wants it.
    #[error("fetching the model was interrupted")]
    Interrupted,
    /// It failed in another way, and would again.
    #[error("cannot fetch the model: {0}")]
    Failed(String),
}

impl FetchError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::TimedOut(_) | Self::Interrupted
        )
    }

    /// A failure of the file system.
    pub(super) fn system(location: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NotFound(location.to_owned()),
            ErrorKind::PermissionDenied => Self::Denied {
                location: location.to_owned(),
                reason: error.to_string(),
            },
            ErrorKind::InvalidInput | ErrorKind::InvalidFilename => Self::Syntax {
                location: location.to_owned(),
                reason: error.to_string(),
            },
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
