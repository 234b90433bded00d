//! Processes that are started one after the other, speak in turn, and end together.

use std::collections::VecDeque;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::console::{Console, Stream};

/// How many of its last lines are shown of a process that ended by itself.
const LAST_LINES: usize = 10;

/// How long the pipes of a process that has ended may be held open by one that it started.
const PIPES_AFTER_END: Duration = Duration::from_secs(1);

/// Lines that wait to be shown; a process that writes more waits for the terminal.
const WAITING_LINES: usize = 256;

/// Processes that live and die together.
///
/// Each has a process group of its own. So a Ctrl-C in the terminal reaches this process alone,
/// which then stops the others once, in the order that lets each finish its work: those started
/// last use those started first.
pub(crate) struct Ensemble {
    console: Console,
    processes: Vec<Process>,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
}

struct Process {
    name: String,
    orders: mpsc::UnboundedSender<Signal>,
    ready: Option<Ready>,
    end: Option<End>,
    last_lines: VecDeque<String>,
}

/// How a process ended.
#[derive(Clone)]
struct End {
    success: bool,
    status: String,
}

enum Event {
    Line {
        process: usize,
        stream: Stream,
        text: String,
    },
    Ended {
        process: usize,
        end: End,
    },
}

impl Ensemble {
    /// An ensemble without processes, whose lines are shown on `console`.
    pub(crate) fn new(console: Console) -> Self {
        let (sender, events) = mpsc::channel(WAITING_LINES);
        Self {
            console,
            processes: Vec::new(),
            sender,
            events,
        }
    }

    /// Shows a line of our own.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        self.console.say(text).context("write to the terminal")
    }

    /// Starts a process and shows what all of them write until this one says that it is ready.
    ///
    /// # Errors
    /// A program that cannot be started, and any process that ends meanwhile.
    pub(crate) async fn start(&mut self, name: &str, mut command: Command) -> Result<Ready> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let process = self.processes.len();
        let output = child.stdout.take().context("a process without output")?;
        let errors = child
            .stderr
            .take()
            .context("a process without error output")?;
        let readers = [
            tokio::spawn(relay(output, process, Stream::Output, self.sender.clone())),
            tokio::spawn(relay(errors, process, Stream::Error, self.sender.clone())),
        ];
        let (orders, received) = mpsc::unbounded_channel();
        tokio::spawn(attend(
            child,
            process,
            received,
            readers,
            self.sender.clone(),
        ));
        self.processes.push(Process {
            name: name.to_owned(),
            orders,
            ready: None,
            end: None,
            last_lines: VecDeque::new(),
        });
        loop {
            self.next_line().await?;
            if let Some(ready) = self.processes[process].ready.take() {
                return Ok(ready);
            }
        }
    }

    /// Shows what the processes write until one of them ends.
    ///
    /// # Errors
    /// Always: the process that ended, with its status and its last lines.
    pub(crate) async fn watch(&mut self) -> Result<()> {
        loop {
            self.next_line().await?;
        }
    }

    /// Stops the processes that still run, the last one first: each is asked (SIGTERM), and killed
    /// when it has not ended after `grace`, or at once when `hurry` completes.
    ///
    /// # Errors
    /// Names those that had to be killed, or ended with another status than 0.
    pub(crate) async fn stop(
        &mut self,
        grace: Duration,
        hurry: impl Future<Output = ()>,
    ) -> Result<()> {
        let mut hurry = pin!(hurry);
        let mut hurried = false;
        let mut complaints = Vec::new();
        for process in (0..self.processes.len()).rev() {
            if self.processes[process].end.is_some() {
                continue;
            }
            self.order(process, Signal::TERM);
            let end = tokio::select! {
                () = &mut hurry, if !hurried => { hurried = true; None }
                end = timeout(if hurried { Duration::ZERO } else { grace }, self.end_of(process)) => end.ok(),
            };
            let name = self.processes[process].name.clone();
            if let Some(end) = end {
                if !end.success {
                    complaints.push(format!("{name} ended with {}", end.status));
                }
            } else {
                self.order(process, Signal::KILL);
                self.end_of(process).await;
                complaints.push(format!("{name} had to be killed"));
            }
        }
        if complaints.is_empty() {
            Ok(())
        } else {
            Err(anyhow!(complaints.join("; ")))
        }
    }

    fn order(&self, process: usize, signal: Signal) {
        // Nobody receives it for a process that has just ended, which is what it asks for.
        _ = self.processes[process].orders.send(signal);
    }

    /// Shows what the processes write until `process` has ended.
    async fn end_of(&mut self, process: usize) -> End {
        loop {
            if let Some(end) = &self.processes[process].end {
                return end.clone();
            }
            // The terminal may be gone; a stop goes on without it.
            _ = self.next_event().await;
        }
    }

    /// Shows the next line; an end is an error here.
    async fn next_line(&mut self) -> Result<()> {
        let process = self.next_event().await?;
        let Process {
            name,
            end,
            last_lines,
            ..
        } = &self.processes[process];
        if let Some(end) = end {
            let mut report = format!("{name} ended by itself with {}", end.status);
            if !last_lines.is_empty() {
                report.push_str("; its last lines:");
            }
            for line in last_lines {
                report.push_str("\n    ");
                report.push_str(line);
            }
            bail!(report);
        }
        Ok(())
    }

    /// Waits for the next line or end, notes and shows it, and returns whose it is.
    async fn next_event(&mut self) -> Result<usize> {
        // There is always an event to come: the ensemble holds a sender itself.
        let event = self.events.recv().await.context("no events")?;
        match event {
            Event::Line {
                process,
                stream,
                text,
            } => {
                let Process {
                    name,
                    ready,
                    last_lines,
                    ..
                } = &mut self.processes[process];
                let shown = self.console.relay(process, name, stream, &text);
                if stream == Stream::Error && ready.is_none() {
                    *ready = Ready::parse(&text);
                }
                if last_lines.len() == LAST_LINES {
                    last_lines.pop_front();
                }
                last_lines.push_back(text);
                shown.context("write to the terminal")?;
                Ok(process)
            }
            Event::Ended { process, end } => {
                self.processes[process].end = Some(end);
                Ok(process)
            }
        }
    }
}

/// What a process says when it serves: a line on its error output that begins with `ready`, then
/// its name, then `key=value`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ready(String);

impl Ready {
    fn parse(line: &str) -> Option<Self> {
        (line.split_whitespace().next() == Some("ready")).then(|| Self(line.to_owned()))
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.0
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

/// Passes on the lines of a pipe until it closes.
async fn relay(
    pipe: impl AsyncRead + Unpin,
    process: usize,
    stream: Stream,
    events: mpsc::Sender<Event>,
) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    // A pipe that fails is a pipe that closed: the end of its process tells why.
    while pipe
        .read_until(b'\n', &mut line)
        .await
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
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Waits for a process to end, passing orders on to it and those it started, and reports the end
/// after the last of its lines.
async fn attend(
    mut child: Child,
    process: usize,
    mut orders: mpsc::UnboundedReceiver<Signal>,
    readers: [JoinHandle<()>; 2],
    events: mpsc::Sender<Event>,
) {
    // Its group has its number: it was started with a group of its own.
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let send = |signal| {
        if let Some(group) = group {
            // It fails for a group that has just ended, which is what the signal asks for.
            _ = kill_process_group(group, signal);
        }
    };
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(signal) = orders.recv() => send(signal),
        }
    };
    let mut lines = pin!(async {
        for reader in readers {
            _ = reader.await;
        }
    });
    if timeout(PIPES_AFTER_END, &mut lines).await.is_err() {
        // A process it started holds them open, so the group is still there.
        send(Signal::KILL);
        _ = timeout(PIPES_AFTER_END, lines).await;
    }
    let end = match status {
        Ok(status) => End {
            success: status.success(),
            status: status.to_string(),
        },
        Err(error) => End {
            success: false,
            status: format!("an unknown status ({error})"),
        },
    };
    // Nobody listens any more when the ensemble is gone.
    _ = events.send(Event::Ended { process, end }).await;
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::future::pending;
    use std::io::Read;
    use std::thread;

    use tokio::sync::oneshot;

    use super::*;
    use crate::console::tests::Written;

    /// Long enough for a shell on a busy machine.
    const DEADLINE: Duration = Duration::from_secs(60);

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

    fn ensemble() -> (Ensemble, Written) {
        let written = Written::default();
        (Ensemble::new(written.console(&["one", "two"])), written)
    }

    /// Runs a test to its end or the deadline.
    fn perform(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { timeout(DEADLINE, test).await.unwrap() });
    }

    #[test]
    fn a_process_is_ready_when_it_says_so_on_its_error_output() {
        perform(async {
            let (mut ensemble, written) = ensemble();
            let script = "trap 'exit 0' TERM; tail -f /dev/null & \
                 echo ready on stdout; echo getting ready >&2; \
                 echo ready server brokers=127.0.0.1:9 http=http://127.0.0.1:5 >&2; wait";
            let ready = ensemble.start("one", shell(script)).await.unwrap();
            assert_eq!(ready.value("brokers"), Some("127.0.0.1:9"));
            assert_eq!(ready.value("http"), Some("http://127.0.0.1:5"));
            assert_eq!(ready.value("broker"), None);
            assert!(
                written.text().contains("one  | getting ready\n"),
                "{}",
                written.text()
            );
            ensemble.stop(DEADLINE, pending()).await.unwrap();
        });
    }

    #[test]
    fn all_are_asked_to_end_the_last_one_first() {
        perform(async {
            let (mut ensemble, written) = ensemble();
            ensemble.start("one", shell(WILLING)).await.unwrap();
            ensemble.start("two", shell(WILLING)).await.unwrap();
            ensemble.stop(DEADLINE, pending()).await.unwrap();
            assert!(
                written.text().ends_with("two  | done\none  | done\n"),
                "{}",
                written.text()
            );
        });
    }

    #[test]
    fn one_that_does_not_end_when_asked_is_killed_with_those_it_started() {
        perform(async {
            let (mut ensemble, _) = ensemble();
            ensemble.start("one", shell(WILLING)).await.unwrap();
            ensemble.start("two", shell(STUBBORN)).await.unwrap();
            let error = ensemble
                .stop(Duration::from_millis(50), pending())
                .await
                .unwrap_err();
            assert!(
                error.to_string().contains("two had to be killed"),
                "{error}"
            );
        });
    }

    #[test]
    fn a_second_request_to_end_kills_at_once() {
        perform(async {
            let (mut ensemble, _) = ensemble();
            ensemble.start("two", shell(STUBBORN)).await.unwrap();
            let error = ensemble.stop(DEADLINE * 2, async {}).await.unwrap_err();
            assert_eq!(error.to_string(), "two had to be killed");
        });
    }

    #[test]
    fn an_end_with_a_failure_while_stopping_is_reported() {
        perform(async {
            let (mut ensemble, _) = ensemble();
            let script = "trap 'exit 3' TERM; tail -f /dev/null & echo ready >&2; wait";
            ensemble.start("one", shell(script)).await.unwrap();
            let error = ensemble.stop(DEADLINE, pending()).await.unwrap_err();
            assert_eq!(error.to_string(), "one ended with exit status: 3");
        });
    }

    #[test]
    fn one_that_ends_by_itself_is_reported_with_its_status_and_last_lines() {
        perform(async {
            let (mut ensemble, written) = ensemble();
            ensemble.start("one", shell(WILLING)).await.unwrap();
            let script = "echo ready >&2; i=0; \
                 while [ $i -lt 20 ]; do i=$((i+1)); echo line $i >&2; done; exit 7";
            ensemble.start("two", shell(script)).await.unwrap();
            let error = ensemble.watch().await.unwrap_err().to_string();
            let lines: Vec<_> = (11..=20).map(|line| format!("    line {line}")).collect();
            assert_eq!(
                error,
                format!(
                    "two ended by itself with exit status: 7; its last lines:\n{}",
                    lines.join("\n")
                )
            );
            ensemble.stop(DEADLINE, pending()).await.unwrap();
            assert!(
                written.text().ends_with("one  | done\n"),
                "{}",
                written.text()
            );
        });
    }

    #[test]
    fn one_that_ends_before_it_is_ready_is_reported_and_leaves_the_others_to_be_stopped() {
        perform(async {
            let (mut ensemble, _) = ensemble();
            ensemble.start("one", shell(WILLING)).await.unwrap();
            let error = ensemble
                .start("two", shell("echo 'error: port 5500 is taken' >&2; exit 1"))
                .await
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "two ended by itself with exit status: 1; its last lines:\n    \
                 error: port 5500 is taken"
            );
            ensemble.stop(DEADLINE, pending()).await.unwrap();
        });
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        perform(async {
            let (mut ensemble, _) = ensemble();
            let error = ensemble
                .start("one", Command::new("/no/such/program"))
                .await
                .unwrap_err();
            assert_eq!(error.to_string(), "start one");
        });
    }

    #[test]
    fn what_a_process_leaves_behind_ends_with_it() {
        perform(async {
            let directory = tempfile::tempdir().unwrap();
            let fifo = directory.path().join("open while one of them lives");
            let (mut ensemble, _) = ensemble();
            let mut command = shell(
                "mkfifo \"$FIFO\"; exec 3<>\"$FIFO\"; trap 'exit 0' TERM; \
                 (trap '' TERM; echo ready >&2; exec tail -f /dev/null) & wait",
            );
            command.env("FIFO", &fifo);
            ensemble.start("one", command).await.unwrap();
            let (sender, all_ended) = oneshot::channel();
            let mut fifo = File::open(fifo).unwrap();
            thread::spawn(move || sender.send(fifo.read_to_end(&mut Vec::new())));
            ensemble.stop(DEADLINE, pending()).await.unwrap();
            assert_eq!(all_ended.await.unwrap().unwrap(), 0);
        });
    }

    #[test]
    fn bytes_that_are_no_text_and_a_last_line_without_an_end_are_shown() {
        perform(async {
            let (mut ensemble, written) = ensemble();
            let script = r"printf 'caf\351\r\n'; printf 'the end'; exit 1";
            ensemble.start("one", shell(script)).await.unwrap_err();
            assert_eq!(written.text(), "one  | caf\u{fffd}\none  | the end\n");
        });
    }
}
