use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::{Arg, ArgGroup, Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{Basics, DEFAULT_BROKERS, Interval};

/// What the data provider needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataProvider {
    /// What every program needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub basics: Basics,

    /// Schema of the records
    #[arg(long, env = "MODEL_SERVING_RECORD", default_value = "wine")]
    pub record: RecordChoice,

    /// Time between two records
    #[arg(
        long,
        env = "MODEL_SERVING_RECORD_INTERVAL",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_millis(100))
    )]
    pub record_interval: Interval,

    /// Time between two models
    #[arg(
        long,
        env = "MODEL_SERVING_MODEL_INTERVAL",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(10))
    )]
    pub model_interval: Interval,

    /// Records per second, on schedule whether or not the broker keeps up; replaces the interval
    #[arg(long, env = "MODEL_SERVING_RATE", value_name = "PER-SECOND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,

    /// Records to publish [default: no end]
    #[arg(long, env = "MODEL_SERVING_COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<NonZeroU64>,

    /// Names of the models to publish, as models.toml has them; may be repeated, or separated by
    /// commas [default: all]
    #[arg(
        long,
        env = "MODEL_SERVING_PUBLISH",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new()
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,

    /// Partitions of the topics for records and results, where they do not exist yet
    #[arg(
        long,
        env = "MODEL_SERVING_PARTITIONS",
        default_value = "4",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub partitions: u32,

    /// Key of the records
    #[arg(long, env = "MODEL_SERVING_KEY", default_value = "none")]
    pub key: KeyChoice,

    /// Number of data types, wine, wine-2, ...; records take turns, each gets every model
    #[arg(
        long,
        env = "MODEL_SERVING_DATA_TYPES",
        value_name = "N",
        default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub data_types: u32,

    /// Address of the provider's own broker, where no other is named; port 0 takes any free one
    #[arg(
        long,
        env = "MODEL_SERVING_LISTEN",
        value_name = "HOST:PORT",
        default_value = DEFAULT_BROKERS
    )]
    pub listen: String,

    /// Publish the models' paths, for servers that see the same files, instead of the models
    #[arg(
        long,
        env = "MODEL_SERVING_BY_REFERENCE",
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        default_missing_value = "true",
        default_value_t = false
    )]
    pub by_reference: bool,

    /// Directory with the records and models [default: data, here or in the workspace]
    #[arg(long, env = "MODEL_SERVING_DATA_DIR", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
}

/// What records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordChoice {
    /// Eleven measurements
    Wine,
    /// Named tensors
    Tensor,
}

impl RecordChoice {
    /// Its name, as servers have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wine => "wine",
            Self::Tensor => "tensor",
        }
    }
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
    pub basics: Basics,

    /// Schema of the records
    #[arg(long, env = "MODEL_SERVING_RECORD", default_value = "wine")]
    pub record: RecordChoice,

    /// Topics to read; may be repeated, or separated by commas [default: all]
    #[arg(
        long,
        env = "MODEL_SERVING_SHOW",
        value_name = "WHAT",
        value_delimiter = ','
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub show: Vec<Shown>,

    /// Messages to print before it ends [default: no end]
    #[arg(long, env = "MODEL_SERVING_COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<NonZeroU64>,

    /// End when everything that was in the topics at the start is printed
    #[arg(long, env = "MODEL_SERVING_UNTIL_END", num_args = 0..=1, default_missing_value = "true", default_value_t = false)]
    pub until_end: bool,

    /// Print a JSON object per message
    #[arg(long, env = "MODEL_SERVING_JSON", num_args = 0..=1, default_missing_value = "true", default_value_t = false)]
    pub json: bool,
}

/// A topic by what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// Records to score
    Records,
    /// Models to score them with
    Models,
    /// Scores
    Results,
    /// What cannot be scored
    DeadLetters,
}

/// What the pass-through needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Passthrough {
    /// What every program needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub basics: Basics,

    /// Consumer group
    #[arg(
        long,
        env = "MODEL_SERVING_GROUP",
        value_parser = NonEmptyStringValueParser::new(),
        default_value = "passthrough"
    )]
    pub group: String,
}

/// What the latency meter needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(group(ArgGroup::new("measure").required(true).args(["backlog", "seconds"])))]
#[serde(rename_all = "kebab-case")]
pub struct LatencyMeter {
    /// What every program needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub basics: Basics,

    /// Measure how fast the results topic fills, until it has this many results
    #[arg(long, env = "MODEL_SERVING_BACKLOG", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<NonZeroU64>,

    /// Measure for this many seconds how long results take, from submission to arrival
    #[arg(long, env = "MODEL_SERVING_SECONDS", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<NonZeroU32>,

    /// How long results come before they count
    #[arg(
        long,
        env = "MODEL_SERVING_WARM_UP",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::ZERO)
    )]
    pub warm_up: Interval,

    /// How long it may take altogether
    #[arg(
        long,
        env = "MODEL_SERVING_TIMEOUT",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(600))
    )]
    pub timeout: Interval,

    /// Delete the results topic at the end
    #[arg(long, env = "MODEL_SERVING_DELETE", num_args = 0..=1, default_missing_value = "true", default_value_t = false)]
    pub delete: bool,
}

/// What the state query needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(mut_args(hide_kafka))]
#[serde(rename_all = "kebab-case")]
pub struct ModelStateQuery {
    /// What every program needs to know. It talks to no broker, and takes no notice of where one
    /// is: the settings file is everybody's.
    #[command(flatten)]
    #[serde(flatten)]
    pub basics: Basics,

    /// File that the server wrote its address to
    #[arg(
        short,
        long,
        env = "MODEL_SERVING_FILE",
        default_value = "keyed-server.id",
        conflicts_with = "id"
    )]
    pub file: PathBuf,

    /// Address of the server's state queries, instead of a file with it
    #[arg(
        short,
        long,
        env = "MODEL_SERVING_ID",
        value_name = "HOST:PORT",
        value_parser = NonEmptyStringValueParser::new()
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,

    /// Time between two queries
    #[arg(
        long,
        env = "MODEL_SERVING_INTERVAL",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(1))
    )]
    pub interval: Interval,

    /// Queries to make before it ends [default: no end]
    #[arg(long, env = "MODEL_SERVING_COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<NonZeroU64>,

    /// Print a JSON object per model
    #[arg(long, env = "MODEL_SERVING_JSON", num_args = 0..=1, default_missing_value = "true", default_value_t = false)]
    pub json: bool,
}

/// Leaves the settings of Kafka out of the help of a program that takes no notice of them.
fn hide_kafka(argument: Arg) -> Arg {
    let kafka = [
        "brokers",
        "data_topic",
        "models_topic",
        "results_topic",
        "dead_letter_topic",
        "broker_timeout",
        "quiet",
        "x",
    ];
    let hide = kafka.contains(&argument.get_id().as_str());
    argument.hide(hide)
}
