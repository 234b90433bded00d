//! The server from outside, over sockets: what TensorFlow Serving's documentation shows, and what
//! becomes of requests while models come and go.

mod documentation;
mod foreign;
mod grpc;
mod refusals;
mod support;
mod swaps;
