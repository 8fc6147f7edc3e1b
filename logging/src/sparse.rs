//! The layer that writes repeated events once a minute, with a count.

use crate::LogWriter;
use fyteclub_proto::repeats::{Repeated, Repeats, WINDOW, template};
use std::{
    cell::Cell,
    fmt::{self, Write},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Value, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// How often a minute an INFO event is written; warnings once.
const FACTS: u32 = 30;
/// The name of an INFO event that is written as seldom as a warning: `tracing::info!(name: SELDOM, …)`.
pub const SELDOM: &str = "seldom";
/// How often counts are checked.
const TICK: Duration = Duration::from_secs(5);
/// Fields that distinguish two sentences; all others are compared without their numbers.
const WHO: [&str; 3] = ["peer", "player", "book"];

#[derive(Debug, Clone, Copy)]
struct Site(&'static Metadata<'static>);

impl PartialEq for Site {
    fn eq(&self, other: &Self) -> bool {
        self.0.callsite() == other.0.callsite()
    }
}

impl Eq for Site {}

impl Hash for Site {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.callsite().hash(state);
    }
}

thread_local! {
    /// Whether this thread writes a count, which is never held.
    static TELLS: Cell<bool> = const { Cell::new(false) };
}

/// Install it above the formatters: they do not see held events. DEBUG and TRACE pass.
#[derive(Debug, Clone, Default)]
pub struct Sparse(Arc<Mutex<Repeats<Site>>>);

impl Sparse {
    fn repeats(&self) -> MutexGuard<'_, Repeats<Site>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        let allowed = match *event.metadata().level() {
            Level::ERROR | Level::WARN => 1,
            Level::INFO if event.metadata().name() == SELDOM => 1,
            Level::INFO => FACTS,
            _ => return true,
        };
        if TELLS.get() {
            return true;
        }
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        let key = sentence.key();
        self.repeats().admits(now, Site(event.metadata()), key, allowed, || sentence.text())
    }

    /// Writes the counts that were held for a minute.
    fn tell(&self, now: Instant) {
        let due = self.repeats().due(now);
        TELLS.set(true);
        due.into_iter().for_each(|Repeated { site, text, times }| {
            let metadata = site.0;
            let Some(message) = metadata.fields().field("message") else { return };
            let again = format_args!("{text} ({times} more within a minute)");
            let again: &dyn Value = &again;
            let values = [(&message, Some(again))];
            Event::dispatch(metadata, &metadata.fields().value_set(&values));
        });
        TELLS.set(false);
    }

    /// Starts the thread that writes the counts. Call it once the subscriber is installed. The log's
    /// writers are flushed at the end.
    ///
    /// # Errors No thread can be started.
    pub fn start(&self, writers: Vec<LogWriter>) -> io::Result<Teller> {
        let sparse = self.clone();
        thread::Builder::new().name("log counts".into()).stack_size(256 * 1024).spawn(move || {
            while Arc::strong_count(&sparse.0) > 1 {
                thread::park_timeout(TICK);
                sparse.tell(Instant::now());
            }
        })?;
        Ok(Teller { sparse: self.clone(), writers })
    }
}

/// Its drop writes the remaining counts, and waits for each writer, half a second at most.
#[derive(Debug)]
pub struct Teller {
    sparse: Sparse,
    writers: Vec<LogWriter>,
}

impl Teller {
    /// Writes the counts that are held, so that they precede what is logged next.
    pub fn tell_counts(&self) {
        self.sparse.tell(Instant::now() + WINDOW);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell_counts();
        self.writers.iter().for_each(LogWriter::flush);
    }
}

impl<S: Subscriber> Layer<S> for Sparse {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admits(event, Instant::now())
    }
}

/// An event's text.
#[derive(Debug, Default)]
struct Sentence {
    message: String,
    fields: String,
    /// The fields of [`WHO`].
    who: DefaultHasher,
}

impl Sentence {
    fn key(&self) -> u64 {
        let mut hasher = self.who.clone();
        hasher.write_u64(template(&self.message));
        hasher.write_u64(template(&self.fields));
        hasher.finish()
    }

    fn text(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        if name == "message" {
            write!(self.message, "{value:?}").ok();
            return;
        }
        if WHO.contains(&name) {
            self.who.write(format!("{name}={value:?}").as_bytes());
        }
        write!(self.fields, " {name}={value:?}").ok();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt};

    #[derive(Debug, Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().expect("unpoisoned").clone()).expect("text");
            text.lines().map(str::to_owned).collect()
        }
    }

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("unpoisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Page {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_warning_is_said_once_with_a_count() {
        let (page, sparse) = (Page::default(), Sparse::default());
        let format = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_target(false);
        let subscriber =
            tracing_subscriber::registry().with(sparse.clone()).with(format.with_writer(page.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for attempt in 0..100 {
                tracing::warn!(peer = "AAAA", "no handle left, attempt {attempt}");
                tracing::warn!(
                    peer = if attempt % 2 == 0 { "AAAA" } else { "BBBB" },
                    attempt,
                    "nobody answers"
                );
                tracing::info!(name: SELDOM, "a fetch failed");
                tracing::debug!("attempt {attempt}");
            }
            sparse.tell(Instant::now() + Duration::from_secs(59));
            assert_eq!(page.lines().iter().filter(|line| line.contains("WARN")).count(), 3);
            assert_eq!(page.lines().iter().filter(|line| line.contains("INFO")).count(), 1);
            assert_eq!(page.lines().iter().filter(|line| line.contains("DEBUG")).count(), 100);
            sparse.tell(Instant::now() + Duration::from_secs(60));
        });
        let mut told = page.lines().split_off(104);
        told.sort();
        assert_eq!(
            told,
            [
                " INFO a fetch failed (99 more within a minute)",
                " WARN no handle left, attempt 99 peer=AAAA (99 more within a minute)",
                " WARN nobody answers peer=AAAA attempt=98 (49 more within a minute)",
                " WARN nobody answers peer=BBBB attempt=99 (49 more within a minute)",
            ]
        );
    }
}
