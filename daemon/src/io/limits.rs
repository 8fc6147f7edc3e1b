//! The file of limits that were set while the daemon ran. It holds only those, and wins over the configuration.

use crate::io::{
    keeper::{Keeper, Keeping},
    trouble::{Trouble, explain_state},
};
use fyteclub_proto::fetching::pace::{Change, Limits};
use std::{
    fs, io,
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
    /// As the file says.
    set: Change,
    /// As it will say, once what was asked for last is written.
    wished: Change,
}

impl LimitsFile {
    /// `configured` holds where the file says nothing; there need not be one.
    ///
    /// # Errors
    /// A file that cannot be read, or says what is no limit.
    pub fn load(path: &Path, configured: Limits, keeper: Keeper) -> Result<Self, LimitsFileError> {
        let set = match fs::read(path) {
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

    /// What wins over the configuration.
    pub fn set_here(&self) -> Change {
        self.set
    }

    /// Has the file say this change too. It holds when it is safe: hand what this returns to [`LimitsFile::kept`] then.
    pub fn change(&mut self, change: Change) -> (Change, Keeping) {
        self.wished = change.after(self.wished);
        (self.wished, self.keeper.write_json(&self.path, &self.wished))
    }

    /// Back to the configuration; as [`LimitsFile::change`].
    pub fn reset(&mut self) -> (Change, Keeping) {
        self.wished = Change::default();
        (self.wished, self.keeper.remove(&self.path))
    }

    /// The file says this now.
    pub fn kept(&mut self, set: Change) {
        self.set = set;
    }

    /// It could not be written: what comes next builds on what the file says. Nothing, where something newer was asked
    /// for meanwhile.
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

    async fn change(file: &mut LimitsFile, change: Change) {
        let (set, keeping) = file.change(change);
        keeping.await.expect("written");
        file.kept(set);
    }

    #[tokio::test]
    async fn what_was_set_wins_until_it_is_reset() {
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
        // Another configuration counts where nothing was set.
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
    async fn what_cannot_be_written_does_not_hold() {
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
    fn a_damaged_file_is_told_and_not_taken_for_unlimited() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("limits.json");
        for bytes in ["", "{", r#"{"upload":5}"#] {
            fs::write(&path, bytes).expect("written");
            let error = LimitsFile::load(&path, Limits::default(), Keeper::default()).err().expect("damaged");
            assert!(error.to_string().contains("remove it"), "{error}");
        }
    }
}
