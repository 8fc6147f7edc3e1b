//! `GET /health` and `GET /api/health`. The original answers `healthy`, the specification `ok`.

use crate::app_state::AppState;
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

/// Needs no password.
pub(super) fn healthy(app: &AppState) -> HttpResponse {
    health(app, StatusCode::OK, "healthy")
}

/// 503 while degraded, for load balancers.
pub(super) fn ok(app: &AppState) -> HttpResponse {
    if app.health.is_degraded() {
        health(app, StatusCode::SERVICE_UNAVAILABLE, "degraded")
    } else {
        health(app, StatusCode::OK, "ok")
    }
}

fn health(app: &AppState, code: StatusCode, status: &'static str) -> HttpResponse {
    HttpResponse::build(code).json(Health {
        service: "fyteclub-phonebook",
        status,
        active_users: app.told_users(),
        timestamp: app.now().unix_millis(),
    })
}
