//! `cargo xtask tidy`: the project's own rules, as a check that fails when one is broken. A test
//! here runs it on the project itself, so `cargo test` does too.

mod files;
mod links;
mod manifests;
mod rooms;
mod strategies;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace;

/// A rule that is broken: where, how, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    place: PathBuf,
    fault: String,
    remedy: String,
}

impl Problem {
    fn new(place: &Path, fault: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            place: place.to_owned(),
            fault: fault.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            fault,
            remedy,
        } = self;
        write!(
            formatter,
            "{}: {fault}\n    to do: {remedy}",
            place.display()
        )
    }
}

/// Checks the workspace and shows what is wrong.
pub(crate) fn run() -> Result<ExitCode> {
    let problems = check(&workspace::root())?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() {
        eprintln!("every rule is kept");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{} to mend", problems.len());
    Ok(ExitCode::FAILURE)
}

/// Every broken rule of the workspace at `root`.
fn check(root: &Path) -> Result<Vec<Problem>> {
    let crates = workspace::manifests(root)?;
    let mut problems = manifests::check(&workspace::root_manifest(root)?, &crates);
    problems.extend(rooms::check(&crates));
    problems.extend(strategies::check(root, &crates));
    problems.extend(files::check(root)?);
    problems.extend(links::check(root)?);
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_keeps_its_own_rules() {
        let problems = check(&workspace::root()).unwrap();
        let report: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(report.is_empty(), "\n{}\n", report.join("\n"));
    }

    #[test]
    fn a_problem_says_where_what_and_what_to_do() {
        let problem = Problem::new(Path::new("crates/house/Cargo.toml"), "no roof", "build one");
        assert_eq!(
            problem.to_string(),
            "crates/house/Cargo.toml: no roof\n    to do: build one"
        );
    }
}
