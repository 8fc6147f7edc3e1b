//! `GET /api/lookup/{playerName}`: where a player is, and under which key.

use crate::{
    book::{Found, Key},
    desk::Desk,
    guard::{self, Admitted},
    problem::Problem,
};
use actix_web::{HttpRequest, HttpResponse, http::Method, web};
use fyteclub_proto::id::PeerId;
use serde::Serialize;
use serde_json::value::RawValue;
use std::net::IpAddr;

/// Matched as a prefix: a pattern with a name in it costs the router as much as the rest of the answer.
pub(super) const PREFIX: &str = "/api/lookup";

/// The body of `fyteclub_proto::phonebook::Found`, except that a compatibility client's key may be any JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ip: IpAddr,
    port: u16,
    public_key: Option<PublicKey>,
    last_seen: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PublicKey {
    Peer(PeerId),
    Json(Box<RawValue>),
}

pub(super) async fn lookup(
    _: Admitted,
    request: HttpRequest,
    desk: web::Data<Desk>,
) -> Result<HttpResponse, Problem> {
    let encoded = encoded_name(&request).ok_or(Problem::NoEndpoint)?;
    let name = percent_decoded(encoded).ok_or(Problem::BadEncoding)?;
    guard::check_name(&name)?;
    let found = desk.book.lookup(&name, desk.now()).ok_or(Problem::NoPlayer)?;
    Ok(HttpResponse::Ok().json(answer(found)))
}

/// Straight from the request line: the router has decoded some escapes by now, and a name must be decoded once.
fn encoded_name(request: &HttpRequest) -> Option<&str> {
    let name = request.uri().path().strip_prefix(PREFIX)?.strip_prefix('/')?;
    let asked = matches!(*request.method(), Method::GET | Method::HEAD);
    (asked && !name.is_empty() && !name.contains('/')).then_some(name)
}

fn answer(found: Found) -> Answer {
    Answer {
        ip: found.address.ip(),
        port: found.address.port(),
        public_key: found.key.map(|key| match key {
            Key::Peer(peer) => PublicKey::Peer(peer),
            Key::Json(json) => {
                PublicKey::Json(RawValue::from_string(json.into_string()).expect("a key was kept as JSON"))
            }
        }),
        last_seen: found.last_seen,
    }
}

/// `None` for a `%` without two hex digits after it, and for what is not UTF-8. A `+` is a plus.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once_and_strictly() {
        assert_eq!(percent_decoded("A%20B@W").as_deref(), Some("A B@W"));
        assert_eq!(percent_decoded("A%20B%40W%2fx+y").as_deref(), Some("A B@W/x+y"));
        assert_eq!(percent_decoded("%2541").as_deref(), Some("%41"));
        assert_eq!(percent_decoded("%E5%85%89").as_deref(), Some("光"));
        for bad in ["%", "%4", "%zz", "%+1", "%ff", "a%e5"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
