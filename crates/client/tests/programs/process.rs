//! A program that runs.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a condition may take to come true; nothing waits this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) const PROVIDER: &str = env!("CARGO_BIN_EXE_data_provider");
pub(crate) const READER: &str = env!("CARGO_BIN_EXE_data_reader");
pub(crate) const METER: &str = env!("CARGO_BIN_EXE_latency_meter");
pub(crate) const QUERY: &str = env!("CARGO_BIN_EXE_model_state_query");
pub(crate) const PASSTHROUGH: &str = env!("CARGO_BIN_EXE_passthrough");

/// Lines that a program has written so far.
#[derive(Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

pub(crate) struct Program {
    child: Child,
    out: Arc<Lines>,
    errors: Arc<Lines>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

/// A command that sees no settings but its arguments and, if any, those of the directory.
pub(crate) fn command(program: &str, arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory);
    for (name, _) in std::env::vars() {
        if name.starts_with("MODEL_SERVING_") || name == "KAFKA_BROKERS" {
            command.env_remove(name);
        }
    }
    command
}

impl Program {
    /// Starts a program in a directory without settings.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        Self::run(command(program, arguments, Path::new("/")))
    }

    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, errors) = (Arc::<Lines>::default(), Arc::<Lines>::default());
        let readers = vec![
            follow(child.stdout.take().unwrap(), Arc::clone(&out)),
            follow(child.stderr.take().unwrap(), Arc::clone(&errors)),
        ];
        Self {
            child,
            out,
            errors,
            readers,
        }
    }

    /// Waits for a line on stdout.
    pub(crate) fn says(&self, wanted: &str) -> String {
        line(&self.out, wanted, |line| line.contains(wanted))
    }

    /// Waits for a line on stderr.
    pub(crate) fn complains(&self, wanted: &str) -> String {
        line(&self.errors, wanted, |line| line.contains(wanted))
    }

    /// Waits for a line on stderr that is wanted.
    pub(crate) fn complains_of(&self, wanted: impl Fn(&str) -> bool) -> String {
        line(&self.errors, "what is wanted", wanted)
    }

    /// The brokers that the line `ready` names.
    pub(crate) fn brokers(&self) -> String {
        let line = self.complains("ready ");
        line.split("brokers=")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        // The shell's own: not every machine has a program of that name.
        let kill = format!("kill -s INT {pid}");
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success());
    }

    /// Ends it without a chance to do anything about it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: status, stdout, stderr.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= deadline {
                let [out, errors] = [&self.out, &self.errors].map(|of| of.lines.lock().unwrap());
                panic!("the program does not end: {out:?}, {errors:?}");
            }
            std::thread::park_timeout(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let out = std::mem::take(&mut *self.out.lines.lock().unwrap());
        let errors = self.errors.lines.lock().unwrap().join("\n");
        (status, out, errors)
    }
}

fn line(of: &Lines, what: &str, wanted: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut lines = of.lines.lock().unwrap();
    loop {
        if let Some(line) = lines.iter().find(|line| wanted(line)) {
            return line.clone();
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let known = lines.join("\n");
        assert!(!left.is_zero(), "no line with {what:?} in:\n{known}");
        lines = of
            .more
            .wait_timeout(lines, left.min(Duration::from_secs(1)))
            .unwrap()
            .0;
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(pipe: impl Read + Send + 'static, lines: Arc<Lines>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            lines.lines.lock().unwrap().push(line.unwrap());
            lines.more.notify_all();
        }
    })
}
