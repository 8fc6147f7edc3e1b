//! `GET /api/lookup/{playerName}` and `POST /api/lookup`: where players are, and under which keys, as far as strangers
//! are told.

use crate::{
    body,
    book::{Found, Key},
    desk::Desk,
    entrance, guard,
    limits::Class,
    problem::Problem,
};
use actix_web::{HttpRequest, HttpResponse, http::Method, web};
use fyteclub_proto::{id::PeerId, limit::LOOKUP_NAMES_MAX};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, net::IpAddr};

/// Matched as a prefix: a pattern with a name in it costs the router as much as the rest of the answer.
pub(super) const PREFIX: &str = "/api/lookup";

/// The body of `fyteclub_proto::phonebook::Found`, except that a compatibility client's key may be any JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
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
    request: HttpRequest,
    payload: web::Payload,
    desk: web::Data<Desk>,
) -> Result<HttpResponse, Problem> {
    if request.uri().path() == PREFIX && request.method() == Method::POST {
        return lookup_many(&request, payload, &desk).await;
    }
    let encoded = encoded_name(&request).ok_or(Problem::NoEndpoint)?;
    let name = percent_decoded(encoded).ok_or(Problem::BadEncoding)?;
    guard::check_name(&name)?;
    let found = desk.records.lookup(&name, desk.now()).await?.ok_or(Problem::NoPlayer)?;
    Ok(HttpResponse::Ok().json(answer(found)))
}

/// The body of `fyteclub_proto::phonebook::FoundMany`.
#[derive(Serialize)]
struct Answers {
    players: BTreeMap<String, Answer>,
}

async fn lookup_many(
    request: &HttpRequest,
    payload: web::Payload,
    desk: &Desk,
) -> Result<HttpResponse, Problem> {
    let mut fields = body::fields(request, payload).await?;
    let names = fields.remove("players").unwrap_or_default();
    let players: Vec<String> = Vec::deserialize(names)
        .map_err(|_| Problem::BadField { field: "players", expected: "a list of names" })?;
    if players.len() > LOOKUP_NAMES_MAX {
        return Err(Problem::TooManyNames);
    }
    for name in &players {
        guard::check_name(name)?;
    }
    // At most a hundred.
    let count = players.len() as u32;
    // The door took one.
    entrance::charge(desk, request, Class::Lookup, count.saturating_sub(1)).await?;
    desk.metrics.lookups.inc_by(count.into());
    let names: Vec<&str> = players.iter().map(String::as_str).collect();
    let found = desk.records.lookup_many(&names, desk.now()).await?;
    let found = players.into_iter().zip(found).filter_map(|(name, found)| Some((name, answer(found?))));
    Ok(HttpResponse::Ok().json(Answers { players: found.collect() }))
}

/// Straight from the request line: the router has decoded some escapes by now, and a name must be decoded once.
fn encoded_name(request: &HttpRequest) -> Option<&str> {
    let name = request.uri().path().strip_prefix(PREFIX)?.strip_prefix('/')?;
    let asked = matches!(*request.method(), Method::GET | Method::HEAD);
    (asked && !name.is_empty() && !name.contains('/')).then_some(name)
}

fn answer(found: Found) -> Answer {
    Answer {
        ip: found.address.map(|address| address.ip()),
        port: found.address.map(|address| address.port()),
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
