//! Requests and responses as bytes.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, StrBytes};

use crate::guard::Guarded;

/// Record data shorter than this is copied into the response rather than sent from where it is.
const COPIED: usize = 2048;

/// Why a connection is closed: what came is no request, or no answer can be given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(String);

impl Malformed {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Malformed(why.into())
    }
}

/// A request whose header is read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) key: i16,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    pub(crate) client_id: Option<StrBytes>,
    /// Bytes of the whole request.
    pub(crate) size: usize,
    flexible: bool,
    body: Guarded,
}

impl Call {
    /// Reads the header of a request.
    pub(crate) fn read(frame: Bytes) -> Result<Call, Malformed> {
        let size = frame.len();
        let mut fixed = &frame[..];
        let (Ok(key), Ok(version)) = (fixed.try_get_i16(), fixed.try_get_i16()) else {
            return Err(Malformed::new(format!("{size} bytes are no request")));
        };
        let header_version = ApiKey::try_from(key).map_or(1, |k| k.request_header_version(version));
        let mut body = Guarded::new(frame);
        let header = RequestHeader::decode(&mut body, header_version)
            .map_err(|e| Malformed::new(format!("request header of API {key}: {e}")))?;
        Ok(Call {
            key,
            version,
            correlation: header.correlation_id,
            client_id: header.client_id,
            size,
            flexible: header_version >= 2,
            body,
        })
    }

    /// Reads the request itself.
    pub(crate) fn decode<R: Decodable>(&self) -> Result<R, Malformed> {
        let malformed = |e| {
            Malformed::new(format!(
                "request of API {} version {}: {e}",
                self.key, self.version
            ))
        };
        if !self.flexible {
            R::decode(&mut self.body.on_trial(), self.version).map_err(malformed)?;
        }
        R::decode(&mut self.body.clone(), self.version).map_err(malformed)
    }

    /// The request itself, for whoever reads it without the codec.
    pub(crate) fn body(&self) -> Bytes {
        self.body.bytes()
    }

    /// The start of a response: room for its length, and its header.
    pub(crate) fn begin(&self, header_version: i16, size: usize) -> Result<BytesMut, Malformed> {
        let mut out = BytesMut::with_capacity(size + 16);
        out.put_i32(0);
        ResponseHeader::default()
            .with_correlation_id(self.correlation)
            .encode(&mut out, header_version)
            .map_err(|e| Malformed::new(format!("response header: {e}")))?;
        Ok(out)
    }

    /// A response in the request's version.
    pub(crate) fn respond<P: Encodable + HeaderVersion>(
        &self,
        response: &P,
    ) -> Result<Response, Malformed> {
        self.respond_as(self.version, response)
    }

    /// A response in another version.
    pub(crate) fn respond_as<P: Encodable + HeaderVersion>(
        &self,
        version: i16,
        response: &P,
    ) -> Result<Response, Malformed> {
        let failed = |e| Malformed::new(format!("response of API {}: {e}", self.key));
        let size = response.compute_size(version).map_err(failed)?;
        let mut out = self.begin(P::header_version(version), size)?;
        response.encode(&mut out, version).map_err(failed)?;
        Parts::new(out).finish()
    }

    /// A response in the version nearest to another that the codec knows it in.
    pub(crate) fn respond_nearest<P: Encodable + HeaderVersion + Message>(
        &self,
        version: i16,
        response: &P,
    ) -> Result<Response, Malformed> {
        self.respond_as(version.clamp(P::VERSIONS.min, P::VERSIONS.max), response)
    }

    /// The answer to an API that has no shape here: only the error.
    pub(crate) fn respond_shapeless(&self, error: ResponseError) -> Result<Response, Malformed> {
        let mut out = self.begin(0, 2)?;
        out.put_i16(error.code());
        Parts::new(out).finish()
    }
}

/// A response that is put together from written bytes and record data that stays where it is.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The first part, with room for the length, once there are more.
    head: Option<BytesMut>,
    done: VecDeque<Bytes>,
    open: BytesMut,
}

impl Parts {
    pub(crate) fn new(begun: BytesMut) -> Self {
        Parts {
            head: None,
            done: VecDeque::new(),
            open: begun,
        }
    }

    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    /// Adds record data.
    pub(crate) fn append(&mut self, data: &Bytes) {
        if data.len() < COPIED {
            self.open.put_slice(data);
            return;
        }
        let written = self.open.split();
        if self.head.is_none() {
            self.head = Some(written);
        } else {
            self.done.push_back(written.freeze());
        }
        self.done.push_back(data.clone());
    }

    /// Puts the length in front.
    pub(crate) fn finish(mut self) -> Result<Response, Malformed> {
        let mut head = match self.head {
            Some(head) => {
                self.done.push_back(self.open.freeze());
                head
            }
            None => self.open,
        };
        let length = head.len() + self.done.iter().map(Bytes::len).sum::<usize>();
        let Ok(length) = i32::try_from(length.saturating_sub(4)) else {
            return Err(Malformed::new(format!(
                "a response of {length} bytes is too long"
            )));
        };
        if let Some(room) = head.first_chunk_mut::<4>() {
            *room = length.to_be_bytes();
        }
        self.done.push_front(head.freeze());
        Ok(Response { parts: self.done })
    }
}

/// A whole response, ready to be written.
#[derive(Debug)]
pub(crate) struct Response {
    parts: VecDeque<Bytes>,
}

impl Buf for Response {
    fn remaining(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| &part[..])
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, part) in into.iter_mut().zip(&self.parts) {
            *slot = IoSlice::new(part);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let Some(first) = self.parts.front_mut() else {
                return;
            };
            if first.len() > count {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.parts.pop_front();
        }
        while self.parts.front().is_some_and(Bytes::is_empty) {
            self.parts.pop_front();
        }
    }
}
