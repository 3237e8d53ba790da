//! The listener: connections with bounds and time-outs, and an end that finishes what was begun.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::auth::Tokens;
use crate::backend::Backend;
use crate::config::{HttpConfig, TokenConfig};
use crate::layer::Shared;
use crate::router;
use crate::trusted::Trusted;

/// Time for the head of a request, also for the next one on a connection that is kept.
const HEAD: Duration = Duration::from_secs(30);
/// Room for the head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Time that requests in work have left when the listener ends.
const ENDING: Duration = Duration::from_secs(5);

/// Why the listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Anyone who reaches that address could do everything.
    #[error(
        "http.address = {address} is reachable from elsewhere, and no token is set: add one under [[http.token]] (`tocsin token NAME --role admin` makes it), or listen on 127.0.0.1"
    )]
    OpenToAll { address: SocketAddr },
    /// Taken by another process, perhaps.
    #[error("cannot listen on http.address = {address}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// What a listener of this config answers, without the listener.
pub fn answers(config: HttpConfig, backend: Arc<dyn Backend>, trusted: Trusted) -> Router {
    let tokens = Tokens::new(config.tokens.clone(), config.tokens.is_empty());
    // Streams end as soon as they have begun.
    let (_, ending) = watch::channel(true);
    router::router(&Shared::new(config, tokens, backend, trusted, ending), Router::new())
}

/// The listener, bound and not yet serving. Connections made meanwhile wait.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: HttpConfig,
    open: bool,
    trusted: Trusted,
    extra: Router,
}

impl Server {
    /// Takes the address. Refuses one that others can reach while no token is set.
    pub async fn bind(config: HttpConfig) -> Result<Self, BindError> {
        let address = config.address;
        let open = config.tokens.is_empty();
        if config.is_open_to_all() {
            return Err(BindError::OpenToAll { address });
        }
        let unusable = |source| BindError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(unusable)?;
        let local_addr = listener.local_addr().map_err(unusable)?;
        Ok(Self { listener, local_addr, config, open, trusted: Trusted::default(), extra: Router::new() })
    }

    /// Where it listens; the port that was given where 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Whether everyone on this machine may do everything, because no token is set.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Knows one more token, such as the process's own for its command line. It does not count as one that is set.
    #[must_use]
    pub fn allow(mut self, token: TokenConfig) -> Self {
        self.config.tokens.push(token);
        self
    }

    /// Believes what these keys have signed.
    #[must_use]
    pub fn trust(mut self, trusted: Trusted) -> Self {
        self.trusted = trusted;
        self
    }

    /// Answers these paths too. They pass the same layer; each checks [`crate::Auth`], an extension of the request, itself.
    #[must_use]
    pub fn mount(mut self, extra: Router) -> Self {
        self.extra = self.extra.merge(extra);
        self
    }

    /// Serves until `shutdown` is done; then streams end, and requests in work have five seconds left.
    #[expect(clippy::missing_panics_doc, reason = "the semaphore is never closed")]
    pub async fn serve(self, backend: Arc<dyn Backend>, shutdown: impl Future<Output = ()>) {
        let (end, ending) = watch::channel(false);
        let tokens = Tokens::new(self.config.tokens.clone(), self.open);
        let connections = Arc::new(Semaphore::new(self.config.connections_max));
        let shared = Shared::new(self.config, tokens, backend, self.trusted, ending);
        let service = TowerToHyperService::new(router::router(&shared, self.extra));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES_MAX);

        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let next = async {
                let room = Arc::clone(&connections).acquire_owned().await.expect("it is never closed");
                (room, self.listener.accept().await)
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = tasks.join_next() => (),
                (room, accepted) = next => match accepted {
                    Ok((stream, _)) => {
                        // Where it cannot be set, small answers are a little slower.
                        _ = stream.set_nodelay(true);
                        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
                        let connection = graceful.watch(connection);
                        tasks.spawn(async move {
                            if let Err(error) = connection.await {
                                tracing::debug!(%error, "a connection broke");
                            }
                            drop(room);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        // Out of file descriptors, most likely: some are given back as connections end.
                        sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        drop(self.listener);
        // Streams of events would never end by themselves. Without one nobody listens, which is as well.
        _ = end.send(true);
        if timeout(ENDING, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were cut off, since they took too long to end");
        }
        tasks.shutdown().await;
    }
}
