//! One request of a transfer: its targets, its division into portions, its reports.

use crate::io::store::{Partial, StoreError};
use fyteclub_proto::{
    chunk_tree::chunk_len,
    fetching::transfer::{Input, RequestId},
    grant::Grant,
    id::PeerId,
    number::u64_of,
    peer::Piece,
};
use std::{collections::VecDeque, sync::Arc};

/// A pull's report: progress for the transfer machine, or a failure of this machine.
#[derive(Debug)]
pub enum Note {
    /// Inputs for the machine, in order, and the bytes on the wire for them.
    Progress { facts: Vec<Input>, wire: u64 },
    /// This machine cannot store a chunk; the peer is not at fault.
    Local(StoreError),
}

/// Called from the pump's task; must not block.
pub type Notes = Arc<dyn Fn(Note) + Send + Sync>;

/// One blob of a request, and where it is stored.
#[derive(Clone)]
pub struct Target {
    pub piece: Piece,
    pub size: u64,
    pub ext: &'static str,
    /// For blobs of more than one chunk.
    pub partial: Option<Arc<Partial>>,
    /// The owner of the look: the source is the owner, or lends under its grant.
    pub owner: PeerId,
}

/// One request of a transfer.
pub struct Ask {
    pub request: RequestId,
    pub targets: Vec<Target>,
    /// For a source other than the owner.
    pub grant: Option<Grant>,
}

/// Takes about `bytes` from the front of `targets`, at least one chunk.
pub(super) fn portion(targets: &mut VecDeque<Target>, bytes: u64) -> Vec<Target> {
    let (mut portion, mut left) = (Vec::new(), bytes);
    while let Some(mut target) = targets.pop_front() {
        let Piece { hash, first, count, .. } = target.piece;
        let chunk = |index| u64_of(chunk_len(target.size, index).unwrap_or(0));
        // At least one chunk, so that the request makes progress.
        let mut fits = u32::from(portion.is_empty());
        left = left.saturating_sub(if fits == 1 { chunk(first) } else { 0 });
        while fits < count && chunk(first.saturating_add(fits)) <= left {
            left -= chunk(first.saturating_add(fits));
            fits += 1;
        }
        if fits < count {
            let rest = Piece {
                hash,
                tree: fits == 0 && target.piece.tree,
                first: first + fits,
                count: count - fits,
            };
            targets.push_front(Target { piece: rest, ..target.clone() });
        }
        if fits == 0 {
            break;
        }
        target.piece.count = fits;
        portion.push(target);
    }
    portion
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::{id::BlobHash, limit::CHUNK_SIZE};

    fn target(name: &str, size: u64, tree: bool, first: u32, count: u32) -> Target {
        let piece = Piece { hash: BlobHash::of(name.as_bytes()), tree, first, count };
        Target { piece, size, ext: "tex", partial: None, owner: PeerId::from_bytes([1; 32]) }
    }

    #[test]
    fn portions_keep_the_requests_order_and_stay_small() {
        const CHUNK: u64 = u64_of(CHUNK_SIZE);
        let request = vec![
            target("small", 100, false, 0, 1),
            target("large", 9 * CHUNK + 5, true, 2, 8),
            target("empty", 0, false, 0, 1),
            target("other", 3 * CHUNK, true, 0, 3),
        ];
        for bytes in [1, CHUNK, 2 * CHUNK, 100 * CHUNK] {
            let (mut rest, mut asked) = (VecDeque::from(request.clone()), Vec::new());
            while !rest.is_empty() {
                let portion = portion(&mut rest, bytes);
                let size = |target: &Target| {
                    let Piece { first, count, .. } = target.piece;
                    u64_of((first..first + count).filter_map(|n| chunk_len(target.size, n)).sum::<usize>())
                };
                let sum = portion.iter().map(size).sum::<u64>();
                assert!(!portion.is_empty() && sum <= bytes.max(CHUNK), "{sum} of {bytes}");
                asked.extend(portion);
            }
            // Joined again they are the request; a chunk list is requested once, with the blob's first chunks.
            let mut joined: Vec<Piece> = Vec::new();
            for Target { piece, .. } in asked {
                match joined.last_mut().filter(|last| last.hash == piece.hash) {
                    Some(last) => {
                        assert!(!piece.tree && piece.first == last.first + last.count);
                        last.count += piece.count;
                    }
                    None => joined.push(piece),
                }
            }
            assert_eq!(joined, request.iter().map(|target| target.piece).collect::<Vec<_>>());
        }
    }
}
