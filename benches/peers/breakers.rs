//! Circuit breakers: those from the registry, and a simple one behind a mutex.

use std::fmt::Error as Failed;
use std::future::Future;
use std::hint::spin_loop;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use failsafe::{Config as Failsafe, backoff, failure_policy};
use recloser::Recloser;
use tower::{Layer, Service};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

/// Longer than any bench, so that nothing expires.
pub const LONG: Duration = Duration::from_secs(86_400);

/// Why a guarded call gave no value: it was not made, or it failed.
pub enum Refused<E> {
    Open,
    Inner(E),
}

/// A simple breaker: everything is behind a mutex, which is not held while
/// the call runs. It has consecutive failures, one probe, totals and times.
pub struct Plain {
    max_attempts: u32,
    expiry: Duration,
    inner: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    opened: Option<Instant>,
    probing: bool,
    in_a_row: u32,
    successes: u64,
    failures: u64,
    rejections: u64,
    last_success: Option<Instant>,
    last_failure: Option<Instant>,
}

impl Plain {
    pub fn new(max_attempts: u32, expiry: Duration) -> Self {
        Plain {
            max_attempts,
            expiry,
            inner: Mutex::default(),
        }
    }

    pub fn available(&self) -> bool {
        let books = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        books
            .opened
            .is_none_or(|opened| opened.elapsed() >= self.expiry)
    }

    pub fn call<T, E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<T, Refused<E>> {
        let mut books = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = books.opened {
            if books.probing || opened.elapsed() < self.expiry {
                books.rejections += 1;
                return Err(Refused::Open);
            }
            books.probing = true;
        }
        drop(books);
        let result = f();
        let mut books = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        books.probing = false;
        if result.is_ok() {
            books.successes += 1;
            books.last_success = Some(now);
            (books.in_a_row, books.opened) = (0, None);
        } else {
            books.failures += 1;
            books.last_failure = Some(now);
            books.in_a_row += 1;
            if books.in_a_row >= self.max_attempts || books.opened.is_some() {
                books.opened = Some(now);
            }
        }
        result.map_err(Refused::Inner)
    }
}

/// A breaker that is always closed: its rate is never reached.
pub fn recloser() -> Recloser {
    Recloser::custom().error_rate(2.0).build()
}

pub fn failsafe(failures: u32) -> impl failsafe::CircuitBreaker + Sync {
    let policy = failure_policy::consecutive_failures(failures, backoff::constant(LONG));
    Failsafe::new().failure_policy(policy).build()
}

/// A service that returns its request at once as its answer.
#[derive(Clone, Copy)]
pub struct Echo;

impl Service<Result<(), Failed>> for Echo {
    type Response = ();
    type Error = Failed;
    type Future = std::future::Ready<Result<(), Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, answer: Result<(), Failed>) -> Self::Future {
        std::future::ready(answer)
    }
}

/// A guarded service; its clones share the circuit.
pub fn tower(
    failures: usize,
) -> impl Service<Result<(), Failed>, Response = ()> + Clone + Send + Sync {
    let layer = CircuitBreakerLayer::builder()
        .consecutive_failures(failures)
        .wait_duration_in_open(LONG)
        .build()
        .expect("valid settings");
    layer.layer(Echo)
}

/// A guarded service whose circuit opens if half of the last hundred calls fail.
pub fn tower_of_rate() -> impl Service<Result<(), Failed>, Response = ()> + Clone + Send + Sync {
    let layer = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(100)
        .wait_duration_in_open(LONG)
        .build()
        .expect("valid settings");
    layer.layer(Echo)
}

/// One call of a service, as a thread without a runtime makes it.
pub fn call_service<S: Service<Result<(), Failed>>>(
    service: &mut S,
    answer: Result<(), Failed>,
) -> Result<S::Response, S::Error> {
    block_on(std::future::poll_fn(|context| service.poll_ready(context)))?;
    block_on(service.call(answer))
}

/// Polls until the future is done. With two threads, one has to wait for the circuit's
/// asynchronous mutex. Busy polling is by far the fastest way to wait for it.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => spin_loop(),
        }
    }
}
