use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use configuration::InferenceServer;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::catalogue::Catalogue;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::watcher::Watcher;
use crate::{Error, connections, grpc, rest};

const HTTP: &str = "127.0.0.1:8501";
const GRPC: &str = "127.0.0.1:8500";
/// How soon a version that may be in the middle of being copied is looked at again, if the
/// directory is not looked at sooner.
const SETTLE: Duration = Duration::from_millis(500);

/// A running server.
pub struct Server {
    http: SocketAddr,
    grpc: SocketAddr,
    stop: watch::Sender<bool>,
    served: mpsc::Receiver<()>,
    /// The watcher goes on while this is here.
    watching: Sender<()>,
    watcher: JoinHandle<()>,
    runtime: Runtime,
}

impl Server {
    /// Loads the models that are there, and serves them, and those that come, until it is stopped.
    ///
    /// # Errors
    /// When the directory of models cannot be read, or an address cannot be had. A model that
    /// cannot be loaded is logged, and is no error.
    pub fn start(settings: &InferenceServer) -> Result<Self, Error> {
        let listen = |address: &Option<String>, default: &str, flag| {
            let address = address.as_deref().unwrap_or(default);
            listen(address, flag)
        };
        let http = listen(&settings.http, HTTP, "--http")?;
        let grpc = listen(&settings.grpc, GRPC, "--grpc")?;
        let addresses = (http.local_addr()?, grpc.local_addr()?);
        let catalogue = Arc::new(Catalogue::default());
        let metrics = Arc::new(Metrics::new()?);
        let mut watcher = Watcher::new(
            settings.models.clone(),
            Arc::clone(&catalogue),
            Arc::clone(&metrics),
        );
        watcher.look(true).map_err(|source| Error::Models {
            directory: settings.models.display().to_string(),
            source,
        })?;
        let service = Arc::new(Service::new(
            catalogue,
            metrics,
            settings.request_limit.max(1) as usize * (1 << 20),
            settings.request_timeout.get(),
        ));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("requests")
            .enable_all()
            .build()?;
        let (stop, stopped) = watch::channel(false);
        // Both tasks hold the sender: when both are done, the receiver knows.
        let (serving, served) = mpsc::channel(1);
        let routers = [rest::router(Arc::clone(&service)), grpc::router(service)];
        for (listener, router) in [http, grpc].into_iter().zip(routers) {
            let _context = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (stopped, serving) = (stopped.clone(), serving.clone());
            runtime.spawn(async move {
                connections::serve(listener, router, stopped).await;
                drop(serving);
            });
        }
        let interval = settings.poll_interval.get().max(Duration::from_millis(1));
        let (watching, watched) = channel();
        let watcher = std::thread::Builder::new()
            .name("models".to_owned())
            .spawn(move || follow(watcher, interval, &watched))?;
        Ok(Self {
            http: addresses.0,
            grpc: addresses.1,
            stop,
            served,
            watching,
            watcher,
            runtime,
        })
    }

    /// The address of the REST interface.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The address of the gRPC interface.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Accepts nothing more, and waits for the requests under way, for no longer than `patience`.
    /// Returns whether all of them have been answered.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.stop.send_replace(true);
        let served = &mut self.served;
        let drained = self
            .runtime
            .block_on(async { tokio::time::timeout(patience, served.recv()).await });
        drop(self.watching);
        // A model that is being loaded is not waited for.
        if self.watcher.is_finished() {
            let _ = self.watcher.join();
        }
        self.runtime.shutdown_background();
        drained.is_ok()
    }
}

fn listen(address: &str, flag: &'static str) -> Result<TcpListener, Error> {
    let address = address.to_owned();
    if !address.contains(':') {
        return Err(Error::Syntax { address, flag });
    }
    let bound = TcpListener::bind(&address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|source| Error::Listen {
        address,
        flag,
        source,
    })
}

/// Looks at the models again and again, until nobody watches any more.
fn follow(mut watcher: Watcher, interval: Duration, watched: &Receiver<()>) {
    let mut pause = interval;
    let mut logged = None;
    while watched.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        match watcher.look(false) {
            Ok(waits) => {
                logged = None;
                pause = if waits {
                    interval.min(SETTLE)
                } else {
                    interval
                };
            }
            Err(error) => {
                let error = error.to_string();
                if logged.as_ref() != Some(&error) {
                    tracing::error!("the directory of models cannot be read: {error}");
                    logged = Some(error);
                }
            }
        }
    }
}
