//! Records and models in a timely dataflow.
//!
//! ```text
//!            worker 0                            worker 1
//!  records ──▶ ┌───────┐                         ┌───────┐ ◀── records
//!              │ score │ ◀─ records, models ───▶ │ score │
//!  models ───▶ └───────┘      by a Join          └───────┘
//!                  │                                 │
//!              outcomes ──▶ deliver              outcomes ──▶ deliver
//! ```
//!
//! Each worker is a thread and has the same dataflow: an input of records (a member of the consumer
//! group of its own), an input of models, the operator that scores records with models,
//! and the end that delivers outcomes. What differs from strategy to strategy is
//! [`Join`]: to which worker a record goes, and to which a model.
//!
//! Time in the dataflow is counted in models. Epoch 0 is the models to begin with, and no record is
//! taken in before timely says that they have arrived everywhere; each later model is an epoch of its
//! own, and only a few are under way at a time. Records take part in the epochs, on workers that
//! have none to read too, so that no worker holds an epoch open.
//!
//! What is under way between workers is bounded by the source of the records, which waits while too
//! many are unfinished.

mod delivering;
mod in_process;
mod input;
mod routing;
mod run;
mod scoring;
mod worker;

pub use routing::{Join, ModelRouting, RecordRouting};
pub use run::run;

/// The time of the dataflow: how many models, or sets of them, have come.
type Epoch = u64;

/// Why a dataflow cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The consumer group cannot be joined.
    #[error("the records cannot be read")]
    Records(#[from] serving::Error),
    /// There are no threads for the workers.
    #[error("workers get no threads: {0}")]
    Threads(String),
    /// A worker panicked, which ended the others too.
    #[error("worker {worker} panicked")]
    Panicked {
        /// Which one.
        worker: usize,
    },
}
