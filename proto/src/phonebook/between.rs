//! What phone books behind one name write to each other, over the Redis that they share.
//!
//! A dispatch lies in the inbox of the phone book that a key is connected to. Whoever can write there can do no more
//! than a phone book can: letters and knocks are sealed and signed by the clients. It is still read as a stranger's,
//! because another version may have written it.

use super::live::Hear;
use crate::{
    id::PeerId,
    letter::{Attempt, Letter},
    limit::DISPATCH_MAX,
};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, time::Duration};

/// Something for the holder of a key, wherever it is connected. Whoever sends it learns nothing of its fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Parcel {
    Hear(Hear),
    /// A callee's answer, for the side that knows whether `from` was asked: a letter and the callee's half round trip, or
    /// no.
    Answer {
        from: PeerId,
        attempt: Attempt,
        accepted: Option<(Letter, Duration)>,
        /// Where the callee's phone book sees it; compared with the caller's place, and told to nobody.
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
    /// The key has greeted elsewhere, after the connection with this number of the inbox's owner.
    Moved {
        key: PeerId,
        client: u64,
    },
}

/// Why an entry is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadDispatch {
    #[error("a dispatch has at most {DISPATCH_MAX} bytes")]
    TooLong,
    #[error("not a dispatch of this version")]
    Unknown,
    #[error("no client hears this from another phone book")]
    NotForwarded,
}

impl Dispatch {
    /// # Panics
    /// Never: what clients say to each other is always JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("our messages are JSON")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, BadDispatch> {
        if bytes.len() > DISPATCH_MAX {
            return Err(BadDispatch::TooLong);
        }
        let dispatch: Self = serde_json::from_slice(bytes).map_err(|_| BadDispatch::Unknown)?;
        match &dispatch {
            // A connection's own words: its greeting, its phone book's stop. And what nobody here understands.
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
    fn only_what_clients_say_to_each_other_is_forwarded() {
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
