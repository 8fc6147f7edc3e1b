//! This machine's outside address: the daemon asks the phone book's STUN server for it, unless that is switched off.

use fyteclub_client::NatKind;
use fyteclub_tests::{Phonebook, Town, eventually};
use std::{net::UdpSocket, time::Duration};

#[tokio::test]
async fn status_names_the_outside_address() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    eventually("the phone book's STUN server answers", async || {
        let status = alice.client().status().await.expect("a status");
        let seen = status.network;
        (seen.nat == NatKind::Open
            && seen.address.is_some_and(|addr| status.listen.ends_with(&format!(":{}", addr.port()))))
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn other_stun_servers_are_asked() {
    let town = Town::new().await;
    let book = Phonebook::another_with(&town, "without", &["--stun", "off"]).await;
    let server = Phonebook::another(&town, "stun").await;
    let stun = format!("stun = [\"localhost.invalid:1\", \"{}\"]", server.addr());
    let mut alice = town.house("Alice Ashe@Gilgamesh").phonebooks(&[book.url()]).config(&stun);
    alice.start().await;
    eventually("the other STUN server answers", async || {
        let seen = alice.client().status().await.expect("a status").network;
        (seen.nat == NatKind::Open && seen.address.is_some()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn switched_off_no_stun_request_leaves() {
    let town = Town::new().await;
    let server = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    server.set_read_timeout(Some(Duration::from_secs(30))).expect("a deadline");
    let at = server.local_addr().expect("bound").to_string();
    let book = Phonebook::another_with(&town, "elsewhere", &["--udp-address", &at]).await;
    let house = |player: &str| town.house(player).phonebooks(&[book.url()]);
    let mut silent = house("Alice Ashe@Gilgamesh").config("stun = false");
    let mut asking = house("Bob Birch@Balmung");
    silent.start().await;
    silent.is_introduced().await;
    asking.start().await;
    let port = async |resident: &fyteclub_tests::Resident| {
        let listen = resident.client().status().await.expect("a status").listen;
        listen.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).expect("a port")
    };
    let (silent_port, asking_port) = (port(&silent).await, port(&asking).await);
    let mut buffer = [0; 2048];
    let (_, from) = server.recv_from(&mut buffer).expect("a request in time");
    assert_eq!(from.port(), asking_port);
    assert_ne!(silent_port, asking_port);
    let meaning = silent.client().status().await.expect("a status").network.meaning;
    assert_eq!(meaning, "STUN is switched off");
}
