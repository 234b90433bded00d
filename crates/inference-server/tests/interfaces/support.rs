use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use configuration::InferenceServer;
use inference_server::Server;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server with a directory of models of its own.
pub(crate) struct Served {
    pub(crate) directory: TempDir,
    server: Option<Server>,
    agent: ureq::Agent,
}

impl Served {
    /// With these models, `NAME/VERSION/FILE` and what is copied there.
    pub(crate) fn start(models: &[(&str, PathBuf)], flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (to, from) in models {
            copy(from, &directory.path().join(to));
        }
        let models = directory.path().to_str().unwrap();
        let arguments = [
            "--models",
            models,
            "--http",
            "127.0.0.1:0",
            "--grpc",
            "127.0.0.1:0",
        ];
        let arguments = arguments
            .iter()
            .chain(&["--poll-interval", "20ms"])
            .chain(flags);
        let settings: InferenceServer = configuration::parse(arguments.copied()).unwrap();
        let server = Server::start(&settings).unwrap();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self {
            directory,
            server: Some(server),
            agent: config.into(),
        }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn stop(&mut self) -> bool {
        self.server.take().unwrap().stop(PATIENCE)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server().http())
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut response = self.agent.get(self.url(path)).call().unwrap();
        let status = response.status().as_u16();
        (status, response.body_mut().read_to_string().unwrap())
    }

    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> (u16, String) {
        let request = self.agent.post(self.url(path));
        let mut response = request.send(body.as_ref()).unwrap();
        let status = response.status().as_u16();
        (status, response.body_mut().read_to_string().unwrap())
    }

    /// The state of each version of a model, the newest first.
    pub(crate) fn states(&self, model: &str) -> Vec<(String, String)> {
        let (status, text) = self.get(&format!("/v1/models/{model}"));
        if status == 404 {
            return Vec::new();
        }
        let answer = json(&text);
        let versions = answer["model_version_status"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        versions
            .iter()
            .map(|version| (text(&version["version"]), text(&version["state"])))
            .collect()
    }

    /// Waits until the versions of a model stand so.
    pub(crate) fn until(&self, model: &str, expected: &[(&str, &str)]) {
        let start = Instant::now();
        loop {
            let states = self.states(model);
            let found: Vec<_> = states.iter().map(|(v, s)| (&v[..], &s[..])).collect();
            if found == expected {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{model} is {found:?}, not {expected:?}"
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(PATIENCE);
        }
    }
}

/// A model beside the tests.
pub(crate) fn model(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models")).join(name)
}

/// A model of the project.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/models")).join(name)
}

pub(crate) fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            copy(&path, &to.join(path.file_name().unwrap()));
        }
        return;
    }
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The text of an error.
pub(crate) fn error(text: &str) -> String {
    json(text)["error"].as_str().unwrap().to_owned()
}
