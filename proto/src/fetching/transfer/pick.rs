//! What is left to request: many small blobs to a request, large ones in runs of chunks, the list before the rest.

use super::Wanted;
use crate::{
    chunk_tree::{chunk_count, chunk_len},
    id::{BlobHash, PeerId},
    limit::{CHUNK_SIZE, REQUEST_ITEMS_MAX},
    number,
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

/// Blobs of one chunk, and larger ones: neither waits for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Small,
    Large,
}

impl Class {
    /// Its index in an array by class.
    pub(super) fn index(self) -> usize {
        match self {
            Self::Small => 0,
            Self::Large => 1,
        }
    }
}

/// The blobs of a source, by position; the owner has all.
#[derive(Debug, Default)]
pub(super) struct Holding(Option<Vec<bool>>);

impl Holding {
    pub(super) fn all() -> Self {
        Self(None)
    }

    pub(super) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// The number of its wanted blobs.
    pub(super) fn count(&self) -> usize {
        self.0.as_ref().map_or(usize::MAX, |bits| bits.iter().filter(|has| **has).count())
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.0.as_ref().is_none_or(|bits| bits.get(index) == Some(&true))
    }
}

#[derive(Debug)]
pub(super) struct Blob {
    hash: BlobHash,
    size: u64,
    tree: Tree,
    /// Not requested; ascending, none empty.
    todo: Vec<Range<u32>>,
    /// Not verified; ascending, none empty.
    left: Vec<Range<u32>>,
    lacking: BTreeSet<PeerId>,
}

impl Blob {
    fn bytes(&self, chunks: Range<u32>) -> u64 {
        chunks.filter_map(|index| chunk_len(self.size, index)).map(number::u64_of).sum()
    }

    /// Bytes that are here already.
    pub(super) fn bytes_done(&self) -> u64 {
        self.size - self.left.iter().map(|range| self.bytes(range.clone())).sum::<u64>()
    }

    fn available(&self) -> bool {
        !self.todo.is_empty() && self.tree != Tree::Asked
    }

    fn class(&self) -> Class {
        if chunk_count(self.size) == 1 { Class::Small } else { Class::Large }
    }
}

/// What one request owes of one blob: its list, if missing, and chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owed {
    pub blob: usize,
    pub tree: bool,
    pub chunks: Range<u32>,
}

impl Owed {
    pub(super) fn is_empty(&self) -> bool {
        !self.tree && self.chunks.is_empty()
    }
}

/// All blobs, smallest first, and those with something to request.
#[derive(Debug)]
pub(super) struct Queue {
    blobs: Vec<Blob>,
    by_hash: BTreeMap<BlobHash, usize>,
    /// Positions of blobs with something to request, by class.
    open: [BTreeSet<usize>; 2],
}

/// The result of counting verified chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub fresh: u64,
    /// Bytes that had arrived before.
    pub again: u64,
    /// The blob is complete with them.
    pub complete: bool,
}

impl Queue {
    pub(super) fn new(wanted: &[Wanted]) -> Self {
        let mut wanted: Vec<&Wanted> = wanted.iter().collect();
        wanted.sort_unstable_by_key(|blob| (blob.size, blob.hash));
        let blobs: Vec<Blob> = wanted
            .into_iter()
            .map(|blob| Blob {
                hash: blob.hash,
                size: blob.size,
                tree: if blob.tree || chunk_count(blob.size) == 1 { Tree::AtHand } else { Tree::Missing },
                left: blob.missing.clone(),
                todo: blob.missing.clone(),
                lacking: BTreeSet::new(),
            })
            .collect();
        let by_hash = blobs.iter().enumerate().map(|(index, blob)| (blob.hash, index)).collect();
        let mut queue = Self { blobs, by_hash, open: Default::default() };
        (0..queue.blobs.len()).for_each(|index| queue.refile(index));
        queue
    }

    pub(super) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.blobs.iter()
    }

    pub(super) fn index(&self, hash: BlobHash) -> Option<usize> {
        self.by_hash.get(&hash).copied()
    }

    /// A source's wanted blobs.
    pub(super) fn holding(&self, blobs: &BTreeSet<BlobHash>) -> Holding {
        Holding(Some(self.blobs.iter().map(|blob| blobs.contains(&blob.hash)).collect()))
    }

    /// Whether a source could serve this blob.
    pub(super) fn serves(&self, index: usize, source: PeerId, holding: &Holding) -> bool {
        holding.has(index) && !self.blobs[index].lacking.contains(&source)
    }

    /// Whether a source has anything unverified.
    pub(super) fn is_of_use(&self, source: PeerId, holding: &Holding) -> bool {
        let wanted = |index: &usize| !self.blobs[*index].left.is_empty();
        (0..self.blobs.len()).filter(wanted).any(|index| self.serves(index, source, holding))
    }

    /// The next request of one class for a source: at most [`REQUEST_ITEMS_MAX`] pieces and about `budget` bytes.
    pub(super) fn pick(&mut self, source: PeerId, holding: &Holding, class: Class, budget: u64) -> Vec<Owed> {
        let (mut owed, mut bytes) = (Vec::new(), 0);
        let open: Vec<usize> = (self.open[class.index()].iter())
            .filter(|index| self.serves(**index, source, holding))
            .take(REQUEST_ITEMS_MAX)
            .copied()
            .collect();
        for index in open {
            let room = budget.saturating_sub(bytes);
            if room == 0 {
                break;
            }
            let blob = &mut self.blobs[index];
            let Some(front) = blob.todo.first_mut() else { continue };
            let most = u32::try_from(room.div_ceil(number::u64_of(CHUNK_SIZE))).unwrap_or(u32::MAX);
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
            owed.push(Owed { blob: index, tree, chunks });
            self.refile(index);
        }
        owed
    }

    pub(super) fn pieces(&self, owed: &[Owed]) -> Vec<Piece> {
        let piece = |owed: &Owed| Piece {
            hash: self.blobs[owed.blob].hash,
            tree: owed.tree,
            first: owed.chunks.start,
            count: number::u32_of(owed.chunks.len()),
        };
        owed.iter().map(piece).collect()
    }

    pub(super) fn class(&self, owed: &[Owed]) -> Class {
        owed.first().map_or(Class::Small, |first| self.blobs[first.blob].class())
    }

    pub(super) fn bytes(&self, owed: &[Owed]) -> u64 {
        owed.iter().map(|owed| self.blobs[owed.blob].bytes(owed.chunks.clone())).sum()
    }

    /// Returns what a request did not yield, except what other requests owe.
    pub(super) fn put_back<'a>(&mut self, owed: Vec<Owed>, others: impl Iterator<Item = &'a Owed> + Clone) {
        for Owed { blob: index, tree, chunks } in owed {
            let same = others.clone().filter(|other| other.blob == index);
            let blob = &mut self.blobs[index];
            if tree && blob.tree == Tree::Asked && !same.clone().any(|other| other.tree) {
                blob.tree = Tree::Missing;
            }
            for chunk in chunks {
                if contains(&blob.left, chunk) && !same.clone().any(|other| other.chunks.contains(&chunk)) {
                    insert(&mut blob.todo, chunk);
                }
            }
            self.refile(index);
        }
    }

    pub(super) fn tree_proven(&mut self, index: usize) {
        self.blobs[index].tree = Tree::AtHand;
        self.refile(index);
    }

    /// Whether nothing of this is wanted any more.
    pub(super) fn is_settled(&self, owed: &Owed) -> bool {
        let blob = &self.blobs[owed.blob];
        let tree_due = owed.tree && blob.tree != Tree::AtHand;
        !tree_due && !owed.chunks.clone().any(|chunk| contains(&blob.left, chunk))
    }

    /// Counts verified chunks once, from any source.
    pub(super) fn verified(&mut self, index: usize, chunks: Range<u32>) -> Counted {
        let blob = &mut self.blobs[index];
        let fresh: Vec<u32> = chunks.clone().filter(|chunk| contains(&blob.left, *chunk)).collect();
        let of_fresh = |chunk: &u32| number::u64_of(chunk_len(blob.size, *chunk).unwrap_or(0));
        let fresh_bytes = fresh.iter().map(of_fresh).sum();
        remove(&mut blob.left, &chunks);
        remove(&mut blob.todo, &chunks);
        let counted = Counted {
            fresh: fresh_bytes,
            again: blob.bytes(chunks) - fresh_bytes,
            // An empty blob has no bytes, but one chunk.
            complete: !fresh.is_empty() && blob.left.is_empty(),
        };
        self.refile(index);
        counted
    }

    pub(super) fn lacks(&mut self, hash: BlobHash, source: PeerId) {
        if let Some(index) = self.index(hash) {
            self.blobs[index].lacking.insert(source);
        }
    }

    /// A source that joins again may have what it lacked.
    pub(super) fn forgive(&mut self, source: PeerId) {
        self.blobs.iter_mut().for_each(|blob| {
            blob.lacking.remove(&source);
        });
    }

    fn refile(&mut self, index: usize) {
        let blob = &self.blobs[index];
        let open = &mut self.open[blob.class().index()];
        if blob.available() {
            open.insert(index);
        } else {
            open.remove(&index);
        }
    }
}

fn contains(ranges: &[Range<u32>], chunk: u32) -> bool {
    ranges.iter().any(|range| range.contains(&chunk))
}

/// Adds an absent chunk.
fn insert(ranges: &mut Vec<Range<u32>>, chunk: u32) {
    let at = ranges.partition_point(|range| range.end < chunk);
    match ranges.get_mut(at) {
        Some(range) if range.end == chunk => range.end += 1,
        Some(range) if range.start == chunk + 1 => range.start = chunk,
        _ => return ranges.insert(at, chunk..chunk + 1),
    }
    if at + 1 < ranges.len() && ranges[at].end == ranges[at + 1].start {
        ranges[at].end = ranges[at + 1].end;
        ranges.remove(at + 1);
    }
}

fn remove(ranges: &mut Vec<Range<u32>>, chunks: &Range<u32>) {
    if chunks.is_empty() || ranges.iter().all(|range| range.end <= chunks.start || chunks.end <= range.start)
    {
        return;
    }
    let cut = |range: &Range<u32>| {
        [range.start..range.end.min(chunks.start), range.start.max(chunks.end)..range.end]
    };
    *ranges = ranges.iter().flat_map(cut).filter(|range| !range.is_empty()).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_equal_a_set(deeds in prop::collection::vec((any::<bool>(), 0u32..30, 0u32..6), 0..60)) {
            let (mut ranges, mut set) = (Vec::new(), BTreeSet::new());
            for (adds, at, len) in deeds {
                if adds {
                    if set.insert(at) {
                        insert(&mut ranges, at);
                    }
                } else {
                    remove(&mut ranges, &(at..at + len));
                    set.retain(|chunk| !(at..at + len).contains(chunk));
                }
                prop_assert_eq!(ranges.iter().cloned().flatten().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }
}
