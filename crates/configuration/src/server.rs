use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::Basics;

/// What a model server needs to know, whatever its strategy.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Server {
    /// What every program needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub basics: Basics,

    /// Schema of the records: wine
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
