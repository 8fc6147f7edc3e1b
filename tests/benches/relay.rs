//! The relay against a bare UDP forwarder of the same packets, in the same rounds; and what a client costs it in memory.
//!
//! One session, one direction: packets of 1,200 bytes and the relay's header, sent one by one and in bundles of ten, with
//! at most so many under way that none needs to be lost. Sender and receiver are this process; the relay and the forwarder
//! are processes of one thread for UDP each. coturn, where it is installed, gets the same payload as ChannelData.

mod common;

use common::{
    Floor, Spread, Table,
    book::{
        self,
        crowd::{Socket, greeted},
    },
    coturn, forward, judge, measured, scaled,
    town::{self, Place, Process, runtime},
    usage,
};
use ed25519_dalek::SigningKey;
use futures::{SinkExt, StreamExt};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    knock::Callee,
    letter::{Letter, Topic},
    number::{f64_of, u64_of},
    phonebook::{
        RelayGrant,
        live::{Hear, Say},
    },
    reaching::wire::relay::{Body, Frame, HEADER},
};
use quinn::udp::{Transmit, UdpSocketState};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

const PAYLOAD: usize = 1200;
const PACKET: usize = PAYLOAD + HEADER;
/// Packets under way: less than the kernel's usual buffer holds.
const WINDOW: u64 = 64;
const TIME: Duration = Duration::from_secs(2);
const BUNDLE: usize = 10;
const NAMES: [&str; 3] = ["relay", "bare forwarder", "coturn"];
/// Fewer than one address may bind, over both transports.
const CLIENTS: usize = 900;

fn main() -> anyhow::Result<()> {
    common::main(bench)
}

struct Run {
    /// MiB a second that arrive.
    speed: f64,
    /// CPU seconds of the forwarding process for a GiB.
    cpu: f64,
}

fn bench() -> anyhow::Result<()> {
    let binaries = town::binaries()?;
    let runtime = runtime()?;
    let rounds = measured(|_| {
        let phonebook = unlimited(&binaries)?;
        let addr = addr_of(&phonebook)?;
        let mut runs = Vec::new();
        for bundle in [1, BUNDLE] {
            let ends = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
            let [alice, bob] = runtime.block_on(granted(addr, 0))?;
            bind(&ends[0], addr, &alice)?;
            bind(&ends[1], addr, &bob)?;
            let frame = Frame { leg: alice.leg, body: Body::Data(&[7; PAYLOAD]) }.encode();
            runs.push(flow(&ends, addr, &frame, PACKET, bundle, phonebook.pid())?);
            let (forwarder, to) = forward::start([ends[0].local_addr()?, ends[1].local_addr()?])?;
            runs.push(flow(&ends, to, &frame, PACKET, bundle, forwarder.pid())?);
            let folder = tempfile::tempdir()?;
            if let Some((server, to)) = coturn::start(folder.path())? {
                coturn::bind(&ends[0], to, ends[1].local_addr()?)?;
                let frame = coturn::channel_data(&[7; PAYLOAD])?;
                runs.push(flow(&ends, to, &frame, PAYLOAD, bundle, server.pid())?);
            }
        }
        Ok(runs)
    })?;
    let of = |at: usize, what: fn(&Run) -> f64| Spread::of(rounds.iter().map(|runs| what(&runs[at])));
    let mut table = Table::new(
        &format!("relay: packets with {PAYLOAD} bytes of payload, {TIME:?} each; {} rounds", rounds.len()),
        &["", "MiB/s", "CPU s a GiB"],
    );
    // One of each for each way to send.
    let contestants = rounds[0].len() / 2;
    if contestants < NAMES.len() {
        println!("relay: the comparison with coturn is SKIPPED: there is no /usr/bin/turnserver");
    }
    for (way, how) in ["one by one", "in bundles"].into_iter().enumerate() {
        for (at, name) in NAMES.into_iter().take(contestants).enumerate() {
            let at = way * contestants + at;
            let [speed, cpu] = [of(at, |run| run.speed), of(at, |run| run.cpu)];
            table.row([format!("{name}, {how}"), speed.to_string(), cpu.to_string()]);
        }
    }
    drop(table);
    for (way, how) in ["one by one", "in bundles"].into_iter().enumerate() {
        let relay = way * contestants;
        let ratio = Spread::of(rounds.iter().map(|runs| runs[relay].speed / runs[relay + 1].speed));
        judge(&format!("rate: relay / bare forwarder, {how}"), ratio, Floor::AtLeast(0.8));
        if contestants == NAMES.len() {
            let ratio = Spread::of(rounds.iter().map(|runs| runs[relay].cpu / runs[relay + 2].cpu));
            judge(&format!("CPU a byte: relay / coturn, {how}"), ratio, Floor::AtMost(1.0));
        }
    }
    memory(&binaries, &runtime)
}

fn unlimited(binaries: &std::path::Path) -> anyhow::Result<Process> {
    let mut command = town::phonebook_command(binaries, Place::HERE, ([127, 0, 0, 1], 0).into());
    town::unlimited(&mut command).args(["--relay-rate", "off", "--relay-rate-per-address", "off"]);
    Process::start(command.args(["--max-relay-sessions", "100000", "--limit-datagram", "off"]))
}

fn addr_of(phonebook: &Process) -> anyhow::Result<SocketAddr> {
    Ok(phonebook.greeting.trim().rsplit('/').next().unwrap_or_default().parse()?)
}

/// What a client costs: a bound leg over UDP, and a WebSocket.
fn memory(binaries: &std::path::Path, runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let pairs = book::connections(scaled(CLIENTS)) / 2;
    let phonebook = unlimited(binaries)?;
    let addr = addr_of(&phonebook)?;
    let kib = |bytes: Option<u64>| bytes.map_or(f64::NAN, |bytes| f64_of(bytes) / 1024.0);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let [udp, tcp] = runtime.block_on(async {
        // What it needs once.
        for leg in granted(addr, 0).await? {
            bind(&socket, addr, &leg)?;
            web_socket(addr, &leg).await?;
        }
        let empty = kib(usage::rss(phonebook.pid()));
        let mut legs = Vec::new();
        for pair in 1..=pairs {
            legs.extend(granted(addr, pair).await?);
        }
        for leg in &legs {
            bind(&socket, addr, leg)?;
        }
        let with_udp = kib(usage::rss(phonebook.pid()));
        let mut sockets = Vec::new();
        for leg in &legs {
            sockets.push(web_socket(addr, leg).await?);
        }
        let with_tcp = kib(usage::rss(phonebook.pid()));
        let count = f64_of(u64_of(legs.len()));
        anyhow::Ok([(with_udp - empty) / count, (with_tcp - with_udp) / count])
    })?;
    println!("\nrelay: memory of {} clients", pairs * 2);
    judge("KiB a client over UDP", Spread::of([udp]), Floor::AtMost(40.0));
    judge("KiB a client over a WebSocket", Spread::of([tcp]), Floor::AtMost(40.0));
    Ok(())
}

/// Sends for a while, with so many packets under way at most; each arrives with `arriving` bytes. Counts payload.
fn flow(
    ends: &[UdpSocket; 2],
    to: SocketAddr,
    frame: &[u8],
    arriving: usize,
    bundle: usize,
    pid: u32,
) -> anyhow::Result<Run> {
    let (received, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let receiver = {
        let (socket, received, done) = (ends[1].try_clone()?, Arc::clone(&received), Arc::clone(&done));
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        thread::spawn(move || {
            let mut buffer = vec![0; 4096];
            while !done.load(Ordering::Relaxed) {
                if socket.recv(&mut buffer).is_ok_and(|length| length == arriving) {
                    received.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let socket = ends[0].try_clone()?;
    let state = UdpSocketState::new((&socket).into())?;
    socket.set_nonblocking(false)?;
    let packets = frame.repeat(bundle);
    let transmit = Transmit {
        destination: to,
        ecn: None,
        contents: &packets,
        segment_size: (bundle > 1).then_some(frame.len()),
        src_ip: None,
    };
    let (meter, start) = (usage::Meter::start([pid]), Instant::now());
    let (mut sent, mut lost) = (0_u64, 0_u64);
    let mut moved = start;
    while start.elapsed() < TIME {
        let arrived = received.load(Ordering::Relaxed);
        if sent.saturating_sub(lost + arrived) < WINDOW {
            state.try_send((&socket).into(), &transmit)?;
            sent += u64_of(bundle);
            moved = Instant::now();
        } else if moved.elapsed() > Duration::from_millis(20) {
            // Nothing comes any more of what is under way.
            lost = sent.saturating_sub(arrived);
        } else {
            thread::yield_now();
        }
    }
    let (time, arrived) = (start.elapsed().as_secs_f64(), received.load(Ordering::Relaxed));
    done.store(true, Ordering::Relaxed);
    receiver.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))?;
    let bytes = f64_of(arrived) * f64_of(u64_of(PAYLOAD));
    let cpu = meter.cpu()[0] / (bytes / f64::from(1 << 30));
    Ok(Run { speed: bytes / time / f64::from(1 << 20), cpu })
}

/// The legs of two new players.
async fn granted(addr: SocketAddr, number: usize) -> anyhow::Result<[RelayGrant; 2]> {
    let key = |side: u8| {
        let mut seed = [side; 32];
        seed[..8].copy_from_slice(&u64_of(number).to_be_bytes());
        SigningKey::from_bytes(&seed)
    };
    let (alice, bob) = (key(1), key(2));
    let (of_alice, of_bob) = (PeerId::of(&alice), PeerId::of(&bob));
    let attempt = Bytes([5; 16]);
    let mut sockets = Vec::new();
    for key in [&alice, &bob] {
        sockets.push(greeted(TcpStream::connect(addr).await?, addr, key).await?);
    }
    let [caller, callee] = &mut sockets[..] else { anyhow::bail!("two sockets") };
    let letter = Letter::seal(&alice, &of_bob, Topic::Introduce(attempt), b"", [7; 32].into())?;
    say(caller, &Say::Introduce { to: Callee::Key(of_bob), attempt, letter }).await?;
    while !matches!(hear(callee).await?, Hear::Introduced { .. }) {}
    let letter = Letter::seal(&bob, &of_alice, Topic::Accept(attempt), b"", [8; 32].into())?;
    say(callee, &Say::Accept { to: of_alice, attempt, letter }).await?;
    Ok([leg(caller).await?, leg(callee).await?])
}

async fn leg(socket: &mut Socket) -> anyhow::Result<RelayGrant> {
    loop {
        if let Hear::Go { relay, .. } = hear(socket).await? {
            return relay.ok_or_else(|| anyhow::anyhow!("no relay is granted"));
        }
    }
}

async fn say(socket: &mut Socket, say: &Say) -> anyhow::Result<()> {
    Ok(socket.send(Message::text(serde_json::to_string(say)?)).await?)
}

async fn hear(socket: &mut Socket) -> anyhow::Result<Hear> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text)?),
            Some(Ok(_)) => {}
            other => anyhow::bail!("the conversation is over: {other:?}"),
        }
    }
}

/// The answers to a bind, up to the one that says it is bound.
fn proven(grant: &RelayGrant, answer: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    match Frame::decode(answer)?.body {
        Body::Challenge(cookie) => {
            let mac = grant.token.prove(grant.leg, &cookie);
            Ok(Some(Frame { leg: grant.leg, body: Body::Proof { cookie, mac } }.encode()))
        }
        Body::Bound(_) => Ok(None),
        other => anyhow::bail!("not bound: {other:?}"),
    }
}

fn bind(socket: &UdpSocket, to: SocketAddr, grant: &RelayGrant) -> anyhow::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut frame = Frame { leg: grant.leg, body: Body::Bind }.encode();
    let mut buffer = [0; 4096];
    loop {
        socket.send_to(&frame, to)?;
        let length = socket.recv(&mut buffer)?;
        match proven(grant, &buffer[..length])? {
            Some(proof) => frame = proof,
            None => return Ok(()),
        }
    }
}

async fn web_socket(addr: SocketAddr, grant: &RelayGrant) -> anyhow::Result<Socket> {
    let stream = TcpStream::connect(addr).await?;
    let (mut socket, _) = client_async(format!("ws://{addr}/api/relay"), stream).await?;
    let mut frame = Frame { leg: grant.leg, body: Body::Bind }.encode();
    loop {
        socket.send(Message::binary(frame)).await?;
        let answer = loop {
            match socket.next().await {
                Some(Ok(Message::Binary(answer))) => break answer,
                Some(Ok(_)) => {}
                other => anyhow::bail!("the WebSocket is closed: {other:?}"),
            }
        };
        match proven(grant, &answer)? {
            Some(proof) => frame = proof,
            None => return Ok(socket),
        }
    }
}
