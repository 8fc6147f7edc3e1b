//! Frames between a daemon and a relay. A relay forwards payloads between the two legs of a session; payloads are QUIC
//! packets and probes, and the relay can read neither.
//!
//! ```text
//! 0x0e · version, kind u8 · leg u64 · body        big-endian; 10 bytes before a payload
//! ```
//!
//! Each peer has one leg of a session. Before the relay forwards anything, a peer proves its address by the cookie of
//! [`Body::Challenge`], and its right to the leg by its token:
//!
//! ```text
//!  daemon ── Bind ──► relay ── Challenge{cookie} ──► daemon ── Proof{cookie, mac} ──► relay ── Bound{…} ──►
//! ```
//!
//! No response to an unproven address is longer than what caused it. Over a WebSocket each frame is one binary message.

use super::same::same;
use crate::{bytes::Bytes, version::RELAY_VERSION};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};
use zeroize::Zeroize;

/// The first byte of a frame; QUIC, STUN, DTLS and RTP do not use it (RFC 9443).
pub const FIRST: u8 = 0x0e;
/// Bytes before a payload. QUIC's smallest datagram has 1,200 bytes, and the smallest IPv6 packet leaves 32 beside it.
pub const HEADER: usize = 10;

/// One peer's end of a session: a random number, unknown to the other peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Bytes<8>", from = "Bytes<8>")]
pub struct Leg(pub u64);

impl From<Leg> for Bytes<8> {
    fn from(leg: Leg) -> Self {
        Self(leg.0.to_be_bytes())
    }
}

impl From<Bytes<8>> for Leg {
    fn from(bytes: Bytes<8>) -> Self {
        Self(u64::from_be_bytes(bytes.0))
    }
}

/// Lets a relay recognise an address without storing anything.
pub type Cookie = Bytes<16>;
pub type Mac = Bytes<16>;

/// The secret of one leg, known to its peer, the phone book and the relay. Wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Bytes<32>", from = "Bytes<32>")]
pub struct Token([u8; 32]);

impl From<Token> for Bytes<32> {
    fn from(token: Token) -> Self {
        Self(token.0)
    }
}

impl From<Bytes<32>> for Token {
    fn from(bytes: Bytes<32>) -> Self {
        Self(bytes.0)
    }
}

impl Token {
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Proves the right to a leg; valid for one cookie.
    pub fn prove(&self, leg: Leg, cookie: &Cookie) -> Mac {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"fyteclub relay proof v1").update(&leg.0.to_be_bytes()).update(cookie.as_slice());
        let mut mac = [0; 16];
        mac.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Bytes(mac)
    }

    pub fn verifies(&self, leg: Leg, cookie: &Cookie, mac: &Mac) -> bool {
        same(self.prove(leg, cookie).as_slice(), mac.as_slice())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Which limit a peer has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum Limit {
    /// Bytes a second of this session.
    Session = 0,
    /// Sessions, or bytes a second of all of them, of this key or network.
    Holder = 1,
    /// The same, of the whole relay.
    Full = 2,
}

impl Limit {
    const ALL: [Self; 3] = [Self::Session, Self::Holder, Self::Full];

    #[expect(clippy::as_conversions, reason = "the number that it is declared with")]
    const fn number(self) -> u8 {
        self as u8
    }
}

/// Limits of a bound leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// KiB a second and direction.
    pub rate: u32,
    /// The relay drops a leg from which no frame came for so long.
    pub idle: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// To or from the other peer; never empty.
    Data(&'a [u8]),
    /// To the relay: binds the leg to the sender's address. On a bound leg it keeps it, and the relay sends `Bound`.
    Bind,
    /// From the relay to an address that has not proven this leg.
    Challenge(Cookie),
    /// To the relay: the response to a challenge.
    Proof { cookie: Cookie, mac: Mac },
    /// From the relay: it forwards payloads from this address.
    Bound(Terms),
    /// From the relay: it dropped a payload, and drops more until this time is over.
    Limited { limit: Limit, retry_after: Duration },
    /// From the relay: it does not know this leg.
    Closed,
}

/// One datagram, or one message of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub leg: Leg,
    pub body: Body<'a>,
}

/// Why a datagram is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    #[error("not a relay's frame, or of another version")]
    NotFrame,
    #[error("a relay's frame of kind {0}, which this build does not know")]
    Unknown(u8),
    #[error("a relay's frame of kind {0} with a body of {1} bytes")]
    Length(u8, usize),
}

const DATA: u8 = 0;
const BIND: u8 = 1;
const CHALLENGE: u8 = 2;
const PROOF: u8 = 3;
const BOUND: u8 = 4;
const LIMITED: u8 = 5;
const CLOSED: u8 = 6;

/// As long as the cookie of its response.
const BIND_PADDING: [u8; 16] = [0; 16];

/// The bytes before each payload of one leg, to send without copying the payload.
pub fn header(leg: Leg) -> [u8; HEADER] {
    head(DATA, leg)
}

fn head(kind: u8, leg: Leg) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[0] = FIRST;
    bytes[1] = RELAY_VERSION << 4 | kind;
    bytes[2..].copy_from_slice(&leg.0.to_be_bytes());
    bytes
}

impl<'a> Frame<'a> {
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self.body {
            Body::Data(payload) => (DATA, payload.to_vec()),
            Body::Bind => (BIND, BIND_PADDING.to_vec()),
            Body::Challenge(cookie) => (CHALLENGE, cookie.0.to_vec()),
            Body::Proof { cookie, mac } => (PROOF, [cookie.0, mac.0].concat()),
            Body::Bound(Terms { rate, idle }) => {
                let idle = u32::try_from(idle.as_millis()).unwrap_or(u32::MAX);
                (BOUND, [rate.to_be_bytes(), idle.to_be_bytes()].concat())
            }
            Body::Limited { limit, retry_after } => {
                let retry_after = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
                (LIMITED, [&[limit.number()], &retry_after.to_be_bytes()[..]].concat())
            }
            Body::Closed => (CLOSED, Vec::new()),
        };
        [&head(kind, self.leg)[..], &body].concat()
    }

    /// # Errors
    /// Anything but one whole frame of a kind that this build knows.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, FrameError> {
        let (head, body) = datagram.split_first_chunk::<HEADER>().ok_or(FrameError::NotFrame)?;
        let [first, version, leg @ ..] = *head;
        if first != FIRST || version >> 4 != RELAY_VERSION {
            return Err(FrameError::NotFrame);
        }
        let kind = version & 0x0f;
        let length = FrameError::Length(kind, body.len());
        let number = |at: usize| body[at..].first_chunk::<4>().copied().map(u32::from_be_bytes);
        let sixteen = |at: usize| body[at..].first_chunk::<16>().copied().map(Bytes);
        let millis = |at: usize| number(at).map(|millis| Duration::from_millis(millis.into()));
        let body = match (kind, body.len()) {
            (DATA, 1..) => Some(Body::Data(body)),
            (BIND, 16) => (body == BIND_PADDING).then_some(Body::Bind),
            (CHALLENGE, 16) => sixteen(0).map(Body::Challenge),
            (PROOF, 32) => sixteen(0).zip(sixteen(16)).map(|(cookie, mac)| Body::Proof { cookie, mac }),
            (BOUND, 8) => number(0).zip(millis(4)).map(|(rate, idle)| Body::Bound(Terms { rate, idle })),
            (LIMITED, 5) => {
                let limit = Limit::ALL.into_iter().find(|limit| limit.number() == body[0]);
                limit.zip(millis(1)).map(|(limit, retry_after)| Body::Limited { limit, retry_after })
            }
            (CLOSED, 0) => Some(Body::Closed),
            (DATA..=CLOSED, _) => None,
            _ => return Err(FrameError::Unknown(kind)),
        };
        Ok(Self { leg: Leg(u64::from_be_bytes(leg)), body: body.ok_or(length)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEG: Leg = Leg(0x0123_4567_89ab_cdef);

    fn bodies() -> Vec<Body<'static>> {
        vec![
            Body::Data(b"sealed"),
            Body::Bind,
            Body::Challenge(Bytes([1; 16])),
            Body::Proof { cookie: Bytes([1; 16]), mac: Bytes([2; 16]) },
            Body::Bound(Terms { rate: 512, idle: Duration::from_secs(60) }),
            Body::Limited { limit: Limit::Holder, retry_after: Duration::from_millis(1500) },
            Body::Closed,
        ]
    }

    #[test]
    fn encoded_frame_decodes_to_itself() {
        for body in bodies() {
            let frame = Frame { leg: LEG, body };
            let bytes = frame.encode();
            assert_eq!(Frame::decode(&bytes), Ok(frame));
            // A cut payload is a shorter payload.
            let shortest = if matches!(body, Body::Data(_)) { HEADER + 1 } else { bytes.len() };
            for length in 0..shortest {
                assert!(Frame::decode(&bytes[..length]).is_err(), "{body:?} {length}");
            }
            if shortest == bytes.len() {
                assert!(Frame::decode(&[&bytes[..], &[0]].concat()).is_err(), "{body:?}");
            }
        }
        assert_eq!([&header(LEG)[..], b"sealed"].concat(), Frame { leg: LEG, body: bodies()[0] }.encode());
    }

    #[test]
    fn response_before_proof_does_not_amplify() {
        let length = |body| Frame { leg: LEG, body }.encode().len();
        let [_, bind, challenge, proof, bound, _, closed] = bodies()[..] else { panic!("seven kinds") };
        assert!(length(challenge) <= length(bind) && length(closed) <= length(bind));
        assert!(length(bound) <= length(proof) && length(bound) <= length(bind));
    }

    #[test]
    fn proof_is_valid_for_one_token_leg_cookie() {
        let token = Token::new([7; 32]);
        let cookie = Bytes([1; 16]);
        let mac = token.prove(LEG, &cookie);
        assert!(token.verifies(LEG, &cookie, &mac));
        assert!(!Token::new([8; 32]).verifies(LEG, &cookie, &mac));
        assert!(!token.verifies(Leg(1), &cookie, &mac) && !token.verifies(LEG, &Bytes([2; 16]), &mac));
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn unknown_versions_and_kinds_are_refused() {
        let right = Frame { leg: LEG, body: Body::Closed }.encode();
        let bent = |at: usize, byte| {
            let mut bytes = right.clone();
            bytes[at] = byte;
            Frame::decode(&bytes).err()
        };
        assert_eq!(bent(0, 0x0f), Some(FrameError::NotFrame));
        assert_eq!(bent(1, (RELAY_VERSION + 1) << 4), Some(FrameError::NotFrame));
        assert_eq!(bent(1, RELAY_VERSION << 4 | 7), Some(FrameError::Unknown(7)));
        assert_eq!(bent(1, RELAY_VERSION << 4), Some(FrameError::Length(0, 0)), "an empty payload");
        let body = Body::Limited { limit: Limit::Full, retry_after: Duration::ZERO };
        let mut limited = Frame { leg: LEG, body }.encode();
        limited[HEADER] = 9;
        assert_eq!(Frame::decode(&limited), Err(FrameError::Length(5, 5)));
    }
}
