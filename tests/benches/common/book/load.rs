//! Requests over kept connections: as fast as they are answered, or at a fixed rate.

use super::Server;
use crate::common::usage::Meter;
use anyhow::Context;
use fyteclub_proto::number::{f64_of, u32_of, u64_of, usize_of, whole};
use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::sleep_until,
};

/// Connections that send one request after the other.
pub(crate) const CONNECTIONS: usize = 32;

/// A server's figures at full load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Requests a second.
    pub rate: f64,
    /// Server's CPU, µs a request.
    pub cpu: f64,
}

/// Milliseconds from a request's due time to its complete answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub p50: f64,
    pub p99: f64,
}

impl Latency {
    pub(crate) fn of(mut millis: Vec<f64>) -> Self {
        millis.sort_by(f64::total_cmp);
        let at = |part: f64| {
            millis.get(usize_of(whole(f64_of(u64_of(millis.len())) * part))).copied().unwrap_or(f64::NAN)
        };
        Self { p50: at(0.5), p99: at(0.99) }
    }
}

/// Sends every request once; each connection sends again when it is answered.
pub(crate) async fn closed(server: &Server, requests: &[Vec<u8>]) -> anyhow::Result<Load> {
    let lines = Lines::connect(server.addr, Ipv4Addr::LOCALHOST).await?;
    let next = Cell::new(0);
    let meter = Meter::start([server.pid()]);
    let began = Instant::now();
    let work = lines.0.into_iter().map(async |mut line| {
        while let Some(request) = requests.get(next.replace(next.get() + 1)) {
            line.ask(request, "200").await?;
        }
        anyhow::Ok(())
    });
    futures::future::try_join_all(work).await?;
    let wall = began.elapsed().as_secs_f64();
    let cpu = meter.cpu().iter().sum::<f64>();
    let requests = f64_of(u64_of(requests.len()));
    Ok(Load { rate: requests / wall, cpu: cpu * 1e6 / requests })
}

/// Sends every request once, at `rate` a second. A late answer does not lower the rate: a request's time counts from
/// when it was due. It includes this program's late wake-ups, up to 1 ms.
pub(crate) async fn open(lines: &mut Lines, requests: &[Vec<u8>], rate: f64) -> anyhow::Result<Latency> {
    let next = Cell::new(0);
    let latencies = RefCell::new(Vec::with_capacity(requests.len()));
    let start = Instant::now();
    let work = lines.0.iter_mut().map(async |line| {
        loop {
            let number = next.replace(next.get() + 1);
            let Some(request) = requests.get(number) else { return anyhow::Ok(()) };
            let due = start + Duration::from_secs_f64(f64_of(u64_of(number)) / rate);
            if due > Instant::now() {
                sleep_until(due.into()).await;
            }
            line.ask(request, "200").await?;
            latencies.borrow_mut().push(due.elapsed().as_secs_f64() * 1e3);
        }
    });
    futures::future::try_join_all(work).await?;
    Ok(Latency::of(latencies.into_inner()))
}

/// Open connections.
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    /// From `from` and the addresses after it, all of this machine.
    pub(crate) async fn connect(to: SocketAddr, from: Ipv4Addr) -> anyhow::Result<Self> {
        let mut lines = Vec::new();
        for number in 0..u32_of(CONNECTIONS) {
            let from = if from.is_loopback() && from != Ipv4Addr::LOCALHOST {
                Ipv4Addr::from(u32::from(from) + number)
            } else {
                from
            };
            lines.push(Line::connect(to, from.into()).await?);
        }
        Ok(Self(lines))
    }
}

pub(crate) struct Line {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Line {
    pub(crate) async fn connect(to: SocketAddr, from: IpAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: vec![0; 4096] })
    }

    /// Sends, and reads the whole answer; any other status is an error.
    pub(crate) async fn ask(&mut self, request: &[u8], status: &str) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        let mut have = 0;
        loop {
            let read = self.stream.read(self.answer.get_mut(have..).unwrap_or_default()).await?;
            anyhow::ensure!(read > 0, "the server closed the connection");
            have += read;
            let text = std::str::from_utf8(&self.answer[..have])?;
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            anyhow::ensure!(head.get(9..12) == Some(status), "refused: {text}");
            let length = head.lines().filter_map(|line| line.split_once(": "));
            let mut length = length.filter(|(key, _)| key.eq_ignore_ascii_case("content-length"));
            let (_, length) = length.next().context("an answer with a length")?;
            if body.len() >= length.parse::<usize>()? {
                return Ok(());
            }
        }
    }
}
