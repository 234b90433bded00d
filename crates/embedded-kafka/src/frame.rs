//! Requests as they come off a connection: a length, and as many bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes that a request other than Produce may have.
const MOST: usize = 2 << 20;
/// Bytes for which room is made before any of them has come.
const FIRST: usize = 64 << 10;
/// A request has an API key, a version and a correlation id at least.
const LEAST: usize = 8;

/// Reads the next request; `None` if the client closed the connection before it.
///
/// # Errors
/// When the connection breaks, or when the request is too short or too long.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    from: &mut R,
    max_produce: usize,
) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match from.read(&mut length).await? {
        0 => return Ok(None),
        4 => {}
        some => {
            let rest = length.get_mut(some..).unwrap_or_default();
            from.read_exact(rest).await?;
        }
    }
    let length = i32::from_be_bytes(length);
    let bad =
        |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes {why}"));
    let size = usize::try_from(length).ok().filter(|size| *size >= LEAST);
    let size = size.ok_or_else(|| bad("are no request"))?;
    if size > max_produce.max(MOST) {
        return Err(bad("are more than a request may have"));
    }
    let mut frame = BytesMut::with_capacity(size.min(FIRST));
    fill(from, &mut frame, size.min(FIRST)).await?;
    if size > MOST && !frame.starts_with(&(ApiKey::Produce as i16).to_be_bytes()) {
        return Err(bad("are more than this request may have"));
    }
    if size > FIRST {
        frame.reserve(size - frame.len());
        fill(from, &mut frame, size).await?;
    }
    Ok(Some(frame.freeze()))
}

async fn fill<R: AsyncRead + Unpin>(
    from: &mut R,
    frame: &mut BytesMut,
    size: usize,
) -> io::Result<()> {
    let mut from = from.take((size - frame.len()) as u64);
    while frame.len() < size {
        if from.read_buf(frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(bytes: &[u8], max_produce: usize) -> io::Result<Option<Bytes>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut from = bytes;
        runtime.block_on(read(&mut from, max_produce))
    }

    fn framed(api: i16, size: usize) -> Vec<u8> {
        let mut bytes = (size as i32).to_be_bytes().to_vec();
        bytes.extend(api.to_be_bytes());
        bytes.resize(size + 4, 1);
        bytes
    }

    #[test]
    fn a_request_is_read_whole() {
        for size in [LEAST, FIRST, FIRST + 1, MOST] {
            let bytes = framed(3, size);
            assert_eq!(read_from(&bytes, 0).unwrap().unwrap(), bytes[4..]);
        }
        assert_eq!(read_from(&[], 0).unwrap(), None);
    }

    #[test]
    fn only_produce_requests_may_be_large() {
        assert!(read_from(&framed(0, MOST + 1), MOST + 1).is_ok());
        assert!(read_from(&framed(0, MOST + 2), MOST + 1).is_err());
        assert!(read_from(&framed(3, MOST + 1), MOST + 1).is_err());
    }

    #[test]
    fn lengths_that_are_none_are_refused() {
        for length in [i32::MIN, -1, 0, 7, i32::MAX] {
            let mut bytes = length.to_be_bytes().to_vec();
            bytes.extend([0; 100]);
            assert!(read_from(&bytes, 100 << 20).is_err(), "{length}");
        }
        assert!(
            read_from(&framed(3, 100)[..50], 0).is_err(),
            "the rest is missing"
        );
    }
}
