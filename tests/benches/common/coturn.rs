//! coturn's TURN server as a rival of the relay: ChannelData from one end becomes plain datagrams to the other
//! (RFC 8656 §12).

use super::town::Process;
use anyhow::Context;
use std::{
    net::{SocketAddr, SocketAddrV4, UdpSocket},
    path::Path,
    process::Command,
    time::Duration,
};

const MAGIC: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const CHANNEL: u16 = 0x4000;

/// One without passwords, for loopback, with a thread for UDP as ours has. None where it is not installed.
pub(crate) fn start(folder: &Path) -> anyhow::Result<Option<(Process, SocketAddr)>> {
    const PROGRAM: &str = "/usr/bin/turnserver";
    if !Path::new(PROGRAM).exists() {
        return Ok(None);
    }
    let SocketAddr::V4(addr) = UdpSocket::bind("127.0.0.1:0")?.local_addr()? else {
        unreachable!("asked for IPv4")
    };
    let mut command = Command::new(PROGRAM);
    command.args([
        "-n",
        "--no-auth",
        "--no-cli",
        "--allow-loopback-peers",
        "--no-tls",
        "--no-dtls",
        "--no-tcp",
    ]);
    command.args(["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--relay-threads", "1"]);
    command.args(["--log-file", "stdout", "--listening-port", &addr.port().to_string()]);
    command.arg("--pidfile").arg(folder.join("turn.pid")).arg("--userdb").arg(folder.join("turn.db"));
    Ok(Some((Process::start(&mut command)?, addr.into())))
}

/// Asks for an allocation at `server` and a channel to `peer`. What `socket` sends in ChannelData arrives there.
pub(crate) fn bind(socket: &UdpSocket, server: SocketAddr, peer: SocketAddr) -> anyhow::Result<()> {
    let SocketAddr::V4(peer) = peer else { anyhow::bail!("{peer} is not IPv4") };
    const REQUESTED_TRANSPORT: u16 = 0x0019;
    const CHANNEL_NUMBER: u16 = 0x000C;
    const XOR_PEER_ADDRESS: u16 = 0x0012;
    ask(socket, server, 0x0003, &[(REQUESTED_TRANSPORT, vec![17, 0, 0, 0])]).context("Allocate")?;
    let channel = [&CHANNEL.to_be_bytes()[..], &[0, 0]].concat();
    ask(socket, server, 0x0009, &[(CHANNEL_NUMBER, channel), (XOR_PEER_ADDRESS, xor(peer))])
        .context("ChannelBind")
}

/// `data` with its header.
pub(crate) fn channel_data(data: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok([&CHANNEL.to_be_bytes()[..], &u16::try_from(data.len())?.to_be_bytes(), data].concat())
}

fn xor(addr: SocketAddrV4) -> Vec<u8> {
    let port = addr.port().to_be_bytes();
    let mut value = vec![0, 1, port[0] ^ MAGIC[0], port[1] ^ MAGIC[1]];
    value.extend(addr.ip().octets().iter().zip(MAGIC).map(|(byte, magic)| byte ^ magic));
    value
}

/// Repeats a request until a success response comes.
fn ask(
    socket: &UdpSocket,
    server: SocketAddr,
    method: u16,
    attributes: &[(u16, Vec<u8>)],
) -> anyhow::Result<()> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend(kind.to_be_bytes());
        body.extend(u16::try_from(value.len())?.to_be_bytes());
        body.extend(value);
    }
    let mut request = method.to_be_bytes().to_vec();
    request.extend(u16::try_from(body.len())?.to_be_bytes());
    request.extend(MAGIC);
    request.extend([u8::try_from(method)?; 12]);
    request.extend(body);
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut buffer = [0; 1500];
    for _ in 0..100 {
        socket.send_to(&request, server)?;
        // Also the answer to a repetition, or an error of a port that does not listen yet.
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let answer = &buffer[..length];
        if length >= 20 && answer[8..20] == request[8..20] {
            anyhow::ensure!(answer[..2] == (method | 0x0100).to_be_bytes(), "refused: {answer:02x?}");
            return Ok(());
        }
    }
    anyhow::bail!("no answer from {server}")
}
