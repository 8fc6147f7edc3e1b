//! One flow, a process a side: the kernel's TCP or bare quinn, with the named controller.
//!
//! The source sends as long as the sink reads. The sink counts arrived bytes in every tenth of a second.

use super::{
    look::Noise,
    raw::{hex, unhex},
    roles::Role,
    town::Process,
};
use anyhow::{Context, bail};
use bytes::Bytes;
use fyteclub_proto::number::{f64_of, u32_of, u64_of};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    congestion::{BbrConfig, ControllerFactory, CubicConfig, NewRenoConfig},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{
    env,
    io::{Read, Write},
    net::{IpAddr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const KIND: &str = "FYTECLUB_FLOW_KIND";
const IP: &str = "FYTECLUB_FLOW_IP";
const SOURCE: &str = "FYTECLUB_FLOW_SOURCE";
const TICKS: &str = "FYTECLUB_FLOW_TICKS";
const BUFFER: &str = "FYTECLUB_FLOW_BUFFER";
const NAME: &str = "bench.invalid";
const PIECE: usize = 256 << 10;
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Above every BDP in the benches, so that the controller limits.
const WINDOW: u32 = 48 << 20;
const INITIAL: u64 = 128 << 10;

/// Transport and controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    TcpCubic,
    TcpBbr,
    Cubic,
    NewReno,
    Bbr,
    Ours,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::TcpCubic, Self::TcpBbr, Self::Cubic, Self::NewReno, Self::Bbr, Self::Ours];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TcpCubic => "TCP cubic",
            Self::TcpBbr => "TCP bbr",
            Self::Cubic => "quinn cubic",
            Self::NewReno => "quinn newreno",
            Self::Bbr => "quinn bbr",
            Self::Ours => "ours",
        }
    }

    fn tcp(self) -> Option<&'static str> {
        match self {
            Self::TcpCubic => Some("cubic"),
            Self::TcpBbr => Some("bbr"),
            _ => None,
        }
    }

    /// The kernel has no such controller.
    pub(crate) fn lacking(self) -> bool {
        let known = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control");
        self.tcp()
            .is_some_and(|name| !known.unwrap_or_default().split_whitespace().any(|other| other == name))
    }

    fn asked() -> anyhow::Result<Self> {
        let name = env::var(KIND)?;
        Self::ALL.into_iter().find(|kind| kind.name() == name).context("no such flow")
    }

    fn transport(self) -> TransportConfig {
        let mut transport = TransportConfig::default();
        let controller: Arc<dyn ControllerFactory + Send + Sync> = match self {
            Self::TcpCubic | Self::TcpBbr | Self::Cubic => {
                let mut config = CubicConfig::default();
                config.initial_window(INITIAL);
                Arc::new(config)
            }
            Self::NewReno => {
                let mut config = NewRenoConfig::default();
                config.initial_window(INITIAL);
                Arc::new(config)
            }
            Self::Bbr => {
                let mut config = BbrConfig::default();
                config.initial_window(INITIAL);
                Arc::new(config)
            }
            Self::Ours => Arc::new(fyteclub_quic::congestion::Knee::default()),
        };
        transport
            .initial_mtu(1200)
            .stream_receive_window(VarInt::from_u32(WINDOW))
            .receive_window(VarInt::from_u32(WINDOW))
            .send_window(u64::from(WINDOW))
            .congestion_controller_factory(controller);
        transport
    }
}

/// The sending end, waiting for sinks.
pub(crate) struct Source {
    process: Process,
    kind: Kind,
    buffer: usize,
}

impl Source {
    /// `inside` makes the command for a program at the sending end.
    pub(crate) fn start(
        kind: Kind,
        buffer: usize,
        ip: IpAddr,
        inside: impl Fn(&Path) -> Command,
    ) -> anyhow::Result<Self> {
        let mut command = Role::Source.inside(inside)?;
        command.env(KIND, kind.name()).env(IP, ip.to_string()).env(BUFFER, buffer.to_string());
        Ok(Self { process: Process::start(&mut command)?, kind, buffer })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Starts a sink at the other end that reads for so many ticks.
    pub(crate) fn sink(&self, ticks: usize, inside: impl Fn(&Path) -> Command) -> anyhow::Result<Sink> {
        let mut command = Role::Sink.inside(inside)?;
        command
            .env(KIND, self.kind.name())
            .env(SOURCE, &self.process.greeting)
            .env(TICKS, ticks.to_string())
            .env(BUFFER, self.buffer.to_string());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        Ok(Sink(child))
    }
}

pub(crate) struct Sink(std::process::Child);

impl Sink {
    /// Bytes that had arrived at the end of each tick.
    pub(crate) fn counts(mut self) -> anyhow::Result<Vec<f64>> {
        let mut said = String::new();
        self.0.stdout.take().context("a piped stdout")?.read_to_string(&mut said)?;
        anyhow::ensure!(self.0.wait()?.success(), "a flow broke");
        Ok(said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Bits a second from tick `from` to tick `to`.
pub(crate) fn rate(counts: &[f64], from: usize, to: usize) -> f64 {
    let at = |n: usize| n.checked_sub(1).map_or(0.0, |n| counts.get(n).copied().unwrap_or(f64::NAN));
    (at(to) - at(from)) * 8.0 / (TICK.as_secs_f64() * f64_of(u64_of(to - from)))
}

/// The sending process.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let kind = Kind::asked()?;
    let addr = SocketAddr::new(env::var(IP)?.parse()?, 0);
    // quinn does not read it.
    let piece = Bytes::from(Noise::new(1).bytes(PIECE));
    if let Some(name) = kind.tcp() {
        let listener = TcpListener::bind(addr).await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            #[cfg(target_os = "linux")]
            socket2::SockRef::from(&stream).set_tcp_congestion(name.as_bytes())?;
            let piece = piece.clone();
            tokio::spawn(async move { while stream.write_all(&piece).await.is_ok() {} });
        }
    }
    let pair = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
    let certificate = pair.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der()));
    let mut config = ServerConfig::with_single_cert(vec![certificate.clone()], key)?;
    config.transport_config(Arc::new(kind.transport()));
    let endpoint = endpoint(addr, Some(config))?;
    println!("{} {}", endpoint.local_addr()?, hex(&certificate));
    std::io::stdout().flush()?;
    while let Some(incoming) = endpoint.accept().await {
        let piece = piece.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            let Ok((mut send, _)) = connection.accept_bi().await else { return };
            let told = connection.clone();
            let telling = tokio::spawn(async move {
                while env::var_os("FYTECLUB_FLOW_TELL").is_some() {
                    let path = told.stats().path;
                    let (cwnd, rtt) = (path.cwnd, path.rtt.as_secs_f64() * 1e3);
                    eprintln!(
                        "cwnd {cwnd} rtt {rtt:.1} sent {} lost {} events {}",
                        path.sent_packets, path.lost_packets, path.congestion_events
                    );
                    tokio::time::sleep(TICK).await;
                }
            });
            while send.write_chunk(piece.clone()).await.is_ok() {}
            telling.abort();
        });
    }
    Ok(())
}

/// The receiving process.
pub(crate) async fn count() -> anyhow::Result<()> {
    let kind = Kind::asked()?;
    let ticks: usize = env::var(TICKS)?.parse()?;
    let source = env::var(SOURCE)?;
    let mut words = source.split_whitespace();
    let addr: SocketAddr = words.next().context("an address")?.parse()?;
    let began = Instant::now();
    let mut counter = Counter { began, ticks, got: 0, counts: Vec::new() };
    if kind.tcp().is_some() {
        let mut stream = TcpStream::connect(addr).await?;
        let mut room = vec![0; PIECE];
        while let Some(left) = counter.left() {
            if let Ok(got) = tokio::time::timeout(left, stream.read(&mut room)).await {
                counter.got += u64_of(got?);
            }
        }
    } else {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(unhex(words.next().context("a certificate")?)?))?;
        let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
        config.transport_config(Arc::new(kind.transport()));
        let here = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let endpoint = endpoint(here.parse()?, None)?;
        let connection = endpoint.connect_with(config, addr, NAME)?.await?;
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(b"go").await?;
        while let Some(left) = counter.left() {
            if let Ok(chunk) = tokio::time::timeout(left, recv.read_chunk(usize::MAX, true)).await {
                let Some(chunk) = chunk? else { bail!("the source ended") };
                counter.got += u64_of(chunk.bytes.len());
            }
        }
        connection.close(VarInt::from_u32(0), b"");
        tokio::time::timeout(Duration::from_millis(50), endpoint.wait_idle()).await.ok();
    }
    for count in counter.counts {
        println!("{count}");
    }
    Ok(())
}

struct Counter {
    began: Instant,
    ticks: usize,
    got: u64,
    counts: Vec<u64>,
}

impl Counter {
    /// Until the next tick; `None` when all are over.
    fn left(&mut self) -> Option<Duration> {
        loop {
            let next = self.began + TICK * (u32_of(self.counts.len()) + 1);
            let now = Instant::now();
            if next > now {
                return Some(next - now);
            }
            self.counts.push(self.got);
            if self.counts.len() >= self.ticks {
                return None;
            }
        }
    }
}

fn endpoint(addr: SocketAddr, server: Option<ServerConfig>) -> anyhow::Result<Endpoint> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    let buffer: usize = env::var(BUFFER)?.parse()?;
    socket.set_recv_buffer_size(buffer).ok();
    socket.set_send_buffer_size(buffer).ok();
    socket.bind(&addr.into())?;
    Ok(Endpoint::new(EndpointConfig::default(), server, socket.into(), Arc::new(TokioRuntime))?)
}
