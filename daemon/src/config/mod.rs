//! The daemon's settings: defaults, `config.toml`, `FYTECLUB_*`, flags; each overrides the ones before.
//!
//! [`Raw`] is one layer: the table of all settings is in `raw`. [`Config`] is all layers, checked in `check`. [`paths`]
//! has the folders.

mod check;
mod error;
pub mod paths;
mod raw;
mod show;
#[cfg(test)]
mod tests;

use crate::{io::quic::Tuning, pumps::compression::Compression};
pub use error::ConfigError;
use fyteclub_proto::{
    contact::Policy,
    fetching::pace::Limits,
    id::PlayerName,
    phonebook::Listing,
    reaching::{mapping::Switches, traversal::Means},
};
pub use raw::{Dir, Raw, Word, Words};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Which STUN servers are asked for this machine's outside address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stun {
    /// Else none.
    pub is_on: bool,
    /// Hosts and ports beside the phone books' own.
    pub others: Vec<(String, u16)>,
}

impl std::fmt::Display for Stun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.others.is_empty() {
            return write!(f, "{}", self.is_on);
        }
        let written = |(host, port): &(String, u16)| match host.parse::<std::net::Ipv6Addr>() {
            Ok(ip) => format!("[{ip}]:{port}"),
            Err(_) => format!("{host}:{port}"),
        };
        let others: Vec<_> = self.others.iter().map(written).collect();
        write!(f, "[{}]", others.join(", "))
    }
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    /// Without one the daemon runs and fetches, but is not registered and publishes nothing.
    pub player: Option<PlayerName>,
    pub phonebooks: Vec<String>,
    pub listen: SocketAddr,
    /// `None`: the default endpoint, or one in the data folder when another daemon has the default one.
    pub ipc: Option<String>,
    pub cache_limit: u64,
    /// `None`: a GiB, or 2 % of a small disk.
    pub min_free: Option<u64>,
    /// Bytes that prefetches may store within a day; 0: none.
    pub prefetch_budget: u64,
    pub compression: Compression,
    pub limits: Limits,
    pub stun: Stun,
    pub heartbeat: Duration,
    /// Which players find this one in a phone book.
    pub listing: Listing,
    pub contact_requests: Policy,
    /// The protocols of port mapping.
    pub mapping: Switches,
    /// Whether contacts in the local network are looked for.
    pub lan: bool,
    /// How peers are reached where they cannot simply be dialled.
    pub means: Means,
    /// In the syntax of [`fyteclub_logging::filter::targets`].
    pub log: String,
    pub log_format: LogFormat,
    pub tuning: Tuning,
}

impl Config {
    /// Reads all layers. `flags` is the uppermost; `file` was named by the command line, if there is one.
    ///
    /// # Errors
    /// The first error, and what to do about it.
    pub fn load(
        flags: Raw,
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let variables = Raw::from_env(&env);
        let upper = flags.clone().over(variables.clone());
        let variable = || env("FYTECLUB_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
        let named = file.map(Path::to_owned).or_else(variable);
        let path = match (&named, &upper.data_dir) {
            (Some(path), _) => path.clone(),
            (None, Some(Dir(dir))) => paths::config_file(dir),
            (None, None) => paths::config_file(&paths::default_data_dir(&env).map_err(ConfigError::NoHome)?),
        };
        let file = Raw::from_file(&path, named.is_some())?;
        Self::check(upper.over(file), &env).map_err(|error| {
            error.said_in(|key| {
                if flags.says(key) {
                    "the command line".to_owned()
                } else if variables.says(key) {
                    format!("the environment variable {}", Raw::variable(key))
                } else {
                    path.display().to_string()
                }
            })
        })
    }
}
