//! Who may look a registered name up.

use crate::id::PlayerName;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Prefix of a hidden name. No player's name has it: those have a world after an `@`.
pub const HIDDEN_PREFIX: &str = "h1:";

/// The answer to a lookup of the name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Address and key, to everybody who knows the name.
    Listed,
    /// Nothing: an address is sent only inside an introduction that the callee's daemon accepts.
    #[default]
    Contacts,
    /// Key and time, to everybody who can compute the name; see [`hidden_name`].
    Hidden,
}

impl Visibility {
    /// Its form in bodies and in signed bytes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Contacts => "contacts",
            Self::Hidden => "hidden",
        }
    }
}

/// The name under which only holders of `secret` find `name`: a BLAKE3 hash of it, keyed with the secret. Who can guess
/// the secret can guess names, so it should be 16 random bytes, not a word.
pub fn hidden_name(secret: &str, name: &PlayerName) -> String {
    let key = blake3::derive_key("fyteclub hidden player name v1", secret.as_bytes());
    let hash = blake3::keyed_hash(&key, name.as_str().as_bytes());
    format!("{HIDDEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(hash.as_bytes()))
}

/// How one player's name is registered.
#[derive(Clone, PartialEq, Eq)]
pub enum Listing {
    Listed,
    Contacts,
    /// Under a name that only holders of the secret can compute.
    Hidden {
        secret: String,
    },
}

impl Listing {
    /// The name at the phone books.
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

/// Whether `name` has the form of a [`hidden_name`]: the prefix and 32 bytes in unpadded base64url.
pub fn is_hidden_name(name: &str) -> bool {
    let hash = name.strip_prefix(HIDDEN_PREFIX).and_then(|hash| URL_SAFE_NO_PAD.decode(hash).ok());
    hash.is_some_and(|hash| hash.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_name_depends_on_the_secret() {
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
