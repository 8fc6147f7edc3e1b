//! Reads a request's body: bounded in size and time, JSON only, with the original's leniency.

use crate::{io::connections::Connections, problem::Problem};
use actix_web::{HttpRequest, http::header, rt::time::timeout, web};
use fyteclub_proto::{id, limit, number};
use serde_json::{Map, Value};
use std::time::Duration;

/// A body fits in one or two packets.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);

/// The body's object. An absent body, an array, and any other content type have no fields, as with the original.
pub(crate) async fn fields(
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Map<String, Value>, Problem> {
    let claimed = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if claimed.and_then(|length| length.parse::<u64>().ok()) > Some(number::u64_of(limit::PHONEBOOK_BODY_MAX))
    {
        return Err(Problem::TooLarge);
    }
    let connections = request
        .app_data::<web::Data<Connections>>()
        .expect("the server shares its connections with every route");
    let bytes = timeout(BODY_TIME_MAX, payload.to_bytes_limited(limit::PHONEBOOK_BODY_MAX))
        .await
        .map_err(|_| Problem::TooSlow)?
        .map_err(|_| {
            // actix reads a refused chunked body to its end before it closes, and the body may be endless.
            connections.dismiss(request);
            Problem::TooLarge
        })?
        .map_err(|_| Problem::CutOff)?;
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if bytes.is_empty() || !media_type.is_some_and(is_json) {
        return Ok(Map::new());
    }
    parse(&bytes)
}

fn is_json(media_type: &str) -> bool {
    media_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Array(_)) => Ok(Map::new()),
        Ok(_) => Err(Problem::BadJson("it is a bare value".to_owned())),
        Err(error) => Err(Problem::BadJson(format!("line {}, column {}", error.line(), error.column()))),
    }
}

/// As JavaScript's `!value`, which the original used: absent, `null`, `false`, `0` and `""` are missing.
pub(crate) fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    })
}

/// The fields that signed and unsigned registrations share.
pub(crate) fn name_and_port(fields: &Map<String, Value>) -> Result<(&str, u16), Problem> {
    let (Some(name), Some(port)) = (present(fields, "playerName"), present(fields, "port")) else {
        return Err(Problem::NameAndPortMissing);
    };
    Ok((checked(name)?, port_of(port).ok_or(Problem::BadPort)?))
}

/// The field that signed and unsigned unregistrations share.
pub(crate) fn name(fields: &Map<String, Value>) -> Result<&str, Problem> {
    checked(present(fields, "playerName").ok_or(Problem::NameMissing)?)
}

fn checked(name: &Value) -> Result<&str, Problem> {
    let name = name.as_str().ok_or(Problem::NameNotText)?;
    check_name(name)?;
    Ok(name)
}

/// The rule for names in bodies and paths.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    id::check_name(name).map_err(Problem::BadName)
}

/// Accepts a number, or one in a string.
fn port_of(value: &Value) -> Option<u16> {
    let port = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    u16::try_from(port).ok().filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_json_is_read_as_json() {
        for yes in ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=utf-8"] {
            assert!(is_json(yes), "{yes}");
        }
        for no in ["application/x-www-form-urlencoded", "text/json", "", "application/jsonp"] {
            assert!(!is_json(no), "{no}");
        }
    }

    #[test]
    fn nesting_is_no_way_to_exhaust_the_stack() {
        let deep = "[".repeat(limit::PHONEBOOK_BODY_MAX);
        assert!(matches!(parse(deep.as_bytes()), Err(Problem::BadJson(_))));
    }

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
