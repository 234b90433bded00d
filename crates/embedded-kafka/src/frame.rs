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
