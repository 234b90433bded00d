//! `cargo xtask demo`: a provider of records and models, and a server that scores them, until
//! Ctrl-C.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::binaries::{self, Binary};
use crate::console::Console;
use crate::processes::Ensemble;
use crate::strategies::{self, Strategy};
use crate::workspace;

const PROVIDER: &str = "data_provider";

/// How long a process may take to end: a server drains, commits and leaves its group within five
/// seconds.
const GRACE: Duration = Duration::from_secs(7);

/// What `cargo xtask demo` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// The strategy that scores.
    #[arg(long, value_name = "NAME", default_value = "actor", value_parser = strategies::named)]
    strategy: Strategy,
    /// Time between two records, such as 100ms [default: the provider's].
    #[arg(long, value_name = "TIME")]
    record_interval: Option<String>,
    /// Time between two models, such as 10s [default: the provider's].
    #[arg(long, value_name = "TIME")]
    model_interval: Option<String>,
    /// Kafka brokers to use [default: a broker inside the provider, on 127.0.0.1:9092].
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
    /// Stop after this time, such as 30s [default: run until Ctrl-C].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Build and run with optimisations.
    #[arg(long)]
    release: bool,
}

/// Runs the demo.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = workspace::root();
    let server = &options.strategy.binary;
    let wanted = [
        Binary {
            package: "client",
            name: PROVIDER,
        },
        Binary {
            package: &options.strategy.package,
            name: server,
        },
    ];
    let [provider_path, server_path] = binaries::build(&root, wanted, options.release)?;

    let mut provider = Command::new(provider_path);
    provider.current_dir(&root);
    for (flag, value) in [
        ("--brokers", &options.brokers),
        ("--record-interval", &options.record_interval),
        ("--model-interval", &options.model_interval),
    ] {
        if let Some(value) = value {
            provider.args([flag, value]);
        }
    }
    let mut scorer = Command::new(server_path);
    scorer.current_dir(&root);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupts = Interrupts::new()?;
        let mut ensemble = Ensemble::new(Console::new("demo", &[PROVIDER, server]));
        let outcome = tokio::select! {
            outcome = play(&mut ensemble, provider, server, scorer) => outcome,
            () = interrupts.next() => Ok(()),
            () = elapsed(options.duration) => Ok(()),
        };
        // Whatever happened, nothing is left running; what happened first is what is reported.
        let stopped = ensemble.stop(GRACE, interrupts.next()).await;
        outcome.and(stopped)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the provider, then the server on the provider's brokers, and shows what they write.
///
/// # Errors
/// A process that could not be started or has ended; there is no other way out.
async fn play(
    ensemble: &mut Ensemble,
    provider: Command,
    server: &str,
    mut scorer: Command,
) -> Result<()> {
    let ready = ensemble.start(PROVIDER, provider).await?;
    if let Some(brokers) = ready.value("brokers") {
        scorer.args(["--brokers", brokers]);
    }
    let ready = ensemble.start(server, scorer).await?;
    if let Some(address) = ready.value("http") {
        ensemble.say(&format!("the state of the server: {address}/state"))?;
        ensemble.say(&format!("try: curl {address}/state/wine"))?;
    }
    ensemble.say("Ctrl-C stops both")?;
    ensemble.watch().await
}

async fn elapsed(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// The signals that ask this program to end.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
