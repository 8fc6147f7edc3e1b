//! Probes: authenticated datagrams that prove a path between the two peers of an introduction.
//!
//! ```text
//! 0x0f · version, flags u8 · tag 8 bytes · number u32 · echo u32 · MAC 16 bytes        big-endian, 34 bytes
//! ```
//!
//! Each peer's letter has a secret that only the other peer can read. Keys are derived from both secrets, so neither a phone
//! book nor a relay can compute them. Each direction has its own key and tag: a reflected probe does not open. A receiver
//! identifies the connection by tag and MAC and never by source address, because NATs rewrite that.
//!
//! A probe may ask for an answer, echo the number of one that asked, or both. All probes have one length, so an answer never
//! amplifies.

use super::same::same;
use crate::{bytes::Bytes, id::PeerId, letter::Attempt, version::PROBE_VERSION};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The first byte of a probe; QUIC, STUN, DTLS and RTP do not use it (RFC 9443).
pub const FIRST: u8 = 0x0f;
/// Length of a probe.
pub const PROBE: usize = SIGNED + MAC;

const SIGNED: usize = 18;
const MAC: usize = 16;
const ASKS: u8 = 1;
const ECHOES: u8 = 2;
const TO_MAPPED: u8 = 4;

/// Identifies the connection and the direction of a probe; pseudorandom to anybody without the key.
pub type Tag = Bytes<8>;
/// One peer's input to the keys: random, sent in its letter, used for one introduction.
pub type Secret = Bytes<32>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Counts the sender's probes over all paths, from 1 on.
    pub number: u32,
    /// The number of the probe that this one answers.
    pub echo: Option<u32>,
    /// Whether the sender wants an answer.
    pub asks: bool,
    /// Whether it is sent to a port that the receiver's router forwards, as the receiver told: it proves that mapping.
    pub to_mapped: bool,
}

/// Which peer of an introduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Caller,
    Callee,
}

/// What both peers of an introduction know after they have exchanged letters.
pub struct Agreement {
    pub attempt: Attempt,
    pub caller: (PeerId, Secret),
    pub callee: (PeerId, Secret),
}

impl Agreement {
    /// The keys of one peer: one for its own probes, one for the other peer's.
    pub fn keys(&self, here: Part) -> (Sealer, Opener) {
        let halves = [Part::Caller, Part::Callee].map(|sender| self.half(sender));
        let [seals, opens] = match (here, halves) {
            (Part::Caller, halves) => halves,
            (Part::Callee, [caller, callee]) => [callee, caller],
        };
        (Sealer(seals), Opener(opens))
    }

    fn half(&self, sender: Part) -> Half {
        let mut hasher = blake3::Hasher::new_derive_key(match sender {
            Part::Caller => "fyteclub probe v1 from the caller",
            Part::Callee => "fyteclub probe v1 from the callee",
        });
        hasher.update(self.attempt.as_slice());
        for (key, secret) in [&self.caller, &self.callee] {
            hasher.update(key.as_bytes()).update(secret.as_slice());
        }
        let mut bytes = Zeroizing::new([0; 40]);
        hasher.finalize_xof().fill(bytes.as_mut_slice());
        let (mut key, mut tag) = ([0; 32], [0; 8]);
        key.copy_from_slice(&bytes[..32]);
        tag.copy_from_slice(&bytes[32..]);
        Half { key, tag: Bytes(tag) }
    }
}

/// One direction's key and tag. Wiped when dropped.
#[derive(Clone)]
struct Half {
    key: [u8; 32],
    tag: Tag,
}

impl Half {
    fn mac(&self, signed: &[u8]) -> [u8; MAC] {
        let mut mac = [0; MAC];
        mac.copy_from_slice(&blake3::keyed_hash(&self.key, signed).as_bytes()[..MAC]);
        mac
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Half({})", self.tag)
    }
}

/// Encodes this peer's probes.
#[derive(Debug, Clone)]
pub struct Sealer(Half);

impl Sealer {
    /// The tag of this peer's probes, by which the other peer finds its [`Opener`].
    pub fn tag(&self) -> Tag {
        self.0.tag
    }

    pub fn seal(&self, probe: Probe) -> [u8; PROBE] {
        let mut bytes = [0; PROBE];
        let (signed, mac) = bytes.split_at_mut(SIGNED);
        let asks = if probe.asks { ASKS } else { 0 };
        let echoes = if probe.echo.is_some() { ECHOES } else { 0 };
        signed[0] = FIRST;
        let to_mapped = if probe.to_mapped { TO_MAPPED } else { 0 };
        signed[1] = PROBE_VERSION << 4 | asks | echoes | to_mapped;
        signed[2..10].copy_from_slice(self.0.tag.as_slice());
        signed[10..14].copy_from_slice(&probe.number.to_be_bytes());
        signed[14..].copy_from_slice(&probe.echo.unwrap_or(0).to_be_bytes());
        mac.copy_from_slice(&self.0.mac(signed));
        bytes
    }
}

/// Decodes the other peer's probes.
#[derive(Debug, Clone)]
pub struct Opener(Half);

impl Opener {
    /// The tag of the probes that this one opens.
    pub fn tag(&self) -> Tag {
        self.0.tag
    }

    /// Decodes a probe of the other peer; `None` for everything else. Checks the MAC before any field.
    pub fn open(&self, datagram: &[u8]) -> Option<Authentic> {
        let (signed, mac) = datagram.split_first_chunk::<SIGNED>()?;
        if !same(mac, &self.0.mac(signed)) {
            return None;
        }
        let [first, flags, rest @ ..] = signed;
        let (tag, rest) = rest.split_first_chunk::<8>()?;
        let [n0, n1, n2, n3, e0, e1, e2, e3] = *<&[u8; 8]>::try_from(rest).ok()?;
        let (number, echo) = (u32::from_be_bytes([n0, n1, n2, n3]), u32::from_be_bytes([e0, e1, e2, e3]));
        // Under a valid MAC, unknown values come from a newer build.
        let known = *first == FIRST
            && flags >> 4 == PROBE_VERSION
            && flags & 0x0f & !(ASKS | ECHOES | TO_MAPPED) == 0;
        let (asks, echoes) = (flags & ASKS != 0, flags & ECHOES != 0);
        let to_mapped = flags & TO_MAPPED != 0;
        let probe = Probe { number, echo: echoes.then_some(echo), asks, to_mapped };
        (known && Bytes(*tag) == self.0.tag && number > 0 && (echoes || echo == 0))
            .then_some(Authentic(probe))
    }
}

/// The tag of a datagram that has a probe's form. Does not check the MAC.
pub fn tag(datagram: &[u8]) -> Option<Tag> {
    let datagram = <&[u8; PROBE]>::try_from(datagram).ok()?;
    let (_, rest) = datagram.split_first_chunk::<2>()?;
    (datagram[0] == FIRST).then(|| rest.first_chunk::<8>().copied().map(Bytes))?
}

/// A probe of the other peer. Only [`Opener::open`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authentic(Probe);

impl Authentic {
    pub fn probe(&self) -> Probe {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(attempt: u8, caller: u8, callee: u8) -> Agreement {
        let id = |n| PeerId::from_bytes([n; 32]);
        Agreement {
            attempt: Bytes([attempt; 16]),
            caller: (id(1), Bytes([caller; 32])),
            callee: (id(2), Bytes([callee; 32])),
        }
    }

    const PROBES: [Probe; 3] = [
        Probe { number: 1, echo: None, asks: true, to_mapped: true },
        Probe { number: 7, echo: Some(1), asks: true, to_mapped: false },
        Probe { number: u32::MAX, echo: Some(u32::MAX), asks: false, to_mapped: false },
    ];

    #[test]
    fn probe_opens_only_at_other_peer() {
        let (seals, own) = agreement(5, 6, 7).keys(Part::Caller);
        let (back, opens) = agreement(5, 6, 7).keys(Part::Callee);
        assert_eq!((seals.tag(), back.tag()), (opens.tag(), own.tag()));
        assert_ne!(seals.tag(), back.tag());
        for probe in PROBES {
            let bytes = seals.seal(probe);
            assert_eq!(opens.open(&bytes).map(|authentic| authentic.probe()), Some(probe));
            assert_eq!(tag(&bytes), Some(opens.tag()));
            assert_eq!(own.open(&bytes), None, "sent back");
            for other in [agreement(9, 6, 7), agreement(5, 9, 7), agreement(5, 6, 9), agreement(5, 7, 6)] {
                assert_eq!(other.keys(Part::Callee).1.open(&bytes), None);
            }
        }
    }

    #[test]
    fn changed_probe_does_not_open() {
        let (seals, _) = agreement(5, 6, 7).keys(Part::Caller);
        let (_, opens) = agreement(5, 6, 7).keys(Part::Callee);
        let bytes = seals.seal(PROBES[1]);
        for at in 0..bytes.len() {
            let mut bent = bytes;
            bent[at] ^= 1;
            assert_eq!(opens.open(&bent), None, "{at}");
            assert_eq!(opens.open(&bytes[..at]), None, "{at}");
        }
        assert_eq!(opens.open(&[&bytes[..], &[0]].concat()), None);
        assert_eq!((tag(&bytes[1..]), tag(&[0; PROBE])), (None, None));
    }

    #[test]
    fn probe_of_newer_build_is_dropped() {
        let (Sealer(half), _) = agreement(5, 6, 7).keys(Part::Caller);
        let (_, opens) = agreement(5, 6, 7).keys(Part::Callee);
        let right = Sealer(half.clone()).seal(PROBES[0]);
        let resealed = |at: usize, byte: u8| {
            let mut bytes = right;
            bytes[at] = byte;
            let mac = half.mac(&bytes[..SIGNED]);
            bytes[SIGNED..].copy_from_slice(&mac);
            opens.open(&bytes)
        };
        assert!(resealed(13, 2).is_some(), "another number is another probe");
        // Another version, an unknown flag, number 0, an echo without its flag.
        for (at, byte) in
            [(1, (PROBE_VERSION + 1) << 4 | ASKS), (1, PROBE_VERSION << 4 | 8), (13, 0), (17, 1)]
        {
            assert_eq!(resealed(at, byte), None, "byte {at}");
        }
    }

    #[test]
    fn debug_text_has_no_keys() {
        let (seals, opens) = agreement(5, 6, 7).keys(Part::Caller);
        assert_eq!(format!("{seals:?}"), format!("Sealer(Half({}))", seals.tag()));
        assert!(format!("{opens:?}").len() < 40);
    }
}
