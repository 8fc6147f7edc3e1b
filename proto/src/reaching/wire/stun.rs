//! STUN binding requests and responses: a subset of RFC 8489.
//!
//! A request is at least as long as its response, so a forged source gains nothing; the server drops shorter requests.
//! `SOFTWARE` pads it, which every server may ignore: servers refuse `PADDING` (RFC 5780) if they do not know it. The client
//! accepts responses with any other attributes, with or without `FINGERPRINT`.

use crate::bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// Length of a message's fixed part.
pub const HEADER: usize = 20;
/// Length of a request of ours.
pub const REQUEST: usize = HEADER + ATTRIBUTE + SOFTWARE.len();
/// Length of the longest response of ours, which has an IPv6 address.
pub const RESPONSE_MAX: usize = HEADER + ATTRIBUTE + 20;

const _: () = assert!(REQUEST >= RESPONSE_MAX);

/// Length of an attribute's type and length.
const ATTRIBUTE: usize = 4;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const SOFTWARE_TYPE: u16 = 0x8022;
/// Without a version, because anybody on the way can read it.
const SOFTWARE: &[u8; 24] = b"FyteClub                ";
/// A receiver may ignore unknown attributes of this type and above.
const OPTIONAL: u16 = 0x8000;

/// Matches a response to its request. Must be unpredictable.
pub type Transaction = Bytes<12>;

/// Why a datagram is no STUN binding message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StunError {
    #[error("not a STUN binding of the expected direction")]
    NotBinding,
    #[error("the STUN message ends in the middle of an attribute")]
    Cut,
    #[error("the STUN request has the unknown mandatory attribute {0:#06x}")]
    Required(u16),
    #[error("the STUN response has no usable address")]
    NoAddress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub transaction: Transaction,
}

impl Request {
    pub fn encode(&self) -> [u8; REQUEST] {
        let mut bytes = [0; REQUEST];
        let (head, attribute) = bytes.split_at_mut(HEADER);
        head.copy_from_slice(&header(BINDING, REQUEST - HEADER, self.transaction));
        attribute[..2].copy_from_slice(&SOFTWARE_TYPE.to_be_bytes());
        attribute[2..4].copy_from_slice(&length_field(SOFTWARE.len()));
        attribute[4..].copy_from_slice(SOFTWARE);
        bytes
    }

    /// # Errors
    /// Anything but one whole binding request, and unknown mandatory attributes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StunError> {
        let (transaction, body) = message(BINDING, bytes)?;
        for attribute in Attributes(body) {
            let (kind, _) = attribute?;
            if kind < OPTIONAL {
                return Err(StunError::Required(kind));
            }
        }
        Ok(Self { transaction })
    }
}

/// The server's response to a datagram. `None` if the datagram is no request, or is shorter than the response.
pub fn answer(datagram: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let Request { transaction } = Request::decode(datagram).ok()?;
    let answer = Response { transaction, mapped: from }.encode();
    (answer.len() <= datagram.len()).then_some(answer)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    pub transaction: Transaction,
    /// The client's address as the server sees it. IPv4 addresses are never in their IPv6 form.
    pub mapped: SocketAddr,
}

impl Response {
    pub fn encode(&self) -> Vec<u8> {
        let ip = self.mapped.ip().to_canonical();
        let mut value = match ip {
            IpAddr::V4(ip) => [&[0, 1, 0, 0], &ip.octets()[..]].concat(),
            IpAddr::V6(ip) => [&[0, 2, 0, 0], &ip.octets()[..]].concat(),
        };
        value[2..4].copy_from_slice(&self.mapped.port().to_be_bytes());
        mask(&mut value, self.transaction);
        let length = ATTRIBUTE + value.len();
        let mut bytes = header(BINDING_SUCCESS, length, self.transaction).to_vec();
        bytes.extend(XOR_MAPPED_ADDRESS.to_be_bytes());
        bytes.extend(length_field(value.len()));
        bytes.extend(value);
        bytes
    }

    /// Takes the first `XOR-MAPPED-ADDRESS` and skips all other attributes, mandatory ones too: servers add addresses of
    /// RFC 3489.
    ///
    /// # Errors
    /// Anything but one whole success response with an address and a port other than zero.
    pub fn decode(bytes: &[u8]) -> Result<Self, StunError> {
        let (transaction, body) = message(BINDING_SUCCESS, bytes)?;
        let mut mapped = None;
        for attribute in Attributes(body) {
            let (kind, value) = attribute?;
            if kind == XOR_MAPPED_ADDRESS && mapped.is_none() {
                mapped = Some(address(value, transaction)?);
            }
        }
        Ok(Self { transaction, mapped: mapped.ok_or(StunError::NoAddress)? })
    }
}

fn length_field(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("our messages have at most 48 bytes").to_be_bytes()
}

fn header(kind: [u8; 2], length: usize, transaction: Transaction) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..2].copy_from_slice(&kind);
    bytes[2..4].copy_from_slice(&length_field(length));
    bytes[4..8].copy_from_slice(&COOKIE);
    bytes[8..].copy_from_slice(transaction.as_slice());
    bytes
}

/// The transaction and the attributes of a message of this kind that fills the datagram.
fn message(kind: [u8; 2], bytes: &[u8]) -> Result<(Transaction, &[u8]), StunError> {
    let (head, body) = bytes.split_first_chunk::<HEADER>().ok_or(StunError::NotBinding)?;
    let [k0, k1, l0, l1, c0, c1, c2, c3, transaction @ ..] = *head;
    if [k0, k1] != kind || [c0, c1, c2, c3] != COOKIE {
        return Err(StunError::NotBinding);
    }
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if length != body.len() { Err(StunError::Cut) } else { Ok((Bytes(transaction), body)) }
}

/// Types and values, each padded to four bytes.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), StunError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let Some(([k0, k1, l0, l1], rest)) = rest.split_first_chunk::<ATTRIBUTE>() else {
            return Some(Err(StunError::Cut));
        };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some((padded, after)) = rest.split_at_checked(length.next_multiple_of(4)) else {
            return Some(Err(StunError::Cut));
        };
        self.0 = after;
        Some(Ok((u16::from_be_bytes([*k0, *k1]), &padded[..length])))
    }
}

/// Masks or unmasks port and address of a value, because some routers rewrite addresses in payloads.
fn mask(value: &mut [u8], transaction: Transaction) {
    let key = COOKIE.iter().chain(transaction.as_slice());
    value[2..4].iter_mut().zip(COOKIE).for_each(|(byte, key)| *byte ^= key);
    value[4..].iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
}

fn address(value: &[u8], transaction: Transaction) -> Result<SocketAddr, StunError> {
    let length = match value {
        [_, 1, ..] => 8,
        [_, 2, ..] => 20,
        _ => return Err(StunError::NoAddress),
    };
    if value.len() != length {
        return Err(StunError::NoAddress);
    }
    let mut value = value.to_vec();
    mask(&mut value, transaction);
    let (port, ip) = value[2..].split_first_chunk::<2>().ok_or(StunError::NoAddress)?;
    let ip = match (<[u8; 4]>::try_from(ip), <[u8; 16]>::try_from(ip)) {
        (Ok(ip), _) => IpAddr::from(ip),
        (_, Ok(ip)) => IpAddr::from(ip).to_canonical(),
        _ => return Err(StunError::NoAddress),
    };
    let addr = SocketAddr::new(ip, u16::from_be_bytes(*port));
    if addr.port() == 0 || ip.is_unspecified() { Err(StunError::NoAddress) } else { Ok(addr) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: Transaction =
        Bytes([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// RFC 5769 §2.2 and §2.3, with `SOFTWARE`, `MESSAGE-INTEGRITY` and `FINGERPRINT`.
    const V4: &str = "0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220
        00200008 0001a147e112a643 00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96";
    const V6: &str = "01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220
        00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
        00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c";

    #[test]
    fn examples_of_rfc_5769_are_read() {
        for (text, mapped) in [(V4, "192.0.2.1:32853"), (V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
        {
            let expected = Response { transaction: TRANSACTION, mapped: addr(mapped) };
            assert_eq!(Response::decode(&hex(text)), Ok(expected));
            assert_eq!(Response::decode(&expected.encode()), Ok(expected));
        }
    }

    #[test]
    fn response_is_no_longer_than_its_request() {
        let request = Request { transaction: TRANSACTION };
        assert_eq!(Request::decode(&request.encode()), Ok(request));
        for (from, mapped) in [
            ("203.0.113.9:4000", "203.0.113.9:4000"),
            ("[::ffff:203.0.113.9]:4000", "203.0.113.9:4000"),
            ("[2001:db8::5]:65535", "[2001:db8::5]:65535"),
        ] {
            let answer = answer(&request.encode(), addr(from)).expect("an answer");
            assert!(answer.len() <= RESPONSE_MAX && answer.len() <= REQUEST, "{}", answer.len());
            assert_eq!(
                Response::decode(&answer),
                Ok(Response { transaction: TRANSACTION, mapped: addr(mapped) })
            );
        }
        // Other clients send a bare header; its response would be longer.
        let bare = header(BINDING, 0, TRANSACTION);
        assert_eq!(Request::decode(&bare), Ok(request));
        assert_eq!(answer(&bare, addr("203.0.113.9:4000")), None);
        let answered = answer(&request.encode(), addr("203.0.113.9:4000")).expect("an answer");
        assert_eq!(
            answer(&answered, addr("203.0.113.9:4000")),
            None,
            "a server does not respond to a response"
        );
    }

    #[test]
    fn cut_or_foreign_messages_are_refused() {
        let (request, v4) = (Request { transaction: TRANSACTION }.encode(), hex(V4));
        for length in 0..request.len() {
            assert!(Request::decode(&request[..length]).is_err(), "{length}");
        }
        for length in 0..v4.len() {
            assert!(Response::decode(&v4[..length]).is_err(), "{length}");
        }
        assert_eq!(Request::decode(&v4), Err(StunError::NotBinding));
        assert_eq!(Response::decode(&request), Err(StunError::NotBinding));
        let with = |attributes: &[u8]| {
            [&header(BINDING_SUCCESS, attributes.len(), TRANSACTION)[..], attributes].concat()
        };
        // An unknown family, a length that is not the family's, no value, no attribute.
        for bad in [
            &[0, 0x20, 0, 8, 0, 3, 0, 1, 1, 2, 3, 4][..],
            &[0, 0x20, 0, 8, 0, 2, 0, 1, 1, 2, 3, 4],
            &[0, 0x20, 0, 4, 0, 1, 0, 1],
            &[0, 0x20, 0, 0],
            &[],
        ] {
            assert_eq!(Response::decode(&with(bad)), Err(StunError::NoAddress), "{bad:?}");
        }
        assert_eq!(Response::decode(&with(&[0x80, 0x22, 0xff, 0xff])), Err(StunError::Cut));
        let zero = |mapped: &str| Response { transaction: TRANSACTION, mapped: addr(mapped) }.encode();
        for mapped in ["0.0.0.0:5", "203.0.113.9:0", "[::]:5"] {
            assert_eq!(Response::decode(&zero(mapped)), Err(StunError::NoAddress), "{mapped}");
        }
        let change = [&header(BINDING, 8, TRANSACTION)[..], &[0, 3, 0, 4, 0, 0, 0, 2]].concat();
        assert_eq!(Request::decode(&change), Err(StunError::Required(3)));
    }
}
