//! Processes that are started one after the other, speak in turn, and end together.

mod process;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::process::Process;
pub(crate) use self::process::Ready;
use crate::console::{Console, Stream};

/// How often is looked whether a process has ended.
const TICK: Duration = Duration::from_millis(20);

/// Lines that wait to be shown; a process that writes more waits for the terminal.
const WAITING_LINES: usize = 256;

/// The status of a program that was asked to end, did so in order, and tells why: 128 and the number
/// of SIGTERM. Java does.
const ASKED: i32 = 143;

/// Processes that live and die together.
///
/// Each has a process group of its own. So a Ctrl-C in the terminal reaches this process alone,
/// which then stops the others once, in the order that lets each finish its work: those started
/// last use those started first.
///
/// One thread owns it all; the threads beside it only read pipes and wait for signals, and send
/// what they get here.
pub(crate) struct Ensemble {
    console: Console,
    processes: Vec<Process>,
    sender: SyncSender<Event>,
    events: Receiver<Event>,
    curtain: Option<Instant>,
    looked: Instant,
}

/// One of the processes of an ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member(usize);

/// What becomes of what a process writes.
pub(crate) enum Voice {
    /// Each line is shown behind its name.
    Shown,
    /// It is kept for who started it: the first lines of its output, and the last lines of both.
    Kept,
    /// It has the terminal to itself, but not the keyboard.
    Terminal,
    /// It goes into a file.
    Log(File),
}

/// What the threads beside the ensemble have to tell.
enum Event {
    Line {
        process: usize,
        stream: Stream,
        shown: bool,
        text: String,
    },
    Closed {
        process: usize,
    },
    Interrupted,
}

/// Why the ensemble plays no longer.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It was asked to: by a signal, or because its time is over.
    Asked,
    /// A process ended by itself, could not be started, or the terminal is gone.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Halt {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// How long a stop may take.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// How long each process may take to end.
    pub(crate) with_each: Duration,
    /// How long after the first request to halt another one is still the same: some who send a
    /// signal send it to a process and then to its group.
    pub(crate) with_the_user: Duration,
}

/// How a stop went.
pub(crate) struct Stopped {
    /// About each that had to be killed, or ended with another status than 0.
    pub(crate) complaints: Vec<String>,
    /// Whether a halt was asked for meanwhile.
    pub(crate) interrupted: bool,
}

impl Ensemble {
    /// An ensemble without processes, whose lines are shown on `console`, and which halts after
    /// `duration`.
    pub(crate) fn new(console: Console, duration: Option<Duration>) -> Self {
        let (sender, events) = sync_channel(WAITING_LINES);
        let now = Instant::now();
        let curtain = duration.and_then(|duration| now.checked_add(duration));
        Self {
            console,
            processes: Vec::new(),
            sender,
            events,
            curtain,
            looked: now,
        }
    }

    /// What a request to halt is to call; a second one makes [`stop`](Self::stop) kill.
    pub(crate) fn interrupter(&self) -> impl Fn() + Send + 'static {
        let sender = self.sender.clone();
        // Nobody listens any more when the ensemble is gone, which is what is asked for.
        move || _ = sender.send(Event::Interrupted)
    }

    /// Takes each signal that asks this program to end as a request to halt.
    pub(crate) fn heed_signals(&self) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("listen for signals")?;
        let interrupt = self.interrupter();
        thread::spawn(move || {
            for _ in &mut signals {
                interrupt();
            }
        });
        Ok(())
    }

    /// Shows a line of our own.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        self.console.say(text).context("write to the terminal")
    }

    /// Starts a process and shows what all of them write until this one says that it is ready.
    pub(crate) fn start(&mut self, name: &str, command: Command) -> Result<Ready, Halt> {
        let member = self.launch(name, command, Voice::Shown)?;
        self.ready(member, None)
    }

    /// Starts a process.
    pub(crate) fn launch(&mut self, name: &str, command: Command, voice: Voice) -> Result<Member> {
        let shown = matches!(voice, Voice::Shown);
        let (process, pipes) = Process::start(name, command, voice)?;
        let number = self.processes.len();
        self.processes.push(process);
        if let Some((output, errors)) = pipes {
            self.relay(number, Stream::Output, shown, output);
            self.relay(number, Stream::Error, shown, errors);
        }
        Ok(Member(number))
    }

    /// Waits until a process says that it is ready.
    pub(crate) fn ready(
        &mut self,
        member: Member,
        patience: Option<Duration>,
    ) -> Result<Ready, Halt> {
        let begun = Instant::now();
        loop {
            self.play(None)?;
            let process = &mut self.processes[member.0];
            if let Some(ready) = process.ready.take() {
                return Ok(ready);
            }
            if patience.is_some_and(|patience| begun.elapsed() > patience) {
                return Err(Halt::Failed(process.report("did not get ready")));
            }
        }
    }

    /// Waits for a process to end by itself, as it is meant to.
    pub(crate) fn finish(
        &mut self,
        member: Member,
        patience: Option<Duration>,
    ) -> Result<ExitStatus, Halt> {
        let begun = Instant::now();
        loop {
            let process = &self.processes[member.0];
            if let Some(status) = process.end {
                return Ok(status);
            }
            if patience.is_some_and(|patience| begun.elapsed() > patience) {
                return Err(Halt::Failed(process.report("did not come to an end")));
            }
            self.play(Some(member))?;
        }
    }

    /// Waits until a condition holds. `what` says of whom it is expected, and what.
    pub(crate) fn until(
        &mut self,
        what: &str,
        patience: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<(), Halt> {
        let begun = Instant::now();
        while !condition() {
            if begun.elapsed() > patience {
                let patience = humantime::format_duration(patience);
                return Err(Halt::Failed(anyhow!("{what}: not within {patience}")));
            }
            self.play(None)?;
        }
        Ok(())
    }

    /// Whether a process runs.
    pub(crate) fn runs(&self, member: Member) -> bool {
        self.processes[member.0].end.is_none()
    }

    /// The number by which the system knows a process.
    pub(crate) fn id(&self, member: Member) -> u32 {
        self.processes[member.0].id()
    }

    /// The first lines of a process's output, of one whose voice is kept.
    pub(crate) fn output(&self, member: Member) -> &[String] {
        &self.processes[member.0].output
    }

    /// What there is to say about a process: what happened to it, and its last lines.
    pub(crate) fn report(&self, member: Member, what: &str) -> anyhow::Error {
        self.processes[member.0].report(what)
    }

    /// Shows what the processes write until one of them ends or a halt is asked for.
    pub(crate) fn watch(&mut self) -> Halt {
        loop {
            if let Err(halt) = self.play(None) {
                return halt;
            }
        }
    }

    /// Stops the processes that still run, the last one first: each is asked (SIGTERM), and killed
    /// when the patience is over or a halt is asked for once more.
    ///
    /// Returns a complaint about each that had to be killed, or ended with another status than 0.
    pub(crate) fn stop(&mut self, patience: Patience) -> Vec<String> {
        self.stop_from(Member(0), patience).complaints
    }

    /// Stops a process and those started after it, as [`stop`](Self::stop) does.
    pub(crate) fn stop_from(&mut self, first: Member, patience: Patience) -> Stopped {
        let begun = Instant::now();
        let mut complaints = Vec::new();
        let mut interrupted = false;
        let mut hurried = false;
        for number in (first.0..self.processes.len()).rev() {
            if self.processes[number].end.is_some() {
                continue;
            }
            self.processes[number].send("TERM");
            let asked = Instant::now();
            let mut killed = false;
            while self.processes[number].end.is_none() {
                // The terminal may be gone; a stop goes on without it.
                if matches!(self.step(), Ok(Step::Interrupted)) {
                    interrupted = true;
                    hurried |= begun.elapsed() >= patience.with_the_user;
                }
                if !killed && (hurried || asked.elapsed() > patience.with_each) {
                    self.processes[number].send("KILL");
                    killed = true;
                }
            }
            let Process { name, end, .. } = &self.processes[number];
            match end {
                _ if killed => complaints.push(format!("{name} had to be killed")),
                Some(status) if !status.success() && status.code() != Some(ASKED) => {
                    complaints.push(format!("{name} ended with {status}"));
                }
                _ => {}
            }
        }
        Stopped {
            complaints,
            interrupted,
        }
    }

    /// One step, in which nothing may end but the process whose end is expected.
    fn play(&mut self, expected: Option<Member>) -> Result<(), Halt> {
        if self
            .curtain
            .is_some_and(|curtain| curtain <= Instant::now())
        {
            return Err(Halt::Asked);
        }
        match self.step()? {
            Step::Interrupted => Err(Halt::Asked),
            Step::Ended(number) if expected == Some(Member(number)) => Ok(()),
            Step::Ended(number) => Err(Halt::Failed(self.processes[number].obituary())),
            Step::Nothing => Ok(()),
        }
    }

    /// Shows what comes within a tick, and looks whether a process has ended.
    fn step(&mut self) -> Result<Step> {
        match self.events.recv_timeout(TICK) {
            Ok(Event::Line {
                process,
                stream,
                shown,
                text,
            }) => {
                let name = &self.processes[process].name;
                let relayed = match shown {
                    true => self.console.relay(process, name, stream, &text),
                    false => Ok(()),
                };
                self.processes[process].wrote(stream, text);
                relayed.context("write to the terminal")?;
            }
            Ok(Event::Closed { process }) => self.processes[process].closed_a_pipe(),
            Ok(Event::Interrupted) => return Ok(Step::Interrupted),
            // It holds a sender itself, so the other end is never gone.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if self.looked.elapsed() >= TICK {
            self.looked = Instant::now();
            for number in 0..self.processes.len() {
                if self.processes[number].has_come_to_its_end()? {
                    return Ok(Step::Ended(number));
                }
            }
        }
        Ok(Step::Nothing)
    }

    /// Passes on the lines of a pipe until it closes.
    fn relay(&self, process: usize, stream: Stream, shown: bool, pipe: impl Read + Send + 'static) {
        let events = self.sender.clone();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            // A pipe that fails is a pipe that closed: the end of its process tells why.
            while pipe
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                let text = String::from_utf8_lossy(&line)
                    .trim_end_matches(['\n', '\r'])
                    .to_owned();
                line.clear();
                if events
                    .send(Event::Line {
                        process,
                        stream,
                        shown,
                        text,
                    })
                    .is_err()
                {
                    return;
                }
            }
            _ = events.send(Event::Closed { process });
        });
    }
}

/// What happened in a step.
enum Step {
    Nothing,
    Interrupted,
    Ended(usize),
}

#[cfg(test)]
mod tests;
