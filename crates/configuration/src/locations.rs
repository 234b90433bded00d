use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{Interval, Size};

/// Where a server may fetch models from that are not in their message, and what that may take.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Locations {
    /// Directories and URLs that models by reference may come from; may be repeated, or separated
    /// by commas; `none` allows none [default: data, here or in the workspace]
    #[arg(
        long,
        env = "MODEL_SERVING_MODEL_ROOTS",
        value_name = "PATH|URL",
        value_delimiter = ','
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_roots: Vec<String>,

    /// How large a model may be, all its files together, packed and unpacked
    #[arg(
        long,
        env = "MODEL_SERVING_MODEL_MAX_SIZE",
        value_name = "BYTES",
        default_value_t = Size::new(1 << 30)
    )]
    pub model_max_size: Size,

    /// How long fetching a model may take before it counts as failed
    #[arg(
        long,
        env = "MODEL_SERVING_MODEL_TIMEOUT",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(60))
    )]
    pub model_timeout: Interval,

    /// How long a model that cannot be fetched is tried again, before it is a dead letter
    #[arg(
        long,
        env = "MODEL_SERVING_MODEL_RETRY_FOR",
        value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(300))
    )]
    pub model_retry_for: Interval,
}
