//! Why players are not reached: collects the facts for [`fyteclub_proto::reaching::doctor`].

use super::{
    phone_book::LookupError,
    status::ask,
    upnp::{self, Upnp},
};
use crate::{
    desks::{faults::internal, orders::Answer},
    io::{
        host_address::{self, WayOut},
        last_log,
        phonebook_http::PhonebookHttp,
        uplinks,
    },
    sharing::means::PeerMeans,
};
use actix::Addr;
use fyteclub_proto::{
    local::{
        reply::{Bundle, Contact, Diagnosis, Finding, Standing, Status},
        request::Doctor,
    },
    reaching::{
        doctor::{Facts, PeerFacts, diagnose},
        mapping::Uplink,
    },
    redact::{Private, redacted},
};
use std::{future::Future, path::PathBuf};

/// How much of the log is in a bundle.
const LOG_LINES: usize = 200;

/// What does not change while the daemon runs.
#[derive(Clone)]
pub struct Setup {
    /// The phone books' clients, which know the phone books' clocks.
    pub books: Vec<PhonebookHttp>,
    pub means: PeerMeans,
    pub stun: bool,
    /// As `check-config` shows it, without secrets.
    pub config: String,
    pub log: PathBuf,
    /// Names of this system's users.
    pub users: Vec<String>,
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
    let Known { question: Doctor { player, peer_id }, contact, setup, upnp } = known;
    let Setup { books, means, stun, .. } = setup;
    let status = status.await?;
    let mapping = ask(&upnp, upnp::ReadStanding).await?;
    let own = host_address::all();
    let router = tokio::task::spawn_blocking(|| uplinks::all().first().and_then(Uplink::gateway));
    let router = router.await.map_err(|_| internal())?;
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
        router,
        tunnel: tunnel.as_deref(),
        clocks: &clocks,
        means: means.general(),
        stun,
        peer,
    };
    Ok(Diagnosis { findings: diagnose(&facts) })
}

/// One text for somebody who helps. `contacts`: all of them, for their names and keys are left out of it.
///
/// # Errors
/// An actor has stopped.
pub(super) async fn bundle(
    known: Known,
    contacts: Vec<Contact>,
    status: impl Future<Output = Answer<Status>>,
) -> Answer<Bundle> {
    let Setup { config, log, users, .. } = known.setup.clone();
    let status = status.await?;
    let private = private(users, &status, &known.question, &contacts);
    let shown = serde_json::to_string_pretty(&status).map_err(|_| internal())?;
    let Diagnosis { findings } = read(known, async { Ok(status) }).await?;
    let log = tokio::task::spawn_blocking(move || last_log::read(&log, LOG_LINES)).await;
    let log = match log {
        Ok(Ok(lines)) => lines,
        Ok(Err(error)) => format!("(it cannot be read: {error})"),
        Err(_) => return Err(internal()),
    };
    let mut text = format!("# Configuration\n\n{config}\n# Findings\n\n");
    for Finding { code, severity, sure, sentence, help } in findings {
        text += &format!("{severity:?}, {sure:?}, {code:?}: {sentence}. {}\n", help.unwrap_or_default());
    }
    text += &format!("\n# State\n\n{shown}\n\n# Log\n\n{log}\n");
    Ok(Bundle { text: redacted(&text, &private) })
}

fn private(users: Vec<String>, status: &Status, question: &Doctor, contacts: &[Contact]) -> Private {
    let links = status.peers.iter();
    let names = status.player.iter().chain(&question.player);
    let names = names.chain(contacts.iter().filter_map(|contact| contact.player.as_ref()));
    let keys = [status.peer_id].into_iter().chain(question.peer_id);
    let keys = keys.chain(contacts.iter().filter_map(|contact| contact.peer_id));
    let mut private = Private { users, players: Vec::new(), keys: Vec::new() };
    for name in names.chain(links.clone().filter_map(|link| link.player.as_ref())) {
        if !private.players.contains(name) {
            private.players.push(name.clone());
        }
    }
    for key in keys.chain(links.map(|link| link.peer_id)) {
        if !private.keys.contains(&key) {
            private.keys.push(key);
        }
    }
    private
}
