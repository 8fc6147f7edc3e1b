//! `peers`: the players that the daemon knows; `peers trust`: accepts a changed key; `connect`: dials by hand;
//! `reconnect` and `failover`: another path.

use crate::{
    exit::{Exit, Failure},
    render::Page,
    words,
};
use fyteclub_client::{Client, PeerId, PeerStatus, Peers, PlayerName};
use serde_json::json;
use std::net::SocketAddr;

pub(crate) async fn list(client: &Client, page: &Page) -> Result<Exit, Failure> {
    let peers = Peers { peers: client.peer_list().await? };
    page.show(&peers, |Peers { peers }| {
        if peers.is_empty() {
            "No links so far. `fyteclubctl fetch \"NAME@WORLD\"` gets a contact's look.".to_owned()
        } else {
            table(0, peers)
        }
    })?;
    Ok(Exit::Done)
}

pub(crate) async fn connect(
    client: &Client,
    page: &Page,
    address: SocketAddr,
    key: PeerId,
) -> Result<Exit, Failure> {
    let peer = client.peer_connect(&key, address).await?;
    page.show(&peer, |peer| {
        let who = peer.player.as_ref().map_or_else(|| peer.peer_id.to_string(), ToString::to_string);
        match peer.path {
            Some(path) => format!("Connected with {who}: {}.", words::path(path)),
            None => format!("Connected with {who}."),
        }
    })?;
    Ok(Exit::Done)
}

pub(crate) async fn trust(
    client: &Client,
    page: &Page,
    player: PlayerName,
    key: PeerId,
) -> Result<Exit, Failure> {
    client.peer_trust(&player, &key).await?;
    page.show(&json!({}), |_| format!("{player} is now known by the key {key}."))?;
    Ok(Exit::Done)
}

pub(crate) async fn reconnect(client: &Client, page: &Page, player: PlayerName) -> Result<Exit, Failure> {
    client.peer_reconnect(&player).await?;
    page.show(&json!({}), |_| {
        format!("The path to {player} is made anew. `fyteclubctl peers` shows what comes of it.")
    })?;
    Ok(Exit::Done)
}

pub(crate) async fn failover(client: &Client, page: &Page, player: PlayerName) -> Result<Exit, Failure> {
    client.peer_failover(&player).await?;
    page.show(&json!({}), |_| {
        format!("{player} is sent over the next best path now. A search for paths follows in half a minute.")
    })?;
    Ok(Exit::Done)
}

fn note(peer: &PeerStatus) -> String {
    let relayed = peer.why_relayed.as_ref().map(|why| format!("relayed, because {why}"));
    peer.cause.clone().or(relayed).unwrap_or_default()
}

/// Name, state, path, round trip, and why it is not connected, or relayed.
pub(crate) fn table(indent: usize, peers: &[PeerStatus]) -> String {
    let rows: Vec<_> = peers
        .iter()
        .map(|peer| {
            [
                peer.player.as_ref().map_or_else(|| peer.peer_id.to_string(), ToString::to_string),
                words::state(peer.state).to_owned(),
                peer.path.map(words::path).unwrap_or_default().to_owned(),
                peer.rtt_ms.map(words::rtt).unwrap_or_default(),
                note(peer),
            ]
        })
        .collect();
    words::table(indent, &rows)
}
