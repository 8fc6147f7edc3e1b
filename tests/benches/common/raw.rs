//! The reference of every transfer: bare quinn, one process a side, from memory to memory.
//!
//! Well tuned: ring, one thread, 4 MiB socket buffers, packets of 1,452 bytes from the start, CUBIC, GSO, one stream.
//! No hash, no disk, no second encryption.

use super::{look::Noise, roles::Role, town::Process};
use anyhow::{Context, bail};
use bytes::Bytes;
use fyteclub_proto::number::{u64_of, usize_of};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TokioRuntime,
    TransportConfig, congestion::CubicConfig,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const SOCKET_BUFFER: usize = 4 << 20;
const PIECE: usize = 1 << 20;
/// The packet size of any path.
pub(crate) const PACKET: u16 = 1452;
/// The largest that GSO still batches: ten of them must stay below 65,507 bytes.
pub(crate) const LARGE_PACKET: u16 = 6500;
const PACKET_KEY: &str = "FYTECLUB_BENCH_PACKET";
const NAME: &str = "bench.invalid";

/// A pair of processes with one warm connection between them.
pub(crate) struct Pair {
    server: Process,
    client: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

/// The figures of one fetch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetched {
    pub first: Duration,
    pub whole: Duration,
}

impl Pair {
    pub(crate) fn start(packet: u16) -> anyhow::Result<Self> {
        let packet = packet.to_string();
        let server = Process::start(Role::RawServer.command()?.env(PACKET_KEY, &packet))?;
        let mut client = Role::RawClient
            .command()?
            .env(PACKET_KEY, &packet)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let say = client.stdin.take().context("a piped stdin")?;
        let hear = BufReader::new(client.stdout.take().context("a piped stdout")?);
        let mut pair = Self { server, client, say, hear };
        let greeting = pair.server.greeting.clone();
        pair.ask(&format!("connect {greeting}"))?;
        Ok(pair)
    }

    pub(crate) fn pids(&self) -> [u32; 2] {
        [self.server.pid(), self.client.id()]
    }

    pub(crate) fn fetch(&mut self, bytes: u64) -> anyhow::Result<Fetched> {
        let answer = self.ask(&format!("fetch {bytes}"))?;
        let (first, whole) = answer.split_once(' ').context("two times")?;
        let time = |text: &str| text.parse().map(Duration::from_nanos);
        Ok(Fetched { first: time(first)?, whole: time(whole)? })
    }

    fn ask(&mut self, command: &str) -> anyhow::Result<String> {
        writeln!(self.say, "{command}")?;
        let mut answer = String::new();
        anyhow::ensure!(self.hear.read_line(&mut answer)? > 0, "the raw client ended");
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.client.kill().ok();
        self.client.wait().ok();
    }
}

/// The sending process: prints `ADDR CERTIFICATE`, then answers every stream's number with as many bytes.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let pair = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
    let certificate = pair.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der()));
    let mut config = ServerConfig::with_single_cert(vec![certificate.clone()], key)?;
    config.transport_config(Arc::new(transport()));
    let endpoint = endpoint(Some(config))?;
    println!("{} {}", endpoint.local_addr()?, hex(&certificate));
    std::io::stdout().flush()?;
    // quinn does not read it.
    let piece = Bytes::from(Noise::new(1).bytes(PIECE));
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await?;
        while let Ok((mut send, mut recv)) = connection.accept_bi().await {
            let mut wanted = [0; 8];
            recv.read_exact(&mut wanted).await?;
            let mut left = u64::from_le_bytes(wanted);
            while left > 0 {
                let len = left.min(u64_of(PIECE));
                send.write_chunk(piece.slice(..usize_of(len))).await?;
                left -= len;
            }
            send.finish()?;
        }
    }
    Ok(())
}

/// The receiving process: carries out each line of stdin, and answers with a line.
pub(crate) async fn obey() -> anyhow::Result<()> {
    let mut endpoint = endpoint(None)?;
    let mut connection: Option<Connection> = None;
    loop {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = line.await??;
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), &connection) {
            ([], _) => return Ok(()),
            (["connect", addr, certificate], _) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(CertificateDer::from(unhex(certificate)?))?;
                let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
                config.transport_config(Arc::new(transport()));
                endpoint.set_default_client_config(config);
                connection = Some(endpoint.connect(addr.parse()?, NAME)?.await?);
                println!("ok");
            }
            (["fetch", bytes], Some(connection)) => {
                let Fetched { first, whole } = fetch(connection, bytes.parse()?).await?;
                println!("{} {}", first.as_nanos(), whole.as_nanos());
            }
            _ => bail!("the raw client does not understand {line:?}"),
        }
        std::io::stdout().flush()?;
    }
}

async fn fetch(connection: &Connection, bytes: u64) -> anyhow::Result<Fetched> {
    let began = Instant::now();
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&bytes.to_le_bytes()).await?;
    send.finish()?;
    let (mut got, mut first) = (0, None);
    while let Some(chunk) = recv.read_chunk(usize::MAX, true).await? {
        first.get_or_insert_with(|| began.elapsed());
        got += u64_of(chunk.bytes.len());
    }
    anyhow::ensure!(got == bytes, "{got} bytes came instead of {bytes}");
    let whole = began.elapsed();
    Ok(Fetched { first: first.unwrap_or(whole), whole })
}

fn packet() -> u16 {
    super::env_or(PACKET_KEY, PACKET).min(LARGE_PACKET)
}

fn transport() -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(packet());
    let mut cubic = CubicConfig::default();
    cubic.initial_window(128 * 1024);
    let mut transport = TransportConfig::default();
    transport
        .initial_mtu(packet())
        .mtu_discovery_config(Some(mtu))
        // This process may wait for its next line for long.
        .max_idle_timeout(None)
        .congestion_controller_factory(Arc::new(cubic));
    transport
}

fn endpoint(server: Option<ServerConfig>) -> anyhow::Result<Endpoint> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER).ok();
    socket.set_send_buffer_size(SOCKET_BUFFER).ok();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(packet().max(1472))?;
    Ok(Endpoint::new(config, server, socket.into(), Arc::new(TokioRuntime))?)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}
