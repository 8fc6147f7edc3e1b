//! Counts connections, and closes those that finish no request.
//!
//! Each connection is charged to its network. A trusted proxy's is free; its requests are charged one by one.
//!
//! actix bounds the first request head and the silence between requests, but not a later head sent byte by byte, an
//! answer nobody reads, or the rest of a refused body. So each connection must send a new head within
//! [`REQUEST_TIME_MAX`], and a request that is not refused within [`REFUSALS_TIME_MAX`]. Live sessions are exempt:
//! `signaling` bounds their silence.

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

/// Longer than a body may take, and than a connection may be silent.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// Longest life of a connection whose requests are all refused.
const REFUSALS_TIME_MAX: Duration = Duration::from_secs(60);
/// Time for a refused client to read the answer.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Connections {
    started: Instant,
    request_time: Duration,
    refusals_time: Duration,
    accounts: Accounts,
    trusted_proxies: Vec<address::AddressBlock>,
    open: Mutex<Vec<Weak<Connection>>>,
}

/// One connection; owned by its task.
#[derive(Debug)]
pub(crate) struct Connection {
    /// A second handle on the socket: shutting it down wakes and ends the connection's task.
    socket: std::net::TcpStream,
    /// Deadline of the next head, in milliseconds after [`Connections::started`].
    due: AtomicU64,
    /// When a request was last served, in the same unit.
    served: AtomicU64,
    /// `None` for a trusted proxy.
    _place: Option<Charge>,
    /// `None` after the TLS handshake.
    handshake: Mutex<Option<Charge>>,
    is_proxy: bool,
}

impl Connection {
    /// Releases the handshake's charge.
    pub(crate) fn handshake_done(&self) {
        self.handshake.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Why a connection was not opened.
#[derive(Debug)]
pub(crate) enum Closed {
    /// The network holds its share.
    Refused(Refused),
    /// The peer is gone, or no file descriptor is left.
    Broken(io::Error),
}

/// Exempts a connection from deadlines until [`Exemption::dismiss`].
#[derive(Debug, Clone)]
pub(crate) struct Exemption {
    connection: Arc<Connection>,
    started: Instant,
}

impl Exemption {
    /// Sets the deadline to [`LINGER`] from now: the client was told to leave.
    pub(crate) fn dismiss(&self) {
        let due = crate::clock::millis(self.started.elapsed() + LINGER);
        self.connection.due.fetch_min(due, Ordering::Relaxed);
    }
}

impl Connections {
    pub(crate) fn new(accounts: &Accounts, trusted_proxies: &[address::AddressBlock]) -> Self {
        Self {
            started: Instant::now(),
            request_time: REQUEST_TIME_MAX,
            refusals_time: REFUSALS_TIME_MAX,
            accounts: accounts.clone(),
            trusted_proxies: trusted_proxies.to_vec(),
            open: Mutex::default(),
        }
    }

    /// # Errors
    /// The network holds its share, or the socket is broken.
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

    /// Renews the deadline.
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

    /// Returns whether to close the connection: nothing but refusals for [`REFUSALS_TIME_MAX`].
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

    /// Whether a trusted proxy sent the request.
    pub(crate) fn is_proxied(request: &HttpRequest) -> bool {
        request.conn_data::<Arc<Connection>>().is_some_and(|connection| connection.is_proxy)
    }

    /// Sets the deadline to [`LINGER`] from now: the request was refused before its end.
    pub(crate) fn dismiss(&self, request: &HttpRequest) {
        if let Some(connection) = request.conn_data::<Arc<Connection>>() {
            connection.due.store(self.due_in(LINGER), Ordering::Relaxed);
        }
    }

    /// Open connections.
    pub(crate) fn count(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter(|connection| connection.strong_count() > 0).count()
    }

    /// Exempts the request's connection from all deadlines.
    pub(crate) fn exempt(&self, request: &HttpRequest) -> Option<Exemption> {
        let connection = Arc::clone(request.conn_data::<Arc<Connection>>()?);
        connection.due.store(u64::MAX, Ordering::Relaxed);
        Some(Exemption { connection, started: self.started })
    }

    /// Closes overdue connections; runs until dropped.
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
            // Fails if it is closed already.
            connection.socket.shutdown(Shutdown::Both).ok();
            cut += 1;
            false
        });
        cut
    }

    fn due_in(&self, time: Duration) -> u64 {
        crate::clock::millis(self.started.elapsed() + time)
    }
}

/// Attaches the connection to its requests.
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

    /// Client and server end of a connection.
    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Stream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_nonblocking(true).unwrap();
        (client, TcpStream::from_std(server).unwrap())
    }

    fn connections(trusted_proxies: &[address::AddressBlock]) -> Connections {
        let config = Config { max_connections: 8, ..Config::default() };
        Connections::new(&Accounts::new(&config), trusted_proxies)
    }

    #[actix_web::test]
    async fn connection_without_a_request_is_closed() {
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
    async fn connection_within_its_time_stays_open() {
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
        // Trusted proxies are free.
        let proxy = connections(&["127.0.0.1".parse().unwrap()]);
        let open: Vec<_> = (0..100).map(|_| proxy.open(&server, false).unwrap()).collect();
        assert_eq!(open.len(), 100);
    }

    #[actix_web::test]
    async fn connection_with_only_refusals_is_closed() {
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
