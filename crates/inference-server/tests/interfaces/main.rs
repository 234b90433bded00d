//! The server from outside, over sockets: what TensorFlow Serving's documentation shows, and what
//! becomes of requests while models come and go.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod documentation;
mod foreign;
mod grpc;
mod process;
mod refusals;
mod saved_models;
mod support;
mod swaps;
