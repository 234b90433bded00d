//! `cargo xtask demo`: a provider of records and models, and a server that scores them, until
//! Ctrl-C.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::binaries::{self, Binary};
use crate::console::Console;
use crate::ensemble::{Ensemble, Halt, Patience};
use crate::strategies::{Named, Strategy};
use crate::workspace;

const PROVIDER: &str = "data_provider";

/// A server drains, commits and leaves its group within five seconds.
const PATIENCE: Patience = Patience {
    with_each: Duration::from_secs(7),
    with_the_user: Duration::from_secs(1),
};

/// What `cargo xtask demo` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// The strategy that scores.
    #[arg(long, value_name = "NAME", default_value = "actor", value_parser = Named)]
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
    /// Address of the broker inside the provider [default: 127.0.0.1:9092].
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "brokers")]
    listen: Option<String>,
    /// Address of the server's state queries [default: the strategy's port on 127.0.0.1].
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<String>,
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
    let needed = options.strategy.needs.split_first();
    let needed_program = needed.map(|(name, _)| Binary {
        package: name,
        name,
    });
    let wanted: Vec<_> = wanted.into_iter().chain(needed_program).collect();
    let paths = binaries::build(&root, &wanted, options.release)?;
    let [provider_path, server_path, needed_path @ ..] = &paths[..] else {
        unreachable!("a path for each program");
    };

    let mut provider = Command::new(provider_path);
    provider.current_dir(&root);
    provider.args(&options.strategy.provider_flags);
    pass_on(&mut provider, "--brokers", options.brokers.as_ref());
    pass_on(&mut provider, "--listen", options.listen.as_ref());
    pass_on(
        &mut provider,
        "--record-interval",
        options.record_interval.as_ref(),
    );
    pass_on(
        &mut provider,
        "--model-interval",
        options.model_interval.as_ref(),
    );
    let mut scorer = Command::new(server_path);
    scorer.current_dir(&root);
    scorer.args(&options.strategy.server_flags);
    pass_on(&mut scorer, "--http", options.http.as_ref());

    let before = needed
        .zip(needed_path.first())
        .map(|((name, flags), path)| {
            let mut command = Command::new(path);
            command.current_dir(&root).args(flags);
            (name.as_str(), command)
        });

    let mut names = vec![PROVIDER, server];
    names.extend(before.as_ref().map(|(name, _)| *name));
    let mut ensemble = Ensemble::new(Console::new("demo", &names), options.duration);
    ensemble.heed_signals()?;
    let halt = match play(&mut ensemble, before, provider, server, scorer) {
        Ok(()) => ensemble.watch(),
        Err(halt) => halt,
    };
    if matches!(halt, Halt::Asked) {
        // The terminal may be what went away.
        _ = ensemble.say("stopping");
    }
    let complaints = ensemble.stop(PATIENCE);
    if let Halt::Failed(error) = halt {
        return Err(error);
    }
    ensure!(complaints.is_empty(), complaints.join("; "));
    Ok(ExitCode::SUCCESS)
}

/// Gives a program the flag that the demo was given.
fn pass_on(command: &mut Command, flag: &str, value: Option<&String>) {
    if let Some(value) = value {
        command.args([flag, value]);
    }
}

/// Starts what the server needs, the provider, then the server on the provider's brokers, and says where to look.
fn play(
    ensemble: &mut Ensemble,
    before: Option<(&str, Command)>,
    provider: Command,
    server: &str,
    mut scorer: Command,
) -> Result<(), Halt> {
    if let Some((name, command)) = before {
        ensemble.start(name, command)?;
    }
    let ready = ensemble.start(PROVIDER, provider)?;
    if let Some(brokers) = ready.value("brokers") {
        scorer.args(["--brokers", brokers]);
    }
    let ready = ensemble.start(server, scorer)?;
    if let Some(address) = ready.value("http") {
        ensemble.say(&format!("the state of the server: {address}/state"))?;
        ensemble.say(&format!("try: curl {address}/state/wine"))?;
    }
    ensemble.say("Ctrl-C stops all of it")?;
    Ok(())
}
