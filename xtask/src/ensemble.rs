//! Processes that are started one after the other, speak in turn, and end together.

mod process;

use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::process::Process;
pub(crate) use self::process::Ready;
use crate::console::{Console, Stream};

/// How often is looked whether a process has ended.
const TICK: Duration = Duration::from_millis(20);

/// Lines that wait to be shown; a process that writes more waits for the terminal.
const WAITING_LINES: usize = 256;

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

/// What the threads beside the ensemble have to tell.
enum Event {
    Line {
        process: usize,
        stream: Stream,
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

    /// Shows a line of our own.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        self.console.say(text).context("write to the terminal")
    }

    /// Starts a process and shows what all of them write until this one says that it is ready.
    pub(crate) fn start(&mut self, name: &str, command: Command) -> Result<Ready, Halt> {
        let (process, output, errors) = Process::start(name, command)?;
        let number = self.processes.len();
        self.processes.push(process);
        self.relay(number, Stream::Output, output);
        self.relay(number, Stream::Error, errors);
        loop {
            self.play()?;
            if let Some(ready) = self.processes[number].ready.take() {
                return Ok(ready);
            }
        }
    }

    /// Shows what the processes write until one of them ends or a halt is asked for.
    pub(crate) fn watch(&mut self) -> Halt {
        loop {
            if let Err(halt) = self.play() {
                return halt;
            }
        }
    }

    /// Stops the processes that still run, the last one first: each is asked (SIGTERM), and killed
    /// when the patience is over or a halt is asked for once more.
    ///
    /// Returns a complaint about each that had to be killed, or ended with another status than 0.
    pub(crate) fn stop(&mut self, patience: Patience) -> Vec<String> {
        let begun = Instant::now();
        let mut complaints = Vec::new();
        let mut hurried = false;
        for number in (0..self.processes.len()).rev() {
            if self.processes[number].end.is_some() {
                continue;
            }
            self.processes[number].send("TERM");
            let asked = Instant::now();
            let mut killed = false;
            while self.processes[number].end.is_none() {
                // The terminal may be gone; a stop goes on without it.
                hurried |= matches!(self.step(), Ok(Step::Interrupted))
                    && begun.elapsed() >= patience.with_the_user;
                if !killed && (hurried || asked.elapsed() > patience.with_each) {
                    self.processes[number].send("KILL");
                    killed = true;
                }
            }
            let Process { name, end, .. } = &self.processes[number];
            match end {
                _ if killed => complaints.push(format!("{name} had to be killed")),
                Some(status) if !status.success() => {
                    complaints.push(format!("{name} ended with {status}"));
                }
                _ => {}
            }
        }
        complaints
    }

    /// One step, in which nothing may end.
    fn play(&mut self) -> Result<(), Halt> {
        if self
            .curtain
            .is_some_and(|curtain| curtain <= Instant::now())
        {
            return Err(Halt::Asked);
        }
        match self.step()? {
            Step::Interrupted => Err(Halt::Asked),
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
                text,
            }) => {
                let name = &self.processes[process].name;
                let shown = self.console.relay(process, name, stream, &text);
                self.processes[process].wrote(stream, text);
                shown.context("write to the terminal")?;
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
    fn relay(&self, process: usize, stream: Stream, pipe: impl Read + Send + 'static) {
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
mod tests {
    use std::fs::File;

    use super::*;
    use crate::console::tests::Written;

    /// Long enough for a shell on a busy machine.
    const DEADLINE: Duration = Duration::from_secs(60);
    const PATIENT: Patience = Patience {
        with_each: DEADLINE,
        with_the_user: DEADLINE,
    };

    /// Runs until it is asked to end, and then says so. What it waits for is a process of its own.
    const WILLING: &str =
        "trap 'echo done; exit 0' TERM; tail -f /dev/null & echo ready a port=1 >&2; wait";
    /// Does not end when asked.
    const STUBBORN: &str = "trap '' TERM; echo ready b >&2; tail -f /dev/null";

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// An ensemble that halts at the deadline, and what it shows.
    fn ensemble() -> (Ensemble, Written) {
        let written = Written::default();
        (
            Ensemble::new(written.console(&["one", "two"]), Some(DEADLINE)),
            written,
        )
    }

    fn reason(halt: Halt) -> String {
        match halt {
            Halt::Asked => "asked".to_owned(),
            Halt::Failed(error) => error.to_string(),
        }
    }

    #[test]
    fn a_process_is_ready_when_it_says_so_on_its_error_output() {
        let (mut ensemble, written) = ensemble();
        let script = "trap 'exit 0' TERM; tail -f /dev/null & \
             echo ready on stdout; echo getting ready >&2; \
             echo ready server brokers=127.0.0.1:9 http=http://127.0.0.1:5 >&2; wait";
        let ready = ensemble.start("one", shell(script)).unwrap();
        assert_eq!(ready.value("brokers"), Some("127.0.0.1:9"));
        assert_eq!(ready.value("http"), Some("http://127.0.0.1:5"));
        assert_eq!(ready.value("broker"), None);
        assert!(
            written.text().contains("one  | getting ready\n"),
            "{}",
            written.text()
        );
        assert_eq!(ensemble.stop(PATIENT), [""; 0]);
    }

    #[test]
    fn all_are_asked_to_end_the_last_one_first() {
        let (mut ensemble, written) = ensemble();
        ensemble.start("one", shell(WILLING)).unwrap();
        ensemble.start("two", shell(WILLING)).unwrap();
        assert_eq!(ensemble.stop(PATIENT), [""; 0]);
        assert!(
            written.text().ends_with("two  | done\none  | done\n"),
            "{}",
            written.text()
        );
    }

    #[test]
    fn one_that_does_not_end_when_asked_is_killed() {
        let (mut ensemble, _) = ensemble();
        ensemble.start("two", shell(STUBBORN)).unwrap();
        let patience = Patience {
            with_each: Duration::from_millis(50),
            ..PATIENT
        };
        assert_eq!(ensemble.stop(patience), ["two had to be killed"]);
    }

    #[test]
    fn a_request_to_halt_ends_the_watch_and_a_second_one_kills() {
        let (mut ensemble, _) = ensemble();
        ensemble.start("two", shell(STUBBORN)).unwrap();
        let interrupt = ensemble.interrupter();
        interrupt();
        assert_eq!(reason(ensemble.watch()), "asked");
        interrupt();
        let patience = Patience {
            with_the_user: Duration::ZERO,
            ..PATIENT
        };
        assert_eq!(ensemble.stop(patience), ["two had to be killed"]);
    }

    #[test]
    fn a_request_to_halt_that_comes_twice_at_once_is_one() {
        let (mut ensemble, _) = ensemble();
        ensemble.start("one", shell(WILLING)).unwrap();
        let interrupt = ensemble.interrupter();
        interrupt();
        interrupt();
        assert_eq!(reason(ensemble.watch()), "asked");
        assert_eq!(ensemble.stop(PATIENT), [""; 0]);
    }

    #[test]
    fn a_request_to_halt_is_heard_while_a_process_gets_ready() {
        let (mut ensemble, _) = ensemble();
        ensemble.interrupter()();
        let halt = ensemble
            .start("one", shell("tail -f /dev/null"))
            .unwrap_err();
        assert_eq!(reason(halt), "asked");
    }

    #[test]
    fn the_time_that_is_over_ends_the_watch() {
        let written = Written::default();
        let mut ensemble = Ensemble::new(written.console(&[]), Some(Duration::from_millis(1)));
        assert_eq!(reason(ensemble.watch()), "asked");
    }

    #[test]
    fn an_end_with_a_failure_while_stopping_is_reported() {
        let (mut ensemble, _) = ensemble();
        let script = "trap 'exit 3' TERM; tail -f /dev/null & echo ready >&2; wait";
        ensemble.start("one", shell(script)).unwrap();
        assert_eq!(ensemble.stop(PATIENT), ["one ended with exit status: 3"]);
    }

    #[test]
    fn one_that_ends_by_itself_is_reported_with_its_status_and_last_lines() {
        let (mut ensemble, written) = ensemble();
        ensemble.start("one", shell(WILLING)).unwrap();
        let script = "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo line $i >&2; done; \
             echo ready >&2; exit 7";
        let report = match ensemble.start("two", shell(script)) {
            Ok(_) => reason(ensemble.watch()),
            Err(halt) => reason(halt),
        };
        let lines: String = (12..=20).map(|line| format!("    line {line}\n")).collect();
        assert_eq!(
            report,
            format!("two ended by itself with exit status: 7; its last lines:\n{lines}    ready")
        );
        assert_eq!(ensemble.stop(PATIENT), [""; 0]);
        assert!(
            written.text().ends_with("one  | done\n"),
            "{}",
            written.text()
        );
    }

    #[test]
    fn one_that_ends_before_it_is_ready_is_reported_and_leaves_the_others_to_be_stopped() {
        let (mut ensemble, _) = ensemble();
        ensemble.start("one", shell(WILLING)).unwrap();
        let script = "echo 'error: port 5500 is taken' >&2; exit 1";
        let halt = ensemble.start("two", shell(script)).unwrap_err();
        assert_eq!(
            reason(halt),
            "two ended by itself with exit status: 1; its last lines:\n    \
             error: port 5500 is taken"
        );
        assert_eq!(ensemble.stop(PATIENT), [""; 0]);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let (mut ensemble, _) = ensemble();
        let halt = ensemble
            .start("one", Command::new("/no/such/program"))
            .unwrap_err();
        assert_eq!(reason(halt), "start one");
    }

    #[test]
    fn what_a_process_leaves_behind_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("open while one of them lives");
        let (mut ensemble, _) = ensemble();
        let mut command = shell(
            "mkfifo \"$FIFO\"; exec 3<>\"$FIFO\"; trap 'exit 0' TERM; \
             (trap '' TERM; echo ready >&2; exec tail -f /dev/null) & wait",
        );
        command.env("FIFO", &fifo);
        ensemble.start("one", command).unwrap();
        let mut fifo = File::open(fifo).unwrap();
        let (sender, all_ended) = sync_channel(1);
        thread::spawn(move || sender.send(fifo.read_to_end(&mut Vec::new()).unwrap()));
        assert_eq!(ensemble.stop(PATIENT), [""; 0]);
        assert_eq!(all_ended.recv_timeout(DEADLINE), Ok(0));
    }

    #[test]
    fn bytes_that_are_no_text_and_a_last_line_without_an_end_are_shown() {
        let (mut ensemble, written) = ensemble();
        let script = r"printf 'caf\351\r\n'; printf 'the end'; exit 1";
        ensemble.start("one", shell(script)).unwrap_err();
        assert_eq!(written.text(), "one  | caf\u{fffd}\none  | the end\n");
    }
}
