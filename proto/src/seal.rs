//! The link's data key: AES-256-GCM over documents, chunks and chunk lists, inside QUIC's own encryption.
//!
//! Derived from the TLS exporter, one key per direction and epoch. The nonce is the QUIC stream's index and a counter
//! within the stream, known to both ends, so it is not sent and never repeats under one key. The associated data binds
//! sealed bytes to their place.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Label of the TLS exporter (RFC 5705, RFC 8446 §7.5) for the link's secret.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-fyteclub-data-v1";
/// Bytes that sealing adds.
pub const TAG: usize = 16;
/// A sending key's life: this long, or this many bytes, whichever ends first.
pub const EPOCH_TIME: Duration = Duration::from_secs(3600);
pub const EPOCH_BYTES: u64 = 64 << 30;

/// The bytes were not sealed by the peer for this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed piece does not open: it was changed, or belongs elsewhere")]
pub struct Unsealed;

/// One AES-256-GCM key, by either library: both give the same bytes.
pub trait Aead: Send + Sync {
    /// Encrypts `buffer` in place and appends the tag.
    fn seal(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut Vec<u8>);

    /// Decrypts `buffer` in place and removes the tag.
    ///
    /// # Errors Bytes that were not sealed under this key, nonce and associated data. The buffer's content is lost
    /// then.
    fn open(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Unsealed>;
}

/// For bulk: ring, four times faster than the `aes-gcm` crate on machines with VAES (docs/decisions/0004).
pub struct Bulk(LessSafeKey);

impl Aead for Bulk {
    fn seal(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut Vec<u8>) {
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), buffer)
            .expect("a piece is far below AES-GCM's 64 GiB");
    }

    fn open(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Unsealed> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = self.0.open_in_place(nonce, Aad::from(aad), buffer).map_err(|_| Unsealed)?.len();
        buffer.truncate(plain);
        Ok(())
    }
}

/// For small things: the `aes-gcm` crate.
pub struct Small(Aes256Gcm);

impl Aead for Small {
    fn seal(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut Vec<u8>) {
        let tag = self
            .0
            .encrypt_inout_detached(&nonce.into(), aad, buffer.as_mut_slice().into())
            .expect("a piece is far below AES-GCM's 64 GiB");
        buffer.extend_from_slice(&tag);
    }

    fn open(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Unsealed> {
        let plain = buffer.len().checked_sub(TAG).ok_or(Unsealed)?;
        let (body, tag) = buffer.split_at_mut(plain);
        let tag: [u8; TAG] = (&*tag).try_into().map_err(|_| Unsealed)?;
        self.0.decrypt_inout_detached(&nonce.into(), aad, body.into(), &tag.into()).map_err(|_| Unsealed)?;
        buffer.truncate(plain);
        Ok(())
    }
}

/// One of the two ends of a link. Each seals with its own key and opens with the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Dialer,
    Acceptor,
}

/// The secret of one link, from which every key is derived. Wiped when dropped.
pub struct LinkSecret {
    secret: Zeroizing<[u8; 32]>,
    here: End,
}

impl LinkSecret {
    /// `exported` is the TLS exporter's output for [`EXPORTER_LABEL`] and an empty context.
    pub fn new(exported: [u8; 32], here: End) -> Self {
        Self { secret: Zeroizing::new(exported), here }
    }

    /// The key that this end seals with in an epoch.
    pub fn sealing(&self, epoch: u32) -> EpochKey {
        self.derive(self.here, epoch)
    }

    /// The key that opens what the other end sealed in an epoch.
    pub fn opening(&self, epoch: u32) -> EpochKey {
        let there = if self.here == End::Dialer { End::Acceptor } else { End::Dialer };
        self.derive(there, epoch)
    }

    fn derive(&self, sealed_by: End, epoch: u32) -> EpochKey {
        let direction: &[u8] = match sealed_by {
            End::Dialer => b"dialer",
            End::Acceptor => b"acceptor",
        };
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(b"fyteclub data v1"), self.secret.as_slice())
            .expand_multi_info(
                &[b"fyteclub/data/v1/", direction, b"/", &epoch.to_be_bytes()],
                key.as_mut_slice(),
            )
            .expect("32 bytes are within HKDF's 255 blocks");
        let unbound = UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("32 bytes are an AES-256 key");
        EpochKey {
            bulk: Bulk(LessSafeKey::new(unbound)),
            small: Small(Aes256Gcm::new_from_slice(key.as_slice()).expect("32 bytes are an AES-256 key")),
        }
    }
}

/// One direction's key of one epoch.
pub struct EpochKey {
    bulk: Bulk,
    small: Small,
}

impl EpochKey {
    /// For chunks.
    pub fn bulk(&self) -> &dyn Aead {
        &self.bulk
    }

    /// For documents and other small answers.
    pub fn small(&self) -> &dyn Aead {
        &self.small
    }
}

/// Counts the records of one stream for their nonces.
#[derive(Debug, Clone)]
pub struct NonceCounter {
    stream: u64,
    record: u32,
}

impl NonceCounter {
    /// `stream` is the QUIC stream id with its two type bits: unique for the life of a connection.
    pub fn new(stream: u64) -> Self {
        Self { stream, record: 0 }
    }

    /// The next record's nonce. A request stream has a few hundred records; `None` after 2³² of them.
    pub fn advance(&mut self) -> Option<[u8; 12]> {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.stream.to_be_bytes());
        nonce[8..].copy_from_slice(&self.record.to_be_bytes());
        self.record = self.record.checked_add(1)?;
        Some(nonce)
    }
}

/// Changes the sending key every [`EPOCH_TIME`], or so many bytes, [`EPOCH_BYTES`] at most. A stream keeps its first
/// key.
#[derive(Debug)]
pub struct EpochClock {
    epoch: u32,
    since: Instant,
    bytes: u64,
    most: u64,
}

impl EpochClock {
    pub fn new(now: Instant, most: u64) -> Self {
        Self { epoch: 0, since: now, bytes: 0, most: most.min(EPOCH_BYTES) }
    }

    /// The epoch for a stream that begins now and will carry about `bytes`.
    pub fn epoch(&mut self, now: Instant, bytes: u64) -> u32 {
        if now.duration_since(self.since) >= EPOCH_TIME || self.bytes >= self.most {
            self.epoch += 1;
            self.since = now;
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (LinkSecret, LinkSecret) {
        (LinkSecret::new([5; 32], End::Dialer), LinkSecret::new([5; 32], End::Acceptor))
    }

    #[test]
    fn both_libraries_give_the_same_bytes() {
        let (dialer, acceptor) = pair();
        for len in [0, 1, 15, 16, 17, 1000, 70_000] {
            let plain: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let (mut one, mut other) = (plain.clone(), plain.clone());
            dialer.sealing(3).bulk().seal([1; 12], b"place", &mut one);
            dialer.sealing(3).small().seal([1; 12], b"place", &mut other);
            assert_eq!(one, other);
            acceptor.opening(3).small().open([1; 12], b"place", &mut one).expect("opens");
            acceptor.opening(3).bulk().open([1; 12], b"place", &mut other).expect("opens");
            assert_eq!((&one, &other), (&plain, &plain));
        }
    }

    #[test]
    fn nothing_opens_in_another_place_time_or_direction() {
        let (dialer, acceptor) = pair();
        let mut sealed = b"chunk".to_vec();
        dialer.sealing(0).bulk().seal([1; 12], b"place", &mut sealed);
        let opens = |key: EpochKey, nonce, aad: &[u8], bytes: &[u8]| {
            let (mut a, mut b) = (bytes.to_vec(), bytes.to_vec());
            let results = [key.bulk().open(nonce, aad, &mut a), key.small().open(nonce, aad, &mut b)];
            assert_eq!(results[0], results[1]);
            results[0].is_ok()
        };
        assert!(opens(acceptor.opening(0), [1; 12], b"place", &sealed));
        assert!(!opens(acceptor.opening(0), [2; 12], b"place", &sealed), "another record");
        assert!(!opens(acceptor.opening(0), [1; 12], b"plane", &sealed), "another place");
        assert!(!opens(acceptor.opening(1), [1; 12], b"place", &sealed), "another epoch");
        assert!(!opens(acceptor.sealing(0), [1; 12], b"place", &sealed), "another direction");
        assert!(!opens(acceptor.opening(0), [1; 12], b"place", &sealed[1..]));
        assert!(!opens(acceptor.opening(0), [1; 12], b"place", b"short"));
    }

    #[test]
    fn keys_change_by_time_and_by_volume() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
        let start = Instant::now();
        let mut clock = EpochClock::new(start, u64::MAX);
        assert_eq!(clock.epoch(start, 1), 0);
        assert_eq!(clock.epoch(start + EPOCH_TIME, EPOCH_BYTES), 1);
        assert_eq!(clock.epoch(start + EPOCH_TIME, 1), 2);
        assert_eq!(clock.epoch(start + EPOCH_TIME, 1), 2);
    }

    #[test]
    fn nonces_never_repeat_in_a_link() {
        let mut one = NonceCounter::new(4);
        let mut other = NonceCounter::new(8);
        let all: std::collections::BTreeSet<_> =
            (0..100).flat_map(|_| [one.advance(), other.advance()]).collect();
        assert_eq!(all.len(), 200);
    }
}
