//! What the daemon is told: defaults, then `config.toml`, then `FYTECLUB_*`, then flags; each beats the one before.
//!
//! [`Raw`] is any one layer; [`Config`] is all of them, checked. Where things lie is in [`paths`].

pub mod paths;

use crate::{
    io::{
        private::{self, Trouble},
        quic::Tuning,
    },
    pumps::compression::Compression,
};
use fyteclub_proto::{
    contact::Policy,
    fetching::pace::{Limits, Rate},
    id::PlayerName,
    phonebook::Listing,
    presence::HEARTBEAT,
    size,
};
use paths::HomeError;
use serde::Deserialize;
use std::{
    fs,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// What today's systems keep for friends' looks.
const CACHE_LIMIT: u64 = 20 << 30;
const CACHE_LIMIT_MIN: u64 = 64 << 20;
/// One large look or a few ordinary ones; four times what a system that fetches in advance allows itself.
const PREFETCH_BUDGET: u64 = 256 << 20;
/// More than a whole disk of today is a slip of the keyboard.
const MIN_FREE_MAX: u64 = 1 << 50;
/// A secret that is shorter can be guessed by whoever runs a phone book.
const HIDDEN_SECRET_MIN: usize = 16;
const HEARTBEAT_SECS: std::ops::RangeInclusive<u64> = 1..=3600;

/// Both address families, and any port: the phone book is told which.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("cannot read the config file {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a valid config file: {message}")]
    Invalid { path: PathBuf, message: String },
    #[error("{place}: `{key}` is `{value}`, and {expected}")]
    Value { place: String, key: &'static str, value: String, expected: String },
    #[error("no home folder is known, because {0}: say where to keep things with --data-dir DIR")]
    NoHome(#[source] HomeError),
    #[error("{key} is not UTF-8: set it to plain Unicode, or say where to keep things with --data-dir DIR")]
    NotUnicode { key: String },
    #[error(transparent)]
    Folder(Trouble),
}

/// One layer, as written. In the file every key is optional and an unknown one is an error.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    pub data_dir: Option<PathBuf>,
    pub player: Option<String>,
    pub phonebooks: Option<Vec<String>>,
    pub listen: Option<String>,
    pub ipc: Option<String>,
    /// Bytes, or a number with KiB, MiB, GiB or TiB.
    pub cache_limit: Option<Size>,
    /// What of the disk stays free for others, written likewise; 0 switches that off.
    pub min_free: Option<Size>,
    /// What a day may bring of looks that nobody needs yet, written likewise; 0 switches that off.
    pub prefetch_budget: Option<Size>,
    pub compression: Option<String>,
    /// Bytes a second to all peers together; a size as above, or `off`.
    pub upload_limit: Option<Size>,
    pub download_limit: Option<Size>,
    /// And to any one of them.
    pub peer_upload_limit: Option<Size>,
    pub peer_download_limit: Option<Size>,
    /// Whether they hold in the local network too.
    pub limit_lan: Option<bool>,
    /// Seconds between registrations with a phone book.
    pub heartbeat: Option<u64>,
    /// `contacts`, `listed` or `hidden`.
    pub visibility: Option<String>,
    /// With `hidden`: what those share who can find this player.
    pub hidden_secret: Option<String>,
    /// What becomes of strangers who ask to be contacts: `ask` or `nobody`.
    pub contact_requests: Option<String>,
    pub log: Option<String>,
    pub log_format: Option<String>,
    /// Bytes in a packet to a peer on this machine. For benchmarks; `check-config` does not show it.
    pub packet: Option<u64>,
    /// Bytes that one data key seals. For tests; `check-config` does not show it.
    pub data_key_bytes: Option<u64>,
}

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

impl Raw {
    /// The environment's layer. Empty variables count as unset; lists are separated by commas.
    ///
    /// # Errors
    /// A number that is none.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let text = |key: &str| env(key).filter(|value| !value.is_empty());
        let number = |key: &'static str, of: &str| match text(key) {
            None => Ok(None),
            Some(value) => value.parse().map(Some).map_err(|_| ConfigError::Value {
                place: "environment".into(),
                key,
                value,
                expected: format!("it must be a number of {of}"),
            }),
        };
        let limit_lan = match text("FYTECLUB_LIMIT_LAN").as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(value) => {
                return Err(ConfigError::Value {
                    place: "environment".into(),
                    key: "FYTECLUB_LIMIT_LAN",
                    value: value.into(),
                    expected: "it must be true or false".into(),
                });
            }
        };
        Ok(Self {
            data_dir: text("FYTECLUB_DATA_DIR").map(PathBuf::from),
            player: text("FYTECLUB_PLAYER"),
            phonebooks: text("FYTECLUB_PHONEBOOK")
                .map(|list| list.split(',').map(|url| url.trim().to_owned()).collect()),
            listen: text("FYTECLUB_LISTEN"),
            ipc: text("FYTECLUB_IPC"),
            cache_limit: text("FYTECLUB_CACHE_LIMIT").map(Size::Text),
            min_free: text("FYTECLUB_MIN_FREE").map(Size::Text),
            prefetch_budget: text("FYTECLUB_PREFETCH_BUDGET").map(Size::Text),
            compression: text("FYTECLUB_COMPRESSION"),
            upload_limit: text("FYTECLUB_UPLOAD_LIMIT").map(Size::Text),
            download_limit: text("FYTECLUB_DOWNLOAD_LIMIT").map(Size::Text),
            peer_upload_limit: text("FYTECLUB_PEER_UPLOAD_LIMIT").map(Size::Text),
            peer_download_limit: text("FYTECLUB_PEER_DOWNLOAD_LIMIT").map(Size::Text),
            limit_lan,
            heartbeat: number("FYTECLUB_HEARTBEAT", "seconds")?,
            visibility: text("FYTECLUB_VISIBILITY"),
            hidden_secret: text("FYTECLUB_HIDDEN_SECRET"),
            contact_requests: text("FYTECLUB_CONTACT_REQUESTS"),
            log: text("FYTECLUB_LOG"),
            log_format: text("FYTECLUB_LOG_FORMAT"),
            packet: number("FYTECLUB_PACKET", "bytes")?,
            data_key_bytes: number("FYTECLUB_DATA_KEY_BYTES", "bytes")?,
        })
    }

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
            // There may be none: what cannot be read is the folder.
            Err(error) if !named && !path.is_file() => {
                Err(ConfigError::Folder(private::explain_data(path.parent().unwrap_or(path), error)))
            }
            Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        }
    }

    /// This layer over a lower one.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(lower.data_dir),
            player: self.player.or(lower.player),
            phonebooks: self.phonebooks.or(lower.phonebooks),
            listen: self.listen.or(lower.listen),
            ipc: self.ipc.or(lower.ipc),
            cache_limit: self.cache_limit.or(lower.cache_limit),
            min_free: self.min_free.or(lower.min_free),
            prefetch_budget: self.prefetch_budget.or(lower.prefetch_budget),
            compression: self.compression.or(lower.compression),
            upload_limit: self.upload_limit.or(lower.upload_limit),
            download_limit: self.download_limit.or(lower.download_limit),
            peer_upload_limit: self.peer_upload_limit.or(lower.peer_upload_limit),
            peer_download_limit: self.peer_download_limit.or(lower.peer_download_limit),
            limit_lan: self.limit_lan.or(lower.limit_lan),
            heartbeat: self.heartbeat.or(lower.heartbeat),
            visibility: self.visibility.or(lower.visibility),
            hidden_secret: self.hidden_secret.or(lower.hidden_secret),
            contact_requests: self.contact_requests.or(lower.contact_requests),
            log: self.log.or(lower.log),
            log_format: self.log_format.or(lower.log_format),
            packet: self.packet.or(lower.packet),
            data_key_bytes: self.data_key_bytes.or(lower.data_key_bytes),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Everything, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    /// Without one the daemon runs and fetches, but is not registered and publishes nothing.
    pub player: Option<PlayerName>,
    pub phonebooks: Vec<String>,
    pub listen: SocketAddr,
    /// `None`: the default endpoint, or one in the data folder where another daemon has that.
    pub ipc: Option<String>,
    pub cache_limit: u64,
    /// `None`: a GiB, or 2 % of a small disk.
    pub min_free: Option<u64>,
    /// Bytes of looks that nobody needs yet, within a day; 0: none.
    pub prefetch_budget: u64,
    pub compression: Compression,
    pub limits: Limits,
    pub heartbeat: Duration,
    /// Who finds this player in a phone book.
    pub listing: Listing,
    pub contact_requests: Policy,
    /// In the words of `tracing_subscriber::EnvFilter`.
    pub log: String,
    pub log_format: LogFormat,
    pub tuning: Tuning,
}

impl Config {
    /// Reads all layers. `flags` is the uppermost; `file` the one that was named, if any.
    ///
    /// # Errors
    /// The first thing that is wrong, and what to do about it.
    pub fn load(
        flags: Raw,
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let upper = flags.over(Raw::from_env(&env)?);
        let named = file.map(Path::to_owned).or_else(|| env("FYTECLUB_CONFIG").map(PathBuf::from));
        let layers = match &named {
            Some(path) => upper.over(Raw::from_file(path, true)?),
            None => {
                let chosen = upper.data_dir.clone().map(Ok);
                let dir =
                    chosen.unwrap_or_else(|| paths::default_data_dir(&env).map_err(ConfigError::NoHome))?;
                upper.over(Raw::from_file(&paths::config_file(&dir), false)?)
            }
        };
        Self::check(layers, env)
    }

    fn check(raw: Raw, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let wrong = |key, value: &str, expected: String| ConfigError::Value {
            place: "configuration".into(),
            key,
            value: value.to_owned(),
            expected,
        };
        let chosen = raw.data_dir.map(Ok);
        let data_dir =
            chosen.unwrap_or_else(|| paths::default_data_dir(&env).map_err(ConfigError::NoHome))?;
        let data_dir = std::path::absolute(&data_dir)
            .map_err(|error| wrong("data_dir", &data_dir.display().to_string(), error.to_string()))?;
        let player = match raw.player.as_deref() {
            None => None,
            Some(name) => Some(
                name.parse().map_err(|error| wrong("player", name, format!("that cannot be: {error}")))?,
            ),
        };
        let mut phonebooks = Vec::new();
        for url in raw.phonebooks.unwrap_or_default() {
            let parsed = reqwest::Url::parse(&url).ok();
            if !parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
                return Err(wrong(
                    "phonebooks",
                    &url,
                    "it must read http://HOST:PORT or https://HOST".into(),
                ));
            }
            phonebooks.push(url);
        }
        let listen = match raw.listen.as_deref() {
            None => LISTEN,
            Some(text) => text.parse().map_err(|_| {
                wrong("listen", text, "it must read IP:PORT, [::]:0 for any free port".into())
            })?,
        };
        let cache_limit = match &raw.cache_limit {
            None => CACHE_LIMIT,
            Some(size) => {
                let shown = size.to_string();
                size::parse(&shown).filter(|bytes| *bytes >= CACHE_LIMIT_MIN).ok_or_else(|| {
                    wrong("cache_limit", &shown, "it must be at least 64 MiB, written like `20 GiB`".into())
                })?
            }
        };
        let min_free = match raw.min_free {
            None => None,
            Some(size) => {
                let shown = size.to_string();
                let bytes = size::parse(&shown).filter(|bytes| *bytes <= MIN_FREE_MAX);
                Some(bytes.ok_or_else(|| {
                    let expected = "it must be what stays free on the disk, written like `1 GiB`";
                    wrong("min_free", &shown, expected.into())
                })?)
            }
        };
        let prefetch_budget = match raw.prefetch_budget {
            None => PREFETCH_BUDGET,
            Some(size) => {
                let shown = size.to_string();
                size::parse(&shown).ok_or_else(|| {
                    let expected = "it must be a size, written like `256 MiB`, or 0 for none";
                    wrong("prefetch_budget", &shown, expected.into())
                })?
            }
        };
        let compression = match raw.compression.as_deref() {
            None | Some("auto") => Compression::Auto,
            Some("always") => Compression::Always,
            Some("never") => Compression::Never,
            Some(other) => {
                return Err(wrong("compression", other, "it must be auto, always or never".into()));
            }
        };
        let rate = |key, size: &Option<Size>| match size {
            None => Ok(None),
            Some(size) => Rate::parse(&size.to_string())
                .map_err(|error| wrong(key, &size.to_string(), error.to_string())),
        };
        let limits = Limits {
            upload: rate("upload_limit", &raw.upload_limit)?,
            download: rate("download_limit", &raw.download_limit)?,
            peer_upload: rate("peer_upload_limit", &raw.peer_upload_limit)?,
            peer_download: rate("peer_download_limit", &raw.peer_download_limit)?,
            lan: raw.limit_lan.unwrap_or(Limits::default().lan),
        };
        let heartbeat = match raw.heartbeat {
            None => HEARTBEAT,
            Some(secs) if HEARTBEAT_SECS.contains(&secs) => Duration::from_secs(secs),
            Some(secs) => {
                return Err(wrong("heartbeat", &secs.to_string(), "it must be 1 to 3600 seconds".into()));
            }
        };
        let listing = match (raw.visibility.as_deref(), raw.hidden_secret) {
            (None | Some("contacts"), _) => Listing::Contacts,
            (Some("listed"), _) => Listing::Listed,
            (Some("hidden"), Some(secret)) if secret.len() >= HIDDEN_SECRET_MIN => Listing::Hidden { secret },
            (Some("hidden"), _) => {
                return Err(wrong(
                    "hidden_secret",
                    "(not shown)",
                    format!(
                        "with visibility `hidden` it must be {HIDDEN_SECRET_MIN} characters or more, random, and the same for all who shall find each other"
                    ),
                ));
            }
            (Some(other), _) => {
                return Err(wrong("visibility", other, "it must be contacts, listed or hidden".into()));
            }
        };
        let contact_requests = match raw.contact_requests.as_deref() {
            None | Some("ask") => Policy::Ask,
            Some("nobody") => Policy::Nobody,
            Some(other) => {
                return Err(wrong("contact_requests", other, "it must be ask or nobody".into()));
            }
        };
        let log = raw.log.unwrap_or_else(|| "info".into());
        if let Err(error) = log.parse::<tracing_subscriber::EnvFilter>() {
            return Err(wrong("log", &log, format!("it must be a level or a filter: {error}")));
        }
        let log_format = match raw.log_format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => return Err(wrong("log_format", other, "it must be text or json".into())),
        };
        Ok(Self {
            data_dir,
            player,
            phonebooks,
            listen,
            ipc: raw.ipc,
            cache_limit,
            min_free,
            prefetch_budget,
            compression,
            limits,
            heartbeat,
            listing,
            contact_requests,
            log,
            log_format,
            tuning: Tuning::new(raw.packet, raw.data_key_bytes),
        })
    }
}

/// As `check-config` shows it: every key with the value that counts.
impl std::fmt::Display for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let player = self.player.as_ref().map_or("(none: nothing is published)", PlayerName::as_str);
        writeln!(f, "The configuration is valid.")?;
        writeln!(f, "data_dir    = {}", self.data_dir.display())?;
        writeln!(f, "player      = {player}")?;
        writeln!(f, "phonebooks  = [{}]", self.phonebooks.join(", "))?;
        writeln!(f, "listen      = {}", self.listen)?;
        writeln!(f, "ipc         = {}", self.ipc.as_deref().unwrap_or("(default)"))?;
        writeln!(f, "cache       = {}", crate::io::store::cache_dir(&self.data_dir).display())?;
        writeln!(f, "cache_limit = {} MiB", self.cache_limit >> 20)?;
        match self.min_free {
            Some(bytes) => writeln!(f, "min_free    = {} MiB", bytes >> 20)?,
            None => writeln!(f, "min_free    = (1024 MiB, or 2 % of a small disk)")?,
        }
        writeln!(f, "prefetch_budget = {}", size::words(self.prefetch_budget))?;
        writeln!(f, "compression = {:?}", self.compression)?;
        let limit = |rate: Option<Rate>| rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string());
        writeln!(f, "upload_limit = {}", limit(self.limits.upload))?;
        writeln!(f, "download_limit = {}", limit(self.limits.download))?;
        writeln!(f, "peer_upload_limit = {}", limit(self.limits.peer_upload))?;
        writeln!(f, "peer_download_limit = {}", limit(self.limits.peer_download))?;
        writeln!(f, "limit_lan   = {}", self.limits.lan)?;
        writeln!(f, "heartbeat   = {} s", self.heartbeat.as_secs())?;
        writeln!(f, "visibility  = {}", self.listing.visibility().as_str())?;
        writeln!(f, "contact_requests = {:?}", self.contact_requests)?;
        writeln!(f, "log         = {}", self.log)?;
        writeln!(f, "log_format  = {:?}", self.log_format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, env: &[(&str, &str)], flags: Raw) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("config.toml");
        fs::write(&path, file).expect("written");
        let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let env = move |key: &str| env.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        let flags = Raw { data_dir: Some(dir.path().to_owned()), ..flags };
        Config::load(flags, None, env)
    }

    #[test]
    fn nothing_but_a_data_folder_is_enough() {
        let config = load("", &[], Raw::default()).expect("defaults");
        assert_eq!((config.player, config.phonebooks.len(), config.listen), (None, 0, LISTEN));
        assert_eq!(config.tuning, Tuning::default());
    }

    #[test]
    fn hidden_settings_are_numbers_and_are_clamped() {
        let env = [("FYTECLUB_PACKET", "1452"), ("FYTECLUB_DATA_KEY_BYTES", "18446744073709551615")];
        let config = load("", &env, Raw::default()).expect("valid");
        assert_eq!(
            config.tuning,
            Tuning::new(Some(1452), None),
            "a data key lasts no longer than by default"
        );
        assert!(!config.to_string().contains("1452"), "{config}");
        let error = load("", &[("FYTECLUB_DATA_KEY_BYTES", "many")], Raw::default()).expect_err("no number");
        assert!(error.to_string().contains("FYTECLUB_DATA_KEY_BYTES"), "{error}");
    }

    #[test]
    fn flags_beat_environment_beats_file() {
        let file = "player = \"A A@File\"\nlisten = \"127.0.0.1:1\"\ncache_limit = \"1 GiB\"\n";
        let env = [("FYTECLUB_PLAYER", "A A@Env"), ("FYTECLUB_LISTEN", "127.0.0.1:2"), ("FYTECLUB_IPC", "")];
        let flags = Raw { player: Some("A A@Flag".into()), ..Raw::default() };
        let config = load(file, &env, flags).expect("valid");
        assert_eq!(config.player.expect("named").as_str(), "A A@Flag");
        assert_eq!(config.listen.port(), 2);
        assert_eq!((config.cache_limit, config.ipc), (1 << 30, None));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_to_do() {
        for (file, says) in [
            ("plaer = \"x\"", "plaer"),
            ("player = \"Alice\"", "@"),
            ("listen = \"7777\"", "IP:PORT"),
            ("packet = \"large\"", "config.toml"),
            ("cache_limit = \"lots\"", "20 GiB"),
            ("cache_limit = 5", "64 MiB"),
            ("min_free = \"some\"", "1 GiB"),
            ("min_free = \"5000 TiB\"", "1 GiB"),
            ("prefetch_budget = \"all\"", "256 MiB"),
            ("phonebooks = [\"ftp://x\"]", "http://HOST:PORT"),
            ("compression = \"max\"", "auto, always or never"),
            ("upload_limit = \"fast\"", "2 MiB"),
            ("peer_download_limit = 16383", "at least 16 KiB a second"),
            ("heartbeat = 0", "1 to 3600"),
            ("visibility = \"all\"", "contacts, listed or hidden"),
            ("visibility = \"hidden\"\nhidden_secret = \"short\"", "16 characters"),
            ("contact_requests = \"all\"", "ask or nobody"),
            ("log = \"a=b=c\"", "filter"),
            ("= broken", "config.toml"),
        ] {
            let error = load(file, &[], Raw::default()).expect_err(file).to_string();
            assert!(error.contains(says), "{file}: {error}");
        }
    }

    #[test]
    fn home_that_is_none_is_told_with_the_way_out() {
        let load = |home: Option<&'static str>| {
            let env = move |key: &str| home.filter(|_| key == "HOME").map(str::to_owned);
            Config::load(Raw::default(), None, env).expect_err("no folder").to_string()
        };
        for (home, says) in
            [(None, "HOME is not set"), (Some(""), "HOME is empty"), (Some("home"), "no absolute path")]
        {
            let error = load(home);
            assert!(error.contains(says) && error.contains("--data-dir"), "{error}");
        }
    }

    #[test]
    fn file_as_data_folder_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "mine").expect("written");
        let flags = Raw { data_dir: Some(file.clone()), ..Raw::default() };
        let error = Config::load(flags, None, |_| None).expect_err("a file").to_string();
        assert!(error.contains(&file.display().to_string()) && error.contains("--data-dir"), "{error}");
        assert!(!error.contains("config"), "{error}");
    }

    #[test]
    fn limits_are_off_unless_they_are_said() {
        let config = load("", &[], Raw::default()).expect("defaults");
        assert_eq!(config.limits, Limits::default());
        let env = [("FYTECLUB_DOWNLOAD_LIMIT", "off"), ("FYTECLUB_LIMIT_LAN", "false")];
        let file = "upload_limit = \"2 MiB\"\ndownload_limit = \"1 MiB\"\npeer_upload_limit = 20000\n";
        let config = load(file, &env, Raw::default()).expect("valid");
        let rate = |bytes: u64| Some(bytes.try_into().expect("above the floor"));
        let limits =
            Limits { upload: rate(2 << 20), peer_upload: rate(20_000), lan: false, ..Limits::default() };
        assert_eq!(config.limits, limits);
        assert!(config.to_string().contains("upload_limit = 2 MiB/s\ndownload_limit = off\n"), "{config}");
        let error = load("", &[("FYTECLUB_LIMIT_LAN", "maybe")], Raw::default()).expect_err("neither");
        assert!(error.to_string().contains("true or false"), "{error}");
    }
}
