//! What every worker shares: the book, the clock, and the operator's rules.

use crate::{
    address::Network,
    book::{Book, Terms},
    clock::{Clock, Moment},
    config::{Config, Password},
    live::Live,
};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) book: Book,
    pub(crate) live: Live,
    clock: Clock,
    pub(crate) compat: bool,
    pub(crate) debug_players: bool,
    pub(crate) password: Option<Password>,
    pub(crate) trusted_proxies: Vec<Network>,
}

impl Desk {
    pub(crate) fn new(config: &Config, clock: Clock) -> Self {
        // The original knows no owners, so there is nothing to remember.
        let pin = if config.compat { Duration::ZERO } else { config.pin };
        Self {
            book: Book::new(Terms { ttl: config.ttl, pin, max_records: config.max_records }),
            live: Live::new(&config.names, config.sockets_max()),
            clock,
            compat: config.compat,
            debug_players: config.debug_players,
            password: config.password.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }
}
