//! The file of limits that were set while the daemon ran. It holds only those, and wins over the configuration.

use crate::io::private;
use fyteclub_proto::pace::{Change, Limits};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsFileError {
    #[error("{path} is damaged ({cause}): remove it to have the limits of the configuration again")]
    Damaged { path: PathBuf, cause: serde_json::Error },
    #[error("cannot read or write {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

#[derive(Debug)]
pub struct LimitsFile {
    path: PathBuf,
    configured: Limits,
    set: Change,
}

impl LimitsFile {
    /// `configured` holds where the file says nothing; there need not be one.
    ///
    /// # Errors
    /// A file that cannot be read, or says what is no limit.
    pub fn load(path: &Path, configured: Limits) -> Result<Self, LimitsFileError> {
        let set = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|cause| LimitsFileError::Damaged { path: path.to_owned(), cause })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Change::default(),
            Err(source) => return Err(LimitsFileError::Io { path: path.to_owned(), source }),
        };
        Ok(Self { path: path.to_owned(), configured, set })
    }

    pub fn limits(&self) -> Limits {
        self.set.over(self.configured)
    }

    /// What wins over the configuration.
    pub fn set_here(&self) -> Change {
        self.set
    }

    /// # Errors
    /// A file that cannot be written; then nothing is changed.
    pub fn change(&mut self, change: Change) -> Result<(), LimitsFileError> {
        let set = change.after(self.set);
        let io = |source| LimitsFileError::Io { path: self.path.clone(), source };
        let json = serde_json::to_vec(&set).map_err(|error| io(error.into()))?;
        private::write(&self.path, &json).map_err(io)?;
        self.set = set;
        Ok(())
    }

    /// Back to the configuration.
    ///
    /// # Errors
    /// A file that cannot be removed; then nothing is changed.
    pub fn reset(&mut self) -> Result<(), LimitsFileError> {
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(LimitsFileError::Io { path: self.path.clone(), source })
            }
            _ => {
                self.set = Change::default();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::pace::Rate;

    #[test]
    fn what_was_set_wins_until_it_is_reset() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("limits.json");
        let rate = |bytes: u64| Rate::try_from(bytes).ok();
        let configured = Limits { upload: rate(50_000), download: rate(60_000), ..Limits::default() };
        let mut file = LimitsFile::load(&path, configured).expect("no file is no error");
        assert_eq!((file.limits(), file.set_here().is_empty()), (configured, true));
        file.change(Change { upload: Some(None), ..Change::default() }).expect("written");
        file.change(Change { lan: Some(false), ..Change::default() }).expect("written");
        let set = Limits { upload: None, lan: false, ..configured };
        assert_eq!(file.limits(), set);
        // Another configuration counts where nothing was set.
        let other = Limits { download: rate(70_000), ..configured };
        let mut again = LimitsFile::load(&path, other).expect("read");
        assert_eq!(again.limits(), Limits { download: rate(70_000), ..set });
        again.reset().expect("removed");
        again.reset().expect("nothing to remove");
        assert_eq!(again.limits(), other);
        assert_eq!(LimitsFile::load(&path, configured).expect("gone").limits(), configured);
    }

    #[test]
    fn a_damaged_file_is_told_and_not_taken_for_unlimited() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("limits.json");
        for bytes in ["", "{", r#"{"upload":5}"#] {
            fs::write(&path, bytes).expect("written");
            let error = LimitsFile::load(&path, Limits::default()).expect_err("damaged");
            assert!(error.to_string().contains("remove it"), "{error}");
        }
    }
}
