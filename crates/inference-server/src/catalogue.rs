use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use protobufs::tensorflow::serving::model_version_status::State;

use crate::failure::{Code, Failure};
use crate::version::Version;

/// The models that are served, and how each of their versions stands.
#[derive(Default)]
pub(crate) struct Catalogue {
    models: RwLock<HashMap<String, Model>>,
}

#[derive(Default)]
struct Model {
    /// What requests are answered with.
    current: Option<Arc<Version>>,
    standings: BTreeMap<i64, Standing>,
    /// Versions that requests may still be using.
    leaving: Vec<(i64, Weak<Version>)>,
}

/// How a version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: State,
    /// Why it is not served, if something went wrong.
    pub(crate) error: Option<Failure>,
}

/// Which version of a model is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Latest,
    Number(i64),
    Label(String),
}

impl Catalogue {
    /// The version to answer a request with. It stays whole while the request has it, whatever
    /// becomes of the model.
    pub(crate) fn find(&self, name: &str, choice: &Choice) -> Result<Arc<Version>, Failure> {
        if name.is_empty() {
            return Err(Failure::invalid("ModelSpec has no name specified."));
        }
        let models = self.read();
        let current = models.get(name).and_then(|model| model.current.as_ref());
        let (found, asked) = match choice {
            Choice::Latest => (current, format!("Latest({name})")),
            Choice::Number(number) => (
                current.filter(|version| version.number() == *number),
                format!("Specific({name}, {number})"),
            ),
            Choice::Label(label) => {
                return Err(Failure::invalid(format!(
                    "Unrecognized servable version label: {label}"
                )));
            }
        };
        found.cloned().ok_or_else(|| {
            Failure::new(
                Code::NotFound,
                format!("Servable not found for request: {asked}"),
            )
        })
    }

    /// How one version of a model stands, or all that have been seen: a label does not matter to
    /// the real server here.
    pub(crate) fn standings(
        &self,
        name: &str,
        choice: &Choice,
    ) -> Result<Vec<(i64, Standing)>, Failure> {
        let models = self.read();
        let known = models.get(name).map(|model| &model.standings);
        let missing = |message: String| Failure::new(Code::NotFound, message);
        match choice {
            Choice::Latest | Choice::Label(_) => {
                let all = known.filter(|standings| !standings.is_empty());
                let all = all.ok_or_else(|| {
                    missing(format!("Could not find any versions of model {name}"))
                })?;
                let newest_first = all.iter().rev();
                Ok(newest_first
                    .map(|(number, standing)| (*number, standing.clone()))
                    .collect())
            }
            Choice::Number(number) => {
                let standing = known.and_then(|standings| standings.get(number));
                let standing = standing.ok_or_else(|| {
                    missing(format!("Could not find version {number} of model {name}"))
                })?;
                Ok(vec![(*number, standing.clone())])
            }
        }
    }

    /// The number of the version that requests for a model are answered with.
    pub(crate) fn current(&self, name: &str) -> Option<i64> {
        let models = self.read();
        models
            .get(name)?
            .current
            .as_ref()
            .map(|version| version.number())
    }

    /// The models that have a version, and its number.
    pub(crate) fn served(&self) -> Vec<(String, i64)> {
        let models = self.read();
        let served = models.iter().filter_map(|(name, model)| {
            let version = model.current.as_ref()?;
            Some((name.clone(), version.number()))
        });
        let mut served: Vec<_> = served.collect();
        served.sort();
        served
    }

    pub(crate) fn loading(&self, name: &str, number: i64) {
        self.set(name, number, State::Loading, None);
    }

    pub(crate) fn failed(&self, name: &str, number: i64, error: Failure) {
        self.set(name, number, State::End, Some(error));
    }

    fn set(&self, name: &str, number: i64, state: State, error: Option<Failure>) {
        let mut models = self.write();
        let model = models.entry(name.to_owned()).or_default();
        // A version that is loaded anew is served on meanwhile.
        let serving = model.current.as_ref().map(|version| version.number());
        if serving != Some(number) {
            let standing = Standing { state, error };
            model.standings.insert(number, standing);
        }
    }

    /// Answers requests with this version from now on. Those under way go on with the one before.
    pub(crate) fn switch(&self, name: &str, version: Arc<Version>) {
        let mut models = self.write();
        let model = models.entry(name.to_owned()).or_default();
        let number = version.number();
        let before = model.current.replace(version);
        model.let_go(before, number);
        let standing = Standing {
            state: State::Available,
            error: None,
        };
        model.standings.insert(number, standing);
    }

    /// Answers no more requests for a model: it is not there any more.
    pub(crate) fn withdraw(&self, name: &str) {
        if let Some(model) = self.write().get_mut(name) {
            let before = model.current.take();
            model.let_go(before, -1);
        }
    }

    /// Notes which versions the last request has left.
    pub(crate) fn settle(&self) {
        for model in self.write().values_mut() {
            let serving = model.current.as_ref().map(|version| version.number());
            let standings = &mut model.standings;
            model.leaving.retain(|(number, version)| {
                let is_used = version.strong_count() > 0;
                if !is_used && serving != Some(*number) {
                    let standing = Standing {
                        state: State::End,
                        error: None,
                    };
                    standings.insert(*number, standing);
                }
                is_used
            });
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Model>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Model>> {
        self.models.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    fn let_go(&mut self, before: Option<Arc<Version>>, next: i64) {
        let Some(before) = before else { return };
        let number = before.number();
        self.leaving.push((number, Arc::downgrade(&before)));
        if number != next {
            let standing = Standing {
                state: State::Unloading,
                error: None,
            };
            self.standings.insert(number, standing);
        }
        // Taking a large model apart takes time, and requests wait for this lock.
        let thread = std::thread::Builder::new().name("leaving".to_owned());
        // Without a thread it is taken apart here.
        drop(thread.spawn(move || drop(before)));
    }
}
