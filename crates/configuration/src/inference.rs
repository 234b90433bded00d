use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::{Deserialize, Serialize};

use crate::{Interval, Origin};

/// What the inference server needs to know. It does not talk to Kafka.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InferenceServer {
    /// Directory of the models, each as NAME/VERSION/...
    #[arg(
        long,
        env = "MODEL_SERVING_MODELS",
        value_name = "DIR",
        default_value = "data/models"
    )]
    pub models: PathBuf,

    /// Address of the REST interface; port 0 takes any free one [default: 127.0.0.1:8501]
    #[arg(long, env = "MODEL_SERVING_HTTP", value_name = "ADDR:PORT", value_parser = NonEmptyStringValueParser::new())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,

    /// Address of the gRPC interface; port 0 takes any free one [default: 127.0.0.1:8500]
    #[arg(long, env = "MODEL_SERVING_GRPC", value_name = "ADDR:PORT", value_parser = NonEmptyStringValueParser::new())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,

    /// How often the directory is looked at for new versions
    #[arg(
        long,
        env = "MODEL_SERVING_POLL_INTERVAL",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(1))
    )]
    pub poll_interval: Interval,

    /// How long a request may take, its body included
    #[arg(
        long,
        env = "MODEL_SERVING_REQUEST_TIMEOUT",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(30))
    )]
    pub request_timeout: Interval,

    /// The largest request that is accepted, in MiB
    #[arg(
        long,
        env = "MODEL_SERVING_REQUEST_LIMIT",
        value_name = "MIB",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub request_limit: u32,

    /// Where the settings come from.
    #[command(flatten)]
    #[serde(skip)]
    pub origin: Origin,
}
