//! The operator's listener: metrics, an HTML page, and the same as JSON. Numbers only.
//!
//! It has no password, so it answers only to addresses and `localhost`: a page in the operator's browser cannot reach
//! it by DNS rebinding.

mod status;

use crate::{app_state::AppState, io::connections::Connections};
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header::{self, ContentType},
    web,
};
use std::{
    io,
    net::{IpAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

const PAGE: &str = include_str!("page.html");
/// The page's style and script are inline; it loads nothing and cannot be framed.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const CONNECTIONS: usize = 64;

struct OperatorState {
    app: Arc<AppState>,
    connections: Arc<Connections>,
    /// Accept any `Host`.
    anywhere: bool,
}

/// Whether only this machine can reach the address.
pub(crate) fn is_own(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

pub(crate) fn listen(
    listener: TcpListener,
    app: &Arc<AppState>,
    connections: &Arc<Connections>,
    anywhere: bool,
) -> io::Result<actix_web::dev::Server> {
    let state = web::Data::new(OperatorState {
        app: Arc::clone(app),
        connections: Arc::clone(connections),
        anywhere,
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .route("/", web::get().to(page))
            .route("/status.json", web::get().to(json))
            .route("/metrics", web::get().to(metrics))
    })
    .workers(1)
    .max_connections(CONNECTIONS)
    .client_request_timeout(Duration::from_secs(5))
    .keep_alive(Duration::from_secs(30))
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

async fn page(request: HttpRequest, state: web::Data<OperatorState>) -> HttpResponse {
    if let Some(refusal) = refuse(&request, &state) {
        return refusal;
    }
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(status::page(PAGE, &status::now(&state.app, &state.connections)))
}

async fn json(request: HttpRequest, state: web::Data<OperatorState>) -> HttpResponse {
    refuse(&request, &state).unwrap_or_else(|| {
        let status = status::now(&state.app, &state.connections);
        HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(status)
    })
}

async fn metrics(request: HttpRequest, state: web::Data<OperatorState>) -> HttpResponse {
    if let Some(refusal) = refuse(&request, &state) {
        return refusal;
    }
    match state.app.metrics.text(&status::readings(&state.app, &state.connections)) {
        Ok(text) => HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

fn refuse(request: &HttpRequest, state: &OperatorState) -> Option<HttpResponse> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = state.anywhere || is_own_name(host);
    (!own).then(|| {
        HttpResponse::Forbidden().body("ask for this page by its address, such as http://127.0.0.1:3001\n")
    })
}

fn is_own_name(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_its_own_names() {
        for own in ["127.0.0.1:3001", "127.0.0.1", "localhost:3001", "LocalHost", "[::1]:3001", "[::1]"] {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in
            ["", "evil.example:3001", "localhost.evil.example", "127.0.0.1.evil.example:80", ":3001"]
        {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }
}
