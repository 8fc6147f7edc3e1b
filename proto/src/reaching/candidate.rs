//! Candidates: addresses in letters of introductions, and which of them may be dialled.
//!
//! In a letter each candidate is a kind, a length and so many bytes, so that a daemon can skip unknown kinds:
//!
//! ```text
//! kind u8 · length u8 · value      kinds 0 to 3 are the origins below; their value is the address, 4 or 16 bytes, and
//!                                  the port, big-endian
//! ```

use crate::{
    ledger::Network,
    limit::{CANDIDATES_READ_MAX, LETTER_BYTES_MAX},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where an address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Origin {
    /// An address of the machine itself.
    Host = 0,
    /// The machine as a phone book sees it, with its listening port.
    Observed = 1,
    /// A port that a router forwards.
    Mapped = 2,
    /// Entered by a person on that machine.
    Manual = 3,
}

impl Origin {
    const ALL: [Self; 4] = [Self::Host, Self::Observed, Self::Mapped, Self::Manual];

    #[expect(clippy::as_conversions, reason = "the number that it is declared with")]
    const fn number(self) -> u8 {
        self as u8
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    pub origin: Origin,
    pub addr: SocketAddr,
}

/// A letter's candidates, the likeliest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates(pub Vec<Candidate>);

/// Why bytes are not a list of candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CandidatesError {
    #[error("a list of addresses has at most {LETTER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the list of addresses ends in the middle of one")]
    Cut,
}

impl Candidates {
    /// The letter's form. Candidates beyond [`CANDIDATES_READ_MAX`] are left out, because no receiver reads them.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Candidate { origin, addr } in self.0.iter().take(CANDIDATES_READ_MAX) {
            let value = match addr.ip() {
                IpAddr::V4(ip) => [&ip.octets()[..], &addr.port().to_be_bytes()].concat(),
                IpAddr::V6(ip) => [&ip.octets()[..], &addr.port().to_be_bytes()].concat(),
            };
            let length = u8::try_from(value.len()).expect("18 bytes at most");
            bytes.extend([origin.number(), length]);
            bytes.extend(value);
        }
        bytes
    }

    /// Reads a letter's text. Skips unknown kinds and lengths, and everything after the first [`CANDIDATES_READ_MAX`]
    /// known ones.
    ///
    /// # Errors A text that is longer than a letter, or ends inside a candidate.
    pub fn decode(bytes: &[u8]) -> Result<Self, CandidatesError> {
        if bytes.len() > LETTER_BYTES_MAX {
            return Err(CandidatesError::TooLong);
        }
        let mut all = Vec::new();
        for entry in entries(bytes) {
            let (kind, value) = entry?;
            let origin = Origin::ALL.into_iter().find(|origin| origin.number() == kind);
            if let Some((origin, addr)) = origin.zip(address(value))
                && all.len() < CANDIDATES_READ_MAX
            {
                all.push(Candidate { origin, addr });
            }
        }
        Ok(Self(all))
    }

    pub fn addrs(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0.iter().map(|candidate| candidate.addr)
    }
}

/// The kinds and values of a letter's text, also unknown ones. A text that ends inside an entry yields an error as its
/// last item.
pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), CandidatesError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (kind, length, after) = match std::mem::take(&mut rest) {
            [] => return None,
            [kind, length, after @ ..] => (*kind, *length, after),
            [_] => return Some(Err(CandidatesError::Cut)),
        };
        let Some((value, next)) = after.split_at_checked(usize::from(length)) else {
            return Some(Err(CandidatesError::Cut));
        };
        rest = next;
        Some(Ok((kind, value)))
    })
}

fn address(value: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = value.split_last_chunk::<2>()?;
    let ip: IpAddr = match ip.len() {
        4 => <[u8; 4]>::try_from(ip).ok()?.into(),
        16 => <[u8; 16]>::try_from(ip).ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// Who names an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// A contact, in a letter.
    Contact,
    /// A phone book, in its own answer to a lookup.
    PhoneBook,
    /// The person who runs this daemon.
    Person,
}

/// What is known of both ends when an address is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vantage {
    /// The phone book's address on this machine's connection.
    pub book: Option<IpAddr>,
    /// This machine's address, as that phone book reports it.
    pub here: Option<IpAddr>,
    /// Whether that phone book reports both ends as [together](are_together).
    pub together: bool,
}

/// The kinds of destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// None, all, or any on the local link.
    Nowhere,
    Loopback,
    /// A home's network, a provider's: the same address is another machine elsewhere.
    Private,
    Public,
}

fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

fn scope_v4(ip: Ipv4Addr) -> Scope {
    match ip.octets() {
        [127, ..] => Scope::Loopback,
        // "This network", link-local, multicast, reserved and broadcast.
        [0 | 224..=255, ..] | [169, 254, ..] => Scope::Nowhere,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [192, 0, 0, _] => {
            Scope::Private
        }
        _ => Scope::Public,
    }
}

fn scope_v6(ip: Ipv6Addr) -> Scope {
    let embedded = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
        // A gateway would forward it into a foreign network.
        if scope_v4([a, b, c, d].into()) == Scope::Public { Scope::Public } else { Scope::Nowhere }
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Scope::Loopback,
        [0, 0, 0, 0, 0, 0, ..] => Scope::Nowhere,
        // NAT64 and 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] => Scope::Private,
        [first, ..] => match first {
            // Needs an interface, or means all machines.
            0xfe80..=0xfebf | 0xff00..=0xffff => Scope::Nowhere,
            0xfc00..=0xfdff | 0xfec0..=0xfeff => Scope::Private,
            _ => Scope::Public,
        },
    }
}

/// Whether an address is the same machine's from anywhere in the internet.
pub fn is_public(ip: IpAddr) -> bool {
    scope(ip) == Scope::Public
}

/// Whether two clients of one phone book share a public address, or both have private ones, as the phone book sees
/// them.
pub fn are_together(one: IpAddr, other: IpAddr) -> bool {
    let is_private = |ip| matches!(scope(ip), Scope::Private | Scope::Loopback);
    Network::from(one) == Network::from(other) || (is_private(one) && is_private(other))
}

/// Whether packets may be sent to `addr`, named by `teller`. If not, no contact and no phone book can make this machine
/// send there.
pub fn may_be_dialled(addr: SocketAddr, teller: Teller, vantage: &Vantage) -> bool {
    let place = scope(addr.ip());
    if place == Scope::Nowhere || addr.port() == 0 {
        return false;
    }
    if teller == Teller::Person {
        return true;
    }
    // Ports below belong to services, not to players.
    if addr.port() < 1024 {
        return false;
    }
    let is = |ip: Option<IpAddr>, scopes: &[Scope]| ip.is_some_and(|ip| scopes.contains(&scope(ip)));
    let within = [Scope::Private, Scope::Loopback];
    // A public phone book that sees a private address sees its own proxy's, or lies.
    let near_book = is(vantage.book, &within) && is(vantage.here, &within);
    let together = match teller {
        Teller::Contact => vantage.together && (near_book || is(vantage.here, &[Scope::Public])),
        Teller::PhoneBook | Teller::Person => near_book,
    };
    match place {
        Scope::Public => true,
        Scope::Private => together,
        Scope::Loopback => {
            together && is(vantage.book, &[Scope::Loopback]) && is(vantage.here, &[Scope::Loopback])
        }
        Scope::Nowhere => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    const NEVER: [&str; 16] = [
        "0.0.0.0:7777",
        "0.1.2.3:7777",
        "10.0.0.5:0",
        "203.0.113.9:0",
        "224.0.0.1:7777",
        "240.0.0.1:7777",
        "255.255.255.255:7777",
        "169.254.169.254:7777",
        "[::]:7777",
        "[::10.0.0.5]:7777",
        "[::ffff:169.254.169.254]:7777",
        "[fe80::1]:7777",
        "[ff02::1]:7777",
        "[64:ff9b::7f00:1]:7777",
        "[64:ff9b::a00:5]:7777",
        "[2002:a00:5::1]:7777",
    ];
    const LOOPBACK: [&str; 4] = ["127.0.0.1:7777", "127.9.9.9:7777", "[::1]:7777", "[::ffff:127.0.0.1]:7777"];
    const PRIVATE: [&str; 8] = [
        "10.0.0.5:7777",
        "172.16.0.1:7777",
        "192.168.1.1:7777",
        "100.64.0.1:7777",
        "[::ffff:192.168.1.1]:7777",
        "[fd00::5]:7777",
        "[fec0::5]:7777",
        "[64:ff9b:1::5]:7777",
    ];
    const PUBLIC: [&str; 6] = [
        "203.0.113.9:7777",
        "172.32.0.1:7777",
        "100.128.0.1:1024",
        "[2001:db8::5]:7777",
        "[64:ff9b::cb00:7109]:7777",
        "[2002:cb00:7109::1]:7777",
    ];

    /// Which of the four groups may be dialled.
    fn judged(teller: Teller, vantage: &Vantage) -> [bool; 4] {
        [&NEVER[..], &LOOPBACK, &PRIVATE, &PUBLIC].map(|group| {
            let verdicts: Vec<bool> =
                group.iter().map(|text| may_be_dialled(addr(text), teller, vantage)).collect();
            assert!(verdicts.iter().all(|may| *may == verdicts[0]), "{teller:?} {vantage:?} {verdicts:?}");
            verdicts[0]
        })
    }

    #[test]
    fn addresses_are_dialled_by_scope_and_vantage() {
        const NO: bool = false;
        const YES: bool = true;
        let at = |book: &str, here: &str, together| Vantage { book: ip(book), here: ip(here), together };
        let (public, other) = ("203.0.113.7", "198.51.100.1");
        // Never, loopback, private, public: named by a contact, and by a phone book.
        let table = [
            (Vantage::default(), [NO, NO, NO, YES], [NO, NO, NO, YES]),
            (at(other, public, false), [NO, NO, NO, YES], [NO, NO, NO, YES]),
            // Behind one router.
            (at(other, public, true), [NO, NO, YES, YES], [NO, NO, NO, YES]),
            // A public phone book that sees private addresses sees its proxy's, or lies.
            (at(other, "10.0.0.9", true), [NO, NO, NO, YES], [NO, NO, NO, YES]),
            (at(other, "127.0.0.1", true), [NO, NO, NO, YES], [NO, NO, NO, YES]),
            // A phone book in the home.
            (at("192.168.1.2", "192.168.1.3", true), [NO, NO, YES, YES], [NO, NO, YES, YES]),
            (at("192.168.1.2", "192.168.1.3", false), [NO, NO, NO, YES], [NO, NO, YES, YES]),
            // A phone book on this machine; the other end may be here, in the home, or remote.
            (at("127.0.0.1", "127.0.0.1", true), [NO, YES, YES, YES], [NO, YES, YES, YES]),
            (at("127.0.0.1", "127.0.0.1", false), [NO, NO, NO, YES], [NO, YES, YES, YES]),
            (at("192.168.1.2", "127.0.0.1", true), [NO, NO, YES, YES], [NO, NO, YES, YES]),
        ];
        for (vantage, contact, book) in table {
            assert_eq!(judged(Teller::Contact, &vantage), contact, "contact, {vantage:?}");
            assert_eq!(judged(Teller::PhoneBook, &vantage), book, "phone book, {vantage:?}");
            assert_eq!(judged(Teller::Person, &vantage), [NO, YES, YES, YES], "person, {vantage:?}");
        }
    }

    #[test]
    fn ports_of_services_are_dialled_for_a_person() {
        let here = ip("127.0.0.1");
        let vantage = Vantage { book: here, here, together: true };
        for text in ["203.0.113.9:443", "127.0.0.1:53", "10.0.0.5:1023", "[2001:db8::5]:1"] {
            assert!(!may_be_dialled(addr(text), Teller::Contact, &vantage), "{text}");
            assert!(!may_be_dialled(addr(text), Teller::PhoneBook, &vantage), "{text}");
            assert!(may_be_dialled(addr(text), Teller::Person, &vantage), "{text}");
        }
    }

    #[test]
    fn one_line_or_two_private_networks_are_together() {
        let together = |one: &str, other: &str| {
            are_together(one.parse().expect("an address"), other.parse().expect("an address"))
        };
        assert!(together("203.0.113.7", "::ffff:203.0.113.7"));
        assert!(together("2001:db8:1:2::5", "2001:db8:1:2::6"));
        assert!(!together("2001:db8:1:2::5", "2001:db8:1:3::5"));
        assert!(together("127.0.0.1", "192.168.1.3") && together("10.0.0.1", "fd00::1"));
        assert!(!together("203.0.113.7", "203.0.113.8") && !together("203.0.113.7", "10.0.0.1"));
    }

    #[test]
    fn unknown_kinds_between_known_ones_are_skipped() {
        let known = Candidates(vec![
            Candidate { origin: Origin::Host, addr: addr("192.168.1.3:7777") },
            Candidate { origin: Origin::Mapped, addr: addr("[2001:db8::5]:7778") },
            Candidate { origin: Origin::Manual, addr: addr("203.0.113.9:7779") },
        ]);
        let one = |at: usize| Candidates(vec![known.0[at]]).encode();
        // A relay, a name, an empty value, and a longer form of a known kind.
        let strange: [&[u8]; 4] = [
            &[9, 5, 1, 2, 3, 4, 5],
            &[255, 3, b'a', b'b', b'c'],
            &[77, 0],
            &[0, 7, 192, 168, 1, 3, 0x1e, 0x61, 1],
        ];
        let mixed =
            [strange[0], &one(0), strange[1], strange[2], &one(1), strange[3], &one(2), strange[0]].concat();
        assert_eq!(Candidates::decode(&mixed), Ok(known.clone()));
        assert_eq!(Candidates::decode(&known.encode()), Ok(known));
        assert_eq!(Candidates::decode(&[]), Ok(Candidates::default()));
    }

    #[test]
    fn cut_or_long_lists_are_refused() {
        let one = Candidate { origin: Origin::Host, addr: addr("192.168.1.3:7777") };
        let whole = Candidates(vec![one]).encode();
        for length in 1..whole.len() {
            assert_eq!(Candidates::decode(&whole[..length]), Err(CandidatesError::Cut), "{length}");
        }
        assert_eq!(Candidates::decode(&[9; LETTER_BYTES_MAX + 1]), Err(CandidatesError::TooLong));
        let many = Candidates::decode(&whole.repeat(100)).expect("a list");
        assert_eq!(many.0.len(), CANDIDATES_READ_MAX);
    }
}
