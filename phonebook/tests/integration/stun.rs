//! STUN over real sockets: both ports, both families, and nothing for those who send anything else.

use crate::common::{Phonebook, eventually, live::Client, local, serve};
use fyteclub_phonebook::{Config, Rate, Rates, Server};
use fyteclub_proto::{
    bytes::Bytes,
    number::u64_of,
    phonebook::live::{Hear, Hello, Say, Udp, host_and_port},
    reaching::wire::stun::{REQUEST, Request, Response},
};
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

/// Nothing comes for so long: on one machine an answer takes a fraction of it.
const SILENCE: Duration = Duration::from_millis(300);

fn socket(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
    socket.set_read_timeout(Some(crate::common::DEADLINE)).unwrap();
    socket
}

fn request(number: u8) -> [u8; REQUEST] {
    Request { transaction: Bytes([number; 12]) }.encode()
}

/// The answer to a datagram.
fn asked(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    socket.send_to(datagram, to).unwrap();
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from, to, "the answer comes from where the request went");
    buffer[..length].to_vec()
}

/// Datagrams that are not answered; a request that follows them is.
fn unanswered(socket: &UdpSocket, to: SocketAddr, datagrams: &[Vec<u8>]) {
    for datagram in datagrams {
        socket.send_to(datagram, to).unwrap();
    }
    let answer = Response::decode(&asked(socket, to, &request(99))).unwrap();
    assert_eq!(answer.transaction, Bytes([99; 12]), "something else was answered");
}

fn next(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), addr.port() + 1)
}

#[test]
fn both_ports_answer_both_families() {
    let listen = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let phonebook = serve(Config { listen, plain_http: true, ..local() });
    let port = phonebook.addr.port();
    for ip in ["127.0.0.1", "::1"] {
        let first = SocketAddr::new(ip.parse().unwrap(), port);
        for to in [first, next(first)] {
            let socket = socket(ip);
            let answer = asked(&socket, to, &request(7));
            assert!(answer.len() <= REQUEST, "an answer is no longer than its request");
            let mapped = socket.local_addr().unwrap();
            assert_eq!(Response::decode(&answer), Ok(Response { transaction: Bytes([7; 12]), mapped }));
        }
    }
}

#[test]
fn garbage_gets_no_answer() {
    let phonebook = serve(local());
    let socket = socket("127.0.0.1");
    let right = request(7);
    let answer = asked(&socket, phonebook.addr, &right);
    let mut cut: Vec<Vec<u8>> = (0..right.len()).map(|length| right[..length].to_vec()).collect();
    // A bare header is a request elsewhere; here its answer would be longer than it.
    let mut bare = right[..20].to_vec();
    bare[2..4].fill(0);
    let mut change_request = right.to_vec();
    change_request[20..22].copy_from_slice(&[0, 3]);
    cut.extend([bare, change_request, answer, vec![0x80; 48], vec![0x40; 1200], vec![0x0f; 34], Vec::new()]);
    let count = cut.len();
    for to in [phonebook.addr, next(phonebook.addr)] {
        unanswered(&socket, to, &cut);
    }
    eventually("each is counted", || phonebook.metric("datagrams_junk_total") == 2 * u64_of(count));
    assert_eq!(phonebook.metric("stun_answers_total"), 3);
}

#[test]
fn a_network_beyond_its_budget_is_not_answered() {
    let datagram = Rate::new(1, 60, 5);
    let phonebook = serve(Config { limits: Rates { datagram, ..Rates::OFF }, ..local() });
    let flooding = socket("127.0.0.2");
    for number in 0..100 {
        flooding.send_to(&request(number), phonebook.addr).unwrap();
    }
    eventually("the flood is counted", || {
        phonebook.metric("limited_total{class=\"datagram\",by=\"address\"}") == 95
    });
    flooding.set_read_timeout(Some(SILENCE)).unwrap();
    let mut buffer = [0; 64];
    let answers = std::iter::from_fn(|| flooding.recv_from(&mut buffer).ok()).count();
    assert_eq!(answers, 5, "the burst");
    // Others are served meanwhile.
    let other = socket("127.0.0.3");
    assert!(Response::decode(&asked(&other, phonebook.addr, &request(1))).is_ok());
}

#[test]
fn without_stun_no_udp_port_is_opened() {
    for config in [Config { stun: false, relay: false, ..local() }, Config { compat: true, ..local() }] {
        let server = Server::build(config).unwrap();
        assert_eq!(server.udp_addr(), None);
        UdpSocket::bind(server.addr()).unwrap();
    }
    let server = Server::build(local()).unwrap();
    assert_eq!(server.udp_addr(), Some(server.addr()));
    UdpSocket::bind(server.addr()).unwrap_err();
    UdpSocket::bind(next(server.addr())).unwrap_err();
}

#[test]
fn taken_udp_port_is_fatal_only_if_configured() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let server = Server::build(Config { listen, ..local() }).unwrap();
    assert_eq!(server.udp_addr(), None, "it serves the rest");
    drop(server);
    let refused = Server::build(Config { udp_listen: Some(listen), ..local() }).unwrap_err().to_string();
    assert!(refused.contains("`udp_listen`") && refused.contains(&listen.to_string()), "{refused}");
    let config = Config { udp_listen: Some("127.0.0.2:0".parse().unwrap()), ..local() };
    let ip: IpAddr = "127.0.0.2".parse().unwrap();
    assert_eq!(Server::build(config).unwrap().udp_addr().map(|udp| udp.ip()), Some(ip));
}

/// What the greeting says of UDP.
async fn greeted(phonebook: &Phonebook) -> Option<Udp> {
    let mut client = Client::connect(phonebook, 1).await;
    let nonce = client.challenge().await;
    let hello = Hello::signed(&phonebook.addr.to_string(), nonce, crate::common::now(), &client.key);
    client.say(&Say::Hello(hello)).await;
    match client.hear().await {
        Hear::Welcome(welcome) => welcome.udp,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn greeting_has_the_udp_ports() {
    let derived = greeted(&serve(local())).await.unwrap();
    assert_eq!((derived.address, derived.stun_ports), (None, 2));
    let udp_address = Some("udp.example:3478".to_owned());
    let told = greeted(&serve(Config { udp_address: udp_address.clone(), ..local() })).await.unwrap();
    assert_eq!(told.address, udp_address);
    assert_eq!(host_and_port(&told.address.unwrap()), Some(("udp.example", 3478)));
    assert_eq!(greeted(&serve(Config { stun: false, ..local() })).await, None);
}
