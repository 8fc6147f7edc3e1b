//! A conversation with a router that speaks UPnP: asks it for a mapping, whether the mapping is still there, or to remove
//! one.
//!
//! An outside port is read before it is asked for, because a router gives it to a second program of the same machine
//! without a word, and read again afterwards: only then is its lease known.

use super::{
    by::By,
    journal::Entry,
    orders::{End, Grant, Order},
    words::{Action, Cause, Device, Mapped, Refusal, Reply},
};
use crate::{bytes::Bytes, reaching::candidate::is_public};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

/// How long one answer may take; longer than whoever carries the request waits.
const ANSWER_TIME: Duration = Duration::from_secs(8);
/// Outside ports that are tried before the router chooses.
const PORTS_TRIED: u16 = 3;
/// What is asked for where a router refuses the lease before: an hour; for ever; a week, the longest that some take.
const LEASES: [u32; 3] = [super::dialogue::LIFETIME, 0, 604_800];

/// For whom it is, and with whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parties {
    pub(super) local: Ipv4Addr,
    pub(super) inside: u16,
    pub(super) device: Device,
}

impl Parties {
    pub(super) fn entry(&self, outside: u16) -> Entry {
        let Self { local, inside, device, .. } = *self;
        Entry { by: By::Upnp, router: device.ip, local, inside, outside, nonce: Bytes([0; 12]) }
    }

    fn is_ours(&self, mapped: Mapped) -> bool {
        mapped.client == self.local && mapped.inside == self.inside
    }
}

#[derive(Debug)]
pub(super) struct Igd {
    parties: Parties,
    task: Task,
    step: Step,
    due: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Task {
    /// From this outside port on.
    Map {
        first: u16,
    },
    /// The mapping from there; it is made again where it is gone.
    Check {
        outside: SocketAddrV4,
    },
    Remove(Entry),
}

/// What is awaited.
#[derive(Debug, Clone, Copy)]
enum Step {
    Address,
    Before { address: Ipv4Addr, tried: u16 },
    Added { address: Ipv4Addr, tried: u16, lease: usize },
    AddedAny { address: Ipv4Addr, lease: usize },
    After { address: Ipv4Addr, outside: u16, tried: u16, lease: usize },
    Leftover,
    Removed,
}

impl Igd {
    pub(super) fn map(now: Instant, parties: Parties, first: u16, orders: &mut Vec<Order>) -> Self {
        Self::begin(now, parties, Task::Map { first }, Step::Address, Action::Address, orders)
    }

    /// Ends with [`End::Kept`], or as [`Igd::map`] does.
    pub(super) fn check(
        now: Instant,
        parties: Parties,
        outside: SocketAddrV4,
        orders: &mut Vec<Order>,
    ) -> Self {
        Self::begin(now, parties, Task::Check { outside }, Step::Address, Action::Address, orders)
    }

    /// Ends with [`End::Removed`]. What another program holds by now is left alone.
    pub(super) fn remove(now: Instant, parties: Parties, entry: Entry, orders: &mut Vec<Order>) -> Self {
        let action = Action::Entry { outside: entry.outside };
        Self::begin(now, parties, Task::Remove(entry), Step::Leftover, action, orders)
    }

    fn begin(
        now: Instant,
        parties: Parties,
        task: Task,
        step: Step,
        action: Action,
        orders: &mut Vec<Order>,
    ) -> Self {
        let mut igd = Self { parties, task, step, due: now };
        igd.ask(now, step, action, orders);
        igd
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn time(&self, now: Instant) -> Option<End> {
        (now >= self.due).then_some(self.silent())
    }

    fn silent(&self) -> End {
        match self.task {
            Task::Remove(_) => End::Removed(false),
            Task::Map { .. } | Task::Check { .. } => End::Denied(None),
        }
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        reply: Result<Reply, Refusal>,
        orders: &mut Vec<Order>,
    ) -> Option<End> {
        match self.step {
            Step::Address => match reply {
                Ok(Reply::Address(Some(IpAddr::V4(address)))) if is_public(address.into()) => {
                    self.read(now, address, 0, orders)
                }
                Ok(Reply::Address(_)) => Some(End::Denied(Some(Cause::AnotherRouter))),
                Err(Refusal::Code(code)) => Some(End::Denied(Some(of_code(code)))),
                Ok(_) | Err(Refusal::Silent) => Some(self.silent()),
            },
            Step::Before { address, tried } => match reply {
                Ok(Reply::Entry(Some(mapped))) if !self.parties.is_ours(mapped) => {
                    self.next(now, address, tried, orders)
                }
                Ok(Reply::Entry(Some(_))) if self.is_unchanged(address, tried) => Some(End::Kept),
                // A router that does not list what it has may give all the same.
                Ok(Reply::Entry(_)) | Err(Refusal::Code(_)) => self.add(now, address, tried, 0, orders),
                Ok(_) | Err(Refusal::Silent) => Some(self.silent()),
            },
            Step::Added { address, tried, lease } => match reply {
                Ok(Reply::Added) => {
                    let outside = self.port(tried);
                    self.read_again(now, address, outside, tried, lease, orders)
                }
                // What the router refuses is not there.
                Err(Refusal::Code(code)) => {
                    orders.push(Order::Strike(self.parties.entry(self.port(tried))));
                    match code {
                        718 | 729 => self.next(now, address, tried, orders),
                        402 | 725 if lease + 1 < LEASES.len() => {
                            self.add(now, address, tried, lease + 1, orders)
                        }
                        code => Some(End::Denied(Some(of_code(code)))),
                    }
                }
                Ok(_) | Err(Refusal::Silent) => Some(self.silent()),
            },
            Step::AddedAny { address, lease } => match reply {
                Ok(Reply::AddedAt(outside)) if outside > 0 => {
                    orders.push(Order::Note(self.parties.entry(outside)));
                    self.read_again(now, address, outside, PORTS_TRIED, lease, orders)
                }
                Err(Refusal::Code(402 | 725)) if lease + 1 < LEASES.len() => {
                    self.add_any(now, address, lease + 1, orders)
                }
                // It does not know the action, so no port was free.
                Err(Refusal::Code(401 | 602)) => Some(End::Denied(Some(Cause::Full))),
                Err(Refusal::Code(code)) => Some(End::Denied(Some(of_code(code)))),
                Ok(_) | Err(Refusal::Silent) => Some(self.silent()),
            },
            Step::After { address, outside, tried, lease } => {
                let seconds = match reply {
                    Ok(Reply::Entry(Some(mapped))) if self.parties.is_ours(mapped) => mapped.seconds,
                    // Another program of this machine was quicker, or the router forgot it at once.
                    Ok(Reply::Entry(_)) => {
                        orders.push(Order::Strike(self.parties.entry(outside)));
                        return self.next(now, address, tried, orders);
                    }
                    Ok(_) | Err(_) => LEASES[lease],
                };
                let outside = SocketAddrV4::new(address, outside);
                let seconds = (seconds > 0).then_some(seconds);
                Some(End::Granted(Grant { by: By::Upnp, outside, seconds }))
            }
            Step::Leftover => match (reply, self.task) {
                (Ok(Reply::Entry(Some(mapped))), Task::Remove(Entry { local, inside, outside, .. }))
                    if mapped.client == local && mapped.inside == inside =>
                {
                    self.ask(now, Step::Removed, Action::Remove { outside }, orders);
                    None
                }
                (Ok(Reply::Entry(_)) | Err(Refusal::Code(_)), _) => Some(End::Removed(true)),
                _ => Some(End::Removed(false)),
            },
            Step::Removed => Some(End::Removed(reply != Err(Refusal::Silent))),
        }
    }

    fn ask(&mut self, now: Instant, step: Step, action: Action, orders: &mut Vec<Order>) {
        (self.step, self.due) = (step, now + ANSWER_TIME);
        orders.push(Order::Ask { device: self.parties.device.number, action });
    }

    fn read(&mut self, now: Instant, address: Ipv4Addr, tried: u16, orders: &mut Vec<Order>) -> Option<End> {
        let outside = self.port(tried);
        self.ask(now, Step::Before { address, tried }, Action::Entry { outside }, orders);
        None
    }

    fn read_again(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        outside: u16,
        tried: u16,
        lease: usize,
        orders: &mut Vec<Order>,
    ) -> Option<End> {
        let step = Step::After { address, outside, tried, lease };
        self.ask(now, step, Action::Entry { outside }, orders);
        None
    }

    fn add(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        tried: u16,
        lease: usize,
        orders: &mut Vec<Order>,
    ) -> Option<End> {
        let outside = self.port(tried);
        orders.push(Order::Note(self.parties.entry(outside)));
        let action = Action::Add { outside, inside: self.parties.inside, seconds: LEASES[lease] };
        self.ask(now, Step::Added { address, tried, lease }, action, orders);
        None
    }

    fn add_any(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        lease: usize,
        orders: &mut Vec<Order>,
    ) -> Option<End> {
        let action = Action::AddAny { inside: self.parties.inside, seconds: LEASES[lease] };
        self.ask(now, Step::AddedAny { address, lease }, action, orders);
        None
    }

    /// The port is taken: the next one, or the router's choice.
    fn next(&mut self, now: Instant, address: Ipv4Addr, tried: u16, orders: &mut Vec<Order>) -> Option<End> {
        match tried + 1 {
            next if next < PORTS_TRIED => self.read(now, address, next, orders),
            PORTS_TRIED => self.add_any(now, address, 0, orders),
            _ => Some(End::Denied(Some(Cause::Full))),
        }
    }

    /// The outside port of a try: never one below 1024.
    fn port(&self, tried: u16) -> u16 {
        let first = match self.task {
            Task::Map { first } => first,
            Task::Check { outside } => outside.port(),
            Task::Remove(entry) => entry.outside,
        };
        first.checked_add(tried).unwrap_or(1024 + tried)
    }

    fn is_unchanged(&self, address: Ipv4Addr, tried: u16) -> bool {
        matches!(self.task, Task::Check { outside } if *outside.ip() == address && tried == 0)
    }
}

fn of_code(code: u16) -> Cause {
    match code {
        // "Action failed", which is what miniupnpd says when it is not connected to the internet itself.
        501 => Cause::AnotherRouter,
        606 => Cause::Forbidden,
        718 | 728 | 729 => Cause::Full,
        _ => Cause::Failed,
    }
}
