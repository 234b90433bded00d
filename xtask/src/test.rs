//! `cargo xtask test`: the tests; with `--kafka`, those that any broker must pass, on Apache Kafka;
//! with `--runtimes`, those of models, with the optional libraries.
//!
//! An Apache Kafka that ends by itself, as for want of disk, has said nothing of what is tested: the
//! exit status is then [`NO_BROKER`].

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use crate::console::{Console, step};
use crate::ensemble::{Ensemble, Halt, Patience, Voice};
use crate::kafka::{self, Address, Installation, Node, VERSION};
use crate::strategies::SCENARIOS;
use crate::{runtimes, workspace};

/// The test targets that take a broker from outside: the embedded broker's clients, the crate
/// `kafka`, every strategy in the scenarios, and what only micro-batches have.
const SUITES: [&str; 4] = ["client_suite", "kafka", SCENARIOS, "batches"];

/// The tests of models, and the features that bring the libraries.
const MODELS: [&str; 3] = ["exports", "golden", "runtimes"];
const RUNTIMES: &str = "model/libtensorflow,model/onnxruntime";

/// What tells them where the broker is.
const BROKERS: &str = "SUITE_BROKERS";

/// The exit status when Apache Kafka ended by itself.
const NO_BROKER: u8 = 3;

const PATIENCE: Patience = Patience {
    with_each: kafka::END,
    with_the_user: Duration::from_secs(1),
};

/// What `cargo xtask test` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Run what any broker must pass on an Apache Kafka of its own (Java and Maven).
    #[arg(long)]
    kafka: bool,
    /// Run the tests of models with the optional libraries that run them (Python 3 with pip).
    #[arg(long, conflicts_with = "kafka")]
    runtimes: bool,
    /// Passed on to cargo test.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Runs the tests.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.kafka {
        return on_kafka(&options.arguments);
    }
    if options.runtimes {
        return with_runtimes(&options.arguments);
    }
    let status = cargo_test()
        .args(&options.arguments)
        .status()
        .context("start cargo")?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn with_runtimes(arguments: &[String]) -> Result<ExitCode> {
    let libraries = runtimes::ensure_fetched()?;
    let mut command = cargo_test();
    command.args(["--features", RUNTIMES]);
    for test in MODELS {
        command.args(["--test", test]);
    }
    let status = command
        .args(arguments)
        .envs(runtimes::variables(&libraries))
        // TensorFlow says much of the machine otherwise.
        .env("TF_CPP_MIN_LOG_LEVEL", "2")
        // The tests would go without a library, and say so where nobody reads it.
        .env("RUNTIMES_REQUIRED", "1")
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "tests failed with the optional libraries");
    step("Passed", &format!("with {}", libraries.display()));
    Ok(ExitCode::SUCCESS)
}

fn on_kafka(arguments: &[String]) -> Result<ExitCode> {
    let home = kafka::home()?;
    let installation = Installation::ensure(&home)?;
    // Before the broker is there, which would wait for it.
    let built = suites()
        .arg("--no-run")
        .args(arguments.iter().take_while(|argument| *argument != "--"))
        .status()
        .context("start cargo")?;
    ensure!(built.success(), "the tests could not be built");

    let directory = Lodging::rent(&home)?;
    let address = Address::free()?;
    let node = Node::prepare(&installation, directory.path.path(), &address)?;
    let mut ensemble = Ensemble::new(Console::new("test", &[]), None);
    ensemble.heed_signals()?;
    step("Starting", &format!("Apache Kafka {VERSION} on {address}"));
    let log = Voice::Log(node.create_log()?);
    let broker = ensemble.launch("Apache Kafka", node.command(), log)?;
    let played = play(&mut ensemble, &address.to_string(), arguments);
    let died = !ensemble.runs(broker);
    let complaints = ensemble.stop(PATIENCE);
    match played {
        Ok(()) => {
            ensure!(complaints.is_empty(), complaints.join("; "));
            Ok(ExitCode::SUCCESS)
        }
        Err(Halt::Asked) => bail!("stopped before the end"),
        Err(Halt::Failed(error)) => {
            let error = error.context(keep_log(&home, &node.log()));
            if !died {
                return Err(error);
            }
            // Where the machine is gone by the time somebody looks, the log's path is no help.
            eprintln!("error: {error:#}; {}", node.last_words());
            Ok(ExitCode::from(NO_BROKER))
        }
    }
}

/// A directory that goes at the end; or, if there was none, before the next tests.
struct Lodging {
    path: TempDir,
    /// While it is locked, somebody is in.
    _lock: File,
}

impl Lodging {
    const PREFIX: &str = "test-";
    const LOCK: &str = "lock";

    /// A directory in `home`, from which goes what was left behind.
    fn rent(home: &Path) -> Result<Self> {
        // One at a time, so that nobody finds a directory that is not locked yet.
        let door = File::create(home.join("test.lock")).context("create a lock")?;
        door.lock().context("lock the directories of the tests")?;
        for entry in fs::read_dir(home)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(Self::PREFIX) && Self::is_left(&path) {
                fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
        let path = tempfile::Builder::new()
            .prefix(Self::PREFIX)
            .tempdir_in(home)
            .with_context(|| format!("create a directory in {}", home.display()))?;
        let lock = File::create(path.path().join(Self::LOCK)).context("create a lock")?;
        lock.lock().context("lock a directory")?;
        Ok(Self { path, _lock: lock })
    }

    /// Whether a directory is one that nobody is in any more.
    fn is_left(path: &Path) -> bool {
        File::open(path.join(Self::LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
    }
}

/// Runs the tests on Apache Kafka, once it answers.
fn play(ensemble: &mut Ensemble, brokers: &str, arguments: &[String]) -> Result<(), Halt> {
    ensemble.until("Apache Kafka answers", kafka::START, || {
        kafka::answers(brokers)
    })?;
    let mut command = suites();
    // One suite that fails says little about the next.
    command
        .arg("--no-fail-fast")
        .args(arguments)
        .env(BROKERS, brokers);
    let tests = ensemble.launch("cargo test", command, Voice::Terminal)?;
    let status = ensemble.finish(tests, None)?;
    if !status.success() {
        let error = anyhow::anyhow!("tests failed on Apache Kafka {VERSION}");
        return Err(Halt::Failed(error));
    }
    step("Passed", &format!("on Apache Kafka {VERSION}"));
    Ok(())
}

/// Keeps the log of a broker whose directory goes, and tells where it is.
fn keep_log(home: &Path, log: &Path) -> String {
    let kept = home.join("failed-test.log");
    match fs::copy(log, &kept) {
        Ok(_) => format!("the broker's log is {}", kept.display()),
        Err(error) => format!("the broker's log could not be kept: {error}"),
    }
}

fn suites() -> Command {
    let mut command = cargo_test();
    for suite in SUITES {
        command.args(["--test", suite]);
    }
    command
}

/// Always of the whole workspace: another choice of packages has other features, and cargo would
/// build everything once more for it.
fn cargo_test() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(workspace::root())
        .args(["test", "--workspace"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_behind_goes_and_what_is_in_use_stays() {
        let home = tempfile::tempdir().unwrap();
        let used = Lodging::rent(home.path()).unwrap();
        // What is left of one that was killed: the lock is nobody's.
        let left = home.path().join("test-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("lock"), "").unwrap();
        let other = home.path().join("jars");
        fs::create_dir(&other).unwrap();
        let next = Lodging::rent(home.path()).unwrap();
        assert!(!left.exists());
        assert!(other.exists());
        assert!(used.path.path().exists());
        let path = next.path.path().to_owned();
        assert!(path.exists());
        drop(next);
        assert!(!path.exists());
    }
}
