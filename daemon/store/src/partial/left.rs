//! What happens to a partial when its last handle is dropped.

use super::{Arrived, Partial, claim::save};
use crate::{inner::Inner, name::Ext, state::Handle};
use fyteclub_proto::blob::Content;
use std::{
    ptr::addr_eq,
    sync::{Arc, MutexGuard, PoisonError, TryLockError},
    thread,
};

impl Drop for Partial {
    fn drop(&mut self) {
        let arrived = self.arrived.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (arrived, this): (_, *const Self) = (std::mem::take(arrived), self);
        if arrived.complete {
            return;
        }
        let known = self.inner.state().parts.get(&self.content).map(|part| part.open.clone());
        let open = known.filter(|open| addr_eq(open.as_ptr(), this));
        let left = Left { inner: self.inner.clone(), content: self.content, ext: self.ext, open, arrived };
        // The last handle may go on a thread that must not wait, and the names are held long while the cache is moved.
        let inner = self.inner.clone();
        match inner.site.names_of(&self.content.hash).try_lock() {
            Err(TryLockError::WouldBlock) => {
                let waiting = thread::Builder::new()
                    .spawn(move || left.settle(&left.inner.site.name(&left.content.hash)));
                if let Err(error) = waiting {
                    tracing::debug!(%error, "could not save the progress of {}", self.content.hash);
                }
            }
            Ok(name) => left.settle(&name),
            Err(TryLockError::Poisoned(name)) => left.settle(&name.into_inner()),
        }
    }
}

/// What a partial leaves when its last handle is dropped.
struct Left {
    inner: Arc<Inner>,
    content: Content,
    ext: Ext,
    /// What tells it from one that was opened since; none when there is such a one already.
    open: Option<Handle>,
    arrived: Arrived,
}

impl Left {
    /// Saves the progress, or removes files that are not needed. The guard is the name's.
    fn settle(&self, _name: &MutexGuard<'_, ()>) {
        let (inner, content, arrived) = (&*self.inner, self.content, &self.arrived);
        let hash = content.hash;
        let mut state = inner.state();
        // It may have been opened again since the last handle was dropped: then the files belong to that handle.
        let still = |open: &Handle| state.parts.get(&content).is_some_and(|part| part.open.ptr_eq(open));
        let ours = self.open.as_ref().is_some_and(still);
        // Or the blob may have come another way: then the pieces are not needed.
        let whole = state.blobs.get(&hash).is_some_and(|blob| blob.stamp.size == content.size);
        let needless = whole && !state.parts.contains_key(&content);
        if !(ours || needless) {
            return;
        }
        if arrived.count == 0 || needless {
            state.remove_part(&content);
            drop(state);
            inner.site.here().remove_part(&content, self.ext).ok();
        } else if let Some(tree) = arrived.tree.as_ref().filter(|_| arrived.unsaved) {
            drop(state);
            if let Err(error) = save(
                &inner.site.here().have_path(&content, self.ext),
                tree,
                &arrived.giver(),
                &arrived.bits,
                arrived.list_saved,
            ) {
                tracing::debug!(%error, "could not save the progress of {hash}");
            }
        }
    }
}
