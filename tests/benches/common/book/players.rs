//! Numbered players, and their requests as bytes.

use ed25519_dalek::SigningKey;
use fyteclub_proto::{
    id::PlayerName,
    number::{millis, u64_of},
    phonebook::{Register, Visibility},
};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) struct Player {
    pub key: SigningKey,
    pub name: PlayerName,
}

pub(crate) fn player(number: usize) -> anyhow::Result<Player> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&(u64_of(number) + 1).to_le_bytes());
    // A usual name's length.
    let name = format!("Player Number{number:07}@Gilgamesh").parse()?;
    Ok(Player { key: SigningKey::from_bytes(&seed), name })
}

pub(crate) fn players(count: usize) -> anyhow::Result<Vec<Player>> {
    (0..count).map(player).collect()
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: phonebook\r\n\r\n").into_bytes()
}

pub(crate) fn lookup(name: &PlayerName) -> Vec<u8> {
    get(&format!("/api/lookup/{}", name.to_string().replace(' ', "%20")))
}

/// Signed now: signatures older than two minutes are refused.
pub(crate) fn register(players: &[Player], sequence: u64) -> anyhow::Result<Vec<Vec<u8>>> {
    let now = unix_millis()?;
    let request = |player: &Player| {
        let (name, listed) = (player.name.as_str(), Visibility::Listed);
        let body = Register::signed(name, 7777, listed, "phonebook", sequence, now, &player.key);
        let body = serde_json::to_string(&body)?;
        let head = "POST /api/register HTTP/1.1\r\nHost: phonebook\r\nContent-Type: application/json\r\n";
        Ok(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    };
    players.iter().map(request).collect()
}

pub(crate) fn unix_millis() -> anyhow::Result<u64> {
    Ok(millis(SystemTime::now().duration_since(UNIX_EPOCH)?))
}
