use std::collections::BTreeMap;
use std::sync::Arc;

use protobufs::model_descriptor::ModelType;

use crate::format::{graph, pmml};
use crate::{Descriptor, Evaluator, Refusal, Runtime, Runtimes, Schema};

/// How much of what a model says is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Value and label.
    Value,
    /// Also probabilities and named outputs.
    All,
}

/// A loaded model: shared by the threads that score with it.
pub trait Model: Send + Sync {
    /// The model in the hands of one thread.
    fn evaluator(&self) -> Box<dyn Evaluator>;

    /// What runs it.
    fn runtime(&self) -> Runtime {
        Runtime::Native
    }

    /// What is not as it was asked for, and why, in words for a log.
    fn notice(&self) -> Option<&str> {
        None
    }
}

/// Makes models of one format.
pub trait ModelFactory: Send + Sync {
    /// Loads the model, and resolves what it needs of a record.
    ///
    /// # Errors
    /// When it cannot be loaded, or needs what the schema lacks.
    fn create(
        &self,
        descriptor: &Descriptor,
        schema: &Schema,
        detail: Detail,
    ) -> Result<Arc<dyn Model>, Refusal>;
}

/// The formats there are: a factory for each.
pub struct ModelRegistry {
    factories: BTreeMap<i32, (ModelType, Box<dyn ModelFactory>)>,
}

impl Default for ModelRegistry {
    fn default() -> Self {
        Self::new(Runtimes::default())
    }
}

impl ModelRegistry {
    /// The formats of this crate, with the runtimes that are wanted for models.
    #[must_use]
    pub fn new(runtimes: Runtimes) -> Self {
        let runtimes = Arc::new(runtimes);
        let mut registry = Self {
            factories: BTreeMap::new(),
        };
        registry.register(ModelType::Tensorflow, graph::Factory::tensorflow(&runtimes));
        registry.register(
            ModelType::Tensorflowsaved,
            graph::Factory::saved_model(&runtimes),
        );
        registry.register(ModelType::Pmml, pmml::Factory);
        registry.register(ModelType::Onnx, graph::Factory::onnx(&runtimes));
        registry
    }

    /// Adds a format, or replaces its factory.
    pub fn register(&mut self, model_type: ModelType, factory: impl ModelFactory + 'static) {
        self.factories
            .insert(model_type.into(), (model_type, Box::new(factory)));
    }

    /// Loads the model that the descriptor describes, for records of this schema.
    ///
    /// # Errors
    /// When there is no factory for its format, or the factory refuses it.
    pub fn create(
        &self,
        descriptor: &Descriptor,
        schema: &Schema,
        detail: Detail,
    ) -> Result<Arc<dyn Model>, Refusal> {
        let Some((_, factory)) = self.factories.get(&descriptor.model_type.into()) else {
            let supported = self.factories.values().map(|(t, _)| t.as_str_name());
            return Err(Refusal::UnsupportedType {
                model_type: descriptor.model_type.as_str_name(),
                supported: supported.collect::<Vec<_>>().join(", "),
            });
        };
        factory.create(descriptor, schema, detail)
    }
}
