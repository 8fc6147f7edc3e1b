//! The Port Control Protocol (RFC 6887), version 2, as far as a mapping needs it: ANNOUNCE with 24 bytes and MAP with 60,
//! each way, at the port of NAT-PMP. Options are neither sent nor read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const VERSION: u8 = 2;
const ANSWER: u8 = 128;
const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;
const UDP: u8 = 17;

/// Chosen by who asks for a mapping; the router lets nobody else change it.
pub type Nonce = [u8; 12];

/// `client` is the address that the request is sent from: the router refuses another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Asks for the epoch.
    Announce { client: Ipv4Addr },
    /// Asks for a UDP mapping, if possible at this outside address; a lifetime of 0 s removes it.
    Map { client: Ipv4Addr, nonce: Nonce, inside: u16, outside: u16, address: Ipv4Addr, lifetime: u32 },
}

fn wide(ip: Ipv4Addr) -> [u8; 16] {
    ip.to_ipv6_mapped().octets()
}

impl Request {
    pub fn encode(self) -> Vec<u8> {
        let head = |operation: u8, lifetime: u32, client: Ipv4Addr| {
            let mut bytes = vec![VERSION, operation, 0, 0];
            bytes.extend(lifetime.to_be_bytes());
            bytes.extend(wide(client));
            bytes
        };
        match self {
            Self::Announce { client } => head(ANNOUNCE, 0, client),
            Self::Map { client, nonce, inside, outside, address, lifetime } => {
                let mut bytes = head(MAP, lifetime, client);
                bytes.extend(nonce);
                bytes.extend([UDP, 0, 0, 0]);
                bytes.extend(inside.to_be_bytes());
                bytes.extend(outside.to_be_bytes());
                bytes.extend(wide(address));
                bytes
            }
        }
    }
}

/// What a router answers, or announces unasked. `epoch` is in seconds since the router lost its mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Announce {
        epoch: u32,
    },
    Map {
        epoch: u32,
        lifetime: u32,
        nonce: Nonce,
        inside: u16,
        outside: u16,
        /// IPv4 is never in its IPv6 form.
        address: IpAddr,
    },
    /// Nothing but the code and the operation counts in a refusal: routers fill the other fields all the same. The nonce
    /// is there where it was sent back.
    Refused {
        operation: u8,
        code: u8,
        nonce: Option<Nonce>,
    },
}

/// The version of the request is unknown to the router.
pub const UNSUPPORTED_VERSION: u8 = 1;

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer of PCP")]
pub struct Malformed;

impl Answer {
    /// # Errors
    /// Bytes of another version, of a request, of another transport protocol's mapping, or too few.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (head, body) = bytes.split_first_chunk::<24>().ok_or(Malformed)?;
        let [VERSION, operation, _, code, l, i, f, e, a, g, o, n, ..] = *head else { return Err(Malformed) };
        let operation = operation.checked_sub(ANSWER).ok_or(Malformed)?;
        let (nonce, body) = match body.split_first_chunk::<12>() {
            Some((nonce, body)) => (Some(*nonce), body),
            None => (None, body),
        };
        if code != 0 {
            return Ok(Self::Refused { operation, code, nonce });
        }
        let (lifetime, epoch) = (u32::from_be_bytes([l, i, f, e]), u32::from_be_bytes([a, g, o, n]));
        match operation {
            ANNOUNCE => Ok(Self::Announce { epoch }),
            MAP => {
                let nonce = nonce.ok_or(Malformed)?;
                let ([protocol, _, _, _, i, n, o, u, address @ ..], _) =
                    body.split_first_chunk::<24>().ok_or(Malformed)?;
                if *protocol != UDP {
                    return Err(Malformed);
                }
                Ok(Self::Map {
                    epoch,
                    lifetime,
                    nonce,
                    inside: u16::from_be_bytes([*i, *n]),
                    outside: u16::from_be_bytes([*o, *u]),
                    address: IpAddr::from(Ipv6Addr::from(*address)).to_canonical(),
                })
            }
            _ => Err(Malformed),
        }
    }

    /// Whether it is about a mapping, and not an ANNOUNCE or an operation of another protocol with that number.
    pub fn is_about_mapping(&self) -> bool {
        matches!(self, Self::Map { .. } | Self::Refused { operation: MAP, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted() -> Vec<u8> {
        let mut bytes = vec![2, 129, 0, 0, 0, 0, 0x0e, 0x10, 0, 0, 0, 77];
        bytes.extend([0; 12]);
        bytes.extend([5; 12]);
        bytes.extend([17, 0, 0, 0, 0x9c, 0x40, 0x9c, 0x41]);
        bytes.extend(wide([11, 22, 33, 44].into()));
        bytes
    }

    #[test]
    fn refusal_is_judged_by_its_code_alone() {
        let mut bytes = granted();
        bytes[3] = 8;
        let read = |bytes: &[u8]| match Answer::decode(bytes) {
            Ok(Answer::Refused { operation: 1, code: 8, nonce }) => nonce,
            other => panic!("{other:?}"),
        };
        assert_eq!(read(&bytes), Some([5; 12]));
        assert_eq!(read(&bytes[..24]), None, "some routers end there");
    }

    #[test]
    fn cut_or_foreign_bytes_are_no_answer() {
        let whole = granted();
        let read = Answer::decode(&whole).expect("an answer");
        let address = IpAddr::from([11, 22, 33, 44]);
        let (nonce, inside, outside) = ([5; 12], 40_000, 40_001);
        assert_eq!(read, Answer::Map { epoch: 77, lifetime: 3600, nonce, inside, outside, address });
        for length in 0..whole.len() {
            assert_eq!(Answer::decode(&whole[..length]), Err(Malformed), "{length}");
        }
        for (at, byte) in [(0, 1), (1, 1), (1, 131), (36, 6)] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            assert_eq!(Answer::decode(&bytes), Err(Malformed), "{at} {byte}");
        }
    }
}
