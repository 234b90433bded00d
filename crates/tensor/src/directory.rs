use crate::Error;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// A model that is several files, in memory: of a SavedModel, `saved_model.pb` and what is in
/// `variables/`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Directory {
    files: BTreeMap<String, Vec<u8>>,
}

impl Directory {
    /// Files by their paths, which are relative to the directory and have `/` between their parts.
    #[must_use]
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Directory {
        Directory { files }
    }

    /// Reads a directory of the file system, with all directories in it. Symbolic links are
    /// followed: who cannot trust the directory has to look at it first.
    ///
    /// # Errors
    /// [`Error::Read`] if a file cannot be read, or has a name that is not UTF-8;
    /// [`Error::TooLarge`] if all files together are longer than `limit` bytes.
    pub fn open(path: &Path, limit: u64) -> Result<Directory, Error> {
        let mut directory = Directory::default();
        let mut room = limit;
        directory.read(path, "", limit, &mut room, 0)?;
        Ok(directory)
    }

    fn read(
        &mut self,
        path: &Path,
        prefix: &str,
        limit: u64,
        room: &mut u64,
        depth: usize,
    ) -> Result<(), Error> {
        let failed = |reason: String| Error::Read {
            path: path.display().to_string(),
            reason,
        };
        if depth > MOST_DEPTH {
            return Err(failed(format!(
                "it is more than {MOST_DEPTH} directories deep"
            )));
        }
        for entry in fs::read_dir(path).map_err(|cause| failed(cause.to_string()))? {
            let entry = entry.map_err(|cause| failed(cause.to_string()))?.path();
            let name = entry.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| failed("a file's name is not UTF-8".to_owned()))?;
            let name = format!("{prefix}{name}");
            if entry.is_dir() {
                self.read(&entry, &format!("{name}/"), limit, room, depth + 1)?;
                continue;
            }
            let bytes = read_file(&entry, limit, room)?;
            self.files.insert(name, bytes);
        }
        Ok(())
    }

    /// The files, by their paths, in the order of these.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The bytes of one file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }
}

/// Directories in directories, at most: links could make a circle.
const MOST_DEPTH: usize = 8;

/// Reads a file of at most `room` bytes, and takes its length off `room`.
pub(crate) fn read_file(path: &Path, limit: u64, room: &mut u64) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;

    let failed = |cause: std::io::Error| Error::Read {
        path: path.display().to_string(),
        reason: cause.to_string(),
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    let read = file
        .take(room.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)? as u64;
    *room = room.checked_sub(read).ok_or(Error::TooLarge {
        what: "bytes",
        found: limit.saturating_add(1),
        limit,
    })?;
    Ok(bytes)
}

/// Names and lengths: the bytes are many.
impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.files().map(|(path, bytes)| (path, bytes.len())))
            .finish()
    }
}
