//! Text for another person's eyes: names, keys and addresses are replaced or shortened.

#[cfg(test)]
mod tests;

use crate::id::{PeerId, PlayerName};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

const KEY: &str = "ed25519:";
/// The length of [`PeerId::short`].
const SHORT: usize = 8;
/// What a log and debug texts have before a short key.
const BEFORE_SHORT: [&str; 3] = ["peer=", "\"peer\":\"", "PeerId("];
/// Parts of names from this length on are replaced where they are a word.
const PART: usize = 3;

/// Of whom nothing may be told. The first of each kind is number one.
#[derive(Debug, Clone, Default)]
pub struct Private {
    /// Names of this system's users.
    pub users: Vec<String>,
    pub players: Vec<PlayerName>,
    pub keys: Vec<PeerId>,
}

/// Replaces users by `USER`, players by `PLAYER1` and so on, keys, their short forms too, by `KEY1` and so on; and
/// shortens addresses to the first 16 bits, of IPv6 32. Names and keys that are not known before are found by their
/// form: `Forename Surname@World`, `ed25519:`, `/home/`. Host names stay, and this machine's loopback addresses.
pub fn redacted(text: &str, private: &Private) -> String {
    let mut labels = Labels::new(private);
    let mut names: Vec<_> = private.players.iter().enumerate().collect();
    names.sort_by_key(|(_, name)| std::cmp::Reverse(name.as_str().len()));
    let mut text = text.to_owned();
    for (at, name) in names {
        text = text.replace(name.as_str(), &format!("PLAYER{}", at + 1));
    }
    labels.find_short(&text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        if let Some(key) = rest.strip_prefix(KEY) {
            let end = word_end(key);
            out += &labels.key(&key[..end]);
            rest = &key[end..];
            continue;
        }
        let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        let is_whole = |length: usize| length < end || word_end(&rest[end..]) == 0;
        if let Some((masked, length)) = address(&rest[..end]).filter(|(_, length)| is_whole(*length)) {
            out += &masked;
            rest = &rest[length..];
            continue;
        }
        if let Some(world) = rest.strip_prefix('@').map(word_end).filter(|length| *length > 0)
            && forget_name(&mut out)
        {
            rest = &rest[1 + world..];
            continue;
        }
        let end = word_end(rest);
        if end == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let word = &rest[..end];
        match labels.word(word) {
            Some(label) => out += &label,
            None if is_home(&out) => out += "USER",
            None => out += word,
        }
        rest = &rest[end..];
    }
    out
}

struct Labels {
    /// By the short form.
    keys: HashMap<String, usize>,
    words: HashMap<String, String>,
}

impl Labels {
    fn new(private: &Private) -> Self {
        let mut words = HashMap::new();
        for (at, player) in private.players.iter().enumerate().rev() {
            let name = player.as_str().split('@').next().unwrap_or_default();
            for part in name.split(' ').filter(|part| part.chars().count() >= PART) {
                words.insert(part.to_owned(), format!("PLAYER{}", at + 1));
            }
        }
        words.extend(private.users.iter().map(|user| (user.clone(), "USER".to_owned())));
        let mut labels = Self { keys: HashMap::new(), words };
        for key in &private.keys {
            labels.key(&key.short());
        }
        labels
    }

    /// Short keys that are in the text, and only there.
    fn find_short(&mut self, text: &str) {
        for before in BEFORE_SHORT {
            for (at, _) in text.match_indices(before) {
                let after = &text[at + before.len()..];
                if word_end(after) == SHORT {
                    self.key(&after[..SHORT]);
                }
            }
        }
    }

    /// `text` is a key's, whole or in part.
    fn key(&mut self, text: &str) -> String {
        let short: String = text.chars().take(SHORT).collect();
        let next = self.keys.len() + 1;
        format!("KEY{}", self.keys.entry(short).or_insert(next))
    }

    fn word(&self, word: &str) -> Option<String> {
        let key = || self.keys.get(word).map(|number| format!("KEY{number}"));
        self.words.get(word).cloned().or_else(key)
    }
}

/// Where the word ends that the text begins with.
fn word_end(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(text.len())
}

/// Replaces the name at the end, of one word, or of two that begin with a capital. Returns whether there was one.
fn forget_name(out: &mut String) -> bool {
    let is_in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '\'' | '.');
    let before = |text: &str| text.trim_end_matches(is_in_name).len();
    let last = before(out);
    if last == out.len() {
        return false;
    }
    let first = out[..last].strip_suffix(' ').map(|names| (before(names), names.len()));
    let is_name = |(start, end): &(usize, usize)| out[*start..*end].starts_with(char::is_uppercase);
    let start = first.filter(is_name).map_or(last, |(start, _)| start);
    out.truncate(start);
    *out += "PLAYER";
    true
}

/// Whether what follows is the name of a user's folder.
fn is_home(before: &str) -> bool {
    let folder = before.trim_end_matches(['/', '\\']);
    folder.len() < before.len()
        && ["/home", "/Users", "\\Users"].into_iter().any(|homes| folder.ends_with(homes))
}

/// The address at the beginning, masked, and its length; `None` if there is none.
fn address(text: &str) -> Option<(String, usize)> {
    let text = text.trim_end_matches(['.', ':']);
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Some((format!("{}:{}", masked(addr.ip()), addr.port()), text.len()));
    }
    text.parse().ok().map(|ip| (masked(ip), text.len()))
}

fn masked(ip: IpAddr) -> String {
    match ip.to_canonical() {
        ip if ip.is_loopback() || ip.is_unspecified() => ip.to_string(),
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            format!("{first}.{second}.x.x")
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            format!("{first:x}:{second:x}:x")
        }
    }
}
