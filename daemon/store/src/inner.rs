//! What all parts of the store share: one owner for each state, behind one handle.

use super::{
    activity::Activity, disk::StoreConfig, index::Index, origins::Origins, site::Site, state::State,
    sync::lock,
};
use fyteclub_proto::{chunk_tree::ChunkTree, id::BlobHash};
use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

pub(crate) struct Inner {
    /// The data folder, in which the index lies.
    pub(crate) dir: PathBuf,
    pub(crate) config: StoreConfig,
    pub(crate) site: Site,
    pub(crate) state: Mutex<State>,
    pub(crate) index: Index,
    pub(crate) origins: Origins,
    /// Held for the length of a checkpoint.
    pub(crate) checkpoint: Mutex<IndexTrouble>,
    /// Held while the cache is moved.
    pub(crate) moving: Mutex<()>,
    pub(crate) activity: Activity,
    pub(crate) recent_trees: Mutex<VecDeque<Arc<ChunkTree>>>,
    pub(crate) _lock: fs::File,
}

/// What is wrong with the index.
#[derive(Debug, Default)]
pub(crate) struct IndexTrouble {
    /// The log has been told that it is out of order.
    pub(crate) told: bool,
    /// It lacks more than the state's dirty rows.
    pub(crate) behind: bool,
}

/// Trees of large blobs that are kept at hand: as many as are likely to be served at once, 38 KiB each at the most.
const RECENT_TREES: usize = 16;

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The tree of a blob from wherever it is kept; `None` when it was lost and has to be built from the bytes.
    pub(crate) fn kept_tree(&self, hash: BlobHash, size: u64) -> Option<Arc<ChunkTree>> {
        if let Some(single) = ChunkTree::single(hash, size) {
            return Some(Arc::new(single));
        }
        let waiting = self.state().trees.get(&hash).cloned();
        let recent = || lock(&self.recent_trees).iter().find(|tree| tree.hash() == hash).cloned();
        waiting.or_else(recent).filter(|tree| tree.size() == size).or_else(|| {
            let tree = Arc::new(ChunkTree::prove(hash, size, &self.index.tree(&hash)?).ok()?);
            self.remember_tree(&tree);
            Some(tree)
        })
    }

    pub(crate) fn remember_tree(&self, tree: &Arc<ChunkTree>) {
        let mut recent = lock(&self.recent_trees);
        recent.retain(|other| other.hash() != tree.hash());
        recent.push_front(tree.clone());
        recent.truncate(RECENT_TREES);
    }

    /// Has the next checkpoint write the tree, as long as its blob is known.
    pub(crate) fn keep_tree(&self, tree: Arc<ChunkTree>) {
        let mut state = self.state();
        if tree.chunks() > 1 && state.knows(&tree.hash()) {
            state.trees.insert(tree.hash(), tree);
        }
    }
}
