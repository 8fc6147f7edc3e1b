//! The file of limits that were set while the daemon ran. It has only those, and overrides the configuration.

use crate::io::{
    keeper::{Keeper, Keeping},
    regular,
    trouble::{Trouble, explain_state},
};
use fyteclub_proto::fetching::pace::{Change, Limits};
use std::{
    io,
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsFileError {
    #[error("{path} is damaged ({cause}): remove it to have the limits of the configuration again")]
    Damaged { path: PathBuf, cause: serde_json::Error },
    #[error(transparent)]
    Unusable(Trouble),
}

pub struct LimitsFile {
    path: PathBuf,
    keeper: Keeper,
    configured: Limits,
    /// The file's content.
    set: Change,
    /// Its content once the last request is written.
    wished: Change,
}

impl LimitsFile {
    /// `configured` applies where the file has no limit; the file may be absent.
    ///
    /// # Errors
    /// The file cannot be read, or a limit in it is invalid.
    pub fn load(path: &Path, configured: Limits, keeper: Keeper) -> Result<Self, LimitsFileError> {
        let set = match regular::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|cause| LimitsFileError::Damaged { path: path.to_owned(), cause })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Change::default(),
            Err(error) => return Err(LimitsFileError::Unusable(explain_state(path, &error))),
        };
        Ok(Self { path: path.to_owned(), keeper, configured, set, wished: set })
    }

    pub fn limits(&self) -> Limits {
        self.set.over(self.configured)
    }

    /// The limits that override the configuration.
    pub fn set_here(&self) -> Change {
        self.set
    }

    /// Adds this change to the file. It takes effect once it is safe: pass the returned change to [`LimitsFile::kept`]
    /// then.
    pub fn change(&mut self, change: Change) -> (Change, Keeping) {
        self.wished = change.after(self.wished);
        (self.wished, self.keeper.write_json(&self.path, &self.wished))
    }

    /// Back to the configuration; otherwise as [`LimitsFile::change`].
    pub fn reset(&mut self) -> (Change, Keeping) {
        self.wished = Change::default();
        (self.wished, self.keeper.remove(&self.path))
    }

    /// The file has this change now.
    pub fn kept(&mut self, set: Change) {
        self.set = set;
    }

    /// The write failed: the next change builds on the file's content. Ignored if a newer change was requested
    /// meanwhile.
    pub fn lost(&mut self, wished: Change) {
        if self.wished == wished {
            self.wished = self.set;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::fetching::pace::Rate;
    use std::fs;

    async fn change(file: &mut LimitsFile, change: Change) {
        let (set, keeping) = file.change(change);
        keeping.await.expect("written");
        file.kept(set);
    }

    #[tokio::test]
    async fn set_limits_override_until_reset() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("limits.json");
        let load = |configured| LimitsFile::load(&path, configured, Keeper::default()).expect("read");
        let rate = |bytes: u64| Rate::try_from(bytes).ok();
        let configured = Limits { upload: rate(50_000), download: rate(60_000), ..Limits::default() };
        let mut file = load(configured);
        assert_eq!((file.limits(), file.set_here().is_empty()), (configured, true));
        change(&mut file, Change { upload: Some(None), ..Change::default() }).await;
        change(&mut file, Change { lan: Some(false), ..Change::default() }).await;
        let set = Limits { upload: None, lan: false, ..configured };
        assert_eq!(file.limits(), set);
        // Another configuration applies where no limit was set.
        let other = Limits { download: rate(70_000), ..configured };
        let mut again = load(other);
        assert_eq!(again.limits(), Limits { download: rate(70_000), ..set });
        for _ in 0..2 {
            let (set, keeping) = again.reset();
            keeping.await.expect("removed, or nothing to remove");
            again.kept(set);
        }
        assert_eq!(again.limits(), other);
        assert_eq!(load(configured).limits(), configured);
    }

    #[tokio::test]
    async fn unwritten_change_has_no_effect() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("no/limits.json");
        let mut file = LimitsFile::load(&path, Limits::default(), Keeper::default()).expect("no file");
        let (first, keeping) = file.change(Change { lan: Some(false), ..Change::default() });
        keeping.await.expect_err("there is no such folder");
        file.lost(first);
        fs::create_dir(dir.path().join("no")).expect("made");
        change(&mut file, Change { upload: Some(None), ..Change::default() }).await;
        assert_eq!(file.set_here(), Change { upload: Some(None), ..Change::default() });
    }

    #[test]
    fn damaged_limits_are_an_error_and_not_unlimited() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("limits.json");
        for bytes in ["", "{", r#"{"upload":5}"#] {
            fs::write(&path, bytes).expect("written");
            let error = LimitsFile::load(&path, Limits::default(), Keeper::default()).err().expect("damaged");
            assert!(error.to_string().contains("remove it"), "{error}");
        }
    }
}
