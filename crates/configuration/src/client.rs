use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::Common;

/// What the data provider needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataProvider {
    /// What every program needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub common: Common,

    /// Key of the records
    #[arg(long, env = "MODEL_SERVING_KEY", default_value = "none")]
    pub key: KeyChoice,
}

/// The key that a published record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyChoice {
    /// No key
    None,
    /// The record's data type
    DataType,
    /// The record's running number
    Sequence,
}

/// What the data reader needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataReader {
    /// What every program needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub common: Common,
}
