//! This peer's leg at a relay: binds it over UDP, keeps it, and asks for a WebSocket where UDP does not get through.
//!
//! A leg is bound by a challenge and a proof. The relay challenges again when packets come from another address, so a changed
//! mapping costs one round trip.

use super::words::{Grant, Output, Path, Reply};
use crate::reaching::wire::relay::{Body, Cookie, Frame};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// First pause before a frame is repeated; doubles up to [`KEEP`].
const RETRY: Duration = Duration::from_millis(150);
/// Pause between frames that keep a bound leg and the mapping to the relay.
const KEEP: Duration = Duration::from_secs(24);
/// How long, and for how many frames, the relay may be silent over UDP before a WebSocket is opened beside it.
const TCP_AFTER: Duration = Duration::from_millis(600);
const TCP_AFTER_FRAMES: u32 = 3;
/// First pause after a WebSocket that failed; doubles up to the longest.
const TCP_RETRY: Duration = Duration::from_secs(1);
const TCP_RETRY_MAX: Duration = Duration::from_secs(30);
/// How long a WebSocket stays open beside a better path.
const TCP_LINGER: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Udp {
    /// Nothing to do: there is no UDP address, or the leg is gone.
    Unused,
    AwaitChallenge,
    AwaitBound(Cookie),
    Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tcp {
    Unused,
    /// To be opened then.
    AwaitNeed(Instant),
    AwaitOpen,
    /// `Some`: to be closed then, because a better path is in use.
    Open(Option<Instant>),
}

#[derive(Debug)]
pub(super) struct RelayLeg {
    grant: Grant,
    udp: Udp,
    tries: u32,
    next: Option<Instant>,
    tcp: Tcp,
    tcp_failures: u32,
    /// No better path than a WebSocket works, when it was looked at last.
    needed: bool,
}

impl RelayLeg {
    pub(super) fn new(now: Instant, grant: Grant) -> Self {
        let udp = if grant.udp.is_some() { Udp::AwaitChallenge } else { Udp::Unused };
        let tcp = match (grant.tcp, grant.udp) {
            (false, _) => Tcp::Unused,
            (true, Some(_)) => Tcp::AwaitNeed(now + TCP_AFTER),
            (true, None) => Tcp::AwaitNeed(now),
        };
        let next = grant.udp.map(|_| now);
        Self { grant, udp, tries: 0, next, tcp, tcp_failures: 0, needed: true }
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    pub(super) fn path(&self) -> Option<Path> {
        self.grant.udp.map(|relay| Path::Relay { relay, leg: self.grant.leg })
    }

    pub(super) fn tcp_path(&self) -> Path {
        Path::RelayTcp { leg: self.grant.leg }
    }

    /// `Some`: the path over which probes may be sent now.
    pub(super) fn replied(&mut self, now: Instant, reply: Reply, out: &mut VecDeque<Output>) -> Option<Path> {
        match reply {
            // Each payload from an unproven address is challenged: one proof answers all.
            Reply::Challenge(cookie) if self.udp == Udp::AwaitBound(cookie) => None,
            Reply::Challenge(cookie) if self.udp != Udp::Unused => {
                self.udp = Udp::AwaitBound(cookie);
                self.tries = 0;
                self.send(now, out);
                // The relay processes the proof before a probe that follows it.
                self.path()
            }
            Reply::Bound(_) if self.udp != Udp::Unused => {
                (self.udp, self.tries, self.next) = (Udp::Bound, 0, Some(now + KEEP));
                None
            }
            Reply::Limited { limit, retry_after } => {
                out.push_back(Output::Limited { limit, retry_after });
                None
            }
            Reply::Closed => {
                if self.udp != Udp::Unused {
                    out.push_back(Output::FindRelay);
                }
                (self.udp, self.next) = (Udp::Unused, None);
                None
            }
            Reply::Challenge(_) | Reply::Bound(_) => None,
        }
    }

    /// The mapping to the relay may have changed, or the path through it is silent: binds again, and the relay challenges
    /// if the address is new.
    pub(super) fn rebind(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        if self.udp != Udp::Unused {
            (self.udp, self.tries) = (Udp::AwaitChallenge, 0);
            self.send(now, out);
        }
    }

    /// `Some`: the path over which probes may be sent now.
    pub(super) fn tcp(&mut self, now: Instant, open: bool, out: &mut VecDeque<Output>) -> Option<Path> {
        if open {
            (self.tcp, self.tcp_failures) = (Tcp::Open(None), 0);
            return Some(self.tcp_path());
        }
        if self.tcp != Tcp::Unused {
            let pause = TCP_RETRY.saturating_mul(1 << self.tcp_failures.min(5)).min(TCP_RETRY_MAX);
            self.tcp_failures += 1;
            // A relay that restarted knows no leg, and refuses it.
            if self.tcp_failures > 1 && self.udp != Udp::Bound {
                out.push_back(Output::FindRelay);
            }
            self.tcp = Tcp::AwaitNeed(now + pause);
        }
        None
    }

    /// Whether the relay replies over UDP.
    fn hears_udp(&self) -> bool {
        match self.udp {
            Udp::Unused => false,
            Udp::AwaitChallenge | Udp::AwaitBound(_) => self.tries < TCP_AFTER_FRAMES,
            Udp::Bound => true,
        }
    }

    /// UDP does not get through.
    pub(super) fn blocked(&mut self, now: Instant) {
        if let Tcp::AwaitNeed(at) = &mut self.tcp
            && self.tcp_failures == 0
        {
            *at = now.min(*at);
            self.tries = self.tries.max(TCP_AFTER_FRAMES);
        }
    }

    /// Does what is due. `needed`: no better path than a WebSocket is in use.
    pub(super) fn time(&mut self, now: Instant, needed: bool, out: &mut VecDeque<Output>) {
        if self.next.is_some_and(|at| now >= at) {
            self.send(now, out);
        }
        self.needed = needed;
        let leg = self.grant.leg;
        match self.tcp {
            Tcp::AwaitNeed(at) if needed && now >= at && !self.hears_udp() => {
                self.tcp = Tcp::AwaitOpen;
                out.push_back(Output::OpenTcp(leg));
            }
            Tcp::Open(_) if needed => self.tcp = Tcp::Open(None),
            Tcp::Open(None) => self.tcp = Tcp::Open(Some(now + TCP_LINGER)),
            Tcp::Open(Some(at)) if now >= at => {
                self.tcp = Tcp::AwaitNeed(now);
                out.push_back(Output::CloseTcp(leg));
            }
            _ => {}
        }
    }

    fn send(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        let Some(relay) = self.grant.udp else { return };
        let leg = self.grant.leg;
        let body = match self.udp {
            Udp::Unused => return,
            Udp::AwaitBound(cookie) if self.tries < 3 => {
                Body::Proof { cookie, mac: self.grant.token.prove(leg, &cookie) }
            }
            // The cookie may be too old.
            Udp::AwaitBound(_) | Udp::AwaitChallenge => {
                self.udp = Udp::AwaitChallenge;
                Body::Bind
            }
            Udp::Bound => {
                (self.udp, self.tries) = (Udp::AwaitChallenge, 0);
                Body::Bind
            }
        };
        out.push_back(Output::SendFrame { relay, frame: Frame { leg, body }.encode() });
        self.next = Some(now + RETRY.saturating_mul(1 << self.tries.min(8)).min(KEEP));
        self.tries += 1;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let tcp = match self.tcp {
            Tcp::AwaitNeed(at) if self.needed && !self.hears_udp() => Some(at),
            Tcp::Open(at) if !self.needed => at,
            _ => None,
        };
        self.next.into_iter().chain(tcp).min()
    }
}
