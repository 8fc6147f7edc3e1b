//! What a person or a plugin is shown: put together from all who know a part of it.

use super::{Coordinator, verbs::internal};
use crate::{
    actors::{mod_cache, peer, phone_book, upnp},
    io::store::Stats,
};
use fyteclub_proto::{
    ledger::Count,
    local::{
        Fault,
        reply::{CacheStats, Charged, PeerStatus, Status},
    },
};
use std::future::Future;

impl Coordinator {
    pub(super) fn status(&self) -> impl Future<Output = Result<Status, Fault>> + 'static {
        // First: what is told from now on may be newer than what is shown.
        let seq = self.bus.last();
        let counts = self.around.accounts.counts().into_iter();
        let ledger = counts.map(|(item, Count { charged, refusals })| {
            (item.name().to_owned(), Charged { charged, refusals })
        });
        let ledger = ledger.collect();
        let peers = self.peer_list();
        let (cache, upnp, phone_book) = (self.cache.clone(), self.upnp.clone(), self.phone_book.clone());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let peer_id = self.identity.peer_id();
        let player = self.around.player.clone();
        let listen = self.around.endpoint.local_addr().to_string();
        let appearance = self.around.offer.borrow().as_ref().map(|offer| offer.appearance);
        let low_disk = !self.may_ask();
        let transfers = self.fetching.fetches().transfers().collect();
        async move {
            let phonebooks = match phone_book {
                Some(phone_book) => phone_book.send(phone_book::Report).await.map_err(|_| internal())?,
                None => Vec::new(),
            };
            let cache = cache.send(mod_cache::ReadStats).await.map_err(|_| internal())?;
            let port_mapping = upnp.send(upnp::Report).await.map_err(|_| internal())?;
            Ok(Status {
                version,
                peer_id,
                player,
                listen,
                port_mapping: port_mapping.to_owned(),
                phonebooks,
                appearance,
                peers: peers.await,
                transfers,
                cache: cache_stats(&cache, low_disk),
                seq,
                ledger,
            })
        }
    }

    pub(super) fn peer_list(&self) -> impl Future<Output = Vec<PeerStatus>> + 'static {
        let peers: Vec<_> =
            (self.peers.values()).map(|known| (known.player.clone(), known.actor.clone())).collect();
        async move {
            let mut list = Vec::new();
            for (player, actor) in peers {
                if let Ok(mut status) = actor.send(peer::Report).await {
                    status.player = player.or(status.player);
                    list.push(status);
                }
            }
            list.sort_by(|a, b| (&a.player, &a.peer_id).cmp(&(&b.player, &b.peer_id)));
            list
        }
    }
}

pub(super) fn cache_stats(stats: &Stats, low_disk: bool) -> CacheStats {
    CacheStats {
        bytes: stats.bytes,
        files: stats.files as u64,
        limit: stats.limit,
        pinned: stats.pinned as u64,
        dir: stats.dir.to_string_lossy().into_owned(),
        free: stats.disk.map(|disk| disk.free),
        min_free: stats.disk.map_or(0, |disk| disk.floor),
        low_disk,
        away: stats.away,
    }
}
