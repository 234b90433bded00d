use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{Basics, Interval, Locations};

/// What a model server needs to know, whatever its strategy.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Server {
    /// What every program needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub basics: Basics,

    /// Schema of the records: wine, tensor
    #[arg(
        long,
        env = "MODEL_SERVING_RECORD",
        value_name = "SCHEMA",
        default_value = "wine"
    )]
    pub record: String,

    /// Consumer group [default: the strategy's name]
    #[arg(long, env = "MODEL_SERVING_GROUP", value_parser = NonEmptyStringValueParser::new())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,

    /// Address of the state queries; port 0 takes any free one [default: 127.0.0.1 and the strategy's port]
    #[arg(long, env = "MODEL_SERVING_HTTP", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,

    /// What becomes of a record whose data type has no model
    #[arg(long, env = "MODEL_SERVING_ON_NO_MODEL", default_value = "drop")]
    pub on_no_model: OnNoModel,

    /// What a result holds: the predicted value, or also probabilities and the model's outputs
    #[arg(long, env = "MODEL_SERVING_OUTPUTS", default_value = "value")]
    pub outputs: Outputs,

    /// What runs graphs: a runtime to prefer, or MODEL=RUNTIME for one model; native, libtensorflow,
    /// onnxruntime; may be repeated [default: what the model asks for, else native where it can]
    #[arg(
        long,
        env = "MODEL_SERVING_RUNTIME",
        value_name = "[MODEL=]RUNTIME",
        value_delimiter = ','
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtime: Vec<RuntimeChoice>,
    /// Where models may come from that are not in their message.
    #[command(flatten)]
    #[serde(flatten)]
    pub locations: Locations,
}

/// What becomes of a record whose data type has no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNoModel {
    /// Counted and dropped
    Drop,
    /// Kept, in order, until a model comes; the stream waits once many are kept
    Wait,
    /// Sent to the dead-letter topic
    DeadLetter,
}

/// What a result holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outputs {
    /// The predicted value and label
    Value,
    /// Also probabilities and named outputs
    All,
}

impl AsRef<Server> for Server {
    fn as_ref(&self) -> &Server {
        self
    }
}

/// What the keyed server needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyedServer {
    /// What every server needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub server: Server,

    /// Worker threads; each owns the models of some data types
    #[arg(
        long,
        env = "MODEL_SERVING_WORKERS",
        value_name = "N",
        default_value = "1"
    )]
    pub workers: Workers,

    /// Write the scores to a text file too [default where no name is given: output/keyed.txt]
    #[arg(long, env = "MODEL_SERVING_OUTPUT", value_name = "FILE",
        num_args = 0..=1, default_missing_value = "output/keyed.txt")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
}

/// What the partitioned server needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionedServer {
    /// What every server needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub server: Server,

    /// Worker threads; each reads partitions of its own and has every model
    #[arg(
        long,
        env = "MODEL_SERVING_WORKERS",
        value_name = "N",
        default_value = "1"
    )]
    pub workers: Workers,
}

/// What the micro-batch server needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MicrobatchServer {
    /// What every server needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub server: Server,

    /// Time between two batches; or `continuous`: no batches, records are scored as they come
    #[arg(
        long,
        env = "MODEL_SERVING_TRIGGER",
        value_name = "DURATION|continuous",
        default_value = "500ms"
    )]
    pub trigger: Trigger,
}

impl AsRef<Server> for KeyedServer {
    fn as_ref(&self) -> &Server {
        &self.server
    }
}

impl AsRef<Server> for PartitionedServer {
    fn as_ref(&self) -> &Server {
        &self.server
    }
}

impl AsRef<Server> for MicrobatchServer {
    fn as_ref(&self) -> &Server {
        &self.server
    }
}

/// How many worker threads there are: 1 to 256. Each is a client of Kafka, with threads of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct Workers(NonZeroUsize);

impl Workers {
    const MOST: usize = 256;

    /// Their number.
    #[must_use]
    pub fn get(self) -> NonZeroUsize {
        self.0
    }
}

impl TryFrom<usize> for Workers {
    type Error = String;

    fn try_from(number: usize) -> Result<Self, Self::Error> {
        NonZeroUsize::new(number)
            .filter(|_| number <= Self::MOST)
            .map(Self)
            .ok_or_else(|| format!("there can be 1 to {} workers", Self::MOST))
    }
}

impl From<Workers> for usize {
    fn from(workers: Workers) -> Self {
        workers.0.get()
    }
}

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: usize = text.parse().map_err(|error| format!("{error}"))?;
        number.try_into()
    }
}

/// What starts a micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Trigger {
    /// Nothing: records are scored as they come.
    Continuous,
    /// This much time since the last one, or enough records.
    Every(Interval),
}

impl FromStr for Trigger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "continuous" {
            return Ok(Self::Continuous);
        }
        let interval: Interval = text
            .parse()
            .map_err(|why| format!("{why}, or `continuous`"))?;
        if interval.get().is_zero() {
            return Err("batches need some time to fill; write `continuous` for none".to_owned());
        }
        Ok(Self::Every(interval))
    }
}

impl TryFrom<String> for Trigger {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Trigger> for String {
    fn from(trigger: Trigger) -> Self {
        trigger.to_string()
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continuous => f.write_str("continuous"),
            Self::Every(interval) => interval.fmt(f),
        }
    }
}

/// A runtime of graphs, for all models or for those of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuntimeChoice {
    /// The name of the models; `None` for all.
    pub model: Option<String>,
    /// What is to run them.
    pub runtime: GraphRuntime,
}

/// What runs a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphRuntime {
    /// The server itself
    Native,
    /// TensorFlow's library
    #[value(name = "libtensorflow")]
    LibTensorflow,
    /// ONNX Runtime's library
    #[value(name = "onnxruntime")]
    OnnxRuntime,
}

impl fmt::Display for GraphRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::LibTensorflow => "libtensorflow",
            Self::OnnxRuntime => "onnxruntime",
        })
    }
}

impl FromStr for RuntimeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (model, runtime) = match text.rsplit_once('=') {
            Some((model, runtime)) => (Some(model.trim().to_owned()), runtime),
            None => (None, text),
        };
        if model.as_deref() == Some("") {
            return Err("expected MODEL=RUNTIME or RUNTIME, and no model is named".to_owned());
        }
        let runtime =
            <GraphRuntime as ValueEnum>::from_str(runtime.trim(), false).map_err(|_| {
                let names = GraphRuntime::value_variants()
                    .iter()
                    .map(ToString::to_string);
                let names = names.collect::<Vec<_>>().join(", ");
                format!("no runtime `{}`, there are: {names}", runtime.trim())
            })?;
        Ok(Self { model, runtime })
    }
}

impl TryFrom<String> for RuntimeChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RuntimeChoice> for String {
    fn from(choice: RuntimeChoice) -> Self {
        match choice.model {
            Some(model) => format!("{model}={}", choice.runtime),
            None => choice.runtime.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GraphRuntime, RuntimeChoice};

    #[test]
    fn a_runtime_is_for_all_models_or_for_one() {
        for (text, model, runtime) in [
            ("native", None, GraphRuntime::Native),
            ("wine=onnxruntime", Some("wine"), GraphRuntime::OnnxRuntime),
            (
                "a=b=libtensorflow",
                Some("a=b"),
                GraphRuntime::LibTensorflow,
            ),
        ] {
            let choice: RuntimeChoice = text.parse().unwrap();
            assert_eq!((choice.model.as_deref(), choice.runtime), (model, runtime));
            assert_eq!(String::from(choice), text);
        }
        let error = "wine=tract".parse::<RuntimeChoice>().unwrap_err();
        assert!(
            error.contains("`tract`") && error.contains("onnxruntime"),
            "{error}"
        );
        assert!("=native".parse::<RuntimeChoice>().is_err());
    }
}
