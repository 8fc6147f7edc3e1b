//! Which owners cached blobs came from: memory and the file say the same.

use super::inner::Inner;
use fyteclub_proto::id::{BlobHash, PeerId};

/// Takes over what the file says of blobs that are here.
pub(super) fn recover_origins(inner: &Inner, known: &[(BlobHash, PeerId)]) {
    let mut state = inner.state();
    for (hash, owner) in known {
        state.came_from(hash, owner);
    }
    drop(state);
    tidy_origins(inner);
}

/// Writes the file anew when most of it is out of date, or when nothing can be appended to it.
pub(super) fn tidy_origins(inner: &Inner) {
    if inner.origins.is_stale(|| inner.state().origins().len()) {
        save(inner);
    }
}

/// Writes the file anew and syncs it.
pub(super) fn save(inner: &Inner) {
    let all = inner.state().origins();
    inner.origins.rewrite(&all);
}

pub(super) fn came_from(inner: &Inner, owner: &PeerId, hashes: impl IntoIterator<Item = BlobHash>) {
    let mut state = inner.state();
    let news: Vec<_> =
        (hashes.into_iter()).filter(|hash| state.came_from(hash, owner)).map(|hash| (hash, *owner)).collect();
    drop(state);
    if !news.is_empty() {
        inner.origins.append(&news);
    }
}

pub(super) fn forget_owner(inner: &Inner, owner: &PeerId) {
    if inner.state().forget_owner(owner) {
        save(inner);
    }
}
