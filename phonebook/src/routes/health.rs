//! `GET /health` and `GET /api/health`: whether it runs, in the original's word and in the specification's.

use crate::desk::Desk;
use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    service: &'static str,
    status: &'static str,
    active_users: usize,
    /// Unix milliseconds.
    timestamp: u64,
}

/// Open even where a password is set, so that a supervisor needs none.
pub(super) fn healthy(desk: &Desk) -> HttpResponse {
    health(desk, StatusCode::OK, "healthy")
}

/// For machines that decide where to send clients: 503 while something is wrong, and the body says so.
pub(super) fn ok(desk: &Desk) -> HttpResponse {
    match desk.condition.is_degraded() {
        false => health(desk, StatusCode::OK, "ok"),
        true => health(desk, StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    }
}

fn health(desk: &Desk, code: StatusCode, status: &'static str) -> HttpResponse {
    HttpResponse::build(code).json(Health {
        service: "fyteclub-phonebook",
        status,
        active_users: desk.told_users(),
        timestamp: desk.now().unix_millis(),
    })
}
