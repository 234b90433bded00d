use std::collections::BTreeMap;

use protobufs::model_descriptor::ModelType;
use tensor::{Graph, Options, Runtime};

use crate::{Descriptor, Refusal};

/// The option of a descriptor that names a runtime.
const OPTION: &str = "runtime";

/// Which runtime the configuration wants for which model.
///
/// A runtime that is named for one model, here or by the descriptor's option `runtime`, is what
/// serves it, or it is refused. One that is preferred for all is tried with the models of its
/// format first; a model that it does not serve, or that comes while its library is missing, is
/// served as if nothing had been said. What is said here counts before what the descriptor says.
#[derive(Clone, Debug, Default)]
pub struct Runtimes {
    preferred: Vec<Runtime>,
    named: BTreeMap<String, Runtime>,
}

/// A graph, and what is not as it was asked for.
pub(crate) struct Served {
    pub(crate) graph: Graph,
    pub(crate) notice: Option<String>,
}

impl Runtimes {
    /// Prefers a runtime for all models of its format, to what was preferred before.
    pub fn prefer(&mut self, runtime: Runtime) {
        self.preferred.push(runtime);
    }

    /// Names a runtime for the models of this name, in place of what was named before.
    pub fn name(&mut self, model: impl Into<String>, runtime: Runtime) {
        self.named.insert(model.into(), runtime);
    }

    /// Loads a graph with the runtime that is to serve it.
    pub(crate) fn load(
        &self,
        descriptor: &Descriptor,
        mut options: Options,
        load: impl Fn(&Options) -> Result<Graph, Refusal>,
    ) -> Result<Served, Refusal> {
        let asked = descriptor.options.get(OPTION);
        let asked = asked.map(|name| name.trim().parse::<Runtime>()).transpose();
        let asked = asked.map_err(|error| Refusal::Unfit(error.to_string()))?;
        let named = self.named.get(&*descriptor.name).copied();
        let preferred = self.preferred_for(descriptor.model_type);
        let mut notice = None;
        if let (None, Some(preferred)) = (named, preferred) {
            options.runtime = Some(preferred);
            match load(&options) {
                Ok(graph) => return Ok(Served { graph, notice }),
                Err(error) => notice = Some(format!("not served by {preferred}: {error}")),
            }
        }
        options.runtime = named.or(asked);
        let graph = load(&options)?;
        Ok(Served { graph, notice })
    }

    /// The last that was preferred of those that run files of this format.
    fn preferred_for(&self, format: ModelType) -> Option<Runtime> {
        let library = match format {
            ModelType::Onnx => Runtime::OnnxRuntime,
            _ => Runtime::LibTensorflow,
        };
        let fitting = |runtime: &&Runtime| [Runtime::Native, library].contains(runtime);
        self.preferred.iter().rev().find(fitting).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use protobufs::ModelDescriptor;
    use protobufs::model_descriptor::MessageContent;

    use tensor::Error;

    use super::*;

    fn descriptor(format: ModelType, asks_for: Option<&str>) -> Descriptor {
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/models/");
        let bytes = std::fs::read(format!("{models}winequality.onnx")).unwrap();
        let option = asks_for.map(|runtime| (OPTION.to_owned(), runtime.to_owned()));
        let message = ModelDescriptor {
            name: "ours".to_owned(),
            data_type: "wine".to_owned(),
            modeltype: format.into(),
            message_content: Some(MessageContent::Data(bytes.into())),
            options: option.into_iter().collect(),
            ..ModelDescriptor::default()
        };
        Descriptor::from_message(message, 0).unwrap()
    }

    /// What the graph is tried with, one after the other, where these runtimes are there.
    fn tried(
        runtimes: &Runtimes,
        descriptor: &Descriptor,
        there: &[Runtime],
    ) -> (Vec<Option<Runtime>>, Result<Option<String>, Refusal>) {
        let tried = RefCell::new(Vec::new());
        let served = runtimes.load(descriptor, Options::default(), |options| {
            tried.borrow_mut().push(options.runtime);
            match options.runtime {
                Some(runtime) if !there.contains(&runtime) => {
                    Err(Refusal::Tensor(Error::NoRuntime {
                        runtime,
                        reason: "it is elsewhere".to_owned(),
                    }))
                }
                _ => Graph::from_onnx(descriptor.file()?, &Options::default())
                    .map_err(Refusal::Tensor),
            }
        });
        (tried.into_inner(), served.map(|served| served.notice))
    }

    #[test]
    fn the_configuration_of_a_model_counts_before_its_descriptor_and_that_before_nothing() {
        use Runtime::{LibTensorflow, Native, OnnxRuntime};

        let everything = Runtime::ALL;
        let (silent, asking) = (
            descriptor(ModelType::Onnx, None),
            descriptor(ModelType::Onnx, Some("native")),
        );
        let mut runtimes = Runtimes::default();
        assert_eq!(tried(&runtimes, &silent, &everything).0, [None]);
        assert_eq!(tried(&runtimes, &asking, &everything).0, [Some(Native)]);
        // One that does not run the format is not meant.
        runtimes.prefer(LibTensorflow);
        assert_eq!(tried(&runtimes, &silent, &everything).0, [None]);
        runtimes.prefer(OnnxRuntime);
        assert_eq!(
            tried(&runtimes, &asking, &everything).0,
            [Some(OnnxRuntime)]
        );
        let other = descriptor(ModelType::Tensorflow, None);
        assert_eq!(
            tried(&runtimes, &other, &everything).0,
            [Some(LibTensorflow)]
        );
        runtimes.name("ours", Native);
        assert_eq!(tried(&runtimes, &asking, &everything).0, [Some(Native)]);
    }

    #[test]
    fn a_preferred_runtime_that_is_missing_is_gone_without_and_told() {
        let mut runtimes = Runtimes::default();
        runtimes.prefer(Runtime::OnnxRuntime);
        let (tried, served) = tried(&runtimes, &descriptor(ModelType::Onnx, None), &[]);
        assert_eq!(tried, [Some(Runtime::OnnxRuntime), None]);
        let notice = served.unwrap().unwrap();
        assert!(
            notice.contains("onnxruntime") && notice.contains("elsewhere"),
            "{notice}"
        );
    }

    #[test]
    fn a_named_runtime_that_is_missing_refuses_the_model() {
        let asking = descriptor(ModelType::Onnx, Some("onnxruntime"));
        let refusal = tried(&Runtimes::default(), &asking, &[]).1.unwrap_err();
        assert!(
            matches!(refusal, Refusal::Tensor(Error::NoRuntime { .. })),
            "{refusal}"
        );
        let mut runtimes = Runtimes::default();
        runtimes.name("ours", Runtime::OnnxRuntime);
        let silent = descriptor(ModelType::Onnx, None);
        assert!(tried(&runtimes, &silent, &[]).1.is_err());
    }

    #[test]
    fn a_runtime_that_nobody_knows_is_refused_by_name() {
        let asking = descriptor(ModelType::Onnx, Some("tensorrt"));
        let (tried, served) = tried(&Runtimes::default(), &asking, &Runtime::ALL);
        assert!(tried.is_empty());
        let refusal = served.unwrap_err().to_string();
        assert!(
            refusal.contains("`tensorrt`") && refusal.contains("onnxruntime"),
            "{refusal}"
        );
    }
}
