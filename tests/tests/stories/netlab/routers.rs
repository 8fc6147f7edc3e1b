//! The routers of the laboratory do what their kinds claim, as plain sockets see it.

use fyteclub_tests::{
    Town, eventually,
    netlab::{Depends, Internet, Kind, SERVERS_V6, Seen, Servers},
};
use std::net::UdpSocket;

/// What a router of this kind must do; `None`: no datagram gets out.
fn claim(kind: Kind) -> Option<Seen> {
    let nat = |maps, filters| Some(Seen { rewrites: true, maps, filters, open: false });
    let none = |filters, open| Some(Seen { rewrites: false, maps: Depends::Nothing, filters, open });
    match kind {
        Kind::Public => none(Depends::Nothing, true),
        Kind::Firewall => none(Depends::Port, false),
        Kind::FullCone => nat(Depends::Nothing, Depends::Nothing),
        Kind::AddressRestricted => nat(Depends::Nothing, Depends::Address),
        // A port is mapped only when it is asked for.
        Kind::PortRestricted | Kind::Masquerade | Kind::Cgnat | Kind::Mapped => {
            nat(Depends::Nothing, Depends::Port)
        }
        Kind::Symmetric | Kind::SymmetricCgnat | Kind::Ipv6 => nat(Depends::Port, Depends::Port),
        Kind::Blocked => None,
    }
}

#[tokio::test]
async fn routers_map_and_filter_as_they_claim() {
    let town = Town::new().await;
    let Some(internet) = Internet::open(&town, &Kind::ALL).await else { return };
    let servers = Servers::open(&internet);
    for home in internet.homes() {
        if home.kind == Kind::Blocked {
            assert!(servers.is_cut_off(&internet, home), "UDP gets through");
        } else {
            assert_eq!(servers.look(home), claim(home.kind), "{:?}", home.kind);
        }
    }
    let v6 = Servers::at(&internet, SERVERS_V6);
    for home in internet.homes().iter().filter(|home| home.kind == Kind::Ipv6) {
        assert_eq!(v6.look(home), claim(Kind::Firewall), "over IPv6");
    }
}

#[tokio::test]
async fn early_packet_takes_the_port_of_an_open_router() {
    let town = Town::new().await;
    let Some(internet) = Internet::open(&town, &[Kind::PortRestricted, Kind::Masquerade]).await else {
        return;
    };
    let servers = Servers::open(&internet);
    let [closed, open] = internet.homes() else { panic!("two homes") };
    assert!(servers.keeps_port_after_early_packet(closed));
    assert!(!servers.keeps_port_after_early_packet(open));
}

#[tokio::test]
async fn ttl_of_two_leaves_a_home_and_enters_none() {
    let town = Town::new().await;
    let Some(internet) = Internet::open(&town, &[Kind::PortRestricted, Kind::Masquerade]).await else {
        return;
    };
    let [here, there] = internet.homes() else { panic!("two homes") };
    let to = format!("{}:9", there.outside());
    internet.machine().count_from(&here.outside());
    there.routers()[0].count_from(&here.outside());
    let socket = here.host().run(|| UdpSocket::bind((here.host_ip(), 0)).expect("a port"));
    for (ttl, passed) in [(1, [0, 0]), (2, [1, 0]), (3, [2, 1]), (64, [3, 2])] {
        socket.set_ttl(ttl).expect("a TTL");
        socket.send_to(b"probe", &to).expect("sent");
        eventually(&format!("TTL {ttl} gets as far as it should"), async || {
            let counts = [internet.machine().counts(), there.routers()[0].counts()];
            (counts == passed.map(|count| vec![count])).then_some(())
        })
        .await;
    }
}
