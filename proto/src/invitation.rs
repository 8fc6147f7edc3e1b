//! Invitation links: `fyteclub://join/…`, by which two players become contacts without trusting a phone book.
//!
//! A link has the inviter's name, key, phone books and a one-time secret. Its user sends the secret to that key, sealed
//! ([`crate::knock::Note::Join`]), and both are contacts. Anybody who sees the link before can use it instead; so it is
//! sent over a trusted channel, works once, and for a day.

use crate::{
    bytes::Bytes,
    id::{IdError, PeerId, PlayerName},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// How long an invitation is valid.
pub const INVITATION_TIME: Duration = Duration::from_secs(24 * 3600);
const PREFIX: &str = "fyteclub://join/";
/// Longest link: a name, a key, a secret and phone books.
pub const LINK_BYTES_MAX: usize = 2048;
/// Most phone books in one link, and the longest of them in bytes.
pub const LINK_BOOKS_MAX: usize = 4;
pub const BOOK_BYTES_MAX: usize = 256;

/// Parsed from a link or made for one. The text form is versioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub player: PlayerName,
    pub peer_id: PeerId,
    /// Allows one join.
    pub secret: Bytes<16>,
    /// URLs of the inviter's phone books.
    pub phonebooks: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationError {
    #[error("an invitation begins with `{PREFIX}`")]
    NoLink,
    #[error("this invitation is damaged: copy the whole link")]
    Damaged,
    #[error("this invitation is from a newer FyteClub: update to use it")]
    Newer,
    #[error(transparent)]
    Name(#[from] IdError),
}

/// The JSON inside the base64url.
#[derive(Serialize, Deserialize)]
struct Content {
    v: u16,
    name: String,
    key: PeerId,
    secret: Bytes<16>,
    books: Vec<String>,
    /// The first four bytes of the BLAKE3 hash of the rest, to detect a truncated link.
    check: Bytes<4>,
}

impl Content {
    fn checksum(&self) -> Bytes<4> {
        let mut hash = blake3::Hasher::new();
        hash.update(self.name.as_bytes()).update(self.key.as_bytes()).update(self.secret.as_slice());
        for book in &self.books {
            hash.update(&[0]).update(book.as_bytes());
        }
        let hash = hash.finalize();
        let bytes = hash.as_bytes();
        Bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut content = Content {
            v: 1,
            name: self.player.to_string(),
            key: self.peer_id,
            secret: self.secret,
            books: self.phonebooks.iter().take(LINK_BOOKS_MAX).cloned().collect(),
            check: Bytes([0; 4]),
        };
        content.check = content.checksum();
        let json = serde_json::to_vec(&content).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(InvitationError::NoLink)?;
        if encoded.len() > LINK_BYTES_MAX {
            return Err(InvitationError::Damaged);
        }
        let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvitationError::Damaged)?;
        #[derive(Deserialize)]
        struct Version {
            v: u16,
        }
        let version = serde_json::from_slice::<Version>(&json).map_err(|_| InvitationError::Damaged)?;
        if version.v != 1 {
            return Err(InvitationError::Newer);
        }
        let content = serde_json::from_slice::<Content>(&json).map_err(|_| InvitationError::Damaged)?;
        let books_fit = content.books.len() <= LINK_BOOKS_MAX
            && content.books.iter().all(|book| book.len() <= BOOK_BYTES_MAX);
        if content.check != content.checksum() || !books_fit {
            return Err(InvitationError::Damaged);
        }
        let Content { name, key, secret, books, .. } = content;
        Ok(Self { player: name.parse()?, peer_id: key, secret, phonebooks: books })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            player: "Alice Ashe@Gilgamesh".parse().expect("a name"),
            peer_id: PeerId::from_bytes([7; 32]),
            secret: Bytes([9; 16]),
            phonebooks: vec!["https://book.example".into()],
        }
    }

    #[test]
    fn a_link_reads_back() {
        let link = invitation().to_string();
        assert!(link.starts_with("fyteclub://join/") && link.len() < 400, "{link}");
        assert_eq!(format!(" {link}\n").parse(), Ok(invitation()));
    }

    #[test]
    fn incomplete_link_is_an_error() {
        let link = invitation().to_string();
        assert_eq!("https://x".parse::<Invitation>(), Err(InvitationError::NoLink));
        for cut in [PREFIX.len(), link.len() / 2, link.len() - 1] {
            assert_eq!(link[..cut].parse::<Invitation>(), Err(InvitationError::Damaged), "{cut}");
        }
        let json = br#"{"v":2,"other":true}"#;
        let newer = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json));
        assert_eq!(newer.parse::<Invitation>(), Err(InvitationError::Newer));
        let json = URL_SAFE_NO_PAD.decode(&link[PREFIX.len()..]).expect("our own link");
        let other = String::from_utf8(json).expect("JSON").replace("Alice", "Alise");
        let other = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(other));
        assert_eq!(other.parse::<Invitation>(), Err(InvitationError::Damaged));
    }
}
