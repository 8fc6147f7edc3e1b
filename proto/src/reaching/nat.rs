//! The kind of NAT in front of a socket, as far as STUN shows it, and what follows for a pair of peers.
//!
//! Over IPv4 a direct path is impossible exactly if one NAT maps per destination and the other filters by address and port.
//! A STUN server with one address cannot show the filter, so a [`Forecast`] is an expectation: punching decides.

use crate::id::PeerId;

/// Which outside ports a NAT gives one socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Nat {
    /// No server answered yet, or only one.
    #[default]
    Unknown = 0,
    /// No NAT: servers see an address of the machine.
    Open = 1,
    /// Endpoint-independent mapping, as far as the servers show: one port for all destinations.
    Same = 2,
    /// Endpoint-dependent mapping ("symmetric"): another port for each destination.
    PerDestination = 3,
    /// No server answers over UDP.
    Blocked = 4,
}

impl From<u8> for Nat {
    /// Numbers of newer builds are [`Nat::Unknown`].
    fn from(number: u8) -> Self {
        let all = [Self::Open, Self::Same, Self::PerDestination, Self::Blocked];
        all.into_iter().find(|nat| nat.number() == number).unwrap_or_default()
    }
}

impl Nat {
    /// As it stands in an offer.
    #[expect(clippy::as_conversions, reason = "the number that it is declared with")]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// One sentence for a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unknown => "it is not known yet how this network reaches the Internet",
            Self::Open => "this machine has an address of its own on the Internet",
            Self::Same => {
                "the router keeps one outside port for everybody: players can dial it if the router lets them in"
            }
            Self::PerDestination => {
                "the router takes another outside port for each player: some are reached over the relay only"
            }
            Self::Blocked => {
                "no UDP gets through this network: players outside it are reached over the relay only"
            }
        }
    }

    /// The higher, the less a peer can know the port before a packet comes from it.
    fn hardness(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Same => 1,
            Self::Unknown => 2,
            Self::PerDestination => 3,
            Self::Blocked => 4,
        }
    }
}

/// Whether this end dials the QUIC connection: the end with the harder NAT does, because an acceptor takes a connection
/// from any port. Of equals the larger key dials. Both ends compute the same.
pub fn dials(here: (Nat, &PeerId), there: (Nat, &PeerId)) -> bool {
    (here.0.hardness(), here.1) > (there.0.hardness(), there.1)
}

/// What to expect of a pair over IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecast {
    Direct,
    /// One NAT maps per destination: direct only if the other does not filter by port.
    Doubtful,
    /// Both NATs map per destination.
    Hopeless,
    /// One end has no UDP.
    Impossible,
}

impl Forecast {
    pub fn of(here: Nat, there: Nat) -> Self {
        match (here, there) {
            (Nat::Blocked, _) | (_, Nat::Blocked) => Self::Impossible,
            (Nat::PerDestination, Nat::PerDestination) => Self::Hopeless,
            (Nat::PerDestination, Nat::Open) | (Nat::Open, Nat::PerDestination) => Self::Direct,
            (Nat::PerDestination, _) | (_, Nat::PerDestination) => Self::Doubtful,
            _ => Self::Direct,
        }
    }
}

/// Why a pair is relayed: one sentence for a person.
pub fn why_relayed(here: Nat, there: Nat) -> &'static str {
    match (here, there) {
        (Nat::Blocked, Nat::Blocked) => "no UDP gets through your network or theirs",
        (Nat::Blocked, _) => "no UDP gets through your network",
        (_, Nat::Blocked) => "no UDP gets through their network",
        (Nat::PerDestination, Nat::PerDestination) => {
            "your router and theirs take another outside port for each destination"
        }
        (Nat::PerDestination, _) => {
            "your router takes another outside port for each destination, and theirs lets in only whom they called"
        }
        (_, Nat::PerDestination) => {
            "their router takes another outside port for each destination, and yours lets in only whom you called"
        }
        _ => "neither router let the other's packets in; it is tried again from time to time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Nat; 5] = [Nat::Unknown, Nat::Open, Nat::Same, Nat::PerDestination, Nat::Blocked];

    #[test]
    fn kinds_have_distinct_numbers_and_words() {
        for nat in ALL {
            assert_eq!(Nat::from(nat.number()), nat);
            assert_eq!(ALL.iter().filter(|other| other.words() == nat.words()).count(), 1);
        }
        assert_eq!((Nat::from(5), Nat::from(255)), (Nat::Unknown, Nat::Unknown));
    }

    #[test]
    fn end_with_harder_nat_dials() {
        let [small, large] = [1, 2].map(|n| PeerId::from_bytes([n; 32]));
        for one in ALL {
            for other in ALL {
                let (a, b) = ((one, &small), (other, &large));
                assert_ne!(dials(a, b), dials(b, a), "{one:?} {other:?}");
            }
        }
        assert!(dials((Nat::PerDestination, &small), (Nat::Same, &large)));
        assert!(dials((Nat::Same, &small), (Nat::Open, &large)));
        assert!(dials((Nat::Same, &large), (Nat::Same, &small)));
    }

    #[test]
    fn forecast_is_same_at_both_ends() {
        for one in ALL {
            for other in ALL {
                assert_eq!(Forecast::of(one, other), Forecast::of(other, one));
            }
        }
        assert_eq!(Forecast::of(Nat::Same, Nat::Same), Forecast::Direct);
        assert_eq!(Forecast::of(Nat::PerDestination, Nat::Same), Forecast::Doubtful);
        assert_ne!(why_relayed(Nat::PerDestination, Nat::Same), why_relayed(Nat::Same, Nat::PerDestination));
    }
}
