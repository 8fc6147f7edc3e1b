use super::{
    kernel::{Kernel, single},
    virtual_addr::canonical,
    *,
};
use crate::tls::{Certificate, SERVER_NAME};
use ed25519_dalek::SigningKey;
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    reaching::{
        traversal::{Chosen, Kind, Path, Reply},
        wire::{
            probe::{Agreement, Part, Probe},
            relay::{Body, Frame, Leg, Limit},
            stun,
        },
    },
};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig, TokioRuntime,
    udp::{RecvMeta, Transmit},
};
use std::{
    future::poll_fn,
    io::IoSliceMut,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

const LEG: Leg = Leg(7);
const TIMEOUT: Duration = Duration::from_secs(20);

struct Here {
    socket: Arc<PeerSocket>,
    aside: mpsc::Receiver<Aside>,
    addr: SocketAddr,
}

fn here(bind: &str) -> Here {
    let (handle, aside) = mpsc::channel(16);
    let socket = PeerSocket::new(UdpSocket::bind(bind).expect("a socket"), handle).expect("registered");
    let port = socket.local_addr().expect("bound").port();
    Here { socket, aside, addr: (Ipv4Addr::LOCALHOST, port).into() }
}

/// Another host: a plain socket.
fn there() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a deadline");
    let addr = socket.local_addr().expect("bound");
    (socket, addr)
}

fn read(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).expect("a datagram in time");
    buffer[..len].to_vec()
}

/// What QUIC receives next: packets with their addresses.
async fn received(socket: &PeerSocket) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut buffers = vec![vec![0; 65_536]; 8];
    let mut meta = [RecvMeta::default(); 8];
    let receive = async {
        loop {
            let mut bufs: Vec<IoSliceMut<'_>> = buffers.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
            let count = poll_fn(|cx| socket.poll_recv(cx, &mut bufs, &mut meta)).await.expect("received");
            let packets: Vec<_> = (bufs.iter().zip(&meta).take(count))
                .flat_map(|(buf, meta)| {
                    buf[..meta.len].chunks(meta.stride.max(1)).map(|packet| (meta.addr, packet.to_vec()))
                })
                .map(|(addr, packet)| (canonical(addr), packet))
                .collect();
            if !packets.is_empty() {
                return packets;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, receive).await.expect("a packet in time")
}

fn packet(first: u8, len: usize) -> Vec<u8> {
    let mut packet = vec![0x40 | first; len];
    packet[0] |= 0x40;
    packet
}

fn data(leg: Leg, payload: &[u8]) -> Vec<u8> {
    Frame { leg, body: Body::Data(payload) }.encode()
}

fn transmit<'a>(to: SocketAddr, contents: &'a [u8], segment: usize) -> Transmit<'a> {
    let segment_size = (contents.len() > segment).then_some(segment);
    Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None }
}

#[tokio::test]
async fn packet_of_unknown_address_passes_unchanged() {
    for bind in ["127.0.0.1:0", "[::]:0"] {
        let here = here(bind);
        here.socket.kernel.writable().await.expect("a socket");
        let (there, at) = there();
        there.send_to(&packet(1, 100), here.addr).expect("sent");
        assert_eq!(received(&here.socket).await, [(at, packet(1, 100))]);
        here.socket.try_send(&transmit(at, &packet(2, 50), 50)).expect("sent");
        assert_eq!(read(&there), packet(2, 50));
        assert_eq!(here.socket.dropped(), Dropped::default());
    }
}

fn over(path: Path) -> Option<Chosen> {
    Some(Chosen { path, kind: Kind::Direct, rtt: Duration::from_millis(9) })
}

#[tokio::test]
async fn moves_are_counted_from_path_to_path() {
    let here = here("127.0.0.1:0");
    let peer = VirtualPeer::enter(&here.socket).expect("an address");
    let moves = here.socket.moves(peer.addr()).expect("a peer");
    let paths = [1, 2].map(|port| Path::Direct(([127, 0, 0, 1], port).into()));
    for (path, count) in [
        (over(paths[0]), 0),
        (None, 0),
        (over(paths[0]), 0),
        (over(paths[1]), 1),
        (None, 1),
        (over(paths[0]), 2),
    ] {
        peer.use_path(path);
        assert_eq!((moves.count(), here.socket.chosen(peer.addr())), (count, path));
    }
    let addr = peer.addr();
    drop(peer);
    assert!(here.socket.moves(addr).is_none() && here.socket.chosen(addr).is_none());
}

#[tokio::test]
async fn peer_keeps_its_address_over_every_path() {
    let here = here("[::]:0");
    let (direct, at) = there();
    let (relay, relay_at) = there();
    let peer = VirtualPeer::enter(&here.socket).expect("an address");
    let to = peer.addr().addr();
    here.socket.kernel.writable().await.expect("a socket");
    let send =
        |first| here.socket.try_send(&transmit(to, &[packet(first, 30), packet(first, 9)].concat(), 30));

    send(1).expect("dropped");
    assert_eq!(here.socket.dropped().no_path, 1);

    peer.use_path(over(Path::Direct(at)));
    peer.accept(at);
    send(2).expect("sent");
    assert_eq!([read(&direct), read(&direct)], [packet(2, 30), packet(2, 9)]);
    direct.send_to(&packet(3, 40), here.addr).expect("sent");
    assert_eq!(received(&here.socket).await, [(to, packet(3, 40))]);
    assert_eq!(peer.traffic(), (39, 40));

    peer.hold_leg(LEG, Some(relay_at));
    peer.use_path(over(Path::Relay { relay: relay_at, leg: LEG }));
    assert_eq!(peer.traffic(), (0, 0), "of this path");
    send(4).expect("sent");
    assert_eq!([read(&relay), read(&relay)], [data(LEG, &packet(4, 30)), data(LEG, &packet(4, 9))]);
    relay.send_to(&data(LEG, &packet(5, 20)), here.addr).expect("sent");
    assert_eq!(received(&here.socket).await, [(to, packet(5, 20))]);

    let (tcp, mut frames) = mpsc::channel(2);
    peer.hold_tcp(LEG, Some(tcp));
    peer.use_path(over(Path::RelayTcp { leg: LEG }));
    send(6).expect("sent");
    assert_eq!(frames.recv().await, Some(data(LEG, &packet(6, 30))));
    assert_eq!(frames.recv().await, Some(data(LEG, &packet(6, 9))));
    peer.received_tcp(&data(LEG, &packet(7, 20)));
    assert_eq!(received(&here.socket).await, [(to, packet(7, 20))]);

    drop(peer);
    direct.send_to(&packet(8, 40), here.addr).expect("sent");
    assert_eq!(received(&here.socket).await, [(at, packet(8, 40))], "a stranger's");
}

/// Packets of two legs of one relay, which the kernel may join to one message.
/// As the first packet of a handshake.
fn initial() -> Vec<u8> {
    vec![0xC0; 1200]
}

#[tokio::test]
async fn handshake_is_answered_where_it_came_from() {
    let here = here("127.0.0.1:0");
    let (there, at) = there();
    let peer = VirtualPeer::enter(&here.socket).expect("a virtual address");
    let addr = peer.addr().addr();
    let next = async |packet: Vec<u8>| {
        there.send_to(&packet, here.addr).expect("sent");
        received(&here.socket).await[0].0
    };
    peer.use_path(over(Path::Direct(at)));
    assert_eq!(next(initial()).await, addr, "the answer goes over the path");
    peer.use_path(None);
    assert_eq!(next(packet(1, 100)).await, addr, "of a handshake that had begun");
    assert_eq!(next(initial()).await, at, "the answer would not be sent to the peer");
    assert_eq!(next(packet(1, 100)).await, at, "of the same handshake");
    peer.use_path(over(Path::Direct(at)));
    assert_eq!(next(packet(1, 100)).await, addr);
}

#[tokio::test]
async fn dial_gets_the_answers_of_its_address() {
    let here = here("127.0.0.1:0");
    let (there, at) = there();
    let peer = VirtualPeer::enter(&here.socket).expect("a virtual address");
    let addr = peer.addr().addr();
    assert_eq!(here.socket.addr_to_dial(at), at, "nobody's");
    for path in [None, over(Path::Relay { relay: at, leg: LEG })] {
        peer.use_path(path);
        peer.accept(at);
        assert_eq!(here.socket.addr_to_dial(at), at, "{path:?}");
        there.send_to(&initial(), here.addr).expect("sent");
        assert_eq!(received(&here.socket).await[0].0, at, "{path:?}");
    }
    peer.use_path(over(Path::Direct(at)));
    assert_eq!(here.socket.addr_to_dial(at), addr);
    there.send_to(&initial(), here.addr).expect("sent");
    assert_eq!(received(&here.socket).await[0].0, addr);
}

#[tokio::test]
async fn claim_does_not_take_a_path_in_use() {
    let here = here("127.0.0.1:0");
    let (there, at) = there();
    let [honest, other] = [(); 2].map(|()| VirtualPeer::enter(&here.socket).expect("a virtual address"));
    let owner = async || {
        there.send_to(&packet(1, 100), here.addr).expect("sent");
        received(&here.socket).await[0].0
    };
    honest.use_path(over(Path::Direct(at)));
    other.accept(at);
    assert_eq!(owner().await, honest.addr().addr());
    // A path is used once the peer has answered there.
    other.use_path(over(Path::Direct(at)));
    assert_eq!(owner().await, other.addr().addr());
    other.use_path(None);
    honest.accept(at);
    assert_eq!(owner().await, honest.addr().addr(), "in use no more");
}

#[tokio::test]
async fn packets_of_two_legs_reach_their_peers() {
    let here = here("127.0.0.1:0");
    let (_, relay) = there();
    let peers: Vec<_> = (0..2).map(|_| VirtualPeer::enter(&here.socket).expect("an address")).collect();
    peers.iter().zip([Leg(1), Leg(2)]).for_each(|(peer, leg)| peer.hold_leg(leg, Some(relay)));
    let frames = [(1, 1), (2, 2), (1, 3), (1, 4)].map(|(leg, first)| data(Leg(leg), &packet(first, 30)));
    let mut buf = frames.concat();
    buf.extend(data(Leg(1), &packet(5, 8)));
    let mut meta = RecvMeta { addr: relay, len: buf.len(), stride: 40, ecn: None, dst_ip: None };
    here.socket.sorter.sort(&here.socket.table(), &mut buf, &mut meta);
    assert_eq!((meta.addr, meta.len, meta.stride), (peers[0].addr().addr(), 98, 30));
    let kept: Vec<_> = buf[..meta.len].chunks(meta.stride).map(<[u8]>::to_vec).collect();
    assert_eq!(kept, [packet(1, 30), packet(3, 30), packet(4, 30), packet(5, 8)]);
    assert_eq!(received(&here.socket).await, [(peers[1].addr().addr(), packet(2, 30))]);
}

#[tokio::test]
async fn other_kinds_go_aside_when_authentic() {
    let mut here = here("127.0.0.1:0");
    let (there, at) = there();
    let peer = VirtualPeer::enter(&here.socket).expect("an address");
    let agreement = Agreement {
        attempt: Bytes([1; 16]),
        caller: (PeerId::from_bytes([2; 32]), Bytes([3; 32])),
        callee: (PeerId::from_bytes([4; 32]), Bytes([5; 32])),
    };
    let (sealer, _) = agreement.keys(Part::Caller);
    let (_, opener) = agreement.keys(Part::Callee);
    peer.listen(opener);
    peer.hold_leg(LEG, Some(at));
    let mut forged = sealer.seal(Probe { number: 1, echo: None, asks: true, to_mapped: false });
    forged[20] ^= 1;
    let response = stun::Response { transaction: Bytes([9; 12]), mapped: at };
    let limited = Frame {
        leg: LEG,
        body: Body::Limited { limit: Limit::Session, retry_after: Duration::from_secs(1) },
    };
    let probe = sealer.seal(Probe { number: 2, echo: None, asks: true, to_mapped: false });
    let foreign = data(Leg(8), &packet(1, 20));
    let nested = data(LEG, &limited.encode());
    for datagram in [
        &forged[..],
        &foreign,
        &nested,
        &[0; 9],
        &response.encode(),
        &probe,
        &data(LEG, &probe),
        &limited.encode(),
    ] {
        there.send_to(datagram, here.addr).expect("sent");
    }
    // The last one: what came before it is sorted.
    there.send_to(&packet(1, 20), here.addr).expect("sent");
    assert_eq!(received(&here.socket).await, [(at, packet(1, 20))]);
    assert_eq!(here.aside.try_recv(), Ok(Aside::Stun(response)));
    for expected in [Path::Direct(at), Path::Relay { relay: at, leg: LEG }] {
        let Ok(Aside::Probe { path, probe, .. }) = here.aside.try_recv() else { panic!("a probe") };
        assert_eq!((path, probe.probe().number), (expected, 2));
    }
    let reply = Reply::Limited { limit: Limit::Session, retry_after: Duration::from_secs(1) };
    assert_eq!(here.aside.try_recv(), Ok(Aside::Relay { peer: peer.addr(), leg: LEG, reply }));
    assert!(here.aside.try_recv().is_err());
    assert_eq!(here.socket.dropped().junk, 4);
}

#[tokio::test]
async fn full_channel_drops_and_counts() {
    let here = here("127.0.0.1:0");
    let (there, at) = there();
    let response = stun::Response { transaction: Bytes([9; 12]), mapped: at };
    for _ in 0..20 {
        there.send_to(&response.encode(), here.addr).expect("sent");
    }
    there.send_to(&packet(1, 20), here.addr).expect("sent");
    received(&here.socket).await;
    assert_eq!((here.aside.len(), here.socket.dropped().full), (16, 4));
}

#[tokio::test]
async fn ttl_is_of_one_datagram() {
    for bind in ["127.0.0.1:0", "[::]:0"] {
        let here = here(bind);
        let (there, at) = there();
        let socket = here.socket.clone();
        socket.send_to(at, Some(2), b"low").expect("sent");
        socket.send_to(at, None, b"usual").expect("sent");
        assert_eq!([read(&there), read(&there)], [b"low".to_vec(), b"usual".to_vec()]);
    }
}

#[tokio::test]
async fn plain_kernel_sends_and_receives() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let addr = socket.local_addr().expect("bound");
    let kernel = Kernel::plain(socket).expect("registered");
    let (there, at) = there();
    kernel.send_at_once(&transmit(at, &[packet(1, 30), packet(2, 7)].concat(), 30)).expect("sent");
    assert_eq!([read(&there), read(&there)], [packet(1, 30), packet(2, 7)]);
    there.send_to(b"back", addr).expect("sent");
    let (mut buffer, mut meta) = ([0; 64], [RecvMeta::default()]);
    let count = poll_fn(|cx| kernel.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta)).await;
    assert_eq!((count.expect("received"), meta[0].addr, &buffer[..meta[0].len]), (1, at, &b"back"[..]));
    kernel.send_at_once(&transmit(at, &[0; 65_000], 65_000)).expect("it fits");
    kernel.send_at_once(&single(at, &vec![0; 66_000])).expect("counted");
    assert_eq!(kernel.too_long(), 1);
}

/// A relay that knows two legs and forwards without any proof.
fn forwarder(legs: [(Leg, SocketAddr); 2]) -> SocketAddr {
    let (socket, addr) = there();
    socket.set_read_timeout(None).expect("no deadline");
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let Some((leg, to)) = legs.into_iter().find(|(_, addr)| *addr != from) else { return };
            let Ok(Frame { body: Body::Data(payload), .. }) = Frame::decode(&buffer[..len]) else { continue };
            socket.send_to(&data(leg, payload), to).ok();
        }
    });
    addr
}

fn endpoint(socket: Arc<PeerSocket>, key: &SigningKey) -> Endpoint {
    let server = Certificate::new(key).and_then(|certificate| certificate.server()).expect("TLS");
    let server = ServerConfig::with_crypto(Arc::new(server));
    let mut config = EndpointConfig::default();
    config.grease_quic_bit(false);
    Endpoint::new_with_abstract_socket(config, Some(server), socket, Arc::new(TokioRuntime))
        .expect("an endpoint")
}

async fn send_some(from: &Connection, to: &Connection) {
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
    let send = async {
        let mut stream = from.open_uni().await.expect("a stream");
        stream.write_all(&bytes).await.expect("written");
        stream.finish().expect("open");
        stream.stopped().await.expect("acknowledged");
    };
    let receive =
        async { to.accept_uni().await.expect("a stream").read_to_end(usize::MAX).await.expect("all") };
    let both = async { tokio::join!(send, receive).1 };
    assert!(tokio::time::timeout(TIMEOUT, both).await.expect("in time") == bytes);
}

#[tokio::test]
async fn connection_survives_changes_of_path() {
    let (one, two) = (here("[::]:0"), here("127.0.0.1:0"));
    let relay = forwarder([(Leg(1), one.addr), (Leg(2), two.addr)]);
    let (at_one, at_two) = (
        VirtualPeer::enter(&one.socket).expect("an address"),
        VirtualPeer::enter(&two.socket).expect("an address"),
    );
    at_one.hold_leg(Leg(1), Some(relay));
    at_two.hold_leg(Leg(2), Some(relay));
    at_one.accept(two.addr);
    at_two.accept(one.addr);
    let relayed = || {
        at_one.use_path(over(Path::Relay { relay, leg: Leg(1) }));
        at_two.use_path(over(Path::Relay { relay, leg: Leg(2) }));
    };
    let direct = || {
        at_one.use_path(over(Path::Direct(two.addr)));
        at_two.use_path(over(Path::Direct(one.addr)));
    };
    relayed();
    let keys = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
    let (caller, callee) = (endpoint(one.socket.clone(), &keys[0]), endpoint(two.socket.clone(), &keys[1]));
    let expected = PeerId::from_bytes(keys[1].verifying_key().to_bytes());
    let client =
        Certificate::new(&keys[0]).and_then(|certificate| certificate.client(expected)).expect("TLS");
    let dial = caller.connect_with(ClientConfig::new(Arc::new(client)), at_one.addr().addr(), SERVER_NAME);
    let dial = async { dial.expect("a dial").await.expect("a connection") };
    let answer = async { callee.accept().await.expect("a dial").await.expect("a connection") };
    let (dialled, accepted) = tokio::join!(dial, answer);
    let places = || [&dialled, &accepted].map(|connection| VirtualAddr::of(connection.remote_address()));
    let expected = [Some(at_one.addr()), Some(at_two.addr())];
    send_some(&dialled, &accepted).await;
    assert_eq!(places(), expected);
    let changes: [&dyn Fn(); 3] = [&direct, &relayed, &direct];
    for change in changes {
        let (moving, ()) = tokio::join!(send_some(&accepted, &dialled), async { change() });
        let () = moving;
        send_some(&dialled, &accepted).await;
        assert_eq!(places(), expected, "neither end noticed");
    }
    let (sent, received) = at_two.traffic();
    assert!(sent > 0 && received > 1_200_000, "over the path in use: {sent} {received}");
}
