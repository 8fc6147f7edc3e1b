//! Reads every cached file, one after the other, slowly, as long as the daemon runs, and removes those that are wrong.

use super::{
    inner::Inner,
    os::{self, Stamp},
    prove::{offset_of, open_blob_file},
    trust::{self, Known, Verdict},
};
use fyteclub_files::regular;
use fyteclub_proto::{
    chunk_tree::{TreeBuilder, chunk_count, chunk_len},
    id::BlobHash,
    number::u64_of,
};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Blobs that left the cache without an eviction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    /// Were not what their names said, and are removed.
    pub wrong: Vec<BlobHash>,
    /// Another program removed their files.
    pub missing: Vec<BlobHash>,
}

impl Damage {
    pub fn is_empty(&self) -> bool {
        self.wrong.is_empty() && self.missing.is_empty()
    }
}

/// Goes round the cache, a little at a time, in the order of the hashes, and begins anew a week after it last began.
/// Where it is survives a restart; what is behind it was read in this round, or came in it.
pub struct Scrub {
    inner: Arc<Inner>,
    /// The last blob that was looked into in this round.
    at: Option<BlobHash>,
    /// Unix seconds at which this round began; 0 before the first.
    began: u64,
    ahead: VecDeque<BlobHash>,
    reading: Option<Reading>,
    over: bool,
    read_since_saved: u64,
}

struct Reading {
    known: Known,
    file: File,
    stamp: Stamp,
    next: u32,
    builder: TreeBuilder,
}

/// A blob is read again so long after it was read last, or as soon as the daemon was at rest long enough after that.
const ROUND: Duration = Duration::from_secs(7 * 24 * 3600);
/// Hashes taken from the state at once: each time costs a look at all of them.
const AHEAD: usize = 512;
/// Files in one step, so that small ones do not add up.
const STEP_FILES: usize = 64;
/// How much is read again after a kill, at most.
const SAVE_EVERY: u64 = 64 << 20;

impl Scrub {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let mut scrub = Self {
            inner,
            at: None,
            began: 0,
            ahead: VecDeque::new(),
            reading: None,
            over: true,
            read_since_saved: 0,
        };
        let text = regular::read_text(&scrub.note()).unwrap_or_default();
        let mut words = text.split_whitespace();
        if let (Some(at), Some(Ok(began))) = (words.next(), words.next().map(str::parse)) {
            (scrub.at, scrub.began) = (BlobHash::from_hex(at), began);
            scrub.over = at == "over";
        }
        scrub
    }

    fn note(&self) -> PathBuf {
        self.inner.dir.join("checked")
    }

    /// Saves where this process stopped, for the next one. A lost note costs reading, nothing else.
    pub fn save(&mut self) {
        self.read_since_saved = 0;
        let at = match (&self.at, self.over) {
            (_, true) => "over".to_owned(),
            (Some(at), false) => at.hex(),
            (None, false) => "begun".to_owned(),
        };
        if let Err(error) = fs::write(self.note(), format!("{at} {}\n", self.began)) {
            tracing::debug!(%error, "could not save how far the cache is checked");
        }
    }

    /// Whether there is anything to read at this time; begins the next round when it is due.
    pub fn is_due(&mut self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // A clock that was set back counts as time that passed.
        let due = now < self.began || now - self.began >= ROUND.as_secs();
        if self.over && due {
            (self.over, self.at, self.began) = (false, None, now);
            self.ahead.clear();
        }
        !self.over
    }

    /// Reads at most `budget` bytes, and a chunk more; tells what it found damaged, and removed. While the disk is away
    /// it stays where it is.
    pub fn step(&mut self, budget: u64) -> Damage {
        let mut damage = Damage::default();
        if self.inner.site.stand().is_err() {
            return damage;
        }
        let (mut read, mut files) = (0, 0);
        while read < budget && files < STEP_FILES && !self.over {
            let Some(mut reading) = self.reading.take().or_else(|| self.open_next(&mut damage)) else {
                files += 1;
                continue;
            };
            match reading.chunk() {
                Ok(Some(bytes)) => {
                    read += bytes;
                    self.reading = Some(reading);
                }
                Ok(None) => {
                    files += 1;
                    self.at = Some(reading.known.hash);
                    self.judge(reading, &mut damage);
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    files += 1;
                    self.at = Some(reading.known.hash);
                    damage
                        .wrong
                        .extend(trust::condemn(&self.inner, &reading.known).then_some(reading.known.hash));
                }
                Err(error) => {
                    files += 1;
                    self.at = Some(reading.known.hash);
                    tracing::warn!(%error, "a file in the cache cannot be read: {}", reading.known.hash);
                }
            }
        }
        self.read_since_saved += read;
        if self.over || self.read_since_saved >= SAVE_EVERY {
            self.save();
        }
        damage
    }

    /// The next blob's file; `None` also when this one needs no reading any more.
    fn open_next(&mut self, damage: &mut Damage) -> Option<Reading> {
        if self.ahead.is_empty() {
            self.ahead = self.hashes_after();
        }
        let Some(hash) = self.ahead.pop_front() else {
            self.over = true;
            return None;
        };
        let inner = &*self.inner;
        let Some(known) = trust::known(inner, &hash) else {
            self.at = Some(hash);
            return None;
        };
        match open_blob_file(&known.path()) {
            Ok((file, stamp)) => {
                Some(Reading { known, file, stamp, next: 0, builder: TreeBuilder::default() })
            }
            Err(error) => {
                match trust::without_a_file(inner, error) {
                    Ok(Verdict::Gone) => damage.missing.extend(trust::condemn(inner, &known).then_some(hash)),
                    Ok(_) => damage.wrong.extend(trust::condemn(inner, &known).then_some(hash)),
                    Err(error) => tracing::warn!(%error, "a file in the cache cannot be read"),
                }
                self.at = Some(hash);
                None
            }
        }
    }

    fn hashes_after(&self) -> VecDeque<BlobHash> {
        let state = self.inner.state();
        let mut after: Vec<BlobHash> =
            state.blobs.keys().filter(|hash| self.at.is_none_or(|at| **hash > at)).copied().collect();
        drop(state);
        if after.len() > AHEAD {
            after.select_nth_unstable(AHEAD);
            after.truncate(AHEAD);
        }
        after.sort_unstable();
        after.into()
    }

    fn judge(&self, reading: Reading, damage: &mut Damage) {
        let Reading { known, file, stamp, builder, .. } = reading;
        // What is shown is better left in the system's memory.
        if !self.inner.state().pinned(&known.hash) {
            os::forget_pages(&file);
        }
        drop(file);
        if builder.finish().hash() == known.hash {
            self.inner.state().renew(&known.hash, &known.stamp, stamp);
        } else {
            damage.wrong.extend(trust::condemn(&self.inner, &known).then_some(known.hash));
        }
    }
}

impl Reading {
    /// Reads one more chunk; `None` at the end.
    fn chunk(&mut self) -> io::Result<Option<u64>> {
        if self.next >= chunk_count(self.stamp.size) {
            return Ok(None);
        }
        let mut bytes = vec![0; chunk_len(self.stamp.size, self.next).unwrap_or_default()];
        os::read_exact_at(&self.file, &mut bytes, offset_of(self.next))?;
        self.builder.push(&bytes);
        self.next += 1;
        Ok(Some(u64_of(bytes.len())))
    }
}
