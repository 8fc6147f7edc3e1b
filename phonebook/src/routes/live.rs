//! `/api/live`: GET becomes a WebSocket, POST says and hears without one. The original knew neither.

use crate::{
    body,
    desk::Desk,
    entrance,
    io::patience::Lines,
    live::{self, Socket},
    problem::Problem,
};
use actix_http::ws;
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use fyteclub_proto::phonebook::live::Poll;
use serde_json::Value;

pub(super) async fn socket(
    request: HttpRequest,
    payload: web::Payload,
    desk: web::Data<Desk>,
    lines: web::Data<Lines>,
) -> Result<HttpResponse, Problem> {
    if desk.compat {
        return Err(Problem::NoEndpoint);
    }
    ws::verify_handshake(request.head()).map_err(|_| Problem::NotWebSocket)?;
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).ok_or(Problem::NotWebSocket)?;
    let accept = ws::hash_key(key.as_bytes());
    let address = entrance::address_of(&desk, &request)?;
    let socket = Socket::open(&request, payload, desk, &lines, address).map_err(|_| Problem::NoPlace)?;
    Ok(HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS)
        .upgrade("websocket")
        .insert_header((header::SEC_WEBSOCKET_ACCEPT, &accept[..]))
        .streaming(socket))
}

pub(super) async fn poll(
    request: HttpRequest,
    payload: web::Payload,
    desk: web::Data<Desk>,
) -> Result<HttpResponse, Problem> {
    if desk.compat {
        return Err(Problem::NoEndpoint);
    }
    let fields = body::fields(&request, payload).await?;
    let poll: Poll = serde_json::from_value(Value::Object(fields)).map_err(|_| Problem::Unsigned)?;
    let polled = live::poll(&request, &desk, &poll).await?;
    Ok(HttpResponse::Ok().json(polled))
}
