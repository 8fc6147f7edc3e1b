//! Counts connections, and cuts off those that hold a place and finish nothing.
//!
//! Every connection is charged to its network before anything is read of it, except that a trusted proxy's are free: it
//! brings many clients, whose requests are charged one by one.
//!
//! actix limits the time of a connection's first request head and of the silence between requests, but not that of
//! a later head sent byte by byte, of answers that nobody reads, nor of what it skips of a refused body. Here every
//! connection must bring a new head within [`PATIENCE`], whatever it does meanwhile, and a request that is not refused
//! within [`GOOD_WILL`]. Only those that became a live conversation are left to the switchboard, which has its own idea
//! of silence.

use crate::{
    accounts::{Accounts, Hold as Charge},
    address,
};
use actix_web::{
    HttpRequest,
    dev::{Extensions, ServiceRequest},
    rt::net::TcpStream,
};
use fyteclub_proto::ledger::{Item, Refused};
use std::{
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
/// How long a connection may go on whose every request is refused, or asks for what is not there.
const GOOD_WILL: Duration = Duration::from_secs(60);
/// What is left to a client that was told to go, to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// All open connections.
#[derive(Debug)]
pub(crate) struct Lines {
    started: Instant,
    patience: Duration,
    good_will: Duration,
    accounts: Accounts,
    trusted_proxies: Vec<address::Network>,
    open: Mutex<Vec<Weak<Line>>>,
}

/// One connection, kept alive by the connection itself.
#[derive(Debug)]
pub(crate) struct Line {
    /// A second handle on the same socket: shutting it down wakes the connection's task, which then ends.
    socket: std::net::TcpStream,
    /// Milliseconds after [`Lines::started`] by which the next head must be here.
    due: AtomicU64,
    /// When a request was last served and not refused, in the same milliseconds.
    served: AtomicU64,
    /// What the connection costs its network. A proxy's costs nothing.
    _place: Option<Charge>,
    /// Until TLS has begun.
    handshake: Mutex<Option<Charge>>,
    is_proxy: bool,
}

impl Line {
    /// What was to be agreed on before HTTP is agreed on.
    pub(crate) fn shaken(&self) {
        self.handshake.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Why a connection is not opened.
#[derive(Debug)]
pub(crate) enum Closed {
    /// Its network has its share.
    Refused(Refused),
    /// The other end is gone, or there is no descriptor left.
    Broken(io::Error),
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
    pub(crate) fn new(accounts: &Accounts, trusted_proxies: &[address::Network]) -> Self {
        Self {
            started: Instant::now(),
            patience: PATIENCE,
            good_will: GOOD_WILL,
            accounts: accounts.clone(),
            trusted_proxies: trusted_proxies.to_vec(),
            open: Mutex::default(),
        }
    }

    /// Opens a connection, if its network may have one more.
    pub(crate) fn open(&self, stream: &TcpStream, encrypted: bool) -> Result<Arc<Line>, Closed> {
        let address = stream.peer_addr().map_err(Closed::Broken)?.ip().to_canonical();
        let is_proxy = self.trusted_proxies.iter().any(|network| network.contains(address));
        let charge = |item, is_due: bool| -> Result<Option<Charge>, Closed> {
            let charged = is_due.then(|| self.accounts.hold(address.into(), item)).transpose();
            charged.map_err(Closed::Refused)
        };
        let place = charge(Item::Connections, !is_proxy)?;
        let handshake = charge(Item::Handshakes, encrypted && !is_proxy)?;
        let socket = second_handle(stream).map_err(Closed::Broken)?;
        let line = Arc::new(Line {
            socket,
            due: AtomicU64::new(self.due_in(self.patience)),
            served: AtomicU64::new(self.due_in(Duration::ZERO)),
            _place: place,
            handshake: Mutex::new(handshake),
            is_proxy,
        });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&line));
        Ok(line)
    }

    /// A whole head arrived.
    pub(crate) fn asked(&self, request: &ServiceRequest) {
        if let Some(line) = request.conn_data::<Arc<Line>>() {
            self.renew(line);
        }
    }

    fn renew(&self, line: &Line) {
        if !self.is_tired(line) {
            line.due.store(self.due_in(self.patience), Ordering::Relaxed);
        }
    }

    /// A request was answered. Says whether the connection is to end with that: it brought nothing but refusals.
    pub(crate) fn answered(&self, request: &HttpRequest, is_served: bool) -> bool {
        let Some(line) = request.conn_data::<Arc<Line>>() else { return false };
        if is_served {
            line.served.store(self.due_in(Duration::ZERO), Ordering::Relaxed);
        }
        self.is_tired(line)
    }

    fn is_tired(&self, line: &Line) -> bool {
        let served = line.served.load(Ordering::Relaxed);
        !line.is_proxy && self.due_in(Duration::ZERO) >= served + crate::clock::millis(self.good_will)
    }

    /// Whether the request came over a trusted proxy's connection.
    pub(crate) fn is_proxys(request: &HttpRequest) -> bool {
        request.conn_data::<Arc<Line>>().is_some_and(|line| line.is_proxy)
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

/// Takes the line along into a request's connection. For `HttpServiceBuilder::on_connect_ext`.
pub(crate) fn connected(line: Arc<Line>, data: &mut Extensions) {
    line.shaken();
    data.insert(line);
}

#[cfg(unix)]
pub(super) fn second_handle(stream: &TcpStream) -> io::Result<std::net::TcpStream> {
    use std::os::fd::AsFd;
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
pub(super) fn second_handle(stream: &TcpStream) -> io::Result<std::net::TcpStream> {
    use std::os::windows::io::AsSocket;
    Ok(stream.as_socket().try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream as Stream},
    };

    /// Two ends of a connection, the server's end as the door sees it.
    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Stream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_nonblocking(true).unwrap();
        (client, TcpStream::from_std(server).unwrap())
    }

    fn lines(trusted_proxies: &[address::Network]) -> Lines {
        let config = Config { max_connections: 8, ..Config::default() };
        Lines::new(&Accounts::new(&config), trusted_proxies)
    }

    #[actix_web::test]
    async fn who_brings_no_request_is_cut_off_and_who_leaves_is_forgotten() {
        let lines = Lines { patience: Duration::ZERO, ..lines(&[]) };
        let (mut client, server) = pair().await;
        let line = lines.open(&server, false).unwrap();
        assert_eq!(lines.cut_off(), 1);
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "hung up although the server's end is still held");
        assert_eq!(lines.cut_off(), 0);
        drop(line);

        let (_client, server) = pair().await;
        drop(lines.open(&server, false).unwrap());
        assert_eq!(lines.cut_off(), 0);
        assert!(lines.open.lock().unwrap().is_empty());
    }

    #[actix_web::test]
    async fn within_the_patience_nobody_is_cut_off() {
        let lines = lines(&[]);
        let (mut client, server) = pair().await;
        let _line = lines.open(&server, false).unwrap();
        assert_eq!(lines.cut_off(), 0);
        client.write_all(b"x").unwrap();
        assert_eq!(lines.open.lock().unwrap().len(), 1);
    }

    #[actix_web::test]
    async fn a_network_opens_no_more_than_its_share() {
        let lines_ = lines(&[]);
        let (_client, server) = pair().await;
        let two = [lines_.open(&server, false).unwrap(), lines_.open(&server, true).unwrap()];
        assert!(matches!(lines_.open(&server, false), Err(Closed::Refused(_))));
        drop(two);
        assert!(lines_.open(&server, false).is_ok());
        // A proxy's are free: its clients pay for their requests.
        let proxy = lines(&["127.0.0.1".parse().unwrap()]);
        let open: Vec<_> = (0..100).map(|_| proxy.open(&server, false).unwrap()).collect();
        assert_eq!(open.len(), 100);
    }

    #[actix_web::test]
    async fn who_brings_only_refusals_is_sent_away() {
        let lines = Lines { good_will: Duration::ZERO, ..lines(&[]) };
        let (_client, server) = pair().await;
        let line = lines.open(&server, false).unwrap();
        line.due.store(7, Ordering::Relaxed);
        lines.renew(&line);
        assert_eq!(line.due.load(Ordering::Relaxed), 7, "a head alone buys no time");
        assert!(lines.is_tired(&line));
        let patient = Lines { good_will: GOOD_WILL, ..lines };
        assert!(!patient.is_tired(&line));
        patient.renew(&line);
        assert!(line.due.load(Ordering::Relaxed) > 7);
    }
}
