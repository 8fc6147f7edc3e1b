//! `GET /api/status`: what this is and how long it has been running.

use crate::app_state::AppState;
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
