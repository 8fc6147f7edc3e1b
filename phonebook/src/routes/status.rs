//! `GET /api/status`: what this is and how long it has been running.

use crate::desk::Desk;
use actix_web::HttpResponse;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    name: &'static str,
    /// Of the HTTP contract, not of this program: clients of the original compare it.
    version: &'static str,
    /// Whole seconds.
    uptime: u64,
    active_users: usize,
    /// Unix milliseconds.
    timestamp: u64,
}

pub(super) fn status(desk: &Desk) -> HttpResponse {
    let now = desk.now();
    HttpResponse::Ok().json(Status {
        name: "FyteClub Phone Book",
        version: "1.0.0",
        uptime: now.steady.as_secs(),
        active_users: desk.told_users(),
        timestamp: now.unix_millis(),
    })
}
