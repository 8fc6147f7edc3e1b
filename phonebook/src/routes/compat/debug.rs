//! `GET /api/debug/players`: the original's list of all players. Off by default, since it shows all addresses.

use super::players::Players;
use crate::clock::Moment;
use actix_web::HttpResponse;
use serde::Serialize;
use std::net::IpAddr;
use time::OffsetDateTime;

/// Most players in an answer; `count` is the real number.
const PLAYERS_MAX: usize = 10_000;

#[derive(Serialize)]
struct List {
    count: usize,
    players: Vec<Listed>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    player_name: Box<str>,
    ip: IpAddr,
    port: u16,
    /// ISO 8601.
    last_seen: String,
    /// Seconds.
    age: u64,
}

pub(super) fn list(players: &Players, now: Moment) -> HttpResponse {
    let listed = players.list(PLAYERS_MAX, now, |name, player| Listed {
        player_name: name.into(),
        ip: player.address.ip(),
        port: player.address.port(),
        last_seen: iso_8601(player.last_seen),
        age: now.unix_millis().saturating_sub(player.last_seen) / 1000,
    });
    HttpResponse::Ok().json(List { count: players.len(), players: listed })
}

/// As JavaScript's `toISOString`: `2023-11-14T22:13:20.000Z`.
fn iso_8601(unix_millis: u64) -> String {
    let seconds = i64::try_from(unix_millis / 1000).ok();
    // `OffsetDateTime` ends with the year 9999.
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let (month, millis) = (u8::from(month), unix_millis % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso_8601(millis), text);
        }
    }
}
