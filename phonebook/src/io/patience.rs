//! Cuts off connections that hold a place and finish nothing.
//!
//! actix limits the time of a connection's first request head and of the silence between requests, but not that of
//! a later head sent byte by byte, of answers that nobody reads, nor of what it skips of a refused body. Here every
//! connection must bring a new head within [`PATIENCE`], whatever it does meanwhile. Only those that became a live
//! conversation are left to the switchboard, which has its own idea of silence.

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{
    HttpRequest,
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
/// What is left to a client that was told to go, to read why.
const FAREWELL: Duration = Duration::from_secs(2);

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
    /// Milliseconds after [`Lines::started`] by which the next head must be here.
    due: AtomicU64,
}

/// A connection that is not cut off before it is dismissed.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    line: Arc<Line>,
    started: Instant,
}

impl Hold {
    /// It has been told to go; what it does with that is no longer waited for.
    pub(crate) fn dismiss(&self) {
        let due = crate::clock::millis(self.started.elapsed() + FAREWELL);
        self.line.due.fetch_min(due, Ordering::Relaxed);
    }
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    fn with_patience(patience: Duration) -> Self {
        Self { started: Instant::now(), patience, open: Mutex::default() }
    }

    /// For `HttpServer::on_connect`.
    pub(crate) fn opened(&self, stream: &dyn Any, data: &mut Extensions) {
        let encrypted = || stream.downcast_ref::<TlsStream<TcpStream>>().map(|stream| stream.get_ref().0);
        let Some(stream) = stream.downcast_ref::<TcpStream>().or_else(encrypted) else { return };
        let Ok(socket) = second_handle(stream) else { return };
        let line = Arc::new(Line { socket, due: AtomicU64::new(self.due_in(self.patience)) });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&line));
        data.insert(line);
    }

    /// A whole head arrived.
    pub(crate) fn asked(&self, request: &ServiceRequest) {
        if let Some(line) = request.conn_data::<Arc<Line>>() {
            line.due.store(self.due_in(self.patience), Ordering::Relaxed);
        }
    }

    /// The client is refused for good and may go on sending in vain.
    pub(crate) fn dismiss(&self, request: &HttpRequest) {
        if let Some(line) = request.conn_data::<Arc<Line>>() {
            line.due.store(self.due_in(FAREWELL), Ordering::Relaxed);
        }
    }

    /// Connections that are open now.
    pub(crate) fn count(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter(|line| line.strong_count() > 0).count()
    }

    /// The connection is a conversation from now on, with a life of its own.
    pub(crate) fn hold(&self, request: &HttpRequest) -> Option<Hold> {
        let line = Arc::clone(request.conn_data::<Arc<Line>>()?);
        line.due.store(u64::MAX, Ordering::Relaxed);
        Some(Hold { line, started: self.started })
    }

    /// Runs until dropped.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut ticks = interval(FAREWELL / 2);
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
        let now = self.due_in(Duration::ZERO);
        let mut cut = 0;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|line| {
            let Some(line) = line.upgrade() else { return false };
            if line.due.load(Ordering::Relaxed) > now {
                return true;
            }
            // It may be closed already; then there is nothing to cut.
            let _ = line.socket.shutdown(Shutdown::Both);
            cut += 1;
            false
        });
        cut
    }

    fn due_in(&self, time: Duration) -> u64 {
        crate::clock::millis(self.started.elapsed() + time)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream as Stream},
    };

    /// Two ends of a connection, the server's end as `on_connect` sees it.
    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Stream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_nonblocking(true).unwrap();
        (client, TcpStream::from_std(server).unwrap())
    }

    #[actix_web::test]
    async fn who_brings_no_request_is_cut_off_and_who_leaves_is_forgotten() {
        let lines = Lines::with_patience(Duration::ZERO);
        let (mut client, server) = pair().await;
        let mut data = Extensions::new();
        lines.opened(&server, &mut data);
        assert_eq!(lines.cut_off(), 1);
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "hung up although the server's end is still held");
        assert_eq!(lines.cut_off(), 0);

        let (_client, server) = pair().await;
        lines.opened(&server, &mut data);
        data.clear();
        assert_eq!(lines.cut_off(), 0);
        assert!(lines.open.lock().unwrap().is_empty());
    }

    #[actix_web::test]
    async fn within_the_patience_nobody_is_cut_off() {
        let lines = Lines::new();
        let (mut client, server) = pair().await;
        let mut data = Extensions::new();
        lines.opened(&server, &mut data);
        assert_eq!(lines.cut_off(), 0);
        client.write_all(b"x").unwrap();
        assert_eq!(lines.open.lock().unwrap().len(), 1);
    }
}
