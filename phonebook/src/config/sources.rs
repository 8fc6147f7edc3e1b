//! File, environment and flags. Each source passes keys and texts to [`Layers`]; the last one wins.
//!
//! An error is one sentence: source, key, value, and what to write instead.

use super::{AuditFile, Config, OPERATOR, Operator, Password, Place, TlsFiles, wanted::wanted};
use crate::{address::AddressBlock, limits::Rate};
use fyteclub_files::{
    regular,
    trouble::{self, Trouble},
};
use fyteclub_proto::phonebook::live::host_and_port;
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// `FYTECLUB_PHONEBOOK_TTL` is the key `ttl`.
pub const ENV_PREFIX: &str = "FYTECLUB_PHONEBOOK_";

/// All keys: the same in the file, in the environment (upper case), and as flags (dashes).
pub const KEYS: [&str; 42] = [
    "listen",
    "ttl",
    "compat",
    "password",
    "trusted_proxies",
    "pin",
    "sweep",
    "max_records",
    "debug_players",
    "workers",
    "max_connections",
    "limit_register",
    "limit_lookup",
    "limit_introduce",
    "limit_socket",
    "limit_other",
    "limit_datagram",
    "limit_register_key",
    "limit_introduce_key",
    "operator",
    "operator_anywhere",
    "audit",
    "audit_size",
    "audit_addresses",
    "tls_cert",
    "tls_key",
    "plain_http",
    "max_sockets",
    "max_connections_per_address",
    "max_sockets_per_address",
    "max_names_per_address",
    "names",
    "udp_listen",
    "udp_address",
    "stun",
    "relay",
    "relay_rate",
    "relay_rate_per_address",
    "relay_rate_total",
    "max_relay_sessions",
    "redis",
    "redis_secret",
];

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("the configuration that --config names cannot be read: {0}")]
    Unreadable(Trouble),
    #[error("{} is not TOML at line {line}: {what}", path.display())]
    NotToml { path: PathBuf, line: usize, what: String },
    #[error("{origin} has a key `{key}` that does not exist; the keys are {}", KEYS.join(", "))]
    UnknownKey { origin: Origin, key: String },
    #[error("`{key}` in {origin} is {value}; write {wanted}")]
    BadValue {
        origin: Origin,
        key: &'static str,
        /// In backticks, or the word `empty`.
        value: String,
        wanted: &'static str,
    },
    #[error(
        "`debug_players` is true, which shows every player's address and exists only in compatibility mode; \
         remove it or set `compat` to true"
    )]
    DebugWithoutCompat,
    #[error(
        "`redis` has no use in compatibility mode, which is for a private network; \
         remove `redis` or `compat`"
    )]
    RedisWithCompat,
    #[error("`tls_cert` and `tls_key` belong together, and only one of them is set; add the other")]
    HalfACertificate,
    #[error(
        "`udp_listen` has another port than `listen`, so clients cannot guess it; \
         set `udp_address` to the host and port that they reach"
    )]
    HiddenUdp,
}

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    Environment,
    Flags,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment => f.write_str("the environment"),
            Self::Flags => f.write_str("the command line"),
        }
    }
}

/// Collects a [`Config`]. Apply the weakest source first.
#[derive(Debug, Default)]
pub struct Layers {
    config: Config,
    audit: Audit,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    redis: Option<Place>,
    redis_secret: Option<String>,
}

/// Settings that need `audit`.
#[derive(Debug)]
struct Audit {
    path: Option<PathBuf>,
    size: u64,
    full_addresses: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self { path: None, size: 8 << 20, full_addresses: false }
    }
}

impl Layers {
    /// The program's defaults: the operator's page is on.
    pub fn of_a_program() -> Self {
        let config = Config { operator: Operator::IfFree(OPERATOR), ..Config::default() };
        Self { config, ..Self::default() }
    }

    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = regular::read_named(path)
            .map_err(|error| ConfigError::Unreadable(trouble::explain(path, &error)))?;
        self.toml(path, &text)
    }

    /// Ignores variables without [`ENV_PREFIX`] or with an unknown key.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, value) in variables {
            let key = name.strip_prefix(ENV_PREFIX).map(str::to_ascii_lowercase);
            if let Some(key) = key.filter(|key| KEYS.contains(&key.as_str())) {
                self.set(Origin::Environment, &key, &value)?;
            }
        }
        Ok(())
    }

    pub fn flag(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.set(Origin::Flags, key, value)
    }

    /// Checks settings against each other.
    pub fn finish(self) -> Result<Config, ConfigError> {
        let Self { mut config, audit, tls_cert, tls_key, redis, redis_secret } = self;
        if config.debug_players && !config.compat {
            return Err(ConfigError::DebugWithoutCompat);
        }
        if redis.is_some() && config.compat {
            return Err(ConfigError::RedisWithCompat);
        }
        let is_elsewhere = config.udp_listen.is_some_and(|udp| udp.port() != config.listen.port());
        if is_elsewhere && config.udp_address.is_none() {
            return Err(ConfigError::HiddenUdp);
        }
        config.redis = redis.map(|place| match &redis_secret {
            Some(secret) => place.with_secret(secret),
            None => place,
        });
        let Audit { path, size, full_addresses } = audit;
        config.audit = path.map(|path| AuditFile { path, size, full_addresses });
        config.tls = match (tls_cert, tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            _ => return Err(ConfigError::HalfACertificate),
        };
        Ok(config)
    }

    pub(super) fn toml(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let table: toml::Table = text.parse().map_err(|error| not_toml(path, text, &error))?;
        for (key, value) in table {
            self.set(Origin::File(path.to_owned()), &key, &plain(&value))?;
        }
        Ok(())
    }

    fn set(&mut self, origin: Origin, key: &str, value: &str) -> Result<(), ConfigError> {
        let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
            return Err(ConfigError::UnknownKey { origin, key: key.to_owned() });
        };
        let config = &mut self.config;
        let value = value.trim();
        let understood = match key {
            "listen" => assign(&mut config.listen, value.parse().ok()),
            "ttl" => assign(&mut config.ttl, seconds(value, 1)),
            "compat" => assign(&mut config.compat, truth(value)),
            "password" => {
                assign(&mut config.password, (!value.is_empty()).then(|| Some(Password::new(value))))
            }
            "trusted_proxies" => assign(&mut config.trusted_proxies, networks(value)),
            "pin" => assign(&mut config.pin, seconds(value, 0)),
            "sweep" => assign(&mut config.sweep, seconds(value, 1).map(Some)),
            "max_records" => assign(&mut config.max_records, within(value, 1..=1_000_000_000)),
            "debug_players" => assign(&mut config.debug_players, truth(value)),
            "workers" => assign(&mut config.workers, within(value, 1..=256)),
            "max_connections" => assign(&mut config.max_connections, within(value, 1..=1_000_000)),
            "limit_register" => assign(&mut config.limits.register, rate(value)),
            "limit_lookup" => assign(&mut config.limits.lookup, rate(value)),
            "limit_introduce" => assign(&mut config.limits.introduce, rate(value)),
            "limit_socket" => assign(&mut config.limits.socket, rate(value)),
            "limit_other" => assign(&mut config.limits.other, rate(value)),
            "limit_datagram" => assign(&mut config.limits.datagram, rate(value)),
            "limit_register_key" => assign(&mut config.limits.register_key, rate(value)),
            "limit_introduce_key" => assign(&mut config.limits.introduce_key, rate(value)),
            "operator" => assign(&mut config.operator, operator(value)),
            "operator_anywhere" => assign(&mut config.operator_anywhere, truth(value)),
            "audit" => assign(&mut self.audit.path, path(value)),
            "audit_size" => assign(&mut self.audit.size, within(value, 65_536..=1 << 40)),
            "audit_addresses" => assign(&mut self.audit.full_addresses, full_or_cut(value)),
            "tls_cert" => assign(&mut self.tls_cert, path(value)),
            "tls_key" => assign(&mut self.tls_key, path(value)),
            "plain_http" => assign(&mut config.plain_http, truth(value)),
            "max_sockets" => assign(&mut config.max_sockets, within(value, 0..=1_000_000)),
            "max_connections_per_address" => assign(&mut config.max_connections_per_address, share(value)),
            "max_sockets_per_address" => assign(&mut config.max_sockets_per_address, share(value)),
            "max_names_per_address" => assign(&mut config.max_names_per_address, share(value)),
            "names" => assign(&mut config.names, names(value)),
            "udp_listen" => assign(&mut config.udp_listen, value.parse().ok().map(Some)),
            "udp_address" => assign(&mut config.udp_address, udp_address(value)),
            "stun" => assign(&mut config.stun, truth(value)),
            "relay" => assign(&mut config.relay, truth(value)),
            "relay_rate" => assign(&mut config.relay_rate, kib(value)),
            "relay_rate_per_address" => assign(&mut config.relay_rate_per_address, kib(value)),
            "relay_rate_total" => assign(&mut config.relay_rate_total, kib(value)),
            "max_relay_sessions" => assign(&mut config.max_relay_sessions, within(value, 1..=1_000_000)),
            "redis" => assign(&mut self.redis, place(value)),
            "redis_secret" => assign(&mut self.redis_secret, secret(value)),
            _ => unreachable!("`key` is one of KEYS"),
        };
        understood.ok_or_else(|| {
            // The value may contain a password.
            let value = if key.starts_with("redis") && !value.is_empty() { "…" } else { value };
            let value = if value.is_empty() { "empty".to_owned() } else { format!("`{value}`") };
            ConfigError::BadValue { origin, key, value, wanted: wanted(key) }
        })
    }
}

/// The parser's error, with what to write if it is about a value.
fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let place = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let what = match value_at(place) {
        Some(key) => {
            format!("{}; as `{key}` write {}, text in quotation marks", error.message(), wanted(key))
        }
        None => error.message().to_owned(),
    };
    ConfigError::NotToml { path: path.to_owned(), line: place.matches('\n').count() + 1, what }
}

/// The key of the value in which this beginning of a file ends.
fn value_at(place: &str) -> Option<&'static str> {
    let (before, line) = place.rsplit_once('\n').unwrap_or(("", place));
    let key = match line.split_once('=') {
        Some((key, _)) => key,
        // Everything before this line is complete.
        None if before.parse::<toml::Table>().is_ok() => return None,
        None => before.lines().rev().find_map(|line| line.split_once('='))?.0,
    };
    KEYS.into_iter().find(|known| *known == key.trim())
}

fn assign<T>(place: &mut T, value: Option<T>) -> Option<()> {
    *place = value?;
    Some(())
}

fn seconds(text: &str, least: u64) -> Option<Duration> {
    within(text, least..=31_536_000).map(Duration::from_secs)
}

fn within<T: FromStr + PartialOrd>(text: &str, range: std::ops::RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// `Some` overrides the default.
fn share(text: &str) -> Option<Option<usize>> {
    within(text, 1..=1_000_000_000).map(Some)
}

fn is_off(text: &str) -> bool {
    text.eq_ignore_ascii_case("off")
}

/// `Some(None)` is no limit.
fn rate(text: &str) -> Option<Option<Rate>> {
    if is_off(text) { Some(None) } else { text.parse().ok().map(Some) }
}

fn operator(text: &str) -> Option<Operator> {
    if is_off(text) { Some(Operator::Off) } else { text.parse().ok().map(Operator::At) }
}

/// `Some(None)` removes a weaker source's value.
fn path(text: &str) -> Option<Option<PathBuf>> {
    if text.is_empty() { None } else { Some((!is_off(text)).then(|| text.into())) }
}

/// `Some(None)` removes a weaker source's value.
fn place(text: &str) -> Option<Option<Place>> {
    if is_off(text) { Some(None) } else { text.parse().ok().map(Some) }
}

/// Shorter secrets can be guessed.
fn secret(text: &str) -> Option<Option<String>> {
    (text.len() >= 16).then(|| Some(text.to_owned()))
}

fn full_or_cut(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "full" => Some(true),
        "cut" => Some(false),
        _ => None,
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" | "" => Some(false),
        _ => None,
    }
}

fn names(text: &str) -> Option<Vec<String>> {
    let is_host = |name: &str| !name.contains("/") && !name.contains(char::is_whitespace);
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| is_host(name).then(|| name.to_lowercase())).collect()
}

/// `Some(None)` is no limit.
fn kib(text: &str) -> Option<Option<u32>> {
    if is_off(text) { Some(None) } else { within(text, 1..=1 << 24).map(Some) }
}

/// `Some(None)` removes a weaker source's value.
fn udp_address(text: &str) -> Option<Option<String>> {
    if is_off(text) { Some(None) } else { host_and_port(text).map(|_| Some(text.to_lowercase())) }
}

fn networks(text: &str) -> Option<Vec<AddressBlock>> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
}

/// A TOML value in command-line syntax.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(parts) => parts.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
