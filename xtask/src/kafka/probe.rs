//! Whether a broker really answers.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a connection, and an answer, may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A Metadata request of version 1 that asks for no topics
/// (<https://kafka.apache.org/protocol#The_Messages_Metadata>), behind its length: API 3, version 1,
/// correlation id 7, client id `x`, an empty list of topics.
const REQUEST: [u8; 19] = [0, 0, 0, 15, 0, 3, 0, 1, 0, 0, 0, 7, 0, 1, b'x', 0, 0, 0, 0];

/// The length of the answer, then the correlation id and the number of brokers.
const HEAD: usize = 12;

/// Whether the broker at `address` knows of a broker that serves, which is itself. It listens before
/// that, and for a moment knows none.
///
/// The few bytes are written out here because a library for them would be one that the programs link
/// too.
pub(crate) fn answers(address: &str) -> bool {
    ask(address).is_some_and(|brokers| brokers > 0)
}

/// The number of brokers that the broker at `address` knows.
fn ask(address: &str) -> Option<u32> {
    let address = address.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(TIMEOUT)).ok()?;
    stream.write_all(&REQUEST).ok()?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).ok()?;
    let [_, _, _, _, c0, c1, c2, c3, n0, n1, n2, n3] = head;
    ([c0, c1, c2, c3] == [0, 0, 0, 7]).then(|| u32::from_be_bytes([n0, n1, n2, n3]))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A listener that answers a request with these bytes.
    fn answering(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; REQUEST.len()]).unwrap();
            stream.write_all(bytes).unwrap();
        });
        address
    }

    #[test]
    fn a_broker_that_knows_itself_answers() {
        assert!(answers(&answering(&[
            0, 0, 0, 40, 0, 0, 0, 7, 0, 0, 0, 1, 0
        ])));
    }

    #[test]
    fn a_broker_that_knows_none_does_not_answer_yet() {
        assert!(!answers(&answering(&[0, 0, 0, 16, 0, 0, 0, 7, 0, 0, 0, 0])));
    }

    #[test]
    fn something_else_and_nothing_do_not_answer() {
        assert!(!answers(&answering(b"HTTP/1.1 400 Bad Request\r\n")));
        assert!(!answers(&answering(b"")));
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        assert!(!answers(&address));
        assert!(!answers("no address"));
    }
}
