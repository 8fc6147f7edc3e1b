//! Figures of the cache.

use super::{disk::Disk, evict, inner::Inner};
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The folder with the files.
    pub dir: PathBuf,
    pub disk: Option<Disk>,
    /// Whether the disk is away. The figures are what was known last then.
    pub away: bool,
    /// Complete blobs and, as if they were complete, partials. Own files are not counted.
    pub bytes: u64,
    /// Complete blobs.
    pub files: usize,
    pub limit: u64,
    /// Complete blobs that may not be evicted now.
    pub pinned: usize,
    pub partials: usize,
    pub own_files: usize,
}

pub(crate) fn stats(inner: &Inner) -> Stats {
    let away = inner.site.stand().is_err();
    let (dir, disk) = (inner.site.here().dir.clone(), evict::disk(inner).filter(|_| !away));
    let state = inner.state();
    Stats {
        dir,
        disk,
        away,
        bytes: state.bytes,
        files: state.blobs.len(),
        limit: inner.config.cache_limit,
        pinned: state.pinned_blobs(),
        partials: state.parts.len(),
        own_files: state.own.len(),
    }
}
