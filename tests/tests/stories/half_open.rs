//! A stranger begins hundreds of handshakes, proves its address and then stays silent: contacts can still connect.

use fyteclub_tests::{Town, eventually, flood::HalfOpen, hostile::Hostile};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

#[tokio::test]
async fn half_open_handshakes_keep_no_contact_out() {
    let town = Town::alone().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let to: SocketAddr = alice.client().status().await.expect("a status").listen.parse().expect("an address");
    let friend = Hostile::new("Bob Birch@Balmung", 7);
    alice.takes_for_a_friend(&friend).await;
    let comes_in = async |n: usize| {
        let line = friend.try_dial(to, alice.peer_id()).await;
        line.unwrap_or_else(|| panic!("dial {n} came in")).greet(friend.greeting(None)).await;
    };
    // As contacts did before: their address is known.
    comes_in(0).await;
    for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)] {
        let mut stranger = HalfOpen::new(IpAddr::V4(address), to, alice.peer_id());
        // More than there are places.
        stranger.begin(400);
        eventually("most had to prove their address", async || (stranger.retries() >= 300).then_some(()))
            .await;
        for n in 1..=10 {
            stranger.begin(40);
            comes_in(n).await;
        }
    }
}
