//! Which owners each cached blob came from: in memory with the blob, and in a file beside the index.
//!
//! The file `origins` is a row of records that are only appended, unsynced, as blobs come: like the blobs it survives
//! the end of the process without a checkpoint, which the index would not. Each record has a checksum, so what a loss
//! of power leaves is read as far as it is whole. It is a hint: a lost record means that a blob is not lent until its
//! owner sends it again or proves to have it. A record of a blob that is gone stays true, and leaves at the next
//! rewrite.

use super::sync::lock;
use fyteclub_files::{private, regular, trouble::explain};
use fyteclub_proto::{
    blob::{ORIGINS_MAGIC, origin_record, read_origins},
    id::{BlobHash, PeerId},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Records that may be out of date before the file is written anew.
const STALE_MAX: usize = 50_000;

/// The file.
pub(crate) struct Origins {
    path: PathBuf,
    open: Mutex<Open>,
}

/// What is known of the file.
#[derive(Default)]
struct Open {
    /// To append to; none when the file has to be written anew first.
    file: Option<File>,
    records: usize,
    /// The log knows that it cannot be written.
    complained: bool,
}

impl Origins {
    /// Reads what the file says. One that cannot be read is empty.
    pub(crate) fn open(dir: &Path) -> (Self, Vec<(BlobHash, PeerId)>) {
        let path = dir.join("origins");
        let bytes = match regular::read(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let why = explain(&path, &error);
                tracing::warn!("which owners cached files came from cannot be read: {why}");
                Vec::new()
            }
            read => read.unwrap_or_default(),
        };
        let (read, clean) = read_origins(&bytes);
        let file = regular::open(&path, OpenOptions::new().append(true)).ok().filter(|_| clean);
        let open = Mutex::new(Open { file, records: read.len(), complained: false });
        (Self { path, open }, read)
    }

    /// Whether the file is to be written anew: nothing can be appended to it, or most of it may be out of date. `all`
    /// tells how many records it would have.
    pub(crate) fn is_stale(&self, all: impl FnOnce() -> usize) -> bool {
        let (usable, records) = {
            let open = lock(&self.open);
            (open.file.is_some(), open.records)
        };
        !usable || (records >= STALE_MAX && records > STALE_MAX + 2 * all())
    }

    /// Adds records. Unsynced; what cannot be written is lost until the file is written anew.
    pub(crate) fn append(&self, news: &[(BlobHash, PeerId)]) {
        let mut open = lock(&self.open);
        open.records += news.len();
        let Some(file) = &mut open.file else { return };
        let bytes: Vec<u8> = news.iter().flat_map(|(hash, owner)| origin_record(hash, owner)).collect();
        if file.write_all(&bytes).is_err() {
            // Nothing may follow a record that was cut short.
            open.file = None;
        }
    }

    /// Replaces the file by these records. Only the first failure is logged.
    pub(crate) fn rewrite(&self, all: &[(BlobHash, PeerId)]) {
        let mut open = lock(&self.open);
        open.file = None;
        let mut bytes = ORIGINS_MAGIC.to_vec();
        bytes.extend(all.iter().flat_map(|(hash, owner)| origin_record(hash, owner)));
        let written = private::write(&self.path, &bytes)
            .and_then(|()| regular::open(&self.path, OpenOptions::new().append(true)));
        match written {
            Ok(file) => *open = Open { file: Some(file), records: all.len(), complained: false },
            Err(error) => {
                if !std::mem::replace(&mut open.complained, true) {
                    let why = explain(&self.path, &error);
                    tracing::warn!("which owners cached files came from cannot be written: {why}");
                }
            }
        }
    }
}
