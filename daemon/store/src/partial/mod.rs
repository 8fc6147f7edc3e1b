//! A blob of several chunks on its way: chunks are written where they belong, in any order, by several threads, and the
//! last one gives the blob its name.
//!
//! Which chunks are there is written beside them at most every [`SAVE_EVERY`], unsynced: it survives the end of the
//! process, and after a loss of power it may claim too much. So every claimed chunk is verified again when a partial is
//! resumed, against a tree that proves itself. It is a file of its own, not a tail of the data, because some file
//! systems would have to fill everything before it with zeros.

mod claim;
mod left;

pub(super) use claim::Claim;

use super::{
    error::StoreError,
    free::{free, free_or_tell, remove},
    inner::Inner,
    name::Ext,
    naming, origin, os,
    prove::offset_of,
    put,
    state::{Part, State},
    sync::lock,
    trust,
};
use claim::save;
use fyteclub_files::regular;
use fyteclub_proto::{
    blob::{Content, Givers},
    chunk_tree::{ChunkTree, VerifiedChunk, chunk_count, chunk_len},
    id::{BlobHash, PeerId},
    limit::FILE_SIZE_MAX,
    number::{self, u32_of},
};
use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    path::PathBuf,
    ptr::addr_eq,
    sync::{Arc, Mutex, MutexGuard, Weak},
    thread,
    time::{Duration, Instant},
};

/// Most progress that a kill takes. A blob that arrives faster never has its progress written at all.
const SAVE_EVERY: Duration = Duration::from_millis(250);

/// What a written chunk led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The blob is in the store and may be served.
    pub complete: bool,
}

/// One incomplete blob. All its writers share this handle; when the last one drops it, the progress is saved. Until
/// then it is not evicted.
pub struct Partial {
    inner: Arc<Inner>,
    content: Content,
    ext: Ext,
    arrived: Mutex<Arrived>,
}

#[derive(Default)]
struct Arrived {
    tree: Option<Arc<ChunkTree>>,
    /// Which owner brought which chunks, also such as were there already.
    givers: Givers,
    bits: Box<[u8]>,
    count: u32,
    file: Option<Arc<File>>,
    /// Threads between [`Partial::enter`] and [`Partial::leave`]. The file gets its name when none is left.
    writers: u32,
    saving: bool,
    finishing: bool,
    complete: bool,
    unsaved: bool,
    list_saved: bool,
    saved: Option<Instant>,
}

impl Arrived {
    fn has(&self, index: u32) -> bool {
        self.bits.get(number::index(index) / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// Nothing of it is here.
    fn begin_anew(&mut self) {
        self.bits.fill(0);
        (self.count, self.file) = (0, None);
        (self.unsaved, self.list_saved) = (false, false);
    }

    fn set(&mut self, index: u32) {
        if let Some(byte) = self.bits.get_mut(number::index(index) / 8)
            && *byte & (1 << (index % 8)) == 0
        {
            *byte |= 1 << (index % 8);
            self.count += 1;
            self.unsaved = true;
        }
    }

    /// The owner who brought all that is there, as it is saved.
    fn giver(&self) -> [u8; 32] {
        let there = (0..u32_of(self.bits.len()) * 8).filter(|index| self.has(*index));
        self.givers.of_all(there).map_or([0; 32], |owner| *owner.as_bytes())
    }
}

impl Partial {
    pub fn content(&self) -> Content {
        self.content
    }

    /// What the chunks are verified against: of a blob of one chunk from the beginning, of others once it was set, also
    /// before a restart.
    pub fn tree(&self) -> Option<Arc<ChunkTree>> {
        lock(&self.arrived).tree.clone()
    }

    /// Has no effect when there is one already: all proven trees of a blob are the same.
    ///
    /// # Errors
    /// The tree of another blob.
    pub fn set_tree(&self, tree: ChunkTree) -> Result<(), StoreError> {
        if tree.hash() != self.content.hash || tree.size() != self.content.size {
            return Err(self.foreign());
        }
        lock(&self.arrived).tree.get_or_insert_with(|| Arc::new(tree));
        Ok(())
    }

    pub fn is_complete(&self) -> bool {
        lock(&self.arrived).complete
    }

    /// The chunks that are not there, in order.
    pub fn missing(&self) -> Vec<Range<u32>> {
        let arrived = lock(&self.arrived);
        ranges((0..self.content.chunks()).filter(|index| !arrived.complete && !arrived.has(*index)))
    }

    /// The chunks that this owner has not brought, whether another did or not, in order.
    pub fn missing_of(&self, owner: &PeerId) -> Vec<Range<u32>> {
        let arrived = lock(&self.arrived);
        let there = |index| arrived.complete || arrived.has(index);
        ranges(
            (0..self.content.chunks())
                .filter(|index| !(there(*index) && arrived.givers.has_given(owner, *index))),
        )
    }

    /// As [`Partial::write`], of a chunk that came from this owner or under their grant. Once all chunks came so, the
    /// blob counts as come from them.
    ///
    /// # Errors
    /// As [`Partial::write`].
    pub fn write_from(&self, owner: &PeerId, chunk: VerifiedChunk<'_>) -> Result<Progress, StoreError> {
        let index = chunk.index();
        let progress = self.write_as(Some(owner), chunk)?;
        // Before the check whether the blob is in the store: the writer that completes it checks in the other order.
        let whole = lock(&self.arrived).givers.gave(*owner, &self.content, index);
        if whole {
            origin::came_from(&self.inner, owner, [self.content.hash]);
        }
        Ok(progress)
    }

    /// Writes a chunk where it belongs; one that is there already costs nothing. With the last one the blob is
    /// complete, as safe as after [`Store::put`](crate::Store::put), and its writer learns so.
    ///
    /// # Errors
    /// A full disk: what was written stays, and the chunk can be written again. A chunk of another blob.
    pub fn write(&self, chunk: VerifiedChunk<'_>) -> Result<Progress, StoreError> {
        self.write_as(None, chunk)
    }

    fn write_as(&self, owner: Option<&PeerId>, chunk: VerifiedChunk<'_>) -> Result<Progress, StoreError> {
        let Content { hash, size } = self.content;
        let right = chunk.hash() == hash && chunk_len(size, chunk.index()) == Some(chunk.bytes().len());
        if !right {
            return Err(self.foreign());
        }
        if chunk_count(size) == 1 {
            put::put_one(&self.inner, chunk, self.ext.as_str())?;
            let mut arrived = lock(&self.arrived);
            (arrived.complete, arrived.count) = (true, 1);
            return Ok(Progress { complete: true });
        }
        let mut arrived = lock(&self.arrived);
        if arrived.tree.is_none() {
            return Err(self.foreign());
        }
        if arrived.complete {
            return Ok(Progress { complete: true });
        }
        if arrived.has(chunk.index()) {
            arrived.writers += 1;
            return self.leave(arrived);
        }
        let file = self.enter(&mut arrived)?;
        drop(arrived);
        self.inner.activity.note();
        let written = os::write_all_at(&file, chunk.bytes(), chunk.offset());
        drop(file);
        let mut arrived = lock(&self.arrived);
        match written {
            Ok(()) => {
                arrived.set(chunk.index());
                // Before the givers are saved.
                if let Some(owner) = owner {
                    arrived.givers.gave(*owner, &self.content, chunk.index());
                }
            }
            Err(error) => {
                arrived.writers -= 1;
                return Err(StoreError::at(&self.part_path(), error));
            }
        }
        let due = arrived.saved.get_or_insert_with(Instant::now).elapsed() >= SAVE_EVERY;
        if due && arrived.count < chunk_count(size) {
            arrived = self.write_claim(arrived);
        }
        self.leave(arrived)
    }

    fn foreign(&self) -> StoreError {
        StoreError::Foreign { hash: self.content.hash }
    }

    fn part_path(&self) -> PathBuf {
        self.inner.site.here().part_path(&self.content, self.ext)
    }

    fn have_path(&self) -> PathBuf {
        self.inner.site.here().have_path(&self.content, self.ext)
    }

    /// Counts the caller among the writers, and opens the file for the first of them.
    fn enter(&self, arrived: &mut Arrived) -> Result<Arc<File>, StoreError> {
        let file = match &arrived.file {
            Some(file) => file.clone(),
            None => {
                let _name = self.inner.site.name(&self.content.hash);
                let open = || {
                    let path = self.part_path();
                    let mut options = OpenOptions::new();
                    options.read(true).write(true).create(true).truncate(false);
                    let file = match regular::open(&path, &mut options) {
                        // A folder, a pipe, or another user's file.
                        Err(error) if in_the_way(&error) => {
                            free_or_tell(&path)?;
                            regular::open(&path, &mut options)
                        }
                        file => file,
                    };
                    let file = file.map_err(|e| StoreError::writing(&path, e))?;
                    let found = file.metadata().map_err(|e| StoreError::at(&path, e))?;
                    let before = found.len();
                    // A hole, not zeros: a size that a peer claims takes no space before its bytes come.
                    file.set_len(self.content.size).map_err(|e| StoreError::at(&path, e))?;
                    Ok((Arc::new(file), before))
                };
                let (file, before) = self.inner.site.again_if_lost(open)?;
                // A move left behind what lay in its place.
                if arrived.count > 0 && before != self.content.size {
                    arrived.begin_anew();
                    return Err(StoreError::Missing { path: self.part_path() });
                }
                arrived.file.insert(file).clone()
            }
        };
        arrived.writers += 1;
        Ok(file)
    }

    /// The last writer of a complete file gives it its name. If another program removed or replaced the file, nothing
    /// of the blob is here: it begins anew, and the error is `Missing`.
    fn leave(&self, mut arrived: MutexGuard<'_, Arrived>) -> Result<Progress, StoreError> {
        arrived.writers -= 1;
        let all = arrived.count == self.content.chunks();
        if !all || arrived.writers > 0 || arrived.finishing {
            return Ok(Progress { complete: arrived.complete });
        }
        arrived.finishing = true;
        let tree = arrived.tree.clone();
        // Closed before it is renamed: until then Windows does not say its last time.
        let written = arrived.file.take().map(|file| os::file_id(&file));
        drop(arrived);
        let path = self.part_path();
        let same = written.is_none_or(|written| os::is_file(&path, written));
        let placed = if same {
            naming::place(&self.inner, self.content.hash, self.ext, &path)
        } else {
            Err(StoreError::Missing { path })
        };
        if placed.is_ok() {
            remove(&self.have_path()).ok();
            let mut state = self.inner.state();
            let this: *const Self = self;
            // Not that of a handle that was opened meanwhile.
            if state.parts.get(&self.content).is_some_and(|part| addr_eq(part.open.as_ptr(), this)) {
                state.remove_part(&self.content);
            }
            drop(state);
            if let Some(tree) = tree {
                self.inner.keep_tree(tree);
            }
        }
        let mut arrived = lock(&self.arrived);
        arrived.finishing = false;
        arrived.complete = placed.is_ok();
        if placed.as_ref().is_err_and(StoreError::is_lost) && self.inner.site.stand().is_ok() {
            arrived.begin_anew();
        }
        let givers: Vec<PeerId> = arrived.givers.whole(&self.content).collect();
        drop(arrived);
        for owner in givers.iter().filter(|_| placed.is_ok()) {
            origin::came_from(&self.inner, owner, [self.content.hash]);
        }
        placed.map(|()| Progress { complete: true })
    }

    /// Saves what is there without holding the lock; the caller is a writer. What cannot be saved is only progress.
    fn write_claim<'a>(&'a self, mut arrived: MutexGuard<'a, Arrived>) -> MutexGuard<'a, Arrived> {
        let Some(tree) = arrived.tree.clone().filter(|_| arrived.unsaved && !arrived.saving) else {
            return arrived;
        };
        (arrived.saving, arrived.unsaved) = (true, false);
        let (giver, bits, list_saved) = (arrived.giver(), arrived.bits.clone(), arrived.list_saved);
        drop(arrived);
        let result = save(&self.have_path(), &tree, &giver, &bits, list_saved);
        let mut arrived = lock(&self.arrived);
        arrived.saving = false;
        arrived.saved = Some(Instant::now());
        match result {
            Ok(()) => arrived.list_saved = true,
            Err(error) => {
                tracing::debug!(%error, "could not save the progress of {}", self.content.hash);
                arrived.unsaved = true;
                // Another program removed it: the next one is written whole.
                arrived.list_saved &= error.kind() != io::ErrorKind::NotFound;
            }
        }
        arrived
    }

    /// Saves the progress now, for a checkpoint.
    pub(super) fn save_now(&self) {
        let mut arrived = lock(&self.arrived);
        if !arrived.unsaved || arrived.complete || arrived.finishing || arrived.count == 0 {
            return;
        }
        arrived.writers += 1;
        let arrived = self.write_claim(arrived);
        if let Err(error) = self.leave(arrived) {
            tracing::debug!(%error, "could not complete {}", self.content.hash);
        }
    }

    /// Takes over what an earlier process left, as far as it verifies. Anything else of it is removed.
    fn resume(&self, arrived: &mut Arrived) -> Result<(), StoreError> {
        let found = {
            let Content { hash, size } = self.content;
            let _name = self.inner.site.name(&hash);
            let (part, have) = (self.part_path(), self.have_path());
            let open = || {
                let claim = Claim::read(&have).filter(|claim| claim.size == size)?;
                let tree = ChunkTree::prove(hash, size, &claim.list).ok()?;
                let file = regular::open(&part, OpenOptions::new().read(true).write(true)).ok()?;
                (file.metadata().ok()?.len() == size).then_some((claim, tree, file))
            };
            let found = open();
            if found.is_none() {
                // The next write there reports what stays.
                free(&have).ok();
                free(&part).ok();
            }
            found
        };
        let Some((claim, tree, file)) = found else { return Ok(()) };
        let mut bytes = Vec::new();
        for index in (0..tree.chunks()).filter(|index| claim.claims(*index)) {
            bytes.resize(self.content.chunk_len(index).unwrap_or_default(), 0);
            let offset = offset_of(index);
            if os::read_exact_at(&file, &mut bytes, offset).is_ok() && tree.verify(index, &bytes).is_ok() {
                arrived.set(index);
                if let Some(giver) = claim.giver {
                    arrived.givers.gave(giver, &self.content, index);
                }
            }
        }
        arrived.tree = Some(Arc::new(tree));
        arrived.file = Some(Arc::new(file));
        (arrived.list_saved, arrived.unsaved) = (true, false);
        Ok(())
    }
}

/// Whether what cannot be opened is to go: nothing of the store's is opened in vain.
fn in_the_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || os::is_no_file(error)
}

/// The chunks in runs; they ascend.
fn ranges(chunks: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for index in chunks {
        match ranges.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ => ranges.push(index..index + 1),
        }
    }
    ranges
}

impl Partial {
    /// Waits until no writer is inside, saves the progress and closes the file. The guard keeps writers out; the next
    /// one opens the file where it is by then.
    pub(super) fn quiet(this: &Arc<Self>) -> impl Drop + use<'_> {
        this.save_now();
        loop {
            let mut arrived = lock(&this.arrived);
            if arrived.writers == 0 && !arrived.finishing {
                arrived.file = None;
                return arrived;
            }
            drop(arrived);
            thread::sleep(os::LOCK_PAUSE);
        }
    }
}

/// The partials that have a handle.
pub(super) fn open_partials(inner: &Inner) -> Vec<Arc<Partial>> {
    // Upgraded handles must not be dropped under the state's lock: the last one saves.
    inner.state().parts.values().filter_map(opened).collect()
}

/// The handle of an incomplete blob, if there is one.
fn opened(part: &Part) -> Option<Arc<Partial>> {
    part.open.upgrade()?.downcast().ok()
}

pub(crate) fn open(
    inner: &Arc<Inner>,
    hash: BlobHash,
    size: u64,
    ext: &str,
) -> Result<Arc<Partial>, StoreError> {
    let content = Content { hash, size };
    if size > FILE_SIZE_MAX {
        return Err(StoreError::Foreign { hash });
    }
    let chunks = chunk_count(size);
    let fresh = |ext, complete| {
        let bits = vec![0; number::index(chunks.div_ceil(8))].into_boxed_slice();
        let tree = inner.kept_tree(hash, size);
        let arrived = Mutex::new(Arrived { tree, bits, complete, ..Arrived::default() });
        Arc::new(Partial { inner: inner.clone(), content, ext, arrived })
    };
    let is_complete = |state: &State| state.blobs.get(&hash).is_some_and(|blob| blob.stamp.size == size);
    let complete = trust::cached(inner, &hash)?.is_some_and(|(_, blob)| blob.stamp.size == size);
    let known_ext = inner.state().parts.get(&content).map(|part| part.ext);
    if complete || chunks == 1 {
        return Ok(fresh(Ext::new(ext), complete));
    }
    let ext = known_ext.unwrap_or_else(|| Ext::new(ext));
    let partial = fresh(ext, false);
    let mut arrived = lock(&partial.arrived);
    {
        let mut state = inner.state();
        let used = state.tick();
        // Another handle may have completed it since the first look.
        if is_complete(&state) {
            drop((state, arrived));
            return open(inner, hash, size, ext.as_str());
        }
        if let Some(open) = state.parts.get(&content).and_then(opened) {
            drop((state, arrived));
            return Ok(open);
        }
        let open: Weak<Partial> = Arc::downgrade(&partial);
        state.insert_part(content, Part { used, size, ext, open });
    }
    let resumed = partial.resume(&mut arrived);
    // Everything was there, but for its name.
    let named = resumed.and_then(|()| {
        arrived.writers += 1;
        partial.leave(arrived)
    });
    named.map(|_| partial)
}
