//! NAT-PMP (RFC 6886): 2 to 16 bytes each way, UDP port 5351 of the router.
//!
//! Here are the bytes alone: when to send which is decided in `line`.

use std::net::Ipv4Addr;

/// Where routers listen, for PCP as well.
pub const ROUTER_PORT: u16 = 5351;
/// Where hosts hear announcements of routers, for PCP as well; sent to [`ANNOUNCE_GROUP`].
pub const ANNOUNCE_PORT: u16 = 5350;
/// All hosts of the link.
pub const ANNOUNCE_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

const VERSION: u8 = 0;
const ANSWER: u8 = 128;
const ADDRESS: u8 = 0;
const MAP_UDP: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Asks for the router's outside address.
    Address,
    /// Asks for a UDP mapping; a lifetime of 0 s and an outside port of 0 remove it. An inside port of 0 would remove
    /// every mapping of this host, whoever made it, and is never sent.
    Map { inside: u16, outside: u16, lifetime: u32 },
}

impl Request {
    pub fn encode(self) -> Vec<u8> {
        match self {
            Self::Address => vec![VERSION, ADDRESS],
            Self::Map { inside, outside, lifetime } => {
                let mut bytes = vec![VERSION, MAP_UDP, 0, 0];
                bytes.extend(inside.to_be_bytes());
                bytes.extend(outside.to_be_bytes());
                bytes.extend(lifetime.to_be_bytes());
                bytes
            }
        }
    }
}

/// What a router answers, or announces unasked. `epoch` is in seconds since the router lost its mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Address {
        epoch: u32,
        address: Ipv4Addr,
    },
    Map {
        epoch: u32,
        inside: u16,
        outside: u16,
        lifetime: u32,
    },
    /// Nothing but the code and the operation counts in a refusal: routers fill the other fields all the same.
    Refused {
        operation: u8,
        code: u16,
    },
}

/// The version of the request is unknown to the router.
pub const UNSUPPORTED_VERSION: u16 = 1;

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer of NAT-PMP")]
pub struct Malformed;

impl Answer {
    /// # Errors
    /// Bytes of another version, of a request, or too few.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let [VERSION, operation, high, low, rest @ ..] = bytes else { return Err(Malformed) };
        let operation = operation.checked_sub(ANSWER).ok_or(Malformed)?;
        let code = u16::from_be_bytes([*high, *low]);
        if code != 0 {
            return Ok(Self::Refused { operation, code });
        }
        let (epoch, rest) = rest.split_first_chunk().ok_or(Malformed)?;
        let epoch = u32::from_be_bytes(*epoch);
        match operation {
            ADDRESS => {
                let (address, _) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
                Ok(Self::Address { epoch, address: (*address).into() })
            }
            MAP_UDP => {
                let ([i, n, o, u, life @ ..], _) = rest.split_first_chunk::<8>().ok_or(Malformed)?;
                Ok(Self::Map {
                    epoch,
                    inside: u16::from_be_bytes([*i, *n]),
                    outside: u16::from_be_bytes([*o, *u]),
                    lifetime: u32::from_be_bytes(*life),
                })
            }
            _ => Err(Malformed),
        }
    }

    /// Whether it refuses the request for the outside address, and not one for a mapping.
    pub fn is_about_address(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::Refused { operation: ADDRESS, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_judged_by_its_code_alone() {
        // As miniupnpd behind another router answers: with port and lifetime.
        let refusal = [0, 129, 0, 3, 0, 0, 0, 9, 0x9c, 0x40, 0x9c, 0x40, 0, 0, 0x0e, 0x10];
        let read = Ok(Answer::Refused { operation: 1, code: 3 });
        assert_eq!(Answer::decode(&refusal), read);
        assert_eq!(Answer::decode(&refusal[..4]), read, "some routers end there");
    }

    #[test]
    fn cut_or_foreign_bytes_are_no_answer() {
        let whole = [0, 129, 0, 0, 0, 0, 0, 9, 0x9c, 0x40, 0x9c, 0x40, 0, 0, 0x0e, 0x10];
        assert!(Answer::decode(&whole).is_ok());
        for length in 0..whole.len() {
            assert_eq!(Answer::decode(&whole[..length]), Err(Malformed), "{length}");
        }
        for (at, byte) in [(0, 2), (1, 1), (1, 130)] {
            let mut bytes = whole;
            bytes[at] = byte;
            assert_eq!(Answer::decode(&bytes), Err(Malformed), "{at} {byte}");
        }
    }
}
