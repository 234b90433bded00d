//! Programs of this workspace, built by cargo and named by the paths it reports.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A program to build: its package, and its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binary<'a> {
    pub(crate) package: &'a str,
    pub(crate) name: &'a str,
}

/// Builds `binaries` in one run of cargo, whose progress goes to the terminal, and returns the path
/// of each, in their order.
///
/// # Errors
/// A build that fails; cargo has shown why by then.
pub(crate) fn build(root: &Path, binaries: &[Binary], release: bool) -> Result<Vec<PathBuf>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(root)
        .arg("build")
        .arg("--message-format=json-render-diagnostics");
    if release {
        command.arg("--release");
    }
    for binary in binaries {
        command.args(["--package", binary.package, "--bin", binary.name]);
    }
    let mut cargo = command
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo")?;
    let messages = cargo.stdout.take().context("cargo has no output")?;
    let mut paths = vec![None; binaries.len()];
    for message in BufReader::new(messages).lines() {
        if let Some((name, path)) = executable(&message.context("read cargo's messages")?) {
            for (_, slot) in binaries
                .iter()
                .zip(&mut paths)
                .filter(|(binary, _)| binary.name == name)
            {
                *slot = Some(path.clone());
            }
        }
    }
    if !cargo.wait().context("wait for cargo")?.success() {
        bail!("the build failed");
    }
    let paths = binaries.iter().zip(paths);
    paths
        .map(|(binary, path)| path.with_context(|| format!("cargo built no {}", binary.name)))
        .collect()
}

/// The program that one of cargo's messages reports: its name and path.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message.get("reason")? != "compiler-artifact" {
        return None;
    }
    let path = message.get("executable")?.as_str()?;
    Some((
        message.get("target")?.get("name")?.as_str()?.to_owned(),
        path.into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_with_an_executable_is_a_program() {
        let message = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"reader"},
            "executable":"/house/target/debug/reader","fresh":true}"#;
        assert_eq!(
            executable(message),
            Some((
                "reader".to_owned(),
                PathBuf::from("/house/target/debug/reader")
            ))
        );
    }

    #[test]
    fn libraries_other_messages_and_noise_are_not_programs() {
        let library =
            r#"{"reason":"compiler-artifact","target":{"name":"house"},"executable":null}"#;
        assert_eq!(executable(library), None);
        assert_eq!(
            executable(r#"{"reason":"build-finished","success":true}"#),
            None
        );
        assert_eq!(executable("warning: not a message"), None);
    }
}
