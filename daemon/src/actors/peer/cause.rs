//! Why a link ended or did not begin, in words for a person, and whether another try makes sense.

use fyteclub_proto::{
    foreign::Foreign,
    peer::{
        CloseCode,
        close::{Consequence, Fault},
    },
};
use quinn::ConnectionError;

pub(super) const NO_ANSWER: &str =
    "nobody answers at their address: their daemon may be off, or their router lets nobody in";

/// Why this end closed a link, in words for a person, and whether another try makes sense.
pub(super) fn blame(code: CloseCode) -> (String, bool) {
    let Consequence { fault, retry, .. } = code.consequence();
    let cause = match (fault, code) {
        (_, CloseCode::Silent) => "their daemon takes the link and then says nothing",
        (Fault::Theirs, CloseCode::Refused | CloseCode::NameTaken) => {
            "they are not listened to here: they are no contact, or broke the protocol"
        }
        (Fault::Theirs, _) => "their daemon does not keep to the protocol; update both daemons",
        // The two programs are too far apart, or two links were one too many: the same from both sides.
        _ => code.explain(),
    };
    (cause.into(), retry)
}

/// Why a connection ended, in words for a person, and whether another try makes sense.
pub(super) fn explain(error: &ConnectionError) -> (String, bool) {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            match CloseCode::from_number(close.error_code.into_inner()) {
                // The link that stays may not have greeted us yet: the pause before the next try is its time to.
                Some(code @ CloseCode::Duplicate) => (code.explain().into(), true),
                Some(code) => (code.explain().into(), code.consequence().retry),
                None => (
                    "the other side ended the link for a reason that this program is too old to know".into(),
                    false,
                ),
            }
        }
        ConnectionError::TimedOut => (NO_ANSWER.into(), true),
        ConnectionError::TransportError(error) if u64::from(error.code) & !0xff == 0x100 => {
            ("whoever answers at their address does not have their key".into(), false)
        }
        ConnectionError::Reset => ("the other side restarted".into(), true),
        ConnectionError::LocallyClosed => ("the link was closed here".into(), true),
        ConnectionError::VersionMismatch => (CloseCode::Version.explain().into(), false),
        ConnectionError::ConnectionClosed(close) => {
            (format!("the other side ended the connection: {}", Foreign::of_bytes(&close.reason)), true)
        }
        other => (Foreign::new(&other.to_string()).to_string(), true),
    }
}
