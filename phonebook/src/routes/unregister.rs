//! `DELETE /api/unregister`: a player is no longer to be found.

use super::asked::Asked;
use crate::{
    body,
    book::Refused,
    entrance,
    guard::{self, Here},
    host::host,
    limits::Class,
    problem::Problem,
};
use actix_web::{HttpResponse, web};
use fyteclub_proto::phonebook::Unregistered;

pub(super) async fn unregister(asked: &Asked<'_>, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let Asked { request, desk, .. } = asked;
    let fields = body::fields(request, payload).await?;
    let name = body::name(&fields)?;
    entrance::concerns(desk, request, name);
    let now = desk.now();
    let host = host(request);
    let here = Here { names: &desk.host, host: host.as_deref(), now };
    let body = guard::signed_unregister(&fields, name.to_owned(), &here)?;
    desk.charge_key(Class::Registration, &body.public_key).await?;
    let claim = (&body.public_key, body.sequence);
    match desk.records.unregister(name, claim, now).await.map_err(Problem::from) {
        // A stranger's name and nobody's are one answer. The audit log tells them apart.
        Err(problem @ Problem::Refused(Refused::NameTaken)) => {
            entrance::refused(desk, request, &problem);
            Ok(answer(false))
        }
        existed => Ok(answer(existed?)),
    }
}

pub(super) fn answer(existed: bool) -> HttpResponse {
    HttpResponse::Ok().json(Unregistered { success: true, existed })
}
