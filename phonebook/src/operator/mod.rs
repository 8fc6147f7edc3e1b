//! The operator's own listener: metrics for Prometheus, a page for people, the same as JSON. Numbers only.
//!
//! It is on loopback and asks for no password, so it answers only to its own name: a page in the operator's browser that
//! has some other name point here learns nothing.

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
/// The page's one style and one script are in it; nothing is loaded, and nothing may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const CONNECTIONS: usize = 64;

/// What every answer is made from.
struct Shown {
    app: Arc<AppState>,
    connections: Arc<Connections>,
    /// Whether any name may be used for this listener.
    anywhere: bool,
}

/// Whether the address is one that only this machine has.
pub(crate) fn is_own(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

pub(crate) fn listen(
    listener: TcpListener,
    app: &Arc<AppState>,
    connections: &Arc<Connections>,
    anywhere: bool,
) -> io::Result<actix_web::dev::Server> {
    let shown =
        web::Data::new(Shown { app: Arc::clone(app), connections: Arc::clone(connections), anywhere });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shown.clone())
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

async fn page(request: HttpRequest, shown: web::Data<Shown>) -> HttpResponse {
    if let Some(refusal) = refuse(&request, &shown) {
        return refusal;
    }
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(status::page(PAGE, &status::now(&shown.app, &shown.connections)))
}

async fn json(request: HttpRequest, shown: web::Data<Shown>) -> HttpResponse {
    refuse(&request, &shown).unwrap_or_else(|| {
        let status = status::now(&shown.app, &shown.connections);
        HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(status)
    })
}

async fn metrics(request: HttpRequest, shown: web::Data<Shown>) -> HttpResponse {
    if let Some(refusal) = refuse(&request, &shown) {
        return refusal;
    }
    match shown.app.metrics.text(&status::readings(&shown.app, &shown.connections)) {
        Ok(text) => HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

fn refuse(request: &HttpRequest, shown: &Shown) -> Option<HttpResponse> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = shown.anywhere || is_own_name(host);
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
