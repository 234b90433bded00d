//! `cargo xtask train`: the models in `data/` and their golden scores, made anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::console::step;
use crate::workspace;

const DIRECTORY: &str = "data/training";

/// The oldest and the newest minor version of Python 3 that the pinned packages are there for.
const PYTHONS: [u32; 2] = [11, 13];

/// What `cargo xtask train` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// The Python that makes the virtual environment.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// The virtual environment [default: data/training/.venv].
    #[arg(long, value_name = "DIR")]
    venv: Option<PathBuf>,
    /// Passed on to data/training/train.py.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Trains the models.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = workspace::root();
    let directory = root.join(DIRECTORY);
    require(
        Command::new("java").arg("-version"),
        "java is not installed, and the PMML models are converted and scored with it; install a \
         Java runtime, 11 or newer (Debian and Ubuntu: default-jre-headless)",
    )?;
    let venv = match &options.venv {
        Some(venv) => std::path::absolute(venv)?,
        None => directory.join(".venv"),
    };
    let python = venv.join("bin/python");
    if !python.exists() {
        create(&options.python, &venv)?;
    }
    let requirements = directory.join("requirements.txt");
    step("Installing", &format!("{DIRECTORY}/requirements.txt"));
    execute(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .arg("--requirement")
            .arg(requirements),
    )?;
    step("Running", &format!("{DIRECTORY}/train.py"));
    execute(
        Command::new(&python)
            .current_dir(&root)
            .arg(directory.join("train.py"))
            .args(&options.arguments),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn create(python: &Path, venv: &Path) -> Result<()> {
    let name = python.display();
    let [oldest, newest] = PYTHONS;
    require(
        Command::new(python).arg("--version"),
        &format!("{name} is not installed; install Python 3.{oldest}, or name it with --python"),
    )?;
    require(
        Command::new(python).args([
            "-c",
            &format!("import sys; sys.exit(not {oldest} <= sys.version_info[1] <= {newest})"),
        ]),
        &format!(
            "the pinned packages are there for Python 3.{oldest} to 3.{newest}, and {name} is \
             another; name one of these with --python"
        ),
    )?;
    step("Creating", &venv.display().to_string());
    execute(Command::new(python).args(["-m", "venv"]).arg(venv)).with_context(|| {
        // What a failure leaves behind has no pip, and would be taken for complete the next time.
        let advice =
            "no virtual environment; Debian and Ubuntu have it in the package python3-venv";
        match fs::remove_dir_all(venv) {
            Ok(()) => advice.to_owned(),
            Err(_) => format!("{advice}; remove {} first", venv.display()),
        }
    })
}

/// Checks that a program is there and answers.
fn require(command: &mut Command, remedy: &str) -> Result<()> {
    let answers = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !answers.is_ok_and(|status| status.success()) {
        bail!("{remedy}");
    }
    Ok(())
}

fn execute(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("start {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}
