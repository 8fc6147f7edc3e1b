//! Why a link ended or did not begin, as a person reads it, and whether another try makes sense.

use fyteclub_proto::{
    foreign::Foreign,
    peer::{
        CloseCode,
        close::{Consequence, Fault},
    },
    reaching::paths::Failure,
};
use quinn::ConnectionError;

/// Why this end closed a link, as a person reads it, and whether another try makes sense.
pub(super) fn blame(code: CloseCode) -> Failure {
    let Consequence { fault, retry, .. } = code.consequence();
    let cause = match (fault, code) {
        (_, CloseCode::Silent) => "their daemon accepts the link and then sends nothing",
        (Fault::Theirs, CloseCode::Refused | CloseCode::NameTaken) => {
            "they are refused here: you have to add or accept them, unless they broke the protocol, which is forgiven after a minute"
        }
        (Fault::Theirs, _) => "their daemon does not keep to the protocol; update both daemons",
        // Both sides give the same reason: incompatible programs, or a duplicate link.
        _ => code.explain(),
    };
    Failure::new(cause, retry)
}

/// Why a connection ended, as a person reads it, and whether another try makes sense.
pub(super) fn explain(error: &ConnectionError) -> Failure {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            match CloseCode::from_number(close.error_code.into_inner()) {
                // The link that stays may not have greeted yet: it has the pause before the next try for that.
                Some(code @ CloseCode::Duplicate) => Failure::new(code.explain(), true),
                Some(code) => Failure::new(code.explain(), code.consequence().retry),
                None => Failure::new(
                    "the other side ended the link for a reason that this program does not know",
                    false,
                ),
            }
        }
        ConnectionError::TimedOut => Failure::no_answer(),
        ConnectionError::TransportError(error) if u64::from(error.code) & !0xff == 0x100 => {
            Failure::new("the program at their address does not have their key", false)
        }
        ConnectionError::Reset => Failure::new("the other side restarted", true),
        ConnectionError::LocallyClosed => Failure::new("the link was closed here", true),
        ConnectionError::VersionMismatch => Failure::new(CloseCode::Version.explain(), false),
        ConnectionError::ConnectionClosed(close) => {
            let reason = Foreign::of_bytes(&close.reason);
            Failure::new(format!("the other side ended the connection: {reason}"), true)
        }
        other => Failure::new(Foreign::new(&other.to_string()).to_string(), true),
    }
}
