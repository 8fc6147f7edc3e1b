//! Parses and verifies signed bodies.
//!
//! The clock is checked before the signature, because that is cheap and tells honest players what is wrong; the
//! signature before the book, so that only the key's owner gets answers about a name.

use super::{
    freshness::{check_sequence, check_time},
    server_names::ServerNames,
};
use crate::{clock::Moment, problem::Problem};
use fyteclub_proto::{
    id::PeerId,
    limit::KEY_CHANGES_MAX,
    phonebook::{HIDDEN_PREFIX, KeyChange, Register, Unregister, Visibility, is_hidden_name},
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Expects a name and a port that were checked.
pub(crate) fn signed_register(
    fields: &Map<String, Value>,
    player_name: String,
    port: u16,
    audience: &Audience<'_>,
) -> Result<Register, Problem> {
    let SignatureFields { public_key, server, sequence, time, signature } =
        signature_fields(fields, audience)?;
    let visibility = visibility(fields)?;
    if player_name.starts_with(HIDDEN_PREFIX) != (visibility == Visibility::Hidden) {
        let expected = "`hidden` for a hidden name, and only for that";
        return Err(Problem::BadField { field: "visibility", expected });
    }
    if visibility == Visibility::Hidden && !is_hidden_name(&player_name) {
        let expected = "`h1:` with 32 bytes in unpadded base64url";
        return Err(Problem::BadField { field: "playerName", expected });
    }
    let key_changes = key_changes(fields)?;
    let body = Register {
        player_name,
        port,
        public_key,
        visibility,
        server,
        key_changes,
        sequence,
        time,
        signature,
    };
    let changed = &body.key_changes;
    let proven = body.is_authentic() && (changed.is_empty() || KeyChange::lead(changed, &body.public_key));
    if proven { Ok(body) } else { Err(Problem::BadSignature) }
}

/// Expects a name that was checked.
pub(crate) fn signed_unregister(
    fields: &Map<String, Value>,
    player_name: String,
    audience: &Audience<'_>,
) -> Result<Unregister, Problem> {
    let SignatureFields { public_key, server, sequence, time, signature } =
        signature_fields(fields, audience)?;
    let body = Unregister { player_name, public_key, server, sequence, time, signature };
    if body.is_authentic() { Ok(body) } else { Err(Problem::BadSignature) }
}

fn visibility(fields: &Map<String, Value>) -> Result<Visibility, Problem> {
    let Some(value) = fields.get("visibility").filter(|value| !value.is_null()) else {
        return Ok(Visibility::default());
    };
    Visibility::deserialize(value)
        .map_err(|_| Problem::BadField { field: "visibility", expected: "listed, contacts or hidden" })
}

fn key_changes(fields: &Map<String, Value>) -> Result<Vec<KeyChange>, Problem> {
    let expected = "at most 4 objects with from, to, signature and agreement";
    let Some(value) = fields.get("keyChanges").filter(|value| !value.is_null()) else {
        return Ok(Vec::new());
    };
    let changes: Option<Vec<KeyChange>> = Vec::deserialize(value).ok();
    let fitting = changes.filter(|changes| changes.len() <= KEY_CHANGES_MAX);
    fitting.ok_or(Problem::BadField { field: "keyChanges", expected })
}

/// The fields of a signed body that an unsigned one lacks.
struct SignatureFields {
    public_key: PeerId,
    server: String,
    sequence: u64,
    time: u64,
    signature: String,
}

/// What a signed body is verified against.
pub(crate) struct Audience<'a> {
    pub(crate) names: &'a ServerNames,
    pub(crate) host: Option<&'a str>,
    pub(crate) now: Moment,
}

fn signature_fields(
    fields: &Map<String, Value>,
    audience: &Audience<'_>,
) -> Result<SignatureFields, Problem> {
    let field = |name| fields.get(name).filter(|value| !value.is_null());
    let (Some(sequence), Some(time), Some(signature)) =
        (field("sequence"), field("time"), field("signature"))
    else {
        return Err(Problem::Unsigned);
    };
    let public_key = field("publicKey").ok_or(Problem::Unsigned)?;
    let number = |value: &Value, field| {
        value.as_u64().ok_or(Problem::BadField { field, expected: "a whole number from 0 to 2^64-1" })
    };
    let server = field("server").ok_or(Problem::NoServer)?;
    let time = number(time, "time")?;
    check_time(time, audience.now)?;
    let sequence = number(sequence, "sequence")?;
    check_sequence(sequence, audience.now)?;
    let server = server.as_str().filter(|server| audience.names.contain(server, audience.host));
    Ok(SignatureFields {
        public_key: public_key.as_str().and_then(|key| key.parse().ok()).ok_or(Problem::BadSignature)?,
        server: server.ok_or(Problem::OtherServer)?.to_owned(),
        sequence,
        time,
        signature: signature.as_str().ok_or(Problem::BadSignature)?.to_owned(),
    })
}
