//! TensorFlow's library: where it is looked for, and how it is loaded.

use crate::Error;
use crate::runtime::places::{file_name, loader_path};
use crate::runtime::{Found, Runtime};
use crate::shield::shield;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tensorflow::library as loader;

/// The variable that names the directory of the library.
const VARIABLE: &str = "TENSORFLOW_DIR";

/// What the library is called in a Python wheel.
const IN_A_WHEEL: &str = "libtensorflow_cc.so.2";

/// The oldest that was tried with success. 2.4 lacks `TF_StringInit`, which text needs.
const OLDEST: (u32, u32) = (2, 7);

/// Looks for the library, and loads it unless it is loaded.
pub(crate) fn library() -> Result<Found, Error> {
    // A process has one such library at most, and keeps it to its end. A failure is not kept: the
    // library may be installed while a server runs.
    static LOADED: Mutex<Option<Found>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = loaded.as_ref() {
        return Ok(found.clone());
    }
    let found = load().map_err(|reason| Error::NoRuntime {
        runtime: Runtime::LibTensorflow,
        reason,
    })?;
    Ok(loaded.insert(found).clone())
}

fn load() -> Result<Found, String> {
    // The crate looks for the library, and loads what it finds.
    let Some(path) = loader::find() else {
        return Err(missing());
    };
    shield(loader::load)??;
    // Every function of the library is looked up when it is called, and panics if it is not there.
    let place = path.display();
    let version = shield(tensorflow::version)
        .map_err(|_| format!("{place} is not TensorFlow's library"))?
        .map_err(|cause| format!("{place} has no version: {cause}"))?;
    if is_older(&version) {
        let (major, minor) = OLDEST;
        return Err(format!(
            "{place} is TensorFlow {version}, at least {major}.{minor} is needed"
        ));
    }
    Ok(Found {
        path: Some(path),
        version,
    })
}

fn is_older(version: &str) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < OLDEST
}

/// Why nothing was found, and what to do.
fn missing() -> String {
    let name = file_name("tensorflow");
    let mut directories: Vec<PathBuf> = Vec::new();
    if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        directories.push(named.into());
    }
    directories.extend(loader_path());
    let wheel = directories
        .iter()
        .find(|path| path.join(IN_A_WHEEL).is_file());
    if let Some(wheel) = wheel {
        return unnamed(wheel, &name);
    }
    match env::var_os(VARIABLE) {
        Some(named) => {
            let named = Path::new(&named).display();
            format!("{VARIABLE} is {named}, and there is no {name} in it, nor elsewhere")
        }
        None => format!(
            "no {name}: {VARIABLE} can name its directory, else it is looked for where \
             LD_LIBRARY_PATH says, in /usr/local/lib and in /usr/local/lib/libtensorflow"
        ),
    }
}

fn unnamed(wheel: &Path, name: &str) -> String {
    let wheel = wheel.display();
    format!("{wheel} has no {name}; {IN_A_WHEEL} there is it: make a link of that name to it")
}

#[cfg(test)]
mod tests {
    use super::is_older;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, older) in [
            ("1.15.5", true),
            ("2.6.5", true),
            ("2.7.0", false),
            ("2.10.1", false),
            ("3.0.0-rc1", false),
            ("", true),
        ] {
            assert_eq!(is_older(version), older, "{version}");
        }
    }
}
