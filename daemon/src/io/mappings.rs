//! The file of port mappings that routers were asked for. The next start removes those that outlived their daemon.

use super::{
    keeper::{Keeper, Keeping},
    regular,
    trouble::explain_kept,
};
use fyteclub_proto::reaching::mapping::Journal;
use std::{
    io,
    path::{Path, PathBuf},
};

pub struct MappingsFile {
    path: PathBuf,
    keeper: Keeper,
    found: Journal,
}

impl MappingsFile {
    /// Reads the file of the last run. A file that cannot be read is logged and counts as empty.
    pub fn load(path: &Path, keeper: Keeper) -> Self {
        let read = regular::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        let found = read.unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(
                    "port mappings of an earlier start may stay on the router: {}",
                    explain_kept(path, &error)
                );
            }
            Journal::default()
        });
        Self { path: path.to_owned(), keeper, found }
    }

    /// The journal at the start.
    pub fn found(&self) -> &Journal {
        &self.found
    }

    /// Writes the file, or removes it if the journal is empty.
    pub fn write(&self, journal: &Journal) -> Keeping {
        if journal.mappings.is_empty() {
            self.keeper.remove(&self.path)
        } else {
            self.keeper.write_json(&self.path, journal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn journal_survives_and_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("mappings.json");
        let load = || MappingsFile::load(&path, Keeper::default());
        assert_eq!(*load().found(), Journal::default());
        let text = r#"{"mappings":[{"by":"natPmp","router":"192.168.1.1","local":"192.168.1.5","inside":1,"outside":2}]}"#;
        let journal: Journal = serde_json::from_str(text).expect("a journal");
        load().write(&journal).await.expect("written");
        assert_eq!(*load().found(), journal);
        load().write(&Journal::default()).await.expect("removed");
        assert!(!path.exists());
        for damaged in ["", "{", r#"{"mappings":5}"#] {
            fs::write(&path, damaged).expect("written");
            assert_eq!(*load().found(), Journal::default(), "{damaged}");
        }
    }
}
