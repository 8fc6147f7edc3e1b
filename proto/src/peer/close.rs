//! Why a link ends: the numbers, whose fault it was, and the consequences, in one table.

/// Application close codes of a QUIC connection. Numbers are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum CloseCode {
    /// The daemon stops, or the link was idle for long.
    Done = 0x00,
    /// A frame or record that no correct program writes.
    Malformed = 0x01,
    /// A valid message at the wrong time.
    OutOfTurn = 0x02,
    /// No peer wire version in common.
    Version = 0x03,
    /// One of two links between the same peers.
    Duplicate = 0x04,
    /// Bytes that do not match their hash, or that do not open.
    WrongBytes = 0x05,
    /// Blocked, or not for you.
    Refused = 0x06,
    /// The claimed name is known to belong to another key.
    NameTaken = 0x07,
    /// The greeting, or another expected message, did not arrive in time.
    Silent = 0x08,
    /// Too many links or requests.
    Overloaded = 0x09,
    /// Something failed on the side that closes.
    Internal = 0x0a,
}

/// Whose fault the end of a link was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody's: intended.
    Nobody,
    /// Theirs, on purpose or by a defect: they broke the protocol.
    Theirs,
    /// One of the two is too old.
    Age,
    /// The machine's or the network's.
    Machine,
}

/// What a link's end means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consequence {
    pub fault: Fault,
    /// Whether to dial again soon.
    pub retry: bool,
    /// Whether the closing side refuses this key for a while.
    pub ban: bool,
}

impl CloseCode {
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Malformed,
        Self::OutOfTurn,
        Self::Version,
        Self::Duplicate,
        Self::WrongBytes,
        Self::Refused,
        Self::NameTaken,
        Self::Silent,
        Self::Overloaded,
        Self::Internal,
    ];

    /// As QUIC carries it.
    #[expect(clippy::as_conversions, reason = "the number that it is declared with")]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The code of a number from the wire; a later version may send others.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| u64::from(code.number()) == number)
    }

    pub fn consequence(self) -> Consequence {
        use Fault::*;
        let (fault, retry, ban) = match self {
            Self::Done => (Nobody, true, false),
            Self::Duplicate => (Nobody, false, false),
            Self::Malformed | Self::OutOfTurn | Self::WrongBytes => (Theirs, false, true),
            Self::Version => (Age, false, false),
            Self::Refused | Self::NameTaken => (Theirs, false, false),
            Self::Silent | Self::Overloaded | Self::Internal => (Machine, true, false),
        };
        Consequence { fault, retry, ban }
    }

    /// What the closed side did, for the log of the side that closes: the verb of a sentence about a peer.
    pub fn accuse(self) -> &'static str {
        match self {
            Self::Malformed => "sent a message that no correct program sends",
            Self::OutOfTurn => "sent a message out of order",
            Self::WrongBytes => "sent bytes that do not match their hash",
            Self::Silent => "did not answer in time",
            Self::Overloaded => "opened too many links",
            Self::Version => "has no protocol version in common with this daemon",
            Self::NameTaken => "claimed a name that is known under another key",
            Self::Refused => "is no contact",
            Self::Done | Self::Duplicate | Self::Internal => "is disconnected",
        }
    }

    /// One sentence for a person on the closed side.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Done => "the other side stopped",
            Self::Malformed => "the other side could not understand this program; update both",
            Self::OutOfTurn => "the other side received a message out of order; update both",
            Self::Version => "the two programs have no protocol version in common; update the older one",
            Self::Duplicate => "another link to the same player is in use",
            Self::WrongBytes => "the other side received bytes that did not match their hash",
            Self::Refused => {
                "you are no contact of theirs: they have to accept your request, or to add you again if they removed you"
            }
            Self::NameTaken => {
                "the other side knows this name under another key; they have to confirm the new key"
            }
            Self::Silent => "the other side timed out waiting",
            Self::Overloaded => "the other side has too many links now",
            Self::Internal => "something failed on the other side",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_published_ones() {
        for (number, code) in CloseCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number);
            assert_eq!(CloseCode::from_number(number as u64), Some(code));
        }
        assert_eq!(CloseCode::from_number(0xffff), None);
    }

    #[test]
    fn only_protocol_violations_cause_bans() {
        for code in CloseCode::ALL {
            let Consequence { fault, retry, ban } = code.consequence();
            assert!(!ban || (fault == Fault::Theirs && !retry), "{code:?}");
        }
    }
}
