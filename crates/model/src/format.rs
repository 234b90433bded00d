//! One module per family of formats: how a file of it becomes a model of records.

pub(crate) mod graph;
pub(crate) mod pmml;
