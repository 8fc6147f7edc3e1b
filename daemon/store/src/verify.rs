//! Reads every cached file at once, on request. A file whose bytes are not what its name says is removed, pinned or
//! not: wrong bytes are neither served nor shown.

use super::{
    error::StoreError,
    inner::Inner,
    naming, own,
    prove::{Proven, prove},
    state::Obstacle,
    trust::{self, Verdict},
};
use fyteclub_proto::id::BlobHash;
use std::{fs, io, ops::ControlFlow, sync::Arc};

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
    /// Could not be read, and stay. They may be right.
    pub unreadable: Vec<Obstacle>,
    /// What lies in the place of blobs, is not them, and stays. It was tried again to remove it.
    pub obstacles: Vec<Obstacle>,
    /// It was broken off: there are files that were not read.
    pub cancelled: bool,
}

impl Verified {
    /// Files that had their turn.
    pub fn looked_at(&self) -> usize {
        self.files + self.missing.len() + self.unreadable.len()
    }
}

pub(crate) fn verify(
    inner: &Inner,
    mut progress: impl FnMut(&Verified, usize, u64) -> ControlFlow<()>,
) -> Result<Verified, StoreError> {
    inner.site.stand()?;
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
        let Some(known) = trust::known(inner, hash) else { continue };
        match trust::look_into(inner, &known) {
            Ok(Verdict::Gone) => verified.missing.extend(trust::condemn(inner, &known).then_some(*hash)),
            Ok(verdict) => {
                verified.bytes += known.stamp.size;
                verified.files += 1;
                match verdict {
                    Verdict::Right(stamp) => drop(inner.state().renew(hash, &known.stamp, stamp).copied()),
                    _ => verified.bad.extend(trust::condemn(inner, &known).then_some(*hash)),
                }
            }
            Err(error @ StoreError::Away { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "a file in the cache cannot be read");
                let cause = match error {
                    StoreError::Io { source, .. } => source.to_string(),
                    error => error.to_string(),
                };
                verified.unreadable.push(Obstacle {
                    hash: *hash,
                    path: known.path(),
                    cause,
                    unreadable: true,
                });
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
            own::forget_own(inner, &path, &file);
        }
    }
    let (unreadable, obstacles) = look_at_obstacles(inner).into_iter().partition(|found| found.unreadable);
    verified.unreadable.extend::<Vec<_>>(unreadable);
    verified.obstacles = obstacles;
    Ok(verified)
}

/// Looks again at what is in the way of blobs, and tells what of it stays.
fn look_at_obstacles(inner: &Inner) -> Vec<Obstacle> {
    let all = inner.state().obstacles();
    for (ext, Obstacle { hash, path, .. }) in all {
        let name = inner.site.name(&hash);
        match prove(&path, &hash) {
            _ if inner.site.stand().is_err() => break,
            // The blob came meanwhile.
            _ if !inner.state().is_obstacle(&hash, ext) => {}
            // It is the blob after all.
            Ok(Some(Proven { tree, stamp })) if !inner.state().blobs.contains_key(&hash) => {
                naming::placed(inner, hash, ext, stamp);
                inner.state().lost_obstacle(&hash, ext);
                drop(name);
                inner.keep_tree(Arc::new(tree));
            }
            Ok(_) => drop(naming::free_name(inner, &hash, ext)),
            Err(_) => {}
        }
    }
    inner.state().obstacles().into_iter().map(|(_, obstacle)| obstacle).collect()
}
