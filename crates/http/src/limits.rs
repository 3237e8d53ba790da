//! Bounds on what callers may cost.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;

/// So much a second, with `burst` at once. It may be overdrawn by one large charge, which the next ones wait out.
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    level: Mutex<(Instant, f64)>,
}

impl Bucket {
    pub(crate) fn new(rate: u32, burst: f64) -> Self {
        Self { rate: f64::from(rate), burst, level: Mutex::new((Instant::now(), burst)) }
    }

    /// Takes `cost`, if at least 1 is there. Else nothing is taken, and the answer says how long that lasts.
    pub(crate) fn take(&self, cost: f64) -> Result<(), Duration> {
        let mut state = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let level = (state.1 + now.duration_since(state.0).as_secs_f64() * self.rate).min(self.burst);
        if level < 1.0 {
            *state = (now, level);
            // A moment more than exactly one, so that who waits that long is let in.
            return Err(
                Duration::try_from_secs_f64((1.0 + 1e-6 - level) / self.rate).unwrap_or(Duration::MAX)
            );
        }
        *state = (now, level - cost);
        Ok(())
    }
}

pub(crate) fn too_many(what: &str, wait: Duration) -> Problem {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    Problem::new(429, "too-many", format!("more {what} a second than this listener takes"))
        .retry_after(seconds)
        .fix(format!("send again in {seconds} s"))
}

pub(crate) fn busy(what: &str) -> Problem {
    Problem::new(503, "busy", format!("as many {what} are in work as this listener takes")).retry_after(1)
}

/// A body that is too long is read on and forgotten up to this many times what it may have: most senders read no
/// answer while they write, and a connection that is closed on them tells them nothing.
const FORGOTTEN_MAX: usize = 8;

/// Reads a body of at most `bytes_max` bytes that comes within `time`.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
    time: Duration,
) -> Result<Bytes, Problem> {
    if let Some(encoding) =
        headers.get(CONTENT_ENCODING).filter(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let shown = encoding.to_str().unwrap_or("?").chars().take(32).collect::<String>();
        return Err(Problem::new(415, "content-encoding", format!("the encoding {shown:?} is not read"))
            .at("header Content-Encoding")
            .fix("send the body as it is"));
    }
    let deadline = Instant::now() + time;
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|l| l.to_str().ok()).and_then(|l| l.parse::<usize>().ok());
    if announced.is_some_and(|n| n > bytes_max) {
        // Who asks first (`Expect: 100-continue`) has not sent it yet, and need not.
        let sent = !headers.contains_key(EXPECT);
        if sent {
            forget(&mut body, bytes_max, deadline).await;
        }
        return Err(too_large(bytes_max));
    }
    match timeout_at(deadline, Limited::new(&mut body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            forget(&mut body, bytes_max, deadline).await;
            Err(too_large(bytes_max))
        }
        Ok(Err(_)) => Err(Problem::new(400, "body-cut", "the body ended before its end")),
        Err(_) => Err(Problem::new(
            408,
            "body-too-slow",
            format!("the body did not come within {} s", time.as_secs()),
        )),
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(413, "body-too-large", format!("the body has more than {bytes_max} bytes"))
        .fix("send it in smaller parts, or raise body_bytes_max under [http]")
}

/// Reads on without keeping anything: to the end, [`FORGOTTEN_MAX`] or the deadline.
async fn forget(body: &mut Body, bytes_max: usize, deadline: Instant) {
    let mut left = bytes_max.saturating_mul(FORGOTTEN_MAX);
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_rate_and_its_burst() {
        let bucket = Bucket::new(10, 20.0);
        let taken = |n: u32| (0..n).filter(|_| bucket.take(1.0).is_ok()).count();
        assert_eq!(taken(100), 20);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!((10..=11).contains(&taken(100)));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!((20..=21).contains(&taken(100)), "no more than the burst is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_charge_is_waited_out() {
        let bucket = Bucket::new(10, 20.0);
        bucket.take(120.0).expect("it was full");
        let wait = bucket.take(1.0).expect_err("overdrawn by 100");
        assert!((10.0..10.2).contains(&wait.as_secs_f64()), "{wait:?}");
        tokio::time::advance(wait + Duration::from_millis(1)).await;
        bucket.take(1.0).expect("waited as told");
    }
}
