//! The reference of the relay: a bare UDP forwarder, which sends each datagram of one of two addresses to the other.
//!
//! It checks nothing and knows nothing. Like the relay it receives and sends bundles where the system has them.

use super::{roles::Role, town::Process};
use quinn::udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use std::{
    io::{IoSliceMut, Write},
    net::{SocketAddr, UdpSocket},
};

const ENDS: &str = "FYTECLUB_BENCH_ENDS";

/// Starts one between these ends; returns where it listens.
pub(crate) fn start(ends: [SocketAddr; 2]) -> anyhow::Result<(Process, SocketAddr)> {
    let [one, other] = ends;
    let process = Process::start(Role::Forward.command()?.env(ENDS, format!("{one} {other}")))?;
    let addr = process.greeting.trim().parse()?;
    Ok((process, addr))
}

pub(crate) async fn serve() -> anyhow::Result<()> {
    let ends = std::env::var(ENDS)?;
    let ends: Vec<SocketAddr> = ends.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let state = UdpSocketState::new((&socket).into())?;
    state.set_recv_buffer_size((&socket).into(), 4 << 20).ok();
    state.set_send_buffer_size((&socket).into(), 4 << 20).ok();
    println!("{}", socket.local_addr()?);
    std::io::stdout().flush()?;
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut memory = vec![0; BATCH_SIZE * 65_535];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    loop {
        let count = socket
            .async_io(tokio::io::Interest::READABLE, || {
                let mut parts = memory.chunks_exact_mut(65_535).map(IoSliceMut::new);
                let mut slices: [_; BATCH_SIZE] =
                    std::array::from_fn(|_| parts.next().expect("one for each"));
                state.recv((&socket).into(), &mut slices, &mut metas)
            })
            .await?;
        for (part, meta) in memory.chunks_exact(65_535).zip(&metas).take(count) {
            let to = if meta.addr == ends[0] { ends[1] } else { ends[0] };
            let transmit = Transmit {
                destination: to,
                ecn: None,
                contents: &part[..meta.len],
                segment_size: (meta.len > meta.stride).then_some(meta.stride),
                src_ip: None,
            };
            // A full buffer loses it, as in the relay.
            state.try_send((&socket).into(), &transmit).ok();
        }
    }
}
