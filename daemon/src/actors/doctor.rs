//! Why players are not reached: collects the facts for [`fyteclub_proto::reaching::doctor`].

use super::{
    phone_book::LookupError,
    status::ask,
    upnp::{self, Upnp},
};
use crate::{
    desks::orders::Answer,
    io::{
        host_address::{self, WayOut},
        phonebook_http::PhonebookHttp,
    },
    sharing::means::PeerMeans,
};
use actix::Addr;
use fyteclub_proto::{
    local::{
        reply::{Contact, Diagnosis, Standing, Status},
        request::Doctor,
    },
    reaching::doctor::{Facts, PeerFacts, diagnose},
};
use std::future::Future;

/// What does not change while the daemon runs.
#[derive(Clone)]
pub struct Setup {
    /// The phone books' clients, which know the phone books' clocks.
    pub books: Vec<PhonebookHttp>,
    pub means: PeerMeans,
}

/// The question, and who knows the rest.
pub(super) struct Known {
    pub question: Doctor,
    /// The contact in question, if it is about one.
    pub contact: Option<Contact>,
    pub setup: Setup,
    pub upnp: Addr<Upnp>,
}

/// The contact in question. Of several with that name, the one whom this player consents to.
pub(super) fn contact(question: &Doctor, all: Vec<Contact>) -> Option<Contact> {
    let Doctor { player, peer_id } = question;
    if player.is_none() && peer_id.is_none() {
        return None;
    }
    let is_meant = |contact: &Contact| {
        (player.is_none() || contact.player == *player) && (peer_id.is_none() || contact.peer_id == *peer_id)
    };
    all.into_iter().filter(is_meant).min_by_key(|contact| match contact.standing {
        Standing::Paired => 0,
        Standing::Requested => 1,
        Standing::Asking => 2,
        Standing::Blocked | Standing::Unknown => 3,
    })
}

/// `status` is the state at the time of the question.
///
/// # Errors
/// An actor has stopped.
pub(super) async fn read(known: Known, status: impl Future<Output = Answer<Status>>) -> Answer<Diagnosis> {
    let Known { question: Doctor { player, peer_id }, contact, setup: Setup { books, means }, upnp } = known;
    let status = status.await?;
    let mapping = ask(&upnp, upnp::ReadStanding).await?;
    let own = host_address::all();
    let WayOut { facing, tunnel } = host_address::way_out();
    let clocks: Vec<i64> = books.iter().filter_map(PhonebookHttp::clock_ahead).collect();
    let key = contact.as_ref().and_then(|contact| contact.peer_id).or(peer_id);
    let name = player.or_else(|| contact.as_ref()?.player.clone());
    let who = name.map(|name| name.to_string()).or_else(|| peer_id.map(|key| key.to_string()));
    let link = status.peers.iter().find(|peer| Some(peer.peer_id) == key);
    let offline = LookupError::NotFound.to_string();
    let peer = who.as_deref().map(|who| PeerFacts {
        who,
        contact: contact.as_ref(),
        link,
        means: key.map_or(means.general(), |key| means.toward(&key)),
        is_offline: link.is_some_and(|link| link.cause.as_ref() == Some(&offline)),
    });
    let facts = Facts {
        status: &status,
        mapping,
        own: &own,
        facing,
        tunnel: tunnel.as_deref(),
        clocks: &clocks,
        means: means.general(),
        peer,
    };
    Ok(Diagnosis { findings: diagnose(&facts) })
}
