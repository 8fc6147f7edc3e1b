//! The file with the published look, for the next start. The own-look desk decides its content.

use super::{
    keeper::{Keeper, Keeping},
    regular,
    trouble::explain_kept,
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// How often a scan that ended the daemon is tried again. The published look is scanned at every start: without a
/// limit, a look that ends the daemon would end it at every start.
const READINGS_MAX: u32 = 3;

pub struct PublishedFile {
    path: PathBuf,
    /// Scans that began and did not end, also before restarts.
    readings: u32,
    keeper: Keeper,
    found: Option<Vec<u8>>,
}

impl PublishedFile {
    /// Reads the file of an earlier process. An unreadable file is logged and counts as absent: the look can be
    /// published again.
    pub fn load(path: &Path, keeper: Keeper) -> Self {
        let found = match regular::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(
                    "what is published is not known any more, and has to be published again: {}",
                    explain_kept(path, &error)
                );
                None
            }
        };
        // A damaged count counts as none.
        let readings =
            regular::read_text(&readings_file(path)).ok().and_then(|text| text.trim().parse().ok());
        Self { path: path.to_owned(), readings: readings.unwrap_or(0), keeper, found }
    }

    /// Whether an earlier process left a look that was not taken yet.
    pub fn is_found(&self) -> bool {
        self.found.is_some()
    }

    /// The content at the start; once.
    pub fn take_found(&mut self) -> Option<Vec<u8>> {
        self.found.take()
    }

    pub fn write(&self, content: Vec<u8>) -> Keeping {
        self.keeper.write(&self.path, content)
    }

    pub fn remove(&self) -> Keeping {
        self.keeper.remove(&self.path)
    }

    /// Counts a scan, which begins when the count is saved; `None` when the daemon ended during the last ones.
    pub fn begin_reading(&mut self) -> Option<Keeping> {
        if self.readings >= READINGS_MAX {
            return None;
        }
        self.readings += 1;
        Some(self.keeper.write(&readings_file(&self.path), self.readings.to_string().into_bytes()))
    }

    /// A scan ended, even if it failed: the daemon still runs.
    pub fn end_reading(&mut self) {
        if std::mem::take(&mut self.readings) > 0 {
            drop(self.keeper.remove(&readings_file(&self.path)));
        }
    }
}

fn readings_file(published: &Path) -> PathBuf {
    published.with_extension("tries")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn unended_scans_are_limited_over_restarts() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("published.bin");
        let restart = || PublishedFile::load(&path, Keeper::default());
        for _ in 0..READINGS_MAX {
            restart().begin_reading().expect("another try").await.expect("counted");
        }
        let mut file = restart();
        assert!(file.begin_reading().is_none(), "the daemon ended each time");
        file.end_reading();
        let counted = file.begin_reading().expect("the count is zero again");
        counted.await.expect("counted");
        fs::write(readings_file(&path), "no number").expect("written");
        assert!(restart().begin_reading().is_some(), "a damaged count counts as none");
    }
}
