//! Game paths: their only form on the wire, and what is refused.
//!
//! A game path names a file inside the game's archives (`chara/…/x.tex`). It is never opened on a disk, yet it obeys a
//! disk's rules, because people unpack looks into folders.

use crate::limit::GAME_PATH_BYTES_MAX;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{fmt, str::FromStr};

/// The kinds of files that the game loads by path, and that may be shared. Senders leave out all others (`.exe`,
/// `.dll`, `.dds`, …), and receivers refuse them.
pub const EXTENSIONS: [&str; 14] =
    ["atex", "avfx", "eid", "mdl", "mtrl", "pap", "pbd", "phyb", "scd", "shpk", "skp", "sklb", "tex", "tmb"];

/// The lower-cased extension of a path's last component, if it is one of [`EXTENSIONS`].
pub fn known_extension(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit(['/', '\\']).next()?.rsplit_once('.')?;
    EXTENSIONS.into_iter().find(|known| extension.eq_ignore_ascii_case(known))
}

/// Why a text is not a game path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GamePathError {
    #[error("a game path has 1 to {GAME_PATH_BYTES_MAX} bytes")]
    Length,
    #[error("a game path is relative and has no empty, `.` or `..` parts")]
    Parts,
    #[error("a game path has no drive, device name, control character or any of : * ? \" < > |")]
    Characters,
    #[error("the game loads no file with this ending by path")]
    Extension,
}

/// Lower-case, `/`-separated, at most 260 bytes, ending in one of the game's own extensions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GamePath(String);

impl GamePath {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn extension(&self) -> &'static str {
        known_extension(&self.0).expect("checked when it was made")
    }

    /// Accepts only the wire's form, without corrections.
    pub fn exact(text: &str) -> Result<Self, GamePathError> {
        let path: Self = text.parse()?;
        if path.0 == text { Ok(path) } else { Err(GamePathError::Characters) }
    }
}

/// Windows' device names, with or without an extension.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end();
    matches!(stem, "con" | "prn" | "aux" | "nul" | "conin$" | "conout$")
        || (stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"))).is_some_and(|n| {
            matches!(n, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
}

impl FromStr for GamePath {
    type Err = GamePathError;

    /// Converts paths of mods (upper case, back-slashes) to the wire's form.
    fn from_str(text: &str) -> Result<Self, GamePathError> {
        if text.is_empty() || text.len() > GAME_PATH_BYTES_MAX {
            return Err(GamePathError::Length);
        }
        let path = text.replace('\\', "/").to_lowercase();
        if path.len() > GAME_PATH_BYTES_MAX {
            return Err(GamePathError::Length);
        }
        if path.chars().any(|c| c.is_control() || ":*?\"<>|".contains(c)) {
            return Err(GamePathError::Characters);
        }
        for part in path.split('/') {
            if part.is_empty() || part.ends_with(['.', ' ']) || part.starts_with(' ') {
                return Err(GamePathError::Parts);
            }
            if is_device(part) {
                return Err(GamePathError::Characters);
            }
        }
        if known_extension(&path).is_none() {
            return Err(GamePathError::Extension);
        }
        Ok(Self(path))
    }
}

impl fmt::Display for GamePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GamePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for GamePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GamePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::exact(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mods_get_one_form() {
        let path: GamePath = "Chara\\Human\\C0101\\obj.TEX".parse().expect("a game path");
        assert_eq!(path.as_str(), "chara/human/c0101/obj.tex");
        assert_eq!(path.extension(), "tex");
        assert!(GamePath::exact("Chara/a.tex").is_err(), "a wire is not corrected");
        assert!("chara/été/ü b'+&,-{}.mdl".parse::<GamePath>().is_ok());
    }

    #[test]
    fn paths_out_of_a_folder_and_devices_are_refused() {
        use GamePathError::*;
        for (text, error) in [
            ("", Length),
            ("../a.tex", Parts),
            ("a/../b.tex", Parts),
            ("/etc/a.tex", Parts),
            ("a//b.tex", Parts),
            ("a/./b.tex", Parts),
            ("a /b.tex", Parts),
            ("c:/a.tex", Characters),
            ("a/nul.tex", Characters),
            ("a/COM1.tex", Characters),
            ("a/con /b.tex", Parts),
            ("a\u{0}.tex", Characters),
            ("a|b.tex", Characters),
            ("a/b.exe", Extension),
            ("a/tex", Extension),
        ] {
            assert_eq!(text.parse::<GamePath>(), Err(error), "{text:?}");
        }
        assert_eq!(format!("{}.tex", "a".repeat(300)).parse::<GamePath>(), Err(Length));
    }
}
