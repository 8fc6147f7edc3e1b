//! Permission to serve a request, and the grants that a link has presented.

use crate::{
    io::{store::Store, wall_clock::unix_millis},
    sharing::{lending::Loan, published::Offer},
};
use fyteclub_proto::{
    blob::{Blob, Content, Origin},
    grant::{Grant, GrantError},
    id::{BlobHash, PeerId},
    limit::CHUNK_SIZE,
    number::u64_of,
    peer::Piece,
    share_rule::{Asked, Lent, LentBlob},
};
use std::sync::{Arc, Mutex, PoisonError};

/// Grants of one link whose signatures are not checked again.
const GRANTS_KNOWN: usize = 8;

/// Valid grants of this link: each signature is checked once.
#[derive(Clone, Default)]
pub struct Grants(Arc<Mutex<Vec<Grant>>>);

impl Grants {
    pub(super) fn check(&self, grant: &Grant, asker: &PeerId) -> Result<(), GrantError> {
        let now = unix_millis();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(grant) {
            return grant.is_current(now);
        }
        grant.holds_for(asker, now)?;
        if known.len() == GRANTS_KNOWN {
            known.remove(0);
        }
        known.push(grant.clone());
        Ok(())
    }
}

/// Why a request may be served.
pub(super) enum Right {
    /// This player publishes the look.
    Published(Option<Arc<Offer>>),
    /// Another owner's look. `good`: the grant was valid when the request arrived.
    Lent { loan: Option<Arc<Loan>>, grant: Grant, good: bool },
}

impl Right {
    /// The question to [`share_rule`](fyteclub_proto::share_rule::share_rule) before each record.
    pub(super) fn standing(&self) -> Asked {
        match self {
            Self::Published(_) => Asked::Appearance,
            Self::Lent { .. } => Asked::Holding(self.lent()),
        }
    }

    /// The look's blob with this hash; its origin says from where it may be served. `None` if the look has no such blob.
    pub(super) fn blob(&self, hash: &BlobHash) -> Option<Blob> {
        match self {
            Self::Published(offer) => {
                let size = *offer.as_ref()?.blobs.get(hash)?;
                Some(Blob { content: Content { hash: *hash, size }, origin: Origin::Own })
            }
            Self::Lent { loan, .. } => loan.as_ref()?.blob(hash),
        }
    }

    /// The question before each blob.
    pub(super) fn asked(&self, blob: Option<&Blob>, store: &Store) -> Asked {
        match self {
            Self::Published(_) => Asked::Blob { published: blob.is_some() },
            Self::Lent { grant, good, .. } => Asked::LentBlob {
                lent: self.lent(),
                blob: LentBlob {
                    named: blob.is_some(),
                    fits: blob.is_some_and(|blob| store.caches(&blob.content)),
                    came: blob.is_some_and(|blob| store.came(blob)),
                },
                granted: *good && grant.is_current(unix_millis()).is_ok(),
            },
        }
    }

    /// About how many bytes answer a request for these pieces.
    pub(super) fn bytes(&self, pieces: &[Piece]) -> u64 {
        let chunks = |count| u64::from(count) * u64_of(CHUNK_SIZE);
        let of = |piece: &Piece| {
            let size = self.blob(&piece.hash)?.content.size;
            Some(size.saturating_sub(chunks(piece.first)).min(chunks(piece.count)))
        };
        pieces.iter().filter_map(of).sum()
    }

    fn lent(&self) -> Lent {
        match self {
            Self::Lent { loan: Some(loan), .. } => loan.lent(unix_millis()),
            Self::Lent { loan: None, .. } | Self::Published(_) => Lent { owner: false, held: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_announces_the_bytes_that_it_gets() {
        let (large, absent) = (BlobHash::of(b"large"), BlobHash::of(b"absent"));
        let size = 5 * u64_of(CHUNK_SIZE) + 1;
        let blobs = [(large, size)].into();
        let right =
            Right::Published(Some(Arc::new(Offer { appearance: large, document: Vec::new(), blobs })));
        let bytes = |hash, first, count| right.bytes(&[Piece { hash, tree: false, first, count }; 2]);
        assert_eq!(bytes(large, 0, 2), 4 * u64_of(CHUNK_SIZE));
        assert_eq!(bytes(large, 4, 9), 2 * (u64_of(CHUNK_SIZE) + 1));
        assert_eq!(bytes(large, 6, u32::MAX), 0, "there is nothing behind its end");
        assert_eq!(bytes(absent, 0, 1), 0);
    }
}
