//! One uplink: which protocol its router is asked with, when again, and what it gave.
//!
//! A run clears leftovers of former lives, then asks by PCP and NAT-PMP, then by UPnP; the first grant ends it. Between
//! runs the mapping is renewed at half of its lease, and the router is asked every two minutes whether it still has it. A
//! mapping stays told until its lease ends, or the router says that it is gone.

use super::{
    by::By,
    dialogue::Dialogue,
    doing::{Doing, Goal, Setup, Then, announcement},
    epoch::Epoch,
    igd::Igd,
    journal::Entry,
    lease::Lease,
    orders::{End, Grant, Order},
    words::{Cause, Device, Refusal, Reply, SEARCH_TIME, Standing, Uplink, Why},
};
use crate::backoff::Backoff;
use std::{
    collections::VecDeque,
    mem,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

/// How often a router is asked whether it still has the mapping.
const CHECK_EVERY: Duration = Duration::from_secs(120);
/// The same after a check that was not answered: the router is starting, or a packet was lost.
const CHECK_AGAIN: Duration = Duration::from_secs(30);
/// Searches of one run: a lost packet is a lost router.
const SEARCHES: u32 = 3;
/// When whoever searches has forgotten to say that it is over.
const SEARCH_LOST: Duration = SEARCH_TIME.saturating_add(Duration::from_secs(3));
/// Between runs that found nothing.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Between announcements of one router that are heeded: any machine of the network can forge them.
const HEED_EVERY: Duration = Duration::from_secs(10);
/// The most by which an announcement is heeded later, because all hosts heard it.
const HEED_DELAY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Line {
    setup: Setup,
    doing: Doing,
    lease: Option<Lease>,
    /// What the router said last.
    epoch: Option<Epoch>,
    /// The router that UPnP found; `true` if in this run.
    device: Option<(Device, bool)>,
    /// The outside port that is asked for first.
    wish: u16,
    /// Mappings that were asked for and may be there.
    made: Vec<Entry>,
    /// Mappings that are to be removed before anything else.
    leftovers: VecDeque<Entry>,
    /// What the protocols of this run said so far.
    noted: Option<Cause>,
    /// What the last run came to; told until there is a mapping.
    cause: Option<Cause>,
    backoff: Backoff,
    heeded: Option<Instant>,
    /// What the run came to, while the mappings that it made are removed.
    verdict: Option<Cause>,
    is_stopping: bool,
    orders: Vec<Order>,
    /// Those that `made` knows of.
    ready: VecDeque<Order>,
}

impl Line {
    /// `known`: mappings of the journal that were asked of this uplink's router, from this address.
    pub(super) fn new(now: Instant, mut setup: Setup, known: Vec<Entry>) -> Self {
        // What an earlier life asked for the same port is renewed, which takes its key.
        let (made, leftovers): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|entry| entry.inside == setup.inside);
        if let Some(entry) = made.iter().find(|entry| entry.by == By::Pcp) {
            setup.nonce = entry.nonce.0;
        }
        let wish = made.iter().map(|entry| entry.outside).find(|port| *port >= 1024).unwrap_or(setup.inside);
        let mut line = Self {
            setup,
            doing: Doing::Over,
            lease: None,
            epoch: None,
            device: None,
            wish,
            made,
            leftovers: leftovers.into(),
            noted: None,
            cause: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            heeded: None,
            verdict: None,
            is_stopping: false,
            orders: Vec::new(),
            ready: VecDeque::new(),
        };
        line.begin(now, 0.0);
        line
    }

    pub(super) fn uplink(&self) -> &Uplink {
        &self.setup.uplink
    }

    pub(super) fn poll(&mut self) -> Option<Order> {
        self.settle();
        self.ready.pop_front()
    }

    /// Keeps `made` as the journal will have it.
    fn settle(&mut self) {
        for order in self.orders.drain(..) {
            match &order {
                Order::Note(entry) => {
                    self.made.retain(|old| !old.is_same(entry));
                    self.made.push(*entry);
                }
                Order::Strike(entry) => self.made.retain(|old| !old.is_same(entry)),
                Order::Send(_) | Order::Search | Order::Ask { .. } => {}
            }
            self.ready.push_back(order);
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match (&self.lease, self.cause) {
            (Some(Lease { grant, proven, .. }), _) => {
                let Grant { by, outside, seconds } = *grant;
                Standing::Mapped { outside, by, seconds, proven: *proven }
            }
            (None, Some(cause)) => Standing::Without(cause),
            (None, None) => Standing::Searching,
        }
    }

    pub(super) fn outside(&self) -> Option<SocketAddrV4> {
        self.lease.map(|lease| lease.grant.outside)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.doing, Doing::Over)
    }

    pub(super) fn deadline(&self) -> Option<(Instant, Why)> {
        let doing = self.doing.deadline()?;
        let ends = self.lease.and_then(|lease| lease.ends).map(|ends| (ends, Why::Renewal));
        ends.into_iter().chain([doing]).min_by_key(|(at, _)| *at)
    }

    /// `jitter` is in 0..1, here and below.
    pub(super) fn time(&mut self, now: Instant, jitter: f64) {
        if self.lease.is_some_and(|lease| lease.is_over(now)) {
            self.lease = None;
            if matches!(self.doing, Doing::Rest { .. }) {
                return self.begin(now, jitter);
            }
        }
        let end = match &mut self.doing {
            Doing::Rest { until, .. } if now < *until => return,
            Doing::Rest { then, .. } => {
                match then {
                    Then::Check => self.check(now, jitter),
                    Then::Renew | Then::Retry => self.begin(now, jitter),
                }
                return;
            }
            Doing::Pmp(dialogue) => dialogue.time(now, &mut self.orders),
            Doing::Upnp(igd) => igd.time(now),
            Doing::Search { due, .. } if now >= *due => return self.searched(now, jitter),
            Doing::Search { .. } | Doing::Over => None,
        };
        self.ended(now, jitter, end);
    }

    pub(super) fn heard(&mut self, now: Instant, jitter: f64, bytes: &[u8]) {
        let Doing::Pmp(dialogue) = &mut self.doing else { return };
        let mut end = dialogue.heard(now, bytes, &mut self.orders);
        if let Some(seconds) = dialogue.take_epoch() {
            let lost = self.epoch.is_some_and(|epoch| epoch.is_lost(now, seconds));
            self.epoch = Some(Epoch::new(now, seconds));
            if lost && end == Some(End::Kept) {
                end = Some(End::Changed);
            }
        }
        self.ended(now, jitter, end);
    }

    pub(super) fn refused(&mut self, now: Instant, jitter: f64) {
        let Doing::Pmp(dialogue) = &self.doing else { return };
        let end = dialogue.refused(&mut self.orders);
        self.ended(now, jitter, Some(end));
    }

    pub(super) fn answered(&mut self, now: Instant, jitter: f64, reply: Result<Reply, Refusal>) {
        let Doing::Upnp(igd) = &mut self.doing else { return };
        let end = igd.answered(now, reply, &mut self.orders);
        self.ended(now, jitter, end);
    }

    pub(super) fn found(&mut self, now: Instant, jitter: f64, device: Device) {
        let Doing::Search { goal, other, .. } = &mut self.doing else { return };
        if !self.setup.uplink.has_neighbour(device.ip) {
            return;
        }
        // Another device of the network may be a router too, but the gateway is the one that leads out.
        match self.setup.uplink.gateway() {
            Some(gateway) if gateway != device.ip => {
                other.get_or_insert(device);
            }
            _ => {
                let goal = *goal;
                self.take(now, jitter, goal, device);
            }
        }
    }

    pub(super) fn searched(&mut self, now: Instant, jitter: f64) {
        let Doing::Search { goal, searches, due, other } = &mut self.doing else { return };
        let goal = *goal;
        if let Some(device) = *other {
            self.take(now, jitter, goal, device);
        } else if *searches < SEARCHES {
            (*searches, *due) = (*searches + 1, now + SEARCH_LOST);
            self.orders.push(Order::Search);
        } else {
            match goal {
                Goal::Clear => {
                    self.leftovers.retain(|entry| entry.by != By::Upnp);
                    self.clear(now, jitter);
                }
                Goal::Map => self.verdict(now, jitter),
            }
        }
    }

    /// A word from a machine that says it is the router. It is never believed, only a reason to ask.
    pub(super) fn announced(&mut self, now: Instant, jitter: f64, bytes: &[u8]) {
        let Some((seconds, address)) = announcement(bytes) else { return };
        let Doing::Rest { until, then } = &mut self.doing else { return };
        if self.is_stopping || self.heeded.is_some_and(|heeded| now < heeded + HEED_EVERY) {
            return;
        }
        let moved = self.lease.zip(address).is_some_and(|(lease, there)| *lease.grant.outside.ip() != there);
        let kept = self.epoch.is_some_and(|epoch| !epoch.is_lost(now, seconds)) && !moved;
        if self.lease.is_some() && kept {
            return;
        }
        self.heeded = Some(now);
        let soon = now + HEED_DELAY.mul_f64(jitter.clamp(0.0, 1.0));
        if soon < *until {
            *until = soon;
            *then = match &self.lease {
                // UPnP has no epoch: whether the mapping is there has to be looked up.
                Some(lease) if lease.grant.by == By::Upnp => Then::Check,
                Some(_) => Then::Renew,
                None => Then::Retry,
            };
        }
    }

    /// The network may be another one with the same addresses.
    pub(super) fn look_again(&mut self, now: Instant, jitter: f64) {
        let Doing::Rest { until, then } = &mut self.doing else { return };
        if !self.is_stopping {
            *until = now;
            self.backoff.reset();
            if *then == Then::Renew {
                *then = Then::Check;
            }
            self.time(now, jitter);
        }
    }

    /// Somebody came in from this address; who is in a private network may have come by another way.
    pub(super) fn prove(&mut self, from: IpAddr) {
        if let (Some(lease), IpAddr::V4(from)) = (&mut self.lease, from.to_canonical())
            && from != *lease.grant.outside.ip()
            && !from.is_private()
            && !from.is_loopback()
            && !from.is_link_local()
        {
            lease.proven = true;
        }
    }

    pub(super) fn stop(&mut self, now: Instant) {
        self.settle();
        self.is_stopping = true;
        self.lease = None;
        self.leftovers.extend(mem::take(&mut self.made));
        self.clear(now, 0.0);
    }

    fn begin(&mut self, now: Instant, jitter: f64) {
        (self.noted, self.verdict) = (None, None);
        self.clear(now, jitter);
    }

    /// Removes what is left over, then goes on.
    fn clear(&mut self, now: Instant, jitter: f64) {
        while let Some(entry) = self.leftovers.front().copied() {
            match (entry.by, self.setup.ends(), self.device) {
                (By::Pcp | By::NatPmp, Some(ends), _) if ends.gateway == entry.router => {
                    self.doing = Doing::Pmp(Dialogue::remove(now, ends, entry, &mut self.orders));
                    return;
                }
                (By::Upnp, _, Some((device, _))) if device.ip == entry.router => {
                    let parties = self.setup.parties(device);
                    self.doing = Doing::Upnp(Igd::remove(now, parties, entry, &mut self.orders));
                    return;
                }
                // There is no time for a search at the end; the journal keeps it.
                (By::Upnp, _, None) if self.setup.switches.upnp && !self.is_stopping => {
                    return self.search(now, Goal::Clear);
                }
                // Another time, when its router is asked again.
                _ => drop(self.leftovers.pop_front()),
            }
        }
        if self.is_stopping {
            self.doing = Doing::Over;
        } else if let Some(cause) = self.verdict.take() {
            self.rest_without(now, jitter, cause);
        } else {
            self.map(now, jitter);
        }
    }

    fn map(&mut self, now: Instant, jitter: f64) {
        let by = self.lease.map(|lease| lease.grant.by);
        match self.setup.ends() {
            Some(ends) if by != Some(By::Upnp) => {
                let wish = match &self.lease {
                    Some(lease) => lease.grant.outside,
                    None => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.wish),
                };
                self.doing = Doing::Pmp(Dialogue::map(now, ends, by, wish, &mut self.orders));
            }
            _ => self.upnp(now, jitter),
        }
    }

    fn upnp(&mut self, now: Instant, jitter: f64) {
        match self.device {
            _ if !self.setup.switches.upnp => self.verdict(now, jitter),
            Some((device, _)) => {
                let first = self.lease.map_or(self.wish, |lease| lease.grant.outside.port());
                let parties = self.setup.parties(device);
                self.doing = Doing::Upnp(Igd::map(now, parties, first, &mut self.orders));
            }
            None => self.search(now, Goal::Map),
        }
    }

    fn search(&mut self, now: Instant, goal: Goal) {
        self.doing = Doing::Search { goal, searches: 1, due: now + SEARCH_LOST, other: None };
        self.orders.push(Order::Search);
    }

    /// A search found this router.
    fn take(&mut self, now: Instant, jitter: f64, goal: Goal, device: Device) {
        self.device = Some((device, true));
        match goal {
            Goal::Clear => self.clear(now, jitter),
            Goal::Map => self.upnp(now, jitter),
        }
    }

    fn check(&mut self, now: Instant, jitter: f64) {
        let Some(Lease { grant: Grant { by, outside, .. }, .. }) = self.lease else {
            return self.begin(now, jitter);
        };
        match (by, self.setup.ends(), self.device) {
            (By::Upnp, _, Some((device, _))) => {
                let parties = self.setup.parties(device);
                self.doing = Doing::Upnp(Igd::check(now, parties, outside, &mut self.orders));
            }
            (By::Pcp | By::NatPmp, Some(ends), _) => {
                self.doing = Doing::Pmp(Dialogue::check(now, ends, by, outside, &mut self.orders));
            }
            _ => self.begin(now, jitter),
        }
    }

    fn ended(&mut self, now: Instant, jitter: f64, end: Option<End>) {
        self.settle();
        let is_pmp = matches!(self.doing, Doing::Pmp(_));
        let is_check = matches!(&self.doing, Doing::Pmp(dialogue) if dialogue.is_check());
        match end {
            None => {}
            Some(End::Granted(grant)) => self.granted(now, grant),
            Some(End::Kept) => self.rest(now, CHECK_EVERY),
            Some(End::Changed) => self.begin(now, jitter),
            Some(End::Removed(answered)) => {
                if let Some(entry) = self.leftovers.pop_front().filter(|_| answered) {
                    self.orders.push(Order::Strike(entry));
                }
                self.clear(now, jitter);
            }
            // The router is starting, or a packet was lost: what was granted holds until it ends.
            Some(End::Denied(None)) if is_pmp && self.lease.is_some() => {
                if let Some(lease) = self.lease.as_mut().filter(|_| !is_check) {
                    lease.put_off(now);
                }
                self.rest(now, CHECK_AGAIN);
            }
            Some(End::Denied(cause)) if is_pmp => {
                self.noted = self.noted.max(cause);
                self.upnp(now, jitter);
            }
            // A router that restarted answers elsewhere.
            Some(End::Denied(None)) if self.device.is_some_and(|(_, fresh)| !fresh) => {
                self.device = None;
                self.search(now, Goal::Map);
            }
            Some(End::Denied(cause)) => {
                self.noted = self.noted.max(Some(cause.unwrap_or(Cause::Failed)));
                self.verdict(now, jitter);
            }
        }
    }

    fn granted(&mut self, now: Instant, grant: Grant) {
        let proven = self.lease.is_some_and(|old| old.proven && old.grant.outside == grant.outside);
        self.lease = Some(Lease { proven, ..Lease::new(now, grant) });
        (self.noted, self.cause) = (None, None);
        self.wish = grant.outside.port();
        self.backoff.reset();
        let entry = match (grant.by, self.setup.ends(), self.device) {
            (By::Upnp, _, Some((device, _))) => Some(self.setup.parties(device).entry(self.wish)),
            (by, Some(ends), _) => Some(ends.entry(by, self.wish)),
            (_, None, _) => None,
        };
        self.orders.extend(entry.map(Order::Note));
        self.rest(now, CHECK_EVERY);
    }

    /// Until the next check, or the renewal.
    fn rest(&mut self, now: Instant, check: Duration) {
        self.device = self.device.map(|(device, _)| (device, false));
        let (until, then) = match &self.lease {
            Some(lease) if lease.renew <= now + check => (lease.renew, Then::Renew),
            Some(_) => (now + check, Then::Check),
            None => (now + check, Then::Retry),
        };
        self.doing = Doing::Rest { until, then };
    }

    /// No protocol brought a mapping.
    fn verdict(&mut self, now: Instant, jitter: f64) {
        let cause = self.noted.unwrap_or(Cause::NoRouter);
        // Silence is no word: what was granted holds until it ends.
        if let Some(lease) = &mut self.lease
            && matches!(cause, Cause::NoRouter | Cause::Failed)
        {
            lease.put_off(now);
            return self.rest(now, CHECK_EVERY);
        }
        self.lease = None;
        (self.verdict, self.cause) = (Some(cause), Some(cause));
        self.leftovers.extend(mem::take(&mut self.made));
        self.clear(now, jitter);
    }

    fn rest_without(&mut self, now: Instant, jitter: f64, cause: Cause) {
        self.device = None;
        let pause = match cause {
            // Only the network beyond the router can change that, and it says nothing of it: a router that starts after a
            // power cut is in this state for minutes.
            Cause::AnotherRouter | Cause::Forbidden => LONGEST_PAUSE,
            _ => self.backoff.advance(jitter),
        };
        self.doing = Doing::Rest { until: now + pause, then: Then::Retry };
    }
}
