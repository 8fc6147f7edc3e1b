//! The client's address: the socket's peer, or what a trusted proxy reports. A body never supplies it.

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// One address, or a block such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressBlock(IpNet);

/// The text is not an address, or its prefix is longer than the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network reads `192.0.2.7`, `10.0.0.0/8` or `fd00::/8`")]
pub struct NotABlock;

impl AddressBlock {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for AddressBlock {
    type Err = NotABlock;

    fn from_str(text: &str) -> Result<Self, NotABlock> {
        let plain = text.parse::<IpAddr>().map(IpNet::from);
        plain.or_else(|_| text.parse()).map(Self).map_err(|_| NotABlock)
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The `X-Forwarded-For` of a trusted proxy does not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// The socket's peer, or, if that is a trusted proxy, the right-most untrusted address of `X-Forwarded-For`. The
/// client wrote everything left of it. A trusted proxy without the header counts as the client.
///
/// # Errors
/// An entry right of the first untrusted one is no address.
pub(crate) fn client_address(
    peer: SocketAddr,
    headers: &HeaderMap,
    trusted: &[AddressBlock],
) -> Result<IpAddr, Unreadable> {
    let mut address = peer.ip().to_canonical();
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(address) {
        return Ok(address);
    }
    let lines: Vec<_> = headers.get_all("x-forwarded-for").collect();
    for line in lines.iter().rev() {
        // As bytes: non-text left of the first untrusted entry was written by the client and is ignored.
        for hop in line.as_bytes().rsplit(|byte| *byte == b',') {
            let hop = std::str::from_utf8(hop).ok().and_then(|hop| hop_address(hop.trim()));
            address = hop.ok_or(Unreadable)?;
            if !is_trusted(address) {
                return Ok(address);
            }
        }
    }
    Ok(address)
}

/// Some proxies add the port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn address(peer: &str, lines: &[&'static str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static(line));
        }
        let trusted: Vec<AddressBlock> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let address = client_address(SocketAddr::new(peer.parse().unwrap(), 1), &headers, &trusted);
        address.map_or_else(|Unreadable| "unreadable".to_owned(), |address| address.to_string())
    }

    #[test]
    fn network_contains_the_addresses_of_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.1.1.1", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::1"),
        ] {
            let network: AddressBlock = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside} not in {network}");
        }
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "ten", "10.0.0.0/8/8"] {
            assert_eq!(bad.parse::<AddressBlock>(), Err(NotABlock), "{bad}");
        }
    }

    #[test]
    fn headers_of_strangers_count_for_nothing() {
        assert_eq!(address("198.51.100.9", &["203.0.113.1"], &[]), "198.51.100.9");
        assert_eq!(address("198.51.100.9", &["203.0.113.1"], &["10.0.0.0/8"]), "198.51.100.9");
    }

    #[test]
    fn rightmost_untrusted_address_is_the_client() {
        let trusted = &["10.0.0.0/8", "::1"];
        assert_eq!(address("10.0.0.1", &["203.0.113.1"], trusted), "203.0.113.1");
        assert_eq!(address("10.0.0.1", &["6.6.6.6, 203.0.113.1, 10.0.0.2"], trusted), "203.0.113.1");
        assert_eq!(address("10.0.0.1", &["6.6.6.6", "203.0.113.1", "10.0.0.2"], trusted), "203.0.113.1");
        assert_eq!(address("::1", &["[2001:db8::1]:4711"], trusted), "2001:db8::1");
        assert_eq!(address("10.0.0.1", &[], trusted), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["10.0.0.9, 10.0.0.2"], trusted), "10.0.0.9");
    }

    #[test]
    fn an_unreadable_hop_is_refused_and_not_replaced() {
        let trusted = &["10.0.0.0/8"];
        for unreadable in
            ["203.0.113.1, unknown", "unknown", "", " ", "203.0.113.1,", "_hidden", "1.2.3", "::1::"]
        {
            assert_eq!(address("10.0.0.1", &[unreadable], trusted), "unreadable", "{unreadable:?}");
        }
        assert_eq!(address("10.0.0.1", &["203.0.113.1", "unknown, 10.0.0.2"], trusted), "unreadable");
        // The client's own entries are not parsed.
        assert_eq!(address("10.0.0.1", &["unknown, 203.0.113.1"], trusted), "203.0.113.1");
        assert_eq!(address("10.0.0.1", &["unknown", "203.0.113.1"], trusted), "203.0.113.1");
        assert_eq!(address("192.0.2.1", &["unknown"], trusted), "192.0.2.1");
    }

    #[test]
    fn a_mapped_address_becomes_plain() {
        assert_eq!(address("::ffff:192.0.2.1", &[], &[]), "192.0.2.1");
    }
}
