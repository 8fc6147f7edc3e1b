//! Mapping a port on the home router, so that peers outside can dial this machine: what is asked of which router, when
//! again, and what is told of it.
//!
//! [`Mappings`] has a `line` for each network of this machine; [`natpmp`] and [`pcp`] are the bytes, UPnP is an
//! [`Action`] that others carry out. A mapping is a candidate and nothing more until somebody came in on it: routers
//! promise what they do not do. Nothing is sent to an address outside of the network that the interface is in.
//!
//! Each mapping is noted in the [`Journal`] before it is asked for, so that one which outlives its daemon is removed at the
//! next start: mappings of routers can last for ever.

mod by;
mod dialogue;
mod doing;
mod epoch;
mod igd;
mod journal;
mod lease;
mod line;
pub mod natpmp;
mod orders;
pub mod pcp;
#[cfg(test)]
mod tests;
mod words;

pub use by::By;
pub use journal::{Entry, JOURNAL_MAX, Journal};
pub use words::{
    Action, Cause, Device, Input, Mapped, Output, Refusal, Reply, SEARCH_TIME, Standing, Switches, Uplink,
    Why,
};

use doing::Setup;
use line::Line;
use orders::Order;
use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddrV4},
    time::Instant,
};

/// Networks in which a router is asked. More are not told of.
pub const UPLINKS_MAX: usize = 4;
/// Ports below belong to services of machines: they are not asked for.
const PORT_MIN: u16 = 1024;

#[derive(Debug)]
pub struct Mappings {
    switches: Switches,
    /// The UDP port of this machine to which everything is mapped.
    inside: u16,
    lines: Vec<(Line, Option<Standing>)>,
    journal: Journal,
    told: Vec<SocketAddrV4>,
    is_stopping: bool,
    outputs: VecDeque<Output>,
}

impl Mappings {
    /// `journal` is what the last life left. Nothing is asked before [`Input::Uplinks`].
    pub fn new(switches: Switches, inside: u16, mut journal: Journal) -> Self {
        journal.mappings.truncate(JOURNAL_MAX);
        let (lines, told, outputs) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { switches, inside, lines, journal, told, is_stopping: false, outputs }
    }

    /// `jitter` is in 0..1.
    pub fn handle(&mut self, now: Instant, jitter: f64, input: Input<'_>) {
        match input {
            Input::Uplinks(uplinks) => self.uplinks(now, jitter, &uplinks),
            Input::Received { local, bytes } => self.with(local, |line| line.heard(now, jitter, bytes)),
            Input::Refused { local } => self.with(local, |line| line.refused(now, jitter)),
            Input::Announced { from, bytes } => {
                for (line, _) in &mut self.lines {
                    if line.uplink().gateway() == Some(from) {
                        line.announced(now, jitter, bytes);
                    }
                }
            }
            Input::Found { local, device } => self.with(local, |line| line.found(now, jitter, device)),
            Input::Searched { local } => self.with(local, |line| line.searched(now, jitter)),
            Input::Answered { local, reply } => self.with(local, |line| line.answered(now, jitter, reply)),
            Input::CameIn(from) => {
                // With several mappings nobody knows which one it was.
                if let [(line, _)] = &mut self.lines[..] {
                    line.prove(from);
                }
            }
            Input::Stop => {
                self.is_stopping = true;
                self.lines.iter_mut().for_each(|(line, _)| line.stop(now));
            }
            Input::Time => self.lines.iter_mut().for_each(|(line, _)| line.time(now, jitter)),
        }
        self.collect();
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        self.lines.iter().filter_map(|(line, _)| line.deadline()).min_by_key(|(at, _)| *at)
    }

    /// After [`Input::Stop`]: whether every router answered, or will not.
    pub fn is_over(&self) -> bool {
        self.is_stopping && self.lines.iter().all(|(line, _)| line.is_over())
    }

    /// The best that any network has: a mapping, or why there is none.
    pub fn standing(&self) -> Standing {
        let rank = |standing: &Standing| match standing {
            Standing::Mapped { proven, .. } => (0, u8::from(!proven)),
            Standing::Searching => (1, 0),
            Standing::Without(_) => (2, 0),
        };
        let all = self.lines.iter().map(|(line, _)| line.standing());
        let none = if self.inside < PORT_MIN { Cause::LowPort } else { Cause::NoNetwork };
        all.min_by_key(rank).unwrap_or(Standing::Without(none))
    }

    /// Why nothing is waited for, where nothing is. In every other state there is a deadline.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> Option<&'static str> {
        if self.lines.is_empty() {
            Some("no network with a router, or nothing is switched on")
        } else if self.is_over() {
            Some("over")
        } else {
            None
        }
    }

    fn with(&mut self, local: Ipv4Addr, act: impl FnOnce(&mut Line)) {
        if let Some((line, _)) = self.lines.iter_mut().find(|(line, _)| line.uplink().local() == local) {
            act(line);
        }
    }

    fn uplinks(&mut self, now: Instant, jitter: f64, uplinks: &[(Uplink, pcp::Nonce)]) {
        let Switches { upnp, nat_pmp } = self.switches;
        if self.is_stopping || self.inside < PORT_MIN || !(upnp || nat_pmp) {
            return;
        }
        self.lines.retain(|(line, _)| uplinks.iter().any(|(uplink, _)| uplink == line.uplink()));
        self.lines.iter_mut().for_each(|(line, _)| line.look_again(now, jitter));
        for (uplink, nonce) in uplinks.iter().copied() {
            if self.lines.len() < UPLINKS_MAX && !self.lines.iter().any(|(line, _)| *line.uplink() == uplink)
            {
                let setup = Setup { uplink, inside: self.inside, switches: self.switches, nonce };
                self.lines.push((Line::new(now, setup, self.known(&uplink)), None));
            }
        }
    }

    /// What the journal says of an uplink's routers.
    fn known(&self, uplink: &Uplink) -> Vec<Entry> {
        let of = |entry: &&Entry| {
            entry.local == uplink.local()
                && match entry.by {
                    By::Upnp => uplink.has_neighbour(entry.router),
                    By::Pcp | By::NatPmp => uplink.gateway() == Some(entry.router),
                }
        };
        self.journal.mappings.iter().filter(of).copied().collect()
    }

    /// Takes what the lines ordered, and says what has changed.
    fn collect(&mut self) {
        for (line, told) in &mut self.lines {
            let local = line.uplink().local();
            while let Some(order) = line.poll() {
                let output = match order {
                    Order::Note(entry) if self.journal.note(entry) => Output::Keep(self.journal.clone()),
                    Order::Strike(entry) if self.journal.strike(&entry) => Output::Keep(self.journal.clone()),
                    Order::Note(_) | Order::Strike(_) => continue,
                    Order::Send(bytes) => match line.uplink().gateway() {
                        Some(gateway) => Output::Send { local, gateway, bytes },
                        None => continue,
                    },
                    Order::Search => Output::Search { local },
                    Order::Ask { device, action } => Output::Ask { local, device, action },
                };
                self.outputs.push_back(output);
            }
            let standing = line.standing();
            if told.replace(standing) != Some(standing) && !self.is_stopping {
                self.outputs.push_back(Output::Changed { local, standing });
            }
        }
        let outside: Vec<SocketAddrV4> = self.lines.iter().filter_map(|(line, _)| line.outside()).collect();
        if outside != self.told {
            self.told.clone_from(&outside);
            self.outputs.push_back(Output::Mapped(outside));
        }
    }
}
