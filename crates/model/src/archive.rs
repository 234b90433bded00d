//! A directory as one file: tar, as it is or compressed.
//!
//! Archives come from outside. They are unpacked in memory alone, and what an entry could do
//! to a file system (leave the directory, link, be a device) is refused all the same: such an
//! archive is no model, and whoever unpacks it next may have a file system.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use tar::{Archive, Entry, EntryType, Header};
use tensor::Directory;

/// Entries of an archive, at most: a SavedModel has a few files, and an asset now and then.
const MOST_ENTRIES: usize = 10_000;
/// Bytes of an entry's path, at most.
const LONGEST_PATH: usize = 1024;
/// The unit of tar.
const BLOCK: usize = 512;
/// What tar adds to the files, at most: a header, padding, and long names for each entry.
const OVERHEAD: u64 = MOST_ENTRIES as u64 * 8 * BLOCK as u64;

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bytes are no archive, or a damaged one.
    #[error("the archive cannot be read")]
    Unreadable(#[source] io::Error),
    /// It ends before its end.
    #[error("the archive is cut off")]
    CutOff,
    /// An entry is not one that a model has.
    #[error("the archive's entry `{path}` is refused: {reason}")]
    Entry {
        /// Its path, as far as it is text.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is too much in it.
    #[error("the archive has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is accepted.
        limit: u64,
    },
}

/// Whether these are the first bytes of something that [`unpack`] takes.
#[must_use]
pub fn is_archive(bytes: &[u8]) -> bool {
    compression(bytes).is_some() || is_tar(bytes)
}

#[derive(Clone, Copy)]
enum Compression {
    Zstd,
    Gzip,
}

fn compression(bytes: &[u8]) -> Option<Compression> {
    // RFC 8878, 3.1.1; RFC 1952, 2.3.1.
    if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Compression::Zstd)
    } else if bytes.starts_with(&[0x1f, 0x8b]) {
        Some(Compression::Gzip)
    } else {
        None
    }
}

/// POSIX archives have a magic; those from before have only the checksum of their first header. An
/// archive of nothing begins with the end, a block of zeros.
fn is_tar(bytes: &[u8]) -> bool {
    let Some(block) = bytes.first_chunk::<BLOCK>() else {
        return false;
    };
    if block.iter().all(|&byte| byte == 0) {
        return true;
    }
    let header = Header::from_byte_slice(block);
    // The field of the sum itself counts as spaces.
    let sum = |at: usize, byte: u8| u32::from(if (148..156).contains(&at) { b' ' } else { byte });
    let sum: u32 = block.iter().enumerate().map(|(at, &b)| sum(at, b)).sum();
    header.cksum().is_ok_and(|said| said == sum)
}

/// Unpacks tar, which may be compressed with zstd or gzip, in memory.
///
/// Entries are files and directories, with relative paths. `limit` is for the bytes of all files
/// together.
///
/// # Errors
/// When it is no such archive, is damaged or cut off; when an entry would lie outside the
/// directory, is a link or a device, or is there twice; when there is too much in it, whether it
/// says so or turns out so.
pub fn unpack(bytes: &[u8], limit: u64) -> Result<Directory, ArchiveError> {
    match compression(bytes) {
        None => read(bytes, limit),
        Some(Compression::Gzip) => read(flate2::read::MultiGzDecoder::new(bytes), limit),
        Some(Compression::Zstd) => {
            let decoder = zstd::Decoder::with_buffer(bytes).map_err(ArchiveError::Unreadable)?;
            read(decoder, limit)
        }
    }
}

fn read(reader: impl Read, limit: u64) -> Result<Directory, ArchiveError> {
    let mut counted = Counted {
        reader,
        read: 0,
        last: 0,
        limit: limit.saturating_add(OVERHEAD),
    };
    let failed = |error: io::Error| match error.get_ref() {
        Some(inner) if inner.is::<Bomb>() => ArchiveError::TooLarge {
            what: "bytes",
            limit,
        },
        _ if error.kind() == io::ErrorKind::UnexpectedEof => ArchiveError::CutOff,
        _ => ArchiveError::Unreadable(error),
    };
    let mut files = BTreeMap::new();
    let mut room = limit;
    let mut archive = Archive::new(&mut counted);
    for (number, entry) in archive.entries().map_err(failed)?.enumerate() {
        let mut entry = entry.map_err(failed)?;
        if number >= MOST_ENTRIES {
            return Err(ArchiveError::TooLarge {
                what: "entries",
                limit: MOST_ENTRIES as u64,
            });
        }
        let Some(path) = path(&entry)? else { continue };
        let refused = |reason: &str| ArchiveError::Entry {
            path: path.clone(),
            reason: reason.to_owned(),
        };
        let announced = entry.size();
        if announced > room {
            return Err(refused(&format!(
                "it has {announced} bytes, of {limit} that all files together may have"
            )));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 != announced {
            return Err(ArchiveError::CutOff);
        }
        room -= announced;
        if files.insert(path.clone(), bytes).is_some() {
            return Err(refused("it is there twice"));
        }
    }
    // Checksums of compressed data are at its end, which tar has no need to read.
    io::copy(&mut counted, &mut io::sink()).map_err(failed)?;
    if counted.read.saturating_sub(counted.last) < BLOCK as u64 {
        // The end is marked by blocks of zeros.
        return Err(ArchiveError::CutOff);
    }
    Ok(Directory::new(files))
}

/// The path of a file, relative and without `.`; `None` for an entry that is no file and harmless.
fn path(entry: &Entry<'_, impl Read>) -> Result<Option<String>, ArchiveError> {
    let raw = entry.path_bytes();
    let shown = String::from_utf8_lossy(raw.get(..LONGEST_PATH).unwrap_or(&raw)).into_owned();
    let refused = |reason: &str| {
        Err(ArchiveError::Entry {
            path: shown.clone(),
            reason: reason.to_owned(),
        })
    };
    let kind = entry.header().entry_type();
    match kind {
        EntryType::Regular | EntryType::Directory => {}
        // What git writes: a comment.
        EntryType::XGlobalHeader => return Ok(None),
        EntryType::Symlink => return refused("it is a symbolic link"),
        EntryType::Link => return refused("it is a hard link"),
        EntryType::Char | EntryType::Block => return refused("it is a device"),
        EntryType::Fifo => return refused("it is a FIFO"),
        _ => return refused("it is neither a file nor a directory"),
    }
    if raw.len() > LONGEST_PATH {
        return refused(&format!("its path is longer than {LONGEST_PATH} bytes"));
    }
    let Ok(text) = std::str::from_utf8(&raw) else {
        return refused("its path is not UTF-8");
    };
    if text.starts_with('/') {
        return refused("its path is absolute");
    }
    if text.contains('\\') || text.chars().any(char::is_control) {
        return refused("its path has a character that paths have not");
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return refused("its path leads out of the directory");
    }
    let drive = |part: &str| part.as_bytes().get(1) == Some(&b':');
    if parts.first().is_some_and(|part| drive(part)) {
        return refused("its path has a drive letter");
    }
    if kind == EntryType::Directory {
        return Ok(None);
    }
    if parts.is_empty() || text.ends_with('/') {
        return refused("a file needs a name");
    }
    Ok(Some(parts.join("/")))
}

/// Packs a directory as tar. The same directory gives the same bytes: nothing of the machine, the
/// user or the time is in it.
///
/// # Errors
/// When a path is longer than tar has room for.
pub fn pack(directory: &Directory) -> io::Result<Bytes> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in directory.files() {
        let mut header = Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes)?;
    }
    builder.into_inner().map(Bytes::from)
}

/// The name of the file that makes a directory a SavedModel.
const SAVED_MODEL: &str = "saved_model.pb";

/// The SavedModel in a directory: the directory itself, or the one directory in it that has a
/// `saved_model.pb`, as of an archive of `wine/1/`.
///
/// # Errors
/// The directories that have one, when there is not exactly one.
pub(crate) fn saved_model(directory: &Arc<Directory>) -> Result<Arc<Directory>, BTreeSet<String>> {
    let prefixes: BTreeSet<&str> = directory
        .files()
        .filter_map(|(path, _)| path.strip_suffix(SAVED_MODEL))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
        .collect();
    let mut prefixes_left = prefixes.iter();
    let (Some(prefix), None) = (prefixes_left.next(), prefixes_left.next()) else {
        return Err(prefixes.into_iter().map(str::to_owned).collect());
    };
    if prefix.is_empty() {
        return Ok(Arc::clone(directory));
    }
    let files = directory.files().filter_map(|(path, bytes)| {
        let path = path.strip_prefix(prefix)?;
        Some((path.to_owned(), bytes.to_vec()))
    });
    Ok(Arc::new(Directory::new(files.collect())))
}

/// A SavedModel that is its `saved_model.pb` alone, as one without variables may be.
pub(crate) fn saved_model_alone(bytes: &[u8]) -> Directory {
    Directory::new([(SAVED_MODEL.to_owned(), bytes.to_vec())].into())
}

/// Counts what is read, and stops at a limit: a few bytes can be unpacked to very many.
struct Counted<R> {
    reader: R,
    read: u64,
    /// Up to after the last byte that is not zero.
    last: u64,
    limit: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("it becomes too large")]
struct Bomb;

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if let Some(at) = bytes.iter().rposition(|&byte| byte != 0) {
            self.last = self.read + at as u64 + 1;
        }
        self.read += read as u64;
        if self.read > self.limit {
            return Err(io::Error::other(Bomb));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
