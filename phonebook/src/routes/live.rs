//! `/api/live`: GET opens a WebSocket, POST is a long poll.

use super::asked::Asked;
use crate::{
    body,
    live::{self, Socket},
    problem::Problem,
};
use actix_http::ws;
use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web,
};
use fyteclub_proto::phonebook::live::Poll;
use serde_json::Value;

pub(super) fn socket(asked: &Asked<'_>, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let Asked { caller, request, app, connections } = *asked;
    ws::verify_handshake(request.head()).map_err(|_| Problem::NotWebSocket)?;
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).ok_or(Problem::NotWebSocket)?;
    let accept = ws::hash_key(key.as_bytes());
    let socket = Socket::open(request, payload, app.clone(), connections, caller.address);
    let socket = socket.map_err(|_| Problem::NoPlace)?;
    Ok(HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS)
        .upgrade("websocket")
        .insert_header((header::SEC_WEBSOCKET_ACCEPT, &accept[..]))
        .streaming(socket))
}

pub(super) async fn poll(asked: &Asked<'_>, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let Asked { caller, request, app, .. } = asked;
    let fields = body::fields(request, payload).await?;
    let poll: Poll = serde_json::from_value(Value::Object(fields)).map_err(|_| Problem::Unsigned)?;
    let polled = live::poll(request, app, caller.address, &poll).await?;
    Ok(HttpResponse::Ok().json(polled))
}
