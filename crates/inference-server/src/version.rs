use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use protobufs::tensorflow::SignatureDef;
use tensor::{Data, Directory, Element, Graph, Options, Port, Tensor};

use crate::codec;
use crate::document::Document;
use crate::engine::{Engine, Feed};
use crate::failure::{Code, Failure};
use crate::nodes::Nodes;
use crate::{labels, parsing, saved_model};

/// The signature that is meant where none is named.
pub(crate) const DEFAULT: &str = "serving_default";
/// Methods of signatures.
pub(crate) const PREDICT: &str = "tensorflow/serving/predict";
pub(crate) const CLASSIFY: &str = "tensorflow/serving/classify";
pub(crate) const REGRESS: &str = "tensorflow/serving/regress";
/// Bytes of a model's files, at most.
const MOST_BYTES: u64 = 4 << 30;

/// A version of a model, loaded.
pub(crate) struct Version {
    name: String,
    number: i64,
    signatures: BTreeMap<String, Signature>,
    definitions: BTreeMap<String, SignatureDef>,
    /// What a model has that has signatures, to load one when it is asked for.
    files: Option<Files>,
}

/// The files of a SavedModel, and which of its graphs is served.
struct Files {
    directory: Directory,
    position: usize,
    tags: Vec<String>,
}

/// A way to call a model: names and types of inputs and outputs, and what computes them.
pub(crate) struct Signature {
    definition: SignatureDef,
    /// Whether the model itself says what it is for: other formats have no methods, and what they
    /// can be used for shows in their outputs.
    is_declared: bool,
    engine: OnceLock<Result<Arc<Engine>, String>>,
}

impl Version {
    /// Loads what is in the directory of a version: a SavedModel, or a single file in one of the
    /// other formats. Its default signature, or else the first that can be loaded, has been run
    /// once when this returns.
    pub(crate) fn load(name: &str, number: i64, directory: &Path) -> Result<Self, Failure> {
        let load = || match content(directory)? {
            Content::SavedModel => Self::load_saved_model(name, number, directory),
            Content::File(path) => Self::load_file(name, number, &path),
        };
        catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
            Err(Failure::new(
                Code::Internal,
                "the model could not be loaded: it made the loader panic",
            ))
        })
    }

    fn load_file(name: &str, number: i64, path: &Path) -> Result<Self, Failure> {
        let engine = if has_ending(path, "pmml") {
            let length = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
            if length.len() > MOST_BYTES {
                return Err(unloadable("the document is too large"));
            }
            let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
            Engine::document(
                Document::load(&bytes).map_err(|error| unloadable(&error.to_string()))?,
            )
        } else {
            let graph = Graph::open(path, MOST_BYTES, &Options::default());
            Engine::graph(graph.map_err(|error| unloadable(&error.to_string()))?)
        };
        let ports = |ports: &[Port]| {
            let ports = ports.iter();
            ports
                .map(|port| (port.name.clone(), codec::describe(port)))
                .collect()
        };
        let definition = SignatureDef {
            inputs: ports(engine.inputs()),
            outputs: ports(engine.outputs()),
            method_name: PREDICT.to_owned(),
            defaults: BTreeMap::new(),
        };
        warm_up(&engine);
        let signature = Signature {
            definition,
            is_declared: false,
            engine: OnceLock::from(Ok(Arc::new(engine))),
        };
        let signatures = [(DEFAULT.to_owned(), signature)].into();
        Ok(Self::new(name, number, signatures, None))
    }

    fn load_saved_model(name: &str, number: i64, path: &Path) -> Result<Self, Failure> {
        let files = Directory::open(path, MOST_BYTES);
        let files = files.map_err(|error| unloadable(&error.to_string()))?;
        let graph = saved_model::read(&files).map_err(|error| unloadable(&error))?;
        let signatures = graph.signatures.into_iter().map(|(name, definition)| {
            let signature = Signature {
                definition,
                is_declared: true,
                engine: OnceLock::new(),
            };
            (name, signature)
        });
        let files = Some(Files {
            directory: files,
            position: graph.position,
            tags: graph.tags,
        });
        let version = Self::new(name, number, signatures.collect(), files);
        let names = version.signatures.keys().filter(|name| *name != DEFAULT);
        let mut reasons = Vec::new();
        for name in std::iter::once(DEFAULT).chain(names.map(String::as_str)) {
            let Some(signature) = version.signatures.get(name) else {
                continue;
            };
            match version.engine_of(name, signature) {
                Ok(_) => return Ok(version),
                Err(error) => reasons.push(error.message),
            }
        }
        if reasons.is_empty() {
            reasons.push("it has no signature".into());
        }
        Err(unloadable(&reasons.join("; ")))
    }

    fn new(
        name: &str,
        number: i64,
        signatures: BTreeMap<String, Signature>,
        files: Option<Files>,
    ) -> Self {
        let definitions = signatures
            .iter()
            .map(|(name, signature)| (name.clone(), signature.definition.clone()));
        Self {
            name: name.to_owned(),
            number,
            definitions: definitions.collect(),
            signatures,
            files,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn number(&self) -> i64 {
        self.number
    }

    /// What each signature takes and gives.
    pub(crate) fn definitions(&self) -> &BTreeMap<String, SignatureDef> {
        &self.definitions
    }

    pub(crate) fn signature(&self, name: &str) -> Option<&Signature> {
        self.signatures.get(name)
    }

    /// What computes a signature. The first time this may take as long as loading a model does: see
    /// [`Signature::is_loaded`].
    pub(crate) fn engine_of(
        &self,
        name: &str,
        signature: &Signature,
    ) -> Result<Arc<Engine>, Failure> {
        let engine = signature.engine.get_or_init(|| {
            let Some(files) = &self.files else {
                return Err("it has no files".to_owned());
            };
            let load = || files.load(name, &signature.definition);
            catch_unwind(AssertUnwindSafe(load))
                .unwrap_or_else(|_| Err("it made the loader panic".to_owned()))
        });
        engine.clone().map_err(|reason| {
            Failure::new(
                Code::FailedPrecondition,
                format!("signature \"{name}\" cannot be served: {reason}"),
            )
        })
    }
}

impl Files {
    fn load(&self, name: &str, definition: &SignatureDef) -> Result<Arc<Engine>, String> {
        let outputs = &definition.outputs;
        let has_examples = definition.method_name != PREDICT && parsing::takes_examples(definition);
        let nodes = (has_examples || outputs.values().any(labels::is_text))
            .then(|| Nodes::read(&self.directory, self.position))
            .flatten();
        let mut labels = nodes
            .as_ref()
            .map_or_else(BTreeMap::new, |nodes| labels::find(nodes, definition));
        // The runtime computes no texts; the other outputs can do without.
        let computed = outputs.iter().filter(|(_, info)| !labels::is_text(info));
        let computed: Vec<_> = computed.map(|(name, _)| name.clone()).collect();
        for (output, info) in outputs {
            if labels::is_text(info) && !labels.contains_key(output) && !computed.is_empty() {
                tracing::warn!(
                    "signature `{name}`: the output `{output}` is left out: it is no constant, and \
                     texts are not computed"
                );
            }
        }
        if computed.is_empty() {
            labels.clear();
        }
        let nodes = nodes.as_ref().filter(|_| has_examples);
        let parsing = nodes.and_then(|nodes| {
            parsing::replace(
                &self.directory,
                self.position,
                nodes,
                name,
                definition,
                &computed,
            )
        });
        let options = Options {
            signature: Some(name.to_owned()),
            tags: self.tags.clone(),
            outputs: computed,
            ..Options::default()
        };
        let files = parsing
            .as_ref()
            .map_or(&self.directory, |parsing| &parsing.files);
        let graph = Graph::from_saved_model(files, &options);
        let mut engine = Engine::graph(graph.map_err(|error| error.to_string())?);
        if let Some(parsing) = parsing {
            engine.set_defaults(parsing.defaults);
        }
        for (name, value) in &definition.defaults {
            let Some(input) = engine.inputs().iter().find(|input| input.name == *name) else {
                continue;
            };
            let tensor = codec::decode(value.clone(), input)
                .map_err(|failure| format!("default of input `{name}`: {}", failure.message))?;
            engine.give(name.clone(), tensor);
        }
        for (name, labels) in labels {
            engine.add_labels(name, labels);
        }
        warm_up(&engine);
        Ok(Arc::new(engine))
    }
}

impl Signature {
    pub(crate) fn definition(&self) -> &SignatureDef {
        &self.definition
    }

    pub(crate) fn is_declared(&self) -> bool {
        self.is_declared
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.engine.get().is_some()
    }
}

enum Content {
    SavedModel,
    File(PathBuf),
}

/// What there is in the directory of a version.
fn content(directory: &Path) -> Result<Content, Failure> {
    if directory.join("saved_model.pb").exists() {
        return Ok(Content::SavedModel);
    }
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| unreadable(directory, &error))?.path();
        let is_model = ["onnx", "pb", "pmml"]
            .iter()
            .any(|ending| has_ending(&path, ending));
        if is_model && path.is_file() {
            found.push(path);
        }
    }
    match found.as_slice() {
        [path] => Ok(Content::File(path.clone())),
        [] => Err(unloadable(
            "there is no model: expected saved_model.pb, or one file named *.onnx, *.pb or *.pmml",
        )),
        _ => Err(unloadable(
            "there are several models, where one file named *.onnx, *.pb or *.pmml is expected",
        )),
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    Failure::new(Code::NotFound, format!("cannot read {file}: {error}"))
}

fn unloadable(reason: &str) -> Failure {
    Failure::new(Code::InvalidArgument, reason.to_owned())
}

/// Runs a model on a row of zeros, so that the first request does not wait for what is done once,
/// and so that it is known how long a run takes. Whether it succeeds does not matter: zeros may be
/// nothing the model takes.
fn warm_up(engine: &Engine) {
    for _ in 0..2 {
        let feeds = engine.inputs().iter().map(|port| {
            if engine.may_lack(&port.name) && !engine.takes_missing() {
                return None;
            }
            let shape: Vec<_> = port.shape.iter().map(|axis| axis.unwrap_or(1)).collect();
            let volume = shape.iter().product();
            let data = match port.element {
                Element::Float => Data::Float(vec![0.0; volume]),
                Element::Double => Data::Double(vec![0.0; volume]),
                Element::Int32 => Data::Int32(vec![0; volume]),
                Element::Int64 => Data::Int64(vec![0; volume]),
                Element::Bool => Data::Bool(vec![false; volume]),
                Element::Text => Data::Text(vec![String::new(); volume]),
            };
            Some(Feed::from(Tensor { shape, data }))
        });
        if let Err(failure) = engine.run(feeds.collect()) {
            tracing::debug!("a row of zeros cannot be scored: {}", failure.message);
            return;
        }
    }
}
