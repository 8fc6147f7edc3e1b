//! The player in question.

use super::facts::{Findings, PeerFacts};
use crate::{
    local::reply::{FindingCode, PathKind, PeerState, Severity, Standing, Sureness},
    reaching::traversal::{RelayUse, UNTOLD},
};
use FindingCode::*;
use Severity::{Blocks, Note};
use Sureness::Certain;

/// Whether this machine's network matters.
pub(super) fn examine(peer: &PeerFacts<'_>, found: &mut Findings) -> bool {
    let who = peer.who;
    let quoted = format!("\"{who}\"");
    match peer.contact.map(|contact| contact.standing) {
        Some(Standing::Paired | Standing::Unknown) => return link(peer, found),
        // One added by key may be linked before the answer.
        Some(Standing::Requested) if peer.link.is_some() => return link(peer, found),
        None => found.add(
            PeerUnknown,
            Blocks,
            Certain,
            format!("{who} is no contact of yours"),
            Some(format!("`fyteclubctl contacts add {quoted}` asks them. Check that the name is written as in the game.")),
        ),
        Some(Standing::Asking) => found.add(
            PeerAsking,
            Blocks,
            Certain,
            format!("{who} asks you, and waits for your answer"),
            Some(format!("`fyteclubctl contacts accept {quoted}` makes them a contact.")),
        ),
        Some(Standing::Blocked) => found.add(
            PeerBlocked,
            Blocks,
            Certain,
            format!("{who} is blocked by you"),
            Some(format!("`fyteclubctl contacts unblock {quoted}`, then `contacts add`.")),
        ),
        Some(Standing::Requested) => {
            found.add(
                PeerRequested,
                Blocks,
                Certain,
                format!("{who} was asked by you, and has not answered"),
                Some("Tell them to look at `fyteclubctl contacts list` and to accept you.".to_owned()),
            );
            return true;
        }
    }
    false
}

fn link(peer: &PeerFacts<'_>, found: &mut Findings) -> bool {
    let who = peer.who;
    let state = peer.link.map(|link| link.state);
    let cause = peer.link.and_then(|link| link.cause.as_deref());
    match (state, cause) {
        (Some(PeerState::Connected), _) => {
            let path = peer.link.and_then(|link| link.path);
            if let Some(PathKind::Relay | PathKind::RelayTcp) = path {
                return relayed(who, path == Some(PathKind::RelayTcp), peer, found);
            }
            found.add(PeerConnected, Note, Certain, connected(who, path), None);
            return false;
        }
        (Some(PeerState::FailingOver), _) => found.add(
            PeerNotReached,
            Blocks,
            Certain,
            format!("no path to {who} works at the moment, and the link waits for another"),
            Some("Have them run `fyteclubctl doctor`, too: the cause may be at their end.".to_owned()),
        ),
        (Some(PeerState::Connecting | PeerState::Authenticating | PeerState::Reconnecting), cause) => {
            let before = cause.map(|cause| format!("; before that: {cause}")).unwrap_or_default();
            found.add(PeerConnecting, Note, Certain, format!("{who} is being dialled{before}"), None);
        }
        (_, _) if peer.is_offline => found.add(
            PeerOffline,
            Blocks,
            Sureness::Likely,
            format!("{who} is not online, or is hidden from you"),
            Some("Ask whether their fyteclubd runs, with a phone book that you use, too.".to_owned()),
        ),
        (_, Some(cause)) => found.add(
            PeerNotReached,
            Blocks,
            Certain,
            format!("{who} is not connected: {cause}"),
            Some("Have them run `fyteclubctl doctor`, too: the cause may be at their end.".to_owned()),
        ),
        (_, None) => found.add(
            PeerNotTried,
            Note,
            Certain,
            format!("{who} is not connected, and was not dialled since this daemon started"),
            Some(format!("`fyteclubctl fetch \"{who}\"` dials them.")),
        ),
    }
    true
}

/// Whether this machine's network matters.
fn relayed(who: &str, is_tcp: bool, peer: &PeerFacts<'_>, found: &mut Findings) -> bool {
    let kind = if is_tcp { "a relay over TCP" } else { "a relay" };
    let is_set = peer.contact.is_some_and(|contact| contact.relay == Some(RelayUse::Only));
    let (why, matters) = if is_set {
        ("`contacts set` allows only relays towards them", false)
    } else if peer.means.relay_only() {
        ("the setting relay = \"only\" asks for it", false)
    } else if is_tcp {
        ("neither a direct way nor UDP to the relay works at present", true)
    } else {
        match peer.link.and_then(|link| link.why_relayed.as_deref()) {
            // Whatever is mended here, they tell no address.
            Some(UNTOLD) => (UNTOLD, false),
            Some(why) => (why, true),
            None => ("no direct way works at present", true),
        }
    };
    found.add(PeerRelayed, Note, Certain, format!("{who} is connected through {kind}: {why}"), None);
    matters
}

fn connected(who: &str, path: Option<PathKind>) -> String {
    let how = match path {
        Some(PathKind::Loopback) => " on this machine",
        Some(PathKind::Lan) => " in the local network",
        Some(PathKind::Direct) => " directly",
        Some(PathKind::Mapped) => " directly, by a port that their router forwards",
        Some(PathKind::Punched) => " directly, by hole punching",
        Some(PathKind::Relay | PathKind::RelayTcp | PathKind::Unknown) | None => "",
    };
    format!("{who} is connected{how}")
}
