//! Checks all layers and makes a [`Config`]: each setting's allowed values, its default, and the message for a wrong
//! one.

use super::{
    Config, ConfigError, LogFormat, Stun, paths,
    raw::{Dir, Raw, Word, Words},
};
use crate::{
    io::{
        ipc::{IpcError, LocalListener},
        phonebook_http,
        quic::{Tuning, try_bind},
    },
    pumps::compression::Compression,
};
use fyteclub_logging::filter;
use fyteclub_pipe::Endpoint;
use fyteclub_proto::{
    contact::Policy,
    fetching::pace::{Limits, RATE_MIN, Rate},
    foreign::Foreign,
    id::PlayerName,
    phonebook::{Listing, Visibility, live::host_and_port},
    presence::HEARTBEAT,
    reaching::{
        mapping::Switches,
        traversal::{Means, RelayUse},
    },
    size,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

/// The size of friends' looks in today's systems.
const CACHE_LIMIT: u64 = 20 << 30;
const CACHE_LIMIT_MIN: u64 = 64 << 20;
/// One large look or a few usual ones; four times the prefetch of another system.
const PREFETCH_BUDGET: u64 = 256 << 20;
/// More than a whole disk of today is a typing error.
const SIZE_MAX: u64 = 1 << 50;
/// A phone book's operator could guess a shorter secret.
const HIDDEN_SECRET_MIN: usize = 16;
const HEARTBEAT_SECS: RangeInclusive<u64> = 1..=3600;

const SAYS_HOME: &str = "`~` means the home folder to a shell only: write the whole path";

/// Both address families, and any port: the phone book is sent the port.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

impl Config {
    pub(super) fn check(raw: Raw, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            data_dir: data_dir(raw.data_dir, env)?,
            player: player(raw.player)?,
            phonebooks: phonebooks(raw.phonebooks)?,
            listen: listen(raw.listen)?,
            ipc: ipc(raw.ipc)?,
            cache_limit: bytes("cache_limit", raw.cache_limit, CACHE_LIMIT_MIN, "20 GiB")?
                .unwrap_or(CACHE_LIMIT),
            min_free: bytes("min_free", raw.min_free, 0, "1 GiB")?,
            prefetch_budget: bytes("prefetch_budget", raw.prefetch_budget, 0, "256 MiB")?
                .unwrap_or(PREFETCH_BUDGET),
            compression: one_of("compression", raw.compression, &COMPRESSION)?,
            limits: Limits {
                upload: rate("upload_limit", raw.upload_limit)?,
                download: rate("download_limit", raw.download_limit)?,
                peer_upload: rate("peer_upload_limit", raw.peer_upload_limit)?,
                peer_download: rate("peer_download_limit", raw.peer_download_limit)?,
                lan: one_of("limit_lan", raw.limit_lan, &SWITCH)?,
            },
            stun: stun(raw.stun)?,
            heartbeat: heartbeat(raw.heartbeat)?,
            listing: listing(raw.visibility, raw.hidden_secret)?,
            contact_requests: one_of("contact_requests", raw.contact_requests, &CONTACT_REQUESTS)?,
            mapping: Switches {
                upnp: one_of("upnp", raw.upnp, &SWITCH)?,
                nat_pmp: one_of("nat_pmp", raw.nat_pmp, &SWITCH)?,
            },
            lan: one_of("lan", raw.lan, &SWITCH)?,
            means: Means {
                punching: one_of("punching", raw.punching, &SWITCH)?,
                relay: one_of("relay", raw.relay, &RELAY)?,
            },
            log: log(raw.log)?,
            log_format: one_of("log_format", raw.log_format, &LOG_FORMAT)?,
            tuning: Tuning::new(
                bytes_within("packet", raw.packet, &Tuning::PACKET)?,
                bytes_within("data_key_bytes", raw.data_key_bytes, &Tuning::DATA_KEY_BYTES)?,
            ),
        })
    }
}

/// The caller, which knows the layers, adds `place`.
fn wrong(key: &'static str, value: &str, expected: impl Into<String>) -> ConfigError {
    ConfigError::Value { place: String::new(), key, value: Foreign::new(value), expected: expected.into() }
}

fn data_dir(chosen: Option<Dir>, env: impl Fn(&str) -> Option<String>) -> Result<PathBuf, ConfigError> {
    let dir = match chosen {
        Some(Dir(dir)) => dir,
        None => paths::default_data_dir(&env).map_err(ConfigError::NoHome)?,
    };
    let shown = dir.to_string_lossy();
    if shown.is_empty() || shown.contains('\0') {
        return Err(wrong("data_dir", &shown, "it must be the path of a folder"));
    }
    if paths::is_home_sign(&dir) {
        return Err(wrong("data_dir", &shown, SAYS_HOME));
    }
    std::path::absolute(&dir).map_err(|error| wrong("data_dir", &shown, error.to_string()))
}

fn player(name: Option<Word>) -> Result<Option<PlayerName>, ConfigError> {
    let parse = |Word(name)| {
        name.parse().map_err(|error| wrong("player", &name, format!("it is not valid: {error}")))
    };
    name.map(parse).transpose()
}

fn phonebooks(urls: Option<Words>) -> Result<Vec<String>, ConfigError> {
    let urls = urls.map_or_else(Vec::new, |Words(urls)| urls);
    match urls.iter().find(|url| !phonebook_http::is_address(url)) {
        Some(url) => Err(wrong("phonebooks", url, "each must read http://HOST:PORT or https://HOST")),
        None => Ok(urls),
    }
}

/// Asks the system whether the address is this machine's; a port in use is no fault of the setting.
fn listen(addr: Option<Word>) -> Result<SocketAddr, ConfigError> {
    let Some(Word(text)) = addr else { return Ok(LISTEN) };
    let says = |expected: String| wrong("listen", &text, expected);
    let Ok(addr) = text.parse::<SocketAddr>() else {
        return Err(says("it must read IP:PORT, as in [::]:0 for any free port of all addresses".into()));
    };
    let is_one_machine = !addr.ip().is_multicast() && addr.ip() != Ipv4Addr::BROADCAST;
    match try_bind(addr) {
        _ if !is_one_machine => {}
        Ok(()) => return Ok(addr),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Ok(addr),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let expected =
                "only root may listen on that port here: choose one from 1024 on, or 0 for any free one";
            return Err(says(expected.into()));
        }
        Err(error) => return Err(says(format!("this machine cannot listen there ({error}): use [::]:0"))),
    }
    Err(says("it must be an address of this machine, as in [::]:0 for all of them".into()))
}

fn ipc(place: Option<Word>) -> Result<Option<String>, ConfigError> {
    let Some(Word(place)) = place else { return Ok(None) };
    if paths::is_home_sign(Path::new(&place)) {
        return Err(wrong("ipc", &place, SAYS_HOME));
    }
    let expected = match LocalListener::check(&Endpoint::at(&place)) {
        Ok(()) => return Ok(Some(place)),
        Err(IpcError::Listen { source, .. }) => format!("that cannot be a socket's place: {source}"),
        Err(IpcError::NoSocket { what, .. }) => format!("that is {what}, not a socket: choose another place"),
        Err(IpcError::Folder { source, .. }) => format!("{source}; or choose another place"),
        Err(error) => error.to_string(),
    };
    Err(wrong("ipc", &place, expected))
}

/// `None` if it is not set.
fn bytes(
    key: &'static str,
    size: Option<Word>,
    least: u64,
    example: &str,
) -> Result<Option<u64>, ConfigError> {
    let Some(Word(shown)) = size else { return Ok(None) };
    let bytes = size::parse(&shown).filter(|bytes| (least..=SIZE_MAX).contains(bytes));
    bytes.map(Some).ok_or_else(|| {
        let (least, most) = (size::words(least), size::words(SIZE_MAX));
        let expected =
            format!("it must be a whole number of bytes, KiB, MiB, GiB or TiB, as in `{example}`, from {least} to {most}");
        wrong(key, &shown, expected)
    })
}

/// A switch that is on where nothing is said.
const SWITCH: [(&str, bool); 2] = [("true", true), ("false", false)];

pub(super) const COMPRESSION: [(&str, Compression); 3] =
    [("auto", Compression::Auto), ("always", Compression::Always), ("never", Compression::Never)];

pub(super) const RELAY: [(&str, RelayUse); 3] =
    [("on", RelayUse::On), ("off", RelayUse::Off), ("only", RelayUse::Only)];
pub(super) const CONTACT_REQUESTS: [(&str, Policy); 2] = [("ask", Policy::Ask), ("nobody", Policy::Nobody)];

pub(super) const LOG_FORMAT: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// The name of a value in one of these tables.
pub(super) fn name_of<T: PartialEq>(all: &[(&'static str, T)], value: &T) -> &'static str {
    all.iter().find(|(_, other)| other == value).map_or("", |(name, _)| name)
}

/// `None` means the first one.
fn one_of<T: Copy>(key: &'static str, word: Option<Word>, all: &[(&str, T)]) -> Result<T, ConfigError> {
    let Some(Word(word)) = word else { return Ok(all[0].1) };
    let found = all.iter().find(|(name, _)| *name == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        let (last, others) = names.split_last().expect("each setting has its values in this file");
        wrong(key, &word, format!("it must be {} or {last}", others.join(", ")))
    })
}

fn rate(key: &'static str, size: Option<Word>) -> Result<Option<Rate>, ConfigError> {
    let Some(Word(shown)) = size else { return Ok(None) };
    Rate::parse(&shown).map_err(|_| {
        let least = size::words(RATE_MIN);
        wrong(key, &shown, format!("it must be a size, as in `2 MiB`, of at least {least} a second, or off"))
    })
}

fn bytes_within(
    key: &'static str,
    word: Option<Word>,
    range: &RangeInclusive<u64>,
) -> Result<Option<u64>, ConfigError> {
    let Some(Word(text)) = word else { return Ok(None) };
    let bytes = text.parse().ok().filter(|bytes| range.contains(bytes));
    bytes.map(Some).ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        wrong(key, &text, format!("it must be a number of bytes from {least} to {most}"))
    })
}

fn stun(words: Option<Words>) -> Result<Stun, ConfigError> {
    let words = words.map_or_else(Vec::new, |Words(words)| words);
    match words.as_slice() {
        [word] if word == "true" => Ok(Stun { is_on: true, others: Vec::new() }),
        [word] if word == "false" => Ok(Stun { is_on: false, others: Vec::new() }),
        servers => {
            let parse = |text: &String| {
                let parts = host_and_port(text).map(|(host, port)| (host.to_owned(), port));
                parts.ok_or_else(|| wrong("stun", text, "it must be true, false or a list of HOST:PORT"))
            };
            let others = servers.iter().map(parse).collect::<Result<_, _>>()?;
            Ok(Stun { is_on: true, others })
        }
    }
}

fn heartbeat(secs: Option<Word>) -> Result<Duration, ConfigError> {
    let Some(Word(text)) = secs else { return Ok(HEARTBEAT) };
    match text.parse() {
        Ok(secs) if HEARTBEAT_SECS.contains(&secs) => Ok(Duration::from_secs(secs)),
        _ => Err(wrong("heartbeat", &text, "it must be 1 to 3600 seconds, as a whole number")),
    }
}

fn listing(visibility: Option<Word>, secret: Option<Word>) -> Result<Listing, ConfigError> {
    if visibility.is_none() && secret.is_some() {
        let expected = "it counts only with visibility `hidden`: set that too, or remove it";
        return Err(wrong("hidden_secret", "(not shown)", expected));
    }
    let visible = one_of(
        "visibility",
        visibility,
        &[("contacts", Visibility::Contacts), ("listed", Visibility::Listed), ("hidden", Visibility::Hidden)],
    )?;
    match (visible, secret) {
        (Visibility::Hidden, Some(Word(secret))) if secret.len() >= HIDDEN_SECRET_MIN => {
            Ok(Listing::Hidden { secret })
        }
        (Visibility::Hidden, secret) => Err(wrong(
            "hidden_secret",
            if secret.is_some() { "(not shown)" } else { "(not set)" },
            format!(
                "with visibility `hidden` it must be {HIDDEN_SECRET_MIN} characters or more, random, and the same for all players who should find each other"
            ),
        )),
        (Visibility::Contacts, _) => Ok(Listing::Contacts),
        (Visibility::Listed, _) => Ok(Listing::Listed),
    }
}

fn log(filter: Option<Word>) -> Result<String, ConfigError> {
    let log = filter.map_or_else(|| "info".into(), |Word(log)| log);
    match filter::targets(&log) {
        Ok(_) => Ok(log),
        Err(error) => Err(wrong("log", &log, error.to_string())),
    }
}
