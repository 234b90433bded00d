//! Where the Rust layer of librdkafka costs too much, or hides something: the only unsafe code.
//!
//! Everything here is built on pointers that belong to a client, so what is made of one is owned
//! together with it, or borrows from what is.

mod consumer;
mod message;
mod producer;

pub(crate) use consumer::Consumer;
pub(crate) use message::Message;
pub(crate) use producer::Producer;
