//! `GET /api/lookup/{playerName}` and `POST /api/lookup`: addresses and keys of players, as far as strangers may
//! know.

use super::{answer::Answer, asked::Asked};
use crate::{body, limits::Class, problem::Problem};
use actix_web::{HttpRequest, HttpResponse, web};
use fyteclub_proto::{limit::LOOKUP_NAMES_MAX, number};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const PREFIX: &str = "/api/lookup/";

/// As `fyteclub_proto::phonebook::FoundMany`.
#[derive(Serialize)]
struct Answers<K> {
    players: BTreeMap<String, Answer<K>>,
}

pub(super) async fn lookup(asked: &Asked<'_>) -> Result<HttpResponse, Problem> {
    let name = name(asked.request)?;
    let found = asked.app.records.lookup(&name, asked.app.now()).await?.ok_or(Problem::NoPlayer)?;
    Ok(HttpResponse::Ok().json(Answer::from(found)))
}

pub(super) async fn lookup_many(asked: &Asked<'_>, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let players = names(asked, payload).await?;
    let names: Vec<&str> = players.iter().map(String::as_str).collect();
    let found = asked.app.records.lookup_many(&names, asked.app.now()).await?;
    Ok(answers(players, found.into_iter().map(|found| found.map(Answer::from))))
}

/// Leaves out the names that were not found.
pub(super) fn answers<K: Serialize>(
    names: Vec<String>,
    found: impl Iterator<Item = Option<Answer<K>>>,
) -> HttpResponse {
    let players = names.into_iter().zip(found).filter_map(|(name, found)| Some((name, found?)));
    HttpResponse::Ok().json(Answers { players: players.collect() })
}

/// Decodes the name in the raw path once. The router would have decoded some escapes already.
pub(super) fn name(request: &HttpRequest) -> Result<String, Problem> {
    let encoded = request.uri().path().strip_prefix(PREFIX);
    let encoded =
        encoded.filter(|name| !name.is_empty() && !name.contains('/')).ok_or(Problem::NoEndpoint)?;
    let name = percent_decoded(encoded).ok_or(Problem::BadEncoding)?;
    body::check_name(&name)?;
    Ok(name)
}

/// The names in a batch. Charges all but the one that the admission charged.
pub(super) async fn names(asked: &Asked<'_>, payload: web::Payload) -> Result<Vec<String>, Problem> {
    let Asked { caller, request, app, .. } = asked;
    let mut fields = body::fields(request, payload).await?;
    let names = fields.remove("players").unwrap_or_default();
    let players: Vec<String> = Vec::deserialize(names)
        .map_err(|_| Problem::BadField { field: "players", expected: "a list of names" })?;
    if players.len() > LOOKUP_NAMES_MAX {
        return Err(Problem::TooManyNames);
    }
    for name in &players {
        body::check_name(name)?;
    }
    // At most a hundred.
    let count = number::u32_of(players.len());
    app.charge_address(caller.address, Class::Lookup, count.saturating_sub(1)).await?;
    app.metrics.lookups.inc_by(count.into());
    Ok(players)
}

/// `None` for malformed escapes and invalid UTF-8. A `+` is a plus.
fn percent_decoded(text: &str) -> Option<String> {
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
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
