//! What keeps players from being reached.

use serde::{Deserialize, Serialize};

/// What was found, the worst first; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub findings: Vec<Finding>,
}

/// What somebody who helps has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Several pages, without names of players and users, keys, whole addresses and secrets.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub code: FindingCode,
    pub severity: Severity,
    pub sure: Sureness,
    /// For a person.
    pub sentence: String,
    /// What a person can do, with this machine's own numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How bad a finding is. In order, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Nobody is reached, or not the player in question.
    Blocks,
    /// Some players are not reached, or not directly.
    Hinders,
    /// Nothing is wrong with this alone.
    Note,
    /// A severity that this client does not know.
    #[serde(other)]
    Unknown,
}

/// How sure a finding is. In order, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sureness {
    Certain,
    Likely,
    Possible,
    /// A word that this client does not know.
    #[serde(other)]
    Unknown,
}

/// Stable strings for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingCode {
    /// No phone book is configured.
    NoPhoneBook,
    /// A phone book does not answer.
    PhoneBookSilent,
    /// A phone book answers, and does not register this player.
    PhoneBookRefuses,
    /// A phone book answers, and its live connection is not open.
    PhoneBookNotLive,
    /// The daemon has no player name.
    NoPlayerName,
    /// The daemon listens on loopback.
    ThisMachineOnly,
    /// This machine has no address in any network.
    NoNetwork,
    /// No UDP comes back from the phone books.
    UdpBlocked,
    /// The router takes another outside port for each destination ("symmetric").
    PortPerPlayer,
    /// Another router, or a carrier NAT, is before the router.
    AnotherRouter,
    /// No router answers to UPnP, NAT-PMP or PCP.
    MappingNotFound,
    /// The router maps no port.
    MappingRefused,
    /// No router is asked for a port.
    MappingOff,
    /// STUN is switched off.
    StunOff,
    /// Hole punching is switched off.
    PunchingOff,
    /// Relays are switched off.
    RelayOff,
    /// This machine has an IPv6 address, and the daemon does not listen there.
    Ipv6NotListening,
    /// This machine has no IPv6 address.
    Ipv6Absent,
    /// Players with IPv6 are reached directly.
    Ipv6Present,
    /// A firewall on this machine may drop what others send.
    Firewall,
    /// The clock differs from the phone books'.
    ClockOff,
    /// Traffic to the Internet goes through a tunnel.
    Vpn,
    /// The player is no contact.
    PeerUnknown,
    /// The player was asked, and has not answered.
    PeerRequested,
    /// The player asks, and waits for this player's answer.
    PeerAsking,
    /// The player is blocked.
    PeerBlocked,
    /// The player's daemon is not online, or hidden.
    PeerOffline,
    /// The player was dialled in vain, or the link broke.
    PeerNotReached,
    /// The player was not dialled since the start.
    PeerNotTried,
    /// The player is being dialled.
    PeerConnecting,
    /// The player is connected.
    PeerConnected,
    /// The player is connected through a relay.
    PeerRelayed,
    NothingFound,
    /// A code that this client does not know.
    #[serde(other)]
    Unknown,
}
