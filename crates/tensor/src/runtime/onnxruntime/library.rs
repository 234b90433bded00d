//! ONNX Runtime's library: where it is looked for, and how it is loaded.

use crate::Error;
use crate::runtime::places::{file_name, loader_path};
use crate::runtime::{Found, Runtime};
use crate::shield::shield;
use ort::LoadDynamicError;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

/// The variable that names the library's file, or the directory it is in.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// Looks for the library, and loads it unless it is loaded.
pub(crate) fn library() -> Result<Found, Error> {
    // A process has one such library at most, and keeps it to its end. A failure is not kept: the
    // library may be installed while a server runs.
    static LOADED: Mutex<Option<Found>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = loaded.as_ref() {
        return Ok(found.clone());
    }
    let found = locate()
        .and_then(|path| load(&path))
        .map_err(|reason| Error::NoRuntime {
            runtime: Runtime::OnnxRuntime,
            reason,
        })?;
    Ok(loaded.insert(found).clone())
}

/// The library's file; its mere name if only the system's loader may know it.
fn locate() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        if named.is_file() {
            return Ok(named);
        }
        return in_directory(&named).ok_or_else(|| {
            let named = named.display();
            format!("{VARIABLE} is {named}, which is no library and has none in it")
        });
    }
    let mut directories = loader_path();
    directories.push("/usr/local/lib".into());
    let found = directories.iter().find_map(|path| in_directory(path));
    Ok(found.unwrap_or_else(|| file_name("onnxruntime").into()))
}

/// The library in a directory. In a Python wheel its name ends in its version.
fn in_directory(directory: &Path) -> Option<PathBuf> {
    let name = file_name("onnxruntime");
    let plain = directory.join(&name);
    if plain.is_file() {
        return Some(plain);
    }
    let files = fs::read_dir(directory).ok()?;
    let versioned = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str());
        let stem = env::consts::DLL_SUFFIX;
        file.is_some_and(|file| {
            file.starts_with(&format!("{name}.")) // libonnxruntime.so.1.2.3
                || (file.starts_with("libonnxruntime.1") && file.ends_with(stem))
        })
    };
    let files = files.filter_map(|file| Some(file.ok()?.path()));
    files.filter(versioned).max()
}

fn load(path: &Path) -> Result<Found, String> {
    // The crate loads the library only if it is one, and not older than what was asked of it;
    // until then no other function of it may be called.
    let loaded = shield(|| {
        ort::init_from(path)
            .map(|environment| {
                environment
                    .with_name("tensor")
                    .with_telemetry(false)
                    .commit()
            })
            .map_err(|cause| match &cause {
                LoadDynamicError::Dlopen { error, .. } => match error.source() {
                    Some(system) => system.to_string(),
                    None => cause.to_string(),
                },
                _ => cause.to_string(),
            })
    });
    if let Err(reason) = loaded.and_then(|result| result) {
        if path.is_absolute() {
            return Err(reason);
        }
        return Err(format!(
            "{reason}; {VARIABLE} can name the file or its directory, else it is looked for where \
             LD_LIBRARY_PATH says, in /usr/local/lib, and by the system's loader"
        ));
    }
    let built = shield(ort::info)?;
    Ok(Found {
        path: Some(path.to_owned()),
        version: version(path).unwrap_or_else(|| built.to_owned()),
    })
}

/// The version at the end of the library's name, once links are followed.
fn version(path: &Path) -> Option<String> {
    let file = fs::canonicalize(path).ok()?;
    let name = file.file_name()?.to_str()?;
    let (_, version) = name.split_once(env::consts::DLL_SUFFIX)?;
    let version = version.strip_prefix('.')?;
    (!version.is_empty()).then(|| version.to_owned())
}
