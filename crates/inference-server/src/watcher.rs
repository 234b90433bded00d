use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::version::Version;

/// Looks at a directory of models, `NAME/VERSION/...`, and brings the catalogue up to what is
/// there: of each model the version with the highest number that can be loaded.
pub(crate) struct Watcher {
    directory: PathBuf,
    catalogue: Arc<Catalogue>,
    metrics: Arc<Metrics>,
    seen: HashMap<String, Seen>,
}

/// What has been seen of a model.
#[derive(Default)]
struct Seen {
    /// The files of the version that is served, as they were when it was loaded.
    loaded: Snapshot,
    /// Versions that could not be loaded, and their files when that was tried.
    failed: BTreeMap<i64, Snapshot>,
    /// The failures that were logged, each once.
    logged: BTreeMap<i64, Failure>,
    /// A version that was there for the first time, or otherwise, when last looked: it may be in
    /// the middle of being copied.
    unsettled: Option<(i64, Snapshot)>,
}

impl Watcher {
    pub(crate) fn new(
        directory: PathBuf,
        catalogue: Arc<Catalogue>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            directory,
            catalogue,
            metrics,
            seen: HashMap::new(),
        }
    }

    /// Looks once. A version whose files are new, or others than they were, is loaded only when
    /// they have not changed from one look to the next; with `at_once`, without waiting for that.
    /// Returns whether something waits for the next look.
    ///
    /// # Errors
    /// When the directory cannot be read. What is served stays.
    pub(crate) fn look(&mut self, at_once: bool) -> std::io::Result<bool> {
        let models = subdirectories(&self.directory)?;
        let mut waits = false;
        for (name, path) in &models {
            let versions = match subdirectories(path) {
                Ok(versions) => numbered(versions),
                Err(error) => {
                    tracing::debug!("cannot read {}: {error}", path.display());
                    continue;
                }
            };
            waits |= self.look_at(name, &versions, at_once);
        }
        for (name, _) in self.catalogue.served() {
            if !models.iter().any(|(found, _)| *found == name) {
                self.withdraw(&name);
            }
        }
        self.catalogue.settle();
        Ok(waits)
    }

    fn look_at(&mut self, name: &str, versions: &BTreeMap<i64, PathBuf>, at_once: bool) -> bool {
        let serving = self.catalogue.current(name);
        if versions.is_empty() {
            if serving.is_some() {
                self.withdraw(name);
            }
            return false;
        }
        let seen = self.seen.entry(name.to_owned()).or_default();
        seen.failed
            .retain(|number, _| versions.contains_key(number));
        seen.logged
            .retain(|number, _| versions.contains_key(number));
        // The newest comes first; what is served is not left for something older.
        let is_there = serving.is_some_and(|number| versions.contains_key(&number));
        let wanted = versions
            .iter()
            .rev()
            .take_while(|(number, _)| !is_there || Some(**number) >= serving);
        for (&number, path) in wanted {
            let Ok(files) = Snapshot::take(path) else {
                continue;
            };
            if Some(number) == serving && seen.loaded == files {
                break;
            }
            if seen.failed.get(&number) == Some(&files) {
                continue;
            }
            let candidate = (number, files);
            if !at_once && seen.unsettled.as_ref() != Some(&candidate) {
                seen.unsettled = Some(candidate);
                return true;
            }
            seen.unsettled = None;
            let files = candidate.1;
            self.catalogue.loading(name, number);
            let loaded = Version::load(name, number, path);
            if !at_once && Snapshot::take(path).ok().as_ref() != Some(&files) {
                // It changed meanwhile: what was loaded may be half of one and half of the other.
                return true;
            }
            match loaded {
                Ok(version) => {
                    tracing::info!("model {name}: version {number} is served now");
                    self.metrics.loaded(name, number);
                    seen.loaded = files;
                    seen.failed.remove(&number);
                    seen.logged.remove(&number);
                    self.catalogue.switch(name, Arc::new(version));
                    break;
                }
                Err(failure) => {
                    self.metrics.load_failed(name);
                    if seen.logged.get(&number) != Some(&failure) {
                        tracing::error!(
                            "model {name}: version {number} cannot be served: {}",
                            failure.message
                        );
                        seen.logged.insert(number, failure.clone());
                    }
                    seen.failed.insert(number, files);
                    self.catalogue.failed(name, number, failure);
                }
            }
        }
        // What is not there any more is not served any more, even if nothing takes its place.
        if !is_there && self.catalogue.current(name) == serving && serving.is_some() {
            self.withdraw(name);
        }
        false
    }

    fn withdraw(&mut self, name: &str) {
        tracing::info!("model {name}: its directory is gone, and it is not served any more");
        self.seen.remove(name);
        self.metrics.withdrawn(name);
        self.catalogue.withdraw(name);
    }
}

/// The directories in a directory, by name; hidden ones, and names that are not UTF-8, do not
/// count.
fn subdirectories(directory: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name
            .filter(|name| !name.starts_with('.'))
            .map(str::to_owned);
        if let Some(name) = name
            && path.is_dir()
        {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The directories whose name is the number of a version; zeros may come before it.
fn numbered(directories: Vec<(String, PathBuf)>) -> BTreeMap<i64, PathBuf> {
    let numbered = directories.into_iter().filter_map(|(name, path)| {
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        is_number
            .then(|| name.parse().ok())
            .flatten()
            .map(|number| (number, path))
    });
    numbered.collect()
}
