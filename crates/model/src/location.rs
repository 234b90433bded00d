//! Models by reference: where they may come from, and how they are fetched.

mod address;
mod error;
mod files;
mod guard;
mod roots;
mod stores;

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{Either, select};
use protobufs::ModelDescriptor;
use rustls::ClientConfig;

pub use error::FetchError;

use self::address::Address;
use self::guard::Guard;
use self::roots::Roots;
use crate::{Content, Descriptor, Refusal};

/// Files of a directory, at most.
const MOST_FILES: usize = 10_000;

/// What fetching one model may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its files together, packed and unpacked.
    pub size: u64,
    /// Time, for all of it.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size: 1 << 30,
            timeout: Duration::from_secs(60),
        }
    }
}

/// The locations that models may come from.
///
/// A location is a path (absolute; or relative to the working directory, or to a root), or a URL:
/// `file:`, `http:`, `https:`, `s3://BUCKET/KEY`, `gs://BUCKET/KEY`, `az://CONTAINER/KEY`.
/// Credentials and endpoints of stores come from the environment, by the names that their vendors
/// gave them (`AWS_...`, `GOOGLE_...`, `AZURE_...`).
///
/// Only what is under a root is fetched: a directory or a file, compared after symbolic links are
/// resolved; or a URL, compared by scheme, host, port and whole parts of the path, after they are
/// decoded. A web server's redirect is followed if its target has the same scheme and is under a
/// root itself. Hosts with link-local addresses, which is where machines of clouds find their
/// credentials, are refused whatever the roots say.
#[derive(Debug)]
pub struct Locations {
    roots: Arc<Roots>,
    limits: Limits,
    /// Made when it is first needed: reading the system's certificates takes a while.
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Locations {
    /// Locations under these roots, which are written as locations are. A root need not exist.
    ///
    /// # Errors
    /// [`FetchError::Syntax`]: one of them is none.
    pub fn new(roots: &[String], limits: Limits) -> Result<Self, FetchError> {
        Ok(Self {
            roots: Arc::new(Roots::parse(roots)?),
            limits,
            tls: OnceLock::new(),
        })
    }

    /// What fetching a model may take.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Fetches what is at a location: a file, or all files of a directory. `stop` ends it early.
    ///
    /// It blocks, and is not for threads that run asynchronous tasks.
    ///
    /// # Errors
    /// When it is not allowed, not there, too large, or cannot be had;
    /// [`FetchError::is_transient`] tells whether it may be had later.
    pub fn fetch(
        &self,
        location: &str,
        stop: impl Future<Output = ()>,
    ) -> Result<Content, FetchError> {
        let address = Address::parse(location)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| FetchError::Unavailable(error.to_string()))?;
        let fetched = runtime.block_on(async {
            let timeout = self.limits.timeout;
            let fetching = tokio::time::timeout(timeout, self.fetch_address(address));
            match select(pin!(fetching), pin!(stop)).await {
                Either::Left((Ok(fetched), _)) => fetched,
                Either::Left((Err(_), _)) => Err(FetchError::TimedOut(timeout)),
                Either::Right(_) => Err(FetchError::Interrupted),
            }
        });
        // A disk that hangs is not waited for.
        runtime.shutdown_background();
        fetched
    }

    async fn fetch_address(&self, address: Address) -> Result<Content, FetchError> {
        let limit = self.limits.size;
        match address {
            Address::File(path) => {
                let roots = Arc::clone(&self.roots);
                tokio::task::spawn_blocking(move || files::fetch(&path, &roots, limit))
                    .await
                    .unwrap_or_else(|error| Err(FetchError::Unavailable(error.to_string())))
            }
            Address::Remote(remote) => {
                self.roots.check(&remote)?;
                let tls = match self.tls.get() {
                    Some(tls) => Arc::clone(tls),
                    None => {
                        let tls = guard::tls()?;
                        Arc::clone(self.tls.get_or_init(|| tls))
                    }
                };
                let web = remote.scheme.is_web().then(|| Arc::clone(&self.roots));
                let guard = Guard {
                    web,
                    direct: remote.is_here(),
                    limit,
                    tls,
                    complaint: Arc::default(),
                };
                stores::fetch(&remote, guard, self.limits.timeout).await
            }
        }
    }

    /// Reads a descriptor, and fetches its model if that is elsewhere: [`Self::fetch`].
    ///
    /// # Errors
    /// When it could not become a model; [`Refusal::is_transient`] tells whether it may later.
    pub fn resolve(
        &self,
        message: ModelDescriptor,
        offset: i64,
        stop: impl Future<Output = ()>,
    ) -> Result<Descriptor, Refusal> {
        Descriptor::read(message, offset, self.limits.size, |location| {
            self.fetch(location, stop).map_err(Refusal::Location)
        })
    }
}

#[cfg(test)]
mod tests;
