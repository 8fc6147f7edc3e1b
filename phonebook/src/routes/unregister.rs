//! `DELETE /api/unregister`: ends a registration.

use super::asked::Asked;
use crate::{
    admission,
    auth::{self, Audience},
    body,
    book::Refused,
    limits::Class,
    problem::Problem,
};
use actix_web::{HttpResponse, web};
use fyteclub_proto::phonebook::Unregistered;

pub(super) async fn unregister(asked: &Asked<'_>, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let Asked { request, app, .. } = asked;
    let fields = body::fields(request, payload).await?;
    let name = body::name(&fields)?;
    admission::set_subject(app, request, name);
    let now = app.now();
    let host = auth::requested_host(request);
    let audience = Audience { names: &app.server_names, host: host.as_deref(), now };
    let body = auth::signed_unregister(&fields, name.to_owned(), &audience)?;
    app.charge_key(Class::Registration, &body.public_key).await?;
    let claim = (&body.public_key, body.sequence);
    match app.records.unregister(name, claim, now).await.map_err(Problem::from) {
        // An unknown name and another key's get the same answer; the audit log distinguishes them.
        Err(problem @ Problem::Refused(Refused::NameTaken)) => {
            admission::refused(app, request, &problem);
            Ok(answer(false))
        }
        existed => Ok(answer(existed?)),
    }
}

pub(super) fn answer(existed: bool) -> HttpResponse {
    HttpResponse::Ok().json(Unregistered { success: true, existed })
}
