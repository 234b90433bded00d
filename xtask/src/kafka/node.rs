//! One node of Apache Kafka that is broker and controller, and its directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, io};

use anyhow::{Context, Result, ensure};

use super::address::Address;
use super::installation::Installation;
use super::running::Running;
use crate::console::step;

/// How long a broker may take until it answers; on a quiet machine it takes three seconds.
pub(crate) const START: Duration = Duration::from_secs(120);

/// How long a broker may take to end in order.
pub(crate) const END: Duration = Duration::from_secs(30);

/// How many of the last lines of its log are shown.
const LAST_LINES: usize = 30;

const PROPERTIES: &str = "server.properties";
const DATA: &str = "data";

/// A node that can be started: its directory has its settings and its formatted data.
pub(crate) struct Node<'a> {
    installation: &'a Installation,
    directory: PathBuf,
}

impl<'a> Node<'a> {
    /// Prepares a node in `directory` that listens on `address`. What it had stored there before
    /// stays.
    ///
    /// # Errors
    /// There is no free port for the controller; the data cannot be formatted.
    pub(crate) fn prepare(
        installation: &'a Installation,
        directory: &Path,
        address: &Address,
    ) -> Result<Self> {
        let node = Self {
            installation,
            directory: directory.to_owned(),
        };
        let controller = Address::free()?;
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(directory.join(PROPERTIES), properties(address, &controller)))
            .with_context(|| format!("write {PROPERTIES} in {}", directory.display()))?;
        if !directory.join(DATA).join("meta.properties").is_file() {
            node.format()?;
        }
        Ok(node)
    }

    /// The command that starts it. What it writes belongs into its [log](Self::create_log).
    pub(crate) fn command(&self) -> Command {
        let heap = env::var("KAFKA_HEAP_OPTS").unwrap_or_else(|_| "-Xmx1g".to_owned());
        let mut command = self.java("warn");
        command
            .args(heap.split_whitespace())
            // What Apache Kafka's own scripts give the virtual machine.
            .args(["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"])
            .arg(Running::mark(&self.directory))
            .args(["kafka.Kafka", PROPERTIES]);
        command
    }

    /// Where it logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("broker.log")
    }

    /// Makes a new log.
    pub(crate) fn create_log(&self) -> Result<File> {
        let log = self.log();
        File::create(&log).with_context(|| format!("create {}", log.display()))
    }

    /// Where the log is, and how it ends, for the report of a failure.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        let mut words = format!("the last lines of its log, {}:", log.display());
        for line in last {
            words.push_str("\n    ");
            words.push_str(line);
        }
        words
    }

    fn format(&self) -> Result<()> {
        step(
            "Formatting",
            &self.directory.join(DATA).display().to_string(),
        );
        // What is there is what an attempt that failed has left.
        match fs::remove_dir_all(self.directory.join(DATA)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context("remove data that was not formatted to its end");
            }
            _ => {}
        }
        let cluster = self.storage_tool(&["random-uuid"])?;
        let cluster = cluster.lines().last().unwrap_or_default().trim();
        self.storage_tool(&["format", "-t", cluster, "-c", PROPERTIES])?;
        Ok(())
    }

    /// Runs the tool that formats, and returns what it says.
    fn storage_tool(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .java("warn")
            .arg("kafka.tools.StorageTool")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("start java")?;
        ensure!(
            output.status.success(),
            "Apache Kafka's storage tool ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn java(&self, log_level: &str) -> Command {
        let mut command = self.installation.java(log_level);
        command.current_dir(&self.directory);
        command
    }
}

/// The settings of a node. Its data is where it runs, so that no path has to be written here, in a
/// format that knows neither colons nor most letters.
///
/// With them the client suite of the embedded broker passes: limits are the defaults, topics are
/// created when they are mentioned, and a group does not wait for its second member. An index takes
/// 1 MiB instead of ten: it is allotted to each partition twice, and the holes in its file are only
/// free of charge where the file system knows holes. It is enough for half a gigabyte, at which a
/// segment is then full.
fn properties(broker: &Address, controller: &Address) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=BROKER://{broker},CONTROLLER://{controller}
advertised.listeners=BROKER://{broker}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
log.dirs={DATA}
log.index.size.max.bytes=1048576
auto.create.topics.enable=true
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_the_address_that_was_asked_for() {
        let broker = "127.0.0.1:19092".parse().unwrap();
        let controller = "127.0.0.1:40001".parse().unwrap();
        let properties = properties(&broker, &controller);
        let value = |key: &str| {
            properties
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        assert_eq!(
            value("advertised.listeners"),
            Some("BROKER://127.0.0.1:19092")
        );
        assert_eq!(value("controller.quorum.voters"), Some("1@127.0.0.1:40001"));
        assert_eq!(value("log.dirs"), Some("data"));
    }
}
