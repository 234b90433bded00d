use std::io;

/// Why a broker cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The port is taken.
    #[error(
        "cannot listen on {address}: the port is taken; another broker may be running there: use \
         it (--brokers {address}), or listen elsewhere (--listen HOST:PORT)"
    )]
    AddressInUse {
        /// The address asked for.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// Listening fails for another reason.
    #[error("cannot listen on {address} (--listen HOST:PORT)")]
    Listen {
        /// The address asked for.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The address to listen on is none.
    #[error("cannot listen on {address}: it is not of the form HOST:PORT (--listen)")]
    Address {
        /// The address asked for.
        address: String,
    },
    /// The address to tell to clients is none.
    #[error("cannot advertise {address}: it is neither HOST nor HOST:PORT (--advertise)")]
    Advertise {
        /// The address asked for.
        address: String,
    },
    /// The system gives no threads.
    #[error("cannot start the broker's threads")]
    Threads(#[source] io::Error),
}
