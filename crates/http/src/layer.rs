//! What every request passes, whatever it asks for.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, Span, field};
use wire::Timestamp;

use crate::audited::Accessed;
use crate::auth::{Auth, Tokens, refuse_foreign};
use crate::backend::{Backend, BackendError};
use crate::config::HttpConfig;
use crate::limits::{self, Bucket};
use crate::problem::Problem;
use crate::routes::{Access, Route, is_signed};
use crate::trusted::Trusted;

/// What all requests share.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: HttpConfig,
    backend: Arc<dyn Backend>,
    tokens: Tokens,
    pub(crate) trusted: Trusted,
    pub(crate) requests: Bucket,
    /// What shows a signature that is none of ours.
    pub(crate) guesses: Bucket,
    pub(crate) records: Bucket,
    ingests: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    verifications: Arc<Semaphore>,
    /// Turns true when the listener ends.
    pub(crate) ending: watch::Receiver<bool>,
    /// Makes ids of requests differ between processes.
    instance: u64,
    served: AtomicU64,
}

impl std::ops::Deref for Shared {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What a call counts as.
#[derive(Clone, Copy)]
pub(crate) enum Lane {
    Ingest,
    Call,
    /// Health: a crowd of other calls must not make it fail.
    Check,
    Tail,
    /// A check of the whole audit chain, however long it is: one reader of it is enough.
    Verification,
}

/// Tokens and signatures a second that turn out to be none.
const GUESSES_PER_S: u32 = 100;
/// Calls of health at a time.
const CHECKS_MAX: usize = 4;

impl Shared {
    pub(crate) fn new(
        config: HttpConfig,
        tokens: Tokens,
        backend: Arc<dyn Backend>,
        trusted: Trusted,
        ending: watch::Receiver<bool>,
    ) -> Self {
        let room = |n: usize| Arc::new(Semaphore::new(n));
        Self(Arc::new(Inner {
            backend,
            tokens,
            trusted,
            guesses: Bucket::new(GUESSES_PER_S, f64::from(GUESSES_PER_S)),
            requests: Bucket::new(config.requests_per_s, f64::from(config.requests_per_s)),
            records: Bucket::new(config.records_per_s, 2.0 * f64::from(config.records_per_s)),
            ingests: room(config.ingest_concurrent_max),
            calls: room(config.concurrent_max),
            checks: room(CHECKS_MAX),
            tails: room(config.tails_max),
            verifications: room(1),
            ending,
            instance: RandomState::new().hash_one("instance"),
            served: AtomicU64::new(0),
            config,
        }))
    }

    /// Room for one more of its kind. Held until it is done, also where the caller has gone away meanwhile.
    pub(crate) fn room(&self, lane: Lane) -> Result<OwnedSemaphorePermit, Problem> {
        let (lane, what) = match lane {
            Lane::Ingest => (&self.ingests, "bodies of telemetry"),
            Lane::Call => (&self.calls, "requests"),
            Lane::Check => (&self.checks, "checks of health"),
            Lane::Tail => (&self.tails, "streams of events"),
            Lane::Verification => (&self.verifications, "checks of the audit chain (one at a time)"),
        };
        Arc::clone(lane).try_acquire_owned().map_err(|_| limits::busy(what))
    }

    /// Asks the backend, on a thread that may block.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        room: OwnedSemaphorePermit,
        ask: impl FnOnce(&dyn Backend) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (backend, span) = (Arc::clone(&self.backend), Span::current());
        let asked = spawn_blocking(move || {
            let answer = span.in_scope(|| ask(&*backend));
            drop(room);
            answer
        });
        match timeout(self.config.call_timeout, asked).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) => Err(BackendError::Internal("the call panicked".into()).into()),
            Err(_) => Err(Problem::new(
                504,
                "no-answer",
                format!("no answer within {} s; it may still be done", self.config.call_timeout.as_secs()),
            )
            .fix("ask again: a repeat under the same Idempotency-Key does nothing twice")),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.backend.now()
    }

    pub(crate) fn next_id(&self) -> String {
        let n = self.served.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{n:x}", self.instance >> 32)
    }
}

/// Around every request: its id, the log, where it comes from, who it is, the headers of the answer.
pub(crate) async fn around(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = shared.next_id();
    // The path may hold what the caller likes, and the query more: the log has the route instead.
    let span = tracing::info_span!(
        "request",
        id,
        method = %request.method().as_str().chars().take(16).collect::<String>(),
        route = field::Empty,
        caller = field::Empty,
        status = field::Empty,
    );
    let started = Instant::now();
    let open = shared.tokens.is_open();
    let inner = async {
        if !is_signed(request.uri().path())
            && let Err(problem) = refuse_foreign(open, request.method(), request.uri(), request.headers())
        {
            return problem.into_response();
        }
        let auth = shared.tokens.identify(request.headers());
        if let Auth::Known(caller) = &auth {
            Span::current().record("caller", caller.name.as_str());
        }
        request.extensions_mut().insert(auth);
        next.run(request).await
    };
    let mut response = inner.instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    span.in_scope(|| tracing::debug!(ms = started.elapsed().as_millis(), "answered"));
    dress(&mut response, &id);
    response
}

/// Headers of every answer. A page may bring its own policy and lifetime.
fn dress(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    for (name, value) in [
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let id = HeaderValue::from_str(id).expect("hexadecimal digits");
    headers.insert(HeaderName::from_static("x-request-id"), id);
}

/// Before each route of the table: the rights, then the rate.
pub(crate) async fn check(
    State((shared, route)): State<(Shared, Route)>,
    request: Request,
    next: Next,
) -> Response {
    Span::current().record("route", route.path);
    let auth = request.extensions().get::<Auth>().unwrap_or(&Auth::Nobody);
    let accessed = Accessed::of(&route, auth, request.uri());
    let response = checked(&shared, &route, request, next).await;
    if let Some(accessed) = accessed {
        shared.backend.accessed(&accessed.answered(&response));
    }
    response
}

async fn checked(shared: &Shared, route: &Route, request: Request, next: Next) -> Response {
    let auth = request.extensions().get::<Auth>().unwrap_or(&Auth::Nobody);
    if let Err(problem) = auth.check(route.access) {
        return problem.into_response();
    }
    // What is signed is charged once it is known whether it is: guesses must not use up the rate of people.
    if matches!(route.access, Access::Ingest | Access::Role(_))
        && let Err(wait) = shared.requests.take(1.0)
    {
        return limits::too_many("requests", wait).into_response();
    }
    next.run(request).await
}
