//! How much a client may say: what makes others listen costs its address's and its key's budget for introductions.

use super::Live;
use crate::{
    app_state::AppState,
    limits::Class,
    problem::Problem,
    shared::Job,
    signaling::{ClientId, Input, Parcel},
};
use fyteclub_proto::{
    id::PeerId,
    letter::Attempt,
    phonebook::live::{Hear, Say},
};
use std::net::IpAddr;

/// Seconds after which a courier that is too busy now has worked off what waits.
const BUSY: u32 = 2;

/// Passes on what a client may say. If it may not, it is told; its key has proven itself, so nobody else pays for it.
/// Where budgets are shared, the courier passes it on when they were charged.
pub(super) fn speak(app: &AppState, client: ClientId, key: &PeerId, address: IpAddr, say: Say) {
    let live = &app.live;
    let attempt = match &say {
        Say::Introduce { attempt, .. } => Some(*attempt),
        Say::Knock { .. } | Say::Note { .. } => None,
        // Answers and candidates go where an introduction is known, or nowhere.
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
    if !shared.send(Job::Say { client, key: *key, address, attempt, say: Box::new(say) }) {
        live.limit(key, attempt, BUSY);
    }
}

fn book(app: &AppState) -> Option<(&crate::book::Book, crate::clock::Moment)> {
    Some((app.records.own()?, app.now()))
}

impl Live {
    /// Tells a client that what it said was too much.
    pub(crate) fn limit(&self, key: &PeerId, attempt: Option<Attempt>, retry_after: u32) {
        let hear = Hear::Limited { attempt, retry_after: retry_after.into() };
        self.hand(Input::Delivered { to: *key, parcel: Parcel::Hear(hear) }, None);
    }
}
