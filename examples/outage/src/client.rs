//! The application's side: an HTTP client for each service,
//! and the threads that use it, with brama or without.

use std::fmt;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::script::{Mode, Run, Service};

/// How long a thread sleeps between two calls.
pub const PAUSE: Duration = Duration::from_millis(10);

/// Why a request failed.
pub enum Fault {
    Status(u16),
    Timeout(Duration),
    /// There was no server to send the request to.
    Unreachable(ErrorKind),
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Status(code) => write!(f, "HTTP {code}"),
            Fault::Timeout(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            Fault::Unreachable(kind) => write!(f, "{kind}"),
            Fault::Other(text) => f.write_str(text),
        }
    }
}

/// An HTTP client for one server, shared by its threads.
pub struct Client {
    agent: ureq::Agent,
    url: String,
    timeout: Duration,
    phases: &'static [(f64, Mode)],
    /// Calls begun by the application, whether or not they were let through.
    pub calls: AtomicU64,
    /// Requests that found the port closed.
    pub unreachable: AtomicU64,
    /// Calls that brama rejected while the script said "healthy".
    pub rejected_while_healthy: AtomicU64,
    /// Microseconds that threads waited for requests that failed.
    waited: AtomicU64,
}

impl Client {
    pub fn new(service: &Service, url: String, timeout: Duration) -> Client {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .max_idle_connections(0)
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .build();
        Client {
            agent: config.new_agent(),
            url,
            timeout,
            phases: service.phases,
            calls: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
            rejected_while_healthy: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }
    }

    /// Sends one request. It knows nothing of circuits.
    pub fn request(&self) -> Result<(), Fault> {
        let begun = Instant::now();
        let fault = match self.agent.get(&self.url).call() {
            Ok(_) => return Ok(()),
            Err(ureq::Error::StatusCode(code)) => Fault::Status(code),
            Err(ureq::Error::Timeout(_)) => Fault::Timeout(self.timeout),
            Err(ureq::Error::Io(e))
                if matches!(
                    e.kind(),
                    ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
                ) =>
            {
                self.unreachable.fetch_add(1, Ordering::Relaxed);
                Fault::Unreachable(e.kind())
            }
            Err(ureq::Error::Io(e)) => Fault::Other(e.to_string()),
            Err(e) => Fault::Other(e.to_string()),
        };
        let waited = begun.elapsed().as_micros() as u64;
        self.waited.fetch_add(waited, Ordering::Relaxed);
        Err(fault)
    }

    /// Time that threads waited for requests that failed.
    pub fn waited(&self) -> Duration {
        Duration::from_micros(self.waited.load(Ordering::Relaxed))
    }
}

/// A thread of the application that asks brama before each request.
pub fn guarded(run: &Run, client: &Client, connection: &brama::Connection) -> Result<(), Error> {
    while !run.is_over() {
        client.calls.fetch_add(1, Ordering::Relaxed);
        match connection.acquire() {
            Ok(permit) => {
                let reported = match client.request() {
                    Ok(()) => permit.success(),
                    Err(fault) => permit.failure(&fault.to_string()).map(drop),
                };
                match reported {
                    // Stale: the circuit opened while this request was under way.
                    Ok(()) | Err(brama::Error::Stale) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            // A real application would use a cached answer, or try again
            // after `rejected.retry_after`.
            Err(brama::Error::Rejected(_rejected)) => {
                if run.mode(client.phases) == Mode::Healthy {
                    client
                        .rejected_while_healthy
                        .fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(e) => return Err(e.into()),
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// The same thread without brama.
pub fn unguarded(run: &Run, client: &Client) {
    while !run.is_over() {
        client.calls.fetch_add(1, Ordering::Relaxed);
        // A failure changes nothing here: the next call tries again.
        let _ = client.request();
        thread::sleep(PAUSE);
    }
}
