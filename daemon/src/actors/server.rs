//! Where a phone book's servers take datagrams.

use fyteclub_proto::reaching::candidate::{Teller, Vantage, may_be_dialled};
use std::{net::SocketAddr, time::Duration};

/// How long a name may take to resolve.
const RESOLVE_TIME: Duration = Duration::from_secs(5);

/// A STUN server or a relay, as a phone book names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAt {
    /// A name or an address.
    pub host: String,
    pub port: u16,
    /// Whose word the host is.
    pub teller: Teller,
    pub vantage: Vantage,
}

impl ServerAt {
    /// Whether datagrams may be sent there: no phone book aims them at others' networks or services.
    fn allows(&self, addr: SocketAddr) -> bool {
        let ip = addr.ip().to_canonical();
        self.vantage.book == Some(ip) || may_be_dialled(addr, self.teller, &self.vantage)
    }

    /// The allowed addresses; none if the name does not resolve in time.
    pub async fn resolve(self) -> Vec<SocketAddr> {
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        match tokio::time::timeout(RESOLVE_TIME, lookup).await {
            Ok(Ok(addrs)) => addrs.filter(|addr| self.allows(*addr)).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn phone_book_aims_at_no_other_network() {
        let book: IpAddr = [203, 0, 113, 3].into();
        let vantage = Vantage { book: Some(book), here: Some([203, 0, 113, 9].into()), together: false };
        let at = |teller| ServerAt { host: String::new(), port: 0, teller, vantage };
        for (addr, told, configured) in [
            ("203.0.113.3:80", true, true),
            ("[::ffff:203.0.113.3]:80", true, true),
            ("198.51.100.7:3000", true, true),
            ("198.51.100.7:53", false, true),
            ("192.168.1.1:3000", false, true),
            ("127.0.0.1:3000", false, true),
            ("224.0.0.1:3000", false, false),
        ] {
            let addr = addr.parse().expect("an address");
            assert_eq!(at(Teller::PhoneBook).allows(addr), told, "{addr}");
            assert_eq!(at(Teller::Person).allows(addr), configured, "{addr}");
        }
    }
}
