//! The answer about a player that was found.

use crate::book::Found;
use fyteclub_proto::id::PeerId;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};

/// As `fyteclub_proto::phonebook::Found`; `K` is the type of the key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer<K> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    public_key: Option<K>,
    last_seen: u64,
}

impl<K> Answer<K> {
    pub(crate) fn new(address: Option<SocketAddr>, public_key: Option<K>, last_seen: u64) -> Self {
        let (ip, port) = (address.map(|address| address.ip()), address.map(|address| address.port()));
        Self { ip, port, public_key, last_seen }
    }
}

impl From<Found> for Answer<PeerId> {
    fn from(found: Found) -> Self {
        Self::new(found.address, Some(found.key), found.last_seen)
    }
}
