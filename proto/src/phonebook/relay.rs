//! What a phone book tells both ends of an introduction about a relay.

use crate::reaching::wire::relay::{Leg, Limit, Token};
use serde::{Deserialize, Serialize};

/// The receiver's end of a session between the two. Both get one of the same session, each its own leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayGrant {
    pub leg: Leg,
    pub token: Token,
    /// The relay takes frames over UDP, at `address`.
    #[serde(default)]
    pub udp: bool,
    /// It takes them over a WebSocket, at `/api/relay` of this phone book's URL.
    #[serde(default)]
    pub tcp: bool,
    /// `HOST:PORT`. Absent: host and port of the phone book's URL at the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// No session was opened, because of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayRefusal {
    pub limit: Limit,
    /// Seconds.
    pub retry_after: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_never_shows_its_token() {
        let grant =
            RelayGrant { leg: Leg(1), token: Token::new([7; 32]), udp: true, tcp: true, address: None };
        assert!(format!("{grant:?}").contains("token: Token,"), "{grant:?}");
        let text = serde_json::to_string(&grant).expect("JSON");
        assert_eq!(serde_json::from_str::<RelayGrant>(&text).expect("a grant"), grant);
        assert!(serde_json::from_str::<RelayGrant>(&text.replace("AAAAAAAAAAE", "AAAA")).is_err());
    }
}
