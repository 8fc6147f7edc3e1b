//! Attacks on a phone book, as a process of its own, from its own addresses.

use super::{crowd, load::Line, players};
use crate::common::{roles::Role, town::Process};
use anyhow::Context;
use ed25519_dalek::SigningKey;
use futures::SinkExt;
use fyteclub_proto::{
    number::{f64_of, u32_of, u64_of},
    phonebook::live::Say,
};
use std::{
    env,
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::Message;

/// Messages a second of [`Attack::OneAddress`].
pub(crate) const MESSAGES: u32 = 20_000;

const KEY: &str = "FYTECLUB_BENCH_ATTACK";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    /// So many connections that send a head a byte a second.
    SlowHeads(usize),
    /// So many silent connections, reopened when closed.
    Idle(usize),
    /// So many heads a second, of a MiB each.
    HugeHeads(usize),
    /// So many connections of one address, of four kinds: idle, slow heads, requests of unknown paths, and live ones
    /// that send [`MESSAGES`] a second together.
    OneAddress(usize),
    /// So many requests of unknown paths a second. 0: as many as are answered.
    NotFound(usize),
}

impl Attack {
    pub(crate) fn name(self) -> String {
        match self {
            Self::SlowHeads(count) => format!("{count} heads, a byte a second"),
            Self::OneAddress(count) => format!("{count} connections of one address, {MESSAGES} messages/s"),
            Self::Idle(count) => format!("{count} idle connections"),
            Self::HugeHeads(rate) => format!("{rate}/s heads of 1 MiB"),
            Self::NotFound(0) => "404s without a pause, 8 connections".to_owned(),
            Self::NotFound(rate) => format!("{rate}/s 404s"),
        }
    }

    /// Running when this returns, until the process is dropped.
    pub(crate) fn start(self, on: SocketAddr) -> anyhow::Result<Process> {
        let (kind, count) = match self {
            Self::SlowHeads(count) => ("slow", count),
            Self::Idle(count) => ("idle", count),
            Self::OneAddress(count) => ("one", count),
            Self::HugeHeads(count) => ("huge", count),
            Self::NotFound(count) => ("flood", count),
        };
        Process::start(Role::Attack.command()?.env(KEY, format!("{kind} {count} {on}")))
    }

    fn asked() -> anyhow::Result<(Self, SocketAddr)> {
        let asked = env::var(KEY)?;
        let mut words = asked.split(' ');
        let mut word = || words.next().context("kind, number and address");
        let (kind, count) = (word()?.to_owned(), word()?.parse()?);
        let attack = match kind.as_str() {
            "slow" => Self::SlowHeads(count),
            "idle" => Self::Idle(count),
            "one" => Self::OneAddress(count),
            "huge" => Self::HugeHeads(count),
            _ => Self::NotFound(count),
        };
        Ok((attack, word()?.parse()?))
    }
}

/// Runs until this process is ended.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let (attack, on) = Attack::asked()?;
    super::connections(1);
    let (tasks, at_once) = match attack {
        Attack::SlowHeads(count) | Attack::Idle(count) => (count, count / 10 * 9),
        // Refused connections are retried; they count as opened.
        Attack::OneAddress(count) => (count, count),
        Attack::HugeHeads(_) => (4, 4),
        Attack::NotFound(_) => (8, 8),
    };
    let addresses = if matches!(attack, Attack::OneAddress(_)) { 1 } else { 4096 };
    let under_way = Arc::new(AtomicUsize::new(0));
    for number in 0..u32_of(tasks) {
        let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 66, 1)) + number % addresses);
        let one = One { on, from: from.into(), under_way: Arc::clone(&under_way) };
        tokio::spawn(async move {
            sleep(Duration::from_micros(200) * number).await;
            match attack {
                Attack::SlowHeads(_) => one.again_and_again(One::slow_head).await,
                Attack::Idle(_) => one.again_and_again(One::idle).await,
                Attack::OneAddress(count) => {
                    // A refused connection is retried a second later.
                    let rate = f64::from(MESSAGES) / (f64_of(u64_of(count)) / 4.0);
                    loop {
                        match number % 4 {
                            0 => one.idle().await.ok(),
                            1 => one.slow_head().await.ok(),
                            2 => one.flood(8.0).await.ok(),
                            _ => one.live(number, rate).await.ok(),
                        };
                        sleep(Duration::from_secs(1)).await;
                    }
                }
                Attack::HugeHeads(rate) => {
                    let mut next = Instant::now();
                    loop {
                        next = (next + Duration::from_secs(4) / u32_of(rate.max(1))).max(Instant::now());
                        one.huge_head().await.ok();
                        sleep_until(next.into()).await;
                    }
                }
                Attack::NotFound(rate) => {
                    one.again_and_again(|one| one.flood(f64_of(u64_of(rate)) / 8.0)).await
                }
            }
        });
    }
    let began = Instant::now();
    while under_way.load(Ordering::Relaxed) < at_once && began.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(20)).await;
    }
    println!("under way: {} of {tasks}", under_way.load(Ordering::Relaxed));
    std::io::stdout().flush()?;
    std::future::pending().await
}

struct One {
    on: SocketAddr,
    from: IpAddr,
    under_way: Arc<AtomicUsize>,
}

impl One {
    async fn again_and_again<'a, F>(&'a self, attack: impl Fn(&'a Self) -> F)
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        loop {
            if attack(self).await.is_err() {
                sleep(Duration::from_millis(200)).await;
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let stream = socket.connect(self.on).await?;
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    async fn slow_head(&self) -> anyhow::Result<()> {
        let mut stream = self.connect().await?;
        let mut byte = [0];
        for letter in b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
            stream.write_all(&[*letter]).await?;
            // The answer does not matter.
            if timeout(Duration::from_secs(1), stream.read(&mut byte)).await.is_ok() {
                break;
            }
        }
        Ok(())
    }

    async fn idle(&self) -> anyhow::Result<()> {
        let mut stream = self.connect().await?;
        stream.read_u8().await.ok();
        Ok(())
    }

    async fn huge_head(&self) -> anyhow::Result<()> {
        let mut stream = self.connect().await?;
        let head = format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
        stream.write_all(head.as_bytes()).await?;
        stream.read_u8().await.ok();
        Ok(())
    }

    /// A live connection that sends `rate` messages a second, and reads nothing.
    async fn live(&self, number: u32, rate: f64) -> anyhow::Result<()> {
        let mut seed = [0xa7; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        let key = SigningKey::from_bytes(&seed);
        let mut socket = crowd::greeted(self.connect().await?, self.on, &key).await?;
        let here = serde_json::to_string(&Say::Here)?;
        let start = Instant::now();
        for number in 0.. {
            sleep_until((start + Duration::from_secs_f64(f64::from(number) / rate)).into()).await;
            socket.send(Message::text(here.clone())).await?;
        }
        Ok(())
    }

    async fn flood(&self, rate: f64) -> anyhow::Result<()> {
        let mut line = Line::connect(self.on, self.from).await?;
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let request = players::get("/wp-login.php");
        let start = Instant::now();
        for number in 0.. {
            if rate > 0.0 {
                sleep_until((start + Duration::from_secs_f64(f64::from(number) / rate)).into()).await;
            }
            line.ask(&request, "404").await?;
        }
        Ok(())
    }
}
