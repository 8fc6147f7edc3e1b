//! What every worker shares: the book, the clock, and the operator's rules.

use crate::{
    address::Network,
    audit::{Audit, Kind, Subject},
    book::{Book, Terms},
    clock::{Clock, Moment},
    condition::Condition,
    config::{Config, Password},
    limits::Limits,
    live::{Counters, Live},
    metrics::Metrics,
    problem::Problem,
};
use std::{io, net::IpAddr, time::Duration};

#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) book: Book,
    pub(crate) live: Live,
    clock: Clock,
    pub(crate) compat: bool,
    pub(crate) debug_players: bool,
    pub(crate) password: Option<Password>,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) audit: Option<Audit>,
    pub(crate) condition: Condition,
}

impl Desk {
    /// `clock` was started before anybody could ask anything.
    pub(crate) fn new(config: &Config, clock: Clock) -> io::Result<Self> {
        // The original knows no owners, so there is nothing to remember.
        let pin = if config.compat { Duration::ZERO } else { config.pin };
        let metrics = Metrics::new();
        let counters =
            Counters { introductions: metrics.introductions.clone(), sockets: metrics.sockets.clone() };
        Ok(Self {
            book: Book::new(Terms { ttl: config.ttl, pin, max_records: config.max_records }),
            live: Live::new(&config.names, config.sockets_max(), counters),
            clock,
            compat: config.compat,
            debug_players: config.debug_players,
            password: config.password.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            limits: Limits::new(&config.limits),
            metrics,
            audit: config.audit.as_ref().map(Audit::start).transpose()?,
            condition: Condition::default(),
        })
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Counts a refusal, and notes in the audit log what concerns security: once for each, wherever it was told.
    pub(crate) fn refused(&self, problem: &Problem, address: Option<IpAddr>, about: Option<Subject>) {
        self.metrics.refused(problem);
        if let (Some(audit), Some(kind), Some(address)) = (&self.audit, Kind::of(problem), address) {
            audit.note(kind, address, about, self.now().unix_millis());
        }
    }
}
