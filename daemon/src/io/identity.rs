//! The player's key, in a file that only its owner can read. Created at the first start or on request, never sent, and
//! replaced only by [`Identity::rotate`], which saves the old key's signature for the new one in the file.

use crate::io::{
    private, regular,
    trouble::{Trouble, explain_state, of_another},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use fyteclub_proto::{id::PeerId, limit::KEY_CHANGES_MAX, phonebook::KeyChange};
use hkdf::Hkdf;
use sha2::Sha256;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// First line of the file; a later format gets another.
const HEAD: &str = "fyteclub identity v1";

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    #[error(
        "{path} can be read by others (mode {mode:o}): run `chmod 600 {path}`, and if others use this machine, replace the key with `fyteclubd rotate-key`"
    )]
    ReadableByOthers { path: PathBuf, mode: u32 },
    #[error(
        "{0} is damaged: put it back from a backup, or move it away and start once with --new-identity; your contacts must confirm the new key"
    )]
    Damaged(PathBuf),
    #[error(
        "{path} is missing, and it is the key of {owned} beside it: put it back from a backup, or start once with --new-identity; your contacts must confirm the new key"
    )]
    Missing { path: PathBuf, owned: &'static str },
    #[error("{0} is missing, so there is no key to replace: put it back from a backup")]
    NoKey(PathBuf),
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
    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    /// Others can read the file, or it is damaged, or no file.
    pub fn load(path: &Path) -> Result<Option<Self>, IdentityError> {
        let unusable = |error| IdentityError::Unusable(explain_state(path, &error));
        let others_can_read = |mode| match of_another(path.parent().unwrap_or(path), path) {
            Some(trouble) => IdentityError::Unusable(trouble),
            None => IdentityError::ReadableByOthers { path: path.to_owned(), mode },
        };
        let mut file = match regular::open(path, File::options().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(error)),
        };
        let found = file.metadata().map_err(unusable)?;
        if let Some(mode) = private::readable_by_others(&found) {
            return Err(others_can_read(mode));
        }
        let mut text = Zeroizing::new(String::new());
        match file.read_to_string(&mut text) {
            Ok(_) => Self::parse(&text).map(Some).ok_or_else(|| IdentityError::Damaged(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(IdentityError::Damaged(path.to_owned()))
            }
            Err(error) => Err(unusable(error)),
        }
    }

    /// Makes a new key and writes the file. The caller has seen that there is none.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Self, IdentityError> {
        let unusable = |error| IdentityError::Unusable(explain_state(path, &error));
        let identity = Self { key: fresh_key().map_err(unusable)?, changes: Vec::new() };
        identity.write(path).map_err(unusable)?;
        Ok(identity)
    }

    /// Reads the file, or creates it with a new key when there is none.
    ///
    /// # Errors
    /// As [`Identity::load`] and [`Identity::create`]: nothing is overwritten.
    #[cfg(test)]
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        Self::load(path)?.map_or_else(|| Self::create(path), Ok)
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

    fn write(&self, path: &Path) -> io::Result<()> {
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

fn fresh_key() -> io::Result<SigningKey> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(io::Error::other)?;
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
    use std::fs;

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
