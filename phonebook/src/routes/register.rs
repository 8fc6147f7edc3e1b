//! `POST /api/register`: a player can be found at the address that this request came from.

use crate::{
    body,
    book::{Claim, Contact, Key},
    desk::Desk,
    entrance,
    guard::{self, Here},
    host::host,
    limits::Class,
    problem::Problem,
};
use actix_web::{HttpRequest, HttpResponse, http::header::ContentType, web};
use fyteclub_proto::{id::PeerId, phonebook::Visibility};
use serde_json::{Map, Value};
use std::net::SocketAddr;

/// Longest `publicKey` of an unsigned body; the largest PEM in use fits.
const COMPAT_KEY_MAX: usize = 2048;

pub(super) async fn register(
    request: HttpRequest,
    payload: web::Payload,
    desk: web::Data<Desk>,
) -> Result<HttpResponse, Problem> {
    let fields = body::fields(&request, payload).await?;
    let (Some(name), Some(port)) = (body::present(&fields, "playerName"), body::present(&fields, "port"))
    else {
        return Err(Problem::NameAndPortMissing);
    };
    let name = name.as_str().ok_or(Problem::NameNotText)?;
    guard::check_name(name)?;
    entrance::concerns(&desk, &request, name);
    let port = port_of(port).ok_or(Problem::BadPort)?;

    let now = desk.now();
    let address = SocketAddr::new(entrance::address_of(&desk, &request)?, port);
    if desk.compat {
        let contact = Contact { address, key: unsigned_key(&fields)?, visibility: Visibility::Listed };
        let book = desk.records.own().ok_or(Problem::NoEndpoint)?;
        book.register(name, contact, None, now)?;
    } else {
        let host = host(&request);
        let here = Here { names: &desk.host, host: host.as_deref(), now };
        let body = guard::signed_register(&fields, name.to_owned(), port, &here)?;
        desk.charge_key(Class::Registration, &body.public_key).await?;
        let contact = Contact { address, key: Some(Key::Peer(body.public_key)), visibility: body.visibility };
        let follows: Vec<PeerId> = body.key_changes.iter().map(|change| change.from).collect();
        let claim = Claim { sequence: body.sequence, time: body.time, follows: &follows };
        desk.records.register(name, contact, claim, now).await?;
    }
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(r#"{"success":true}"#))
}

/// A number, or one in a text.
fn port_of(value: &Value) -> Option<u16> {
    let port = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    u16::try_from(port).ok().filter(|&port| port != 0)
}

fn unsigned_key(fields: &Map<String, Value>) -> Result<Option<Key>, Problem> {
    let Some(key) = body::present(fields, "publicKey") else { return Ok(None) };
    let json = key.to_string();
    if json.len() > COMPAT_KEY_MAX {
        Err(Problem::KeyTooLong { most: COMPAT_KEY_MAX })
    } else {
        Ok(Some(Key::Json(json.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_port_is_a_whole_number_that_udp_has() {
        for (value, port) in [
            (json!(1), Some(1)),
            (json!(65535), Some(65535)),
            (json!("9999"), Some(9999)),
            (json!(0), None),
            (json!("0"), None),
            (json!(65536), None),
            (json!(-1), None),
            (json!(80.5), None),
            (json!(1e300), None),
            (json!("abc"), None),
            (json!("99999999999999999999"), None),
            (json!(true), None),
            (json!([80]), None),
        ] {
            assert_eq!(port_of(&value), port, "{value}");
        }
    }
}
