//! Where the files lie: beside the index, unless they were moved. A note in the data folder says where, and what a move
//! that was cut short left to do; the start does it. The index stays where it is: it is small, and it is only a hint.
//!
//! ```text
//! {"dir":"."}                                 beside the index; the same as no note
//! {"dir":"/old","renaming":"/new"}            every file is in one of both: the start brings the rest over
//! {"dir":"/old","copying":"/new"}             all of it is in the old place: the start removes the copies
//! {"dir":"/new","leaving":["/old"]}           all of it is in the new place: the start empties the old one
//! ```

use super::{
    error::StoreError,
    free::{free, free_or_tell, remove},
    name::{self, Ext},
    os::{self, FolderId},
    sync::lock,
};
use fyteclub_files::{private, regular};
use fyteclub_proto::{blob::Content, id::BlobHash, number::u64_of};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::SystemTime,
};

/// Says, in a folder that is not the data folder, that the cache is there and its disk is not only a place for one.
pub(super) const MARK: &str = "fyteclub-cache";

/// The note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheLocation {
    /// Absolute, or `.` for the data folder itself.
    pub dir: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renaming: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copying: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<String>,
}

/// The folders of one place, and this process's own one for temps.
#[derive(Debug)]
pub(super) struct Place {
    pub dir: PathBuf,
    pub blobs: PathBuf,
    pub partial: PathBuf,
    pub new: PathBuf,
    anchor: Mutex<Anchor>,
}

/// By what a place is known to be there, and not only the folder in which its disk is mounted.
#[derive(Debug)]
struct Anchor {
    dir: FolderId,
    blobs: FolderId,
    /// What the mark says; `None` in the data folder, which has none.
    mark: Option<Vec<u8>>,
    lock: Option<File>,
}

impl CacheLocation {
    fn path(data: &Path) -> PathBuf {
        data.join("cache.json")
    }

    pub(super) fn read(data: &Path) -> Result<Self, StoreError> {
        let note = Self::path(data);
        match regular::read(&note) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| StoreError::NoPlace { note, why: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self { dir: ".".into(), renaming: None, copying: None, leaving: Vec::new() })
            }
            Err(error) => Err(StoreError::at(&note, error)),
        }
    }

    pub(super) fn write(&self, data: &Path) -> Result<(), StoreError> {
        let note = Self::path(data);
        let text = serde_json::to_vec(self).unwrap_or_default();
        private::write(&note, &text).map_err(|error| StoreError::at(&note, error))
    }
}

/// Where the cache of this data folder lies, as its note says.
pub fn cache_dir(data: &Path) -> PathBuf {
    match CacheLocation::read(data) {
        Ok(found) if found.dir != "." => data.join(found.dir),
        _ => data.to_owned(),
    }
}

impl Place {
    /// Does what a move left to do, and opens the place where the cache is then.
    ///
    /// # Errors
    /// A note that cannot be read, a place that is not there, folders that cannot be made.
    pub(super) fn open(data: &Path) -> Result<Self, StoreError> {
        let mut found = CacheLocation::read(data)?;
        let before = found.clone();
        if let Some(to) = found.renaming.take() {
            let (old, new) = (data.join(&found.dir), data.join(&to));
            if to != "." && !new.join(MARK).exists() {
                return Err(StoreError::CacheAway { dir: new, note: CacheLocation::path(data) });
            }
            bring_over(&old, &new)?;
            found.leaving.push(std::mem::replace(&mut found.dir, to));
            found.write(data)?;
        }
        // What cannot be removed now, because its disk is away, may be at another start.
        found.copying = found.copying.filter(|to| *to != found.dir && !empty(data, to));
        found.leaving.retain(|old| *old != found.dir && !empty(data, old));
        if found != before {
            found.write(data)?;
        }
        let dir = if found.dir == "." { data.to_owned() } else { data.join(&found.dir) };
        if found.dir != "." && !dir.join(MARK).exists() {
            return Err(StoreError::CacheAway { dir, note: CacheLocation::path(data) });
        }
        Self::at(dir, found.dir != ".")
    }

    /// Makes the folders, and takes a place that is not the data folder for this process.
    pub(super) fn at(dir: PathBuf, away: bool) -> Result<Self, StoreError> {
        let (lock, mark) = if away {
            take_mark(&dir.join(MARK)).map(|(lock, mark)| (Some(lock), Some(mark)))?
        } else {
            (None, None)
        };
        let (blobs, partial) = (dir.join("blobs"), dir.join("partial"));
        for dir in [&blobs, &partial] {
            fs::create_dir_all(dir).map_err(|error| StoreError::at(dir, error))?;
        }
        os::spread_folders_of(&partial);
        let id = |dir: &Path| os::folder_id(dir).map_err(|error| StoreError::at(dir, error));
        let anchor = Mutex::new(Anchor { dir: id(&dir)?, blobs: id(&blobs)?, mark, lock });
        let new = partial.join(format!("new.{:x}", os::nanos(SystemTime::now())));
        Ok(Self { dir, blobs, partial, new, anchor })
    }

    /// Whether the disk with the files is there. One that comes back under another number is known by its mark, or in
    /// the data folder by the folder's own number, and is taken for this process again.
    pub(super) fn stands(&self) -> bool {
        let mut anchor = lock(&self.anchor);
        match os::folder_id(&self.dir) {
            Ok(id) if id == anchor.dir && anchor.mark.is_some() == anchor.lock.is_some() => {}
            Ok(id) if self.is_back(id, &mut anchor) => {
                if anchor.blobs.disk == anchor.dir.disk {
                    anchor.blobs.disk = id.disk;
                }
                anchor.dir = id;
            }
            Ok(_) | Err(_) => return false,
        }
        match os::folder_id(&self.blobs) {
            // Another folder of the same disk: another program removed it and made it again.
            Ok(id) if id.disk == anchor.blobs.disk || id.folder == anchor.blobs.folder => {
                anchor.blobs = id;
                true
            }
            // Another program removed it, unless it is on a disk of its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                anchor.blobs.disk == anchor.dir.disk && self.blobs.symlink_metadata().is_err()
            }
            Ok(_) | Err(_) => false,
        }
    }

    fn is_back(&self, id: FolderId, anchor: &mut Anchor) -> bool {
        let Some(mark) = &anchor.mark else {
            return id.folder == anchor.dir.folder && self.dir.join("index.lock").exists();
        };
        // Given up first: it may be the same file by another mount.
        anchor.lock = None;
        let path = self.dir.join(MARK);
        if regular::read(&path).is_ok_and(|found| found == *mark) {
            anchor.lock = os::lock_file(&path).ok();
        }
        anchor.lock.is_some()
    }

    /// Makes removed folders again. The caller has checked that the place stands.
    pub(super) fn make_again(&self) -> Result<(), StoreError> {
        for dir in [&self.blobs, &self.partial, &self.new] {
            match fs::create_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(StoreError::at(dir, error));
                }
                Ok(()) if *dir == self.partial => os::spread_folders_of(dir),
                Ok(()) | Err(_) => {}
            }
        }
        let anchor = lock(&self.anchor);
        let path = self.dir.join(MARK);
        if let Some(mark) = anchor.mark.as_ref().filter(|_| !path.exists()) {
            // Not locked: the lock of the removed one is held.
            private::write(&path, mark).map_err(|error| StoreError::at(&path, error))?;
        }
        Ok(())
    }

    pub(super) fn blob_path(&self, hash: &BlobHash, ext: Ext) -> PathBuf {
        self.blobs.join(name::blob_name(hash, ext))
    }

    pub(super) fn part_path(&self, content: &Content, ext: Ext) -> PathBuf {
        self.partial.join(name::part_name(content, ext))
    }

    pub(super) fn have_path(&self, content: &Content, ext: Ext) -> PathBuf {
        self.partial.join(name::have_name(content, ext))
    }

    pub(super) fn remove_part(&self, content: &Content, ext: Ext) -> Result<(), StoreError> {
        free_or_tell(&self.have_path(content, ext)).and(free_or_tell(&self.part_path(content, ext)))
    }

    /// In a folder that is made at the first need: see [`Place::make_again`].
    pub(super) fn temp_path(&self, number: u64) -> PathBuf {
        self.new.join(format!("{number}.tmp"))
    }
}

/// What a mark says: whose it is, and a number that no other has.
pub(super) fn fresh_mark() -> io::Result<Vec<u8>> {
    let mut number = [0; 16];
    getrandom::fill(&mut number).map_err(io::Error::other)?;
    let number = u128::from_le_bytes(number);
    let text = "The cache of a FyteClub daemon. To have it elsewhere: fyteclubctl cache move DIR\n";
    Ok(format!("{text}{NUMBER}{number:032x}\n").into_bytes())
}

/// What comes before the number in a mark.
const NUMBER: &str = "number ";

/// Takes a place by its mark; what the mark says. One without a number gets one.
fn take_mark(path: &Path) -> Result<(File, Vec<u8>), StoreError> {
    // Before it is locked: Windows denies reads of a locked file.
    let mark = regular::read(path).unwrap_or_default();
    let lock = os::lock_file(path)?;
    if String::from_utf8_lossy(&mark).lines().any(|line| line.starts_with(NUMBER)) {
        return Ok((lock, mark));
    }
    let fresh = fresh_mark().and_then(|fresh| {
        os::write_all_at(&lock, &fresh, 0)?;
        lock.set_len(u64_of(fresh.len()))?;
        Ok(fresh)
    });
    fresh.map(|fresh| (lock, fresh)).map_err(|error| StoreError::at(path, error))
}

/// Whether a name in `blobs/` or `partial/` is one that the store gives.
fn is_ours(name: &str) -> bool {
    name::parse_blob_name(name).is_some() || name::is_of_part(name)
}

/// Renames what a cut-off move left in the old place. What is in both is the same file, a copy of it, or a copy that
/// was cut short, which has not got its time yet.
fn bring_over(old: &Path, new: &Path) -> Result<(), StoreError> {
    for folder in ["blobs", "partial"] {
        let (from, to) = (old.join(folder), new.join(folder));
        fs::create_dir_all(&to).map_err(|error| StoreError::at(&to, error))?;
        if !from.exists() {
            continue;
        }
        for (name, entry) in os::names(&from)?.filter(|(name, _)| is_ours(name)) {
            let target = to.join(&name);
            let stamp = |found: fs::Metadata| (found.len(), os::Stamp::of(&found).mtime_ns);
            let there = fs::metadata(&target).map(stamp).ok();
            if there.is_some() && there == fs::metadata(entry.path()).map(stamp).ok() {
                // What stays there is removed with the old place.
                remove(&entry.path()).ok();
            } else {
                bring_one(&entry.path(), &target)?;
            }
        }
        os::sync_folder(&to).map_err(|error| StoreError::at(&to, error))?;
    }
    Ok(())
}

/// Renames or copies a file to its name in the place where the cache is; what lies there makes way.
pub(super) fn bring_one(from: &Path, to: &Path) -> Result<(), StoreError> {
    let Err(error) = os::rename(from, to) else { return Ok(()) };
    if free(to).and_then(|_| os::rename(from, to)).is_ok() {
        return Ok(());
    }
    // A file that can be read is copied. One that cannot is not the blob any more.
    match os::open_regular(from) {
        Err(StoreError::NotAFile { .. }) => {}
        Err(StoreError::Io { source, .. }) if os::is_of_one_file(&source) => {}
        _ => {
            let copied = fs::copy(from, to).and_then(|_| os::set_modified(to, from));
            return copied.map_err(|_| StoreError::at(to, error));
        }
    }
    tracing::warn!("{} is not brought along to where the cache is now ({error})", from.display());
    Ok(())
}

/// Removes the cache's files from a place where it is not, and the folders when nothing else is in them. Whether
/// nothing of it is left there.
pub(super) fn empty(data: &Path, place: &str) -> bool {
    let dir = data.join(place);
    let mut clean = true;
    for folder in ["blobs", "partial"] {
        let folder = dir.join(folder);
        let Ok(names) = os::names(&folder) else { continue };
        for (name, entry) in names {
            let path = entry.path();
            clean &= if path.is_dir() {
                !name.starts_with("new.") || fs::remove_dir_all(path).is_ok()
            } else {
                !is_ours(&name) || remove(&path).is_ok()
            };
        }
        // Fails, as it should, where other files are in it.
        fs::remove_dir(&folder).ok();
    }
    if clean && place != "." {
        fs::remove_file(dir.join(MARK)).ok();
        fs::remove_dir(&dir).ok();
    }
    clean
}
