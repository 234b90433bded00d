//! What only the embedded broker does, or what only a broker of one's own can be put through:
//! restarts that forget everything, hostile bytes, bounds on memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../clients/mod.rs"]
mod clients;

mod hostile_bytes;
mod limits;
mod restart;
mod retention;
mod unserved;

use clients::cluster::Cluster;
use embedded_kafka::{Broker, Options};

/// A broker on a free port, with options that differ from the default.
fn start(options: Options) -> (Broker, Cluster) {
    let listen = "127.0.0.1:0".to_owned();
    let broker = Broker::start(Options { listen, ..options }).expect("the broker starts");
    let cluster = Cluster::at(broker.bootstrap());
    (broker, cluster)
}
