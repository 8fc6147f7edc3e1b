//! The settings of a phone book, and their defaults. `sources` reads them.

mod audit;
mod operator;
mod password;
mod place;
mod sources;
#[cfg(test)]
mod tests;
mod wanted;

use crate::{address::AddressBlock, limits::Rates, relay};
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Port 0 takes a free one, see [`crate::Server::addr`].
    pub listen: SocketAddr,
    /// Lifetime of a registration.
    pub ttl: Duration,
    /// Serve the original's unsigned contract.
    pub compat: bool,
    /// Required below `/api/`.
    pub password: Option<Password>,
    /// Whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<AddressBlock>,
    /// How long a name belongs to its key after the last registration. Unused in compatibility mode.
    pub pin: Duration,
    /// Period of the sweep; `None`: a minute, or `ttl` if that is shorter.
    pub sweep: Option<Duration>,
    /// Most names in memory, about 175 bytes each.
    pub max_records: usize,
    /// Serve `/api/debug/players`, which lists all addresses. Only in compatibility mode.
    pub debug_players: bool,
    /// Worker threads.
    pub workers: usize,
    /// Most connections of all workers, two file descriptors each.
    pub max_connections: usize,
    /// Most clients of `/api/live`, at most three quarters of `max_connections`.
    pub max_sockets: usize,
    /// Most connections per address (IPv6: /64), or requests in progress behind a trusted proxy. `None`: 256, or a
    /// quarter of `max_connections` if that is less.
    pub max_connections_per_address: Option<usize>,
    /// Most live clients per address. `None`: 200, or a quarter of `max_sockets` if that is less.
    pub max_sockets_per_address: Option<usize>,
    /// Most names per address (IPv6: /48). `None`: 1,000, or a quarter of `max_records` if that is less.
    pub max_names_per_address: Option<usize>,
    /// Host names of this phone book, with non-default ports. Empty: any `Host`.
    pub names: Vec<String>,
    /// Request budgets.
    pub limits: Rates,
    /// The operator's page and metrics. The library's default is off, the program's is [`OPERATOR`].
    pub operator: Operator,
    /// Allow `operator` to be an address beyond loopback. The page has no password.
    pub operator_anywhere: bool,
    /// The audit log; `None`: off.
    pub audit: Option<AuditFile>,
    /// `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Allow plain HTTP beyond loopback.
    pub plain_http: bool,
    /// Where UDP is answered; `None`: at the port of `listen` and the next one.
    pub udp_listen: Option<SocketAddr>,
    /// `HOST:PORT` by which clients reach it. `None`: they take the host and port of their URL.
    pub udp_address: Option<String>,
    /// Answer STUN. Never in compatibility mode.
    pub stun: bool,
    /// Forward datagrams of players who find no direct path. Never in compatibility mode.
    pub relay: bool,
    /// KiB a second of each direction of a relayed session; `None`: no limit.
    pub relay_rate: Option<u32>,
    /// KiB a second that one address, and one key, sends through the relay.
    pub relay_rate_per_address: Option<u32>,
    /// KiB a second of all sessions together.
    pub relay_rate_total: Option<u32>,
    /// Sessions at once; each takes about a KiB. One key, and one address, has a quarter of them at most.
    pub max_relay_sessions: usize,
    /// The Redis shared by all phone books of one name; `None`: names are in memory.
    pub redis: Option<Place>,
}

/// Relayed sessions of one key, and bound legs of one address: hundreds of players behind a carrier's address.
const RELAY_SESSIONS_OF_ONE: usize = 2000;

/// The program's default for the operator's page.
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
            udp_listen: None,
            udp_address: None,
            stun: true,
            relay: true,
            relay_rate: Some(4096),
            relay_rate_per_address: Some(16_384),
            relay_rate_total: None,
            max_relay_sessions: 20_000,
            redis: None,
        }
    }
}

impl Config {
    pub(crate) fn sockets_max(&self) -> usize {
        self.max_sockets.min(self.max_connections / 4 * 3)
    }

    pub(crate) fn relay_settings(&self) -> relay::Settings {
        let bytes = |kib: Option<u32>| kib.map(|kib| u64::from(kib) << 10);
        relay::Settings {
            rate: bytes(self.relay_rate),
            holder_rate: bytes(self.relay_rate_per_address),
            whole_rate: bytes(self.relay_rate_total),
            sessions: self.max_relay_sessions,
            holder_sessions: (self.max_relay_sessions / 4).clamp(1, RELAY_SESSIONS_OF_ONE),
        }
    }

    pub(crate) fn sweep_interval(&self) -> Duration {
        self.sweep.unwrap_or(Duration::from_secs(60).min(self.ttl))
    }
}
