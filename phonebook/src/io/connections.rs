//! Counts connections, and cuts off those that hold a place and finish nothing.
//!
//! Every connection is charged to its network before anything is read of it, except that a trusted proxy's are free: it
//! brings many clients, whose requests are charged one by one.
//!
//! actix limits the time of a connection's first request head and of the silence between requests, but not that of
//! a later head sent byte by byte, of answers that nobody reads, nor of what it skips of a refused body. Here every
//! connection must bring a new head within [`REQUEST_TIME_MAX`], whatever it does meanwhile, and a request that is not refused
//! within [`REFUSALS_TIME_MAX`]. Only those that became a live conversation are left to the signaling, which has its own idea
//! of silence.

use crate::{
    accounts::{Accounts, Charge},
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
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a connection may go on whose every request is refused, or asks for what is not there.
const REFUSALS_TIME_MAX: Duration = Duration::from_secs(60);
/// What is left to a client that was told to go, to read why.
const LINGER: Duration = Duration::from_secs(2);

/// All open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    started: Instant,
    request_time: Duration,
    refusals_time: Duration,
    accounts: Accounts,
    trusted_proxies: Vec<address::Network>,
    open: Mutex<Vec<Weak<Connection>>>,
}

/// One connection, kept alive by the connection itself.
#[derive(Debug)]
pub(crate) struct Connection {
    /// A second handle on the same socket: shutting it down wakes the connection's task, which then ends.
    socket: std::net::TcpStream,
    /// Milliseconds after [`Connections::started`] by which the next head must be here.
    due: AtomicU64,
    /// When a request was last served and not refused, in the same milliseconds.
    served: AtomicU64,
    /// What the connection costs its network. A proxy's costs nothing.
    _place: Option<Charge>,
    /// Until TLS has begun.
    handshake: Mutex<Option<Charge>>,
    is_proxy: bool,
}

impl Connection {
    /// What was to be agreed on before HTTP is agreed on.
    pub(crate) fn handshake_done(&self) {
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
pub(crate) struct Exemption {
    connection: Arc<Connection>,
    started: Instant,
}

impl Exemption {
    /// It has been told to go; what it does with that is no longer waited for.
    pub(crate) fn dismiss(&self) {
        let due = crate::clock::millis(self.started.elapsed() + LINGER);
        self.connection.due.fetch_min(due, Ordering::Relaxed);
    }
}

impl Connections {
    pub(crate) fn new(accounts: &Accounts, trusted_proxies: &[address::Network]) -> Self {
        Self {
            started: Instant::now(),
            request_time: REQUEST_TIME_MAX,
            refusals_time: REFUSALS_TIME_MAX,
            accounts: accounts.clone(),
            trusted_proxies: trusted_proxies.to_vec(),
            open: Mutex::default(),
        }
    }

    /// Opens a connection, if its network may have one more.
    pub(crate) fn open(&self, stream: &TcpStream, encrypted: bool) -> Result<Arc<Connection>, Closed> {
        let address = stream.peer_addr().map_err(Closed::Broken)?.ip().to_canonical();
        let is_proxy = self.trusted_proxies.iter().any(|network| network.contains(address));
        let charge = |item, is_due: bool| -> Result<Option<Charge>, Closed> {
            let charged = is_due.then(|| self.accounts.hold(address.into(), item)).transpose();
            charged.map_err(Closed::Refused)
        };
        let place = charge(Item::Connections, !is_proxy)?;
        let handshake = charge(Item::Handshakes, encrypted && !is_proxy)?;
        let socket = second_handle(stream).map_err(Closed::Broken)?;
        let connection = Arc::new(Connection {
            socket,
            due: AtomicU64::new(self.due_in(self.request_time)),
            served: AtomicU64::new(self.due_in(Duration::ZERO)),
            _place: place,
            handshake: Mutex::new(handshake),
            is_proxy,
        });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&connection));
        Ok(connection)
    }

    /// A whole head arrived.
    pub(crate) fn head_received(&self, request: &ServiceRequest) {
        if let Some(connection) = request.conn_data::<Arc<Connection>>() {
            self.renew(connection);
        }
    }

    fn renew(&self, connection: &Connection) {
        if !self.is_only_refused(connection) {
            connection.due.store(self.due_in(self.request_time), Ordering::Relaxed);
        }
    }

    /// A request was answered. Says whether the connection is to end with that: it brought nothing but refusals.
    pub(crate) fn answered(&self, request: &HttpRequest, is_served: bool) -> bool {
        let Some(connection) = request.conn_data::<Arc<Connection>>() else { return false };
        if is_served {
            connection.served.store(self.due_in(Duration::ZERO), Ordering::Relaxed);
        }
        self.is_only_refused(connection)
    }

    fn is_only_refused(&self, connection: &Connection) -> bool {
        let served = connection.served.load(Ordering::Relaxed);
        !connection.is_proxy
            && self.due_in(Duration::ZERO) >= served + crate::clock::millis(self.refusals_time)
    }

    /// Whether the request came over a trusted proxy's connection.
    pub(crate) fn is_proxied(request: &HttpRequest) -> bool {
        request.conn_data::<Arc<Connection>>().is_some_and(|connection| connection.is_proxy)
    }

    /// The client is refused for good and may go on sending in vain.
    pub(crate) fn dismiss(&self, request: &HttpRequest) {
        if let Some(connection) = request.conn_data::<Arc<Connection>>() {
            connection.due.store(self.due_in(LINGER), Ordering::Relaxed);
        }
    }

    /// Connections that are open now.
    pub(crate) fn count(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter(|connection| connection.strong_count() > 0).count()
    }

    /// The connection is a conversation from now on, with a life of its own.
    pub(crate) fn exempt(&self, request: &HttpRequest) -> Option<Exemption> {
        let connection = Arc::clone(request.conn_data::<Arc<Connection>>()?);
        connection.due.store(u64::MAX, Ordering::Relaxed);
        Some(Exemption { connection, started: self.started })
    }

    /// Runs until dropped.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut ticks = interval(LINGER / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let cut = self.close_overdue();
            if cut > 0 {
                tracing::debug!(cut, "cut off connections that finished no request");
            }
        }
    }

    fn close_overdue(&self) -> usize {
        let now = self.due_in(Duration::ZERO);
        let mut cut = 0;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            if connection.due.load(Ordering::Relaxed) > now {
                return true;
            }
            // It may be closed already; then there is nothing to cut.
            let _ = connection.socket.shutdown(Shutdown::Both);
            cut += 1;
            false
        });
        cut
    }

    fn due_in(&self, time: Duration) -> u64 {
        crate::clock::millis(self.started.elapsed() + time)
    }
}

/// Takes the connection along into a request's connection. For `HttpServiceBuilder::on_connect_ext`.
pub(crate) fn connected(connection: Arc<Connection>, data: &mut Extensions) {
    connection.handshake_done();
    data.insert(connection);
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

    fn connections(trusted_proxies: &[address::Network]) -> Connections {
        let config = Config { max_connections: 8, ..Config::default() };
        Connections::new(&Accounts::new(&config), trusted_proxies)
    }

    #[actix_web::test]
    async fn who_brings_no_request_is_cut_off_and_who_leaves_is_forgotten() {
        let connections = Connections { request_time: Duration::ZERO, ..connections(&[]) };
        let (mut client, server) = pair().await;
        let connection = connections.open(&server, false).unwrap();
        assert_eq!(connections.close_overdue(), 1);
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "hung up although the server's end is still held");
        assert_eq!(connections.close_overdue(), 0);
        drop(connection);

        let (_client, server) = pair().await;
        drop(connections.open(&server, false).unwrap());
        assert_eq!(connections.close_overdue(), 0);
        assert!(connections.open.lock().unwrap().is_empty());
    }

    #[actix_web::test]
    async fn within_the_patience_nobody_is_cut_off() {
        let connections = connections(&[]);
        let (mut client, server) = pair().await;
        let _line = connections.open(&server, false).unwrap();
        assert_eq!(connections.close_overdue(), 0);
        client.write_all(b"x").unwrap();
        assert_eq!(connections.open.lock().unwrap().len(), 1);
    }

    #[actix_web::test]
    async fn a_network_opens_no_more_than_its_share() {
        let connections_ = connections(&[]);
        let (_client, server) = pair().await;
        let two = [connections_.open(&server, false).unwrap(), connections_.open(&server, true).unwrap()];
        assert!(matches!(connections_.open(&server, false), Err(Closed::Refused(_))));
        drop(two);
        assert!(connections_.open(&server, false).is_ok());
        // A proxy's are free: its clients pay for their requests.
        let proxy = connections(&["127.0.0.1".parse().unwrap()]);
        let open: Vec<_> = (0..100).map(|_| proxy.open(&server, false).unwrap()).collect();
        assert_eq!(open.len(), 100);
    }

    #[actix_web::test]
    async fn who_brings_only_refusals_is_sent_away() {
        let connections = Connections { refusals_time: Duration::ZERO, ..connections(&[]) };
        let (_client, server) = pair().await;
        let connection = connections.open(&server, false).unwrap();
        connection.due.store(7, Ordering::Relaxed);
        connections.renew(&connection);
        assert_eq!(connection.due.load(Ordering::Relaxed), 7, "a head alone buys no time");
        assert!(connections.is_only_refused(&connection));
        let patient = Connections { refusals_time: REFUSALS_TIME_MAX, ..connections };
        assert!(!patient.is_only_refused(&connection));
        patient.renew(&connection);
        assert!(connection.due.load(Ordering::Relaxed) > 7);
    }
}
