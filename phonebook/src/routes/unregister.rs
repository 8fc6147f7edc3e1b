//! `DELETE /api/unregister`: a player is no longer to be found.

use crate::{
    body,
    book::Refused,
    desk::Desk,
    entrance,
    guard::{self, Here},
    host::host,
    limits::Class,
    problem::Problem,
};
use actix_web::{HttpRequest, HttpResponse, web};
use fyteclub_proto::phonebook::Unregistered;

pub(super) async fn unregister(
    request: HttpRequest,
    payload: web::Payload,
    desk: web::Data<Desk>,
) -> Result<HttpResponse, Problem> {
    let fields = body::fields(&request, payload).await?;
    let name = body::present(&fields, "playerName").ok_or(Problem::NameMissing)?;
    let name = name.as_str().ok_or(Problem::NameNotText)?;
    guard::check_name(name)?;
    entrance::concerns(&desk, &request, name);

    let now = desk.now();
    let existed = match desk.compat {
        true => desk.records.own().ok_or(Problem::NoEndpoint)?.unregister(name, None, now)?,
        false => {
            let host = host(&request);
            let here = Here { names: &desk.host, host: host.as_deref(), now };
            let body = guard::signed_unregister(&fields, name.to_owned(), &here)?;
            desk.charge_key(Class::Registration, &body.public_key).await?;
            match desk
                .records
                .unregister(name, (&body.public_key, body.sequence), now)
                .await
                .map_err(Problem::from)
            {
                // A stranger's name and nobody's are one answer. The audit log tells them apart.
                Err(problem @ Problem::Refused(Refused::NameTaken)) => {
                    entrance::refused(&desk, &request, &problem);
                    false
                }
                existed => existed?,
            }
        }
    };
    Ok(HttpResponse::Ok().json(Unregistered { success: true, existed }))
}
