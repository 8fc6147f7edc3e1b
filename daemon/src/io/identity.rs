//! The player's key, in a file that only its owner can read. Created at the first start, never sent, and replaced only
//! by [`Identity::rotate`], which saves the old key's signature for the new one in the file.

use crate::io::{
    private,
    trouble::{Trouble, explain_state, of_another},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use fyteclub_proto::{id::PeerId, limit::KEY_CHANGES_MAX, phonebook::KeyChange};
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
    #[error(transparent)]
    Unusable(Trouble),
}

/// The key with its id, and the former keys' signatures. The secret is wiped when dropped.
pub struct Identity {
    key: SigningKey,
    /// Oldest first; the last one leads to this key.
    changes: Vec<KeyChange>,
}

impl Identity {
    /// Reads the file, or creates it with a new key when there is none.
    ///
    /// # Errors
    /// Others can read the file, or it is damaged: nothing is overwritten.
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        let unusable = |error| IdentityError::Unusable(explain_state(path, &error));
        if path.is_dir() {
            return Err(unusable(std::io::ErrorKind::IsADirectory.into()));
        }
        if let Some(mode) = private::readable_by_others(path).map_err(unusable)? {
            return Err(match of_another(path.parent().unwrap_or(path), path) {
                Some(trouble) => IdentityError::Unusable(trouble),
                None => IdentityError::ReadableByOthers { path: path.to_owned(), mode },
            });
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                Self::parse(&Zeroizing::new(text)).ok_or_else(|| IdentityError::Damaged(path.to_owned()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let identity = Self { key: fresh_key().map_err(unusable)?, changes: Vec::new() };
                identity.write(path).map_err(unusable)?;
                Ok(identity)
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(IdentityError::Damaged(path.to_owned()))
            }
            Err(error) => Err(unusable(error)),
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
        let key = SigningKey::from_bytes(seed.as_slice().try_into().ok()?);
        let changes = lines.map(|line| serde_json::from_str::<KeyChange>(line).ok());
        let changes = changes.collect::<Option<Vec<_>>>()?;
        let leads_here = changes.last().is_none_or(|change| change.to == PeerId::of(&key));
        (leads_here && changes.iter().all(KeyChange::is_authentic)).then_some(Self { key, changes })
    }

    fn write(&self, path: &Path) -> std::io::Result<()> {
        let seed = self.key.as_bytes();
        let mut text =
            Zeroizing::new(format!("{HEAD}\n{}\n{}\n", URL_SAFE_NO_PAD.encode(seed), checksum(seed)));
        for change in &self.changes {
            text.push_str(&serde_json::to_string(change).unwrap_or_default());
            text.push('\n');
        }
        private::write(path, text.as_bytes())
    }

    /// Makes a new key that follows this one, and replaces the file at once: after a crash it has one of the two.
    ///
    /// # Errors
    /// The file cannot be written; it still has the old key.
    pub fn rotate(self, path: &Path) -> Result<Self, IdentityError> {
        let unusable = |error| IdentityError::Unusable(explain_state(path, &error));
        let key = fresh_key().map_err(unusable)?;
        let mut changes = self.changes;
        changes.push(KeyChange::signed(&self.key, &key));
        let forgotten = changes.len().saturating_sub(KEY_CHANGES_MAX);
        changes.drain(..forgotten);
        let next = Self { key, changes };
        next.write(path).map_err(unusable)?;
        Ok(next)
    }

    /// From older keys to this one, oldest first.
    pub fn changes(&self) -> &[KeyChange] {
        &self.changes
    }

    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// A secret for another purpose, the same at every start, that reveals nothing of the key.
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

fn fresh_key() -> std::io::Result<SigningKey> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(std::io::Error::other)?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Only to check that the file is whole.
fn checksum(seed: &[u8]) -> String {
    let hash = fyteclub_proto::id::BlobHash::of(seed).hex();
    hash.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_start_creates_the_key_and_second_reads_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        let made = Identity::load_or_create(&path).expect("made").peer_id();
        assert_eq!(Identity::load_or_create(&path).expect("found").peer_id(), made);
    }

    #[test]
    fn new_key_has_the_old_keys_signature() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        let mut ids = vec![Identity::load_or_create(&path).expect("made").peer_id()];
        for _ in 0..KEY_CHANGES_MAX + 2 {
            let identity = Identity::load_or_create(&path).expect("found");
            ids.push(identity.rotate(&path).expect("rotated").peer_id());
        }
        let identity = Identity::load_or_create(&path).expect("found");
        assert_eq!(Some(&identity.peer_id()), ids.last());
        let told: Vec<PeerId> = identity.changes().iter().map(|change| change.from).collect();
        assert_eq!(told, ids[ids.len() - 1 - KEY_CHANGES_MAX..ids.len() - 1]);
    }

    #[test]
    fn damaged_identity_is_never_replaced() {
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
    fn identity_that_others_can_read_is_refused() {
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
