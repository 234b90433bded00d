//! The models to publish: those of the manifest that this build can score.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use model::{Detail, Limits, Locations, ModelRegistry, Record, Schema};
use protobufs::ModelDescriptor;
use protobufs::model_descriptor::MessageContent;

use super::data::{self, Entry};
use super::topics::LARGEST_MODEL;

/// Bytes that a descriptor has besides its model, at most: names are short.
const ENVELOPE: u64 = 64 * 1024;

/// The models that can be scored, in the order of the manifest, again and again.
///
/// Whether a model can be scored is known once it has been loaded, which takes a while for some.
/// So they are loaded beside the stream, and the first is published as soon as it is.
pub(super) struct Models {
    known: Vec<ModelDescriptor>,
    checked: Option<Receiver<Result<ModelDescriptor, String>>>,
    next: usize,
    refused: Vec<String>,
}

impl Models {
    /// Starts to load the models of a directory that have one of these names, all without a name.
    /// Each has to score the sample, a record of the schema beside it.
    /// They are published themselves, or by reference.
    ///
    /// # Errors
    /// The list of models cannot be read, or has no such name.
    pub(super) fn load(
        directory: PathBuf,
        names: &[String],
        data_type: &str,
        sample: (Arc<Schema>, Record),
        by_reference: bool,
    ) -> Result<Self> {
        let entries = data::manifest(&directory, names)?;
        let data_type = data_type.to_owned();
        let (sender, receiver) = channel();
        thread::Builder::new()
            .name("models".to_owned())
            .spawn(move || {
                for entry in entries {
                    let checked = check(&entry, &directory, &data_type, &sample, by_reference)
                        .map_err(|error| format!("{}: {error:#}", entry.name));
                    if sender.send(checked).is_err() {
                        // The provider has ended.
                        return;
                    }
                }
            })
            .context("cannot start a thread to load the models")?;
        Ok(Self {
            known: Vec::new(),
            checked: Some(receiver),
            next: 0,
            refused: Vec::new(),
        })
    }

    /// The next model to publish; waits for the first. Between two, it takes what is loaded.
    ///
    /// # Errors
    /// There is none that can be scored.
    pub(super) fn next(&mut self) -> Result<&ModelDescriptor> {
        self.collect();
        if self.known.is_empty() {
            bail!("no model can be published: {}", self.refused.join("; "));
        }
        let index = self.next % self.known.len();
        self.next = index + 1;
        self.known.get(index).ok_or_else(|| anyhow!("no model"))
    }

    fn collect(&mut self) {
        let Some(checked) = &self.checked else { return };
        loop {
            let outcome = if self.known.is_empty() {
                checked.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                checked.try_recv()
            };
            match outcome {
                Ok(Ok(descriptor)) => self.known.push(descriptor),
                Ok(Err(refused)) => {
                    eprintln!("not published: {refused}");
                    self.refused.push(refused);
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.checked = None;
                    return;
                }
            }
        }
    }
}

/// The message for a model, if it fits into one and this build can score it.
fn check(
    entry: &Entry,
    directory: &Path,
    data_type: &str,
    (schema, record): &(Arc<Schema>, Record),
    by_reference: bool,
) -> Result<ModelDescriptor> {
    let content = if by_reference {
        MessageContent::Location(entry.location(directory)?)
    } else {
        MessageContent::Data(entry.bytes(directory, LARGEST_MODEL - ENVELOPE)?)
    };
    let mut message = ModelDescriptor {
        name: entry.name.clone(),
        description: entry.description.clone(),
        data_type: data_type.to_owned(),
        modeltype: entry.model_type()?.into(),
        message_content: Some(content),
        ..ModelDescriptor::default()
    };
    let root = directory.canonicalize()?.into_os_string().into_string();
    let root = root.map_err(|path| anyhow!("{} is not UTF-8", path.display()))?;
    let locations = Locations::new(&[root], Limits::default())?;
    let descriptor = locations.resolve(message.clone(), 0, std::future::pending())?;
    message.sha256 = Bytes::copy_from_slice(&descriptor.digest.0);
    let model = ModelRegistry::default().create(&descriptor, schema, Detail::Value)?;
    model.evaluator().score(record)?;
    Ok(message)
}
