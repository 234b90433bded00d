use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use serde::{Deserialize, Serialize};

use crate::Interval;

/// Where a broker is looked for when nothing names one.
pub const DEFAULT_BROKERS: &str = "127.0.0.1:9092";

/// What every program that talks to Kafka needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Basics {
    /// Kafka brokers, HOST:PORT[,HOST:PORT...]; the environment's KAFKA_BROKERS counts too
    #[arg(
        long,
        env = "MODEL_SERVING_BROKERS",
        value_name = "HOST:PORT",
        value_parser = NonEmptyStringValueParser::new()
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brokers: Option<String>,

    /// Topic with the records to score
    #[arg(long, env = "MODEL_SERVING_DATA_TOPIC",
        value_parser = NonEmptyStringValueParser::new(), default_value = "models_data")]
    pub data_topic: String,

    /// Topic with the models to score them with
    #[arg(
        long,
        env = "MODEL_SERVING_MODELS_TOPIC",
        value_parser = NonEmptyStringValueParser::new(),
        default_value = "models_models"
    )]
    pub models_topic: String,

    /// Topic for the scores
    #[arg(
        long,
        env = "MODEL_SERVING_RESULTS_TOPIC",
        value_parser = NonEmptyStringValueParser::new(),
        default_value = "models_results"
    )]
    pub results_topic: String,

    /// Topic for what cannot be scored
    #[arg(
        long,
        env = "MODEL_SERVING_DEAD_LETTER_TOPIC",
        value_parser = NonEmptyStringValueParser::new(),
        default_value = "models_dead_letters"
    )]
    pub dead_letter_topic: String,

    /// How long to wait at start for a broker that does not answer
    #[arg(
        long,
        env = "MODEL_SERVING_BROKER_TIMEOUT",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(30))
    )]
    pub broker_timeout: Interval,

    /// Print no line per record; logs and errors stay
    #[arg(long, env = "MODEL_SERVING_QUIET",
        value_parser = BoolishValueParser::new(), num_args = 0..=1, default_missing_value = "true", default_value_t = false)]
    pub quiet: bool,

    /// A librdkafka property; may be repeated (in the file: the table `properties`; in the
    /// environment: MODEL_SERVING_X, separated by `;`)
    #[arg(
        short = 'X',
        value_name = "KEY=VALUE",
        value_delimiter = ';',
        value_parser = property
    )]
    #[serde(skip)]
    pub x: Vec<(String, String)>,

    /// The librdkafka properties of the file and of `-X` together.
    #[arg(skip)]
    #[serde(default)]
    pub properties: BTreeMap<String, String>,

    /// Where the settings come from.
    #[command(flatten)]
    #[serde(skip)]
    pub origin: Origin,
}

impl Basics {
    /// The brokers, the default if nothing names them.
    #[must_use]
    pub fn brokers(&self) -> &str {
        self.brokers.as_deref().unwrap_or(DEFAULT_BROKERS)
    }
}

pub(crate) fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected KEY=VALUE, e.g. -X linger.ms=5".to_owned()),
    }
}

/// Where the settings of a program come from, and whether it only shows them.
#[derive(Args, Clone, Debug, Default)]
pub struct Origin {
    /// Settings file, TOML [default: model-serving.toml in the working directory, if there]
    #[arg(long, env = "MODEL_SERVING_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the settings that are in force as TOML, and exit
    #[arg(long)]
    pub dump_config: bool,
}
