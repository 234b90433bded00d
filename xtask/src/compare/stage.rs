//! Where contenders have their turns: a broker, a backlog, and the programs that measure.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::Context;

use super::contender::Contender;
use super::figures::{self, Latency, Throughput};
use super::machine::{cpu_seconds, peak_memory};
use super::report::{Parameters, thousands};
use crate::console::step;
use crate::ensemble::{Ensemble, Halt, Member, Patience, Voice};
use crate::kafka;

/// A server drains, commits and leaves its group within five seconds.
pub(super) const PATIENCE: Patience = Patience {
    with_each: Duration::from_secs(10),
    with_the_user: Duration::from_secs(1),
};

/// How long a program may take until it is ready.
const READY: Duration = Duration::from_secs(60);

/// What is asked of the slowest, in records per second; who is slower has failed.
const SLOWEST: u64 = 5_000;

/// Memory of the embedded broker, per record of the backlog: as many bytes as a record and its result
/// need, twice.
const MEMORY_PER_RECORD: u64 = 600;

/// The programs that take part.
pub(super) struct Programs {
    pub(super) broker: PathBuf,
    pub(super) provider: PathBuf,
    pub(super) meter: PathBuf,
    /// In the order of the contenders.
    pub(super) contenders: Vec<PathBuf>,
    /// What some contenders need: names with flags, and paths.
    pub(super) needed: Vec<(Vec<String>, PathBuf)>,
}

/// A broker with a backlog.
pub(super) struct Stage<'a> {
    ensemble: &'a mut Ensemble,
    programs: Programs,
    parameters: &'a Parameters,
    /// Where the records and models are.
    data: &'a Path,
    /// Where programs run.
    directory: &'a Path,
    brokers: String,
    /// The embedded broker.
    broker: Option<Member>,
    /// The broker's process, where it is known.
    broker_process: Option<u32>,
    /// What is of this turn, to be stopped at its end.
    turn: Option<Member>,
    topics: Topics,
    turns: usize,
}

/// Topics and groups of this comparison have names of their own.
struct Topics {
    prefix: String,
    /// Those that a broker which goes on is to delete at the end.
    written: Vec<String>,
}

/// The name of the load that everybody works off.
const BACKLOG: &str = "backlog";

impl Topics {
    /// The topics of a load, as flags.
    fn of_load(&self, load: &str) -> [String; 4] {
        let prefix = &self.prefix;
        [
            "--data-topic".to_owned(),
            format!("{prefix}-{load}-data"),
            "--models-topic".to_owned(),
            format!("{prefix}-{load}-models"),
        ]
    }

    /// The topics that a turn writes to, as flags.
    fn of_turn(&self, turn: &str) -> [String; 4] {
        let prefix = &self.prefix;
        [
            "--results-topic".to_owned(),
            format!("{prefix}-{turn}-results"),
            "--dead-letter-topic".to_owned(),
            format!("{prefix}-dead-letters"),
        ]
    }
}

impl<'a> Stage<'a> {
    /// A broker with a backlog, warmed up.
    ///
    /// # Errors
    /// The broker does not come up, or the backlog cannot be written.
    pub(super) fn open(
        ensemble: &'a mut Ensemble,
        programs: Programs,
        parameters: &'a Parameters,
        brokers: Option<&str>,
        data: &'a Path,
        directory: &'a Path,
    ) -> Result<Self, Halt> {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let topics = Topics {
            prefix: format!("compare-{:x}", since.as_millis()),
            written: Vec::new(),
        };
        let mut stage = Self {
            ensemble,
            programs,
            parameters,
            data,
            directory,
            brokers: String::new(),
            broker: None,
            broker_process: None,
            turn: None,
            topics,
            turns: 0,
        };
        stage.start_needed()?;
        match brokers {
            Some(brokers) => {
                stage.brokers = brokers.to_owned();
                stage.broker_process = kafka::process_at(brokers);
            }
            None => stage.start_broker()?,
        }
        stage.write_backlog()?;
        Ok(stage)
    }

    /// Starts what contenders need, at the root of the workspace, which the flags are relative to.
    fn start_needed(&mut self) -> Result<(), Halt> {
        let root = self.data.parent().unwrap_or(self.data);
        let needed = std::mem::take(&mut self.programs.needed);
        for (call, path) in &needed {
            let [name, flags @ ..] = &call[..] else {
                continue;
            };
            step("Starting", name);
            let mut command = self.program(path);
            command.current_dir(root).args(flags);
            let member = self.ensemble.launch(name, command, Voice::Kept)?;
            self.ensemble.ready(member, Some(READY))?;
        }
        Ok(())
    }

    fn start_broker(&mut self) -> Result<(), Halt> {
        step("Starting", "the embedded broker");
        let memory = self.parameters.backlog.saturating_mul(MEMORY_PER_RECORD) >> 20;
        let mut command = self.program(&self.programs.broker);
        command.args(["--listen", "127.0.0.1:0", "--retention", "0", "--memory"]);
        command.arg(memory.max(2048).to_string());
        let broker = self
            .ensemble
            .launch("embedded-kafka", command, Voice::Kept)?;
        let ready = self.ensemble.ready(broker, Some(READY))?;
        self.broker = Some(broker);
        self.broker_process = Some(self.ensemble.id(broker));
        ready
            .value("brokers")
            .context("the broker does not say where it is")?
            .clone_into(&mut self.brokers);
        Ok(())
    }

    fn write_backlog(&mut self) -> Result<(), Halt> {
        let backlog = self.parameters.backlog;
        step(
            "Writing",
            &format!("{} records to {}", thousands(backlog as f64), self.brokers),
        );
        // Late from the start, so it goes as fast as it can.
        let rate = u32::MAX.to_string();
        // It makes a results topic too: the one that the next turn uses and deletes.
        let turn = format!("turn-{}", self.turns + 1);
        let mut command = self.provider(BACKLOG, &turn, &rate);
        command.args(["--count", &backlog.to_string()]);
        let provider = self
            .ensemble
            .launch("data_provider", command, Voice::Kept)?;
        self.expect_end(provider, self.patience())
    }

    /// Has the floor pass through the backlog once, for nothing: a broker that has just been started
    /// does half of what it does later.
    pub(super) fn warm_up(&mut self, floor: &Contender, number: usize) -> Result<(), Halt> {
        step("Warming", "up the broker");
        match self.throughput(floor, number) {
            Err(Halt::Asked) => return Err(Halt::Asked),
            Err(Halt::Failed(error)) => step("Failed", &format!("{error:#}")),
            Ok(_) => {}
        }
        self.clean_up()?;
        Ok(())
    }

    /// Has a contender work off the backlog.
    pub(super) fn throughput(
        &mut self,
        contender: &Contender,
        number: usize,
    ) -> Result<Throughput, Halt> {
        let turn = self.next_turn();
        let backlog = self.parameters.backlog;
        let patience = self.patience();
        // First, so that it sees the first results come.
        let mut command = self.meter(&turn, patience);
        // Three million results are much to keep for nothing, and nobody writes more of them.
        command.args(["--backlog", &backlog.to_string(), "--delete"]);
        let meter = self.join("latency_meter", command)?;
        let server = self.join(
            &contender.binary,
            self.server(contender, number, BACKLOG, &turn),
        )?;
        self.ensemble.ready(server, Some(READY))?;
        let process = self.ensemble.id(server);
        let before = self.costs(process);
        self.expect_end(meter, patience + READY)?;
        let after = self.costs(process);
        let per_million = |before: Option<f64>, after: Option<f64>| {
            Some((after? - before?) * 1e6 / backlog as f64)
        };
        Ok(Throughput {
            records_per_second: figures::rate(self.ensemble.output(meter))?,
            cpu_seconds: per_million(before.0, after.0),
            broker_cpu_seconds: per_million(before.1, after.1),
            peak_memory_bytes: peak_memory(process),
        })
    }

    /// Has a contender keep up with the rate.
    pub(super) fn latency(
        &mut self,
        contender: &Contender,
        number: usize,
    ) -> Result<Latency, Halt> {
        let turn = self.next_turn();
        let Parameters {
            rate,
            seconds,
            warm_up_seconds,
            ..
        } = *self.parameters;
        let command = self.provider(&turn, &turn, &rate.to_string());
        let [_, results, ..] = self.topics.of_turn(&turn);
        self.topics.written.push(results);
        let provider = self.join("data_provider", command)?;
        self.ensemble.ready(provider, Some(READY))?;
        let command = self.server(contender, number, &turn, &turn);
        let server = self.join(&contender.binary, command)?;
        self.ensemble.ready(server, Some(READY))?;
        let patience = Duration::from_secs(u64::from(seconds) + u64::from(warm_up_seconds)) + READY;
        let mut command = self.meter(&turn, patience);
        command
            .args(["--seconds", &seconds.to_string()])
            .args(["--warm-up", &format!("{warm_up_seconds}s")]);
        let meter = self.join("latency_meter", command)?;
        self.expect_end(meter, patience + READY)?;
        Ok(figures::latency(self.ensemble.output(meter))?)
    }

    /// Stops what is left of a turn, and returns what there is to complain about.
    ///
    /// # Errors
    /// A halt was asked for meanwhile, or the broker has ended.
    pub(super) fn clean_up(&mut self) -> Result<Vec<String>, Halt> {
        let Some(first) = self.turn.take() else {
            return Ok(Vec::new());
        };
        let stopped = self.ensemble.stop_from(first, PATIENCE);
        if stopped.interrupted {
            return Err(Halt::Asked);
        }
        if let Some(broker) = self.broker
            && !self.ensemble.runs(broker)
        {
            let report = self.ensemble.report(broker, "has ended by itself");
            return Err(Halt::Failed(report));
        }
        Ok(stopped.complaints)
    }

    /// Deletes what is left of the topics from a broker that is not ours and goes on.
    pub(super) fn clear(&mut self) -> Result<(), Halt> {
        if self.broker.is_some() {
            return Ok(());
        }
        step("Deleting", "the topics of this comparison");
        for topic in std::mem::take(&mut self.topics.written) {
            let mut command = self.program(&self.programs.meter);
            command
                .args(["--brokers", &self.brokers])
                .args(["--results-topic", &topic])
                .args(["--backlog", "1", "--delete", "--timeout", "20s"]);
            let meter = self.join("latency_meter", command)?;
            let status = self.ensemble.finish(meter, Some(READY))?;
            if !status.success() {
                step("Failed", &format!("{topic} is still there"));
            }
        }
        Ok(())
    }

    /// The processor time that a process and the broker have taken so far, in seconds.
    fn costs(&self, process: u32) -> (Option<f64>, Option<f64>) {
        let broker = self.broker_process.and_then(cpu_seconds);
        (cpu_seconds(process), broker)
    }

    fn next_turn(&mut self) -> String {
        self.turns += 1;
        format!("turn-{}", self.turns)
    }

    /// How long a contender may take for the backlog.
    fn patience(&self) -> Duration {
        READY + Duration::from_secs(self.parameters.backlog / SLOWEST)
    }

    /// Starts a program that ends with the turn.
    fn join(&mut self, name: &str, command: Command) -> Result<Member, Halt> {
        let member = self.ensemble.launch(name, command, Voice::Kept)?;
        self.turn.get_or_insert(member);
        Ok(member)
    }

    /// Waits for a program to end by itself, with status 0.
    fn expect_end(&mut self, member: Member, patience: Duration) -> Result<(), Halt> {
        let status = self.ensemble.finish(member, Some(patience))?;
        if !status.success() {
            let what = format!("ended with {status}");
            return Err(Halt::Failed(self.ensemble.report(member, &what)));
        }
        Ok(())
    }

    fn provider(&mut self, load: &str, turn: &str, rate: &str) -> Command {
        let load = self.topics.of_load(load);
        self.topics
            .written
            .extend([load[1].clone(), load[3].clone()]);
        let mut command = self.client(&self.programs.provider);
        command
            .args(load)
            .args(self.topics.of_turn(turn))
            .args(["--rate", rate, "--quiet"])
            .args(["--publish", &self.parameters.model])
            // Once: a swap costs something, and not everybody at the same moment.
            .args(["--model-interval", "1000h"])
            .args(["--partitions", &self.parameters.partitions.to_string()])
            .arg("--data-dir")
            .arg(self.data);
        command
    }

    fn meter(&self, turn: &str, patience: Duration) -> Command {
        let mut command = self.client(&self.programs.meter);
        command
            .args(self.topics.of_turn(turn))
            .args(["--timeout", &format!("{}s", patience.as_secs())]);
        command
    }

    fn server(&self, contender: &Contender, number: usize, load: &str, turn: &str) -> Command {
        let mut command = self.client(&self.programs.contenders[number]);
        command
            .args(self.topics.of_load(load))
            .args(self.topics.of_turn(turn))
            .args([
                "--group",
                &format!("{}-{turn}", self.topics.prefix),
                "--quiet",
            ]);
        if !contender.floor {
            command.args(["--http", "127.0.0.1:0"]);
        }
        command.args(&contender.flags);
        command
    }

    /// A program that uses the broker.
    fn client(&self, path: &Path) -> Command {
        let mut command = self.program(path);
        command.args(["--brokers", &self.brokers]);
        command
    }

    /// A program that knows nothing but what it is told here.
    fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.current_dir(self.directory);
        for (name, _) in env::vars_os() {
            let known = name.to_string_lossy();
            if known.starts_with("MODEL_SERVING_")
                || known == "KAFKA_BROKERS"
                || known == "RUST_LOG"
            {
                command.env_remove(name);
            }
        }
        command
    }
}
