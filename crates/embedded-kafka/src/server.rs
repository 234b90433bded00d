//! Listening, and serving the connections that come.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::api;
use crate::frame;
use crate::node::{Client, Endpoint, Node};

/// Bytes read ahead of the request that is served.
const READ_AHEAD: usize = 16 << 10;

/// What clients are told of where the broker is.
#[derive(Debug, Clone)]
pub(crate) enum Advertised {
    At(Endpoint),
    /// Wherever each of them reached it.
    Reached,
}

/// Serves whoever comes until it is dropped.
pub(crate) async fn accept(listener: TcpListener, node: Arc<Node>, advertised: Advertised) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
                continue;
            }
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others have to close first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        if connections.len() >= node.options.max_connections {
            tracing::warn!(%peer, "too many connections");
            continue;
        }
        let node = Arc::clone(&node);
        let advertised = advertised.clone();
        connections.spawn(async move {
            match serve(stream, peer, node, &advertised).await {
                Ok(()) => tracing::debug!(%peer, "connection closed"),
                Err(error) => tracing::debug!(%peer, %error, "connection closed"),
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    node: Arc<Node>,
    advertised: &Advertised,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let endpoint = match advertised {
        Advertised::At(endpoint) => endpoint.clone(),
        Advertised::Reached => {
            let reached = stream.local_addr()?;
            let host = StrBytes::from_string(reached.ip().to_canonical().to_string());
            Endpoint {
                host,
                port: i32::from(reached.port()),
            }
        }
    };
    let host = format!("/{}", peer.ip().to_canonical());
    let client = Client {
        node,
        endpoint,
        host,
    };
    let options = &client.node.options;
    let idle = options.idle_timeout;
    let mut stream = BufReader::with_capacity(READ_AHEAD, stream);
    // One request at a time, so answers are in order, and whoever does not read them is not read.
    loop {
        let read = frame::read(&mut stream, options.max_request_bytes);
        let Some(frame) = timeout(idle, read).await?? else {
            return Ok(());
        };
        match api::answer(&client, frame).await {
            Ok(Some(mut response)) => timeout(idle, stream.write_all_buf(&mut response)).await??,
            Ok(None) => {}
            Err(malformed) => return Err(io::Error::new(io::ErrorKind::InvalidData, malformed)),
        }
    }
}
