//! The start: what the folders hold, compared with what the index says. The folders are right. A file that the index
//! vouches for is only looked at; any other is hashed, and kept when its name is true. No entry survives without its
//! file.

use super::{
    activity::Activity,
    checkpoint,
    disk::StoreConfig,
    error::StoreError,
    free::free,
    health::IndexHealth,
    index::{BlobRow, Index},
    inner::{IndexTrouble, Inner},
    name::{self, Ext},
    naming, origin,
    origins::Origins,
    os,
    owners::BlobOwners,
    partial::{Claim, Partial},
    place::Place,
    prove::{Proven, prove},
    site::Site,
    state::{Blob, Part, State},
};
use fyteclub_proto::id::BlobHash;
use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, Weak},
};

/// What the start found, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    pub index: IndexHealth,
    /// Complete blobs, the adopted ones included.
    pub blobs: usize,
    pub bytes: u64,
    /// Own files that the index remembers.
    pub own_files: usize,
    /// Blobs that the index did not know as they are, and whose bytes are right.
    pub adopted: usize,
    /// Files in the cache that were not what their names said.
    pub removed: usize,
    /// Rows of the index whose files are gone.
    pub lost: usize,
    /// Incomplete blobs that can be resumed.
    pub partials: usize,
    /// Names in `blobs/` that the store did not give; they are left alone.
    pub foreign: usize,
}

pub(super) fn open(dir: &Path, config: StoreConfig) -> Result<(Inner, Opened), StoreError> {
    fs::create_dir_all(dir).map_err(|e| StoreError::at(dir, e))?;
    let lock_file = os::lock_file(&dir.join("index.lock"))?;
    let place = Place::open(dir)?;
    let (index, rows, health) = Index::open(dir)?;
    let available = index.is_usable();
    if let IndexHealth::Unavailable(why) = &health {
        checkpoint::tell_index_trouble(dir, why);
    }
    index.rest();
    let (origins, known_origins) = Origins::open(dir);
    let inner = Inner {
        dir: dir.to_owned(),
        config,
        site: Site::new(place),
        state: Mutex::new(State::default()),
        index,
        origins,
        checkpoint: Mutex::new(IndexTrouble { told: !available, behind: !available }),
        moving: Mutex::new(()),
        activity: Activity::new(),
        recent_trees: Mutex::default(),
        _lock: lock_file,
    };
    let mut opened = Opened {
        index: health,
        blobs: 0,
        bytes: 0,
        own_files: rows.own.len(),
        adopted: 0,
        removed: 0,
        lost: 0,
        partials: 0,
        foreign: 0,
    };
    recover_blobs(&inner, rows.blobs.into_iter().collect(), &mut opened)?;
    {
        let mut state = inner.state();
        for (path, file) in rows.own {
            state.insert_own(path.into(), file);
        }
        state.dirty_own.clear();
    }
    recover_partials(&inner, &mut opened)?;
    origin::recover_origins(&inner, &known_origins);
    let state = inner.state();
    (opened.blobs, opened.bytes, opened.partials) = (state.blobs.len(), state.bytes, state.parts.len());
    drop(state);
    Ok((inner, opened))
}

fn recover_blobs(
    inner: &Inner,
    mut rows: HashMap<BlobHash, BlobRow>,
    opened: &mut Opened,
) -> Result<(), StoreError> {
    for (name, entry) in os::names(&inner.site.here().blobs)? {
        let Some((hash, ext)) = name::parse_blob_name(&name) else {
            opened.foreign += 1;
            continue;
        };
        let found = entry.metadata();
        if found.as_ref().is_ok_and(fs::Metadata::is_dir) || inner.state().blobs.contains_key(&hash) {
            // No file; or the same content under a second ending, of which one is enough.
            clear(inner, &hash, ext, opened);
            continue;
        }
        let Some(metadata) = found.ok().filter(fs::Metadata::is_file) else {
            opened.foreign += 1;
            continue;
        };
        let stamp = os::Stamp::of_cached(&metadata);
        match rows.remove(&hash) {
            // Where the other times differ, it is proven when it is needed: a copied cache is not read at once.
            Some(row) if row.stamp.likeness(&stamp) != os::Likeness::Changed => {
                let BlobRow { stamp, used } = row;
                let owners = BlobOwners::default();
                let mut state = inner.state();
                state.saw_tick(used);
                state.insert_blob(hash, Blob { used, stamp, ext, synced: true, owners });
                state.dirty.remove(&hash);
            }
            row => adopt(inner, hash, ext, &entry.path(), row.map(|row| row.used), opened),
        }
    }
    opened.lost = rows.len();
    inner.state().dirty.extend(rows.into_keys());
    Ok(())
}

/// Keeps a file of unknown worth when its bytes are what its name says.
fn adopt(inner: &Inner, hash: BlobHash, ext: Ext, path: &Path, used: Option<u64>, opened: &mut Opened) {
    match prove(path, &hash) {
        Ok(Some(Proven { tree, stamp })) => {
            opened.adopted += 1;
            let mut state = inner.state();
            let used = used.unwrap_or_else(|| state.tick());
            let owners = BlobOwners::default();
            state.insert_blob(hash, Blob { used, stamp, ext, synced: false, owners });
            drop(state);
            inner.keep_tree(Arc::new(tree));
        }
        Ok(None) => {
            inner.state().dirty.insert(hash);
            clear(inner, &hash, ext, opened);
        }
        // Unreadable now, perhaps not always. It is not served, and not in the way: a put replaces it.
        Err(StoreError::Io { source, .. }) if os::is_of_one_file(&source) => {
            naming::found_unreadable(inner, hash, ext, &source);
            opened.foreign += 1;
        }
        Err(error) => {
            tracing::warn!(%error, "a file in the cache cannot be read");
            opened.foreign += 1;
        }
    }
}

/// Takes away what has a blob's name and is none.
fn clear(inner: &Inner, hash: &BlobHash, ext: Ext, opened: &mut Opened) {
    if naming::free_name(inner, hash, ext) { opened.removed += 1 } else { opened.foreign += 1 }
}

fn recover_partials(inner: &Inner, opened: &mut Opened) -> Result<(), StoreError> {
    let here = inner.site.here();
    let dir = &here.partial;
    let mut haves = Vec::new();
    for (file, entry) in os::names(dir)? {
        let path = entry.path();
        if let Some(part) = file.strip_suffix(".have") {
            haves.push((path, dir.join(format!("{part}.part"))));
            continue;
        }
        let Some((content, ext)) = name::parse_part_name(&file) else {
            if !path.is_dir() {
                gone(&path, os::remove_file(&path));
            } else if file.starts_with("new.") {
                gone(&path, fs::remove_dir_all(&path));
            }
            continue;
        };
        let hash = content.hash;
        let have = dir.join(name::have_name(&content, ext));
        let len = entry.metadata().map_or(0, |metadata| metadata.len());
        let claim = Claim::read(&have).filter(|claim| claim.size == len && len == content.size);
        let known = {
            let state = inner.state();
            state.blobs.contains_key(&hash) || state.parts.contains_key(&content)
        };
        match claim {
            Some(claim) if !known && !claim.all() => {
                let mut state = inner.state();
                let used = fs::metadata(&path).ok().and_then(|m| m.modified().ok()).map_or(0, os::nanos);
                let used = u64::try_from(used / 1_000).unwrap_or(0);
                state.saw_tick(used);
                state
                    .insert_part(content, Part { used, size: claim.size, ext, open: Weak::<Partial>::new() });
            }
            // Complete but for its name, or interrupted before its progress was first written: then it may be too.
            _ => {
                if let Ok(Some(Proven { tree, .. })) = prove(&path, &hash)
                    && !known
                {
                    match naming::place(inner, hash, ext, &path) {
                        Ok(()) => {
                            inner.keep_tree(Arc::new(tree));
                            opened.adopted += 1;
                        }
                        Err(error) => {
                            // A fetch tries again, and says so.
                            tracing::warn!(%error, "a complete file cannot be stored");
                            continue;
                        }
                    }
                } else {
                    gone(&path, free(&path).map(drop));
                }
                gone(&have, free(&have).map(drop));
            }
        }
    }
    for (have, _) in haves.into_iter().filter(|(_, part)| !part.exists()) {
        gone(&have, free(&have).map(drop));
    }
    Ok(())
}

/// Files of incomplete blobs that stay do no harm: they are logged, and the start goes on.
fn gone(path: &Path, removed: io::Result<()>) {
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "{} cannot be removed from the cache", path.display());
    }
}
