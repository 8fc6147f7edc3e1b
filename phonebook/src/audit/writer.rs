//! The thread that writes the audit log, and the format of a line.

use super::{
    event::{Entry, Kind, Subject},
    file::Rotating,
    tally::Shared,
};
use crate::{config::AuditFile, limits::By};
use serde::{Serialize, Serializer};
use std::{
    net::IpAddr,
    sync::{
        Arc, PoisonError,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How often counts are written.
const ROUND: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize)]
struct Line {
    /// Unix milliseconds.
    time: u64,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "short_hash")]
    name: Option<Subject>,
    /// Events that the line stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

fn short_hash<S: Serializer>(subject: &Option<Subject>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{:08x}", subject.map_or(0, |subject| subject.0)))
}

impl Line {
    fn of(time: u64, kind: Kind, from: IpAddr, name: Option<Subject>, count: Option<u64>) -> Self {
        let (class, by) = match kind {
            Kind::Limited(class, By::Address) => (Some(class.name()), Some("address")),
            Kind::Limited(class, By::Key) => (Some(class.name()), Some("key")),
            _ => (None, None),
        };
        Self { time, event: kind.name(), class, by, from: Some(from), name, count }
    }

    /// A count over all addresses.
    fn only_counted(time: u64, event: &'static str, count: u64) -> Self {
        Self { time, event, class: None, by: None, from: None, name: None, count: Some(count) }
    }
}

pub(super) struct Writer {
    file: Rotating,
    shared: Arc<Shared>,
    /// The part of [`Shared::dropped`] that was written.
    told: u64,
    failing: bool,
}

impl Writer {
    pub(super) fn new(config: &AuditFile, shared: Arc<Shared>) -> Self {
        Self { file: Rotating::new(&config.path, config.size), shared, told: 0, failing: false }
    }

    /// Runs until [`Entry::End`], or until all senders are dropped.
    pub(super) fn run(mut self, entries: &Receiver<Entry>) {
        // The operator hears of a wrong path now, not at the first attack.
        if let Err(error) = self.file.open() {
            self.complain(&error);
        }
        let mut round_ends = Instant::now() + ROUND;
        loop {
            let first = entries.recv_timeout(round_ends.saturating_duration_since(Instant::now()));
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                break;
            }
            // One flush for all queued events.
            for entry in first.into_iter().chain(entries.try_iter().take(1000)) {
                let Entry::Event(event) = entry else {
                    self.end_round();
                    return;
                };
                self.write(&Line::of(event.time, event.kind, event.address, event.subject, None));
            }
            self.flush();
            if Instant::now() >= round_ends {
                self.end_round();
                round_ends = Instant::now() + ROUND;
            }
        }
        self.end_round();
    }

    fn end_round(&mut self) {
        let round = self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner).end_round();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = crate::clock::millis(now);
        for (kind, from, count) in round.counted {
            self.write(&Line::of(time, kind, from, None, Some(count)));
        }
        if round.crowd > 0 {
            self.write(&Line::only_counted(time, "many", round.crowd));
        }
        self.flush();
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            let told = self.write(&Line::only_counted(time, "dropped", dropped - self.told));
            self.flush();
            if told && !self.failing {
                self.told = dropped;
            }
        }
    }

    fn write(&mut self, line: &Line) -> bool {
        let written = serde_json::to_vec(line).map_err(Into::into).and_then(|mut text| {
            text.push(b'\n');
            self.file.write(&text)
        });
        if let Err(error) = &written {
            self.shared.dropped.fetch_add(1 + self.file.take_lost(), Ordering::Relaxed);
            self.complain(error);
        }
        written.is_ok()
    }

    fn flush(&mut self) {
        match self.file.flush() {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.shared.dropped.fetch_add(self.file.take_lost(), Ordering::Relaxed);
                self.complain(&error);
            }
        }
    }

    /// Warns once per outage.
    fn complain(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let path = self.file.path().display();
            tracing::warn!(
                "the audit log {path} cannot be written ({error}): make its folder, let this user write there, and free its disk if that is full; requests are still served, and lost events are counted"
            );
        }
    }
}
