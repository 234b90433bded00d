//! `cargo xtask compare-latencies`: every strategy and the floor, one after the other, on the same
//! records and the same model.

mod contender;
mod figures;
mod machine;
mod report;
mod stage;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::contender::{Contender, Wanted};
use self::figures::{Summary, Turn};
use self::machine::Watch;
use self::report::{Failure, Parameters, Report, Standing, thousands};
use self::stage::{Programs, Stage};
use crate::binaries::{self, Binary};
use crate::console::{Console, step};
use crate::ensemble::{Ensemble, Halt};
use crate::{strategies, workspace};

/// What `cargo xtask compare-latencies` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Kafka brokers to use [default: an embedded broker of its own].
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
    /// Strategies to compare, with flags for their servers, such as
    /// 'actor,keyed,keyed:--workers 2' [default: all].
    #[arg(long, value_name = "NAME[:FLAGS],...", value_delimiter = ',')]
    strategies: Vec<Wanted>,
    /// How often each has its turn.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Records that wait when throughput is measured; to be much more than any queue takes.
    #[arg(long, value_name = "N", default_value = "3000000", value_parser = clap::value_parser!(u64).range(1000..))]
    backlog: u64,
    /// Records per second when latency is measured, on schedule whatever becomes of them.
    #[arg(long, value_name = "PER-SECOND", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds for which latency is measured.
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Seconds before that, which do not count.
    #[arg(long, value_name = "N", default_value = "3")]
    warm_up: u32,
    /// Partitions of the topics for records and results.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: u32,
    /// The model of data/models.toml to score with.
    #[arg(long, value_name = "NAME", default_value = "winequality-random-forest")]
    model: String,
    /// Where to write the figures as JSON; `-` is the output, and the table goes to the error output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Compares.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = workspace::root();
    let contenders = contender::contenders(&strategies::all()?, &options.strategies)?;
    let parameters = options.parameters();
    if let Some(path) = options
        .json
        .as_deref()
        .filter(|path| *path != Path::new("-"))
    {
        // Now rather than after ten minutes.
        File::create(path).with_context(|| format!("create {}", path.display()))?;
    }
    let programs = build(&root, &contenders)?;
    // Servers may write files where they run.
    let directory = tempfile::tempdir().context("create a directory for the servers")?;
    let mut ensemble = Ensemble::new(Console::new("compare", &[]), None);
    ensemble.heed_signals()?;
    let watch = Watch::begin();
    let mut outcome = Outcome::of(&contenders);
    let played = Stage::open(
        &mut ensemble,
        programs,
        &parameters,
        options.brokers.as_deref(),
        &root.join("data"),
        directory.path(),
    )
    .and_then(|mut stage| {
        stage.warm_up(&contenders[0], 0)?;
        outcome.play(&mut stage, &contenders, &parameters)?;
        stage.clear()
    });
    let machine = watch.machine();
    let complaints = ensemble.stop(stage::PATIENCE);
    match played {
        Ok(()) => {}
        Err(Halt::Asked) => anyhow::bail!("stopped before the end"),
        Err(Halt::Failed(error)) => return Err(error),
    }
    ensure!(complaints.is_empty(), complaints.join("; "));

    let report = outcome.report(&contenders, parameters.clone(), machine);
    show(&report, options.json.as_deref())?;
    Ok(match report.failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

impl Options {
    fn parameters(&self) -> Parameters {
        let broker = match &self.brokers {
            Some(brokers) => brokers.clone(),
            None => "embedded".to_owned(),
        };
        Parameters {
            broker,
            model: self.model.clone(),
            partitions: self.partitions,
            backlog: self.backlog,
            rate: self.rate,
            seconds: self.seconds,
            warm_up_seconds: self.warm_up,
            rounds: self.rounds as usize,
        }
    }
}

/// Builds all programs in one run of cargo.
fn build(root: &Path, contenders: &[Contender]) -> Result<Programs> {
    let client = |name| Binary {
        package: "client",
        name,
    };
    let mut wanted = vec![
        Binary {
            package: "embedded-kafka",
            name: "embedded-kafka",
        },
        client("data_provider"),
        client("latency_meter"),
    ];
    wanted.extend(contenders.iter().map(Contender::program));
    // Several may need the same one, which then runs once.
    let mut needs: Vec<&Vec<String>> = Vec::new();
    for contender in contenders {
        if !contender.needs.is_empty() && !needs.contains(&&contender.needs) {
            needs.push(&contender.needs);
        }
    }
    wanted.extend(needs.iter().map(|needed| Binary {
        package: &needed[0],
        name: &needed[0],
    }));
    let mut paths = binaries::build(root, &wanted, true)?.into_iter();
    let mut next = || paths.next().context("cargo built too little");
    Ok(Programs {
        broker: next()?,
        provider: next()?,
        meter: next()?,
        contenders: contenders.iter().map(|_| next()).collect::<Result<_>>()?,
        needed: needs
            .into_iter()
            .map(|needed| Ok((needed.clone(), next()?)))
            .collect::<Result<_>>()?,
    })
}

/// What came of it so far.
struct Outcome {
    /// Per contender, a turn for each round.
    turns: Vec<Vec<Turn>>,
    failures: Vec<Failure>,
}

impl Outcome {
    fn of(contenders: &[Contender]) -> Self {
        Self {
            turns: vec![Vec::new(); contenders.len()],
            failures: Vec::new(),
        }
    }

    /// Lets everybody have a turn in every round.
    fn play(
        &mut self,
        stage: &mut Stage<'_>,
        contenders: &[Contender],
        parameters: &Parameters,
    ) -> Result<(), Halt> {
        let all = parameters.rounds * contenders.len();
        let mut count = 0;
        for round in 0..parameters.rounds {
            for number in contender::order(contenders.len(), round) {
                count += 1;
                let contender = &contenders[number];
                let said = format!("{count}/{all} {}", contender.label);
                step("Measuring", &said);
                let turn = self.turn(stage, contender, number, round + 1)?;
                step("Measured", &format!("{said}: {}", describe(&turn)));
                self.turns[number].push(turn);
            }
        }
        Ok(())
    }

    /// The turn of a contender. What fails in it is noted.
    fn turn(
        &mut self,
        stage: &mut Stage<'_>,
        contender: &Contender,
        number: usize,
        round: usize,
    ) -> Result<Turn, Halt> {
        let measured = stage.throughput(contender, number);
        let throughput = self.unless_failed(stage, contender, round, "throughput", measured)?;
        let measured = stage.latency(contender, number);
        let latency = self.unless_failed(stage, contender, round, "latency", measured)?;
        Ok(Turn {
            throughput,
            latency,
        })
    }

    /// What was measured, if it was. A failure of the broker ends everything.
    fn unless_failed<T>(
        &mut self,
        stage: &mut Stage<'_>,
        contender: &Contender,
        round: usize,
        half: &'static str,
        measured: Result<T, Halt>,
    ) -> Result<Option<T>, Halt> {
        let (value, failure) = match measured {
            Ok(value) => (Some(value), None),
            Err(Halt::Asked) => return Err(Halt::Asked),
            Err(Halt::Failed(error)) => (None, Some(format!("{error:#}"))),
        };
        let complaints = stage.clean_up()?;
        // One that is stopped after a failure may complain about it once more.
        let complaints = complaints.into_iter().filter(|_| failure.is_none());
        for what in failure.iter().cloned().chain(complaints) {
            step("Failed", &what);
            self.failures.push(Failure {
                name: contender.label.clone(),
                round,
                half,
                what,
            });
        }
        Ok(value)
    }

    fn report(
        self,
        contenders: &[Contender],
        parameters: Parameters,
        machine: machine::Machine,
    ) -> Report {
        let floor = contenders.iter().position(|contender| contender.floor);
        let floor = floor.map_or(&[][..], |floor| &self.turns[floor]);
        let standing = |(contender, turns): (&Contender, &Vec<Turn>)| Standing {
            name: contender.label.clone(),
            median: Summary::of(turns, floor),
            rounds: turns.clone(),
        };
        Report {
            parameters,
            machine,
            contenders: contenders.iter().zip(&self.turns).map(standing).collect(),
            failures: self.failures,
        }
    }
}

/// A turn in a few words.
fn describe(turn: &Turn) -> String {
    let throughput = turn.throughput.map_or_else(
        || "no throughput".to_owned(),
        |throughput| format!("{} records/s", thousands(throughput.records_per_second)),
    );
    let latency = turn.latency.map_or_else(
        || "no latency".to_owned(),
        |latency| {
            format!(
                "p50 {} us, p99 {} us",
                thousands(latency.p50),
                thousands(latency.p99)
            )
        },
    );
    format!("{throughput}, {latency}")
}

/// Shows the table, and writes the figures where they were asked for.
fn show(report: &Report, json: Option<&Path>) -> Result<()> {
    let text = report.text();
    match json {
        Some(path) if path == Path::new("-") => {
            eprint!("\n{text}");
            println!("{}", report.json()?);
        }
        Some(path) => {
            print!("{text}");
            fs::write(path, report.json()? + "\n")
                .with_context(|| format!("write {}", path.display()))?;
        }
        None => print!("{text}"),
    }
    Ok(())
}
