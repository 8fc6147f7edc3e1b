//! A row of a table of limits: the item, and an account's allowance.

use std::time::Duration;

/// A charged item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// Unrequested bytes, sent or received.
    Bytes,
    /// Packets to an address that has not answered.
    Probes,
    /// Attempts to connect.
    Dials,
    /// Attempts to connect to the one address that a phone book lists for a player.
    Lookups,
    /// Names of daemons that are announced in the local network.
    Announcements,
    /// Unrequested signed documents.
    Documents,
    /// Open connections.
    Connections,
    /// Handshakes under way.
    Handshakes,
    /// Handshakes begun from a contact's last address.
    Arrivals,
    /// Handshakes begun from any other address.
    Newcomers,
    /// Handshakes begun from an address that may be forged.
    Unproven,
    /// Names held in a phone book.
    Names,
    Messages,
    /// Bytes of written and unread answers.
    Unread,
    /// Open links without a greeting.
    Greetings,
    /// Live connections to a phone book, over a socket or by polls.
    Sockets,
    /// Bytes read for proofs.
    Proofs,
    /// Bytes of local clients' frames: those that are read, and replies that are not.
    LocalBytes,
}

impl Item {
    pub const ALL: [Self; 18] = [
        Self::Bytes,
        Self::Probes,
        Self::Dials,
        Self::Lookups,
        Self::Announcements,
        Self::Documents,
        Self::Connections,
        Self::Handshakes,
        Self::Arrivals,
        Self::Newcomers,
        Self::Unproven,
        Self::Names,
        Self::Messages,
        Self::Unread,
        Self::Greetings,
        Self::Sockets,
        Self::Proofs,
        Self::LocalBytes,
    ];

    /// Its index in [`Self::ALL`].
    #[expect(clippy::as_conversions, reason = "they are declared in that order")]
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Probes => "probes",
            Self::Dials => "dials",
            Self::Lookups => "lookups",
            Self::Announcements => "announcements",
            Self::Documents => "documents",
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::Arrivals => "arrivals",
            Self::Newcomers => "newcomers",
            Self::Unproven => "unproven",
            Self::Names => "names",
            Self::Messages => "messages",
            Self::Unread => "unread",
            Self::Greetings => "greetings",
            Self::Sockets => "sockets",
            Self::Proofs => "proofs",
            Self::LocalBytes => "local_bytes",
        }
    }
}

/// How much of an item one account may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// `burst` at once, and `amount` more in each `period`. An amount above the burst costs the whole burst.
    Rate { burst: u64, amount: u64, period: Duration },
    /// So much at once, until released.
    Held(u64),
}

impl Allowance {
    /// `amount` in each second, and `burst` at once.
    pub const fn each_second(amount: u64, burst: u64) -> Self {
        Self::Rate { burst, amount, period: Duration::from_secs(1) }
    }
}

/// A row of a table of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub item: Item,
    /// For each counterpart.
    pub each: Allowance,
    /// For all of them together; `None`: only the accounts' limits apply.
    pub all: Option<Allowance>,
}
