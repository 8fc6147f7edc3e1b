//! The relay over real sockets: sessions of introductions, proofs, both transports, limits, floods.

use crate::common::{DEADLINE, Phonebook, eventually, live::Client, local, serve};
use futures::{SinkExt, StreamExt};
use fyteclub_phonebook::{Config, Rate, Rates};
use fyteclub_proto::{
    bytes::Bytes,
    letter::Attempt,
    phonebook::{
        RelayGrant, RelayRefusal,
        live::{CloseReason, Hear},
    },
    reaching::wire::relay::{Body, Cookie, Frame, Leg, Limit, Terms, Token},
};
use std::{
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message},
};

const ATTEMPT: Attempt = Bytes([1; 16]);
/// Nothing comes for so long: on one machine an answer takes a fraction of it.
const SILENCE: Duration = Duration::from_millis(300);

/// What both ends of an introduction hear in `Go`.
async fn introduced(alice: &mut Client, bob: &mut Client, attempt: Attempt) -> [Hear; 2] {
    alice.introduce(&bob.id(), attempt).await;
    assert!(matches!(bob.hear().await, Hear::Introduced { .. }));
    bob.accept(&alice.id(), attempt).await;
    assert!(matches!(alice.hear().await, Hear::Accepted { .. }));
    [alice.hear().await, bob.hear().await]
}

async fn greeted(phonebook: &Phonebook) -> [Client; 2] {
    [Client::greeted(phonebook, 1).await, Client::greeted(phonebook, 2).await]
}

/// A leg of a session for each of two players.
async fn granted(phonebook: &Phonebook) -> [RelayGrant; 2] {
    let [mut alice, mut bob] = greeted(phonebook).await;
    introduced(&mut alice, &mut bob, ATTEMPT).await.map(|go| match go {
        Hear::Go { relay: Some(grant), relay_refused: None, .. } => grant,
        other => panic!("{other:?}"),
    })
}

/// A leg over UDP.
struct ByUdp {
    socket: UdpSocket,
    relay: SocketAddr,
    grant: RelayGrant,
}

impl ByUdp {
    fn new(from: &str, relay: SocketAddr, grant: &RelayGrant) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, relay, grant: grant.clone() }
    }

    fn bound(from: &str, relay: SocketAddr, grant: &RelayGrant) -> Self {
        let leg = Self::new(from, relay, grant);
        leg.bind();
        leg
    }

    fn send(&self, body: Body<'_>) {
        let frame = Frame { leg: self.grant.leg, body }.encode();
        self.socket.send_to(&frame, self.relay).unwrap();
    }

    /// The next frame, which is for this leg.
    fn receive<T>(&self, read: impl FnOnce(Body<'_>) -> T) -> T {
        let mut buffer = [0; 4096];
        let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
        assert_eq!(from, self.relay);
        let frame = Frame::decode(&buffer[..length]).unwrap();
        assert_eq!(frame.leg, self.grant.leg);
        read(frame.body)
    }

    fn challenge(&self) -> Cookie {
        self.send(Body::Bind);
        self.receive(|body| match body {
            Body::Challenge(cookie) => cookie,
            other => panic!("{other:?}"),
        })
    }

    fn prove(&self, token: &Token, cookie: Cookie) {
        self.send(Body::Proof { cookie, mac: token.prove(self.grant.leg, &cookie) });
    }

    fn bind(&self) -> Terms {
        let cookie = self.challenge();
        self.prove(&self.grant.token, cookie);
        self.receive(|body| match body {
            Body::Bound(terms) => terms,
            other => panic!("{other:?}"),
        })
    }

    fn receives(&self, payload: &[u8]) {
        self.receive(|body| assert_eq!(body, Body::Data(payload)));
    }

    fn receives_nothing(&self) {
        self.socket.set_read_timeout(Some(SILENCE)).unwrap();
        assert!(self.socket.recv_from(&mut [0; 4096]).is_err(), "something came");
        self.socket.set_read_timeout(Some(DEADLINE)).unwrap();
    }
}

/// Legs over a WebSocket.
struct BySocket(WebSocketStream<TcpStream>);

impl BySocket {
    async fn open(phonebook: &Phonebook) -> Self {
        let stream = TcpStream::connect(phonebook.addr).await.unwrap();
        let (socket, _) = client_async(format!("ws://{}/api/relay", phonebook.addr), stream).await.unwrap();
        Self(socket)
    }

    async fn bound(phonebook: &Phonebook, grant: &RelayGrant) -> Self {
        let mut socket = Self::open(phonebook).await;
        socket.send(grant.leg, Body::Bind).await;
        let Message::Binary(frame) = socket.next().await else { panic!("no frame") };
        let Ok(Frame { body: Body::Challenge(cookie), .. }) = Frame::decode(&frame) else {
            panic!("{frame:?}")
        };
        let mac = grant.token.prove(grant.leg, &cookie);
        socket.send(grant.leg, Body::Proof { cookie, mac }).await;
        let Message::Binary(frame) = socket.next().await else { panic!("no frame") };
        assert!(matches!(Frame::decode(&frame), Ok(Frame { body: Body::Bound(_), .. })), "{frame:?}");
        socket
    }

    async fn send(&mut self, leg: Leg, body: Body<'_>) {
        self.0.send(Message::binary(Frame { leg, body }.encode())).await.unwrap();
    }

    /// The next message that is no ping.
    async fn next(&mut self) -> Message {
        loop {
            match timeout(DEADLINE, self.0.next()).await.expect("nothing came").unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                other => return other,
            }
        }
    }

    async fn receives(&mut self, leg: Leg, payload: &[u8]) {
        let Message::Binary(frame) = self.next().await else { panic!("no frame") };
        assert_eq!(Frame::decode(&frame), Ok(Frame { leg, body: Body::Data(payload) }));
    }

    async fn closes_for(mut self, reason: CloseReason) {
        let closed = loop {
            if let Message::Close(frame) = self.next().await {
                break frame.unwrap();
            }
        };
        assert_eq!(CloseReason::from_code(closed.code.into()), Some(reason), "{closed:?}");
    }
}

#[tokio::test]
async fn players_of_an_introduction_exchange_payloads() {
    let phonebook = serve(local());
    let [alices, bobs] = granted(&phonebook).await;
    assert!(alices.udp && alices.tcp && alices.address.is_none() && alices.leg != bobs.leg);
    let alice = ByUdp::new("127.0.0.1", phonebook.addr, &alices);
    alice.send(Body::Data(&[1; 100]));
    alice.receive(|body| assert!(matches!(body, Body::Challenge(_)), "not proven"));
    let terms = alice.bind();
    assert_eq!(terms, Terms { rate: 4096, idle: Duration::from_secs(60) });
    alice.send(Body::Data(b"too early"));
    let bob = ByUdp::bound("127.0.0.1", phonebook.addr, &bobs);
    for payload in [&[7; 1][..], &[8; 1200], &[9; 1452]] {
        alice.send(Body::Data(payload));
        bob.receives(payload);
        bob.send(Body::Data(payload));
        alice.receives(payload);
    }
    eventually("the bytes are counted", || phonebook.metric("relay_bytes_total") == 2 * (2653 + 30));
    assert_eq!(phonebook.metric("relay_frames_total{fate=\"alone\"}"), 1);
    assert_eq!(phonebook.metric("relay_sessions"), 1);
}

#[tokio::test]
async fn legs_of_both_families_and_transports_meet() {
    let listen = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let phonebook = serve(Config { listen, plain_http: true, ..local() });
    let port = phonebook.addr.port();
    let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), port);
    let phonebook = Phonebook::at(at("127.0.0.1")).keeping(phonebook);
    let [alices, bobs] = granted(&phonebook).await;
    let alice = ByUdp::bound("127.0.0.1", at("127.0.0.1"), &alices);
    let bob = ByUdp::bound("::1", at("::1"), &bobs);
    alice.send(Body::Data(b"over IPv6"));
    bob.receives(b"over IPv6");
    bob.send(Body::Data(b"over IPv4"));
    alice.receives(b"over IPv4");

    let mut socket = BySocket::bound(&phonebook, &bobs).await;
    alice.send(Body::Data(b"over TCP"));
    socket.receives(bobs.leg, b"over TCP").await;
    socket.send(bobs.leg, Body::Data(b"from TCP")).await;
    alice.receives(b"from TCP");
    // A burst longer than what one call of either side takes.
    for number in 0..50u8 {
        socket.send(bobs.leg, Body::Data(&[number; 1000])).await;
    }
    (0..50u8).for_each(|number| alice.receives(&[number; 1000]));
    // UDP works again: what comes for the leg goes to where its last payload came from.
    bob.send(Body::Data(b"by UDP again"));
    alice.receives(b"by UDP again");
    alice.send(Body::Data(b"over IPv6"));
    bob.receives(b"over IPv6");

    let mut other = BySocket::bound(&phonebook, &alices).await;
    other.send(alices.leg, Body::Data(b"to UDP")).await;
    bob.receives(b"to UDP");
    socket.send(bobs.leg, Body::Data(b"both over TCP")).await;
    other.receives(alices.leg, b"both over TCP").await;
}

#[tokio::test]
async fn forged_and_replayed_proofs_bind_nothing() {
    let phonebook = serve(local());
    let [alices, bobs] = granted(&phonebook).await;
    let alice = ByUdp::new("127.0.0.1", phonebook.addr, &alices);
    let thief = ByUdp::new("127.0.0.2", phonebook.addr, &alices);
    let cookie = alice.challenge();
    alice.prove(&bobs.token, cookie);
    alice.receives_nothing();
    // Alice's proof, as somebody on the path sees it, from another address.
    thief.prove(&alices.token, cookie);
    thief.receive(|body| assert!(matches!(body, Body::Challenge(_)), "{body:?}"));
    alice.prove(&alices.token, cookie);
    alice.receive(|body| assert!(matches!(body, Body::Bound(_)), "{body:?}"));
    // She moves; her recorded proof, sent from the old address, does not move her back.
    let moved = ByUdp::bound("127.0.0.1", phonebook.addr, &alices);
    alice.prove(&alices.token, cookie);
    alice.receive(|body| assert!(matches!(body, Body::Challenge(_)), "{body:?}"));
    let bob = ByUdp::bound("127.0.0.1", phonebook.addr, &bobs);
    bob.send(Body::Data(b"where are you"));
    moved.receives(b"where are you");
    // Payloads from elsewhere are challenged, not forwarded, and move nothing.
    thief.send(Body::Data(&[1; 100]));
    thief.receive(|body| assert!(matches!(body, Body::Challenge(_)), "{body:?}"));
    bob.send(Body::Data(b"still there"));
    moved.receives(b"still there");
    bob.receives_nothing();
    assert_eq!(phonebook.metric("relay_frames_total{fate=\"forged\"}"), 1);
}

#[tokio::test]
async fn limit_is_announced_and_told() {
    let phonebook = serve(Config { relay_rate: Some(64), ..local() });
    let [alices, bobs] = granted(&phonebook).await;
    let alice = ByUdp::new("127.0.0.1", phonebook.addr, &alices);
    assert_eq!(alice.bind().rate, 64);
    let _bob = ByUdp::bound("127.0.0.1", phonebook.addr, &bobs);
    for _ in 0..80 {
        alice.send(Body::Data(&[1; 1014]));
    }
    alice.receive(|body| match body {
        Body::Limited { limit: Limit::Session, retry_after } => assert!(retry_after > Duration::ZERO),
        other => panic!("{other:?}"),
    });
    let (forwarded, limited) =
        ("relay_frames_total{fate=\"forwarded\"}", "relay_frames_total{fate=\"limited\"}");
    eventually("all are judged", || phonebook.metric(forwarded) + phonebook.metric(limited) == 80);
    assert!((64..=70).contains(&phonebook.metric(forwarded)), "{}", phonebook.metric(forwarded));
}

#[tokio::test]
async fn sessions_beyond_their_number_are_refused_and_told() {
    let phonebook = serve(Config { max_relay_sessions: 2, ..local() });
    let [mut alice, mut bob] = greeted(&phonebook).await;
    let mut carol = Client::greeted(&phonebook, 3).await;
    let mut dora = Client::greeted(&phonebook, 4).await;
    let refused = |go: [Hear; 2]| {
        go.map(|go| match go {
            Hear::Go { relay, relay_refused, .. } => {
                assert_ne!(relay.is_some(), relay_refused.is_some());
                relay_refused.map(|RelayRefusal { limit, .. }| limit)
            }
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(refused(introduced(&mut alice, &mut bob, ATTEMPT).await), [None, None]);
    let again = introduced(&mut alice, &mut carol, Bytes([2; 16])).await;
    assert_eq!(refused(again), [Some(Limit::Holder); 2], "one key has a quarter, and one at least");
    assert_eq!(refused(introduced(&mut carol, &mut dora, ATTEMPT).await), [None, None]);
    let mut erin = Client::greeted(&phonebook, 5).await;
    let mut fay = Client::greeted(&phonebook, 6).await;
    assert_eq!(refused(introduced(&mut erin, &mut fay, ATTEMPT).await), [Some(Limit::Full); 2]);
}

#[tokio::test]
async fn flood_of_frames_is_answered_within_budget() {
    let datagram = Rate::new(1, 60, 5);
    let phonebook = serve(Config { limits: Rates { datagram, ..Rates::OFF }, ..local() });
    let [alices, bobs] = granted(&phonebook).await;
    let flood = ByUdp::new("127.0.0.9", phonebook.addr, &RelayGrant { leg: Leg(5), ..alices.clone() });
    for _ in 0..50 {
        flood.send(Body::Bind);
        flood.send(Body::Data(&[0; 1200]));
    }
    eventually("all are judged", || phonebook.metric("relay_frames_total{fate=\"unknown\"}") == 100);
    for _ in 0..5 {
        flood.receive(|body| assert_eq!(body, Body::Closed));
    }
    flood.receives_nothing();
    // Players who have proven their legs pay nothing for it.
    let alice = ByUdp::bound("127.0.0.1", phonebook.addr, &alices);
    let bob = ByUdp::bound("127.0.0.2", phonebook.addr, &bobs);
    for number in 0..100 {
        alice.send(Body::Data(&[number; 50]));
        bob.receives(&[number; 50]);
    }
}

#[tokio::test]
async fn switched_off_relay_grants_and_serves_nothing() {
    for config in [Config { relay: false, ..local() }, Config { relay: false, stun: false, ..local() }] {
        let phonebook = serve(config);
        let [mut alice, mut bob] = greeted(&phonebook).await;
        for go in introduced(&mut alice, &mut bob, ATTEMPT).await {
            assert!(matches!(go, Hear::Go { relay: None, relay_refused: None, .. }), "{go:?}");
        }
        let upgrade = [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: x",
        ];
        assert_eq!(phonebook.request("GET", "/api/relay", &upgrade, "").status, 404);
    }
    let phonebook = serve(local());
    phonebook.get("/api/relay").is_problem(426, "not_websocket");
    assert_eq!(phonebook.send("POST", "/api/relay", "{}").status, 404);
}

#[tokio::test]
async fn relay_elsewhere_is_named_in_the_grant() {
    let address = Some("udp.example:3478".to_owned());
    let phonebook = serve(Config { udp_address: address.clone(), ..local() });
    for grant in granted(&phonebook).await {
        assert_eq!((grant.udp, grant.tcp, grant.address), (true, true, address.clone()));
    }
    // The UDP port is taken: there is TCP.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let phonebook = serve(Config { listen: taken.local_addr().unwrap(), ..local() });
    let [alices, bobs] = granted(&phonebook).await;
    assert!(!alices.udp && alices.tcp);
    let mut alice = BySocket::bound(&phonebook, &alices).await;
    let mut bob = BySocket::bound(&phonebook, &bobs).await;
    alice.send(alices.leg, Body::Data(b"over TCP alone")).await;
    bob.receives(bobs.leg, b"over TCP alone").await;
}

#[tokio::test]
async fn websocket_that_sends_anything_else_is_closed() {
    let phonebook = serve(local());
    let mut text = BySocket::open(&phonebook).await;
    text.0.send(Message::text("frame")).await.unwrap();
    text.closes_for(CloseReason::BadMessage).await;
    let mut long = BySocket::open(&phonebook).await;
    long.0.send(Message::binary(vec![0x0e; 3000])).await.unwrap();
    long.closes_for(CloseReason::BadMessage).await;
    let mut unproven = BySocket::open(&phonebook).await;
    unproven.send(Leg(5), Body::Bind).await;
    let Message::Binary(frame) = unproven.next().await else { panic!("no frame") };
    assert_eq!(Frame::decode(&frame), Ok(Frame { leg: Leg(5), body: Body::Closed }));
    unproven.closes_for(CloseReason::Silent).await;
    eventually("none is open", || phonebook.metric("relay_sockets") == 0);
}

#[tokio::test]
async fn closed_websocket_gets_nothing_and_stop_closes_all() {
    let mut phonebook = serve(local());
    let [alices, bobs] = granted(&phonebook).await;
    let alice = ByUdp::bound("127.0.0.1", phonebook.addr, &alices);
    let mut bob = BySocket::bound(&phonebook, &bobs).await;
    bob.0.close(None).await.unwrap();
    while let Some(Ok(_)) = timeout(DEADLINE, bob.0.next()).await.unwrap() {}
    eventually("it is closed", || phonebook.metric("relay_sockets") == 0);
    alice.send(Body::Data(b"to nobody"));
    eventually("nobody is there", || phonebook.metric("relay_frames_total{fate=\"alone\"}") == 1);
    let bob = BySocket::bound(&phonebook, &bobs).await;
    phonebook.stop();
    bob.closes_for(CloseReason::Restart).await;
}

#[tokio::test]
async fn address_has_a_share_of_websockets() {
    let phonebook = serve(Config { max_sockets_per_address: Some(2), ..local() });
    let one = BySocket::open(&phonebook).await;
    let _two = BySocket::open(&phonebook).await;
    let third = async || {
        let stream = TcpStream::connect(phonebook.addr).await.unwrap();
        client_async(format!("ws://{}/api/relay", phonebook.addr), stream).await
    };
    match third().await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("{other:?}"),
    }
    drop(one);
    let start = std::time::Instant::now();
    while third().await.is_err() {
        assert!(start.elapsed() < DEADLINE, "its place is not free");
    }
}
