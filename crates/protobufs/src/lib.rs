//! The wire contract: messages generated from the files in `proto`, and nothing else.
//!
//! Fields of type `bytes` are [`bytes::Bytes`]: decoding from `Bytes` shares, it does not copy.

include!(concat!(env!("OUT_DIR"), "/_.rs"));
