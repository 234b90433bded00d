use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use configuration::InferenceServer;
use tokio::signal::unix::{SignalKind, signal};

use crate::{Error, Server};

/// How long the requests under way may take after a signal.
const GRACE: Duration = Duration::from_millis(4_300);

/// The `main` of the program: reads the settings, serves until SIGINT or SIGTERM, and says how it
/// went. Exit status 0 after a signal, 1 on failure, 2 on wrong usage.
#[must_use]
pub fn launch() -> ExitCode {
    let command = clap::Command::new("inference-server")
        .about("Serves the models of a directory over HTTP and gRPC, as TensorFlow Serving does")
        .version(env!("CARGO_PKG_VERSION"));
    let settings: InferenceServer = configuration::load(command);
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Complaining on a standard error that is closed would panic.
        .log_internal_errors(false)
        .init();
    match serve(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

fn serve(settings: &InferenceServer) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Before the models are loaded, so that no signal is missed.
    let (mut interrupt, mut terminate) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let server = Server::start(settings)?;
    let (http, grpc) = (server.http(), server.grpc());
    let _ = writeln!(
        std::io::stderr(),
        "ready inference-server http=http://{http} grpc=grpc://{grpc}"
    );
    runtime.block_on(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    if !server.stop(GRACE) {
        tracing::warn!("not every request was answered in time");
    }
    Ok(())
}
