//! One layer of settings, as written: the table of their names.

use super::error::ConfigError;
use crate::io::{regular, trouble};
use fyteclub_proto::foreign::Foreign;
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// A value as written, of any type: it is checked once, for all layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(pub String);

/// A path, which need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dir(pub PathBuf);

/// Several values; one is a list too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

struct AnyWord;

impl Visitor<'_> for AnyWord {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value, as text or a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(AnyWord).map(Self)
    }
}

impl<'de> Deserialize<'de> for Dir {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(AnyWord).map(|text| Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
                Ok(vec![text.to_owned()])
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Vec<String>, E> {
                Ok(vec![value.to_string()])
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Vec<String>, E> {
                Ok(vec![number.to_string()])
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Vec<String>, E> {
                Ok(vec![number.to_string()])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
                let mut words = Vec::new();
                while let Some(Word(word)) = list.next_element()? {
                    words.push(word);
                }
                Ok(words)
            }
        }
        value.deserialize_any(List).map(Self)
    }
}

/// Makes [`Raw`] of the table below. A row is a setting's name in `config.toml`, its type, its environment variable and a
/// valid value as TOML.
macro_rules! settings {
    ($($(#[$doc:meta])* $key:ident: $kind:ty = $variable:literal, $example:literal;)*) => {
        /// One layer, as written. In the file every key is optional and an unknown one is an error.
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Raw {
            $($(#[$doc])* pub $key: Option<$kind>,)*
        }

        impl Raw {
            /// The environment's layer. Empty variables count as unset; lists are separated by commas.
            pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
                Self { $($key: env($variable).filter(|value| !value.is_empty()).map(<$kind as Variable>::of),)* }
            }

            /// This layer over a lower one.
            #[must_use]
            pub fn over(self, lower: Self) -> Self {
                Self { $($key: self.$key.or(lower.$key),)* }
            }

            /// Whether this layer has a value for the setting.
            pub fn says(&self, key: &str) -> bool {
                match key {
                    $(stringify!($key) => self.$key.is_some(),)*
                    _ => false,
                }
            }

            /// A valid value of a setting, as TOML.
            pub(super) fn example(key: &str) -> Option<&'static str> {
                match key {
                    $(stringify!($key) => Some($example),)*
                    _ => None,
                }
            }

            /// The environment variable of a setting.
            pub fn variable(key: &str) -> &'static str {
                match key {
                    $(stringify!($key) => $variable,)*
                    _ => "",
                }
            }
        }
    };
}

settings! {
    data_dir: Dir = "FYTECLUB_DATA_DIR", "'/home/alice/fyteclub'";
    player: Word = "FYTECLUB_PLAYER", "\"Alice Ashe@Gilgamesh\"";
    phonebooks: Words = "FYTECLUB_PHONEBOOK", "[\"https://book.example\"]";
    listen: Word = "FYTECLUB_LISTEN", "\"[::]:0\"";
    ipc: Word = "FYTECLUB_IPC", "'/tmp/fyteclub.sock'";
    /// Bytes, or a number with KiB, MiB, GiB or TiB.
    cache_limit: Word = "FYTECLUB_CACHE_LIMIT", "\"20 GiB\"";
    /// The size that stays free on the disk, written likewise; 0 switches it off.
    min_free: Word = "FYTECLUB_MIN_FREE", "\"1 GiB\"";
    /// The most that prefetches may store in a day, written likewise; 0 switches them off.
    prefetch_budget: Word = "FYTECLUB_PREFETCH_BUDGET", "\"256 MiB\"";
    compression: Word = "FYTECLUB_COMPRESSION", "\"auto\"";
    /// Bytes a second to all peers together; a size as above, or `off`.
    upload_limit: Word = "FYTECLUB_UPLOAD_LIMIT", "\"2 MiB\"";
    download_limit: Word = "FYTECLUB_DOWNLOAD_LIMIT", "\"2 MiB\"";
    /// To each of them.
    peer_upload_limit: Word = "FYTECLUB_PEER_UPLOAD_LIMIT", "\"2 MiB\"";
    peer_download_limit: Word = "FYTECLUB_PEER_DOWNLOAD_LIMIT", "\"2 MiB\"";
    /// Whether they apply in the local network too.
    limit_lan: Word = "FYTECLUB_LIMIT_LAN", "true";
    /// Whether STUN servers are asked for this machine's outside address; or others' `HOST:PORT` beside the phone books'.
    stun: Words = "FYTECLUB_STUN", "[\"stun.example:3478\"]";
    /// Seconds between registrations with a phone book.
    heartbeat: Word = "FYTECLUB_HEARTBEAT", "30";
    /// `contacts`, `listed` or `hidden`.
    visibility: Word = "FYTECLUB_VISIBILITY", "\"contacts\"";
    /// With `hidden`: the secret of the players who can find this one.
    hidden_secret: Word = "FYTECLUB_HIDDEN_SECRET", "\"16 random letters or more\"";
    /// How requests of strangers to be contacts are handled: `ask` or `nobody`.
    contact_requests: Word = "FYTECLUB_CONTACT_REQUESTS", "\"ask\"";
    /// Whether the home router is asked for a port by UPnP.
    upnp: Word = "FYTECLUB_UPNP", "true";
    /// The same by NAT-PMP and PCP.
    nat_pmp: Word = "FYTECLUB_NAT_PMP", "true";
    /// Whether contacts in the local network are looked for, and told that this daemon is there.
    lan: Word = "FYTECLUB_LAN", "true";
    /// Whether holes are punched into routers.
    punching: Word = "FYTECLUB_PUNCHING", "true";
    /// Whether relays are used: `on`, `off` or `only`.
    relay: Word = "FYTECLUB_RELAY", "\"on\"";
    log: Word = "FYTECLUB_LOG", "\"info\"";
    log_format: Word = "FYTECLUB_LOG_FORMAT", "\"text\"";
    /// Bytes in a packet to a peer on this machine. For benchmarks; `check-config` does not show it.
    packet: Word = "FYTECLUB_PACKET", "1452";
    /// Bytes that one data key seals. For tests; `check-config` does not show it.
    data_key_bytes: Word = "FYTECLUB_DATA_KEY_BYTES", "33554432";
}

impl Raw {
    /// # Errors
    /// The file cannot be read, or is no valid config. A missing file is an error only if it was named.
    pub fn from_file(path: &Path, named: bool) -> Result<Self, ConfigError> {
        let invalid = |message: String| ConfigError::Invalid { path: path.to_owned(), message };
        let read = if named { regular::read_named(path) } else { regular::read_text(path) };
        match read {
            Ok(text) => toml::from_str(&text).map_err(|error| invalid(sentence(&text, &error))),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(invalid("it is not text in UTF-8; save it as that".into()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => Ok(Self::default()),
            Err(error) if named => Err(ConfigError::Unreadable(trouble::explain(path, &error))),
            // The file may be absent; then the folder is unreadable.
            Err(error) if fs::symlink_metadata(path).is_err() => {
                let folder = path.parent().unwrap_or(path);
                Err(ConfigError::Unreadable(trouble::explain_data(folder, folder, &error)))
            }
            Err(error) => Err(ConfigError::Unreadable(trouble::explain_state(path, &error))),
        }
    }
}

/// The parser's error on one line, and how the setting is written if it is about a value.
fn sentence(text: &str, error: &toml::de::Error) -> String {
    let what = Foreign::new(error.message());
    let Some(place) = error.span().and_then(|span| text.get(..span.start)) else { return what.to_string() };
    let line = place.matches('\n').count() + 1;
    match value_at(place).and_then(|key| Some((key, Raw::example(key)?))) {
        Some((key, example)) => {
            format!(
                "line {line}: the value of `{key}` cannot be read ({what}): write it as in `{key} = {example}`"
            )
        }
        None => format!("line {line}: {what}"),
    }
}

/// The key of the value in which this beginning of a file ends.
fn value_at(place: &str) -> Option<&str> {
    let (before, line) = place.rsplit_once('\n').unwrap_or(("", place));
    match line.split_once('=') {
        Some((key, _)) => Some(key.trim()),
        // Everything before this line is complete.
        None if before.parse::<toml::Table>().is_ok() => None,
        None => before.lines().rev().find_map(|line| line.split_once('=')).map(|(key, _)| key.trim()),
    }
}

/// A type of an environment variable.
trait Variable {
    fn of(text: String) -> Self;
}

impl Variable for Word {
    fn of(text: String) -> Self {
        Self(text)
    }
}

impl Variable for Dir {
    fn of(text: String) -> Self {
        Self(text.into())
    }
}

impl Variable for Words {
    fn of(text: String) -> Self {
        Self(text.split(',').map(|item| item.trim().to_owned()).collect())
    }
}
