//! What is known of the node that was started, in a file beside its data.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A node that was started.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) address: String,
    pub(crate) version: String,
    /// When it was started (RFC 3339).
    pub(crate) since: String,
}

/// What was found of a former start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It runs.
    Alive(Running),
    /// It was not stopped, and runs no longer.
    Dead(Running),
    Nothing,
}

impl Running {
    /// The argument by which a process is known to be the node of `directory`: after a crash its
    /// number may be another's.
    pub(crate) fn mark(directory: &Path) -> String {
        format!("-Dnode.directory={}", directory.display())
    }

    /// Notes that the node of `directory` was started.
    pub(crate) fn save(&self, directory: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("write down what was started")?;
        // In one piece: what is half written would be read as nothing.
        let (path, part) = (file(directory), directory.join("running.part"));
        fs::write(&part, text)
            .and_then(|()| fs::rename(&part, &path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Finds the node of `directory`.
    pub(crate) fn find(directory: &Path) -> Result<Found> {
        let path = file(directory);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let running: Self = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is not what was written there; remove it",
                path.display()
            )
        })?;
        let mark = Self::mark(directory);
        Ok(match command_line(running.pid) {
            Some(line) if line.contains(&mark) => Found::Alive(running),
            _ => Found::Dead(running),
        })
    }

    /// Forgets the node of `directory`.
    pub(crate) fn forget(directory: &Path) -> Result<()> {
        match fs::remove_file(file(directory)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("forget what was started")
            }
            _ => Ok(()),
        }
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("running.json")
}

/// The command line of a process; `None` or nothing in it when it does not run.
fn command_line(pid: u32) -> Option<String> {
    // Linux without ps, in a container for one.
    if let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) {
        return Some(String::from_utf8_lossy(&line).replace('\0', " "));
    }
    let output = Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Child, Stdio};

    use super::*;

    /// A process that waits, with an argument. Until it has written something, it may not have its
    /// command line yet.
    fn waiting(argument: &str) -> Child {
        let mut process = Command::new("sh")
            .args(["-c", "echo up; read -r never", "sh", argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.as_mut().unwrap();
        output.read_exact(&mut [0; "up\n".len()]).unwrap();
        process
    }

    fn record(pid: u32) -> Running {
        Running {
            pid,
            address: "127.0.0.1:9092".to_owned(),
            version: "4.1.0".to_owned(),
            since: "2026-11-21T08:00:00Z".to_owned(),
        }
    }

    #[test]
    fn nothing_is_found_where_nothing_was_started_or_what_was_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        assert_eq!(Running::find(directory).unwrap(), Found::Nothing);
        record(1).save(directory).unwrap();
        Running::forget(directory).unwrap();
        Running::forget(directory).unwrap();
        assert_eq!(Running::find(directory).unwrap(), Found::Nothing);
    }

    #[test]
    fn a_process_with_the_mark_is_alive_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let mut process = waiting(&Running::mark(directory));
        record(process.id()).save(directory).unwrap();
        assert_eq!(
            Running::find(directory).unwrap(),
            Found::Alive(record(process.id()))
        );
        drop(process.stdin.take());
        process.wait().unwrap();
        assert_eq!(
            Running::find(directory).unwrap(),
            Found::Dead(record(process.id()))
        );
    }

    #[test]
    fn a_number_that_has_become_another_s_is_not_taken_for_the_node() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let mut other = waiting("-Dnode.directory=/somewhere/else");
        record(other.id()).save(directory).unwrap();
        assert_eq!(
            Running::find(directory).unwrap(),
            Found::Dead(record(other.id()))
        );
        drop(other.stdin.take());
        other.wait().unwrap();
    }

    #[test]
    fn a_file_of_something_else_is_an_error_that_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(file(directory.path()), "4711").unwrap();
        let error = Running::find(directory.path()).unwrap_err().to_string();
        assert!(error.ends_with("running.json is not what was written there; remove it"));
    }
}
