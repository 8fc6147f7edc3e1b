//! A conversation with a gateway at port 5351: asks it for a mapping, to remove one, or whether it still knows them.
//!
//! For a mapping PCP and NAT-PMP are asked at the same time, because nothing tells which a router speaks. PCP is taken
//! where it answers: its mappings cannot be changed by others. NAT-PMP is taken when its address came and PCP refused, or was
//! silent until the next try.

use super::{
    by::By,
    journal::Entry,
    natpmp,
    orders::{End, Grant, Order},
    pcp::{self, Nonce},
    words::Cause,
};
use crate::{bytes::Bytes, reaching::candidate::is_public};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

/// Seconds that are asked for. Some routers grant more, and some do not forget.
pub(super) const LIFETIME: u32 = 3600;
/// Until the second try; each pause is twice the one before. The sequence of RFC 6886 §3.1, cut: whoever is silent for
/// 1.75 s is asked by UPnP, and again later.
const PAUSE: Duration = Duration::from_millis(250);
const TRIES: u32 = 3;

/// Between whom it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) local: Ipv4Addr,
    pub(super) gateway: Ipv4Addr,
    pub(super) inside: u16,
    pub(super) nonce: Nonce,
}

impl Ends {
    pub(super) fn entry(&self, by: By, outside: u16) -> Entry {
        let nonce = Bytes(if by == By::Pcp { self.nonce } else { Nonce::default() });
        Entry { by, router: self.gateway, local: self.local, inside: self.inside, outside, nonce }
    }
}

#[derive(Debug)]
pub(super) struct Dialogue {
    ends: Ends,
    talk: Talk,
    tries: u32,
    due: Instant,
    epoch: Option<u32>,
}

#[derive(Debug)]
enum Talk {
    Map {
        /// Whether PCP may still answer.
        pcp: bool,
        pmp: Pmp,
        /// The outside address and port that are asked for.
        wish: SocketAddrV4,
        cause: Option<Cause>,
    },
    Remove(Entry),
    Check {
        by: By,
        outside: SocketAddrV4,
    },
}

/// How far NAT-PMP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pmp {
    /// It refused, or is not asked.
    Off,
    AwaitAddress,
    /// It said this one; PCP may still answer.
    Has(Ipv4Addr),
    AwaitMapping(Ipv4Addr),
}

impl Dialogue {
    /// Asks for a mapping; `by` where only one of the two protocols is to be asked.
    pub(super) fn map(
        now: Instant,
        ends: Ends,
        by: Option<By>,
        wish: SocketAddrV4,
        orders: &mut Vec<Order>,
    ) -> Self {
        let pcp = by != Some(By::NatPmp);
        let pmp = if by == Some(By::Pcp) { Pmp::Off } else { Pmp::AwaitAddress };
        if pcp {
            orders.push(Order::Note(ends.entry(By::Pcp, wish.port())));
        }
        Self::begin(now, ends, Talk::Map { pcp, pmp, wish, cause: None }, orders)
    }

    /// Ends with [`End::Removed`].
    pub(super) fn remove(now: Instant, ends: Ends, entry: Entry, orders: &mut Vec<Order>) -> Self {
        Self::begin(now, ends, Talk::Remove(entry), orders)
    }

    /// Asks for the epoch, and with NAT-PMP for the outside address. Ends with [`End::Kept`], [`End::Changed`] or a denial.
    pub(super) fn check(
        now: Instant,
        ends: Ends,
        by: By,
        outside: SocketAddrV4,
        orders: &mut Vec<Order>,
    ) -> Self {
        Self::begin(now, ends, Talk::Check { by, outside }, orders)
    }

    fn begin(now: Instant, ends: Ends, talk: Talk, orders: &mut Vec<Order>) -> Self {
        let mut dialogue = Self { ends, talk, tries: 0, due: now, epoch: None };
        dialogue.send(now, orders);
        dialogue
    }

    /// The epoch of the last answer; once.
    pub(super) fn take_epoch(&mut self) -> Option<u32> {
        self.epoch.take()
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether it is about the mapping in use, which stays while this runs.
    pub(super) fn is_check(&self) -> bool {
        matches!(self.talk, Talk::Check { .. })
    }

    pub(super) fn heard(&mut self, now: Instant, bytes: &[u8], orders: &mut Vec<Order>) -> Option<End> {
        if let Ok(answer) = pcp::Answer::decode(bytes) {
            self.heard_pcp(now, answer, orders)
        } else if let Ok(answer) = natpmp::Answer::decode(bytes) {
            self.heard_pmp(now, answer, orders)
        } else {
            None
        }
    }

    /// Nobody listens at the gateway's port.
    pub(super) fn refused(&self, orders: &mut Vec<Order>) -> End {
        self.unanswered(orders)
    }

    pub(super) fn time(&mut self, now: Instant, orders: &mut Vec<Order>) -> Option<End> {
        if now < self.due {
            return None;
        }
        if let Talk::Map { pcp: pcp @ true, pmp: Pmp::Has(_), wish, .. } = &mut self.talk {
            *pcp = false;
            orders.push(Order::Strike(self.ends.entry(By::Pcp, wish.port())));
            return self.advance(now, orders);
        }
        if self.tries >= TRIES {
            return Some(self.unanswered(orders));
        }
        self.send(now, orders);
        None
    }

    fn unanswered(&self, orders: &mut Vec<Order>) -> End {
        match &self.talk {
            Talk::Map { pcp, pmp, wish, cause } => {
                if *pcp {
                    orders.push(Order::Strike(self.ends.entry(By::Pcp, wish.port())));
                }
                if matches!(pmp, Pmp::AwaitMapping(_)) {
                    orders.push(Order::Strike(self.ends.entry(By::NatPmp, wish.port())));
                }
                End::Denied(*cause)
            }
            Talk::Remove(_) => End::Removed(false),
            Talk::Check { .. } => End::Denied(None),
        }
    }

    fn send(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let Ends { local, inside, nonce, .. } = self.ends;
        let mut send = |bytes| orders.push(Order::Send(bytes));
        match &self.talk {
            Talk::Map { pcp, pmp, wish, .. } => {
                if *pcp {
                    let (outside, address) = (wish.port(), *wish.ip());
                    let map = pcp::Request::Map {
                        client: local,
                        nonce,
                        inside,
                        outside,
                        address,
                        lifetime: LIFETIME,
                    };
                    send(map.encode());
                }
                match pmp {
                    Pmp::AwaitAddress => send(natpmp::Request::Address.encode()),
                    Pmp::AwaitMapping(_) => {
                        let map = natpmp::Request::Map { inside, outside: wish.port(), lifetime: LIFETIME };
                        send(map.encode());
                    }
                    Pmp::Off | Pmp::Has(_) => {}
                }
            }
            Talk::Remove(Entry { by: By::Pcp, inside, nonce, .. }) => {
                let (address, nonce) = (Ipv4Addr::UNSPECIFIED, nonce.0);
                send(
                    pcp::Request::Map {
                        client: local,
                        nonce,
                        inside: *inside,
                        outside: 0,
                        address,
                        lifetime: 0,
                    }
                    .encode(),
                );
            }
            // An inside port of 0 would remove the mappings of every program here.
            Talk::Remove(Entry { inside, .. }) if *inside != 0 => {
                send(natpmp::Request::Map { inside: *inside, outside: 0, lifetime: 0 }.encode());
            }
            Talk::Remove(_) => {}
            Talk::Check { by: By::Pcp, .. } => send(pcp::Request::Announce { client: local }.encode()),
            Talk::Check { .. } => send(natpmp::Request::Address.encode()),
        }
        self.due = now + PAUSE * 2_u32.pow(self.tries);
        self.tries += 1;
    }

    fn heard_pcp(&mut self, now: Instant, answer: pcp::Answer, orders: &mut Vec<Order>) -> Option<End> {
        use pcp::Answer;
        let Ends { inside: port, nonce: ours, .. } = self.ends;
        if let Answer::Announce { epoch } | Answer::Map { epoch, .. } = answer {
            self.epoch = Some(epoch);
        }
        match (&mut self.talk, answer) {
            (Talk::Map { pcp, wish, cause, .. }, answer) if *pcp && answer.is_about_mapping() => {
                let why = match answer {
                    Answer::Map { nonce, inside, .. } if nonce != ours || inside != port => return None,
                    Answer::Map { lifetime, outside, address: IpAddr::V4(address), .. }
                        if lifetime > 0 && outside > 0 =>
                    {
                        if is_public(address.into()) {
                            let outside = SocketAddrV4::new(address, outside);
                            let grant = Grant { by: By::Pcp, outside, seconds: Some(lifetime) };
                            return Some(End::Granted(grant));
                        }
                        // It was made, and stays noted to be removed.
                        *pcp = false;
                        *cause = (*cause).max(Some(Cause::AnotherRouter));
                        return self.advance(now, orders);
                    }
                    Answer::Refused { nonce: Some(nonce), .. } if nonce != ours => return None,
                    Answer::Refused { code, .. } => of_pcp(code),
                    Answer::Map { .. } | Answer::Announce { .. } => Some(Cause::Failed),
                };
                *pcp = false;
                *cause = (*cause).max(why);
                let entry = self.ends.entry(By::Pcp, wish.port());
                orders.push(Order::Strike(entry));
                self.advance(now, orders)
            }
            // NAT-PMP's question for the address has the number of ANNOUNCE.
            (Talk::Map { pmp, .. }, Answer::Refused { code: pcp::UNSUPPORTED_VERSION, .. }) => {
                if *pmp == Pmp::AwaitAddress {
                    *pmp = Pmp::Off;
                }
                self.advance(now, orders)
            }
            (Talk::Remove(Entry { by: By::Pcp, .. }), answer) if answer.is_about_mapping() => {
                Some(End::Removed(true))
            }
            (Talk::Check { by: By::Pcp, .. }, Answer::Announce { .. }) => Some(End::Kept),
            _ => None,
        }
    }

    fn heard_pmp(&mut self, now: Instant, answer: natpmp::Answer, orders: &mut Vec<Order>) -> Option<End> {
        use natpmp::Answer;
        if let Answer::Address { epoch, .. } | Answer::Map { epoch, .. } = answer {
            self.epoch = Some(epoch);
        }
        let port = self.ends.inside;
        match (&mut self.talk, answer) {
            (Talk::Map { pmp: pmp @ Pmp::AwaitAddress, cause, .. }, answer) if answer.is_about_address() => {
                match answer {
                    Answer::Address { address, .. } if is_public(address.into()) => *pmp = Pmp::Has(address),
                    Answer::Refused { code, .. } => {
                        *pmp = Pmp::Off;
                        *cause = (*cause).max(of_pmp(code));
                    }
                    Answer::Address { .. } | Answer::Map { .. } => {
                        *pmp = Pmp::Off;
                        *cause = (*cause).max(Some(Cause::AnotherRouter));
                    }
                }
                self.advance(now, orders)
            }
            // A router that has NAT-PMP only refuses PCP so.
            (
                Talk::Map { pcp: pcp @ true, wish, .. },
                Answer::Refused { code: natpmp::UNSUPPORTED_VERSION, .. },
            ) => {
                *pcp = false;
                let entry = self.ends.entry(By::Pcp, wish.port());
                orders.push(Order::Strike(entry));
                self.advance(now, orders)
            }
            (
                Talk::Map { pmp: Pmp::AwaitMapping(address), .. },
                Answer::Map { inside, outside, lifetime, .. },
            ) if inside == port && outside > 0 && lifetime > 0 => {
                let outside = SocketAddrV4::new(*address, outside);
                Some(End::Granted(Grant { by: By::NatPmp, outside, seconds: Some(lifetime) }))
            }
            (
                Talk::Map { pmp: pmp @ Pmp::AwaitMapping(_), wish, cause, .. },
                Answer::Refused { code, .. },
            ) => {
                *pmp = Pmp::Off;
                *cause = (*cause).max(of_pmp(code));
                let entry = self.ends.entry(By::NatPmp, wish.port());
                orders.push(Order::Strike(entry));
                self.advance(now, orders)
            }
            (Talk::Remove(entry), Answer::Map { inside, .. }) if inside == entry.inside => {
                Some(End::Removed(true))
            }
            (Talk::Remove(Entry { by: By::NatPmp, .. }), Answer::Refused { .. }) => Some(End::Removed(true)),
            (Talk::Check { by: By::NatPmp, outside }, Answer::Address { address, .. }) => {
                Some(if address == *outside.ip() { End::Kept } else { End::Changed })
            }
            (Talk::Check { by: By::NatPmp, .. }, Answer::Refused { .. }) => Some(End::Changed),
            _ => None,
        }
    }

    /// Goes on with NAT-PMP where PCP came to nothing.
    fn advance(&mut self, now: Instant, orders: &mut Vec<Order>) -> Option<End> {
        let Talk::Map { pcp: false, pmp, wish, cause } = &mut self.talk else { return None };
        match *pmp {
            Pmp::Off => Some(End::Denied(*cause)),
            Pmp::Has(address) => {
                *pmp = Pmp::AwaitMapping(address);
                let entry = self.ends.entry(By::NatPmp, wish.port());
                orders.push(Order::Note(entry));
                self.tries = 0;
                self.send(now, orders);
                None
            }
            Pmp::AwaitAddress | Pmp::AwaitMapping(_) => None,
        }
    }
}

/// What a router means that has nothing to give, and what it means that is not connected to anything.
fn of_pcp(code: u8) -> Option<Cause> {
    match code {
        pcp::UNSUPPORTED_VERSION => None,
        2 => Some(Cause::Forbidden),
        // NETWORK_FAILURE and NO_RESOURCES: without a public address there is nothing to give.
        7 | 8 => Some(Cause::AnotherRouter),
        10 | 11 => Some(Cause::Full),
        _ => Some(Cause::Failed),
    }
}

fn of_pmp(code: u16) -> Option<Cause> {
    match code {
        natpmp::UNSUPPORTED_VERSION => None,
        2 => Some(Cause::Forbidden),
        3 => Some(Cause::AnotherRouter),
        4 => Some(Cause::Full),
        _ => Some(Cause::Failed),
    }
}
