//! From all layers to a [`Config`]: what each setting may be, what it is where nothing is said, and what is said of one
//! that is wrong.

use super::{
    Config, ConfigError, LogFormat, paths,
    raw::{Raw, Size},
};
use crate::{io::quic::Tuning, pumps::compression::Compression};
use fyteclub_proto::{
    contact::Policy,
    fetching::pace::{Limits, Rate},
    id::PlayerName,
    phonebook::Listing,
    presence::HEARTBEAT,
    size,
};
use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
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
pub(super) const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

impl Config {
    pub(super) fn check(raw: Raw, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            data_dir: data_dir(raw.data_dir, env)?,
            player: player(raw.player.as_deref())?,
            phonebooks: phonebooks(raw.phonebooks.unwrap_or_default())?,
            listen: listen(raw.listen.as_deref())?,
            ipc: raw.ipc,
            cache_limit: bytes("cache_limit", raw.cache_limit, |bytes| bytes >= CACHE_LIMIT_MIN)
                .unwrap_or(Ok(CACHE_LIMIT))?,
            min_free: bytes("min_free", raw.min_free, |bytes| bytes <= MIN_FREE_MAX).transpose()?,
            prefetch_budget: bytes("prefetch_budget", raw.prefetch_budget, |_| true)
                .unwrap_or(Ok(PREFETCH_BUDGET))?,
            compression: compression(raw.compression.as_deref())?,
            limits: Limits {
                upload: rate("upload_limit", raw.upload_limit)?,
                download: rate("download_limit", raw.download_limit)?,
                peer_upload: rate("peer_upload_limit", raw.peer_upload_limit)?,
                peer_download: rate("peer_download_limit", raw.peer_download_limit)?,
                lan: raw.limit_lan.unwrap_or(Limits::default().lan),
            },
            heartbeat: heartbeat(raw.heartbeat)?,
            listing: listing(raw.visibility.as_deref(), raw.hidden_secret)?,
            contact_requests: contact_requests(raw.contact_requests.as_deref())?,
            log: log(raw.log)?,
            log_format: log_format(raw.log_format.as_deref())?,
            tuning: Tuning::new(raw.packet, raw.data_key_bytes),
        })
    }
}

fn wrong(key: &'static str, value: &str, expected: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        place: "configuration".into(),
        key,
        value: value.to_owned(),
        expected: expected.into(),
    }
}

fn data_dir(chosen: Option<PathBuf>, env: impl Fn(&str) -> Option<String>) -> Result<PathBuf, ConfigError> {
    let dir = match chosen {
        Some(dir) => dir,
        None => paths::default_data_dir(&env).map_err(ConfigError::NoHome)?,
    };
    std::path::absolute(&dir)
        .map_err(|error| wrong("data_dir", &dir.display().to_string(), error.to_string()))
}

fn player(name: Option<&str>) -> Result<Option<PlayerName>, ConfigError> {
    let parse =
        |name: &str| name.parse().map_err(|error| wrong("player", name, format!("that cannot be: {error}")));
    name.map(parse).transpose()
}

fn phonebooks(urls: Vec<String>) -> Result<Vec<String>, ConfigError> {
    let is_one = |url: &String| {
        let parsed = reqwest::Url::parse(url).ok();
        parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    match urls.iter().find(|url| !is_one(url)) {
        Some(url) => Err(wrong("phonebooks", url, "it must read http://HOST:PORT or https://HOST")),
        None => Ok(urls),
    }
}

fn listen(addr: Option<&str>) -> Result<SocketAddr, ConfigError> {
    let Some(text) = addr else { return Ok(LISTEN) };
    text.parse().map_err(|_| wrong("listen", text, "it must read IP:PORT, [::]:0 for any free port"))
}

/// `None` where nothing is said.
fn bytes(
    key: &'static str,
    size: Option<Size>,
    may_be: impl Fn(u64) -> bool,
) -> Option<Result<u64, ConfigError>> {
    let shown = size?.to_string();
    let bytes = size::parse(&shown).filter(|bytes| may_be(*bytes));
    Some(bytes.ok_or_else(|| {
        let expected = match key {
            "cache_limit" => "it must be at least 64 MiB, written like `20 GiB`",
            "min_free" => "it must be what stays free on the disk, written like `1 GiB`",
            _ => "it must be a size, written like `256 MiB`, or 0 for none",
        };
        wrong(key, &shown, expected)
    }))
}

fn compression(word: Option<&str>) -> Result<Compression, ConfigError> {
    match word {
        None | Some("auto") => Ok(Compression::Auto),
        Some("always") => Ok(Compression::Always),
        Some("never") => Ok(Compression::Never),
        Some(other) => Err(wrong("compression", other, "it must be auto, always or never")),
    }
}

fn rate(key: &'static str, size: Option<Size>) -> Result<Option<Rate>, ConfigError> {
    let Some(shown) = size.map(|size| size.to_string()) else { return Ok(None) };
    Rate::parse(&shown).map_err(|error| wrong(key, &shown, error.to_string()))
}

fn heartbeat(secs: Option<u64>) -> Result<Duration, ConfigError> {
    match secs {
        None => Ok(HEARTBEAT),
        Some(secs) if HEARTBEAT_SECS.contains(&secs) => Ok(Duration::from_secs(secs)),
        Some(secs) => Err(wrong("heartbeat", &secs.to_string(), "it must be 1 to 3600 seconds")),
    }
}

fn listing(visibility: Option<&str>, secret: Option<String>) -> Result<Listing, ConfigError> {
    match (visibility, secret) {
        (None | Some("contacts"), _) => Ok(Listing::Contacts),
        (Some("listed"), _) => Ok(Listing::Listed),
        (Some("hidden"), Some(secret)) if secret.len() >= HIDDEN_SECRET_MIN => Ok(Listing::Hidden { secret }),
        (Some("hidden"), _) => Err(wrong(
            "hidden_secret",
            "(not shown)",
            format!(
                "with visibility `hidden` it must be {HIDDEN_SECRET_MIN} characters or more, random, and the same for all who shall find each other"
            ),
        )),
        (Some(other), _) => Err(wrong("visibility", other, "it must be contacts, listed or hidden")),
    }
}

fn contact_requests(word: Option<&str>) -> Result<Policy, ConfigError> {
    match word {
        None | Some("ask") => Ok(Policy::Ask),
        Some("nobody") => Ok(Policy::Nobody),
        Some(other) => Err(wrong("contact_requests", other, "it must be ask or nobody")),
    }
}

fn log(filter: Option<String>) -> Result<String, ConfigError> {
    let log = filter.unwrap_or_else(|| "info".into());
    match log.parse::<tracing_subscriber::filter::Targets>() {
        Ok(_) => Ok(log),
        Err(error) => Err(wrong("log", &log, format!("it must be a level or a filter: {error}"))),
    }
}

fn log_format(word: Option<&str>) -> Result<LogFormat, ConfigError> {
    match word {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(other) => Err(wrong("log_format", other, "it must be text or json")),
    }
}
