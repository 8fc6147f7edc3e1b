//! Budgets of live clients: what reaches other clients is charged to the sender's address and key.

use super::Live;
use crate::{
    app_state::AppState,
    limits::Class,
    problem::Problem,
    signaling::{ClientId, Input, Parcel},
};
use fyteclub_proto::{
    id::PeerId,
    letter::Attempt,
    phonebook::live::{Hear, Say},
};
use std::net::IpAddr;

/// Seconds until an overfull outbox has worked off its queue.
const BUSY: u32 = 2;

/// Charges and forwards a message. An overcharged client gets `Limited`. With a shared Redis the outbox charges and
/// forwards it.
pub(super) fn speak(app: &AppState, client: ClientId, key: &PeerId, address: IpAddr, say: Say) {
    let live = &app.live;
    let attempt = match &say {
        Say::Introduce { attempt, .. } => Some(*attempt),
        Say::Knock { .. } | Say::Note { .. } => None,
        // Answers and candidates only go to the peer of a known introduction.
        _ => return live.said(client, say, book(app)),
    };
    let limits = &app.limits;
    let limited = limits
        .check_address(Class::Introduction, address, 1)
        .and_then(|()| limits.check_key(Class::Introduction, key, 1));
    if let Err(limited) = limited {
        app.refused(&Problem::TooMany(limited), Some(address), None);
        return live.limit(key, attempt, limited.retry_after);
    }
    let Some(shared) = &live.shared else { return live.said(client, say, book(app)) };
    if !shared.say(client, *key, address, attempt, say) {
        live.limit(key, attempt, BUSY);
    }
}

fn book(app: &AppState) -> Option<(&crate::book::Book, crate::clock::Moment)> {
    Some((app.records.own()?, app.now()))
}

impl Live {
    /// Tells a client that it exceeded its budget.
    pub(crate) fn limit(&self, key: &PeerId, attempt: Option<Attempt>, retry_after: u32) {
        let hear = Hear::Limited { attempt, retry_after: retry_after.into() };
        self.hand(Input::Delivered { to: *key, parcel: Parcel::Hear(hear) }, None);
    }
}
