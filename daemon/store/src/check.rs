//! Whether the files still are what their names say: all of them when somebody asks, and one after the other, slowly, as
//! long as the daemon lives. A file that is not goes, pinned or not: nobody is served or shown wrong bytes.

use super::{
    Inner, Store,
    error::StoreError,
    name::Ext,
    os,
    os::Stamp,
    place::Place,
    prove::{Proven, hash_file, open_blob_file, prove},
    state::Obstacle,
};
use fyteclub_proto::{
    chunk_tree::{TreeBuilder, chunk_count, chunk_len},
    id::BlobHash,
    limit::CHUNK_SIZE,
};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What a look into the cache's files has come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Files that were read.
    pub files: usize,
    pub bytes: u64,
    /// Were not what their names said, and are removed.
    pub bad: Vec<BlobHash>,
    /// Were not there; nothing of them was read.
    pub missing: Vec<BlobHash>,
    /// Could not be read, and stay.
    pub unread: usize,
    /// What lies in the place of blobs, is not them, and stays. It was tried again to remove it.
    pub obstacles: Vec<Obstacle>,
    /// It was broken off: there are files that were not read.
    pub cancelled: bool,
}

impl Verified {
    /// Files that had their turn.
    pub fn looked_at(&self) -> usize {
        self.files + self.missing.len() + self.unread
    }
}

/// Blobs that are not in the cache any more, though nobody evicted them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    /// Were not what their names said, and are removed.
    pub wrong: Vec<BlobHash>,
    /// Somebody else removed their files.
    pub missing: Vec<BlobHash>,
}

impl Damage {
    pub fn is_empty(&self) -> bool {
        self.wrong.is_empty() && self.missing.is_empty()
    }
}

/// A blob as it was known when its file was opened; what has changed since is not judged.
pub(super) struct Known {
    place: Arc<Place>,
    /// The count of moves before anything of this was read.
    moves: u64,
    hash: BlobHash,
    ext: Ext,
    stamp: Stamp,
}

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right(Stamp),
    Wrong,
    /// It is not there, and its disk is.
    Gone,
}

impl Known {
    /// The file, as the store left it or proved it.
    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    pub(super) fn path(&self) -> PathBuf {
        self.place.blob_path(&self.hash, self.ext)
    }
}

impl Inner {
    pub(super) fn known(&self, hash: &BlobHash) -> Option<Known> {
        let moves = self.moves.load(Ordering::Acquire);
        let place = self.here();
        let blob = *self.state().blobs.get(hash)?;
        Some(Known { place, moves, hash: *hash, ext: blob.ext, stamp: blob.stamp })
    }

    /// Forgets a blob whose file is wrong, and takes the file away where that is possible; `false` when it is another file
    /// by now, or none.
    pub(super) fn condemn(&self, known: &Known) -> bool {
        // Another disk may be where the cache's was.
        if self.stand().is_err() {
            return false;
        }
        let same = |state: &super::State| {
            // A file that is being moved, there or back again, is not where it was, and not missing.
            self.moves.load(Ordering::Acquire) == known.moves
                && state.blobs.get(&known.hash).is_some_and(|blob| blob.stamp == known.stamp)
        };
        self.drop_wrong(&known.hash, same)
    }

    /// Forgets a blob whose file cannot be read, and leaves the file.
    pub(super) fn give_up(&self, known: &Known, cause: &io::Error) {
        let same =
            |state: &super::State| state.blobs.get(&known.hash).is_some_and(|blob| blob.stamp == known.stamp);
        self.drop_unreadable(&known.hash, same, cause);
    }

    /// Reads the blob's file.
    ///
    /// # Errors
    /// The machine's trouble, which may pass; the file may be right.
    pub(super) fn look_into(&self, known: &Known) -> Result<Verdict, StoreError> {
        let path = known.path();
        match open_blob_file(&path) {
            Ok((file, stamp)) => {
                let tree = hash_file(&file, stamp.size).map_err(|error| StoreError::at(&path, error))?;
                let right = tree.is_some_and(|tree| tree.hash() == known.hash);
                self.stand()?;
                Ok(if right { Verdict::Right(stamp) } else { Verdict::Wrong })
            }
            Err(error) => self.without_a_file(error),
        }
    }

    /// Looks again at what is in the way of blobs, and tells what of it stays.
    fn look_at_obstacles(&self) -> Vec<Obstacle> {
        let all = self.state().obstacles();
        for (ext, Obstacle { hash, path, .. }) in all {
            let name = self.name(&hash);
            match prove(&path, &hash) {
                _ if self.stand().is_err() => break,
                // The blob came meanwhile.
                _ if !self.state().is_obstacle(&hash, ext) => {}
                // It is the blob after all.
                Ok(Some(Proven { tree, stamp })) if !self.state().blobs.contains_key(&hash) => {
                    self.placed(hash, ext, stamp);
                    self.state().lost_obstacle(&hash, ext);
                    drop(name);
                    self.keep_tree(Arc::new(tree));
                }
                Ok(_) => drop(self.free_name(&hash, ext)),
                Err(_) => {}
            }
        }
        self.state().obstacles().into_iter().map(|(_, obstacle)| obstacle).collect()
    }

    /// What a file is that could not be opened.
    fn without_a_file(&self, error: StoreError) -> Result<Verdict, StoreError> {
        match error {
            StoreError::Missing { .. } => self.stand().map(|_| Verdict::Gone),
            StoreError::NotAFile { .. } | StoreError::FileTooLarge { .. } => Ok(Verdict::Wrong),
            error => Err(error),
        }
    }
}

impl Store {
    /// Reads and hashes every blob in the cache; what is wrong is removed, pinned or not, and what is missing forgotten.
    /// `progress` hears the state after each file, with the number and the bytes of all, and may break it off. Own files
    /// that are gone are forgotten.
    ///
    /// # Errors
    /// `Away`, also when the disk goes meanwhile: what was not read is not judged.
    pub fn verify(
        &self,
        mut progress: impl FnMut(&Verified, usize, u64) -> ControlFlow<()>,
    ) -> Result<Verified, StoreError> {
        self.stands()?;
        let inner = &*self.0;
        let (all, bytes, own) = {
            let state = inner.state();
            let all: Vec<BlobHash> = state.blobs.keys().copied().collect();
            let bytes = state.blobs.values().map(|blob| blob.stamp.size).sum();
            let own: Vec<_> = state.own.iter().map(|(path, file)| (path.clone(), *file)).collect();
            (all, bytes, own)
        };
        let mut verified = Verified::default();
        for hash in &all {
            // Evicted meanwhile is not bad.
            let Some(known) = inner.known(hash) else { continue };
            match inner.look_into(&known) {
                Ok(Verdict::Gone) => verified.missing.extend(inner.condemn(&known).then_some(*hash)),
                Ok(verdict) => {
                    verified.bytes += known.stamp.size;
                    verified.files += 1;
                    match verdict {
                        Verdict::Right(stamp) => {
                            drop(inner.state().renew(hash, &known.stamp, stamp).copied())
                        }
                        _ => verified.bad.extend(inner.condemn(&known).then_some(*hash)),
                    }
                }
                Err(error @ StoreError::Away { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "a file in the cache cannot be read");
                    verified.unread += 1;
                }
            }
            if progress(&verified, all.len(), bytes).is_break() {
                verified.cancelled = true;
                return Ok(verified);
            }
        }
        for (path, file) in own {
            let gone = fs::metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            if gone {
                inner.forget_own(&path, &file);
            }
        }
        verified.obstacles = inner.look_at_obstacles();
        Ok(verified)
    }
}

/// Goes round the cache, a little at a time, in the order of the hashes, and begins anew a week after it last began.
/// Where it is survives a restart; what is behind it was read in this round, or came in it.
pub struct Patrol {
    store: Store,
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

impl Patrol {
    pub fn new(store: Store) -> Self {
        let mut patrol = Self {
            store,
            at: None,
            began: 0,
            ahead: VecDeque::new(),
            reading: None,
            over: true,
            read_since_saved: 0,
        };
        let text = fs::read_to_string(patrol.note()).unwrap_or_default();
        let mut words = text.split_whitespace();
        if let (Some(at), Some(Ok(began))) = (words.next(), words.next().map(str::parse)) {
            (patrol.at, patrol.began) = (BlobHash::from_hex(at), began);
            patrol.over = at == "over";
        }
        patrol
    }

    fn note(&self) -> PathBuf {
        self.store.0.dir.join("checked")
    }

    /// Says to a later life where this one was. A lost note costs reading, nothing else.
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
        if self.store.stands().is_err() {
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
                    damage.wrong.extend(self.store.0.condemn(&reading.known).then_some(reading.known.hash));
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
        let inner = &*self.store.0;
        let Some(known) = inner.known(&hash) else {
            self.at = Some(hash);
            return None;
        };
        match open_blob_file(&known.path()) {
            Ok((file, stamp)) => {
                Some(Reading { known, file, stamp, next: 0, builder: TreeBuilder::default() })
            }
            Err(error) => {
                match inner.without_a_file(error) {
                    Ok(Verdict::Gone) => damage.missing.extend(inner.condemn(&known).then_some(hash)),
                    Ok(_) => damage.wrong.extend(inner.condemn(&known).then_some(hash)),
                    Err(error) => tracing::warn!(%error, "a file in the cache cannot be read"),
                }
                self.at = Some(hash);
                None
            }
        }
    }

    fn hashes_after(&self) -> VecDeque<BlobHash> {
        let state = self.store.0.state();
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
        if !self.store.0.state().pinned(&known.hash) {
            os::forget_pages(&file);
        }
        drop(file);
        if builder.finish().hash() == known.hash {
            self.store.0.state().renew(&known.hash, &known.stamp, stamp);
        } else {
            damage.wrong.extend(self.store.0.condemn(&known).then_some(known.hash));
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
        os::read_exact_at(&self.file, &mut bytes, u64::from(self.next) * CHUNK_SIZE as u64)?;
        self.builder.push(&bytes);
        self.next += 1;
        Ok(Some(bytes.len() as u64))
    }
}
