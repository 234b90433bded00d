use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::basics::property;
use crate::{Basics, Error, Origin, known_keys};

/// The file that is read when `--config` names none.
pub const FILE_NAME: &str = "model-serving.toml";

/// The settings of one program.
pub trait Settings: Args + Serialize + DeserializeOwned {
    /// The part that every program has.
    fn origin(&self) -> &Origin;
    /// The same, to change.
    fn origin_mut(&mut self) -> &mut Origin;
    /// The part that programs have which talk to Kafka, to change.
    fn kafka_mut(&mut self) -> Option<&mut Basics>;
}

/// The settings of a program that talks to Kafka.
pub trait Program: Settings {
    /// The part that every such program has.
    fn basics(&self) -> &Basics;
    /// The same, to change.
    fn basics_mut(&mut self) -> &mut Basics;
}

macro_rules! program {
    ($($settings:ty: $($path:ident).+),* $(,)?) => {$(
        impl Program for $settings {
            fn basics(&self) -> &Basics {
                &self.$($path).+
            }
            fn basics_mut(&mut self) -> &mut Basics {
                &mut self.$($path).+
            }
        }

        impl Settings for $settings {
            fn origin(&self) -> &Origin {
                &self.basics().origin
            }
            fn origin_mut(&mut self) -> &mut Origin {
                &mut self.basics_mut().origin
            }
            fn kafka_mut(&mut self) -> Option<&mut Basics> {
                Some(self.basics_mut())
            }
        }
    )*};
}
program! {
    crate::Server: basics,
    crate::DataProvider: basics,
    crate::DataReader: basics,
    crate::Passthrough: basics,
    crate::LatencyMeter: basics,
    crate::ModelStateQuery: basics,
    crate::KeyedServer: server.basics,
    crate::PartitionedServer: server.basics,
    crate::MicrobatchServer: server.basics,
    crate::TfServingServer: shared.basics,
}

impl Settings for crate::InferenceServer {
    fn origin(&self) -> &Origin {
        &self.origin
    }
    fn origin_mut(&mut self) -> &mut Origin {
        &mut self.origin
    }
    fn kafka_mut(&mut self) -> Option<&mut Basics> {
        None
    }
}

/// Reads the settings of this process: its arguments, its environment, its working directory.
///
/// `command` carries the program's name and what `--help` says of it. With `--dump-config` the
/// settings go to stdout and the process ends with 0; with wrong usage it ends with 2, after an
/// error that says what was wrong.
#[must_use]
pub fn load<P: Settings>(command: Command) -> P {
    let environment = Environment {
        kafka_brokers: std::env::var("KAFKA_BROKERS").ok(),
        properties: std::env::var("MODEL_SERVING_X").ok(),
    };
    let loaded = load_from::<P>(command, std::env::args_os(), environment, Path::new("."));
    let settings = match loaded {
        Ok(settings) => settings,
        Err(Error::Usage(error)) => error.exit(),
        Err(error) => fail(&error),
    };
    if settings.origin().dump_config {
        match toml::to_string(&settings) {
            Ok(text) => {
                use std::io::Write as _;
                // A reader that went away is no reason to complain.
                let _ = std::io::stdout().write_all(text.as_bytes());
                std::process::exit(0);
            }
            Err(error) => fail(&Error::Dump(error)),
        }
    }
    settings
}

fn fail(error: &Error) -> ! {
    eprintln!("error: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    std::process::exit(2)
}

/// What of the environment is not simply a flag in capitals.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `KAFKA_BROKERS`: counts where nothing else in the environment or on the command line names
    /// brokers.
    pub kafka_brokers: Option<String>,
    /// `MODEL_SERVING_X`: librdkafka properties, separated by `;`, which those of the command line
    /// add to.
    pub properties: Option<String>,
}

/// Reads settings from these arguments, this environment and this working directory.
///
/// # Errors
/// When a source cannot be read, does not parse, or holds a key that no program knows.
pub fn load_from<P: Settings>(
    command: Command,
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    environment: Environment,
    directory: &Path,
) -> Result<P, Error> {
    let matches = arguments_of::<P>(command).try_get_matches_from(arguments)?;
    let parsed = P::from_arg_matches(&matches)?;
    let named = parsed.origin().config.clone();
    let path = named
        .clone()
        .map_or_else(|| directory.join(FILE_NAME), |file| directory.join(file));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            String::new()
        }
        Err(source) => {
            return Err(Error::Unreadable {
                path: path.display().to_string(),
                source,
            });
        }
    };
    let mut settings: P = merge(&parsed, &matches, &text, &path)?;

    // What serde does not carry, and what needs the sources side by side.
    settings.origin_mut().clone_from(parsed.origin());
    let mut parsed = parsed;
    if let (Some(target), Some(basics)) = (settings.kafka_mut(), parsed.kafka_mut()) {
        add_kafka(target, basics, environment)?;
    }
    Ok(settings)
}

/// What the environment and the command line say of Kafka in ways of their own.
fn add_kafka(target: &mut Basics, basics: &Basics, environment: Environment) -> Result<(), Error> {
    for pair in environment
        .properties
        .iter()
        .flat_map(|pairs| pairs.split(';'))
    {
        if !pair.trim().is_empty() {
            let (key, value) = property(pair).map_err(|why| {
                let why = format!("invalid value '{pair}' in MODEL_SERVING_X: {why}\n");
                clap::Error::raw(clap::error::ErrorKind::ValueValidation, why)
            })?;
            target.properties.insert(key, value);
        }
    }
    target.properties.extend(basics.x.iter().cloned());
    target.x.clear();
    // The environment wins over the file, and MODEL_SERVING_BROKERS over KAFKA_BROKERS.
    let kafka_brokers = environment.kafka_brokers;
    if basics.brokers.is_none()
        && kafka_brokers
            .as_deref()
            .is_some_and(|b| !b.trim().is_empty())
    {
        target.brokers = kafka_brokers;
    }
    Ok(())
}

/// The command with the arguments of `P`, and with what it says of itself: deriving the arguments
/// would replace that by the documentation of the struct.
fn arguments_of<P: Settings>(command: Command) -> Command {
    let about = command.get_about().cloned().unwrap_or_default();
    let command = P::augment_args(command).mut_args(|argument| argument.hide_env_values(true));
    command.about(about).long_about(None)
}

/// Reads settings from arguments alone: for tests, and for whoever embeds a program.
///
/// # Errors
/// When the arguments do not parse.
pub fn parse<P: Settings>(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<P, Error> {
    let command = Command::new("program").no_binary_name(true);
    let matches = P::augment_args(command).try_get_matches_from(arguments)?;
    let mut settings = P::from_arg_matches(&matches)?;
    if let Some(basics) = settings.kafka_mut() {
        basics.properties.extend(std::mem::take(&mut basics.x));
    }
    Ok(settings)
}

/// The defaults, under the file, under what the environment and the command line say.
fn merge<P: Settings>(
    parsed: &P,
    matches: &ArgMatches,
    text: &str,
    path: &Path,
) -> Result<P, Error> {
    let shown = path.display().to_string();
    let file: toml::Table = toml::from_str(text).map_err(|source| Error::Syntax {
        path: shown.clone(),
        source: Box::new(source),
    })?;
    let known = known_keys();
    if let Some(key) = file.keys().find(|key| !known.contains(*key)) {
        return Err(Error::UnknownKey {
            key: key.clone(),
            path: shown,
            known: known.into_iter().collect::<Vec<_>>().join(", "),
        });
    }
    let invalid = |source| Error::Invalid {
        path: shown.clone(),
        source: Box::new(source),
    };
    // Defaults and explicit values come out of clap together; its record of where each value came
    // from tells them apart.
    let all = Value::serialize(parsed)
        .map_err(invalid)?
        .into_dict()
        .unwrap_or_default();
    let explicit: Dict = all
        .iter()
        .filter(|(key, _)| {
            matches!(
                matches.try_contains_id(&key.replace('-', "_")),
                Ok(true) if matches.value_source(&key.replace('-', "_"))
                    != Some(ValueSource::DefaultValue)
            )
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Figment::from(Serialized::defaults(all))
        .merge(Toml::string(text))
        .merge(Serialized::defaults(explicit))
        .extract()
        .map_err(invalid)
}

/// Adds the keys that the file may hold for the program `P`.
pub(crate) fn add_keys<P: Settings>(keys: &mut BTreeSet<String>) {
    let command = P::augment_args(Command::new("program"));
    let ids = command
        .get_arguments()
        .map(|argument| argument.get_id().as_str());
    // What only the command line can say.
    keys.extend(
        ids.filter(|id| !["config", "dump_config", "x", "help", "version"].contains(id))
            .map(|id| id.replace('_', "-")),
    );
    keys.insert("properties".to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OnNoModel, Server};

    fn server(arguments: &[&str], file: Option<&str>) -> Result<Server, Error> {
        let directory = tempfile::tempdir().unwrap();
        if let Some(text) = file {
            std::fs::write(directory.path().join(FILE_NAME), text).unwrap();
        }
        let arguments = std::iter::once("server").chain(arguments.iter().copied());
        let environment = Environment {
            kafka_brokers: Some("env:1".to_owned()),
            properties: Some("linger.ms=1; batch.size=2".to_owned()),
        };
        load_from(
            Command::new("server"),
            arguments,
            environment,
            directory.path(),
        )
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let settings: Server = parse::<Server>(Vec::<&str>::new()).unwrap();
        let basics = settings.basics;
        assert_eq!(basics.brokers(), "127.0.0.1:9092");
        assert_eq!(basics.data_topic, "models_data");
        assert_eq!(basics.models_topic, "models_models");
        assert_eq!(basics.results_topic, "models_results");
        assert_eq!(basics.dead_letter_topic, "models_dead_letters");
        assert_eq!(basics.broker_timeout.get().as_secs(), 30);
        assert_eq!(settings.on_no_model, OnNoModel::Drop);
        assert_eq!(settings.record, "wine");
    }

    #[test]
    fn a_program_without_kafka_has_settings_of_the_same_kind() {
        let directory = tempfile::tempdir().unwrap();
        // What is for other programs is in the file, too.
        let file = "brokers = 'file:1'\nmodels = 'there'\npoll-interval = '3s'\n";
        std::fs::write(directory.path().join(FILE_NAME), file).unwrap();
        let load = |arguments: &[&str]| {
            let arguments = std::iter::once("server").chain(arguments.iter().copied());
            load_from::<crate::InferenceServer>(
                Command::new("server"),
                arguments,
                Environment::default(),
                directory.path(),
            )
        };
        let settings = load(&["--poll-interval", "2s"]).unwrap();
        assert_eq!(settings.models, Path::new("there"));
        assert_eq!(settings.poll_interval.get().as_secs(), 2);
        assert_eq!((settings.http, settings.grpc), (None, None));
        assert!(matches!(load(&["--brokers", "x:1"]), Err(Error::Usage(_))));
        let shown = load(&["--dump-config"]).unwrap();
        assert!(shown.origin.dump_config);
        let defaults: crate::InferenceServer = parse(Vec::<&str>::new()).unwrap();
        assert_eq!(defaults.models, Path::new("data/models"));
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_defaults() {
        let file = "brokers = 'file:1'\ndata-topic = 'from-file'\nhttp = '127.0.0.1:1'\n\
                    quiet = true\non-no-model = 'wait'\nruntime = ['native', 'a=onnxruntime']\n[properties]\n'linger.ms' = '7'\n'a' = 'b'\n";
        let settings = server(&["--http", "127.0.0.1:2", "-X", "linger.ms=5"], Some(file)).unwrap();
        assert_eq!(settings.basics.brokers(), "env:1");
        assert_eq!(settings.basics.data_topic, "from-file");
        assert_eq!(settings.basics.models_topic, "models_models");
        assert_eq!(settings.http.as_deref(), Some("127.0.0.1:2"));
        assert!(settings.basics.quiet);
        assert_eq!(settings.on_no_model, OnNoModel::Wait);
        assert_eq!(settings.basics.properties["linger.ms"], "5");
        assert_eq!(settings.basics.properties["a"], "b");
        assert_eq!(settings.basics.properties["batch.size"], "2");
        let names = |settings: &Server| -> Vec<String> {
            let choices = settings.runtime.iter().cloned();
            choices.map(String::from).collect()
        };
        assert_eq!(names(&settings), ["native", "a=onnxruntime"]);
        let several = [
            "--runtime",
            "libtensorflow,b=native",
            "--runtime=onnxruntime",
        ];
        let several = server(&several, Some(file)).unwrap();
        let expected = ["libtensorflow", "b=native", "onnxruntime"];
        assert_eq!(names(&several), expected);
        let dumped = toml::to_string(&several).unwrap();
        assert_eq!(names(&server(&[], Some(&dumped)).unwrap()), expected);
        let flagged = server(&["--brokers", "flag:1", "--quiet=false"], Some(file)).unwrap();
        assert_eq!(flagged.basics.brokers(), "flag:1");
        assert!(!flagged.basics.quiet);
    }

    #[test]
    fn what_is_dumped_can_be_read_back() {
        let settings = server(
            &[
                "--group",
                "mine",
                "--broker-timeout",
                "2m 5s",
                "--model-roots",
                "models,s3://bucket/models",
                "--model-roots=/more",
                "--model-max-size",
                "2 GiB",
                "-X",
                "a=b=c",
            ],
            None,
        )
        .unwrap();
        let dumped = toml::to_string(&settings).unwrap();
        let again = server(&[], Some(&dumped)).unwrap();
        assert_eq!(toml::to_string(&again).unwrap(), dumped);
        assert_eq!(again.basics.properties["a"], "b=c");
        assert_eq!(again.basics.broker_timeout.get().as_secs(), 125);
        let locations = again.locations;
        assert_eq!(
            locations.model_roots,
            ["models", "s3://bucket/models", "/more"]
        );
        assert_eq!(locations.model_max_size.get(), 2 << 30);
        assert_eq!(locations.model_timeout.get().as_secs(), 60);
    }

    #[test]
    fn an_unknown_key_is_named_with_the_known_ones() {
        let error = server(&[], Some("data-topik = 'x'"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`data-topik`") && error.contains("data-topic"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_the_key() {
        let error = server(&[], Some("on-no-model = 'explode'")).unwrap_err();
        let text = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(
            text.contains("on-no-model") && text.contains("explode"),
            "{text}"
        );
        let error = server(&["--broker-timeout", "soon"], None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--broker-timeout"), "{error}");
        assert!(matches!(
            server(&["-X", "novalue"], None),
            Err(Error::Usage(_))
        ));
        assert!(matches!(
            server(&["--config", "absent.toml"], None),
            Err(Error::Unreadable { .. })
        ));
        assert!(matches!(
            server(&[], Some("= 1")),
            Err(Error::Syntax { .. })
        ));
    }
}
