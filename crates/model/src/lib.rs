//! Records, scores, models of every format, and serving statistics.
//!
//! A [`Record`] comes out of a [`Decoder`] that the configuration names; a [`Descriptor`] comes off
//! the models topic, with its model in it or at one of the [`Locations`] that are allowed. The
//! [`ModelRegistry`] turns a descriptor into a [`Model`], or says why not: what a model needs of a
//! record is resolved then, once, against the record's [`Schema`]; only where that is open, and
//! records bring tensors under names of their own, when it scores. A thread
//! that scores asks the model for an [`Evaluator`], which owns the space that scoring needs.
//!
//! To add a model format, write a module under `format` and a line in [`ModelRegistry::new`].
//! To add a record type, write a module under `record` and a line in [`decoder`].

pub mod archive;
mod content;
mod descriptor;
mod format;
mod location;
pub mod record;
mod registry;
mod runtimes;
mod score;
mod statistics;

pub use content::{Content, Digest};
pub use descriptor::{Descriptor, Refusal};
pub use format::graph::{Feed, Signature};
pub use location::{FetchError, Limits, Locations};
pub use record::{Decoder, Field, NamedTensor, Record, Schema, Undecodable, Value, decoder};
pub use registry::{Detail, Model, ModelFactory, ModelRegistry};
pub use runtimes::Runtimes;
pub use score::{Evaluator, Score, ScoreError};
pub use statistics::{Spread, Statistics};
pub use tensor::{Data, Directory, Element, Port, Runtime, Tensor};
