//! Players in one local network, without a phone book: found by mDNS, or dialled by hand.

use fyteclub_client::{FaultCode, PathKind, PeerId, RelayUse};
use fyteclub_tests::{
    Lan, Resident, Town, eventually, fault,
    mods::{Content, Mod, arrived, assert_same},
};

const ALICE: &str = "10.77.0.2";
const BOB: &str = "10.77.0.3";

/// A network of two machines, and the players on them, who are not started.
struct Home {
    lan: Lan,
    town: Town,
    alice: Resident,
    bob: Resident,
}

impl Home {
    async fn open() -> Option<Self> {
        let lan = Lan::open(2, true)?;
        for (n, address) in [ALICE, BOB].into_iter().enumerate() {
            lan.machine(n).add(&format!("{address}/24"));
            // A default route, which multicast has in homes.
            lan.machine(n).route("default", "10.77.0.1");
        }
        let town = Town::new().await;
        let house = |player: &str, n: usize| {
            town.house(player).phonebooks(&[]).listen(None).on(lan.machine(n)).looks_around()
        };
        let (alice, bob) = (house("Alice Ashe@Gilgamesh", 0), house("Bob Birch@Balmung", 1));
        Some(Self { lan, town, alice, bob })
    }

    /// Both start, and are contacts; Alice publishes.
    async fn begin(&mut self) -> Content {
        tokio::join!(self.alice.start_unfound(), self.bob.start_unfound());
        let look = Mod::of_noise(self.town.path("mod"), 1, 3, 100_000).write();
        self.alice.publish(&look.folder).await;
        self.alice.befriend(&self.bob).await;
        look.content
    }

    async fn path(&self) -> Option<PathKind> {
        let peers = self.bob.client().peer_list().await.expect("a list");
        peers.iter().find(|peer| peer.peer_id == self.alice.peer_id()).and_then(|peer| peer.path)
    }
}

#[tokio::test]
async fn contacts_in_one_network_need_no_phone_book() {
    let Some(mut home) = Home::open().await else { return };
    let content = home.begin().await;
    let fetched = home.bob.fetch(&home.alice.player).await;
    assert_same(&arrived(&fetched), &content);
    assert_eq!(home.path().await, Some(PathKind::Lan));
}

#[tokio::test]
async fn switched_off_nothing_is_sent_to_the_network() {
    let Some(home) = Home::open().await else { return };
    let Home { lan, town, alice, bob } = home;
    let mut home = Home {
        lan,
        town,
        alice: alice.config("lan = false").env("FYTECLUB_LAN", ""),
        bob: bob.config("relay = \"only\""),
    };
    for n in 0..2 {
        home.lan.machine(n).count_to(&["udp dport 5353", "ip daddr 224.0.0.0/4", "ip6 daddr ff02::fb"]);
    }
    home.begin().await;
    let refused = fault(home.bob.try_fetch(&home.alice.player, None).await);
    assert_eq!(refused.code, FaultCode::BadRequest, "{refused:?}");
    for n in 0..2 {
        assert_eq!(home.lan.machine(n).counts(), [0, 0, 0]);
    }
}

#[tokio::test]
async fn nothing_is_announced_while_one_is_hidden_from() {
    let Some(mut home) = Home::open().await else { return };
    let content = home.begin().await;
    assert_same(&arrived(&home.bob.fetch(&home.alice.player).await), &content);
    let set = async |home: &Home, relay| {
        home.alice.client().contacts_set_relay(home.bob.player.clone(), relay).await.expect("set")
    };
    set(&home, RelayUse::Only).await;
    home.alice.kill();
    home.lan.machine(0).count_to(&["udp dport 5353", "ip daddr 224.0.0.0/4", "ip6 daddr ff02::fb"]);
    home.alice.start_unfound().await;
    let refused = fault(home.alice.try_fetch(&home.bob.player, None).await);
    assert_eq!(refused.code, FaultCode::BadRequest, "{refused:?}");
    assert_eq!(home.lan.machine(0).counts(), [0, 0, 0]);
    set(&home, RelayUse::On).await;
    eventually("they find each other again", async || {
        home.bob.try_fetch(&home.alice.player, None).await.ok()?;
        home.path().await.filter(|path| *path == PathKind::Lan)
    })
    .await;
    assert!(home.lan.machine(0).counts()[0] > 0, "the counters count");
}

#[tokio::test]
async fn contact_is_dialled_by_hand() {
    let Some(home) = Home::open().await else { return };
    let Home { lan, town, alice, bob } = home;
    let mut home =
        Home { lan, town, alice: alice.env("FYTECLUB_LAN", false), bob: bob.env("FYTECLUB_LAN", false) };
    let content = home.begin().await;
    let listen = home.alice.client().status().await.expect("a status").listen;
    let port = listen.rsplit(':').next().expect("a port");
    let at = format!("{ALICE}:{port}").parse().expect("an address");
    let bob = home.bob.client();

    let stranger = fault(bob.peer_connect(&PeerId::from_bytes([7; 32]), at).await);
    assert_eq!(stranger.code, FaultCode::NotAContact);
    assert!(stranger.message.contains("contacts add"), "{stranger:?}");
    let nobody = format!("{BOB}:9").parse().expect("an address");
    let silent = fault(bob.peer_connect(&home.alice.peer_id(), nobody).await);
    assert_eq!(silent.code, FaultCode::PeerUnreachable);
    assert!(silent.message.contains("nothing answers"), "{silent:?}");

    let peer = bob.peer_connect(&home.alice.peer_id(), at).await.expect("connected");
    assert_eq!((peer.path, peer.player.as_ref()), (Some(PathKind::Lan), Some(&home.alice.player)));
    assert_same(&arrived(&home.bob.fetch(&home.alice.player).await), &content);
}

#[tokio::test]
async fn contact_that_moves_is_found_again() {
    let Some(mut home) = Home::open().await else { return };
    let content = home.begin().await;
    home.bob.fetch(&home.alice.player).await;
    home.alice.kill();
    home.lan.machine(0).moves(&format!("{ALICE}/24"), "10.77.0.9/24");
    home.alice.start_unfound().await;
    eventually("the look is fetched at the new address", async || {
        let fetched = home.bob.try_fetch(&home.alice.player, None).await.ok()?;
        assert_same(&arrived(&fetched), &content);
        home.path().await.filter(|path| *path == PathKind::Lan)
    })
    .await;
}
