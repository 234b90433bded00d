//! One module per family of formats: how a file of it becomes a model of records.

pub(crate) mod graph;
mod matching;
pub(crate) mod pmml;
