//! `/api/live`: what a client says to the phone book and hears from it, as JSON messages of 4 KiB at most.
//!
//! Over a WebSocket each message is one text frame; the phone book speaks first, with a challenge. Where no WebSocket
//! gets through, the same messages travel by [`Poll`]. Introductions:
//!
//! ```text
//!  caller                     phone book                     callee
//!    Introduce{to, attempt} ──►    ── Introduced{from, attempt} ──►   by its own rule:
//!    ◄── Accepted{from, attempt}       ◄── Accept{to, attempt} / Decline{to, attempt}
//!    ◄────────── Go ─────────────  ─────────── Go ────────►
//!    Candidates{to, attempt} ◄────────────────────────────►  more, for 60 s after the introduction
//! ```
//!
//! Who is not there, who declines and who does not answer are one answer, [`Hear::Unavailable`], and come at the same
//! time after the question: [`ANSWER_TIME`].

use crate::{
    bytes::Bytes,
    id::PeerId,
    knock::{Callee, Knock},
    letter::{Attempt, Letter},
    number,
    proof::Proof,
    version::PROOF_VERSION,
};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, time::Duration};

/// How long a client counts as present after it was heard last.
pub const PRESENCE_LIFE: Duration = Duration::from_secs(75);
/// How often a client says [`Say::Here`] when it has nothing else to say.
pub const PRESENCE_PERIOD: Duration = Duration::from_secs(25);
/// How long the callee of an introduction has to answer, and when the caller hears that nobody did. A long round trip,
/// the callee's daemon and a phone book in between fit twice.
pub const ANSWER_TIME: Duration = Duration::from_millis(1500);
/// How long candidates of an introduction are carried.
pub const INTRODUCTION_TIME: Duration = Duration::from_secs(60);
/// How long a fresh socket may take to greet.
pub const GREETING_TIME: Duration = Duration::from_secs(5);
/// The longest that a poll may wait for something to hear.
pub const POLL_TIME_MAX: Duration = Duration::from_secs(20);

/// From a client to the phone book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Say {
    /// First over a WebSocket, and never in a poll.
    Hello(Hello),
    /// Nothing but being there.
    Here,
    /// Bring these candidates to the callee and ask for theirs. Sealed to the callee's key, so a name alone will do
    /// only where the key is known as well.
    Introduce {
        to: Callee,
        attempt: Attempt,
        letter: Letter,
    },
    Accept {
        to: PeerId,
        attempt: Attempt,
        letter: Letter,
    },
    Decline {
        to: PeerId,
        attempt: Attempt,
    },
    /// More ways to be reached; either side, once the callee accepted.
    Candidates {
        to: PeerId,
        attempt: Attempt,
        letter: Letter,
    },
    /// Brought if the callee is there. Nobody hears whether.
    Knock {
        to: Callee,
        knock: Knock,
    },
    /// As a knock, between two who know each other's key.
    Note {
        to: PeerId,
        letter: Letter,
    },
}

/// From the phone book to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Hear {
    /// First over a WebSocket: greet with this nonce.
    Challenge {
        versions: Vec<u16>,
        nonce: Bytes<32>,
        time: u64,
    },
    /// The greeting is accepted.
    Welcome(Welcome),
    Introduced {
        from: PeerId,
        attempt: Attempt,
        letter: Letter,
    },
    Accepted {
        from: PeerId,
        attempt: Attempt,
        letter: Letter,
        /// Whether the phone book sees both at one public address, or both at private ones. Only then are private
        /// addresses in the letter worth a packet.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        same_network: bool,
    },
    /// The callee is not there, or not for you.
    Unavailable {
        attempt: Attempt,
    },
    Candidates {
        from: PeerId,
        attempt: Attempt,
        letter: Letter,
    },
    /// Both sides begin this many milliseconds from now.
    Go {
        peer: PeerId,
        attempt: Attempt,
        delay_ms: u64,
    },
    Knock {
        to: Callee,
        knock: Knock,
    },
    Note {
        from: PeerId,
        letter: Letter,
    },
    /// What was said last was too much: not done, and not before so many seconds.
    Limited {
        attempt: Option<Attempt>,
        retry_after: u64,
    },
    /// The phone book stops; come back in so many milliseconds. Every client is told another time.
    Restarting {
        after_ms: u64,
    },
    /// Something newer than this client.
    #[serde(other)]
    Novel,
}

/// What the phone book tells a client that it accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    pub version: u16,
    /// Where the phone book sees the client.
    pub address: IpAddr,
    /// Seconds of [`PRESENCE_LIFE`].
    pub life: u64,
    /// Seconds of [`PRESENCE_PERIOD`].
    pub period: u64,
}

/// The signed greeting: the answer to a challenge, and only to this phone book's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    pub version: u16,
    pub public_key: PeerId,
    /// Host and port as the client was told to reach the phone book, lower-case, the port only where it is not the
    /// scheme's own. A phone book that passes another's challenge on cannot change what is signed here.
    pub server: String,
    /// From the challenge.
    pub nonce: Bytes<32>,
    /// Unix milliseconds, within [`crate::limit::PROOF_TIME_WINDOW`] of the server's.
    pub time: u64,
    /// 64 bytes in unpadded base64url, over [`Hello::proof`].
    pub signature: String,
}

impl Hello {
    pub fn signed(server: &str, nonce: Bytes<32>, time: u64, key: &SigningKey) -> Self {
        let mut hello = Self {
            version: crate::version::LIVE_VERSIONS[0],
            public_key: PeerId::of(key),
            server: server.to_owned(),
            nonce,
            time,
            signature: String::new(),
        };
        hello.signature = hello.proof().sign_text(key);
        hello
    }

    /// What is signed: purpose `live`, then version, key, server, nonce, time.
    pub fn proof(&self) -> Proof {
        Proof::new("live", PROOF_VERSION)
            .number(self.version.into())
            .field(self.public_key.as_bytes())
            .field(self.server.as_bytes())
            .field(self.nonce.as_slice())
            .number(self.time)
    }

    pub fn is_authentic(&self) -> bool {
        self.proof().verified_by_text(&self.public_key, &self.signature)
    }
}

/// `POST /api/live`: the conversation without a WebSocket. Says, and waits until there is something to hear.
///
/// The first poll of a key attaches it as a socket would, and another socket of the key ends; [`PRESENCE_LIFE`] after
/// the last poll it is gone. Two polls may be under way at once, so that one can say while another waits; what is to be
/// heard goes to the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    pub public_key: PeerId,
    /// As in [`Hello::server`].
    pub server: String,
    /// Strictly rising per key.
    pub sequence: u64,
    /// Unix milliseconds.
    pub time: u64,
    /// Milliseconds that the answer may take, [`POLL_TIME_MAX`] at most.
    pub wait: u64,
    /// A JSON array of [`Say`], as the text that is signed.
    pub say: String,
    /// 64 bytes in unpadded base64url, over [`Poll::proof`].
    pub signature: String,
}

impl Poll {
    /// # Panics
    /// Never: what a client says is always JSON.
    pub fn signed(
        server: &str,
        sequence: u64,
        time: u64,
        wait: Duration,
        say: &[Say],
        key: &SigningKey,
    ) -> Self {
        let mut poll = Self {
            public_key: PeerId::of(key),
            server: server.to_owned(),
            sequence,
            time,
            wait: number::millis(wait.min(POLL_TIME_MAX)),
            say: serde_json::to_string(say).expect("our messages are JSON"),
            signature: String::new(),
        };
        poll.signature = poll.proof().sign_text(key);
        poll
    }

    /// What is signed: purpose `poll`, then key, server, sequence, time, wait, what is said.
    pub fn proof(&self) -> Proof {
        Proof::new("poll", PROOF_VERSION)
            .field(self.public_key.as_bytes())
            .field(self.server.as_bytes())
            .number(self.sequence)
            .number(self.time)
            .number(self.wait)
            .field(self.say.as_bytes())
    }

    pub fn is_authentic(&self) -> bool {
        self.proof().verified_by_text(&self.public_key, &self.signature)
    }
}

/// The answer to a [`Poll`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Polled {
    pub welcome: Welcome,
    /// In order; empty when the wait ended.
    pub hear: Vec<Hear>,
}

/// Why the phone book closed a WebSocket (RFC 6455 §7.4.2 leaves 4000–4999 to applications). The frame's text says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseReason {
    /// RFC 6455's "going away": the phone book stops, see [`Hear::Restarting`].
    Restart = 1001,
    /// Another socket greeted with the same key: two daemons have one identity, or this one came back before its old
    /// socket was known to be dead.
    Replaced = 4000,
    /// The greeting's signature, nonce or server is wrong.
    BadHello = 4001,
    /// The clock is off; the text says by how much, in milliseconds: `clock_skew:-421000`.
    ClockSkew = 4002,
    /// Not JSON, not known, too long, or out of turn.
    BadMessage = 4003,
    /// Nothing was heard within [`PRESENCE_LIFE`], or no greeting within [`GREETING_TIME`].
    Silent = 4004,
    /// It did not read what came for it.
    TooSlow = 4005,
    /// Too many sockets, from this address or at all; the text says for how many seconds: `retry_after:30`.
    Limited = 4006,
}

impl CloseReason {
    pub const ALL: [Self; 8] = [
        Self::Restart,
        Self::Replaced,
        Self::BadHello,
        Self::ClockSkew,
        Self::BadMessage,
        Self::Silent,
        Self::TooSlow,
        Self::Limited,
    ];

    /// As a WebSocket carries it.
    #[expect(clippy::as_conversions, reason = "the number that it is declared with")]
    pub const fn code(self) -> u16 {
        self as u16
    }

    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_for_one_challenge_of_one_server() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let hello = Hello::signed("book.example", Bytes([7; 32]), 5, &key);
        assert!(hello.is_authentic());
        for changed in [
            Hello { server: "evil.example".into(), ..hello.clone() },
            Hello { nonce: Bytes([8; 32]), ..hello.clone() },
            Hello { time: 6, ..hello.clone() },
            Hello { version: 2, ..hello.clone() },
        ] {
            assert!(!changed.is_authentic(), "{changed:?}");
        }
        let poll = Poll::signed("book.example", 1, 5, POLL_TIME_MAX * 2, &[Say::Here], &key);
        assert!(poll.is_authentic() && poll.wait == 20_000);
        assert!(!Poll { say: "[]".into(), ..poll }.is_authentic());
    }

    #[test]
    fn codes_are_reasons_and_new_messages_are_novel() {
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::from_code(reason as u16), Some(reason));
        }
        assert_eq!(CloseReason::from_code(1006), None);
        let novel = serde_json::from_str::<Hear>(r#"{"type":"relay","address":"x"}"#);
        assert_eq!(novel.expect("novel"), Hear::Novel);
        assert!(serde_json::from_str::<Say>(r#"{"type":"relay"}"#).is_err());
    }
}
