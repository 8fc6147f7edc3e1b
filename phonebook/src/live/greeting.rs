//! Verifies greetings and polls: signed now, for this phone book, by the key they name.

use super::close_frame::CloseFrame;
use crate::{
    auth::{ServerNames, check_sequence, check_time},
    book,
    clock::Moment,
    problem::Problem,
};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    number,
    phonebook::live::{CloseReason, Hello, PRESENCE_LIFE, PRESENCE_PERIOD, Poll, Say, Udp, Welcome},
    version::LIVE_VERSIONS,
};
use std::{net::IpAddr, time::Duration};

/// Returns the version to speak.
pub(super) fn greet(
    names: &ServerNames,
    hello: &Hello,
    nonce: &Bytes<32>,
    host: Option<&str>,
    now: Moment,
) -> Result<u16, CloseFrame> {
    let bad = |text| Err(CloseFrame::new(CloseReason::BadHello, text));
    if !LIVE_VERSIONS.contains(&hello.version) {
        let text = format!("this phone book speaks version {}", LIVE_VERSIONS[0]);
        return Err(CloseFrame::new(CloseReason::BadMessage, text));
    }
    if let Err(Problem::ClockSkew { offset }) = check_time(hello.time, now) {
        return Err(CloseFrame::new(CloseReason::ClockSkew, format!("clock_skew:{offset}")));
    }
    if hello.nonce != *nonce {
        return bad("the nonce is not the challenge's");
    }
    if !names.contain(&hello.server, host) {
        return bad("the greeting is for another server");
    }
    if !hello.is_authentic() {
        return bad("publicKey did not sign this greeting");
    }
    Ok(hello.version)
}

/// The messages in a poll. `known`: the key's newest sequence is stored; other keys must have signed after the start.
pub(super) fn hear(
    names: &ServerNames,
    poll: &Poll,
    host: Option<&str>,
    known: bool,
    now: Moment,
) -> Result<Vec<Say>, Problem> {
    check_time(poll.time, now)?;
    if !names.contain(&poll.server, host) {
        return Err(Problem::OtherServer);
    }
    if !poll.is_authentic() {
        return Err(Problem::BadSignature);
    }
    check_sequence(poll.sequence, now)?;
    if !known {
        book::check_started(poll.time, now)?;
    }
    let expected = "a text with a JSON list of messages";
    let said: Vec<Say> =
        serde_json::from_str(&poll.say).map_err(|_| Problem::BadField { field: "say", expected })?;
    if said.iter().all(|say| is_in_turn(say, &poll.public_key)) {
        Ok(said)
    } else {
        Err(Problem::BadField { field: "say", expected: "without greetings and others' knocks" })
    }
}

/// Whether `key` may send this after its greeting. Forged knocks are rejected, so that nobody floods others with
/// them.
pub(super) fn is_in_turn(say: &Say, key: &PeerId) -> bool {
    match say {
        Say::Hello(_) => false,
        Say::Knock { to, knock } => knock.from == *key && knock.is_authentic(to),
        _ => true,
    }
}

/// The welcome of sockets and polls. `returns`: over how long the clients spread their return.
pub(super) fn welcome(version: u16, address: IpAddr, udp: Option<Udp>, returns: Duration) -> Welcome {
    let (life, period) = (PRESENCE_LIFE.as_secs(), PRESENCE_PERIOD.as_secs());
    Welcome { version, address, life, period, udp, return_ms: Some(number::millis(returns)) }
}
