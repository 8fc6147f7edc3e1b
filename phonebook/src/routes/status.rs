//! `GET /api/status`: name, version and uptime.

use crate::app_state::AppState;
use actix_web::HttpResponse;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    name: &'static str,
    /// The version of the HTTP contract, which the original's clients compare.
    version: &'static str,
    /// Whole seconds.
    uptime: u64,
    active_users: usize,
    /// Unix milliseconds.
    timestamp: u64,
}

pub(super) fn status(app: &AppState) -> HttpResponse {
    let now = app.now();
    HttpResponse::Ok().json(Status {
        name: "FyteClub Phone Book",
        version: "1.0.0",
        uptime: now.steady.as_secs(),
        active_users: app.told_users(),
        timestamp: now.unix_millis(),
    })
}
