//! IPv4 and IPv6: a daemon listens on both by default, and no address without a listener is given out.

use fyteclub_tests::{
    Lan, Phonebook, Resident, Town, eventually,
    mods::{Mod, arrived, assert_same},
};

/// A look is fetched between these two, introduced by a phone book.
async fn meet(town: &Town, alice: &mut Resident, bob: &mut Resident) {
    tokio::join!(alice.start(), bob.start());
    alice.befriend(bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    alice.publish(&look.folder).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}

/// A daemon with only this phone book, listening there.
fn house(town: &Town, book: &Phonebook, player: &str, listen: Option<&str>) -> Resident {
    town.house(player).phonebooks(&[book.url()]).listen(listen)
}

#[tokio::test]
async fn met_over_ipv6_a_default_daemon_is_reachable() {
    let town = Town::new().await;
    let book = Phonebook::another_at(&town, "six", "[::1]:0", None).await;
    let mut alice = house(&town, &book, "Alice Ashe@Gilgamesh", None);
    let mut bob = house(&town, &book, "Bob Birch@Balmung", None);
    meet(&town, &mut alice, &mut bob).await;
}

#[tokio::test]
async fn met_over_ipv6_an_ipv4_daemon_is_reachable_in_ipv4() {
    let town = Town::new().await;
    let book = Phonebook::another_at(&town, "six", "[::1]:0", None).await;
    let mut alice = house(&town, &book, "Alice Ashe@Gilgamesh", Some("127.0.0.1:0"));
    let mut bob = house(&town, &book, "Bob Birch@Balmung", Some("[::]:0"));
    meet(&town, &mut alice, &mut bob).await;
}

#[tokio::test]
async fn an_ipv4_daemon_dials_no_ipv6_address() {
    let town = Town::new().await;
    let book = Phonebook::another_at(&town, "six", "[::1]:0", None).await;
    let mut alice = house(&town, &book, "Alice Ashe@Gilgamesh", Some("[::]:0"));
    let mut bob = house(&town, &book, "Bob Birch@Balmung", Some("127.0.0.1:0"));
    meet(&town, &mut alice, &mut bob).await;
}

#[tokio::test]
async fn unbound_address_family_is_not_listed() {
    let town = Town::new().await;
    let book = Phonebook::another_at(&town, "six", "[::1]:0", None).await;
    let listed = |player, listen| house(&town, &book, player, Some(listen)).config("visibility = \"listed\"");
    let mut alice = listed("Alice Ashe@Gilgamesh", "127.0.0.1:0");
    let mut carol = listed("Carol Cole@Cactuar", "[::]:0");
    tokio::join!(alice.start(), carol.start());
    let address = async |player: &str| {
        let (status, body) = book.get(&format!("/api/lookup/{player}")).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        (status, body["ip"].as_str().map(str::to_owned))
    };
    eventually("Carol is listed", async || {
        (address("Carol Cole@Cactuar").await == (200, Some("::1".into()))).then_some(())
    })
    .await;
    // Contacts are introduced to her; a stranger gets the answer for an unknown name.
    eventually("Alice is not listed where nobody answers", async || {
        (address("Alice Ashe@Gilgamesh").await == (404, None)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_ipv6_default_daemons_meet_in_ipv4() {
    let Some(lan) = Lan::open(3, false) else { return };
    for (n, address) in ["10.77.0.1/24", "10.77.0.2/24", "10.77.0.3/24"].iter().enumerate() {
        lan.machine(n).add(address);
    }
    let town = Town::new().await;
    let book = Phonebook::another_at(&town, "four", "10.77.0.1:3000", Some(lan.machine(0))).await;
    let mut alice = house(&town, &book, "Alice Ashe@Gilgamesh", None).on(lan.machine(1));
    let mut bob = house(&town, &book, "Bob Birch@Balmung", None).on(lan.machine(2));
    meet(&town, &mut alice, &mut bob).await;
}

#[tokio::test]
async fn where_only_ipv6_leads_it_is_offered_as_well() {
    // The phone book is reached over IPv4, in a network of its own; between the two there is only IPv6.
    let Some(lan) = Lan::open(3, true) else { return };
    lan.machine(0).add("10.77.0.1/24");
    for (n, four, six) in [(1, "10.77.0.2/24", "fd77::2/64"), (2, "10.77.0.3/24", "fd77::3/64")] {
        lan.machine(n).add(four);
        lan.machine(n).add(six);
    }
    lan.machine(1).blocks("10.77.0.3");
    lan.machine(2).blocks("10.77.0.2");
    let town = Town::new().await;
    let book = Phonebook::another_at(&town, "four", "10.77.0.1:3000", Some(lan.machine(0))).await;
    let mut alice = house(&town, &book, "Alice Ashe@Gilgamesh", None).on(lan.machine(1));
    let mut bob = house(&town, &book, "Bob Birch@Balmung", None).on(lan.machine(2));
    meet(&town, &mut alice, &mut bob).await;
}
