//! The daemon's state for clients: the reports of all parts.

use super::{
    mod_cache::{self, ModCache},
    outside::{self, Outside},
    peer::{self, Peer, PeerContext},
    phone_book::{self, PhoneBook},
    traversal::{self, Shown, Traversals},
    upnp::{self, Upnp},
};
use crate::desks::{cache::replies, faults::internal, orders::Answer};
use actix::{Actor, Addr, Handler, Message, dev::ToEnvelope};
use fyteclub_proto::{
    id::PlayerName,
    ledger::Count,
    local::reply::{Charged, PathKind, PeerState, PeerStatus, Status, TransferStatus},
};
use std::future::Future;

/// The coordinator's own part of the state.
pub(super) struct Known {
    /// The number of the last published event.
    pub seq: u64,
    pub transfers: Vec<TransferStatus>,
    /// Why the published look could not be read again.
    pub appearance_trouble: Option<String>,
    /// The disk lacks space, and no peer is sent a new request.
    pub low_disk: bool,
    pub cache: Addr<ModCache>,
    pub upnp: Addr<Upnp>,
    pub outside: Addr<Outside>,
    pub phone_book: Option<Addr<PhoneBook>>,
    pub peers: Vec<PeerOf>,
}

/// A contact's name, and the actor of its peer.
pub(super) type PeerOf = (Option<PlayerName>, Addr<Peer>);

/// The coordinator's part is as of this call; the rest is asked of the other actors.
pub(super) fn read(
    context: &PeerContext,
    known: Known,
) -> impl Future<Output = Answer<Status>> + 'static + use<> {
    let charged = |(item, Count { charged, refusals }): (fyteclub_proto::ledger::Item, Count)| {
        (item.name().to_owned(), Charged { charged, refusals })
    };
    let ledger = context.accounts.counts().into_iter().map(charged).collect();
    let (peer_id, player) = (context.here, context.player.clone());
    let listen = context.endpoint.local_addr().to_string();
    let appearance = context.offer.borrow().as_ref().map(|offer| offer.appearance);
    let traversals = context.traversals.clone();
    async move {
        let phonebooks = match known.phone_book {
            Some(phone_book) => ask(&phone_book, phone_book::Report).await?,
            None => Vec::new(),
        };
        let cache = ask(&known.cache, mod_cache::ReadStats).await?;
        let mapping = ask(&known.upnp, upnp::Report).await?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            peer_id,
            player,
            listen,
            port_mapping: mapping.words.clone(),
            mapping,
            network: ask(&known.outside, outside::Report).await?,
            phonebooks,
            appearance,
            appearance_trouble: known.appearance_trouble,
            peers: peers(known.peers, traversals).await,
            transfers: known.transfers,
            cache: replies::stats(&cache, known.low_disk),
            seq: known.seq,
            ledger,
        })
    }
}

/// The reports of all peers, by name.
pub(super) async fn peers(peers: Vec<PeerOf>, traversals: Addr<Traversals>) -> Vec<PeerStatus> {
    let mut list = Vec::new();
    // Without the actor no link has more than one path.
    let mut shown = traversals.send(traversal::Report).await.unwrap_or_default();
    for (player, actor) in peers {
        if let Ok(mut status) = actor.send(peer::Report).await {
            status.player = player.or(status.player);
            let Shown { paths, why, reconnects } = shown.remove(&status.peer_id).unwrap_or_default();
            status.paths = paths;
            let is_relayed = matches!(status.path, Some(PathKind::Relay | PathKind::RelayTcp));
            status.why_relayed = why.filter(|_| is_relayed).map(str::to_owned);
            if reconnects && status.state == PeerState::Connected {
                status.state = PeerState::Reconnecting;
            }
            list.push(status);
        }
    }
    list.sort_unstable_by(|a, b| (&a.player, &a.peer_id).cmp(&(&b.player, &b.peer_id)));
    list
}

/// Asks an actor that runs as long as the daemon.
///
/// # Errors
/// The actor has stopped all the same.
pub(super) fn ask<A, M>(
    actor: &Addr<A>,
    question: M,
) -> impl Future<Output = Answer<M::Result>> + 'static + use<A, M>
where
    M: Message + Send + 'static,
    M::Result: Send,
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
{
    let asked = actor.send(question);
    async { asked.await.map_err(|_| internal()) }
}
