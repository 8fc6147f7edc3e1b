//! What an operator can choose, and the defaults. Where the choices come from is in `sources`.

mod audit;
mod operator;
mod password;
mod place;
mod sources;
mod wanted;

use crate::{address::Network, limits::Rates};
pub use audit::AuditFile;
pub use operator::Operator;
pub use password::Password;
pub use place::{NotAPlace, Place};
pub use sources::{ConfigError, ENV_PREFIX, KEYS, Layers, Origin};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Start from [`Config::default`] and change what matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Port 0 takes a free one, see [`crate::Server::addr`].
    pub listen: SocketAddr,
    /// How long a registration is answered.
    pub ttl: Duration,
    /// The original's unsigned contract instead of signed writes.
    pub compat: bool,
    /// Wanted for everything below `/api/`.
    pub password: Option<Password>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How long a name belongs to its key after the last registration. Means nothing in compatibility mode.
    pub pin: Duration,
    /// How often what has ended is taken out; `None`: every minute, or every `ttl` if that is shorter.
    pub sweep: Option<Duration>,
    /// Most names in memory; each takes about 175 bytes, an unsigned key in text somewhat more.
    pub max_records: usize,
    /// Whether `/api/debug/players` lists everybody with their addresses. Only in compatibility mode.
    pub debug_players: bool,
    /// Threads that answer requests.
    pub workers: usize,
    /// Most connections at once, over all workers; each takes two file descriptors.
    pub max_connections: usize,
    /// Most clients of `/api/live` at once. Never more than three quarters of `max_connections`, so that others are heard.
    pub max_sockets: usize,
    /// Most connections from one address (IPv6: one /64) at once, and behind a trusted proxy most requests. `None`: 256, or
    /// a quarter of `max_connections` where that is less.
    pub max_connections_per_address: Option<usize>,
    /// Most live clients from one address at once. `None`: 200, or a quarter of `max_sockets` where that is less.
    pub max_sockets_per_address: Option<usize>,
    /// Most names in memory from one address (IPv6: one /48). `None`: 1,000, or a quarter of `max_records` where that is
    /// less.
    pub max_names_per_address: Option<usize>,
    /// What clients call this phone book: hosts, with the port where it is not the scheme's own. None: whatever they say.
    pub names: Vec<String>,
    /// How often who may ask.
    pub limits: Rates,
    /// The operator's page and metrics. Off here; the program has it on loopback, see [`OPERATOR`].
    pub operator: Operator,
    /// Whether the operator's page may be served beyond this machine. It asks for no password.
    pub operator_anywhere: bool,
    /// `None`: no audit log.
    pub audit: Option<AuditFile>,
    /// The own certificate; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether plain HTTP may be served beyond this machine.
    pub plain_http: bool,
    /// The Redis that several phone books of one name share; `None`: everything is in memory.
    pub redis: Option<Place>,
}

/// Where the program has the operator's page unless told otherwise.
pub const OPERATOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3001);

/// A certificate chain and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 3000).into(),
            ttl: Duration::from_secs(3600),
            compat: false,
            password: None,
            trusted_proxies: Vec::new(),
            pin: Duration::from_secs(7 * 86_400),
            sweep: None,
            max_records: 2_000_000,
            debug_players: false,
            workers: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2)),
            limits: Rates::default(),
            operator: Operator::Off,
            operator_anywhere: false,
            audit: None,
            tls: None,
            plain_http: false,
            max_connections: 32_768,
            max_sockets: 20_000,
            max_connections_per_address: None,
            max_sockets_per_address: None,
            max_names_per_address: None,
            names: Vec::new(),
            redis: None,
        }
    }
}

impl Config {
    pub(crate) fn sockets_max(&self) -> usize {
        self.max_sockets.min(self.max_connections / 4 * 3)
    }

    pub(crate) fn sweep_interval(&self) -> Duration {
        self.sweep.unwrap_or(Duration::from_secs(60).min(self.ttl))
    }
}
