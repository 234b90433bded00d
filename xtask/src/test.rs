//! `cargo xtask test`: the tests; with `--kafka`, those that any broker must pass, on Apache Kafka.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::console::{Console, step};
use crate::ensemble::{Ensemble, Halt, Patience, Voice};
use crate::kafka::{self, Address, Installation, Node, VERSION};
use crate::strategies::SCENARIOS;
use crate::workspace;

/// The test targets that take a broker from outside: the embedded broker's clients, the crate
/// `kafka`, and every strategy in the scenarios.
const SUITES: [&str; 3] = ["client_suite", "kafka", SCENARIOS];

/// What tells them where the broker is.
const BROKERS: &str = "SUITE_BROKERS";

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
    /// Passed on to cargo test.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Runs the tests.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.kafka {
        return on_kafka(&options.arguments);
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

    let directory = tempfile::Builder::new()
        .prefix("test-")
        .tempdir_in(&home)
        .with_context(|| format!("create a directory in {}", home.display()))?;
    let address = Address::free()?;
    let node = Node::prepare(&installation, directory.path(), &address)?;
    let mut ensemble = Ensemble::new(Console::new("test", &[]), None);
    ensemble.heed_signals()?;
    let played = play(&mut ensemble, &node, &address.to_string(), arguments);
    let complaints = ensemble.stop(PATIENCE);
    if let Err(halt) = played {
        let log = keep_log(&home, &node.log());
        return match halt {
            Halt::Asked => bail!("stopped before the end"),
            Halt::Failed(error) => Err(error.context(log)),
        };
    }
    ensure!(complaints.is_empty(), complaints.join("; "));
    Ok(ExitCode::SUCCESS)
}

/// Starts Apache Kafka and runs the tests on it.
fn play(
    ensemble: &mut Ensemble,
    node: &Node<'_>,
    brokers: &str,
    arguments: &[String],
) -> Result<(), Halt> {
    step("Starting", &format!("Apache Kafka {VERSION} on {brokers}"));
    ensemble.launch(
        "Apache Kafka",
        node.command(),
        Voice::Log(node.create_log()?),
    )?;
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
    let kept = home.join("test-failed.log");
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
