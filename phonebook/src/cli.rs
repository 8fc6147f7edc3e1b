//! The command line; its values override environment and file.

use clap::{Parser, ValueEnum};
use fyteclub_phonebook::config::{Config, ConfigError, Layers};
use std::{env, path::PathBuf};

/// Helps two players find each other, and stores nothing else.
///
/// Every option but --config can also be a key of the configuration file (`max_records = 5`) or a variable of the
/// environment (FYTECLUB_PHONEBOOK_MAX_RECORDS=5). Options win over the environment, the environment over the file.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Args {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:3000]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Seconds that a registration is answered [default: 3600]
    #[arg(long, value_name = "SECS")]
    ttl: Option<String>,
    /// Serve the original's unsigned contract: for your own network only
    #[arg(long)]
    compat: bool,
    /// TOML file to read
    #[arg(long, value_name = "FILE", env = "FYTECLUB_PHONEBOOK_CONFIG")]
    config: Option<PathBuf>,
    /// Required from all clients; other users of this machine can read it here, so prefer the environment or the file
    #[arg(long, value_name = "TEXT")]
    password: Option<String>,
    /// Proxies whose X-Forwarded-For is trusted: addresses or networks, separated by commas [default: none]
    #[arg(long, value_name = "NETS")]
    trusted_proxies: Option<String>,
    /// Seconds that a name belongs to its key after the last registration [default: 604800]
    #[arg(long, value_name = "SECS")]
    pin: Option<String>,
    /// Seconds between two clean-ups [default: 60, or the ttl if that is less]
    #[arg(long, value_name = "SECS")]
    sweep: Option<String>,
    /// Most names in memory [default: 2000000]
    #[arg(long, value_name = "N")]
    max_records: Option<String>,
    /// List every player with address under /api/debug/players; only with --compat
    #[arg(long)]
    debug_players: bool,
    /// Threads that answer requests [default: 2, or 1 on a single core]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Most connections at once [default: 32768]
    #[arg(long, value_name = "N")]
    max_connections: Option<String>,
    /// PEM file with the own certificate and its chain; read again when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// PEM file with the certificate's key
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Serve plain HTTP beyond this machine: anybody on the network path can read it
    #[arg(long)]
    plain_http: bool,
    /// Where the operator's page and Prometheus metrics are, or off [default: 127.0.0.1:3001 if that is free]
    #[arg(long, value_name = "IP:PORT")]
    operator: Option<String>,
    /// Let --operator be an address that others reach; it asks for no password
    #[arg(long)]
    operator_anywhere: bool,
    /// File for security events, a JSON line each; names are hashed, addresses cut [default: none]
    #[arg(long, value_name = "FILE")]
    audit: Option<String>,
    /// Bytes after which the audit log begins a new file; four are kept [default: 8388608]
    #[arg(long, value_name = "BYTES")]
    audit_size: Option<String>,
    /// Addresses in the audit log: cut or full [default: cut]
    #[arg(long, value_name = "HOW")]
    audit_addresses: Option<String>,
    /// Registrations from one address, or off [default: 10/s burst 300]
    #[arg(long, value_name = "RATE")]
    limit_register: Option<String>,
    /// Names looked up from one address, or off [default: 100/s burst 1000]
    #[arg(long, value_name = "RATE")]
    limit_lookup: Option<String>,
    /// Introductions from one address, or off [default: 10/s burst 200]
    #[arg(long, value_name = "RATE")]
    limit_introduce: Option<String>,
    /// Live connections opened from one address, or off [default: 4/s burst 100]
    #[arg(long, value_name = "RATE")]
    limit_socket: Option<String>,
    /// Everything else that one address asks for, or off [default: 20/s burst 200]
    #[arg(long, value_name = "RATE")]
    limit_other: Option<String>,
    /// Datagrams of one address that are answered before it has proven itself, or off [default: 100/s burst 1000]
    #[arg(long, value_name = "RATE")]
    limit_datagram: Option<String>,
    /// Registrations under one key, or off [default: 2/s burst 20]
    #[arg(long, value_name = "RATE")]
    limit_register_key: Option<String>,
    /// Introductions under one key, or off [default: 1/s burst 60]
    #[arg(long, value_name = "RATE")]
    limit_introduce_key: Option<String>,
    /// Most live clients at once, three quarters of the connections at most [default: 20000]
    #[arg(long, value_name = "N")]
    max_sockets: Option<String>,
    /// Most connections from one address at once [default: 256, or a quarter of all]
    #[arg(long, value_name = "N")]
    max_connections_per_address: Option<String>,
    /// Most live clients from one address at once [default: 200, or a quarter of all]
    #[arg(long, value_name = "N")]
    max_sockets_per_address: Option<String>,
    /// Most names in memory from one address [default: 1000, or a quarter of all]
    #[arg(long, value_name = "N")]
    max_names_per_address: Option<String>,
    /// Hosts of this phone book's URLs, with the port where it is not the default [default: any Host]
    #[arg(long, value_name = "HOSTS")]
    names: Option<String>,
    /// Where UDP is answered; the next port is used too [default: as --listen]
    #[arg(long, value_name = "IP:PORT")]
    udp_listen: Option<String>,
    /// Host and port by which clients reach it over UDP, for a phone book behind a proxy, or one of several behind a
    /// name [default: those of the client's URL]
    #[arg(long, value_name = "HOST:PORT")]
    udp_address: Option<String>,
    /// Answer STUN, by which daemons learn their public address: on or off [default: on]
    #[arg(long, value_name = "ON|OFF")]
    stun: Option<String>,
    /// Forward datagrams of players who find no direct path: on or off [default: on]
    #[arg(long, value_name = "ON|OFF")]
    relay: Option<String>,
    /// KiB a second of each direction of a relayed session, or off [default: 4096]
    #[arg(long, value_name = "KIB")]
    relay_rate: Option<String>,
    /// KiB a second that one address, and one key, sends through the relay, or off [default: 16384]
    #[arg(long, value_name = "KIB")]
    relay_rate_per_address: Option<String>,
    /// KiB a second of all relayed sessions together, or off [default: off]
    #[arg(long, value_name = "KIB")]
    relay_rate_total: Option<String>,
    /// Most relayed sessions at once [default: 20000]
    #[arg(long, value_name = "N")]
    max_relay_sessions: Option<String>,
    /// Redis that all phone books behind one name share, or off [default: everything in memory]
    ///
    /// Other users of this machine can read a password here, so prefer the environment or the file for one.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Secret under which names are hashed there, the same for all; prefer the environment or the file
    #[arg(long, value_name = "TEXT")]
    redis_secret: Option<String>,
    /// How the log on stderr is written; RUST_LOG chooses what is in it
    #[arg(long, value_enum, default_value = "text", env = "FYTECLUB_PHONEBOOK_LOG")]
    pub(crate) log: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Json,
    Text,
}

impl Args {
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let mut layers = Layers::of_a_program();
        if let Some(path) = &self.config {
            layers.file(path)?;
        }
        layers.environment(env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        }))?;
        let switch = |on: bool| on.then(|| "true".to_owned());
        for (key, value) in [
            ("listen", &self.listen),
            ("ttl", &self.ttl),
            ("compat", &switch(self.compat)),
            ("password", &self.password),
            ("trusted_proxies", &self.trusted_proxies),
            ("pin", &self.pin),
            ("sweep", &self.sweep),
            ("max_records", &self.max_records),
            ("debug_players", &switch(self.debug_players)),
            ("workers", &self.workers),
            ("max_connections", &self.max_connections),
            ("tls_cert", &self.tls_cert),
            ("tls_key", &self.tls_key),
            ("plain_http", &switch(self.plain_http)),
            ("operator", &self.operator),
            ("operator_anywhere", &switch(self.operator_anywhere)),
            ("audit", &self.audit),
            ("audit_size", &self.audit_size),
            ("audit_addresses", &self.audit_addresses),
            ("limit_register", &self.limit_register),
            ("limit_lookup", &self.limit_lookup),
            ("limit_introduce", &self.limit_introduce),
            ("limit_socket", &self.limit_socket),
            ("limit_other", &self.limit_other),
            ("limit_datagram", &self.limit_datagram),
            ("limit_register_key", &self.limit_register_key),
            ("limit_introduce_key", &self.limit_introduce_key),
            ("max_sockets", &self.max_sockets),
            ("max_connections_per_address", &self.max_connections_per_address),
            ("max_sockets_per_address", &self.max_sockets_per_address),
            ("max_names_per_address", &self.max_names_per_address),
            ("names", &self.names),
            ("udp_listen", &self.udp_listen),
            ("udp_address", &self.udp_address),
            ("stun", &self.stun),
            ("relay", &self.relay),
            ("relay_rate", &self.relay_rate),
            ("relay_rate_per_address", &self.relay_rate_per_address),
            ("relay_rate_total", &self.relay_rate_total),
            ("max_relay_sessions", &self.max_relay_sessions),
            ("redis", &self.redis),
            ("redis_secret", &self.redis_secret),
        ] {
            if let Some(value) = value {
                layers.flag(key, value)?;
            }
        }
        layers.finish()
    }
}
