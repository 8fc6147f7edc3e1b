//! `POST /api/register`: registers a player at the request's address.

use super::asked::Asked;
use crate::{
    admission,
    auth::{self, Audience},
    body,
    book::{Claim, Contact},
    limits::Class,
    problem::Problem,
};
use actix_web::{HttpResponse, http::header::ContentType, web};
use fyteclub_proto::id::PeerId;
use std::net::SocketAddr;

pub(super) async fn register(asked: &Asked<'_>, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let Asked { caller, request, app, .. } = asked;
    let fields = body::fields(request, payload).await?;
    let (name, port) = body::name_and_port(&fields)?;
    admission::set_subject(app, request, name);
    let now = app.now();
    let host = auth::requested_host(request);
    let audience = Audience { names: &app.server_names, host: host.as_deref(), now };
    let body = auth::signed_register(&fields, name.to_owned(), port, &audience)?;
    app.charge_key(Class::Registration, &body.public_key).await?;
    let address = SocketAddr::new(caller.address, port);
    let contact = Contact { address, key: body.public_key, visibility: body.visibility };
    let follows: Vec<PeerId> = body.key_changes.iter().map(|change| change.from).collect();
    let claim = Claim { sequence: body.sequence, time: body.time, follows: &follows };
    app.records.register(name, contact, claim, now).await?;
    Ok(done())
}

/// The original's body, to the byte.
pub(super) fn done() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(r#"{"success":true}"#)
}
