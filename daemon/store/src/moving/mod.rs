//! Moving the cache to another folder while it is in use. On the same disk files are renamed, to another they are
//! copied, flushed, read again and compared with their hashes. At every moment one place, which the note names, has or
//! will be given everything.
//!
//! Whatever is pinned keeps its old name too, until the next start: the game has it open by that. Here is what both ways
//! have in common; the ways are `rename` and `copy`.

mod copy;
mod rename;

use super::{
    Inner, Store,
    error::StoreError,
    free::remove,
    lock, name,
    name::Ext,
    os,
    partial::Partial,
    place::{MARK, Place, Whereabouts, empty, fresh_mark},
};
use fyteclub_files::{private, trouble::explain};
use fyteclub_proto::id::BlobHash;
use std::{
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, TryLockError, atomic::Ordering},
};

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MoveProgress {
    pub files: usize,
    pub files_total: usize,
    pub bytes: u64,
    pub bytes_total: u64,
}

/// What a move came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub from: PathBuf,
    pub to: PathBuf,
    pub files: usize,
    pub bytes: u64,
    /// Their bytes were wrong already; they were not taken along.
    pub bad: Vec<BlobHash>,
    /// Files in use, which lie in the old place too until the next start.
    pub kept: usize,
}

/// Why the cache stays where it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    #[error("the cache is in {} already", dir.display())]
    Same { dir: PathBuf },
    #[error("{} is no absolute path in Unicode: name the folder from the root of its disk", dir.display())]
    NoPath { dir: PathBuf },
    #[error("{} is not a folder: name an empty one, or one that is not there yet", dir.display())]
    NotAFolder { dir: PathBuf },
    #[error("{} holds other things ({found}): name an empty folder, or one that is not there yet", dir.display())]
    NotEmpty { dir: PathBuf, found: String },
    #[error("{} lies inside {}, where the cache is now: name a folder beside it", dir.display(), old.display())]
    Inside { dir: PathBuf, old: PathBuf },
    #[error("files that are in use still lie in {}: restart the daemon first, or name another folder", dir.display())]
    Leaving { dir: PathBuf },
    /// The new place's bound is kept from the beginning: a move that ended on a nearly full disk would stop all transfers.
    #[error("{} has {free} bytes free, and {needed} are needed with {floor} that stay free (min_free): make room there, or shrink the cache with `cache gc --to`", dir.display())]
    NoRoom { dir: PathBuf, needed: u64, free: u64, floor: u64 },
    #[error("{}; or name another folder", explain(dir, source))]
    NotWritable { dir: PathBuf, source: io::Error },
    #[error("{} does not give back what was written to it ({name}): the cache stays where it is", dir.display())]
    Unfaithful { dir: PathBuf, name: String },
    #[error("the cache is being moved already")]
    Busy,
    #[error("broken off: the cache stays where it is")]
    Cancelled,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What systems put into an empty disk.
const SYSTEM: [&str; 4] = ["lost+found", "System Volume Information", "$RECYCLE.BIN", ".Trash-1000"];

type Blob = (BlobHash, Ext, u64);

impl Store {
    /// Moves the whole cache into `target`, an absolute path. `progress` may break it off until everything is copied.
    /// Whoever reads or writes meanwhile is at most kept waiting while the last files go over.
    ///
    /// # Errors
    /// A target that will not do, or the machine's trouble. The cache is where it was then.
    pub fn move_to(
        &self,
        target: &Path,
        mut progress: impl FnMut(MoveProgress) -> ControlFlow<()>,
    ) -> Result<Moved, MoveError> {
        let inner = &*self.0;
        let _alone = match inner.moving.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(MoveError::Busy),
        };
        let old = inner.stand()?;
        let mut note = Whereabouts::read(&inner.dir)?;
        let target = inner.judge_target(target, &note)?;
        let home = target == canonical(&inner.dir);
        let name = match home {
            true => ".".to_owned(),
            false => target.to_str().ok_or_else(|| MoveError::NoPath { dir: target.clone() })?.to_owned(),
        };
        let unwritable = |source| MoveError::NotWritable { dir: target.clone(), source };
        fs::create_dir_all(&target).map_err(unwritable)?;
        // Copies that could not be removed yet are not forgotten.
        note.leaving.extend(note.copying.take());
        // Told before anything is made that a fall would leave there.
        note.copying = Some(name.clone());
        note.write(&inner.dir)?;
        let moved = prepare(&target, home).map_err(unwritable).and_then(|()| {
            let new = Arc::new(Place::at(target.clone(), !home)?);
            match can_rename(&old, &new) {
                true => inner.rename_to(&mut note, &name, &new, &mut progress),
                false => inner.copy_to(&mut note, &name, &new, &mut progress),
            }
        });
        if moved.is_err() && note.renaming.is_none() && note.dir != name {
            note.copying = (!empty(&inner.dir, &name)).then_some(name);
            note.write(&inner.dir)?;
        }
        let mut moved = moved?;
        match inner.leave(&old, &mut note) {
            Ok(kept) => moved.kept = kept,
            Err(error) => tracing::warn!(%error, "the old place of the cache is emptied at the next start"),
        }
        Ok(moved)
    }
}

/// Without links on the way, as far as it exists.
fn canonical(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut at = path;
    loop {
        if let Ok(found) = fs::canonicalize(at) {
            return rest.iter().rev().fold(found, |path, name| path.join(name));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name);
                at = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

/// Marks the place, so that a disk that is not there is not taken for an empty cache.
fn prepare(target: &Path, home: bool) -> io::Result<()> {
    if !home {
        // On the disk before a note says that anything is here.
        private::write(&target.join(MARK), &fresh_mark()?)?;
    }
    for folder in ["blobs", "partial"] {
        fs::create_dir_all(target.join(folder))?;
    }
    Ok(())
}

/// Only an attempt tells: one disk can be mounted twice, and one mount can have many disks.
fn can_rename(old: &Place, new: &Place) -> bool {
    let (from, to) = (old.partial.join("0.tmp"), new.partial.join("0.tmp"));
    let renamed = fs::write(&from, b"").and_then(|()| fs::rename(&from, &to)).is_ok();
    remove(&from).ok();
    remove(&to).ok();
    renamed
}

impl Inner {
    fn judge_target(&self, target: &Path, note: &Whereabouts) -> Result<PathBuf, MoveError> {
        if !target.is_absolute() {
            return Err(MoveError::NoPath { dir: target.to_owned() });
        }
        let dir = canonical(target);
        let old = canonical(&self.here().dir);
        let home = canonical(&self.dir);
        if dir == old {
            return Err(MoveError::Same { dir });
        }
        if let Some(old) = [old, home.clone()].into_iter().find(|old| dir.starts_with(old) && dir != *old) {
            return Err(MoveError::Inside { dir, old });
        }
        if note.leaving.iter().chain(&note.copying).any(|left| canonical(&self.dir.join(left)) == dir) {
            return Err(MoveError::Leaving { dir });
        }
        match fs::read_dir(&dir) {
            Ok(entries) if dir != home => {
                let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
                let found = names.find(|name| !SYSTEM.iter().any(|system| name == system));
                match found {
                    Some(found) => {
                        Err(MoveError::NotEmpty { dir, found: found.to_string_lossy().into_owned() })
                    }
                    None => Ok(dir),
                }
            }
            Ok(_) => Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(dir),
            // Windows says of a file that its name is wrong.
            Err(_) if dir.is_file() => Err(MoveError::NotAFolder { dir }),
            Err(source) => Err(MoveError::NotWritable { dir, source }),
        }
    }

    fn all_blobs(&self) -> Vec<Blob> {
        let state = self.state();
        state.blobs.iter().map(|(hash, blob)| (*hash, blob.ext, blob.stamp.size)).collect()
    }

    /// Runs `work` while nobody gives or takes a name, or writes to a partial; files that partials hold open are closed.
    /// Takes the locks in the store's order: checkpoint, partials, names; those of the place and the state are free.
    fn undisturbed<T>(&self, work: impl FnOnce() -> T) -> T {
        let _checkpoint = lock(&self.checkpoint);
        let mut work = Some(work);
        loop {
            let partials = self.open_partials();
            let quiet: Vec<_> = partials.iter().map(Partial::quiet).collect();
            let names: Vec<_> = self.names.iter().map(lock).collect();
            // Who came while the others became quiet may have its file open, and would write to the old one.
            let now = self.open_partials();
            let all = now.iter().all(|partial| partials.iter().any(|quiet| Arc::ptr_eq(quiet, partial)));
            let result = work.take_if(|_| all).map(|work| work());
            if result.is_some() {
                self.moves.fetch_add(1, Ordering::Release);
            }
            // The last to let go of a partial takes a stripe.
            drop((names, quiet));
            drop((partials, now));
            if let Some(result) = result {
                return result;
            }
        }
    }

    /// From here on the new place is the cache.
    fn switch(&self, note: &mut Whereabouts, name: &str, new: &Arc<Place>) -> Result<(), StoreError> {
        let mut leaving = note.leaving.clone();
        leaving.push(note.dir.clone());
        let next = Whereabouts { dir: name.to_owned(), renaming: None, copying: None, leaving };
        next.write(&self.dir)?;
        *note = next;
        *lock(&self.place) = new.clone();
        self.state().lost_obstacles();
        Ok(())
    }

    /// Removes from the old place what nobody uses; tells how many files stay.
    fn leave(&self, old: &Place, note: &mut Whereabouts) -> Result<usize, StoreError> {
        let mut kept = 0;
        for folder in [&old.blobs, &old.partial] {
            for (name, entry) in os::names(folder)? {
                let pinned = name::parse_blob_name(&name).is_some_and(|(hash, _)| self.state().pinned(&hash));
                let ours = name::parse_blob_name(&name).is_some() || name::is_of_part(&name);
                let removed = ours && !pinned && remove(&entry.path()).is_ok();
                kept += usize::from(ours && !removed);
            }
        }
        fs::remove_dir(&old.new).ok();
        // Files that have no name yet are still written there.
        if kept == 0 && !old.new.exists() {
            if let Some(left) = note.leaving.pop().filter(|left| !empty(&self.dir, left)) {
                note.leaving.push(left);
            }
            note.write(&self.dir)?;
        }
        Ok(kept)
    }
}

fn moved(old: &Place, new: &Place, files: usize, bytes: u64) -> Moved {
    Moved { from: old.dir.clone(), to: new.dir.clone(), files, bytes, bad: Vec::new(), kept: 0 }
}

/// What of incomplete blobs lies in the old place, and where it goes.
fn part_files(old: &Place, new: &Place) -> Result<Vec<(PathBuf, PathBuf)>, StoreError> {
    let names = os::names(&old.partial)?.filter(|(name, _)| name::is_of_part(name));
    Ok(names.map(|(name, entry)| (entry.path(), new.partial.join(name))).collect())
}
