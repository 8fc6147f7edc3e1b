//! The clock of the limits: every pump asks here before it moves bytes. [`fyteclub_proto::fetching::pace`] decides the
//! order.
//!
//! Without limits an ask reads one atomic.

use crate::io::quic::Link;
use fyteclub_proto::{
    fetching::pace::{Direction, Input, Limits, Pace, Rate, Ticket},
    id::PeerId,
    limit::{CHUNK_SIZE, REQUEST_BYTES_MAX},
    number::{u64_of, usize_of},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::{Notify, oneshot};

/// Cheap to clone; all clones share the limits.
#[derive(Clone)]
pub struct Pacer(Arc<Shared>);

struct Shared {
    /// Whether an ask in this direction may have to wait.
    up: AtomicBool,
    down: AtomicBool,
    turns: Mutex<Turns>,
    /// Notified when the alarm has to be set again.
    asked: Notify,
}

struct Turns {
    pace: Pace,
    limits: Limits,
    waiting: HashMap<Ticket, oneshot::Sender<u64>>,
    next: Ticket,
}

impl Turns {
    fn handle(&mut self, input: Input) {
        self.pace.handle(Instant::now(), input);
        while let Some(grant) = self.pace.poll() {
            if let Some(waiting) = self.waiting.remove(&grant.ticket) {
                // A waiter that left at this moment wastes one portion.
                waiting.send(grant.bytes).ok();
            }
        }
    }
}

impl Pacer {
    /// Its clock runs on the current runtime.
    pub fn start(limits: Limits) -> Self {
        let turns =
            Turns { pace: Pace::new(limits, Instant::now()), limits, waiting: HashMap::new(), next: 0 };
        let shared = Shared {
            up: AtomicBool::new(false),
            down: AtomicBool::new(false),
            turns: Mutex::new(turns),
            asked: Notify::new(),
        };
        let pacer = Self(Arc::new(shared));
        pacer.set(limits);
        let clock = pacer.clone();
        tokio::spawn(async move {
            loop {
                let due = clock.turns().pace.deadline();
                let alarm = async {
                    match due {
                        Some((at, _)) => tokio::time::sleep_until(at.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = alarm => clock.turns().handle(Input::Time),
                    () = clock.0.asked.notified() => {}
                }
            }
        });
        pacer
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes effect at once, for waiters too.
    pub fn set(&self, limits: Limits) {
        let mut turns = self.turns();
        turns.limits = limits;
        turns.handle(Input::Limits(limits));
        self.0.up.store(limits.upload.or(limits.peer_upload).is_some(), Ordering::Relaxed);
        self.0.down.store(limits.download.or(limits.peer_download).is_some(), Ordering::Relaxed);
        self.0.asked.notify_one();
    }

    /// The limits, if they apply to this link and direction.
    fn limits(&self, link: &Link, direction: Direction) -> Option<Limits> {
        let limited = match direction {
            Direction::Up => &self.0.up,
            Direction::Down => &self.0.down,
        };
        if !limited.load(Ordering::Relaxed) {
            return None;
        }
        let limits = self.turns().limits;
        (limits.lan || !link.place().is_local()).then_some(limits)
    }

    /// Whether bytes over this link may have to wait.
    pub fn holds(&self, link: &Link, direction: Direction) -> bool {
        self.limits(link, direction).is_some()
    }

    /// Waits until some of these bytes may be moved, and returns how many: without limits all, at once. Dropping it
    /// withdraws the ask.
    pub async fn wait(&self, link: &Link, direction: Direction, bytes: usize) -> usize {
        match self.limits(link, direction) {
            None => bytes,
            Some(_) => self.turn(link.peer(), direction, bytes).await,
        }
    }

    async fn turn(&self, peer: PeerId, direction: Direction, bytes: usize) -> usize {
        struct Asked<'a>(&'a Pacer, Ticket);
        impl Drop for Asked<'_> {
            fn drop(&mut self) {
                let mut turns = self.0.turns();
                if turns.waiting.remove(&self.1).is_some() {
                    turns.handle(Input::Withdraw(self.1));
                }
            }
        }
        let (granting, granted) = oneshot::channel();
        let asked = {
            let mut turns = self.turns();
            let ticket = turns.next;
            turns.next += 1;
            turns.waiting.insert(ticket, granting);
            turns.handle(Input::Ask { ticket, peer, direction, bytes: u64_of(bytes) });
            Asked(self, ticket)
        };
        self.0.asked.notify_one();
        let granted = granted.await.map_or(bytes, usize_of);
        drop(asked);
        granted
    }

    /// The bytes that a request over this link should ask for, so that all streams together have about a second's worth
    /// in flight: requested bytes arrive as fast as the path allows.
    pub fn request_bytes(&self, link: &Link) -> u64 {
        let Some(limits) = self.limits(link, Direction::Down) else { return REQUEST_BYTES_MAX };
        let slowest = limits.download.into_iter().chain(limits.peer_download).map(Rate::bytes_a_second).min();
        slowest.map_or(REQUEST_BYTES_MAX, |rate| (rate / 4).clamp(u64_of(CHUNK_SIZE), REQUEST_BYTES_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::time::Duration;

    const PEER: PeerId = PeerId::from_bytes([1; 32]);

    fn up(bytes: u64) -> Limits {
        Limits { upload: bytes.try_into().ok(), ..Limits::default() }
    }

    #[tokio::test]
    async fn waiter_is_granted_in_time_or_when_the_limit_ends() {
        let pacer = Pacer::start(up(1 << 20));
        let turn = tokio::time::timeout(Duration::from_secs(20), pacer.turn(PEER, Direction::Up, 1 << 30));
        let granted = turn.await.expect("a portion");
        assert!((1..=1 << 20).contains(&granted), "{granted}");
        pacer.set(up(16 << 10));
        let mut turn = Box::pin(pacer.turn(PEER, Direction::Up, 1 << 30));
        while let Some(granted) = turn.as_mut().now_or_never() {
            assert!(granted < 1 << 30);
            turn = Box::pin(pacer.turn(PEER, Direction::Up, 1 << 30));
        }
        pacer.set(Limits::default());
        assert_eq!(turn.await, 1 << 30);
    }

    #[tokio::test]
    async fn dropped_wait_leaves_no_ask() {
        let pacer = Pacer::start(up(16 << 10));
        let mut turns: Vec<_> = (0..10).map(|_| Box::pin(pacer.turn(PEER, Direction::Up, 1 << 20))).collect();
        for turn in &mut turns {
            turn.as_mut().now_or_never();
        }
        drop(turns);
        assert!(pacer.turns().waiting.is_empty());
        assert!(pacer.turns().pace.deadline().is_none());
    }
}
