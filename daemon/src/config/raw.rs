//! One layer of settings, as written: the one table of their names.

use super::error::ConfigError;
use crate::io::trouble;
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A number of bytes as people write it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Size {
    Bytes(u64),
    Text(String),
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Makes [`Raw`] of the table below. A row is a setting's name in `config.toml`, its type, its environment variable, and
/// what is said of a value there that is not of that type.
macro_rules! settings {
    ($($(#[$doc:meta])* $key:ident: $kind:ty = $variable:literal $(or $expected:literal)?;)*) => {
        /// One layer, as written. In the file every key is optional and an unknown one is an error.
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Raw {
            $($(#[$doc])* pub $key: Option<$kind>,)*
        }

        impl Raw {
            /// The environment's layer. Empty variables count as unset; lists are separated by commas.
            ///
            /// # Errors
            /// A number that is none.
            pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
                Ok(Self {
                    $($key: read(&env, $variable, concat!($($expected)?))?,)*
                })
            }

            /// This layer over a lower one.
            #[must_use]
            pub fn over(self, lower: Self) -> Self {
                Self { $($key: self.$key.or(lower.$key),)* }
            }
        }
    };
}

settings! {
    data_dir: PathBuf = "FYTECLUB_DATA_DIR";
    player: String = "FYTECLUB_PLAYER";
    phonebooks: Vec<String> = "FYTECLUB_PHONEBOOK";
    listen: String = "FYTECLUB_LISTEN";
    ipc: String = "FYTECLUB_IPC";
    /// Bytes, or a number with KiB, MiB, GiB or TiB.
    cache_limit: Size = "FYTECLUB_CACHE_LIMIT";
    /// What of the disk stays free for others, written likewise; 0 switches that off.
    min_free: Size = "FYTECLUB_MIN_FREE";
    /// What a day may bring of looks that nobody needs yet, written likewise; 0 switches that off.
    prefetch_budget: Size = "FYTECLUB_PREFETCH_BUDGET";
    compression: String = "FYTECLUB_COMPRESSION";
    /// Bytes a second to all peers together; a size as above, or `off`.
    upload_limit: Size = "FYTECLUB_UPLOAD_LIMIT";
    download_limit: Size = "FYTECLUB_DOWNLOAD_LIMIT";
    /// And to any one of them.
    peer_upload_limit: Size = "FYTECLUB_PEER_UPLOAD_LIMIT";
    peer_download_limit: Size = "FYTECLUB_PEER_DOWNLOAD_LIMIT";
    /// Whether they hold in the local network too.
    limit_lan: bool = "FYTECLUB_LIMIT_LAN" or "it must be true or false";
    /// Seconds between registrations with a phone book.
    heartbeat: u64 = "FYTECLUB_HEARTBEAT" or "it must be a number of seconds";
    /// `contacts`, `listed` or `hidden`.
    visibility: String = "FYTECLUB_VISIBILITY";
    /// With `hidden`: what those share who can find this player.
    hidden_secret: String = "FYTECLUB_HIDDEN_SECRET";
    /// What becomes of strangers who ask to be contacts: `ask` or `nobody`.
    contact_requests: String = "FYTECLUB_CONTACT_REQUESTS";
    log: String = "FYTECLUB_LOG";
    log_format: String = "FYTECLUB_LOG_FORMAT";
    /// Bytes in a packet to a peer on this machine. For benchmarks; `check-config` does not show it.
    packet: u64 = "FYTECLUB_PACKET" or "it must be a number of bytes";
    /// Bytes that one data key seals. For tests; `check-config` does not show it.
    data_key_bytes: u64 = "FYTECLUB_DATA_KEY_BYTES" or "it must be a number of bytes";
}

impl Raw {
    /// # Errors
    /// A file that is there but cannot be read, or is no valid config. A missing one is an error only where it was
    /// named.
    pub fn from_file(path: &Path, named: bool) -> Result<Self, ConfigError> {
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| ConfigError::Invalid {
                path: path.to_owned(),
                message: error.to_string().trim_end().to_owned(),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => Ok(Self::default()),
            Err(error) if named => Err(ConfigError::Unreadable(trouble::explain(path, &error))),
            // There may be none: what cannot be read is the folder.
            Err(error) if fs::symlink_metadata(path).is_err() => {
                let folder = path.parent().unwrap_or(path);
                Err(ConfigError::Unreadable(trouble::explain_data(folder, folder, &error)))
            }
            Err(error) => Err(ConfigError::Unreadable(trouble::explain_state(path, &error))),
        }
    }
}

/// What an environment variable may hold.
trait Variable: Sized {
    fn of(text: &str) -> Option<Self>;
}

impl Variable for String {
    fn of(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Variable for PathBuf {
    fn of(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

impl Variable for Vec<String> {
    fn of(text: &str) -> Option<Self> {
        Some(text.split(',').map(|item| item.trim().to_owned()).collect())
    }
}

impl Variable for Size {
    fn of(text: &str) -> Option<Self> {
        Some(Self::Text(text.to_owned()))
    }
}

impl Variable for bool {
    fn of(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Variable for u64 {
    fn of(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

fn read<T: Variable>(
    env: impl Fn(&str) -> Option<String>,
    key: &'static str,
    expected: &str,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = env(key).filter(|value| !value.is_empty()) else { return Ok(None) };
    match T::of(&value) {
        Some(read) => Ok(Some(read)),
        None => {
            Err(ConfigError::Value { place: "environment".into(), key, value, expected: expected.to_owned() })
        }
    }
}
