use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tensor::Directory;

/// The SHA-256 of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of a directory: SHA-256 over its files in the order of their paths, of each the
    /// path (relative, `/` between its parts, UTF-8), a NUL, and the 32 bytes of the file's own
    /// SHA-256. Paths are compared byte by byte.
    #[must_use]
    pub fn of_directory(directory: &Directory) -> Self {
        let mut hasher = Sha256::new();
        for (path, bytes) in directory.files() {
            hasher.update(path);
            hasher.update([0]);
            hasher.update(Sha256::digest(bytes));
        }
        Self(hasher.finalize().into())
    }

    /// Its first eight bytes, big endian: enough to tell models apart in a result.
    #[must_use]
    pub fn short(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// The short form, 16 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.short())
    }
}

/// A model in memory, as it was in the message or at its location: what changes there later does
/// not change what serves.
#[derive(Clone, Debug)]
pub enum Content {
    /// One file.
    Bytes(Bytes),
    /// Several files, by their paths.
    Directory(Arc<Directory>),
}

impl Content {
    /// The digest that a descriptor's `sha256` is compared with.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::Directory(directory) => Digest::of_directory(directory),
        }
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Directory(directory) => {
                directory.files().map(|(_, bytes)| bytes.len() as u64).sum()
            }
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Directory(directory) => directory.files().next().is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_standard() {
        // FIPS 180-4, the example for "abc".
        let digest = Digest::of(b"abc");
        assert_eq!(digest.short(), 0xba78_16bf_8f01_cfea);
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea");
    }

    #[test]
    fn the_digest_of_a_directory_is_what_pythons_hashlib_says() {
        // files = {"saved_model.pb": b"abc", "variables/variables.index": b"", "a-b": b"1", "a/b": b"2"}
        // digest = hashlib.sha256()
        // for path in sorted(files, key=str.encode):
        //     digest.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
        let files = [
            ("saved_model.pb", &b"abc"[..]),
            ("variables/variables.index", b""),
            ("a-b", b"1"),
            ("a/b", b"2"),
        ];
        let files = files.map(|(path, bytes)| (path.to_owned(), bytes.to_vec()));
        let digest = Digest::of_directory(&Directory::new(files.into()));
        let hex: String = digest.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "b93a059631f8ae832cfaf5240029220ae94af026749a873ee8e3a6e5490c04bf"
        );
    }
}
