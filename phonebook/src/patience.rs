//! Cuts off connections that hold a place and finish nothing.
//!
//! actix limits the time of a connection's first request head and of the silence between requests, but not that of
//! a later head sent byte by byte, nor of answers that nobody reads. Here every connection must finish a request within
//! [`PATIENCE`], whatever it does meanwhile.

use actix_web::{
    dev::{Extensions, ServiceRequest},
    rt::net::TcpStream,
};
use std::{
    any::Any,
    io,
    net::Shutdown,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// Longer than a body may take and than a connection may be silent, so that those are told apart from this.
const PATIENCE: Duration = Duration::from_secs(30);

/// All open connections.
#[derive(Debug)]
pub(crate) struct Lines {
    started: Instant,
    patience: Duration,
    open: Mutex<Vec<Weak<Line>>>,
}

/// One connection, kept alive by the connection itself.
#[derive(Debug)]
struct Line {
    /// A second handle on the same socket: shutting it down wakes the connection's task, which then ends.
    socket: std::net::TcpStream,
    /// Milliseconds after [`Lines::started`] at which the last request was routed.
    asked: AtomicU64,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), patience: PATIENCE, open: Mutex::default() }
    }

    /// For `HttpServer::on_connect`.
    pub(crate) fn opened(&self, stream: &dyn Any, data: &mut Extensions) {
        let Some(Ok(socket)) = stream.downcast_ref::<TcpStream>().map(second_handle) else { return };
        let line = Arc::new(Line { socket, asked: AtomicU64::new(self.millis()) });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&line));
        data.insert(line);
    }

    /// A whole head arrived.
    pub(crate) fn asked(&self, request: &ServiceRequest) {
        if let Some(line) = request.conn_data::<Arc<Line>>() {
            line.asked.store(self.millis(), Ordering::Relaxed);
        }
    }

    /// Runs until dropped.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut ticks = interval(self.patience / 6);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let cut = self.cut_off();
            if cut > 0 {
                tracing::debug!(cut, "cut off connections that finished no request");
            }
        }
    }

    fn cut_off(&self) -> usize {
        let latest = self.millis().saturating_sub(crate::clock::millis(self.patience));
        let mut cut = 0;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|line| {
            let Some(line) = line.upgrade() else { return false };
            if line.asked.load(Ordering::Relaxed) >= latest {
                return true;
            }
            // It may be closed already; then there is nothing to cut.
            let _ = line.socket.shutdown(Shutdown::Both);
            cut += 1;
            false
        });
        cut
    }

    fn millis(&self) -> u64 {
        crate::clock::millis(self.started.elapsed())
    }
}

#[cfg(unix)]
fn second_handle(stream: &TcpStream) -> io::Result<std::net::TcpStream> {
    use std::os::fd::AsFd;
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn second_handle(stream: &TcpStream) -> io::Result<std::net::TcpStream> {
    use std::os::windows::io::AsSocket;
    Ok(stream.as_socket().try_clone_to_owned()?.into())
}
