//! SavedModels, which the library reads from a directory of its own.

use super::{configuration, guarded, library, parts};
use crate::graph::Parts;
use crate::savedmodel::ports::choose;
use crate::{Directory, Error, Options};
use std::fs;
use std::path::{Component, Path};
use tensorflow::{Graph, SavedModelBundle};

/// The operator of an input that has a default.
const WITH_DEFAULT: &str = "PlaceholderWithDefault";

/// Loads a SavedModel.
pub(crate) fn load_saved_model(files: &Directory, options: &Options) -> Result<Parts, Error> {
    let ports = choose(files, options)?;
    library()?;
    let directory = written(files).map_err(|cause| Error::Load {
        reason: format!("it cannot be written to a temporary directory: {cause}"),
    })?;
    // What the library needs of the files it reads now: variables, and the vocabularies of tables.
    let (graph, session, unbound) = guarded(|| {
        let mut graph = Graph::new();
        let bundle = SavedModelBundle::load(
            &configuration()?,
            &ports.tags,
            &mut graph,
            directory.path().join(&ports.root),
        )?;
        let mut unbound = Vec::new();
        for slot in &ports.left_out {
            let node = graph.operation_by_name_required(&slot.node)?;
            if node.op_type()? != WITH_DEFAULT {
                unbound.push(slot.name.clone());
            }
        }
        Ok((graph, bundle.session, unbound))
    })
    .map_err(|reason| Error::Load { reason })?;
    if !unbound.is_empty() {
        return Err(Error::Unbound { names: unbound });
    }
    parts(&graph, session, &ports.inputs, &ports.outputs)
}

/// The files in a directory that is removed when it is dropped.
fn written(files: &Directory) -> std::io::Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new().prefix("saved-model-").tempdir()?;
    for (name, bytes) in files.files() {
        let name = Path::new(name);
        if !name
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            let reason = format!("{} is outside of it", name.display());
            return Err(std::io::Error::other(reason));
        }
        let path = directory.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, bytes)?;
    }
    Ok(directory)
}
