//! Metrics in OpenMetrics text. No label is a name, an address or a key.
//!
//! A request costs one atomic per counter, and a short lock for its latency.

mod rates;
mod route;

use crate::{
    io::process,
    limits::{By, Class, Limited},
    relay,
};
use actix_web::http::StatusCode;
use fyteclub_proto::ledger::{Count, Item};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use rates::Rates;
pub(crate) use rates::{PACE, PerSecond};
pub(crate) use route::{OPEN, Route};
use std::{fmt, time::Duration};

/// Seconds, from a lookup to the unbearable.
const LATENCIES: [f64; 13] =
    [0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0];
const STATUS_CLASSES: [StatusClass; 5] =
    [StatusClass::S1xx, StatusClass::S2xx, StatusClass::S3xx, StatusClass::S4xx, StatusClass::S5xx];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum StatusClass {
    S1xx,
    S2xx,
    S3xx,
    S4xx,
    S5xx,
}

impl EncodeLabelValue for StatusClass {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let text = match self {
            Self::S1xx => "1xx",
            Self::S2xx => "2xx",
            Self::S3xx => "3xx",
            Self::S4xx => "4xx",
            Self::S5xx => "5xx",
        };
        text.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: Route,
    status: StatusClass,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    route: Route,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Charged {
    item: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fate {
    fate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitedBy {
    class: &'static str,
    by: &'static str,
}

/// Counts each introduction once when it is asked for and once by its outcome. Clones share the counters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Introductions {
    pub(crate) asked: Counter,
    pub(crate) accepted: Counter,
    pub(crate) declined: Counter,
    /// Absent, not allowed, or silent; the caller cannot tell which.
    pub(crate) unanswered: Counter,
}

/// Datagrams by their fate. Clones share the counters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Datagrams {
    /// STUN requests answered.
    pub(crate) stun: Counter,
    /// Neither STUN nor anything else that is served, or shorter than its answer.
    pub(crate) junk: Counter,
    /// Answers that the kernel did not take.
    pub(crate) unsent: Counter,
}

/// Metrics of the shared Redis. Clones share the counters.
#[derive(Debug, Clone, Default)]
pub(crate) struct RedisCounters {
    /// 1 while Redis answers.
    pub(crate) up: Gauge,
    /// Messages for clients of other phone books.
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
    /// Undeliverable: Redis down, inbox full, or not decodable.
    pub(crate) dropped: Counter,
}

/// Values read at scrape time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readings {
    /// Charges and refusals since the start.
    pub(crate) ledger: [(Item, Count); Item::ALL.len()],
    pub(crate) users: usize,
    pub(crate) held: usize,
    pub(crate) connections: usize,
    pub(crate) uptime: Duration,
    pub(crate) audit_dropped: u64,
    /// Of the relay, if there is one.
    pub(crate) relay: Option<Relayed>,
}

/// The relay's numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relayed {
    pub(crate) counts: relay::Counts,
    pub(crate) sessions: usize,
    pub(crate) sockets: usize,
}

pub(crate) struct Metrics {
    registry: Registry,
    requests: [[Counter; 5]; Route::ALL.len()],
    latency: [Histogram; Route::ALL.len()],
    /// In the order of [`Class::ALL`]: by address, by key.
    limited: [[Counter; 2]; Class::ALL.len()],
    refusals: Family<Reason, Counter>,
    registrations: Counter,
    unregistrations: Counter,
    /// Names looked up, found or not; a batch counts each.
    pub(crate) lookups: Counter,
    pub(crate) introductions: Introductions,
    pub(crate) datagrams: Datagrams,
    pub(crate) sockets: Gauge,
    users: Gauge,
    held: Gauge,
    connections: Gauge,
    uptime: Gauge,
    memory: Gauge,
    descriptors: Gauge,
    audit_dropped: Gauge,
    ledger: Family<Charged, Counter>,
    ledger_refusals: Family<Charged, Counter>,
    relay_sessions: Gauge,
    relay_sockets: Gauge,
    relay_bytes: Counter,
    relay_frames: Family<Fate, Counter>,
    rates: Rates,
}

impl Metrics {
    /// `shared`: `Some` with a shared Redis.
    pub(crate) fn new(shared: Option<&RedisCounters>) -> Self {
        let mut registry = Registry::with_prefix("fyteclub_phonebook");
        let requests = Family::<Answered, Counter>::default();
        let latency = Family::<Timed, Histogram>::new_with_constructor(|| Histogram::new(LATENCIES));
        let limited = Family::<LimitedBy, Counter>::default();
        let metrics = Self {
            requests: Route::ALL.map(|route| {
                STATUS_CLASSES.map(|status| requests.get_or_create_owned(&Answered { route, status }))
            }),
            latency: Route::ALL.map(|route| latency.get_or_create_owned(&Timed { route })),
            limited: Class::ALL.map(|class| {
                ["address", "key"]
                    .map(|by| limited.get_or_create_owned(&LimitedBy { class: class.name(), by }))
            }),
            refusals: Family::default(),
            registrations: Counter::default(),
            unregistrations: Counter::default(),
            lookups: Counter::default(),
            introductions: Introductions {
                asked: Counter::default(),
                accepted: Counter::default(),
                declined: Counter::default(),
                unanswered: Counter::default(),
            },
            datagrams: Datagrams::default(),
            sockets: Gauge::default(),
            users: Gauge::default(),
            held: Gauge::default(),
            connections: Gauge::default(),
            uptime: Gauge::default(),
            memory: Gauge::default(),
            descriptors: Gauge::default(),
            audit_dropped: Gauge::default(),
            ledger: Family::default(),
            ledger_refusals: Family::default(),
            relay_sessions: Gauge::default(),
            relay_sockets: Gauge::default(),
            relay_bytes: Counter::default(),
            relay_frames: Family::default(),
            rates: Rates::default(),
            registry: Registry::default(),
        };
        let r = &mut registry;
        r.register("requests", "Requests answered, by route and class of status", requests);
        r.register_with_unit(
            "request_duration",
            "From a complete head to the answer",
            Unit::Seconds,
            latency,
        );
        r.register("limited", "Refused because a budget was used up", limited);
        r.register("refusals", "Refused, by reason", metrics.refusals.clone());
        r.register("registrations", "Registrations taken", metrics.registrations.clone());
        r.register("unregistrations", "Unregistrations taken", metrics.unregistrations.clone());
        r.register("lookups", "Names asked for", metrics.lookups.clone());
        r.register("introductions", "Introductions asked for", metrics.introductions.asked.clone());
        let Introductions { accepted, declined, unanswered, .. } = &metrics.introductions;
        r.register("introductions_accepted", "Introductions that were accepted", accepted.clone());
        r.register("introductions_declined", "Introductions that were declined", declined.clone());
        r.register("introductions_unanswered", "Introductions without an answer", unanswered.clone());
        let Datagrams { stun, junk, unsent } = &metrics.datagrams;
        r.register("stun_answers", "STUN requests answered", stun.clone());
        r.register("datagrams_junk", "Datagrams dropped as no request that is served here", junk.clone());
        r.register("datagrams_unsent", "Datagrams that the system did not send", unsent.clone());
        r.register("relay_sessions", "Sessions of the relay", metrics.relay_sessions.clone());
        r.register("relay_sockets", "WebSockets of the relay", metrics.relay_sockets.clone());
        r.register("relay_bytes", "Bytes of forwarded frames", metrics.relay_bytes.clone());
        r.register(
            "relay_frames",
            "Frames of the relay, by what became of them",
            metrics.relay_frames.clone(),
        );
        r.register("sockets", "Open live connections", metrics.sockets.clone());
        r.register("users", "Current registrations", metrics.users.clone());
        r.register("names", "Names in memory, including expired ones pinned to a key", metrics.held.clone());
        r.register("connections", "Open connections", metrics.connections.clone());
        r.register_with_unit("uptime", "Since the start", Unit::Seconds, metrics.uptime.clone());
        let (charged, refused) = (metrics.ledger.clone(), metrics.ledger_refusals.clone());
        r.register("ledger_charged", "Charged to networks and customers, by item", charged);
        r.register(
            "ledger_refusals",
            "Refused because a network or customer has its share, by item",
            refused,
        );
        r.register("audit_dropped", "Security events that were not written", metrics.audit_dropped.clone());
        if let Some(RedisCounters { up, sent, received, dropped }) = shared {
            r.register("redis_up", "Whether the shared Redis answers", up.clone());
            r.register("parcels_sent", "Messages for clients of other phone books", sent.clone());
            r.register("parcels_received", "Messages from other phone books", received.clone());
            r.register("parcels_dropped", "Messages that reached no other phone book", dropped.clone());
        }
        if process::memory().is_some() {
            r.register_with_unit("memory", "Resident memory", Unit::Bytes, metrics.memory.clone());
            r.register("descriptors", "Open file descriptors", metrics.descriptors.clone());
        }
        Self { registry, ..metrics }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, route: Route, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.requests[route.index()][class].inc();
        self.latency[route.index()].observe(took.as_secs_f64());
        match (route, status) {
            (Route::Register, StatusCode::OK) => self.registrations.inc(),
            (Route::Unregister, StatusCode::OK) => self.unregistrations.inc(),
            (Route::Lookup, StatusCode::OK | StatusCode::NOT_FOUND) => self.lookups.inc(),
            _ => 0,
        };
    }

    /// Counts a refusal by its code; the original's refusals have none.
    pub(crate) fn refused(&self, code: Option<&'static str>) {
        if let Some(reason) = code {
            self.refusals.get_or_create(&Reason { reason }).inc();
        }
    }

    /// Counts a refusal by a budget.
    pub(crate) fn limited(&self, limited: Limited) {
        let by = match limited.by {
            By::Address => 0,
            By::Key => 1,
        };
        self.limited[limited.class.index()][by].inc();
    }

    /// Records a sample for [`Metrics::per_second`]; call it every [`PACE`].
    pub(crate) fn sample(&self, now: Duration) {
        self.rates.sample(now, self.lookups.get(), self.introductions.asked.get());
    }

    /// Rates of the last minute, or since the start.
    pub(crate) fn per_second(&self, now: Duration) -> PerSecond {
        self.rates.per_second(now, self.lookups.get(), self.introductions.asked.get())
    }

    pub(crate) fn refused_by_limits(&self) -> u64 {
        self.limited.iter().flatten().map(Counter::get).sum()
    }

    pub(crate) fn registered(&self) -> u64 {
        self.registrations.get()
    }

    /// # Errors
    /// Formatting failed.
    pub(crate) fn text(&self, readings: &Readings) -> Result<String, fmt::Error> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.users.set(number(readings.users));
        self.held.set(number(readings.held));
        self.connections.set(number(readings.connections));
        self.uptime.set(readings.uptime.as_secs().cast_signed());
        self.memory.set(process::memory().map_or(0, u64::cast_signed));
        self.descriptors.set(process::descriptors().map_or(0, number));
        self.audit_dropped.set(readings.audit_dropped.cast_signed());
        for (item, count) in readings.ledger {
            let item = Charged { item: item.name() };
            for (family, now) in [(&self.ledger, count.charged), (&self.ledger_refusals, count.refusals)] {
                let counter = family.get_or_create_owned(&item);
                counter.inc_by(now.saturating_sub(counter.get()));
            }
        }
        if let Some(Relayed { counts, sessions, sockets }) = readings.relay {
            self.relay_sessions.set(number(sessions));
            self.relay_sockets.set(number(sockets));
            self.relay_bytes.inc_by(counts.bytes.saturating_sub(self.relay_bytes.get()));
            for (fate, now) in counts.by_fate() {
                let counter = self.relay_frames.get_or_create_owned(&Fate { fate });
                counter.inc_by(now.saturating_sub(counter.get()));
            }
        }
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
