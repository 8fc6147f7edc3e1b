//! Datagrams that share the QUIC socket and are not QUIC: their bytes, and how the socket tells them apart.
//!
//! [`stun`] asks a server for this socket's outside address, [`probe`] proves a path to a peer, [`relay`] frames datagrams
//! for a relay. [`offer`] is the text of an introduction's letters from which probes get their keys.

pub mod offer;
pub mod probe;
pub mod relay;
mod same;
pub mod stun;

/// What the first bytes of a datagram claim; only the decoder of that kind checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// QUIC's fixed bit is set (RFC 9000 §17). The QUIC endpoint must never clear it (RFC 9287).
    Quic,
    /// RFC 9443's range, with STUN's cookie.
    Stun,
    Probe,
    Relay,
    /// To be counted and dropped.
    Junk,
}

impl Kind {
    pub fn of(datagram: &[u8]) -> Self {
        match datagram {
            [first, ..] if first & 0x40 != 0 => Self::Quic,
            [0..=3, _, _, _, 0x21, 0x12, 0xa4, 0x42, ..] if datagram.len() >= stun::HEADER => Self::Stun,
            [probe::FIRST, ..] if datagram.len() == probe::PROBE => Self::Probe,
            [relay::FIRST, ..] if datagram.len() >= relay::HEADER => Self::Relay,
            _ => Self::Junk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;

    #[test]
    fn kind_is_told_by_first_bytes() {
        let stun = stun::Request { transaction: Bytes([7; 12]) }.encode();
        assert_eq!(Kind::of(&stun), Kind::Stun);
        assert_eq!(Kind::of(&stun[..19]), Kind::Junk, "shorter than a header");
        assert_eq!(Kind::of(&[0; 48]), Kind::Junk, "without the cookie");
        let frame = relay::Frame { leg: relay::Leg(7), body: relay::Body::Bind }.encode();
        assert_eq!(Kind::of(&frame), Kind::Relay);
        assert_eq!(Kind::of(&[probe::FIRST; probe::PROBE]), Kind::Probe);
        assert_eq!(Kind::of(&[probe::FIRST; probe::PROBE + 1]), Kind::Junk);
        for first in [0x40, 0x7f, 0xc0, 0xff] {
            assert_eq!(Kind::of(&[first]), Kind::Quic);
        }
        for junk in [&[][..], &[0x80; 40], &[0x10; 40], &[relay::FIRST; 3]] {
            assert_eq!(Kind::of(junk), Kind::Junk);
        }
    }
}
