//! `GET /api/debug/players`: the original's list of everybody, for those who debug on their own network. Off unless the
//! configuration says otherwise, because it shows every address.

use crate::{desk::Desk, problem::Problem};
use actix_web::{HttpResponse, web};
use serde::Serialize;
use std::net::IpAddr;

/// Most players in one answer; `count` tells how many there are.
const PLAYERS_MAX: usize = 10_000;

#[derive(Serialize)]
struct Players {
    count: usize,
    players: Vec<Player>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Player {
    player_name: Box<str>,
    ip: IpAddr,
    port: u16,
    /// ISO 8601, unlike everywhere else.
    last_seen: String,
    /// Seconds.
    age: u64,
}

pub(super) async fn players(desk: web::Data<Desk>) -> Result<HttpResponse, Problem> {
    let Some(book) = desk.records.own().filter(|_| desk.debug_players) else {
        return Err(Problem::NoEndpoint);
    };
    let now = desk.now();
    let players = book.listed(PLAYERS_MAX, now).into_iter().filter_map(|(player_name, found)| {
        let address = found.address?;
        Some(Player {
            player_name,
            ip: address.ip(),
            port: address.port(),
            last_seen: iso_8601(found.last_seen),
            age: now.unix_millis().saturating_sub(found.last_seen) / 1000,
        })
    });
    Ok(HttpResponse::Ok().json(Players { count: book.len(), players: players.collect() }))
}

/// `2023-11-14T22:13:20.000Z` for Unix milliseconds, as JavaScript's `toISOString`.
fn iso_8601(unix_millis: u64) -> String {
    let (days, millis) = (unix_millis / 86_400_000, unix_millis % 86_400_000);
    // Howard Hinnant's `civil_from_days`: years that begin in March have their leap day last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
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
