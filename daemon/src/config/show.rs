//! A configuration as `check-config` shows it.

use super::{
    Config,
    check::{COMPRESSION, CONTACT_REQUESTS, LOG_FORMAT, RELAY, name_of},
};
use fyteclub_proto::{fetching::pace::Rate, id::PlayerName, size};

/// Every key that a player may set, with its effective value.
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
        writeln!(f, "compression = {}", name_of(&COMPRESSION, &self.compression))?;
        let limit = |rate: Option<Rate>| rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string());
        writeln!(f, "upload_limit = {}", limit(self.limits.upload))?;
        writeln!(f, "download_limit = {}", limit(self.limits.download))?;
        writeln!(f, "peer_upload_limit = {}", limit(self.limits.peer_upload))?;
        writeln!(f, "peer_download_limit = {}", limit(self.limits.peer_download))?;
        writeln!(f, "stun        = {}", self.stun)?;
        writeln!(f, "limit_lan   = {}", self.limits.lan)?;
        writeln!(f, "heartbeat   = {} s", self.heartbeat.as_secs())?;
        writeln!(f, "visibility  = {}", self.listing.visibility().as_str())?;
        writeln!(f, "contact_requests = {}", name_of(&CONTACT_REQUESTS, &self.contact_requests))?;
        writeln!(f, "upnp        = {}", self.mapping.upnp)?;
        writeln!(f, "nat_pmp     = {}", self.mapping.nat_pmp)?;
        writeln!(f, "lan         = {}", self.lan)?;
        writeln!(f, "punching    = {}", self.means.punching)?;
        writeln!(f, "relay       = {}", name_of(&RELAY, &self.means.relay))?;
        writeln!(f, "log         = {}", self.log)?;
        writeln!(f, "log_format  = {}", name_of(&LOG_FORMAT, &self.log_format))
    }
}
