//! The file in which the published look survives a restart. What is in it the coordinator knows.

use super::keeper::{Keeper, Keeping};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub struct PublishedFile {
    path: PathBuf,
    keeper: Keeper,
    found: Option<Vec<u8>>,
}

impl PublishedFile {
    /// Reads what an earlier life left. A file that cannot be read is said in the log, and is as good as none: the look
    /// can be published again.
    pub fn load(path: &Path, keeper: Keeper) -> Self {
        let found = match fs::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("{} cannot be read: {error}", path.display());
                None
            }
        };
        Self { path: path.to_owned(), keeper, found }
    }

    /// What was there at the start; once.
    pub fn take_found(&mut self) -> Option<Vec<u8>> {
        self.found.take()
    }

    pub fn write(&self, content: Vec<u8>) -> Keeping {
        self.keeper.write(&self.path, content)
    }

    pub fn remove(&self) -> Keeping {
        self.keeper.remove(&self.path)
    }
}
