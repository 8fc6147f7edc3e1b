//! Each cause by itself, then several together.

use super::*;
use crate::{
    id::PeerId,
    local::reply::{
        CacheStats, Contact, NatKind, NetworkStatus, PathKind, PeerState, PeerStatus, PhonebookStatus,
        PortMapping, Standing as Consent, Status,
    },
    reaching::{
        mapping::{By, Cause, Standing},
        traversal::{Means, RelayUse, UNTOLD},
    },
};
use FindingCode::*;
use Severity::*;
use Sureness::*;
use std::net::{IpAddr, Ipv4Addr};

const ALICE: &str = "Alice Ashe@Gilgamesh";

/// A machine at home, of which everything is well.
struct World {
    status: Status,
    mapping: Option<Standing>,
    own: Vec<IpAddr>,
    facing: Option<Ipv4Addr>,
    router: Option<Ipv4Addr>,
    tunnel: Option<&'static str>,
    clocks: Vec<i64>,
    consent: Option<Consent>,
    offline: bool,
    means: Means,
    stun: bool,
    /// What is set for her.
    relay: Option<RelayUse>,
    about_alice: bool,
}

fn mapped(outside: &str) -> Option<Standing> {
    let outside = outside.parse().expect("an address");
    Some(Standing::Mapped { outside, by: By::Pcp, seconds: Some(3600), proven: false })
}

fn book() -> PhonebookStatus {
    let url = "http://books.example:3000".to_owned();
    PhonebookStatus { url, ok: true, live: true, last_answer: Some(1), error: None }
}

fn alice(state: PeerState, path: Option<PathKind>, cause: Option<&str>) -> PeerStatus {
    let (player, cause) = (ALICE.parse().ok(), cause.map(str::to_owned));
    PeerStatus {
        player,
        peer_id: PeerId::from_bytes([1; 32]),
        state,
        path,
        rtt_ms: None,
        cause,
        why_relayed: None,
        paths: Vec::new(),
    }
}

fn well() -> World {
    let network = NetworkStatus {
        nat: NatKind::Same,
        address: "198.51.100.7:41234".parse().ok(),
        meaning: String::new(),
    };
    World {
        status: Status {
            appearance_trouble: None,
            version: "0.1.0".into(),
            peer_id: PeerId::from_bytes([2; 32]),
            player: "Bob Birch@Balmung".parse().ok(),
            listen: "[::]:41234".into(),
            port_mapping: String::new(),
            mapping: PortMapping::default(),
            network,
            phonebooks: vec![book()],
            appearance: None,
            peers: Vec::new(),
            transfers: Vec::new(),
            cache: CacheStats::default(),
            seq: 0,
            ledger: Default::default(),
        },
        mapping: mapped("198.51.100.7:41234"),
        own: vec![[192, 168, 1, 20].into()],
        facing: Some([192, 168, 1, 20].into()),
        router: None,
        tunnel: None,
        clocks: vec![2],
        consent: Some(Consent::Paired),
        offline: false,
        means: Means { punching: true, relay: RelayUse::On },
        stun: true,
        relay: None,
        about_alice: false,
    }
}

impl World {
    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut world = well();
        change(&mut world);
        world
    }

    /// About Alice, whose link is this.
    fn alice(change: impl FnOnce(&mut Self), link: Option<PeerStatus>) -> Self {
        let mut world = Self::with(change);
        (world.about_alice, world.status.peers) = (true, link.into_iter().collect());
        world
    }

    fn findings(&self) -> Vec<Finding> {
        let contact = self.consent.map(|standing| Contact {
            player: ALICE.parse().ok(),
            peer_id: Some(PeerId::from_bytes([1; 32])),
            standing,
            since: 0,
            online: false,
            known_key: None,
            looks_like: None,
            mixed_scripts: false,
            rivals: Vec::new(),
            relay: self.relay,
        });
        let peer = self.about_alice.then(|| PeerFacts {
            who: ALICE,
            contact: contact.as_ref(),
            link: self.status.peers.first(),
            means: self.means.toward(self.relay),
            is_offline: self.offline,
        });
        diagnose(&Facts {
            status: &self.status,
            mapping: self.mapping,
            own: &self.own,
            facing: self.facing,
            router: self.router,
            tunnel: self.tunnel,
            clocks: &self.clocks,
            means: self.means,
            stun: self.stun,
            peer,
        })
    }

    fn codes(&self) -> Vec<FindingCode> {
        self.findings().iter().map(|finding| finding.code).collect()
    }
}

fn symmetric(world: &mut World) {
    (world.status.network.nat, world.mapping) = (NatKind::PerDestination, None);
}

fn first_book(world: &mut World, ok: bool, live: bool, error: &str) {
    let error = (!error.is_empty()).then(|| error.to_owned());
    world.status.phonebooks[0] = PhonebookStatus { ok, live, error, ..book() };
}

#[test]
fn well_machine_has_one_finding() {
    let found = well().findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code, found[0].severity, &found[0].help), (NothingFound, Note, &None));
}

#[test]
fn each_cause_has_its_sentence() {
    type Row = (World, FindingCode, Severity, Sureness, &'static str);
    let without = |cause| World::with(|world| world.mapping = Some(Standing::Without(cause)));
    let blocked = |relay| {
        World::with(|world| (world.status.network.nat, world.means.relay) = (NatKind::Blocked, relay))
    };
    let rows: Vec<Row> = vec![
        (World::with(|w| w.status.phonebooks.clear()), NoPhoneBook, Blocks, Certain, "no phone book"),
        (
            World::with(|w| first_book(w, false, false, "refused")),
            PhoneBookSilent,
            Blocks,
            Certain,
            "books.example:3000 cannot be used: refused",
        ),
        (
            World::with(|w| first_book(w, false, true, "taken")),
            PhoneBookRefuses,
            Hinders,
            Certain,
            "does not register this player's name: taken",
        ),
        (
            World::with(|w| first_book(w, true, false, "cut")),
            PhoneBookNotLive,
            Blocks,
            Certain,
            "introduces nobody: cut",
        ),
        (World::with(|w| w.status.player = None), NoPlayerName, Hinders, Certain, "no player name"),
        (World::with(|w| w.clocks = vec![-400]), ClockOff, Hinders, Likely, "clock is 6 min behind"),
        (
            World::with(|w| w.status.listen = "127.0.0.1:5".into()),
            ThisMachineOnly,
            Blocks,
            Certain,
            "listens at 127.0.0.1:5",
        ),
        (World::with(|w| w.own.clear()), NoNetwork, Blocks, Certain, "no address in any network"),
        (
            World::with(|w| w.status.network.nat = NatKind::Blocked),
            UdpBlocked,
            Hinders,
            Likely,
            "no UDP comes back",
        ),
        (blocked(RelayUse::Off), UdpBlocked, Blocks, Likely, "no UDP comes back"),
        (blocked(RelayUse::Off), RelayOff, Hinders, Certain, "relays are switched off"),
        (
            World::with(|w| (w.means.punching, w.mapping) = (false, None)),
            PunchingOff,
            Hinders,
            Certain,
            "hole punching is switched off",
        ),
        (World::with(symmetric), PortPerPlayer, Hinders, Certain, "another outside port for each player"),
        (without(Cause::AnotherRouter), AnotherRouter, Note, Certain, "another router before your router"),
        (
            World::with(|w| w.mapping = mapped("10.0.0.2:41234")),
            AnotherRouter,
            Note,
            Certain,
            "10.0.0.2 is a private one",
        ),
        (
            World::with(|w| w.mapping = mapped("203.0.113.9:41234")),
            AnotherRouter,
            Note,
            Likely,
            "the phone book sees 198.51.100.7",
        ),
        (
            World::with(|w| (w.mapping, w.facing) = (None, Some([100, 70, 1, 2].into()))),
            AnotherRouter,
            Note,
            Likely,
            "100.70.1.2 is a carrier NAT's",
        ),
        (without(Cause::NoRouter), MappingNotFound, Note, Possible, "no router here answers"),
        (without(Cause::Forbidden), MappingRefused, Note, Possible, "lets nobody open ports"),
        (without(Cause::LowPort), MappingRefused, Note, Possible, "from 1024 on"),
        (World::with(|w| w.mapping = None), MappingOff, Note, Possible, "are switched off"),
        (
            World::with(|w| {
                w.own.push("2600::7".parse().expect("an address"));
                w.status.listen = "0.0.0.0:5".into();
            }),
            Ipv6NotListening,
            Note,
            Certain,
            "listens for IPv4 only",
        ),
        (World::with(|w| w.tunnel = Some("wg0")), Vpn, Note, Likely, "the tunnel wg0"),
        (
            World::with(|w| w.status.peers = vec![alice(PeerState::Disconnected, None, Some("no answer"))]),
            Firewall,
            Hinders,
            Possible,
            "a firewall on this machine",
        ),
    ];
    for (world, code, severity, sure, says) in rows {
        let found = world.findings();
        let Some(only) = found.iter().find(|finding| finding.code == code) else {
            panic!("{code:?}: {found:?}")
        };
        let mut others = found.iter().filter(|finding| finding.code != code);
        let follow = [UdpBlocked, MappingOff, RelayOff, Ipv6Absent];
        assert!(others.all(|finding| follow.contains(&finding.code)), "{code:?}: {found:?}");
        assert_eq!((only.code, only.severity, only.sure), (code, severity, sure), "{only:?}");
        assert!(only.sentence.contains(says), "{only:?}");
        // Only the phone book knows what helps against its refusal, and its text says it.
        assert_eq!(only.help.is_none(), code == PhoneBookRefuses, "{only:?}");
    }
}

#[test]
fn player_in_question_has_a_sentence() {
    use PeerState::*;
    let with = |consent| World::alice(move |world| world.consent = consent, None);
    let at = |state, path, cause| World::alice(|_| {}, Some(alice(state, path, cause)));
    let up = |path| Some(alice(Connected, Some(path), None));
    let only = |world: &mut World| world.means.relay = RelayUse::Only;
    let mut hiding = alice(Connected, Some(PathKind::Relay), None);
    hiding.why_relayed = Some(UNTOLD.to_owned());
    let untold = World::alice(symmetric, Some(hiding));
    assert_eq!(untold.codes(), [PeerRelayed], "this machine's router does not matter");
    let gone = || Some(alice(Disconnected, None, Some("they are not online")));
    for (world, code, severity, says) in [
        (with(None), PeerUnknown, Blocks, "is no contact of yours"),
        (with(Some(Consent::Requested)), PeerRequested, Blocks, "has not answered"),
        (with(Some(Consent::Asking)), PeerAsking, Blocks, "waits for your answer"),
        (with(Some(Consent::Blocked)), PeerBlocked, Blocks, "is blocked by you"),
        (with(Some(Consent::Paired)), PeerNotTried, Note, "was not dialled"),
        (
            at(Disconnected, None, Some("no path worked")),
            PeerNotReached,
            Blocks,
            "not connected: no path worked",
        ),
        (World::alice(|w| w.offline = true, gone()), PeerOffline, Blocks, "is not online"),
        (at(Reconnecting, None, Some("timed out")), PeerConnecting, Note, "before that: timed out"),
        (at(FailingOver, None, None), PeerNotReached, Blocks, "no path to Alice Ashe@Gilgamesh works"),
        (at(Connected, Some(PathKind::Lan), None), PeerConnected, Note, "in the local network"),
        (at(Connected, Some(PathKind::Punched), None), PeerConnected, Note, "by hole punching"),
        (at(Connected, Some(PathKind::Relay), None), PeerRelayed, Note, "a relay: no direct way"),
        (
            at(Connected, Some(PathKind::RelayTcp), None),
            PeerRelayed,
            Note,
            "over TCP: neither a direct way nor UDP",
        ),
        (World::alice(only, up(PathKind::Relay)), PeerRelayed, Note, "relay = \"only\" asks"),
        (untold, PeerRelayed, Note, "they tell no address to try"),
        (
            World::alice(|w| w.relay = Some(RelayUse::Only), up(PathKind::Relay)),
            PeerRelayed,
            Note,
            "`contacts set` allows only relays",
        ),
    ] {
        let found = world.findings();
        let about = found.iter().find(|finding| finding.code == code);
        let about = about.unwrap_or_else(|| panic!("{code:?}: {found:?}"));
        assert_eq!(about.severity, severity, "{about:?}");
        assert!(about.sentence.contains(says) && about.sentence.contains(ALICE), "{about:?}");
        assert!(!found.iter().any(|finding| finding.code == NothingFound), "{found:?}");
    }
}

#[test]
fn network_of_a_connected_player_is_no_matter() {
    let trouble = |world: &mut World| {
        symmetric(world);
        first_book(world, false, false, "refused");
    };
    let up = alice(PeerState::Connected, Some(PathKind::Direct), None);
    assert_eq!(World::alice(trouble, Some(up)).codes(), [PeerConnected]);
    let relayed = alice(PeerState::Connected, Some(PathKind::Relay), None);
    assert_eq!(
        World::alice(symmetric, Some(relayed)).codes(),
        [PortPerPlayer, MappingOff, PeerRelayed, Ipv6Absent]
    );
    let blocked = |world: &mut World| {
        trouble(world);
        world.consent = Some(Consent::Blocked);
    };
    assert_eq!(World::alice(blocked, None).codes(), [PeerBlocked]);
    let lost = alice(PeerState::Disconnected, None, Some("no answer"));
    let found = World::alice(trouble, Some(lost)).codes();
    assert_eq!(found[..2], [PeerNotReached, PhoneBookSilent], "{found:?}");
}

#[test]
fn worst_and_surest_come_first() {
    let world = World::with(|world| {
        symmetric(world);
        world.status.player = None;
        world.clocks = vec![90_000];
        world.tunnel = Some("tun0");
        first_book(world, false, false, "refused");
        world.status.peers = vec![alice(PeerState::Disconnected, None, Some("no answer"))];
    });
    let found = world.findings();
    let codes = world.codes();
    let expected = [PhoneBookSilent, NoPlayerName, PortPerPlayer, MappingOff, ClockOff, Vpn, Ipv6Absent];
    assert_eq!(codes, expected, "{found:?}");
    let ranks: Vec<_> = found.iter().map(|finding| (finding.severity, finding.sure)).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
}

#[test]
fn help_has_this_machines_own_numbers_once() {
    let found = World::with(symmetric).findings();
    let helps: Vec<&str> = found.iter().filter_map(|finding| finding.help.as_deref()).collect();
    let by_hand = helps.iter().filter(|help| help.contains("forward UDP port 41234 to 192.168.1.20")).count();
    assert_eq!(by_hand, 1, "{found:?}");
    // A port of the inner router leads nowhere.
    let found = World::with(|world| {
        symmetric(world);
        world.mapping = Some(Standing::Without(Cause::AnotherRouter));
    });
    let found = found.findings();
    assert!(
        found.iter().any(|finding| finding.code == AnotherRouter && finding.severity == Hinders),
        "{found:?}"
    );
    assert!(
        !found.iter().filter_map(|finding| finding.help.as_ref()).any(|help| help.contains("forward UDP")),
        "{found:?}"
    );
}

#[test]
fn mapped_port_cures_a_symmetric_nat() {
    let world = World::with(|world| world.status.network.nat = NatKind::PerDestination);
    assert_eq!(world.codes(), [NothingFound]);
}

#[test]
fn ipv6_is_named_where_ipv4_is_hindered() {
    let world = World::with(|world| {
        symmetric(world);
        world.own.push("2600::7".parse().expect("an address"));
    });
    assert!(world.codes().contains(&Ipv6Present), "{:?}", world.codes());
    assert!(World::with(symmetric).codes().contains(&Ipv6Absent));
}

#[test]
fn udp_that_reaches_players_is_not_blocked() {
    let world = World::with(|world| {
        world.status.network.nat = NatKind::Blocked;
        world.status.peers = vec![alice(PeerState::Connected, Some(PathKind::Direct), None)];
    });
    let found = world.findings();
    assert_eq!((found[0].code, found[0].severity), (UdpBlocked, Note), "{found:?}");
}

#[test]
fn one_working_phone_book_is_enough_for_some() {
    let world = World::with(|world| {
        world.status.phonebooks.push(book());
        first_book(world, false, false, "refused");
    });
    let found = world.findings();
    assert_eq!((found[0].code, found[0].severity), (PhoneBookSilent, Hinders), "{found:?}");
    // Two phone books that disagree do not show whose clock is wrong.
    assert_eq!(World::with(|world| world.clocks = vec![4000, 1]).codes(), [NothingFound]);
}

#[test]
fn all_on_one_machine_is_meant() {
    let world = World::with(|world| {
        world.status.listen = "127.0.0.1:5".into();
        world.status.phonebooks[0].url = "http://127.0.0.1:3000".into();
    });
    let found = world.findings();
    assert_eq!((found[0].code, found[0].severity), (ThisMachineOnly, Note), "{found:?}");
}

#[test]
fn stun_that_is_off_hinders_who_punches_holes() {
    let off = |world: &mut World| (world.stun, world.mapping) = (false, None);
    assert!(World::with(off).codes().contains(&StunOff));
    assert!(!World::with(|world| world.mapping = None).codes().contains(&StunOff));
    assert!(!World::with(|world| world.stun = false).codes().contains(&StunOff), "a port is mapped");
    let only = |world: &mut World| {
        off(world);
        world.means.relay = RelayUse::Only;
    };
    assert!(!World::with(only).codes().contains(&StunOff));
}

#[test]
fn port_is_forwarded_by_hand_with_own_numbers() {
    let world = World::with(|world| {
        symmetric(world);
        world.router = Some(Ipv4Addr::new(192, 168, 1, 1));
    });
    let found = world.findings();
    let help = found.iter().find(|one| one.code == PortPerPlayer).and_then(|one| one.help.as_deref());
    let help = help.expect("help");
    for part in ["(http://192.168.1.1)", "forward UDP port 41234 to 192.168.1.20", "--listen [::]:41234"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}
