//! The player's key, in a file that only its owner can read. Made at first start, never sent anywhere, never replaced.

use crate::io::private;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use fyteclub_proto::id::PeerId;
use hkdf::Hkdf;
use sha2::Sha256;
use std::{
    fs,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// First line of the file; a later format gets another.
const HEAD: &str = "fyteclub identity v1";

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    #[error(
        "{path} can be read by others (mode {mode:o}): run `chmod 600 {path}`, and if others use this machine, make a new identity by moving the file away"
    )]
    ReadableByOthers { path: PathBuf, mode: u32 },
    #[error(
        "{0} is damaged: restore it from a backup, or move it away to start with a new identity that your friends must confirm"
    )]
    Damaged(PathBuf),
    #[error("cannot read or write {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

/// The key with its id. The secret is wiped when dropped.
pub struct Identity {
    key: SigningKey,
}

impl Identity {
    /// Reads the file, or makes it with a fresh key when there is none.
    ///
    /// # Errors
    /// A file that others can read, or that is not whole: nothing is overwritten.
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::Io { path: path.to_owned(), source };
        if let Some(mode) = private::readable_by_others(path).map_err(io)? {
            return Err(IdentityError::ReadableByOthers { path: path.to_owned(), mode });
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                Self::parse(&Zeroizing::new(text)).ok_or_else(|| IdentityError::Damaged(path.to_owned()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut seed = Zeroizing::new([0; 32]);
                getrandom::fill(seed.as_mut_slice()).map_err(|error| io(std::io::Error::other(error)))?;
                let text = Zeroizing::new(format!(
                    "{HEAD}\n{}\n{}\n",
                    URL_SAFE_NO_PAD.encode(seed.as_slice()),
                    checksum(seed.as_slice())
                ));
                private::write(path, text.as_bytes()).map_err(io)?;
                Ok(Self { key: SigningKey::from_bytes(&seed) })
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(IdentityError::Damaged(path.to_owned()))
            }
            Err(error) => Err(io(error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != HEAD {
            return None;
        }
        let seed = Zeroizing::new(URL_SAFE_NO_PAD.decode(lines.next()?).ok()?);
        if lines.next()? != checksum(&seed) {
            return None;
        }
        Some(Self { key: SigningKey::from_bytes(seed.as_slice().try_into().ok()?) })
    }

    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// A secret for another purpose, the same at every start, that tells nothing of the key.
    pub fn derived_secret(&self, purpose: &str) -> [u8; 32] {
        let mut secret = [0; 32];
        Hkdf::<Sha256>::new(None, self.key.as_bytes())
            .expand_multi_info(&[b"fyteclub identity/", purpose.as_bytes()], &mut secret)
            .expect("32 bytes are within HKDF's 255 blocks");
        secret
    }

    pub fn peer_id(&self) -> PeerId {
        PeerId::from_bytes(self.key.verifying_key().to_bytes())
    }
}

/// Not a secret's hash to be kept: only whether the file is whole.
fn checksum(seed: &[u8]) -> String {
    let hash = fyteclub_proto::id::BlobHash::of(seed).hex();
    hash.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_it_and_the_second_finds_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        let made = Identity::load_or_create(&path).expect("made").peer_id();
        assert_eq!(Identity::load_or_create(&path).expect("found").peer_id(), made);
    }

    #[test]
    fn a_damaged_file_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        Identity::load_or_create(&path).expect("made");
        let text = fs::read_to_string(&path).expect("text");
        for damaged in
            ["", "other\n", &text.replace('\n', ""), &text[..text.len() - 5], &text.replace(HEAD, "x")]
        {
            private::write(&path, damaged.as_bytes()).expect("written");
            assert!(matches!(Identity::load_or_create(&path), Err(IdentityError::Damaged(_))), "{damaged:?}");
            assert_eq!(fs::read_to_string(&path).expect("text"), damaged);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        Identity::load_or_create(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        assert!(matches!(
            Identity::load_or_create(&path),
            Err(IdentityError::ReadableByOthers { mode: 0o640, .. })
        ));
    }
}
