//! The broker as a program of its own.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use embedded_kafka::{Broker, Options};
use tokio::signal::unix::{SignalKind, signal};

/// A Kafka broker for one machine, in memory. Nothing outlives it.
#[derive(Debug, Parser)]
#[command(name = "embedded-kafka", version)]
struct Flags {
    /// Address to listen on; port 0 takes any free port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    listen: String,
    /// Address told to clients, if they cannot reach the one listened on
    #[arg(long, value_name = "HOST[:PORT]")]
    advertise: Option<String>,
    /// Partitions of a topic that is created without saying how many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Do not create topics that clients merely mention
    #[arg(long)]
    no_auto_create: bool,
    /// Memory in MiB for records, and as much again for topics with unlimited retention
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u64,
    /// Hours that records are kept; 0 keeps them until memory is short
    #[arg(long, value_name = "HOURS", default_value_t = 168)]
    retention: u64,
}

impl Flags {
    fn options(self) -> Options {
        Options {
            listen: self.listen,
            advertise: self.advertise,
            partitions: self.partitions,
            auto_create_topics: !self.no_auto_create,
            memory: self.memory.saturating_mul(1 << 20),
            unlimited_memory: self.memory.saturating_mul(1 << 20),
            retention: (self.retention > 0)
                .then(|| Duration::from_secs(self.retention.saturating_mul(3600))),
            ..Options::default()
        }
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Complaining on a standard error that is closed would panic.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .init();
    match serve(flags.options()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before the line that says ready, so that no signal is missed after it.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let broker = Broker::start(options)?;
        eprintln!("ready embedded-kafka brokers={}", broker.bootstrap());
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        broker.stop();
        Ok(())
    })
}
