//! Models in the file system.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use tensor::Directory;

use super::roots::Roots;
use super::{FetchError, MOST_FILES};
use crate::Content;

/// Directories in directories, at most: links could make a circle.
const MOST_DEPTH: usize = 8;

/// Reads a file, or a directory with all files in it. Symbolic links are followed as long as they
/// stay under the roots.
pub(super) fn fetch(path: &Path, roots: &Roots, limit: u64) -> Result<Content, FetchError> {
    let found = roots.look_up(path)?;
    let mut reading = Reading {
        roots,
        limit,
        room: limit,
        files: BTreeMap::new(),
    };
    if found.is_dir() {
        reading.directory(&found, "", 0)?;
        return Ok(Content::Directory(Arc::new(Directory::new(reading.files))));
    }
    Ok(Content::Bytes(reading.file(&found)?.into()))
}

struct Reading<'a> {
    roots: &'a Roots,
    limit: u64,
    room: u64,
    files: BTreeMap<String, Vec<u8>>,
}

impl Reading<'_> {
    fn directory(&mut self, path: &Path, prefix: &str, depth: usize) -> Result<(), FetchError> {
        let shown = path.display().to_string();
        if depth > MOST_DEPTH {
            return Err(FetchError::TooLarge {
                what: "directories in each other",
                limit: MOST_DEPTH as u64,
            });
        }
        let failed = |error: std::io::Error| FetchError::system(&shown, &error);
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string().map_err(|name| {
                FetchError::Failed(format!("the name of {} is not UTF-8", name.display()))
            })?;
            let found = entry.path().canonicalize().map_err(failed)?;
            if !self.roots.holds(&found) {
                return Err(self.roots.outside(&entry.path().display().to_string()));
            }
            let name = format!("{prefix}{name}");
            if found.is_dir() {
                self.directory(&found, &format!("{name}/"), depth + 1)?;
                continue;
            }
            if self.files.len() >= MOST_FILES {
                return Err(FetchError::TooLarge {
                    what: "files",
                    limit: MOST_FILES as u64,
                });
            }
            let bytes = self.file(&found)?;
            self.files.insert(name, bytes);
        }
        Ok(())
    }

    /// A file of at most what there is room for. Nothing is opened that is no file: opening a pipe
    /// waits for its other end.
    fn file(&mut self, path: &Path) -> Result<Vec<u8>, FetchError> {
        let shown = path.display().to_string();
        let failed = |error: std::io::Error| FetchError::system(&shown, &error);
        let too_large = FetchError::TooLarge {
            what: "bytes",
            limit: self.limit,
        };
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(FetchError::Failed(format!("{shown} is no file")));
        }
        if metadata.len() > self.room {
            return Err(too_large);
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(failed)?;
        let mut file = file.take(self.room.saturating_add(1));
        file.read_to_end(&mut bytes).map_err(failed)?;
        match self.room.checked_sub(bytes.len() as u64) {
            Some(room) => self.room = room,
            // It has grown since.
            None => return Err(too_large),
        }
        Ok(bytes)
    }
}
