//! Where libraries are looked for.

use std::env;
use std::path::PathBuf;

/// The directories that the system's loader is told to look at.
pub(super) fn loader_path() -> Vec<PathBuf> {
    let variable = if cfg!(target_os = "macos") {
        "DYLD_LIBRARY_PATH"
    } else {
        "LD_LIBRARY_PATH"
    };
    let listed = env::var_os(variable).unwrap_or_default();
    env::split_paths(&listed)
        .filter(|directory| !directory.as_os_str().is_empty())
        .collect()
}

/// What a library is called here: `libNAME.so`, or what the system has instead.
pub(super) fn file_name(name: &str) -> String {
    format!(
        "{}{name}{}",
        env::consts::DLL_PREFIX,
        env::consts::DLL_SUFFIX
    )
}
