//! Tells all parts when this machine's addresses change, or when it slept.

use crate::{
    actors::{
        coordinator::{Coordinator, facts::DaemonFact},
        lan::{self, Lan},
        outside::{self, Outside},
        phone_book::{self, PhoneBook},
        traversal::{self, Traversals},
        upnp::{self, Upnp},
    },
    io::{host_address, quic::QuicEndpoint, sleep},
    reachable::Reachable,
};
use actix::Addr;
use fyteclub_proto::reaching::reachable::Slot;
use std::time::Duration;

/// The least time between two handled changes of this machine's addresses.
const MOVES_APART: Duration = Duration::from_secs(1);

/// The actors that depend on this machine's addresses.
pub(crate) struct Watchers {
    pub(crate) phone_book: Addr<PhoneBook>,
    pub(crate) upnp: Addr<Upnp>,
    pub(crate) outside: Addr<Outside>,
    pub(crate) traversals: Addr<Traversals>,
    pub(crate) lan: Addr<Lan>,
    pub(crate) coordinator: Addr<Coordinator>,
}

/// Tells the endpoint and the actors when this machine's addresses change, or when it wakes up: routers forget mappings in
/// the meantime. At most once a second, because each time sends requests to the phone books.
pub(crate) async fn announce_moves(endpoint: QuicEndpoint, reachable: Reachable, watchers: Watchers) {
    let (mut watch, mut sleep) = (host_address::Watch::start(), sleep::Watch::start());
    note_interfaces(&reachable);
    loop {
        tokio::select! {
            () = watch.changed() => {
                tracing::info!("this machine's addresses changed: registering again and updating links");
            }
            slept = sleep.woke() => {
                let seconds = slept.as_secs();
                tracing::info!("this machine slept for {seconds} s: registering again and updating links");
            }
        }
        note_interfaces(&reachable);
        endpoint.moved();
        watchers.phone_book.do_send(phone_book::Moved);
        watchers.upnp.do_send(upnp::Moved);
        watchers.outside.do_send(outside::Moved);
        watchers.traversals.do_send(traversal::Moved);
        watchers.lan.do_send(lan::Moved);
        watchers.coordinator.do_send(DaemonFact::Moved(host_address::all().into()));
        tokio::time::sleep(MOVES_APART).await;
    }
}

/// Records the addresses of this machine's interfaces.
pub(crate) fn note_interfaces(reachable: &Reachable) {
    if reachable.is_anywhere() {
        reachable.set(Slot::Interfaces, host_address::all());
    }
}
