//! `/api/live`: messages between client and phone book, JSON of 4 KiB at most.
//!
//! Over a WebSocket each message is one text frame; the phone book sends first, a challenge. Where WebSockets are
//! blocked, the same messages travel by [`Poll`]. Introductions:
//!
//! ```text
//!  caller                     phone book                     callee
//!    Introduce{to, attempt} ──►    ── Introduced{from, attempt} ──►   by its own rule:
//!    ◄── Accepted{from, attempt}       ◄── Accept{to, attempt} / Decline{to, attempt}
//!    ◄────────── Go ─────────────  ─────────── Go ────────►
//!    Candidates{to, attempt} ◄────────────────────────────►  more, for 60 s after the introduction
//! ```
//!
//! An absent, a declining and a silent callee are one answer, [`Hear::Unavailable`], at the same time after the
//! question: [`ANSWER_TIME`].

use crate::{
    bytes::Bytes,
    id::PeerId,
    knock::{Callee, Knock},
    letter::{Attempt, Letter},
    number,
    phonebook::{RelayGrant, RelayRefusal},
    proof::Proof,
    version::PROOF_VERSION,
};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// How long a client counts as present after its last frame.
pub const PRESENCE_LIFE: Duration = Duration::from_secs(75);
/// How often a client sends [`Say::Here`] without another message.
pub const PRESENCE_PERIOD: Duration = Duration::from_secs(25);
/// The callee's time to answer an introduction; then the caller gets [`Hear::Unavailable`]. A long round trip, the
/// callee's daemon and a phone book in between fit twice.
pub const ANSWER_TIME: Duration = Duration::from_millis(1500);
/// How long candidates of an introduction are forwarded.
pub const INTRODUCTION_TIME: Duration = Duration::from_secs(60);
/// A new socket's time to greet.
pub const GREETING_TIME: Duration = Duration::from_secs(5);
/// The longest wait of a poll.
pub const POLL_TIME_MAX: Duration = Duration::from_secs(20);

/// From a client to the phone book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Say {
    /// First over a WebSocket, and never in a poll.
    Hello(Hello),
    /// A sign of life.
    Here,
    /// Forward these candidates to the callee and ask for theirs. Sealed to the callee's key, so a name suffices only
    /// if the key is known as well.
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
    /// Further candidates of either side, after the callee accepted.
    Candidates {
        to: PeerId,
        attempt: Attempt,
        letter: Letter,
    },
    /// Forwarded if the callee is present. The sender is not told.
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
        /// addresses in the letter dialled.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        same_network: bool,
    },
    /// The callee is absent, or not for you.
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
        /// A session at a relay for the two.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        relay: Option<RelayGrant>,
        /// Why there is none, where a limit is the cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        relay_refused: Option<RelayRefusal>,
        /// As in `Accepted`: the callee learns it here.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        same_network: bool,
    },
    Knock {
        to: Callee,
        knock: Knock,
    },
    Note {
        from: PeerId,
        letter: Letter,
    },
    /// The last message exceeded a budget and was dropped; retry after so many seconds.
    Limited {
        attempt: Option<Attempt>,
        retry_after: u64,
    },
    /// The phone book stops; reconnect in so many milliseconds. Every client gets another time.
    Restarting {
        after_ms: u64,
    },
    /// A message that this client does not know.
    #[serde(other)]
    Novel,
}

/// What the phone book sends an accepted client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    pub version: u16,
    /// The client's address as the phone book sees it.
    pub address: IpAddr,
    /// Seconds of [`PRESENCE_LIFE`].
    pub life: u64,
    /// Seconds of [`PRESENCE_PERIOD`].
    pub period: u64,
    /// Absent: the phone book answers no datagrams, or is of an older build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<Udp>,
    /// Milliseconds over which the clients spread their return after a break, because the phone book knows how many
    /// they are. Absent: [`crate::live::RETURN_SPREAD`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_ms: Option<u64>,
}

/// Where a phone book answers datagrams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Udp {
    /// `HOST:PORT`. Absent: host and port of the phone book's URL at the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How many ports answer STUN, that one first: 0, 1, or 2 with the next port.
    #[serde(default)]
    pub stun_ports: u8,
}

/// Host and port of `HOST:PORT`, an IPv6 address in brackets. The host is returned without them.
pub fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|bare| bare.parse::<Ipv6Addr>().is_ok())?,
        None => Some(host).filter(|host| is_host(host))?,
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|port| digits && *port > 0).map(|port| (bare, port))
}

fn is_host(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(is_part)
}

/// The signed greeting: the answer to a challenge of this phone book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    pub version: u16,
    pub public_key: PeerId,
    /// Host and port of the phone book's URL at the client, lower-case, without the scheme's own port. A phone book
    /// that forwards another's challenge cannot change what is signed here.
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

    /// The signed bytes: purpose `live`, then version, key, server, nonce, time.
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

/// `POST /api/live`: the live connection without a WebSocket. Sends messages, and waits until there are some to
/// receive.
///
/// The first poll of a key connects it as a socket would, and closes the key's other socket; [`PRESENCE_LIFE`] after
/// the last poll it is gone. Two polls may be under way at once, so that one can send while another waits; messages go
/// to the newest.
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
    /// The longest delay of the answer in milliseconds, [`POLL_TIME_MAX`] at most.
    pub wait: u64,
    /// A JSON array of [`Say`], as the signed text.
    pub say: String,
    /// 64 bytes in unpadded base64url, over [`Poll::proof`].
    pub signature: String,
}

impl Poll {
    /// # Panics Never: messages of a client are always JSON.
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

    /// The signed bytes: purpose `poll`, then key, server, sequence, time, wait, messages.
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

/// Why the phone book closed a WebSocket (RFC 6455 §7.4.2 leaves 4000–4999 to applications). The frame's text has
/// details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseReason {
    /// RFC 6455's "going away": the phone book stops, see [`Hear::Restarting`].
    Restart = 1001,
    /// Another socket greeted with the same key: two daemons have one identity, or this one reconnected before its old
    /// socket was known to be dead.
    Replaced = 4000,
    /// The greeting's signature, nonce or server is wrong.
    BadHello = 4001,
    /// The clock is off; the text has the difference in milliseconds: `clock_skew:-421000`.
    ClockSkew = 4002,
    /// Not JSON, unknown, too long, or out of order.
    BadMessage = 4003,
    /// No frame within [`PRESENCE_LIFE`], or no greeting within [`GREETING_TIME`].
    Silent = 4004,
    /// It did not read its messages.
    TooSlow = 4005,
    /// Too many sockets, from this address or in all; the text has the seconds: `retry_after:30`.
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
    fn an_older_welcome_has_no_udp() {
        let old = r#"{"version":1,"address":"203.0.113.7","life":75,"period":25}"#;
        let welcome: Welcome = serde_json::from_str(old).expect("a welcome");
        assert_eq!(welcome.udp, None);
        assert_eq!(serde_json::to_string(&welcome).expect("JSON"), old);
        let bare: Udp = serde_json::from_str("{}").expect("all of it is optional");
        assert_eq!(bare, Udp { address: None, stun_ports: 0 });
    }

    #[test]
    fn host_and_port_are_both_required() {
        for (text, host, port) in [
            ("book.example:3478", "book.example", 3478),
            ("192.0.2.7:65535", "192.0.2.7", 65535),
            ("[2001:db8::5]:80", "2001:db8::5", 80),
        ] {
            assert_eq!(host_and_port(text), Some((host, port)), "{text}");
        }
        for bad in [
            "",
            ":",
            ":80",
            "book",
            "book:",
            "book:0",
            "book:65536",
            "book:+5",
            "book:x",
            "2001:db8::5:80",
            "[book]:80",
            "[::1:80",
            "a b:80",
            "a/b:80",
            "http://book:80",
        ] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
        assert_eq!(host_and_port(&format!("{}:80", "a".repeat(254))), None);
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
