//! What to ask next: small blobs first, many to a request; large ones in runs of chunks, the list before the rest.

use super::Wanted;
use crate::{
    chunk_tree::{chunk_count, chunk_len},
    id::{BlobHash, PeerId},
    limit::{CHUNK_SIZE, REQUEST_BYTES_MAX, REQUEST_ITEMS_MAX},
    peer::Piece,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// A blob's chunk list: without it only the first request's chunks can be verified, because the list comes with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tree {
    AtHand,
    Missing,
    Asked,
}

#[derive(Debug)]
pub struct Blob {
    hash: BlobHash,
    size: u64,
    tree: Tree,
    /// Asked of nobody at the moment; ascending, none empty.
    todo: Vec<Range<u32>>,
    /// Chunks that are not verified.
    left: u32,
    lacking: BTreeSet<PeerId>,
}

impl Blob {
    fn bytes(&self, chunks: Range<u32>) -> u64 {
        chunks.filter_map(|index| chunk_len(self.size, index)).map(|len| len as u64).sum()
    }

    /// Bytes that need not be asked for. Only right before anything was asked.
    pub fn bytes_done(&self) -> u64 {
        self.size - self.todo.iter().map(|range| self.bytes(range.clone())).sum::<u64>()
    }

    fn available(&self) -> bool {
        !self.todo.is_empty() && self.tree != Tree::Asked
    }
}

/// All blobs, smallest first, and which of them have something to ask for.
#[derive(Debug)]
pub struct Queue {
    blobs: Vec<Blob>,
    by_hash: BTreeMap<BlobHash, usize>,
    /// Positions of blobs with something to ask for.
    open: BTreeSet<usize>,
}

/// What one request owes: blob, whether its list is due, chunks.
pub type Owed = (usize, bool, Range<u32>);

impl Queue {
    pub fn new(wanted: &[Wanted]) -> Self {
        let mut wanted: Vec<&Wanted> = wanted.iter().collect();
        wanted.sort_by_key(|blob| (blob.size, blob.hash));
        let blobs: Vec<Blob> = wanted
            .into_iter()
            .map(|blob| Blob {
                hash: blob.hash,
                size: blob.size,
                tree: if blob.tree || chunk_count(blob.size) == 1 { Tree::AtHand } else { Tree::Missing },
                left: blob.missing.iter().map(ExactSizeIterator::len).sum::<usize>() as u32,
                todo: blob.missing.clone(),
                lacking: BTreeSet::new(),
            })
            .collect();
        let by_hash = blobs.iter().enumerate().map(|(index, blob)| (blob.hash, index)).collect();
        let open = (0..blobs.len()).filter(|index| blobs[*index].available()).collect();
        Self { blobs, by_hash, open }
    }

    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.blobs.iter()
    }

    pub fn index(&self, hash: BlobHash) -> Option<usize> {
        self.by_hash.get(&hash).copied()
    }

    /// The next request for a source: at most [`REQUEST_ITEMS_MAX`] pieces and about [`REQUEST_BYTES_MAX`] bytes.
    pub fn pick(&mut self, source: PeerId) -> (Vec<Piece>, Vec<Owed>) {
        let (mut pieces, mut owed, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut touched = Vec::new();
        for &index in &self.open {
            let room = REQUEST_BYTES_MAX.saturating_sub(bytes);
            if pieces.len() == REQUEST_ITEMS_MAX || room == 0 {
                break;
            }
            let blob = &mut self.blobs[index];
            if blob.lacking.contains(&source) {
                continue;
            }
            let Some(front) = blob.todo.first_mut() else { continue };
            let most = u32::try_from(room.div_ceil(CHUNK_SIZE as u64)).unwrap_or(u32::MAX);
            let chunks = front.start..front.end.min(front.start.saturating_add(most));
            front.start = chunks.end;
            if front.start >= front.end {
                blob.todo.remove(0);
            }
            let tree = blob.tree == Tree::Missing;
            if tree {
                blob.tree = Tree::Asked;
            }
            bytes += blob.bytes(chunks.clone()).max(1);
            pieces.push(Piece { hash: blob.hash, tree, first: chunks.start, count: chunks.len() as u32 });
            owed.push((index, tree, chunks));
            touched.push(index);
        }
        touched.into_iter().for_each(|index| self.refile(index));
        (pieces, owed)
    }

    /// Returns what a request did not bring.
    pub fn put_back(&mut self, owed: Vec<Owed>) {
        for (index, tree, chunks) in owed {
            let blob = &mut self.blobs[index];
            if tree {
                blob.tree = Tree::Missing;
            }
            if !chunks.is_empty() {
                blob.todo.push(chunks);
                blob.todo.sort_by_key(|range| range.start);
            }
            self.refile(index);
        }
    }

    pub fn tree_proven(&mut self, hash: BlobHash) {
        if let Some(index) = self.index(hash) {
            self.blobs[index].tree = Tree::AtHand;
            self.refile(index);
        }
    }

    /// Counts verified chunks: their bytes, and whether the blob is complete with them.
    pub fn verified(&mut self, index: usize, chunks: Range<u32>) -> (u64, bool) {
        let blob = &mut self.blobs[index];
        let bytes = blob.bytes(chunks.clone());
        blob.left = blob.left.saturating_sub(chunks.len() as u32);
        (bytes, blob.left == 0)
    }

    pub fn lacks(&mut self, hash: BlobHash, source: PeerId) {
        if let Some(index) = self.index(hash) {
            self.blobs[index].lacking.insert(source);
        }
    }

    /// A source that comes back may have again what it lacked.
    pub fn forgive(&mut self, source: PeerId) {
        self.blobs.iter_mut().for_each(|blob| {
            blob.lacking.remove(&source);
        });
    }

    fn refile(&mut self, index: usize) {
        if self.blobs[index].available() {
            self.open.insert(index);
        } else {
            self.open.remove(&index);
        }
    }
}
