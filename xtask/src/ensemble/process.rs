//! One process of an ensemble.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Voice;
use crate::console::Stream;
use crate::signal;

/// How many of its last lines are shown of a process that ended by itself.
const LAST_LINES: usize = 10;

/// How many of the first lines of its output are kept of a process whose voice is.
const FIRST_LINES: usize = 100;

/// How long the pipes of a process that has ended may be held open by one that it started.
const PIPES_AFTER_END: Duration = Duration::from_secs(1);

/// A process, in a group of its own with those it starts.
pub(super) struct Process {
    pub(super) name: String,
    child: Child,
    /// While it runs.
    guard: Option<Guard>,
    /// Of its output and its error output, those that are still open.
    open_pipes: usize,
    /// What it said when it was ready.
    pub(super) ready: Option<Ready>,
    /// Whether the first lines of its output are kept.
    keeps_output: bool,
    pub(super) output: Vec<String>,
    last_lines: VecDeque<String>,
    /// When it was seen to have ended; its last lines may still be on their way.
    gone: Option<(ExitStatus, Instant)>,
    /// Its status, once it has ended and all its lines are shown.
    pub(super) end: Option<ExitStatus>,
}

impl Process {
    /// Starts a process. Unless it writes elsewhere, its output and its error output are to be read.
    pub(super) fn start(
        name: &str,
        mut command: Command,
        voice: Voice,
    ) -> Result<(Self, Option<(ChildStdout, ChildStderr)>)> {
        let keeps_output = matches!(voice, Voice::Kept);
        match voice {
            Voice::Shown | Voice::Kept => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
            }
            Voice::Terminal => {}
            Voice::Log(file) => {
                let twin = file.try_clone().context("share a log")?;
                command.stdout(file).stderr(twin);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        let mut process = Self {
            name: name.to_owned(),
            child,
            guard: None,
            open_pipes: if pipes.is_some() { 2 } else { 0 },
            ready: None,
            keeps_output,
            output: Vec::new(),
            last_lines: VecDeque::new(),
            gone: None,
            end: None,
        };
        process.guard = Some(Guard::over(&process.child).context("start a guard")?);
        Ok((process, pipes))
    }

    /// Its number in the system.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Notes a line that it wrote.
    pub(super) fn wrote(&mut self, stream: Stream, text: String) {
        if stream == Stream::Error && self.ready.is_none() {
            self.ready = Ready::parse(&text);
        }
        if self.keeps_output && stream == Stream::Output && self.output.len() < FIRST_LINES {
            self.output.push(text.clone());
        }
        if self.last_lines.len() == LAST_LINES {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(text);
    }

    /// Notes that one of its two pipes has come to its end.
    pub(super) fn closed_a_pipe(&mut self) {
        self.open_pipes = self.open_pipes.saturating_sub(1);
    }

    /// Looks whether it has ended, and its lines too. True once, when both are so.
    pub(super) fn has_come_to_its_end(&mut self) -> Result<bool> {
        if self.end.is_some() {
            return Ok(false);
        }
        if self.gone.is_none() {
            let status = self
                .child
                .try_wait()
                .with_context(|| format!("wait for {}", self.name))?;
            if let Some(status) = status {
                // At once: its number may now become another's.
                self.guard = None;
                self.gone = Some((status, Instant::now()));
            }
        }
        let Some((status, since)) = self.gone else {
            return Ok(false);
        };
        if self.open_pipes > 0 {
            if since.elapsed() < PIPES_AFTER_END {
                return Ok(false);
            }
            // A process that it started holds them open, so the group is still there.
            self.send("KILL");
            if since.elapsed() < PIPES_AFTER_END * 2 {
                return Ok(false);
            }
        }
        self.end = Some(status);
        Ok(true)
    }

    /// Sends a signal, by its name, to the process and those it started.
    pub(super) fn send(&self, name: &str) {
        signal::send_to_group(name, self.child.id());
    }

    /// The report of an end that nobody asked for.
    pub(super) fn obituary(&self) -> anyhow::Error {
        let status = self
            .end
            .map_or_else(|| "no status".to_owned(), |status| status.to_string());
        self.report(&format!("ended by itself with {status}"))
    }

    /// A report of what happened to it, with its last lines.
    pub(super) fn report(&self, what: &str) -> anyhow::Error {
        let Self {
            name, last_lines, ..
        } = self;
        let mut report = format!("{name} {what}");
        if !last_lines.is_empty() {
            report.push_str("; its last lines:");
        }
        for line in last_lines {
            report.push_str("\n    ");
            report.push_str(line);
        }
        anyhow::Error::msg(report)
    }
}

impl Drop for Process {
    /// Leaves nothing running behind, even after a panic.
    fn drop(&mut self) {
        if self.gone.is_none() {
            self.send("KILL");
            _ = self.child.wait();
        }
    }
}

/// Asks a process and those it started to end when this program is gone without having done so,
/// which is what `kill -9` does to it, and kills them when they do not. Otherwise a server would go
/// on and keep its port.
struct Guard(Child);

impl Guard {
    /// A shell that reads from us: the end of its input is our end.
    fn over(child: &Child) -> io::Result<Self> {
        let group = child.id();
        let script = format!(
            "read -r never; kill -s TERM -- -{group} && sleep 7 && kill -s KILL -- -{group}"
        );
        let shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self(shell))
    }
}

impl Drop for Guard {
    /// Dismisses the guard; the process is not touched.
    fn drop(&mut self) {
        // Waiting closes its input, so it has to be gone by then, if it is not already.
        _ = self.0.kill();
        _ = self.0.wait();
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A process that says when it is asked to end, and its output.
    fn listener() -> (Process, ChildStdout) {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "trap 'echo asked; exit 0' TERM; echo up; tail -f /dev/null & wait",
        ]);
        let (process, pipes) = Process::start("one", command, Voice::Shown).unwrap();
        let (mut output, _) = pipes.unwrap();
        output.read_exact(&mut [0; "up\n".len()]).unwrap();
        (process, output)
    }

    #[test]
    fn the_guard_asks_a_process_to_end_when_nobody_is_left_to_do_so() {
        let (mut process, mut output) = listener();
        // What the system does with the pipes of a program that is killed.
        drop(process.guard.as_mut().unwrap().0.stdin.take());
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "asked\n");
        assert!(process.child.wait().unwrap().success());
    }

    #[test]
    fn a_guard_that_is_dismissed_does_nothing() {
        let (mut process, _output) = listener();
        process.guard = None;
        assert!(process.child.try_wait().unwrap().is_none());
    }
}
