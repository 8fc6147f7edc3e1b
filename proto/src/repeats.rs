//! Repeated log messages are written a few times a minute, and then with a count. Otherwise five lines a second would
//! hide everything else, and whoever causes a warning would decide how often it is written.
//!
//! A [`Repeats`] is a table under virtual time. The log asks [`Repeats::admits`] for each message; a timer calls
//! [`Repeats::due`] every few seconds and writes the result.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// How long a written sentence is counted instead of repeated.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Different sentences of one site that are counted separately; all others of that site share one row.
pub const SENTENCES_MAX: usize = 32;
/// Most bytes that are kept of a sentence.
pub const KEPT_MAX: usize = 512;

/// `S` is a place in the program: few, and chosen by the program alone.
#[derive(Debug)]
pub struct Repeats<S> {
    sites: HashMap<S, Site>,
}

#[derive(Debug, Default)]
struct Site {
    rows: HashMap<u64, Row>,
    others: Option<Row>,
}

#[derive(Debug)]
struct Row {
    since: Instant,
    /// How often it may still be written in this window.
    left: u32,
    held: u64,
    /// The last held message.
    text: String,
}

/// The held messages since the last time, as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated<S> {
    pub site: S,
    /// The last of them.
    pub text: String,
    pub times: u64,
}

impl<S> Default for Repeats<S> {
    fn default() -> Self {
        Self { sites: HashMap::new() }
    }
}

impl<S: Copy + Eq + Hash> Repeats<S> {
    /// Whether to write a message now; otherwise it is counted. `sentence` is equal for messages that differ in numbers
    /// only ([`template`]), `allowed` is how often it may be written in a minute, at least once.
    pub fn admits(
        &mut self,
        now: Instant,
        site: S,
        sentence: u64,
        allowed: u32,
        text: impl FnOnce() -> String,
    ) -> bool {
        let entry = self.sites.entry(site).or_default();
        let fresh = |allowed| Row { since: now, left: allowed, held: 0, text: String::new() };
        let row = if entry.rows.len() < SENTENCES_MAX || entry.rows.contains_key(&sentence) {
            entry.rows.entry(sentence).or_insert_with(|| fresh(allowed))
        } else {
            entry.others.get_or_insert_with(|| fresh(allowed))
        };
        if row.held == 0 && now.saturating_duration_since(row.since) >= WINDOW {
            *row = fresh(allowed);
        }
        if row.left > 0 {
            row.left -= 1;
            return true;
        }
        row.held += 1;
        row.text = text();
        let mut end = row.text.len().min(KEPT_MAX);
        while !row.text.is_char_boundary(end) {
            end -= 1;
        }
        row.text.truncate(end);
        row.text.shrink_to_fit();
        false
    }

    /// Messages held for a minute, to be written now. A row without a message for a minute is dropped.
    pub fn due(&mut self, now: Instant) -> Vec<Repeated<S>> {
        let mut due = Vec::new();
        self.sites.retain(|site, entry| {
            let mut stays = |row: &mut Row| {
                if now.saturating_duration_since(row.since) < WINDOW {
                    return true;
                }
                if row.held == 0 {
                    return false;
                }
                due.push(Repeated { site: *site, text: std::mem::take(&mut row.text), times: row.held });
                // That message was this minute's.
                *row = Row { since: now, left: 0, held: 0, text: String::new() };
                true
            };
            entry.rows.retain(|_, row| stays(row));
            entry.others = entry.others.take().and_then(|mut row| stays(&mut row).then_some(row));
            !entry.rows.is_empty() || entry.others.is_some()
        });
        due
    }

    /// Rows in memory.
    pub fn rows(&self) -> usize {
        self.sites.values().map(|site| site.rows.len() + usize::from(site.others.is_some())).sum()
    }
}

/// A hash of the sentence without its numbers, and without the words that contain them (`b3:5f1c…`): retries, ports,
/// hashes and sizes change while the sentence stays the same.
pub fn template(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if word.contains(|c: char| c.is_ascii_digit()) {
            hasher.write_u8(b'#')
        } else {
            hasher.write(word.as_bytes())
        }
        hasher.write_u8(0);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn begin() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        Instant::now()
    }

    #[test]
    fn five_a_second_are_one_a_minute() {
        let mut repeats = Repeats::default();
        let (mut now, mut said, mut counted) = (begin(), 0, 0);
        for second in 0..600 {
            for _ in 0..5 {
                let text = format!("no handle left, try {second}");
                if repeats.admits(now, "accept", template(&text), 1, || text.clone()) {
                    said += 1;
                }
            }
            now += SECOND;
            for repeated in repeats.due(now) {
                (said, counted) = (said + 1, counted + repeated.times);
                assert!(repeated.text.starts_with("no handle left"), "{}", repeated.text);
            }
        }
        assert_eq!((said, counted), (11, 2_999));
        assert!(repeats.due(now + WINDOW).is_empty());
        assert_eq!(repeats.rows(), 0);
        assert!(repeats.admits(now + WINDOW, "accept", template("no handle left, try 1"), 1, String::new));
    }

    #[test]
    fn another_sentence_is_said_at_once() {
        let mut repeats = Repeats::default();
        let now = begin();
        let mut says = |site, text: &str| repeats.admits(now, site, template(text), 1, || text.into());
        assert!(says(1, "phone book http://a.example: no answer after 5 s"));
        assert!(!says(1, "phone book http://a.example: no answer after 6 s"));
        assert!(says(1, "phone book http://b.example: no answer after 5 s"));
        assert!(says(2, "phone book http://a.example: no answer after 5 s"));
    }

    #[test]
    fn a_thousand_sentences_take_little_memory() {
        let mut repeats = Repeats::default();
        let now = begin();
        let word = |number: u32| -> String { format!("{number:b}").replace('0', "o").replace('1', "l") };
        let texts = (0..1000).map(|number| format!("they said {}{}", word(number), "x".repeat(9_000)));
        let said = texts.filter(|text| repeats.admits(now, 0, template(text), 1, || text.clone())).count();
        assert_eq!(said, SENTENCES_MAX + 1);
        let due = repeats.due(now + WINDOW);
        assert_eq!(due.iter().map(|repeated| repeated.times).sum::<u64>(), 1000 - said as u64);
        assert!(due.iter().all(|repeated| repeated.text.len() <= KEPT_MAX));
    }

    #[test]
    fn allowed_repeats_are_written() {
        let mut repeats = Repeats::default();
        let now = begin();
        let said = (0..100).filter(|_| repeats.admits(now, 0, 1, 30, String::new)).count();
        assert_eq!(said, 30);
    }
}
