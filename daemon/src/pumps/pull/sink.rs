//! Decrypts, verifies and stores a request's records.

use super::{
    arrivals::Record,
    ask::{Note, Notes, Target},
};
use crate::{
    io::{
        chunk_buffer::ChunkBuffer,
        store::{Store, StoreError},
    },
    pumps::compression,
};
use fyteclub_proto::{
    chunk_tree::{ChunkTree, chunk_len},
    fetching::transfer::{End, Input, RequestId},
    id::BlobHash,
    number::u64_of,
    peer::{
        CloseCode,
        record::{self, Kind},
    },
    seal::EpochKey,
};
use std::sync::Arc;

/// Decrypts, verifies and stores a request's records, one job at a time. Runs on blocking threads.
pub(super) struct Sink {
    pub(super) request: RequestId,
    pub(super) targets: Vec<Target>,
    pub(super) store: Store,
    pub(super) key: Arc<EpochKey>,
    /// The source is not the owner.
    pub(super) lent: bool,
}

#[derive(Default)]
pub(super) struct Outcome {
    facts: Vec<Input>,
    wire: u64,
    failed: Option<Failed>,
}

enum Failed {
    /// Bytes of this blob do not match its hash.
    Wrong(BlobHash),
    /// The blob's length differs from the one in the look.
    Unfit(BlobHash),
    Peer(CloseCode),
    Local(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Local(error)
    }
}

impl Outcome {
    /// Reports the outcome; returns how the request ends when it cannot go on.
    pub(super) fn tell(self, notes: &Notes) -> Option<End> {
        if !self.facts.is_empty() {
            notes(Note::Progress { facts: self.facts, wire: self.wire });
        }
        match self.failed? {
            Failed::Wrong(hash) => Some(End::Wrong(hash)),
            Failed::Unfit(hash) => Some(End::Unfit(hash)),
            Failed::Peer(code) => Some(End::Misbehaved(code)),
            Failed::Local(error) => {
                notes(Note::Local(error));
                Some(End::Unkept)
            }
        }
    }
}

impl Sink {
    pub(super) fn take(&mut self, records: Vec<Record>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut small = Vec::new();
        let taken = records.into_iter().try_for_each(|record| self.one(record, &mut small, &mut outcome));
        let stored = self.store_small(&small, &mut outcome);
        outcome.failed = taken.and(stored).err();
        outcome
    }

    fn one(
        &self,
        record: Record,
        small: &mut Vec<(usize, ChunkBuffer)>,
        outcome: &mut Outcome,
    ) -> Result<(), Failed> {
        let Record { target: number, kind, index, nonce, mut sealed } = record;
        let target = &self.targets[number];
        let (request, hash) = (self.request, target.piece.hash);
        if matches!(kind, Kind::Gone | Kind::Changed) {
            outcome.facts.push(Input::Lacking { request, hash, changed: kind == Kind::Changed });
            return Ok(());
        }
        outcome.wire += u64_of(sealed.len() + record::HEADER);
        self.key
            .bulk()
            .open(nonce, &record::place(kind, &hash, index), &mut sealed)
            .map_err(|_| Failed::Peer(CloseCode::WrongBytes))?;
        let wrong = || Failed::Peer(CloseCode::WrongBytes);
        let bytes = match kind {
            Kind::Zstd => {
                let len = chunk_len(target.size, index).ok_or_else(wrong)?;
                let unpacked = compression::decompress(&sealed, len);
                let unfit = || if self.lent { Failed::Unfit(hash) } else { wrong() };
                unpacked.ok_or_else(unfit)?.into()
            }
            _ => sealed,
        };
        match (&target.partial, kind) {
            (Some(partial), Kind::Tree) => {
                let tree = ChunkTree::prove(hash, target.size, &bytes).map_err(|_| Failed::Wrong(hash))?;
                partial.set_tree(tree)?;
                outcome.facts.push(Input::Tree { request, hash });
            }
            (Some(partial), _) => {
                let tree = partial.tree().ok_or_else(wrong)?;
                let chunk = tree.verify(index, &bytes).map_err(|_| Failed::Wrong(hash))?;
                partial.write_from(&target.owner, chunk)?;
                outcome.facts.push(Input::Verified { request, hash, chunks: index..index + 1 });
            }
            (None, _) => small.push((number, bytes)),
        }
        Ok(())
    }

    /// Stores blobs of one chunk, many in one call.
    fn store_small(&self, small: &[(usize, ChunkBuffer)], outcome: &mut Outcome) -> Result<(), Failed> {
        let wrong = || Failed::Peer(CloseCode::WrongBytes);
        let trees: Vec<ChunkTree> = (small.iter())
            .map(|(number, _)| &self.targets[*number])
            .map(|target| ChunkTree::single(target.piece.hash, target.size).ok_or_else(wrong))
            .collect::<Result<_, _>>()?;
        let mut chunks = Vec::with_capacity(small.len());
        let mut failed = Ok(());
        for ((number, bytes), tree) in small.iter().zip(&trees) {
            match tree.verify(0, bytes) {
                Ok(chunk) => chunks.push((chunk, self.targets[*number].ext)),
                // Right chunks are stored all the same.
                Err(_) => failed = Err(Failed::Wrong(tree.hash())),
            }
        }
        self.store.put_many(&chunks)?;
        // All targets of a request have one owner.
        if let Some(Target { owner, .. }) = self.targets.first() {
            self.store.came_from(owner, chunks.iter().map(|(chunk, _)| chunk.hash()));
        }
        let verified = chunks.iter().map(|(chunk, _)| Input::Verified {
            request: self.request,
            hash: chunk.hash(),
            chunks: 0..1,
        });
        outcome.facts.extend(verified);
        failed
    }
}
