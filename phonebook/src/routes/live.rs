//! `/api/live`: GET opens a WebSocket, POST is a long poll.

use super::asked::Asked;
use crate::{
    body,
    live::{self, Socket},
    problem::Problem,
};
use actix_http::ws;
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web,
};
use fyteclub_proto::phonebook::live::Poll;
use serde_json::Value;

pub(super) fn socket(asked: &Asked<'_>, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let Asked { caller, request, app, connections } = *asked;
    let mut upgrade = upgraded(request)?;
    let socket = Socket::open(request, payload, app.clone(), connections, caller.address);
    let socket = socket.map_err(|_| Problem::NoPlace)?;
    Ok(upgrade.streaming(socket))
}

/// The head of the answer that opens a WebSocket.
pub(super) fn upgraded(request: &HttpRequest) -> Result<HttpResponseBuilder, Problem> {
    ws::verify_handshake(request.head()).map_err(|_| Problem::NotWebSocket)?;
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).ok_or(Problem::NotWebSocket)?;
    let accept = ws::hash_key(key.as_bytes());
    let mut upgrade = HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS);
    upgrade.upgrade("websocket").insert_header((header::SEC_WEBSOCKET_ACCEPT, &accept[..]));
    Ok(upgrade)
}

pub(super) async fn poll(asked: &Asked<'_>, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let Asked { caller, request, app, .. } = asked;
    let fields = body::fields(request, payload).await?;
    let poll: Poll = serde_json::from_value(Value::Object(fields)).map_err(|_| Problem::Unsigned)?;
    let polled = live::poll(request, app, caller.address, &poll).await?;
    Ok(HttpResponse::Ok().json(polled))
}
