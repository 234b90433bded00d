use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long a client may take to send the head of a request, and so how long an idle connection is
/// kept.
const HEAD: Duration = Duration::from_secs(120);
/// How long a client may be silent on HTTP/2 before it is asked whether it is still there, and how
/// long it then has.
const IDLE: Duration = Duration::from_secs(30);
/// Requests of one HTTP/2 connection that may be under way at once.
const STREAMS: u32 = 1024;
/// Bytes of a stream, and of a connection, that may be on their way: enough for a large tensor not
/// to wait for acknowledgements.
const WINDOW: u32 = 4 << 20;
/// How often a failing listener is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers requests with `router`, over HTTP/1.1 and HTTP/2, until `stop` turns true; then takes no
/// more of them, and returns when those under way are answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(Some(IDLE))
        .keep_alive_timeout(IDLE)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Of a client that went away, or of file descriptors that ran out.
                tracing::debug!("a connection was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
