//! To another disk: copies beside the living cache, flushed, read again and compared with their hashes, until so few
//! are lacking that everybody can wait for the rest.

use super::common::{self, Blob, Freed, MoveError, MoveProgress, Moved, Obstacles, moved, part_files};
use crate::{
    disk::Disk,
    error::StoreError,
    free::remove,
    inner::Inner,
    name::{self, Ext},
    naming,
    os::{self, Stamp},
    place::{CacheLocation, Place},
    prove::{hash_file, offset_of, open_blob_file},
    state::Obstacle,
};
use fyteclub_proto::{
    chunk_tree::{TreeBuilder, chunk_count, chunk_len},
    id::BlobHash,
};
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Files and bytes that are copied before they are flushed and read again: one flush for many, and not so much that
/// progress is rare or cancelling late.
const BATCH_FILES: usize = 256;
const BATCH_BYTES: u64 = 64 << 20;
/// Bytes that may be copied while everybody waits.
const SHORT: u64 = 16 << 20;

pub(super) fn copy_to(
    inner: &Inner,
    note: &mut CacheLocation,
    name: &str,
    new: &Arc<Place>,
    progress: &mut impl FnMut(MoveProgress) -> ControlFlow<()>,
) -> Result<Moved, MoveError> {
    let old = inner.site.here();
    let bytes = inner.state().bytes;
    if let Some(Disk { free, floor }) = inner.config.disk_of(&new.blobs)
        && free < bytes.saturating_add(floor)
    {
        let needed = bytes.saturating_add(floor);
        return Err(MoveError::NoSpace { dir: new.dir.clone(), needed, free, floor });
    }
    let mut copies = Copies::new(&old, new);
    loop {
        let all = common::all_blobs(inner);
        let bytes_total = all.iter().map(|(_, _, size)| size).sum();
        let files_total = all.len();
        let mut tell = |copies: &Copies<'_>| {
            let (files, bytes) = copies.so_far();
            match progress(MoveProgress { files, files_total, bytes, bytes_total }) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(MoveError::Cancelled),
            }
        };
        tell(&copies)?;
        let rest = copies.lacking(all);
        let few = rest.len() <= BATCH_FILES && rest.iter().map(|(_, _, size)| size).sum::<u64>() <= SHORT;
        if few {
            break;
        }
        for batch in batches(&rest) {
            copies.batch(batch)?;
            tell(&copies)?;
        }
    }
    let (bad, unreadable) = common::undisturbed(inner, || {
        copies.gone.clear();
        let rest = copies.lacking(common::all_blobs(inner));
        copies.batch(&rest)?;
        // Nothing is evicted now: these are known, and not there.
        copies.bad.extend(copies.gone.drain());
        let parts = part_files(&old, new)?;
        let mut copied = Vec::new();
        for (from, to) in parts {
            if common::free_part_name(&to) && common::or_left(&from, common::copy_file(&from, &to))?.is_some()
            {
                copied.push(to);
            }
        }
        os::sync_files(&new.partial, &copied).map_err(|error| StoreError::at(&new.partial, error))?;
        os::sync_folder(&new.dir).map_err(|error| StoreError::at(&new.dir, error))?;
        common::switch(inner, note, name, new)?;
        for (hash, ext) in adopt_copies(inner, &copies) {
            // A copy that stays is not used, and the next start removes it.
            remove(&new.blob_path(&hash, ext)).ok();
        }
        common::tell_obstacles(inner, std::mem::take(&mut copies.obstacles));
        Ok::<_, MoveError>((std::mem::take(&mut copies.bad), std::mem::take(&mut copies.unreadable)))
    })?;
    for hash in bad.iter().chain(unreadable.iter().map(|Obstacle { hash, .. }| hash)) {
        naming::drop_wrong(inner, hash, |_| true);
    }
    let (files, bytes) = copies.so_far();
    Ok(Moved { bad, unreadable, ..moved(&old, new, files, bytes) })
}

/// Knows the blobs by the stamps of their copies now; tells which copies are of blobs that were evicted meanwhile.
fn adopt_copies(inner: &Inner, copies: &Copies<'_>) -> Vec<(BlobHash, Ext)> {
    let mut needless = Vec::new();
    let mut state = inner.state();
    for (hash, copy) in &copies.done {
        match state.blobs.get_mut(hash) {
            Some(blob) => {
                (blob.stamp, blob.synced, blob.ext) = (copy.stamp, true, copy.there);
                state.dirty.insert(*hash);
            }
            None => needless.push((*hash, copy.there)),
        }
    }
    needless
}

fn batches(mut rest: &[Blob]) -> impl Iterator<Item = &[Blob]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fit = rest.iter().take(BATCH_FILES).take_while(|(_, _, size)| {
            let first = bytes == 0;
            bytes += size;
            first || bytes <= BATCH_BYTES
        });
        let (batch, after) = rest.split_at(fit.count());
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

struct Copy {
    /// The ending in the old place.
    ext: Ext,
    /// The ending in the new one.
    there: Ext,
    stamp: Stamp,
}

/// What was copied so far.
struct Copies<'a> {
    old: &'a Place,
    new: &'a Place,
    done: HashMap<BlobHash, Copy>,
    obstacles: Obstacles,
    bad: Vec<BlobHash>,
    unreadable: Vec<Obstacle>,
    /// Were not there when their turn came.
    gone: HashSet<BlobHash>,
}

impl<'a> Copies<'a> {
    fn new(old: &'a Place, new: &'a Place) -> Self {
        let (done, obstacles) = (HashMap::new(), Obstacles::new());
        let (bad, unreadable) = (Vec::new(), Vec::new());
        Self { old, new, done, obstacles, bad, unreadable, gone: HashSet::new() }
    }

    fn lacking(&self, all: Vec<Blob>) -> Vec<Blob> {
        // One that went and came again may have another ending.
        let done = |(hash, ext, _): &Blob| self.done.get(hash).is_some_and(|copy| copy.ext == *ext);
        let lacking = |blob: &Blob| !done(blob) && !self.is_left(&blob.0);
        all.into_iter().filter(lacking).collect()
    }

    /// Whether this blob was seen and is not brought along.
    fn is_left(&self, hash: &BlobHash) -> bool {
        self.bad.contains(hash)
            || self.gone.contains(hash)
            || self.unreadable.iter().any(|found| found.hash == *hash)
    }

    fn so_far(&self) -> (usize, u64) {
        (self.done.len(), self.done.values().map(|copy| copy.stamp.size).sum())
    }

    /// Copies, flushes, and reads again what the disk has.
    fn batch(&mut self, blobs: &[Blob]) -> Result<(), MoveError> {
        let mut copied = Vec::new();
        for (hash, ext, _) in blobs {
            let from = self.old.blob_path(hash, *ext);
            match copy_blob(&from, self.new, hash, *ext) {
                Ok(Some(Freed { ext: there, path, obstacle })) => {
                    self.obstacles.extend(obstacle.map(|cause| (*hash, *ext, cause)));
                    copied.push((*hash, *ext, there, path));
                }
                Ok(None) => self.bad.push(*hash),
                Err(StoreError::Missing { .. }) if !self.old.stands() => {
                    return Err(StoreError::Away { dir: self.old.dir.clone() }.into());
                }
                // Something else lies in its place.
                Err(StoreError::FileTooLarge { .. }) => self.bad.push(*hash),
                Err(StoreError::NotAFile { path }) if path == from => {
                    common::tell_left(&path);
                    self.bad.push(*hash);
                }
                Err(StoreError::Io { path, source }) if path == from && os::is_of_one_file(&source) => {
                    common::tell_left(&path);
                    let cause = source.to_string();
                    self.unreadable.push(Obstacle { hash: *hash, path, cause, unreadable: true });
                }
                // Evicted meanwhile, or removed by another program.
                Err(StoreError::Missing { .. }) => drop(self.gone.insert(*hash)),
                Err(error) => return Err(error.into()),
            }
        }
        let files: Vec<PathBuf> = copied.iter().map(|(_, _, _, path)| path.clone()).collect();
        os::sync_files(&self.new.blobs, &files).map_err(|error| StoreError::at(&self.new.blobs, error))?;
        for (hash, ext, there, path) in copied {
            let (file, stamp) = open_blob_file(&path)?;
            os::forget_pages(&file);
            let tree = hash_file(&file, stamp.size).map_err(|error| StoreError::at(&path, error))?;
            os::forget_pages(&file);
            if tree.is_none_or(|tree| tree.hash() != hash) {
                let name = name::blob_name(&hash, there);
                return Err(MoveError::Unfaithful { dir: self.new.dir.clone(), name });
            }
            self.done.insert(hash, Copy { ext, there, stamp });
        }
        Ok(())
    }
}

/// Copies a blob with its time to a name that it frees; `None` when its bytes are not what its name says.
fn copy_blob(from: &Path, new: &Place, hash: &BlobHash, ext: Ext) -> Result<Option<Freed>, StoreError> {
    let (file, stamp) = open_blob_file(from)?;
    let freed = common::free_name_in(new, hash, ext)?;
    let to = &freed.path;
    let copy = File::create_new(to).map_err(|error| StoreError::at(to, error))?;
    let mut builder = TreeBuilder::default();
    let mut bytes = Vec::new();
    for index in 0..chunk_count(stamp.size) {
        let offset = offset_of(index);
        let len = chunk_len(stamp.size, index).unwrap_or_default();
        match os::read_vec_at(&file, &mut bytes, len, offset) {
            // Shorter than it was when it was opened.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            result => result.map_err(|error| StoreError::at(from, error))?,
        }
        builder.push(&bytes);
        os::write_all_at(&copy, &bytes, offset).map_err(|error| StoreError::at(to, error))?;
    }
    drop(copy);
    os::set_modified(to, from).map_err(|error| StoreError::at(to, error))?;
    if builder.finish().hash() == *hash {
        return Ok(Some(freed));
    }
    remove(to)?;
    Ok(None)
}
