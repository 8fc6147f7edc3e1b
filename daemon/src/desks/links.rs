//! Peers with an open link, their last addresses, and the events about both.

use super::orders::Orders;
use fyteclub_proto::{
    id::{BlobHash, PeerId, PlayerName},
    local::{Event, reply::PathKind},
    peer::CloseCode,
};
use std::{collections::HashMap, net::SocketAddr, time::Duration};

/// When a peer that is about to be dialled was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Within the last minute, but without a link.
    JustNow,
    /// It had a link, and has a last address.
    Once,
    Never,
}

/// What a dial begins with.
#[derive(Debug)]
pub struct DialHints {
    /// The contact's name, if it is known.
    pub name: Option<PlayerName>,
    /// Whether a client waits for it.
    pub asked: bool,
    pub since: Seen,
    /// Its last address.
    pub last: Option<SocketAddr>,
}

/// A link that a peer's actor uses from now on.
#[derive(Debug, Clone, Copy)]
pub struct NewLink {
    /// Where the peer may be dialled later.
    pub addr: Option<SocketAddr>,
    pub path: PathKind,
    /// The peer's instance, which changes when its daemon restarts or its addresses change.
    pub instance: u64,
    /// The look that the peer publishes.
    pub look: Option<BlobHash>,
}

/// A link of which clients got an event.
struct Link {
    /// The contact's name in the last event; never a name that the peer claims.
    player: Option<PlayerName>,
    last: NewLink,
    is_open: bool,
    is_silent: bool,
}

/// Links by peer, each kept as long as the peer's actor lives.
#[derive(Default)]
pub struct LinkDesk(HashMap<PeerId, Link>);

impl LinkDesk {
    /// A link to a contact of this name is open. Between two `peer.connected` of a peer there is always a
    /// `peer.disconnected`; of a link that replaces an equal one clients get no event but the look.
    pub fn opened(
        &mut self,
        peer_id: PeerId,
        player: Option<PlayerName>,
        link: NewLink,
        orders: &mut Orders,
    ) {
        let link = NewLink { addr: link.addr.or_else(|| self.last_addr(&peer_id)), ..link };
        let former = self.0.get(&peer_id).filter(|former| former.is_open);
        let replaced = former.map(|former| former.last);
        let is_equal = former.is_some_and(|former| former.player == player)
            && replaced.is_some_and(|last| (last.instance, last.path) == (link.instance, link.path));
        match replaced {
            _ if is_equal => self.silent(&peer_id, false, orders),
            Some(last) if last.instance != link.instance => {
                self.lost(peer_id, "their daemon restarted, or its addresses changed".to_owned(), orders);
            }
            Some(_) => {
                self.lost(peer_id, CloseCode::Duplicate.explain().to_owned(), orders);
            }
            None => {}
        }
        self.0.insert(peer_id, Link { player: player.clone(), last: link, is_open: true, is_silent: false });
        if !is_equal {
            tracing::info!(peer = %peer_id.short(), "connected");
            orders.tell(Event::PeerConnected { peer_id, player, path: link.path });
        }
        self.shows(peer_id, link.look, orders);
    }

    /// The peer publishes another look. The fetching desk decides whether to fetch it.
    pub fn shows(&self, peer_id: PeerId, appearance: Option<BlobHash>, orders: &mut Orders) {
        if let Some(player) = self.0.get(&peer_id).and_then(|link| link.player.clone()) {
            orders.tell(Event::PeerLook { peer_id, player, appearance });
        }
    }

    /// Whether the peer leaves requests over its link unanswered.
    pub fn silent(&mut self, key: &PeerId, silent: bool, orders: &mut Orders) {
        if let Some(link) = self.0.get_mut(key).filter(|link| link.is_open && link.is_silent != silent) {
            link.is_silent = silent;
            orders.tell(Event::PeerSilent { peer_id: *key, player: link.player.clone(), silent });
        }
    }

    /// The last link is closed. Returns whether clients knew of one: they do not of a banned peer's.
    pub fn lost(&mut self, peer_id: PeerId, cause: String, orders: &mut Orders) -> bool {
        let Some(link) = self.0.get_mut(&peer_id).filter(|link| link.is_open) else { return false };
        tracing::info!(peer = %peer_id.short(), "disconnected: {cause}");
        link.is_open = false;
        orders.tell(Event::PeerDisconnected { peer_id, player: link.player.clone(), cause });
        true
    }

    /// The contact has this name now. A removed contact keeps its name for later events about its link.
    pub fn rename(&mut self, key: &PeerId, player: Option<&PlayerName>) {
        if let Some(link) = self.0.get_mut(key) {
            link.player = player.cloned();
        }
    }

    /// Forgets a peer whose actor has stopped.
    pub fn retired(&mut self, key: &PeerId) {
        self.0.remove(key);
    }

    pub fn is_open(&self, key: &PeerId) -> bool {
        self.0.get(key).is_some_and(|link| link.is_open)
    }

    /// The peer's name in the events about its link.
    pub fn name_of(&self, key: &PeerId) -> Option<&PlayerName> {
        self.0.get(key)?.player.as_ref()
    }

    /// Where the peer was last, as far as it may be dialled there again.
    pub fn last_addr(&self, key: &PeerId) -> Option<SocketAddr> {
        self.0.get(key)?.last.addr
    }

    /// A link, which need not have greeted, goes over this path now; `None`: over none.
    pub fn moved(&mut self, key: &PeerId, path: Option<Taken>) {
        if let Some(link) = self.0.get_mut(key) {
            link.last.addr = path.and_then(|path| path.lasting).or(link.last.addr);
            link.last.path = path.map_or(link.last.path, |path| path.kind);
        }
        match path {
            Some(path) => tracing::info!(peer = %key.short(), "the path: {}", words(&path)),
            None => tracing::info!(peer = %key.short(), "the path: none works"),
        }
    }
}

/// The path of a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken {
    pub kind: PathKind,
    pub rtt: Duration,
    /// Why it is relayed, if it is.
    pub why: Option<&'static str>,
    /// Where the peer may be dialled later.
    pub lasting: Option<SocketAddr>,
}

/// One line for a person.
fn words(path: &Taken) -> String {
    let way = match path.kind {
        PathKind::Loopback => "on this machine",
        PathKind::Lan => "in the local network",
        PathKind::Direct => "direct",
        PathKind::Mapped => "direct, by a forwarded port",
        PathKind::Punched => "direct, by hole punching",
        PathKind::Relay => "over the relay",
        PathKind::RelayTcp => "over the relay, by a WebSocket",
        PathKind::Unknown => "over some path",
    };
    let time = path.rtt.as_millis();
    match path.why {
        Some(why) => format!("{way}, {time} ms, because {why}"),
        None => format!("{way}, {time} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::orders::Order, *};
    use std::net::{IpAddr, Ipv4Addr};

    const PEER: PeerId = PeerId::from_bytes([7; 32]);

    fn player(name: &str) -> PlayerName {
        format!("{name} Ashe@Gilgamesh").parse().expect("a name")
    }

    const LINK: NewLink = NewLink {
        addr: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9)),
        path: PathKind::Lan,
        instance: 1,
        look: None,
    };

    fn open(desk: &mut LinkDesk, name: Option<&str>) -> Vec<String> {
        use_link(desk, name, LINK)
    }

    fn use_link(desk: &mut LinkDesk, name: Option<&str>, link: NewLink) -> Vec<String> {
        let mut orders = Orders::default();
        desk.opened(PEER, name.map(player), link, &mut orders);
        told(orders)
    }

    fn told(mut orders: Orders) -> Vec<String> {
        let word = |order| match order {
            Order::Tell(Event::PeerConnected { player, .. }) => ("connected", player),
            Order::Tell(Event::PeerLook { player, .. }) => ("look", Some(player)),
            Order::Tell(Event::PeerDisconnected { player, .. }) => ("disconnected", player),
            Order::Tell(Event::PeerSilent { player, silent, .. }) => {
                (if silent { "silent" } else { "heard" }, player)
            }
            _ => panic!("another order"),
        };
        let words = std::iter::from_fn(|| orders.pop()).map(word);
        words.map(|(word, name)| name.map_or(word.to_owned(), |name| format!("{word} {name}"))).collect()
    }

    fn lose(desk: &mut LinkDesk) -> Vec<String> {
        let mut orders = Orders::default();
        let was_open = desk.lost(PEER, "it broke".into(), &mut orders);
        let told = told(orders);
        assert_eq!(was_open, !told.is_empty());
        told
    }

    #[test]
    fn link_events_carry_the_contacts_name() {
        let mut desk = LinkDesk::default();
        assert_eq!(
            open(&mut desk, Some("Alice")),
            ["connected Alice Ashe@Gilgamesh", "look Alice Ashe@Gilgamesh"]
        );
        desk.rename(&PEER, Some(&player("Alys")));
        assert!(desk.is_open(&PEER) && desk.name_of(&PEER) == Some(&player("Alys")));
        assert_eq!(lose(&mut desk), ["disconnected Alys Ashe@Gilgamesh"]);
        assert!(!desk.is_open(&PEER) && desk.last_addr(&PEER).is_some());
        assert_eq!(lose(&mut desk), [""; 0], "the event is not repeated");
    }

    #[test]
    fn silence_is_told_once_and_ends_with_the_link() {
        let mut desk = LinkDesk::default();
        let silent = |desk: &mut LinkDesk, silent| {
            let mut orders = Orders::default();
            desk.silent(&PEER, silent, &mut orders);
            told(orders)
        };
        assert_eq!(silent(&mut desk, true), [""; 0], "there is no link");
        open(&mut desk, None);
        assert_eq!(silent(&mut desk, false), [""; 0]);
        assert_eq!((silent(&mut desk, true), silent(&mut desk, true)), (vec!["silent".into()], vec![]));
        assert_eq!(open(&mut desk, None), ["heard"], "over a second link of the same kind");
        assert_eq!(silent(&mut desk, true), ["silent"]);
        assert_eq!(lose(&mut desk), ["disconnected"]);
        assert_eq!(silent(&mut desk, false), [""; 0]);
    }

    #[test]
    fn connected_and_disconnected_alternate() {
        let mut desk = LinkDesk::default();
        open(&mut desk, None);
        assert_eq!(open(&mut desk, None), [""; 0], "a second link of the same kind");
        let restarted = NewLink { instance: 2, ..LINK };
        assert_eq!(use_link(&mut desk, None, restarted), ["disconnected", "connected"]);
        let elsewhere = NewLink { path: PathKind::Direct, ..restarted };
        assert_eq!(use_link(&mut desk, None, elsewhere), ["disconnected", "connected"]);
        let renamed = ["disconnected", "connected Alice Ashe@Gilgamesh", "look Alice Ashe@Gilgamesh"];
        assert_eq!(use_link(&mut desk, Some("Alice"), elsewhere), renamed);
        assert_eq!(open(&mut desk, Some("Alice")).len(), 3);
        assert_eq!(lose(&mut desk), ["disconnected Alice Ashe@Gilgamesh"]);
        assert_eq!(open(&mut desk, None), ["connected"]);
    }

    #[test]
    fn address_behind_a_nat_is_not_remembered() {
        let mut desk = LinkDesk::default();
        open(&mut desk, None);
        let known = desk.last_addr(&PEER);
        let (rtt, why) = (Duration::from_millis(12), Some("no UDP gets through your network"));
        desk.moved(&PEER, Some(Taken { kind: PathKind::Relay, rtt, why, lasting: None }));
        assert_eq!(desk.last_addr(&PEER), known);
        let lasting = Some(([192, 168, 1, 5], 9).into());
        let path = Taken { kind: PathKind::Lan, rtt, why: None, lasting };
        desk.moved(&PEER, Some(path));
        assert_eq!((desk.last_addr(&PEER), words(&path).as_str()), (lasting, "in the local network, 12 ms"));
        desk.moved(&PEER, None);
        assert_eq!(desk.last_addr(&PEER), lasting);
    }

    #[test]
    fn looks_of_nameless_or_unknown_peers_cause_no_event() {
        let mut desk = LinkDesk::default();
        let mut orders = Orders::default();
        desk.shows(PEER, None, &mut orders);
        assert!(orders.pop().is_none());
        assert_eq!(open(&mut desk, None), ["connected"]);
    }

    #[test]
    fn retired_peer_is_forgotten() {
        let mut desk = LinkDesk::default();
        open(&mut desk, None);
        lose(&mut desk);
        desk.retired(&PEER);
        assert!(desk.0.is_empty());
    }
}
