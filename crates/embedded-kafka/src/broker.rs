use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use kafka_protocol::protocol::StrBytes;
use tokio::net::{TcpListener, lookup_host};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::group;
use crate::node::{Endpoint, Node};
use crate::options::Options;
use crate::retention;
use crate::server::{self, Advertised};

/// More threads than this do not serve faster.
const MOST_THREADS: usize = 4;

/// A running broker. It stops when it is dropped.
///
/// It serves on threads of its own, so it can be started and stopped from anywhere, from within
/// an asynchronous runtime too.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker; when this returns, it serves.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] if the port is taken, [`Error::Listen`] if it cannot listen for
    /// another reason, [`Error::Address`] and [`Error::Advertise`] for addresses that are none,
    /// [`Error::Threads`] if no threads can be had.
    pub fn start(options: Options) -> Result<Broker, Error> {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("embedded-kafka".to_owned())
            .spawn(move || run(options, &tell, stopped))
            .map_err(Error::Threads)?;
        match told.recv() {
            Ok(Ok(address)) => Ok(Broker {
                address,
                stop: Some(stop),
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Threads(io::Error::other(
                "the broker's thread ended",
            ))),
        }
    }

    /// The address that it listens on, with the real port if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client on this machine is given as bootstrap servers, such as `127.0.0.1:9092`.
    pub fn bootstrap(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port()).to_string()
    }

    /// Closes the port and every connection; when this returns, both are closed.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the broker's thread panicked");
        }
    }
}

fn run(
    options: Options,
    tell: &mpsc::Sender<Result<SocketAddr, Error>>,
    stopped: oneshot::Receiver<()>,
) {
    let started = runtime(&options).and_then(|runtime| {
        let (listeners, advertised) = runtime.block_on(listen(&options))?;
        Ok((runtime, listeners, advertised))
    });
    let (runtime, listeners, advertised) = match started {
        Ok(started) => started,
        Err(error) => {
            // Whoever asked is waiting for this; if not, nobody needs to know.
            drop(tell.send(Err(error)));
            return;
        }
    };
    runtime.block_on(async {
        let node = Arc::new(Node::new(options));
        let mut tasks = JoinSet::new();
        tasks.spawn(retention::run(Arc::clone(&node)));
        tasks.spawn(group::keep_time(Arc::clone(&node)));
        let address = listeners
            .first()
            .and_then(|listener| listener.local_addr().ok());
        for listener in listeners {
            tasks.spawn(server::accept(
                listener,
                Arc::clone(&node),
                advertised.clone(),
            ));
        }
        if let Some(address) = address {
            tracing::info!(%address, leader_epoch = node.leader_epoch, "broker started");
            drop(tell.send(Ok(address)));
            // An error means that the handle is gone, which also ends it.
            drop(stopped.await);
        }
        tasks.shutdown().await;
    });
    // Ends the connections' tasks; their sockets close with them.
    drop(runtime);
}

fn runtime(options: &Options) -> Result<Runtime, Error> {
    let threads = match options.threads {
        0 => std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MOST_THREADS),
        threads => threads,
    };
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("embedded-kafka")
        .enable_all()
        .build()
        .map_err(Error::Threads)
}

/// Binds every address that the name to listen on stands for.
async fn listen(options: &Options) -> Result<(Vec<TcpListener>, Advertised), Error> {
    let address = || options.listen.clone();
    let (host, _) = split(&options.listen).ok_or_else(|| Error::Address { address: address() })?;
    let found = lookup_host(&options.listen).await;
    let found = found.map_err(|source| Error::Listen {
        address: address(),
        source,
    })?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    let mut listeners: Vec<TcpListener> = Vec::new();
    for mut candidate in addresses {
        if let Some(first) = listeners.first().and_then(|first| first.local_addr().ok()) {
            candidate.set_port(first.port());
        }
        match TcpListener::bind(candidate).await {
            Ok(listener) => listeners.push(listener),
            // A name may stand for addresses that this machine does not have.
            Err(error) if !listeners.is_empty() => {
                tracing::warn!(address = %candidate, %error, "not listening here");
            }
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                return Err(Error::AddressInUse {
                    address: address(),
                    source,
                });
            }
            Err(source) => {
                return Err(Error::Listen {
                    address: address(),
                    source,
                });
            }
        }
    }
    let bound = listeners
        .first()
        .and_then(|listener| listener.local_addr().ok());
    let bound = bound.ok_or_else(|| Error::Address { address: address() })?;
    let at = |host: &str, port: u16| {
        Advertised::At(Endpoint {
            host: StrBytes::from_string(host.to_owned()),
            port: i32::from(port),
        })
    };
    let advertised = match &options.advertise {
        Some(advertise) => match split(advertise) {
            Some((host, port)) => at(host, port),
            None if advertise.is_empty() || advertise.contains(['/', ' ']) => {
                return Err(Error::Advertise {
                    address: advertise.clone(),
                });
            }
            None => at(advertise, bound.port()),
        },
        None if bound.ip().is_unspecified() => Advertised::Reached,
        None => at(host, bound.port()),
    };
    Ok((listeners, advertised))
}

/// Takes `HOST:PORT` apart; the host of an IPv6 address is in brackets.
fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(host) => host,
        None if host.is_empty() || host.contains(':') => return None,
        None => host,
    };
    Some((host, port.parse().ok()?))
}
