//! All refusals, and their status and body.
//!
//! Clients compare the original's bodies whole, so those have only `error`. All others have a stable `code`.

use crate::{
    audit::Kind,
    book::Refused,
    limits::{By, Limited},
    shared::{Unavailable, WriteError},
};
use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use fyteclub_proto::{id::IdError, phonebook};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Problem {
    #[error("playerName and port required")]
    NameAndPortMissing,
    #[error("playerName required")]
    NameMissing,
    #[error("Player not found")]
    NoPlayer,
    #[error("Endpoint not found")]
    NoEndpoint,
    #[error("Authentication required")]
    Password { coded: bool },
    #[error("the body is not JSON with an object in it: {0}")]
    BadJson(String),
    #[error("the name in the path is not percent-encoded UTF-8")]
    BadEncoding,
    #[error("{0}")]
    BadName(IdError),
    #[error("playerName must be a text")]
    NameNotText,
    #[error("port must be a whole number from 1 to 65535")]
    BadPort,
    #[error("publicKey must be shorter than {most} bytes")]
    KeyTooLong { most: usize },
    #[error("{field} is not {expected}")]
    BadField { field: &'static str, expected: &'static str },
    #[error("more than {} names in one lookup", fyteclub_proto::limit::LOOKUP_NAMES_MAX)]
    TooManyNames,
    #[error("the body has more than {} bytes", fyteclub_proto::limit::PHONEBOOK_BODY_MAX)]
    TooLarge,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body ended early")]
    CutOff,
    #[error("this phone book takes only signed writes: publicKey, sequence, time and signature are required")]
    Unsigned,
    #[error(
        "`server` is required: the host in this phone book's URL; bodies of version 1, without it, are refused"
    )]
    NoServer,
    #[error("publicKey did not sign this body")]
    BadSignature,
    #[error("sequence is more than 120 s ahead of the clock; begin at the Unix time in milliseconds")]
    SequenceAhead,
    #[error("your clock is off by {} s", .offset.unsigned_abs().div_ceil(1000))]
    ClockSkew {
        /// How far the signer's clock is ahead, in milliseconds.
        offset: i64,
    },
    #[error("too many requests of this kind came from {}; try again in {} s", whom(.0), .0.retry_after)]
    TooMany(Limited),
    #[error("the message was signed for another server")]
    OtherServer,
    #[error("a GET here must upgrade to a WebSocket; send long polls by POST")]
    NotWebSocket,
    #[error("the same key connected elsewhere, or too many messages were unread")]
    Replaced,
    #[error("too many clients are connected")]
    NoPlace,
    #[error("too many connections are open from your address; close some")]
    Crowded,
    #[error("the proxy's X-Forwarded-For has no address where it should name its client")]
    BadForwarded,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Problem {
    pub(crate) fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::NameAndPortMissing | Self::NameMissing | Self::NoPlayer | Self::NoEndpoint => return None,
            Self::Password { coded: false } => return None,
            Self::Password { coded: true } => "bad_password",
            Self::BadJson(_) => "bad_json",
            Self::BadEncoding => "bad_encoding",
            Self::BadName(_) | Self::NameNotText => "bad_name",
            Self::BadPort => "bad_port",
            Self::KeyTooLong { .. } => "bad_key",
            Self::BadField { .. } => "bad_field",
            Self::TooManyNames => "too_many",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::CutOff => "cut_off",
            Self::Unsigned => "unsigned",
            Self::NoServer => "no_server",
            Self::BadSignature => "bad_signature",
            Self::SequenceAhead => "sequence_ahead",
            Self::ClockSkew { .. } => "clock_skew",
            Self::TooMany(_) => "rate_limited",
            Self::OtherServer => "other_server",
            Self::NotWebSocket => "not_websocket",
            Self::Replaced => "replaced",
            Self::NoPlace => "full",
            Self::Crowded => "too_many_connections",
            Self::BadForwarded => "bad_forwarded",
            Self::Unavailable(_) => "degraded",
            Self::Refused(Refused::NameTaken) => "name_taken",
            Self::Refused(Refused::Stale { .. }) => "stale_sequence",
            Self::Refused(Refused::Full) => "full",
            Self::Refused(Refused::TooManyNames) => "too_many_names",
            Self::Refused(Refused::BeforeStart { .. }) => "clock_skew",
        })
    }

    /// The audit event; `None` if it does not concern security.
    pub(crate) fn security_event(&self) -> Option<Kind> {
        Some(match self {
            Self::Refused(Refused::NameTaken) => Kind::Hijack,
            Self::Refused(Refused::Stale { .. }) => Kind::Replay,
            Self::BadSignature => Kind::BadSignature,
            Self::ClockSkew { .. } => Kind::ClockSkew,
            Self::Password { .. } => Kind::WrongPassword,
            Self::TooMany(Limited { class, by, .. }) => Kind::Limited(*class, *by),
            _ => return None,
        })
    }
}

impl From<WriteError> for Problem {
    fn from(unwritten: WriteError) -> Self {
        match unwritten {
            WriteError::Refused(refused) => refused.into(),
            WriteError::Unavailable(away) => away.into(),
        }
    }
}

impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        Self::TooMany(limited)
    }
}

/// Without a serializer, because floods trigger it.
fn too_many(limited: &Limited) -> HttpResponse {
    let (whom, seconds) = (whom(limited), limited.retry_after);
    let body = format!(
        r#"{{"error":"too many requests of this kind came from {whom}; try again in {seconds} s","code":"rate_limited"}}"#
    );
    HttpResponse::TooManyRequests()
        .insert_header((header::RETRY_AFTER, seconds))
        .content_type(header::ContentType::json())
        .body(body)
}

fn whom(limited: &Limited) -> &'static str {
    match limited.by {
        By::Address => "your address",
        By::Key => "your key",
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoPlayer | Self::NoEndpoint => StatusCode::NOT_FOUND,
            Self::Password { .. } | Self::Unsigned | Self::BadSignature | Self::ClockSkew { .. } => {
                StatusCode::UNAUTHORIZED
            }
            Self::TooMany(_) | Self::Crowded | Self::Refused(Refused::TooManyNames) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::NoServer | Self::OtherServer | Self::Refused(Refused::BeforeStart { .. }) => {
                StatusCode::UNAUTHORIZED
            }
            Self::NotWebSocket => StatusCode::UPGRADE_REQUIRED,
            Self::Replaced => StatusCode::CONFLICT,
            Self::NoPlace | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Refused(Refused::NameTaken | Refused::Stale { .. }) => StatusCode::CONFLICT,
            Self::Refused(Refused::Full) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::TooMany(limited) = self {
            return too_many(limited);
        }
        let mut response = HttpResponse::build(self.status_code());
        if matches!(self, Self::NoPlace | Self::Refused(Refused::Full | Refused::TooManyNames)) {
            response.insert_header((header::RETRY_AFTER, "60"));
        }
        if matches!(self, Self::Crowded) {
            response.insert_header((header::RETRY_AFTER, "30"));
        }
        if matches!(self, Self::Unavailable(_)) {
            response.insert_header((header::RETRY_AFTER, "5"));
        }
        if matches!(self, Self::TooLarge | Self::TooSlow | Self::CutOff) {
            // The rest of the body belongs to no request.
            response.force_close();
        }
        response.json(phonebook::Problem {
            error: self.to_string(),
            message: matches!(self, Self::Password { .. }).then(|| "Invalid or missing password".to_owned()),
            code: self.code().map(str::to_owned),
            clock_offset: match self {
                Self::ClockSkew { offset } | Self::Refused(Refused::BeforeStart { offset }) => Some(*offset),
                _ => None,
            },
            sequence: match self {
                Self::Refused(Refused::Stale { newest }) => Some(*newest),
                _ => None,
            },
            retry_after: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Class;
    use actix_web::body::{MessageBody, to_bytes};

    #[actix_web::test]
    async fn prepared_bodies_equal_the_table() {
        for by in [By::Address, By::Key] {
            let problem = Problem::TooMany(Limited { class: Class::Lookup, by, retry_after: 7 });
            let response = problem.error_response();
            assert_eq!(response.status(), problem.status_code());
            assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "7");
            let bytes = to_bytes(response.into_body().boxed()).await.unwrap();
            let body: phonebook::Problem = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((Some(body.error), body.code.as_deref()), (Some(problem.to_string()), problem.code()));
        }
    }

    /// Every refusal: status, code, and when to come back.
    #[actix_web::test]
    async fn each_refusal_has_its_status_code_and_retry_after() {
        let limited = Limited { class: Class::Lookup, by: By::Key, retry_after: 7 };
        let name = fyteclub_proto::id::check_name("").unwrap_err();
        for (problem, status, code, retry_after) in [
            (Problem::NameAndPortMissing, 400, None, None),
            (Problem::NameMissing, 400, None, None),
            (Problem::NoPlayer, 404, None, None),
            (Problem::NoEndpoint, 404, None, None),
            (Problem::Password { coded: false }, 401, None, None),
            (Problem::Password { coded: true }, 401, Some("bad_password"), None),
            (Problem::BadJson("x".to_owned()), 400, Some("bad_json"), None),
            (Problem::BadEncoding, 400, Some("bad_encoding"), None),
            (Problem::BadName(name), 400, Some("bad_name"), None),
            (Problem::NameNotText, 400, Some("bad_name"), None),
            (Problem::BadPort, 400, Some("bad_port"), None),
            (Problem::KeyTooLong { most: 9 }, 400, Some("bad_key"), None),
            (Problem::BadField { field: "a", expected: "b" }, 400, Some("bad_field"), None),
            (Problem::TooManyNames, 400, Some("too_many"), None),
            (Problem::TooLarge, 413, Some("too_large"), None),
            (Problem::TooSlow, 408, Some("too_slow"), None),
            (Problem::CutOff, 400, Some("cut_off"), None),
            (Problem::Unsigned, 401, Some("unsigned"), None),
            (Problem::NoServer, 401, Some("no_server"), None),
            (Problem::BadSignature, 401, Some("bad_signature"), None),
            (Problem::SequenceAhead, 400, Some("sequence_ahead"), None),
            (Problem::ClockSkew { offset: -5 }, 401, Some("clock_skew"), None),
            (Problem::TooMany(limited), 429, Some("rate_limited"), Some("7")),
            (Problem::OtherServer, 401, Some("other_server"), None),
            (Problem::NotWebSocket, 426, Some("not_websocket"), None),
            (Problem::Replaced, 409, Some("replaced"), None),
            (Problem::NoPlace, 503, Some("full"), Some("60")),
            (Problem::Crowded, 429, Some("too_many_connections"), Some("30")),
            (Problem::BadForwarded, 400, Some("bad_forwarded"), None),
            (Problem::Unavailable(Unavailable), 503, Some("degraded"), Some("5")),
            (Refused::NameTaken.into(), 409, Some("name_taken"), None),
            (Refused::Stale { newest: 3 }.into(), 409, Some("stale_sequence"), None),
            (Refused::Full.into(), 503, Some("full"), Some("60")),
            (Refused::TooManyNames.into(), 429, Some("too_many_names"), Some("60")),
            (Refused::BeforeStart { offset: -9 }.into(), 401, Some("clock_skew"), None),
        ] {
            let response = problem.error_response();
            let retry = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), retry), (status, retry_after), "{problem:?}");
            let bytes = to_bytes(response.into_body().boxed()).await.unwrap();
            let body: phonebook::Problem = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((body.error, body.code.as_deref()), (problem.to_string(), code), "{problem:?}");
            let offset = match problem {
                Problem::ClockSkew { offset } | Problem::Refused(Refused::BeforeStart { offset }) => {
                    Some(offset)
                }
                _ => None,
            };
            assert_eq!(body.clock_offset, offset, "{problem:?}");
            let newest = (code == Some("stale_sequence")).then_some(3);
            assert_eq!(body.sequence, newest, "{problem:?}");
            assert_eq!(body.message.is_some(), matches!(problem, Problem::Password { .. }));
        }
    }

    #[test]
    fn problems_of_attacks_are_audit_events() {
        let limited = Limited { class: Class::Socket, by: By::Address, retry_after: 1 };
        for (problem, event) in [
            (Refused::NameTaken.into(), Some(Kind::Hijack)),
            (Refused::Stale { newest: 3 }.into(), Some(Kind::Replay)),
            (Problem::BadSignature, Some(Kind::BadSignature)),
            (Problem::ClockSkew { offset: 1 }, Some(Kind::ClockSkew)),
            (Problem::Password { coded: true }, Some(Kind::WrongPassword)),
            (Problem::TooMany(limited), Some(Kind::Limited(Class::Socket, By::Address))),
            (Problem::NoPlayer, None),
            (Refused::Full.into(), None),
            (Problem::Unavailable(Unavailable), None),
        ] {
            assert_eq!(problem.security_event(), event, "{problem:?}");
        }
    }
}
