//! `cargo xtask runtimes`: the optional libraries that run models, out of their Python packages.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use crate::console::step;
use crate::workspace;

/// The packages; no other Python package is needed to use their libraries.
const PACKAGES: [&str; 2] = ["onnxruntime==1.32.0", "tensorflow-cpu==2.21.0"];

/// What the directory is called: a version that is not named in it may be another one tomorrow.
const DIRECTORY: &str = "runtimes-1.32.0-2.21.0";

/// Whose packages they are. They are not installed, so that any Python can fetch them.
const PLATFORM: [&str; 10] = [
    "--implementation=cp",
    "--python-version=3.11",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_27_x86_64",
    "--platform=manylinux_2_17_x86_64",
    "--platform=manylinux2014_x86_64",
    "--only-binary=:all:",
    "--no-deps",
    "--disable-pip-version-check",
];

/// Takes the libraries out of the packages in the directory that it is given.
const UNPACK: &str = "
import pathlib, shutil, sys, zipfile
wheels, target = map(pathlib.Path, sys.argv[1:])
for wheel in wheels.glob('*.whl'):
    with zipfile.ZipFile(wheel) as package:
        for name in package.namelist():
            file = pathlib.PurePosixPath(name).name
            if file.startswith(('libonnxruntime.so', 'libtensorflow_')) and '.so' in file:
                with package.open(name) as source, open(target / file, 'wb') as library:
                    shutil.copyfileobj(source, library)
";

/// The library's name in TensorFlow's package, and the one it is looked for by.
const TENSORFLOW: [&str; 2] = ["libtensorflow_cc.so.2", "libtensorflow.so"];

/// What `cargo xtask runtimes` takes.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Fetch TensorFlow's library and ONNX Runtime's with pip, and tell how to use them.
    Fetch,
}

/// Does what was asked for.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    match options.action {
        Action::Fetch => {
            let libraries = ensure_fetched()?;
            step("Ready", &libraries.display().to_string());
            for (variable, value) in variables(&libraries) {
                println!("export {variable}={}", value.display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What tells programs where the libraries are.
pub(crate) fn variables(libraries: &Path) -> [(&'static str, PathBuf); 2] {
    ["ORT_DYLIB_PATH", "TENSORFLOW_DIR"].map(|variable| (variable, libraries.to_owned()))
}

/// The directory of the libraries, which are fetched where they are not there.
///
/// # Errors
/// They are not there, and Python or its pip is missing, or pip cannot fetch them.
pub(crate) fn ensure_fetched() -> Result<PathBuf> {
    let target = workspace::target_directory(&workspace::root())?;
    let libraries = target.join(DIRECTORY);
    if libraries.is_dir() {
        return Ok(libraries);
    }
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "libraries are fetched for Linux on x86-64 only; docs/tensor.md says where others are \
         looked for"
    );
    fs::create_dir_all(&target).with_context(|| format!("create {}", target.display()))?;
    // Others wait here until the first is done.
    let lock = File::create(target.join("runtimes.lock")).context("create a lock")?;
    lock.lock().context("lock the directory of the libraries")?;
    if libraries.is_dir() {
        return Ok(libraries);
    }
    step("Fetching", &format!("{} with pip", PACKAGES.join(" and ")));
    let scratch = target.join(format!("{DIRECTORY}.part"));
    match fs::remove_dir_all(&scratch) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(scratch.join("libraries"))?,
    }
    let (wheels, unpacked) = (scratch.join("wheels"), scratch.join("libraries"));
    fetch(&wheels)?;
    python(|python| python.args(["-c", UNPACK]).arg(&wheels).arg(&unpacked))?;
    let [packaged, wanted] = TENSORFLOW;
    ensure!(
        unpacked.join(packaged).is_file(),
        "the package of TensorFlow has no {packaged}"
    );
    symlink(packaged, unpacked.join(wanted)).context("make a link")?;
    fs::rename(&unpacked, &libraries).with_context(|| format!("name {}", libraries.display()))?;
    fs::remove_dir_all(&scratch).with_context(|| format!("remove {}", scratch.display()))?;
    Ok(libraries)
}

fn fetch(wheels: &Path) -> Result<()> {
    python(|python| {
        python
            .args(["-m", "pip", "download", "--quiet", "--dest"])
            .arg(wheels)
            .args(PLATFORM)
            .args(PACKAGES)
    })
}

/// Runs Python with what `arguments` adds.
fn python(arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<()> {
    let name = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(&name);
    let status = match arguments(&mut command).status() {
        Ok(status) => status,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = name.display();
            bail!("no {name} here: install Python 3 with pip, or have PYTHON name it")
        }
        Err(error) => return Err(error).context("start Python"),
    };
    ensure!(
        status.success(),
        "Python ended with {status}; it needs pip, and pip a registry that answers"
    );
    Ok(())
}
