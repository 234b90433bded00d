//! Single requests on a socket, for what librdkafka does not send, or not on demand.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    MetadataRequest, RequestHeader, ResponseHeader, TopicName,
    metadata_request::MetadataRequestTopic,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::PATIENCE;

pub(crate) struct Connection {
    stream: TcpStream,
    sent: i32,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, sent: 0 }
    }

    /// Sends a request in the given version and reads its response.
    pub(crate) fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request);
        self.receive::<R>(version)
    }

    /// Sends a request whose response is read later.
    pub(crate) fn send<R: Request>(&mut self, version: i16, request: &R) {
        let mut body = BytesMut::new();
        request
            .encode(&mut body, version)
            .expect("the request can be encoded");
        self.send_request(R::KEY, version, R::header_version(version), &body);
    }

    /// The response to the request that was sent last.
    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let mut response = self.receive_frame().expect("a response");
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut response, header_version).unwrap();
        assert_eq!(header.correlation_id, self.sent);
        let decoded = R::Response::decode(&mut response, version).expect("a well-formed response");
        assert!(
            response.is_empty(),
            "{} bytes follow the response",
            response.len()
        );
        decoded
    }

    /// Sends a request of any kind, its body already encoded.
    pub(crate) fn send_request(
        &mut self,
        key: i16,
        version: i16,
        header_version: i16,
        body: &[u8],
    ) {
        self.sent += 1;
        let header = RequestHeader::default()
            .with_request_api_key(key)
            .with_request_api_version(version)
            .with_correlation_id(self.sent)
            .with_client_id(Some(StrBytes::from_static_str("wire")));
        let mut request = BytesMut::new();
        header.encode(&mut request, header_version).unwrap();
        request.extend_from_slice(body);
        self.send_frame(&request);
    }

    /// Sends bytes behind their length. An error is left to the next read: the broker may have
    /// closed the connection already.
    pub(crate) fn send_frame(&mut self, frame: &[u8]) {
        self.send_raw(&(frame.len() as i32).to_be_bytes());
        self.send_raw(frame);
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let _closed = self.stream.write_all(bytes);
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) {
        let _closed = self.stream.shutdown(Shutdown::Write);
    }

    /// The next response, or `None` at the end of the connection. Silence fails the test.
    pub(crate) fn receive_frame(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        if !self.fill(&mut length) {
            return None;
        }
        let mut frame = vec![0; i32::from_be_bytes(length) as usize];
        assert!(
            self.fill(&mut frame),
            "the connection ends inside a response"
        );
        Some(frame.into())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
        match self.stream.read_exact(buffer) {
            Ok(()) => true,
            Err(error)
                if matches!(
                    error.kind(),
                    ConnectionAborted | ConnectionReset | UnexpectedEof
                ) =>
            {
                false
            }
            Err(error) => panic!("neither a response nor the end of the connection: {error}"),
        }
    }

    /// The number of partitions that have a leader, if the topic exists. Creates nothing.
    pub(crate) fn partitions(&mut self, topic: &str) -> Option<usize> {
        let request = MetadataRequest::default()
            .with_topics(Some(vec![
                MetadataRequestTopic::default().with_name(Some(topic_name(topic))),
            ]))
            .with_allow_auto_topic_creation(false);
        let response = self.call(5, &request);
        let topic = response.topics.first()?;
        (topic.error_code == 0).then(|| {
            topic
                .partitions
                .iter()
                .filter(|partition| partition.error_code == 0 && partition.leader_id.0 >= 0)
                .count()
        })
    }
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
