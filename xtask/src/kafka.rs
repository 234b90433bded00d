//! `cargo xtask kafka`: Apache Kafka on this machine, one node in KRaft mode, out of Maven's jars.

mod address;
mod installation;
mod node;
mod probe;
mod running;

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

pub(crate) use self::address::Address;
pub(crate) use self::installation::{Installation, VERSION};
pub(crate) use self::node::{END, Node, START};
pub(crate) use self::probe::answers;
use self::running::{Found, Running};
use crate::console::step;
use crate::{signal, workspace};

/// How often is looked whether something has come true.
const TICK: Duration = Duration::from_millis(100);

const DEFAULT_ADDRESS: &str = "127.0.0.1:9092";

/// What `cargo xtask kafka` takes.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start it, fetching and formatting it first where that was not done yet.
    Start {
        /// Address of the broker; port 0 takes any free one [default: 127.0.0.1:9092].
        #[arg(long, value_name = "HOST:PORT")]
        listen: Option<Address>,
    },
    /// Stop it; what it stores stays.
    Stop,
    /// Tell whether it runs; exit status 1 if it does not.
    Status,
    /// Fetch its jars, and no more.
    Fetch,
}

/// Does what was asked for.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let home = home()?;
    match &options.action {
        Action::Start { listen } => start(&home, listen.as_ref()),
        Action::Stop => stop(&home),
        Action::Status => status(&home),
        Action::Fetch => {
            Installation::ensure(&home)?;
            step(
                "Ready",
                &format!("Apache Kafka {VERSION} in {}", home.display()),
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The directory of everything that has to do with Apache Kafka.
pub(crate) fn home() -> Result<PathBuf> {
    Ok(workspace::target_directory(&workspace::root())?.join("apache-kafka"))
}

/// The process of the node that `cargo xtask kafka start` has started at this address, if it runs.
pub(crate) fn process_at(address: &str) -> Option<u32> {
    match Running::find(&home().ok()?).ok()? {
        Found::Alive(running) if running.address == address => Some(running.pid),
        _ => None,
    }
}

fn start(home: &Path, listen: Option<&Address>) -> Result<ExitCode> {
    let _lock = lock(home)?;
    match Running::find(home)? {
        Found::Alive(running) => return join(&running, listen),
        Found::Dead(running) => {
            let pid = running.pid;
            step(
                "Found",
                &format!("what a run left behind that crashed (pid {pid})"),
            );
            Running::forget(home)?;
        }
        Found::Nothing => {}
    }
    let default = || DEFAULT_ADDRESS.parse();
    let address = listen.cloned().map_or_else(default, Ok)?.claim()?;
    let installation = Installation::ensure(home)?;
    let node = Node::prepare(&installation, home, &address)?;
    step("Starting", &format!("Apache Kafka {VERSION} on {address}"));
    let asked = heed_signals()?;
    let log = node.create_log()?;
    let mut child = node
        .command()
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share a log")?)
        .stderr(log)
        // A Ctrl-C in the terminal, now or later, is not meant for it.
        .process_group(0)
        .spawn()
        .context("start java")?;
    let running = Running {
        pid: child.id(),
        address: address.to_string(),
        version: VERSION.to_owned(),
        since: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
    };
    let outcome = running
        .save(home)
        .and_then(|()| wait_until_it_answers(&mut child, &running.address, &asked));
    let error = match outcome {
        Ok(true) => {
            ready(&running);
            return Ok(ExitCode::SUCCESS);
        }
        Ok(false) => anyhow!("stopped before it answered"),
        Err(error) => anyhow!("{error:#}; {}", node.last_words()),
    };
    signal::send_to_group("KILL", running.pid);
    child.wait().context("wait for what was killed")?;
    Running::forget(home)?;
    Err(error)
}

/// Finds that it runs already.
fn join(running: &Running, listen: Option<&Address>) -> Result<ExitCode> {
    let Running {
        pid,
        address,
        version,
        since,
    } = running;
    let other = listen.is_some_and(|listen| listen.to_string() != *address);
    ensure!(
        !other,
        "Apache Kafka runs already, on {address}: stop it first (cargo xtask kafka stop)"
    );
    step(
        "Running",
        &format!("already since {since}: Apache Kafka {version}, pid {pid}"),
    );
    ensure!(
        answers(address),
        "it does not answer on {address}: stop it (cargo xtask kafka stop) and start it again"
    );
    ready(running);
    Ok(ExitCode::SUCCESS)
}

fn stop(home: &Path) -> Result<ExitCode> {
    let _lock = lock(home)?;
    let running = match Running::find(home)? {
        Found::Alive(running) => running,
        Found::Dead(_) | Found::Nothing => {
            Running::forget(home)?;
            step("Stopped", "already: Apache Kafka does not run");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let Running { pid, address, .. } = &running;
    step("Stopping", &format!("Apache Kafka on {address}, pid {pid}"));
    signal::send_to_group("TERM", *pid);
    let ended = ends(home, END)?;
    if !ended {
        signal::send_to_group("KILL", *pid);
        ensure!(ends(home, END)?, "the process {pid} cannot be killed");
    }
    Running::forget(home)?;
    ensure!(
        ended,
        "it did not end within {} s and had to be killed",
        END.as_secs()
    );
    step("Stopped", "");
    Ok(ExitCode::SUCCESS)
}

fn status(home: &Path) -> Result<ExitCode> {
    let running = match Running::find(home)? {
        Found::Alive(running) => running,
        Found::Dead(running) => {
            let Running { pid, since, .. } = running;
            println!("Apache Kafka does not run; it crashed (pid {pid}, started {since})");
            return Ok(ExitCode::FAILURE);
        }
        Found::Nothing => {
            println!("Apache Kafka does not run");
            return Ok(ExitCode::FAILURE);
        }
    };
    let Running {
        pid,
        address,
        version,
        since,
    } = running;
    println!("address  {address}\npid      {pid}\nsince    {since}\nversion  {version}");
    if !answers(&address) {
        println!("It does not answer.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps others from starting and stopping it meanwhile.
fn lock(home: &Path) -> Result<File> {
    let path = home.join("lock");
    let file = fs::create_dir_all(home)
        .and_then(|()| File::create(&path))
        .with_context(|| format!("create {}", path.display()))?;
    file.lock()
        .with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// Whether the node of `home` ends in time.
fn ends(home: &Path, patience: Duration) -> Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if !matches!(Running::find(home)?, Found::Alive(_)) {
            return Ok(true);
        }
        thread::sleep(TICK);
    }
    Ok(false)
}

/// From now on, says so when a signal asks this program to end, instead of ending it.
fn heed_signals() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&asked)).context("listen for signals")?;
    }
    Ok(asked)
}

/// Whether it came to answer; else this program is asked to end.
fn wait_until_it_answers(child: &mut Child, address: &str, asked: &AtomicBool) -> Result<bool> {
    let begun = Instant::now();
    while !answers(address) {
        if let Some(status) = child.try_wait().context("wait for the broker")? {
            bail!("the broker ended with {status}");
        }
        if asked.load(Ordering::Relaxed) {
            return Ok(false);
        }
        ensure!(
            begun.elapsed() < START,
            "the broker did not answer within {} s",
            START.as_secs()
        );
        thread::sleep(TICK);
    }
    Ok(true)
}

/// Says that it serves, as every program here does.
fn ready(running: &Running) {
    eprintln!(
        "ready apache-kafka brokers={} pid={}",
        running.address, running.pid
    );
}
