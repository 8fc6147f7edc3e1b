//! The book against a plain map under random actions and terms: one line per name, without shards, pages, hashes or
//! counters.

use super::*;
use proptest::prelude::*;
use std::{collections::BTreeMap, net::SocketAddr};

const NAMES: u8 = 12;
/// Seconds in which a signature can be replayed.
const REPLAYABLE: u64 = 2 * limit::PROOF_TIME_WINDOW.as_secs();

#[derive(Debug, Clone)]
enum Act {
    /// `early`: signed a millisecond before the start.
    Register {
        name: u8,
        key: u8,
        from: u8,
        sequence: u64,
        visibility: Visibility,
        follows: Option<u8>,
        early: bool,
    },
    Unregister {
        name: u8,
        key: u8,
        sequence: u64,
    },
    Lookup {
        name: u8,
    },
    Sweep,
    Wait {
        seconds: u64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let visibility =
        prop::sample::select(&[Visibility::Listed, Visibility::Contacts, Visibility::Hidden][..]);
    let follows = prop_oneof![4 => Just(None), 1 => (1..4u8).prop_map(Some)];
    let early = prop::bool::weighted(0.1);
    prop_oneof![
        5 => (0..NAMES, 1..4u8, 0..3u8, 0..30u64, visibility, follows, early).prop_map(
            |(name, key, from, sequence, visibility, follows, early)| {
                Act::Register { name, key, from, sequence, visibility, follows, early }
            }
        ),
        2 => (0..NAMES, 1..4u8, 0..30u64).prop_map(|(name, key, sequence)| Act::Unregister { name, key, sequence }),
        3 => (0..NAMES).prop_map(|name| Act::Lookup { name }),
        1 => Just(Act::Sweep),
        // Around all limits of `terms`.
        3 => prop::sample::select(&[1, 9, 10, 11, 59, 60, 61, 239, 240, 241, 600, 3599, 3600, 100_000][..])
            .prop_map(|seconds| Act::Wait { seconds }),
    ]
}

/// Lifetimes shorter and longer than pins and replays, and small books.
fn terms() -> impl Strategy<Value = Terms> {
    let seconds = || prop::sample::select(&[10, 60, 240, 3600][..]).prop_map(Duration::from_secs);
    let pin = prop_oneof![1 => Just(Duration::ZERO), 4 => seconds()];
    let most = prop::sample::select(&[3usize, 6, 1000][..]);
    let of_one = prop::sample::select(&[1u64, 3, 1000][..]);
    (seconds(), pin, seconds(), most, of_one).prop_map(|(ttl, pin, pin_once, max_records, max_of_one)| {
        Terms { ttl, pin, pin_once, max_records, max_of_one }
    })
}

#[derive(Debug, Clone, Copy)]
struct Line {
    key: u8,
    /// The address of the last registration, and the customer charged.
    from: u8,
    held_by: u8,
    renewed: bool,
    sequence: u64,
    since: u64,
    current: bool,
    visibility: Visibility,
}

struct Model {
    terms: Terms,
    lines: BTreeMap<u8, Line>,
}

impl Model {
    fn is_live(&self, line: &Line, now: u64) -> bool {
        line.current && now - line.since < self.terms.ttl.as_secs()
    }

    fn is_pinned(&self, line: &Line, now: u64) -> bool {
        let pin = if line.renewed { self.terms.pin } else { self.terms.pin.min(self.terms.pin_once) };
        self.is_live(line, now) || now - line.since < pin.as_secs()
    }

    fn is_remembered(&self, line: &Line, now: u64) -> bool {
        self.is_pinned(line, now) || now - line.since < REPLAYABLE
    }

    /// Whether `key` may write.
    fn check(&self, line: &Line, key: u8, sequence: u64, now: u64) -> Result<(), Refused> {
        match line.key == key {
            false if self.is_pinned(line, now) => Err(Refused::NameTaken),
            true if sequence <= line.sequence => Err(Refused::Stale { newest: line.sequence }),
            _ => Ok(()),
        }
    }

    fn register(
        &mut self,
        name: u8,
        new: Line,
        follows: Option<u8>,
        early: Option<Refused>,
    ) -> Result<(), Refused> {
        let now = new.since;
        let known = self.lines.get(&name).copied();
        let mut renewed = false;
        match known.filter(|line| self.is_remembered(line, now)) {
            Some(line) if follows == Some(line.key) => renewed = true,
            Some(line) => {
                self.check(&line, new.key, new.sequence, now)?;
                renewed = line.key == new.key;
            }
            None => early.map_or(Ok(()), Err)?,
        }
        let held = self.lines.values().filter(|line| line.held_by == new.from).count();
        let has_room = (held as u64) < self.terms.max_of_one;
        let held_by = match known {
            None if self.lines.len() >= self.terms.max_records => return Err(Refused::Full),
            None if !has_room => return Err(Refused::TooManyNames),
            Some(line) if !has_room => line.held_by,
            _ => new.from,
        };
        self.lines.insert(name, Line { held_by, renewed, ..new });
        Ok(())
    }

    fn unregister(&mut self, name: u8, key: u8, sequence: u64, now: u64) -> Result<bool, Refused> {
        let Some(line) = self.lines.get(&name).copied() else { return Ok(false) };
        let a_strangers = line.key != key && !self.is_pinned(&line, now);
        if !self.is_remembered(&line, now) || a_strangers {
            return Ok(false);
        }
        self.check(&line, key, sequence, now)?;
        self.lines.insert(name, Line { sequence, current: false, ..line });
        Ok(self.is_live(&line, now))
    }

    fn lookup(&mut self, name: u8, now: u64) -> Option<Line> {
        let line = self.lines.get(&name).copied().filter(|line| line.visibility != Visibility::Contacts)?;
        if self.is_live(&line, now) {
            return Some(line);
        }
        let ended = Line { current: false, ..line };
        if self.is_remembered(&ended, now) {
            self.lines.insert(name, ended)
        } else {
            self.lines.remove(&name)
        };
        None
    }

    fn sweep(&mut self, now: u64) -> Swept {
        let (current, held) = (self.current(), self.lines.len());
        let judged = std::mem::take(&mut self.lines).into_iter().map(|(name, line)| {
            let current = self.is_live(&line, now);
            (name, Line { current, ..line })
        });
        self.lines = judged.filter(|(_, line)| self.is_remembered(line, now)).collect();
        Swept { expired: current - self.current(), forgotten: held - self.lines.len() }
    }

    fn current(&self) -> usize {
        self.lines.values().filter(|line| line.current).count()
    }
}

fn at(seconds: u64) -> Moment {
    Moment { steady: Duration::from_secs(seconds), unix: Duration::from_secs(1_700_000_000 + seconds) }
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn contact(key: u8, from: u8, visibility: Visibility) -> Contact {
    let address = SocketAddr::from(([10, 0, 0, from], 7777));
    Contact { address, key: peer(key), visibility }
}

/// What a lookup answers.
fn told(line: Line) -> Found {
    let contact = contact(line.key, line.from, line.visibility);
    let address = (line.visibility == Visibility::Listed).then_some(contact.address);
    Found { address, key: contact.key, last_seen: at(line.since).unix_millis() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn the_book_agrees_with_a_plain_map(
        terms in terms(),
        acts in prop::collection::vec(act(), 1..200),
    ) {
        let book = Book::new(terms);
        let (mut model, mut now) = (Model { terms, lines: BTreeMap::new() }, 0);
        for act in acts {
            match act {
                Act::Register { name, key, from, sequence, visibility, follows, early } => {
                    let time = at(0).unix_millis() - u64::from(early);
                    let heir = follows.map(peer);
                    let claim = Claim { sequence, time, follows: heir.as_slice() };
                    let offset = -(now as i64 * 1000) - 1;
                    let (held_by, renewed, current) = (from, false, true);
                    let line = Line { key, from, held_by, renewed, sequence, since: now, current, visibility };
                    let expected =
                        model.register(name, line, follows, early.then_some(Refused::BeforeStart { offset }));
                    let name = name.to_string();
                    let contact = contact(key, from, visibility);
                    prop_assert_eq!(book.register(&name, contact, claim, at(now)), expected);
                }
                Act::Unregister { name, key, sequence } => {
                    let expected = model.unregister(name, key, sequence, now);
                    let claim = (&peer(key), sequence);
                    prop_assert_eq!(book.unregister(&name.to_string(), claim, at(now)), expected);
                }
                Act::Lookup { name } => {
                    let live = model.lines.get(&name).copied().filter(|line| model.is_live(line, now));
                    let expected = model.lookup(name, now).map(told);
                    let name = name.to_string();
                    prop_assert_eq!(book.key_of(&name, at(now)), live.map(|line| peer(line.key)));
                    prop_assert_eq!(book.lookup(&name, at(now)), expected);
                }
                Act::Sweep => {
                    prop_assert_eq!(book.sweep(at(now)), model.sweep(now));
                }
                Act::Wait { seconds } => now += seconds,
            }
            prop_assert_eq!((book.len(), book.held()), (model.current(), model.lines.len()));
            prop_assert_eq!(book.is_full(), model.lines.len() >= terms.max_records);
        }
        // Including names that no action looked up.
        for name in 0..NAMES {
            let live = model.lines.get(&name).copied().filter(|line| model.is_live(line, now));
            prop_assert_eq!(book.key_of(&name.to_string(), at(now)), live.map(|line| peer(line.key)));
        }
    }
}
