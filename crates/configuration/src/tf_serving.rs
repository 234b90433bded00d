use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{Interval, Server};

/// What the server that calls an external model server needs to know.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TfServingServer {
    /// What every server needs to know.
    #[command(flatten)]
    #[serde(flatten)]
    pub shared: Server,

    /// The model server: http://HOST:PORT for REST, grpc://HOST:PORT for gRPC
    #[arg(
        long,
        env = "MODEL_SERVING_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8501"
    )]
    pub server: Endpoint,

    /// Name of the model there [default: the record's data type]
    #[arg(long, env = "MODEL_SERVING_MODEL", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,

    /// Version of the model [default: the one that the model server takes, the latest]
    #[arg(long, env = "MODEL_SERVING_MODEL_VERSION", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_version: Option<u32>,

    /// How long the model server may lack a model before its records count as without one
    #[arg(long, env = "MODEL_SERVING_MODEL_WAIT", value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(10)))]
    pub model_wait: Interval,

    /// Signature of the model [default: `serving_default`, or the only one]
    #[arg(long, env = "MODEL_SERVING_SIGNATURE", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,

    /// Name of the model's one input, where the model server does not describe its models
    #[arg(long, env = "MODEL_SERVING_INPUT", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,

    /// How records are laid out in requests over HTTP
    #[arg(long, env = "MODEL_SERVING_REQUEST_FORMAT", default_value = "row")]
    pub request_format: RequestFormat,

    /// Requests under way at once, at most
    #[arg(long, env = "MODEL_SERVING_IN_FLIGHT", value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub in_flight: u32,

    /// Records in a request, at most
    #[arg(long, env = "MODEL_SERVING_BATCH_SIZE", value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch_size: u32,

    /// How long a request waits to have that many; 0s takes what is there
    #[arg(long, env = "MODEL_SERVING_BATCH_DELAY", value_name = "DURATION",
        default_value_t = Interval::new(Duration::ZERO))]
    pub batch_delay: Interval,

    /// How long a request may take before it is tried again
    #[arg(long, env = "MODEL_SERVING_REQUEST_TIMEOUT", value_name = "DURATION",
        default_value_t = Interval::new(Duration::from_secs(5)))]
    pub request_timeout: Interval,
}

/// How records are laid out in requests over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestFormat {
    /// A list of records (`instances`)
    Row,
    /// A tensor of each input (`inputs`)
    Column,
}

/// Where a model server is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// Whether it is gRPC; else REST.
    pub grpc: bool,
    /// `HOST:PORT`.
    pub authority: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORMS: &str = "write http://HOST:PORT or grpc://HOST:PORT";
        let (scheme, rest) = text.split_once("://").ok_or(FORMS)?;
        let grpc = match scheme {
            "http" => false,
            "grpc" => true,
            "https" | "grpcs" => return Err(format!("TLS is not supported: {FORMS}")),
            _ => return Err(FORMS.to_owned()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = authority.rsplit_once(':').ok_or(FORMS)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        if host.is_empty() || !host.chars().all(plain) || port.parse::<u16>().is_err() {
            return Err(FORMS.to_owned());
        }
        Ok(Self {
            grpc,
            authority: authority.to_owned(),
        })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.grpc { "grpc" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl AsRef<Server> for TfServingServer {
    fn as_ref(&self) -> &Server {
        &self.shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let settings: TfServingServer = crate::parse(Vec::<&str>::new()).unwrap();
        assert_eq!(settings.server.to_string(), "http://127.0.0.1:8501");
        assert_eq!((settings.in_flight, settings.model), (64, None));
    }

    #[test]
    fn a_model_server_is_named_by_scheme_host_and_port() {
        let endpoint = |text: &str| text.parse::<Endpoint>();
        let grpc = endpoint("grpc://[::1]:8500/").unwrap();
        assert_eq!((grpc.grpc, grpc.authority.as_str()), (true, "[::1]:8500"));
        assert!(endpoint("https://a:1").unwrap_err().contains("TLS"));
        for wrong in [
            "a:1",
            "http://a",
            "http://:1",
            "http://a:b",
            "ftp://a:1",
            "http://a/b:1",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
