//! What all workers share.

use crate::{
    accounts::{Accounts, share},
    address::AddressBlock,
    audit::{Audit, Subject},
    auth::ServerNames,
    book::Terms,
    clock::{Clock, Moment},
    config::{Config, Password},
    datagrams::{Ports, hub::Hub},
    health::{Degradation, Health},
    limits::{By, Class, Limits},
    live::{Counters, Live},
    metrics::{Metrics, RedisCounters},
    problem::Problem,
    records::Records,
    routes::compat::Players,
    shared::Shared,
};
use fyteclub_proto::{
    id::PeerId,
    ledger::{Count, Item},
    limit::PIN_ONCE,
    phonebook::live::Udp,
};
use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) records: Records,
    pub(crate) server_names: ServerNames,
    pub(crate) live: Live,
    clock: Clock,
    /// Compatibility mode's own table instead of [`AppState::records`].
    pub(crate) compat: Option<Players>,
    pub(crate) password: Option<Password>,
    pub(crate) trusted_proxies: Vec<AddressBlock>,
    pub(crate) limits: Limits,
    pub(crate) accounts: Accounts,
    pub(crate) metrics: Metrics,
    pub(crate) audit: Option<Audit>,
    pub(crate) health: Health,
    /// Where it answers datagrams; the greeting announces it.
    pub(crate) udp: Option<Udp>,
    /// Whether STUN is answered.
    pub(crate) stun: bool,
    /// The published user count, see [`AppState::told_users`].
    told_users: AtomicUsize,
}

impl AppState {
    /// `clock` must have started before the listener was bound.
    pub(crate) fn new(config: &Config, clock: Clock, ports: &Ports) -> io::Result<Self> {
        let terms = Terms {
            ttl: config.ttl,
            pin: config.pin,
            pin_once: PIN_ONCE,
            max_records: config.max_records,
            max_of_one: share(Item::Names, config.max_names_per_address, config.max_records),
        };
        let accounts = Accounts::new(config);
        let gauges = config.redis.as_ref().map(|_| RedisCounters::default());
        let metrics = Metrics::new(gauges.as_ref());
        let shared = match (&config.redis, gauges) {
            (Some(place), Some(gauges)) => Some(Arc::new(Shared::new(place, terms, &config.limits, gauges)?)),
            _ => None,
        };
        let counters =
            Counters { introductions: metrics.introductions.clone(), sockets: metrics.sockets.clone() };
        let unsent = metrics.datagrams.unsent.clone();
        let hub = match ports.ways(config) {
            Some(ways) => Some(Arc::new(Hub::new(config.relay_settings(), ways, unsent)?)),
            None => None,
        };
        Ok(Self {
            records: Records::new(terms, shared.as_ref()),
            server_names: ServerNames::new(&config.names),
            live: Live::new(config.sockets_max(), &accounts, counters, shared, hub),
            clock,
            compat: config.compat.then(|| Players::new(&terms, config.debug_players)),
            password: config.password.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            limits: Limits::new(&config.limits),
            accounts,
            metrics,
            audit: config.audit.as_ref().map(Audit::start).transpose()?,
            udp: ports.announcement(config),
            stun: config.stun,
            told_users: AtomicUsize::new(0),
            // Degraded until the first connection to Redis.
            health: config
                .redis
                .as_ref()
                .map_or_else(Health::default, |_| Health::beginning(Degradation::RedisGone)),
        })
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Registered names; approximate with a shared Redis.
    pub(crate) fn users(&self) -> usize {
        self.compat.as_ref().map_or_else(|| self.records.len(), Players::len)
    }

    /// Names in this process's memory.
    pub(crate) fn held(&self) -> usize {
        self.compat.as_ref().map_or_else(|| self.records.held(), Players::len)
    }

    /// The published user count: whole tens as of the last [`AppState::count_users`], since the exact count of a
    /// small book reveals when one player joins. Compatibility mode publishes the exact count.
    pub(crate) fn told_users(&self) -> usize {
        if self.compat.is_some() { self.users() } else { self.told_users.load(Ordering::Relaxed) }
    }

    /// Updates the published count.
    pub(crate) fn count_users(&self) {
        self.told_users.store(self.records.len() / 10 * 10, Ordering::Relaxed);
    }

    pub(crate) fn shared(&self) -> Option<Arc<Shared>> {
        self.records.shared().cloned()
    }

    /// Charges an address in a shared Redis, if there is one. The caller has charged it locally.
    pub(crate) async fn charge_shared(
        &self,
        class: Class,
        address: IpAddr,
        cost: u32,
    ) -> Result<(), Problem> {
        let Some(shared) = self.records.shared() else { return Ok(()) };
        let charged = shared.charge_address(class, address, cost, self.now()).await;
        Ok(charged.map_err(|missing| self.limits.limited(class, By::Address, missing))?)
    }

    /// Charges an address locally and in a shared Redis, for costs that the admission did not know, such as a batch's
    /// names.
    pub(crate) async fn charge_address(
        &self,
        address: IpAddr,
        class: Class,
        cost: u32,
    ) -> Result<(), Problem> {
        if cost == 0 {
            return Ok(());
        }
        self.limits.check_address(class, address, cost)?;
        self.charge_shared(class, address, cost).await
    }

    /// Charges a key locally and in a shared Redis. Call it only with a key that signed the request.
    pub(crate) async fn charge_key(&self, class: Class, key: &PeerId) -> Result<(), Problem> {
        self.limits.check_key(class, key, 1)?;
        let Some(shared) = self.records.shared() else { return Ok(()) };
        let charged = shared.charge_key(class, key, self.now()).await;
        Ok(charged.map_err(|missing| self.limits.limited(class, By::Key, missing))?)
    }

    /// Charges and refusals per item since the start, local and shared.
    pub(crate) fn ledger(&self) -> [(Item, Count); Item::ALL.len()] {
        let accounts = self.accounts.counts();
        Item::ALL.map(|item| {
            let count = match item {
                Item::Names => self.compat.as_ref().map_or_else(|| self.records.names(), Players::names),
                Item::Unread => self.live.unread(),
                item => {
                    accounts.iter().find(|(of, _)| *of == item).map(|(_, count)| *count).unwrap_or_default()
                }
            };
            (item, count)
        })
    }

    /// Counts a refusal, and logs it if it concerns security.
    pub(crate) fn refused(&self, problem: &Problem, address: Option<IpAddr>, about: Option<Subject>) {
        match problem {
            Problem::TooMany(limited) => self.metrics.limited(*limited),
            problem => self.metrics.refused(problem.code()),
        }
        if let (Some(audit), Some(kind), Some(address)) = (&self.audit, problem.security_event(), address) {
            audit.note(kind, address, about, self.now().unix_millis());
        }
    }
}
