use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// A file that says where state queries are answered, `HOST:PORT` on one line, while the server runs.
/// Of several servers in one directory, it names the one that came last.
pub(crate) struct AddressFile {
    path: PathBuf,
    line: String,
}

impl AddressFile {
    /// Writes it. Where that cannot be, a warning says so: the server does without.
    pub(crate) fn write(path: &Path, address: SocketAddr) -> Option<Self> {
        let file = Self {
            path: path.to_owned(),
            line: format!("{}\n", reachable(address)),
        };
        match file.put() {
            Ok(()) => Some(file),
            Err(error) => {
                let path = path.display();
                tracing::warn!("{path} cannot be written, so state queries need --id: {error}");
                None
            }
        }
    }

    /// Whoever reads the file finds it whole, or not at all.
    fn put(&self) -> io::Result<()> {
        let mut draft = self.path.clone().into_os_string();
        // Servers in one directory differ in their addresses.
        draft.push(format!(".{}", self.line.trim_end().replace(':', "_")));
        std::fs::write(&draft, &self.line)?;
        std::fs::rename(&draft, &self.path).inspect_err(|_| {
            // What cannot be renamed is of no use.
            let _ = std::fs::remove_file(&draft);
        })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // By now it may be a later server's.
        if std::fs::read_to_string(&self.path).is_ok_and(|line| line == self.line) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The address that a program on this machine can connect to: a server that listens on all addresses
/// is reached by the loopback one.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_file_is_there_while_the_server_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.id");
        let file = AddressFile::write(&path, address("127.0.0.1:5502"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "127.0.0.1:5502\n");
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "no draft is left"
        );
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_of_a_later_server_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.id");
        let first = AddressFile::write(&path, address("127.0.0.1:1"));
        let second = AddressFile::write(&path, address("[::]:2"));
        drop(first);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[::1]:2\n");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_done_without() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = directory.path().join("missing").join("server.id");
        assert!(AddressFile::write(&nowhere, address("0.0.0.0:1")).is_none());
        // A directory in its place.
        assert!(AddressFile::write(directory.path(), address("0.0.0.0:1")).is_none());
        assert!(directory.path().is_dir());
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_by_the_loopback_one() {
        assert_eq!(reachable(address("0.0.0.0:1")), address("127.0.0.1:1"));
        assert_eq!(reachable(address("10.0.0.7:1")), address("10.0.0.7:1"));
    }
}
