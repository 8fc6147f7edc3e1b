//! Who is told what of a registered name.

use crate::id::PlayerName;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a hidden name begins with. No player's name does: those have a world after an `@`.
pub const HIDDEN_PREFIX: &str = "h1:";

/// What a lookup of the name answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Address and key, to everybody who knows the name.
    Listed,
    /// Nothing, to anybody: an address moves only inside an introduction that the callee's daemon accepts.
    #[default]
    Contacts,
    /// Key and time, to whoever can compute the name; see [`hidden_name`].
    Hidden,
}

impl Visibility {
    /// As it is written in bodies and in what is signed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Contacts => "contacts",
            Self::Hidden => "hidden",
        }
    }
}

/// The name under which only those find `name` who share `secret`: a BLAKE3 hash of it, keyed with the secret. Whoever
/// can guess the secret can guess names, so it should be as good as a key: 16 random bytes, not a word.
pub fn hidden_name(secret: &str, name: &PlayerName) -> String {
    let key = blake3::derive_key("fyteclub hidden player name v1", secret.as_bytes());
    let hash = blake3::keyed_hash(&key, name.as_str().as_bytes());
    format!("{HIDDEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(hash.as_bytes()))
}

/// How one player's name is entered.
#[derive(Clone, PartialEq, Eq)]
pub enum Listing {
    Listed,
    Contacts,
    /// Under a name that only those compute who know the secret.
    Hidden {
        secret: String,
    },
}

impl Listing {
    /// A name as the phone books know it.
    pub fn name_of(&self, player: &PlayerName) -> String {
        match self {
            Self::Listed | Self::Contacts => player.to_string(),
            Self::Hidden { secret } => hidden_name(secret, player),
        }
    }

    pub fn visibility(&self) -> Visibility {
        match self {
            Self::Listed => Visibility::Listed,
            Self::Contacts => Visibility::Contacts,
            Self::Hidden { .. } => Visibility::Hidden,
        }
    }
}

/// Without the secret.
impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.visibility().as_str())
    }
}

/// Whether `name` has the shape that [`hidden_name`] gives: the prefix and 32 bytes in unpadded base64url.
pub fn is_hidden_name(name: &str) -> bool {
    let hash = name.strip_prefix(HIDDEN_PREFIX).and_then(|hash| URL_SAFE_NO_PAD.decode(hash).ok());
    hash.is_some_and(|hash| hash.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_name_depends_on_the_secret_and_shows_nothing() {
        let name: PlayerName = "Alice Ashe@Gilgamesh".parse().expect("a name");
        let hidden = hidden_name("one", &name);
        assert_eq!(hidden, hidden_name("one", &name));
        assert_ne!(hidden, hidden_name("other", &name));
        assert_eq!(hidden.len(), HIDDEN_PREFIX.len() + 43);
        assert!(hidden.parse::<PlayerName>().is_err());
        assert!(crate::id::check_name(&hidden).is_ok());
        assert!(is_hidden_name(&hidden));
        for other in [
            name.as_str(),
            "h1:",
            "h1:AAAA",
            &hidden[3..],
            &format!("{hidden}A"),
            &hidden.replace("h1", "h2"),
        ] {
            assert!(!is_hidden_name(other), "{other}");
        }
    }
}
