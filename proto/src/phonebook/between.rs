//! Messages between phone books of one name, over a shared Redis.
//!
//! A dispatch is put into the inbox of the phone book that a key is connected to. Whoever can write there can do no
//! more than a phone book can: clients seal and sign letters and knocks. It is still decoded as a stranger's, because
//! another version may have written it.

use super::live::Hear;
use crate::{
    id::PeerId,
    letter::{Attempt, Letter},
    limit::DISPATCH_MAX,
};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, time::Duration};

/// A message for the holder of a key, wherever it is connected. The sender is not told its fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Parcel {
    Hear(Hear),
    /// A callee's answer, for the side that knows whether `from` was asked: a letter and the callee's half round trip,
    /// or a refusal.
    Answer {
        from: PeerId,
        attempt: Attempt,
        accepted: Option<(Letter, Duration)>,
        /// Where the callee's phone book sees it; compared with the caller's address, and sent to nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<IpAddr>,
    },
    /// A callee's candidates, likewise.
    Candidates {
        from: PeerId,
        attempt: Attempt,
        letter: Letter,
    },
}

/// One entry of an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Dispatch {
    Parcel {
        to: PeerId,
        parcel: Parcel,
    },
    /// The key greeted at another phone book, after the inbox owner's connection with this number.
    Moved {
        key: PeerId,
        client: u64,
    },
}

/// Why an entry is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadDispatch {
    #[error("a dispatch has at most {DISPATCH_MAX} bytes")]
    TooLong,
    #[error("not a dispatch of this version")]
    Unknown,
    #[error("no phone book may send this to another")]
    NotForwarded,
}

impl Dispatch {
    /// # Panics Never: messages of clients are always JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("our messages are JSON")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, BadDispatch> {
        if bytes.len() > DISPATCH_MAX {
            return Err(BadDispatch::TooLong);
        }
        let dispatch: Self = serde_json::from_slice(bytes).map_err(|_| BadDispatch::Unknown)?;
        match &dispatch {
            // Messages of one connection: its greeting, its phone book's stop; and unknown ones.
            Self::Parcel {
                parcel:
                    Parcel::Hear(
                        Hear::Challenge { .. } | Hear::Welcome(_) | Hear::Restarting { .. } | Hear::Novel,
                    ),
                ..
            } => Err(BadDispatch::NotForwarded),
            _ => Ok(dispatch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;

    #[test]
    fn only_messages_between_clients_are_forwarded() {
        let to = PeerId::from_bytes([1; 32]);
        let of = |hear| Dispatch::Parcel { to, parcel: Parcel::Hear(hear) }.encode();
        let heard = of(Hear::Unavailable { attempt: Bytes([2; 16]) });
        assert!(Dispatch::decode(&heard).is_ok());
        let challenge = Hear::Challenge { versions: vec![1], nonce: Bytes([0; 32]), time: 1 };
        for own in [challenge, Hear::Restarting { after_ms: 1 }, Hear::Novel] {
            assert_eq!(Dispatch::decode(&of(own)), Err(BadDispatch::NotForwarded));
        }
        assert_eq!(Dispatch::decode(b"{}"), Err(BadDispatch::Unknown));
        let padded = [&heard[..], &vec![b' '; DISPATCH_MAX]].concat();
        assert_eq!(Dispatch::decode(&padded), Err(BadDispatch::TooLong));
    }
}
