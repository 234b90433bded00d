//! The server, and its answers.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use configuration::ModelStateQuery;
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;

/// How long an answer may take; a server gives up on its own workers before that.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the longest address, and of the longest answer, that is read.
const LONGEST_ADDRESS: u64 = 1024;
const LONGEST_ANSWER: u64 = 64 * 1024 * 1024;

/// A server that may be running.
pub(super) struct Server {
    place: Place,
    agent: Agent,
}

/// Where the server's address is to be had.
enum Place {
    Address(String),
    File(PathBuf),
}

/// What a server said.
pub(super) struct Answer {
    /// Where it is.
    pub(super) address: String,
    /// What it said of each of its models.
    pub(super) models: Vec<Value>,
}

/// What of `GET /state` matters here.
#[derive(Deserialize)]
struct State {
    models: Vec<Value>,
}

/// An answer that is none.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Server {
    pub(super) fn new(settings: &ModelStateQuery) -> Self {
        let place = match &settings.id {
            Some(address) => Place::Address(address.clone()),
            None => Place::File(settings.file.clone()),
        };
        let agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            // The server is the one that is named, whatever else this machine asks by a proxy.
            .proxy(None)
            .max_redirects(0)
            .build()
            .into();
        Self { place, agent }
    }

    /// Asks for the state of the models.
    pub(super) fn ask(&self) -> Result<Answer> {
        let (address, source) = match &self.place {
            Place::Address(address) => (address.clone(), "--id".to_owned()),
            // Read each time: a server that is started again writes its new address.
            Place::File(file) => (read(file)?, file.display().to_string()),
        };
        let models = self
            .models(&address)
            .with_context(|| format!("no server's state at {address} (from {source})"))?;
        Ok(Answer { address, models })
    }

    fn models(&self, address: &str) -> Result<Vec<Value>> {
        let mut response = self.agent.get(format!("http://{address}/state")).call()?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(LONGEST_ANSWER);
        let body = body.read_to_vec()?;
        if status.as_u16() != 200 {
            match serde_json::from_slice::<Refusal>(&body) {
                Ok(refusal) => bail!("{status}: {}", refusal.error),
                Err(_) => bail!("{status}"),
            }
        }
        let state: State = serde_json::from_slice(&body).context("this is no state of models")?;
        Ok(state.models)
    }
}

/// The address in a file.
fn read(file: &std::path::Path) -> Result<String> {
    use std::io::Read as _;
    let shown = match fs::canonicalize(".") {
        Ok(here) => here.join(file),
        Err(_) => file.to_owned(),
    };
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|file| file.take(LONGEST_ADDRESS).read_to_string(&mut text))
        .with_context(|| {
            format!(
                "cannot read the address of a server from {}; is one running that writes it \
                 there? (--file names another file, --id an address)",
                shown.display()
            )
        })?;
    let address = text.trim();
    ensure!(
        !address.is_empty() && !address.contains(char::is_whitespace),
        "{} holds no address of a server",
        shown.display()
    );
    Ok(address.to_owned())
}
