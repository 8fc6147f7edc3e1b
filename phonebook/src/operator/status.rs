//! The numbers on the operator's page.

use crate::{
    app_state::AppState,
    io::connections::Connections,
    io::process,
    metrics::{Readings, Relayed},
};
use fyteclub_proto::number;
use serde::Serialize;
use std::time::Duration;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    status: &'static str,
    version: &'static str,
    /// Whole seconds.
    uptime: u64,
    users: usize,
    names: usize,
    connections: usize,
    sockets: i64,
    registrations: u64,
    lookups: u64,
    lookups_per_second: f64,
    introductions: u64,
    introductions_per_second: f64,
    /// By request budgets and by the ledger.
    limited: u64,
    audit_dropped: u64,
    /// Bytes; `null` where reading it is expensive.
    memory: Option<u64>,
    descriptors: Option<usize>,
    /// Whether the shared Redis answers; `null` without one.
    redis: Option<bool>,
    /// `null`: there is no relay.
    relay_bytes: Option<u64>,
}

pub(super) fn readings(app: &AppState, connections: &Connections) -> Readings {
    Readings {
        ledger: app.ledger(),
        users: app.users(),
        held: app.held(),
        connections: connections.count(),
        uptime: app.now().steady,
        audit_dropped: app.audit.as_ref().map_or(0, |audit| audit.dropped()),
        relay: app.live.hub.as_ref().map(|hub| Relayed {
            counts: hub.counts(),
            sessions: hub.sessions(),
            sockets: hub.sockets(),
        }),
    }
}

pub(super) fn now(app: &AppState, connections: &Connections) -> Status {
    let Readings { users, held, connections, uptime, audit_dropped, ledger, relay } =
        readings(app, connections);
    let rates = app.metrics.per_second(uptime);
    let tenths = |rate: f64| (rate * 10.0).round() / 10.0;
    Status {
        status: if app.health.is_degraded() { "degraded" } else { "ok" },
        version: env!("CARGO_PKG_VERSION"),
        uptime: uptime.as_secs(),
        users,
        names: held,
        connections,
        sockets: app.metrics.sockets.get(),
        registrations: app.metrics.registered(),
        lookups: app.metrics.lookups.get(),
        lookups_per_second: tenths(rates.lookups),
        introductions: app.metrics.introductions.asked.get(),
        introductions_per_second: tenths(rates.introductions),
        limited: app.metrics.refused_by_limits()
            + ledger.iter().map(|(_, count)| count.refusals).sum::<u64>(),
        audit_dropped,
        memory: process::memory(),
        descriptors: process::descriptors(),
        redis: app.shared().map(|shared| shared.counters.up.get() == 1),
        relay_bytes: relay.map(|relay| relay.counts.bytes),
    }
}

/// Fills the numbers into the page.
pub(super) fn page(template: &str, status: &Status) -> String {
    let Status { lookups_per_second, introductions_per_second, .. } = status;
    let known = |number: Option<String>| number.unwrap_or_else(|| "not known here".to_owned());
    let rows = [
        ("status", "State", status.status.to_owned()),
        ("users", "Users", status.users.to_string()),
        ("lookupsPerSecond", "Lookups a second", format!("{lookups_per_second:.1}")),
        ("introductionsPerSecond", "Introductions a second", format!("{introductions_per_second:.1}")),
        ("sockets", "Live connections", status.sockets.to_string()),
        ("connections", "Open connections", status.connections.to_string()),
        ("limited", "Refused by limits", status.limited.to_string()),
        ("names", "Names in memory", status.names.to_string()),
        (
            "redis",
            "Redis",
            status.redis.map_or("not used", |up| if up { "answers" } else { "gone" }).to_owned(),
        ),
        ("relayBytes", "Relayed", status.relay_bytes.map_or_else(|| "no relay".to_owned(), bytes)),
        ("memory", "Memory", known(status.memory.map(bytes))),
        ("descriptors", "Open files", known(status.descriptors.map(|count| count.to_string()))),
        ("auditDropped", "Security events not written", status.audit_dropped.to_string()),
        ("uptime", "Running for", duration(Duration::from_secs(status.uptime))),
        ("version", "Version", status.version.to_owned()),
    ];
    let rows: String = rows.map(|(id, what, value)| format!("<tr><th>{what}<td id={id}>{value}\n")).concat();
    template.replace("<!-- rows -->", &rows)
}

fn bytes(count: u64) -> String {
    format!("{:.1} MB", number::f64_of(count) / 1e6)
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_readably() {
        for (seconds, said) in
            [(5, "5 s"), (61, "1 min"), (3700, "1 h 1 min"), (86_400 * 3 + 7200, "3 d 2 h")]
        {
            assert_eq!(duration(Duration::from_secs(seconds)), said);
        }
    }
}
