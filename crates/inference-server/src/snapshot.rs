use std::path::Path;
use std::time::SystemTime;

/// Directories in directories, at most: links could make a circle.
const MOST_DEPTH: usize = 8;
/// Files of a version that are looked at, at most.
const MOST_FILES: usize = 100_000;

/// What can be seen of the files of a version without reading them: when something is copied into
/// its directory, or replaced there, this changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    files: Vec<(String, u64, Option<SystemTime>)>,
}

impl Snapshot {
    pub(crate) fn take(directory: &Path) -> std::io::Result<Self> {
        let mut snapshot = Self::default();
        snapshot.add(directory, "", 0)?;
        snapshot.files.sort();
        Ok(snapshot)
    }

    fn add(&mut self, directory: &Path, prefix: &str, depth: usize) -> std::io::Result<()> {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{prefix}{name}");
            // A file that goes away while it is looked at is a change, not an error.
            let Ok(metadata) = std::fs::metadata(&path) else {
                self.files.push((name, 0, None));
                continue;
            };
            if self.files.len() >= MOST_FILES {
                return Err(std::io::Error::other("there are too many files"));
            }
            if metadata.is_dir() && depth < MOST_DEPTH {
                self.add(&path, &format!("{name}/"), depth + 1)?;
            } else {
                let changed = metadata.modified().ok();
                self.files.push((name, metadata.len(), changed));
            }
        }
        Ok(())
    }
}
