//! How much a client may say: what makes others listen costs its address's and its key's budget for introductions.

use crate::{
    desk::Desk,
    limits::Class,
    problem::Problem,
    switchboard::{Input, Parcel},
};
use fyteclub_proto::{
    id::PeerId,
    phonebook::live::{Hear, Say},
};
use std::net::IpAddr;

/// Whether this may be said now. If not, the client is told; its key has proven itself, so nobody else pays for it.
pub(super) fn allows(desk: &Desk, key: &PeerId, address: IpAddr, say: &Say) -> bool {
    let attempt = match say {
        Say::Introduce { attempt, .. } => Some(*attempt),
        Say::Knock { .. } | Say::Note { .. } => None,
        // Answers and candidates go where an introduction is known, or nowhere.
        _ => return true,
    };
    let limits = &desk.limits;
    let limited = limits
        .check_address(Class::Introduction, address, 1)
        .and_then(|()| limits.check_key(Class::Introduction, key, 1));
    let Err(limited) = limited else { return true };
    let hear = Hear::Limited { attempt, retry_after: limited.retry_after.into() };
    desk.refused(&Problem::TooMany(limited), Some(address), None);
    desk.live.hand(Input::Delivered { to: *key, parcel: Parcel::Hear(hear) }, None);
    false
}
