//! A real HTTP server on loopback that behaves as its script says.
//!
//! Hyper does HTTP. The script decides whether there is a listener, and
//! how a request is answered. Each server has a runtime on its own thread.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::script::{Mode, Run};

/// How often the server looks at its script.
const TICK: Duration = Duration::from_millis(1);
/// How long a server tries to bind its port again, if another process has it.
const REBIND: Duration = Duration::from_secs(2);

pub struct Server {
    runtime: Runtime,
    address: SocketAddr,
    listener: TcpListener,
    phases: &'static [(f64, Mode)],
}

/// The requests that a server received, which the main thread reads after the run.
#[derive(Default)]
pub struct Received {
    /// Requests read while the script said "errors" or "hanging".
    pub while_failing: Arc<AtomicU64>,
}

impl Server {
    /// Listens on a port of the system's choice.
    pub fn bind(phases: &'static [(f64, Mode)]) -> io::Result<Server> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Server {
            runtime,
            address: listener.local_addr()?,
            listener,
            phases,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Follows the script until the last caller has ended. The
    /// end of the runtime closes connections that are still open.
    pub fn serve(self, run: &Run, received: &Received) -> io::Result<()> {
        let mut listener = Some(self.listener);
        let (script, _) = watch::channel(Mode::Healthy);
        self.runtime.block_on(async {
            while !run.is_drained() {
                let mode = run.mode(self.phases);
                script.send_replace(mode);
                if mode == Mode::Refusing {
                    listener = None;
                    sleep(TICK).await;
                    continue;
                }
                let open = match listener.take() {
                    Some(open) => open,
                    None => rebind(self.address).await?,
                };
                match timeout(TICK, listener.insert(open).accept()).await {
                    Ok(Ok((stream, _))) => {
                        let failing = received.while_failing.clone();
                        tokio::spawn(connection(stream, mode, script.subscribe(), failing));
                    }
                    // The client closed the connection before the server accepted it.
                    Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                    Ok(Err(e)) => return Err(e),
                    Err(_no_caller) => {}
                }
            }
            Ok(())
        })
    }
}

/// Binds the port again, with `SO_REUSEADDR` as Tokio always does on Unix.
async fn rebind(address: SocketAddr) -> io::Result<TcpListener> {
    let give_up = Instant::now() + REBIND;
    loop {
        match TcpListener::bind(address).await {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up => {
                sleep(TICK).await;
            }
            other => return other,
        }
    }
}

/// Serves the one request of a connection accepted in `mode`.
async fn connection(
    stream: TcpStream,
    mode: Mode,
    script: watch::Receiver<Mode>,
    failing: Arc<AtomicU64>,
) {
    let service = service_fn(|_| {
        let mut script = script.clone();
        if mode != Mode::Healthy {
            failing.fetch_add(1, Ordering::Relaxed);
        }
        async move {
            let mut response = Response::new(Empty::<Bytes>::new());
            match mode {
                Mode::Hanging => {
                    let _ = script.wait_for(|&now| now != Mode::Hanging).await;
                    // To Hyper an error means to close without an answer.
                    return Err("hung up");
                }
                Mode::Errors => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
                Mode::Healthy | Mode::Refusing => {}
            }
            Ok(response)
        }
    });
    // An error means that the client has closed the connection early, which is no problem.
    let _ = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
