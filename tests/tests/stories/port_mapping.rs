//! A player behind a home router with a real `miniupnpd`: the mapping is made, kept, explained and removed.

use fyteclub_client::{MappingState, PortMapping, Status};
use fyteclub_tests::{
    Lan, Phonebook, Resident, Router, Speaks, Town, eventually,
    mods::{Mod, arrived, assert_same},
};
use std::net::SocketAddrV4;

const ROUTER: &str = "192.168.77.1";
const ALICE: &str = "192.168.77.5";
/// The router's address in the network that plays the internet.
const OUTSIDE: &str = "11.22.33.1";
const UPNP: Speaks = Speaks { upnp: true, ..Speaks::NOTHING };
const NAT_PMP: Speaks = Speaks { nat_pmp: true, ..Speaks::NOTHING };
const PCP: Speaks = Speaks { pcp: true, ..Speaks::NOTHING };

/// A home with Alice, the internet with a phone book and Bob, and the router between them.
struct Home {
    router: Router,
    alice: Resident,
    bob: Resident,
    home: Lan,
    _internet: Lan,
    _book: Phonebook,
    _town: Town,
}

impl Home {
    async fn open(speaks: Speaks) -> Option<Self> {
        Self::open_at(speaks, &format!("{OUTSIDE}/24")).await
    }

    /// With this outside address of the router.
    async fn open_at(speaks: Speaks, outside: &str) -> Option<Self> {
        let (home, internet) = (Lan::open(2, false)?, Lan::open(2, false)?);
        let town = Town::new().await;
        let inside = format!("{ROUTER}/24");
        let router = Router::open(&town, home.machine(0), &inside, &internet, outside, speaks).await?;
        home.machine(1).add(&format!("{ALICE}/24"));
        home.machine(1).route("default", ROUTER);
        // In the network of the router's outside.
        let network = outside.rsplit_once('.').expect("an address").0;
        internet.machine(0).add(&format!("{network}.10/24"));
        internet.machine(1).add(&format!("{network}.20/24"));
        let there = format!("{network}.10:3000");
        let book = Phonebook::another_at(&town, "outside", &there, Some(internet.machine(0))).await;
        let house = |player: &str| town.house(player).phonebooks(&[book.url()]).listen(None);
        let alice = house("Alice Ashe@Gilgamesh").on(home.machine(1)).maps(true, true);
        let bob = house("Bob Birch@Balmung").on(internet.machine(1));
        Some(Self { router, alice, bob, home, _internet: internet, _book: book, _town: town })
    }

    fn maps(mut self, upnp: bool, nat_pmp: bool) -> Self {
        self.alice = self.alice.maps(upnp, nat_pmp);
        self
    }

    async fn status(&self) -> Status {
        self.alice.client().status().await.expect("a status")
    }

    /// The port that Alice listens at.
    async fn port(&self) -> u16 {
        self.status().await.listen.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    async fn comes_to(&self, state: MappingState) -> PortMapping {
        eventually(&format!("the mapping is {state:?}"), async || {
            Some(self.status().await.mapping).filter(|mapping| mapping.state == state)
        })
        .await
    }

    /// Waits until the router forwards Alice's port, and nothing else.
    async fn is_forwarded(&self) -> u16 {
        let port = self.port().await;
        let expected = [(port, SocketAddrV4::new(ALICE.parse().expect("an address"), port))];
        eventually("the router forwards her port alone", async || {
            (self.router.forwards() == expected).then_some(())
        })
        .await;
        port
    }
}

async fn maps_alone(speaks: Speaks, protocol: &str) {
    let Some(mut town) = Home::open(speaks).await else { return };
    town.alice.start().await;
    let mapping = town.comes_to(MappingState::Mapped).await;
    let port = town.is_forwarded().await;
    assert_eq!(mapping.protocol.as_deref(), Some(protocol), "{mapping:?}");
    assert_eq!(mapping.outside, Some(format!("{OUTSIDE}:{port}")), "the outside port is her own");
    assert!(mapping.lease_seconds.is_some_and(|lease| (3500..=3600).contains(&lease)), "{mapping:?}");
    assert!(!mapping.proven && mapping.words.contains("not proven"), "{mapping:?}");
    let journal = town.alice.data().join("mappings.json");
    assert!(journal.exists());

    town.alice.client().shutdown().await.expect("asked to stop");
    let (status, _) = town.alice.process().ended().await;
    assert!(status.success());
    assert_eq!(town.router.forwards(), [], "it is removed at a clean stop");
    assert!(!journal.exists());
}

#[tokio::test]
async fn upnp_alone_maps_the_port() {
    maps_alone(UPNP, "UPnP").await;
}

#[tokio::test]
async fn nat_pmp_alone_maps_the_port() {
    maps_alone(NAT_PMP, "NAT-PMP").await;
}

#[tokio::test]
async fn pcp_alone_maps_the_port() {
    maps_alone(PCP, "PCP").await;
}

#[tokio::test]
async fn router_that_restarts_is_asked_again() {
    let Some(mut town) = Home::open(Speaks::ALL).await else { return };
    town.alice.start().await;
    town.comes_to(MappingState::Mapped).await;
    town.is_forwarded().await;
    town.router.restart().await;
    town.is_forwarded().await;
    let counts = town.status().await.mapping.counts;
    assert!(counts.announcements > 0, "the router announced its start: {counts:?}");
}

async fn is_behind_another(speaks: Speaks) {
    let Some(mut town) = Home::open_at(speaks, "10.9.0.2/24").await else { return };
    town.alice.start().await;
    let mapping = town.comes_to(MappingState::None).await;
    let cause = mapping.cause.as_deref().expect("a cause");
    assert!(cause.contains("another router before your router"), "{mapping:?}");
    assert!(mapping.hint.is_some_and(|hint| hint.contains("bridge mode")), "{cause}");
    assert_eq!(mapping.outside, None);
}

#[tokio::test]
async fn another_router_is_told_by_upnp() {
    is_behind_another(UPNP).await;
}

#[tokio::test]
async fn another_router_is_told_by_nat_pmp() {
    is_behind_another(NAT_PMP).await;
}

#[tokio::test]
async fn another_router_is_told_by_pcp() {
    is_behind_another(PCP).await;
}

#[tokio::test]
async fn router_without_a_protocol_gets_a_hint() {
    let Some(mut town) = Home::open(Speaks::NOTHING).await else { return };
    town.alice.start().await;
    let mapping = town.comes_to(MappingState::None).await;
    let port = town.port().await;
    let hint = mapping.hint.expect("a hint");
    assert!(hint.contains(&format!("UDP port {port} to {ALICE}")), "{hint}");
}

/// To the router, to port 5351, to all UPnP devices, to all hosts.
const COUNTED: [&str; 4] =
    ["ip daddr 192.168.77.1", "udp dport 5351", "ip daddr 239.255.255.250", "ip daddr 224.0.0.0/24"];

#[tokio::test]
async fn switched_off_no_packet_leaves() {
    let Some(town) = Home::open(Speaks::ALL).await else { return };
    let mut town = town.maps(false, false);
    town.home.machine(1).count_to(&COUNTED);
    town.alice.start().await;
    assert_eq!(town.comes_to(MappingState::Off).await.words, "off");
    town.alice.client().shutdown().await.expect("asked to stop");
    town.alice.process().ended().await;
    assert_eq!(town.home.machine(1).counts(), [0; 4]);

    // UPnP alone, then NAT-PMP and PCP alone.
    let mut town = town.maps(true, false);
    town.alice.start().await;
    assert_eq!(town.comes_to(MappingState::Mapped).await.protocol.as_deref(), Some("UPnP"));
    town.alice.client().shutdown().await.expect("asked to stop");
    town.alice.process().ended().await;
    let counts = town.home.machine(1).counts();
    assert!(counts[0] > 0 && counts[2] > 0, "{counts:?}");
    assert_eq!(counts[1], 0, "{counts:?}");

    let mut town = town.maps(false, true);
    town.alice.start().await;
    assert_eq!(town.comes_to(MappingState::Mapped).await.protocol.as_deref(), Some("PCP"));
    town.alice.client().shutdown().await.expect("asked to stop");
    town.alice.process().ended().await;
    let after = town.home.machine(1).counts();
    assert!(after[1] > 0 && after[2] == counts[2], "{counts:?} {after:?}");
}

#[tokio::test]
async fn mapping_of_a_killed_daemon_is_removed() {
    let Some(mut town) = Home::open(Speaks::ALL).await else { return };
    town.alice.start().await;
    let before = town.is_forwarded().await;
    town.alice.kill();
    assert_eq!(town.router.forwards().len(), 1, "nobody removed it");
    // At another port.
    town.alice.start().await;
    assert_ne!(town.is_forwarded().await, before);
}

#[tokio::test]
async fn player_behind_a_router_is_reached_from_outside() {
    let Some(mut town) = Home::open(Speaks::ALL).await else { return };
    town.alice.start().await;
    town.bob.start().await;
    town.alice.befriend(&town.bob).await;
    let look = Mod::of_noise(town.alice.data().join("../mod"), 1, 3, 100_000).write();
    town.alice.publish(&look.folder).await;
    town.comes_to(MappingState::Mapped).await;
    assert_same(&arrived(&town.bob.fetch(&town.alice.player).await), &look.content);
    eventually("Bob's probes have proven the mapping", async || {
        town.status().await.mapping.proven.then_some(())
    })
    .await;
}
