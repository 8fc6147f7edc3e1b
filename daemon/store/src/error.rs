//! What can go wrong with files, and whose doing it was: the disk's, the operator's or the file's owner's.
//!
//! How an error is shown to a person or told to a peer is not decided here.

use fyteclub_files::trouble::{explain, explain_or, explain_removal};
use fyteclub_proto::{id::BlobHash, limit::FILE_SIZE_MAX};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What else helps where a file of the cache cannot be had.
pub(super) const CACHE_MOVE: &str = "run fyteclubctl cache move DIR";

/// Why the store could not do something. After any of these it is consistent and goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The machine's: works again once there is space.
    #[error("the disk with {} is full", path.display())]
    DiskFull { path: PathBuf },
    /// The machine's too: what is left of the disk is not the cache's to take.
    #[error(
        "the disk with {} is nearly full: {needed} bytes do not fit, {free} are free and {floor} of them stay so (min_free)",
        path.display()
    )]
    DiskLow { path: PathBuf, needed: u64, free: u64, floor: u64 },
    /// The operator's: the cache's limit, less what is in use, cannot hold it.
    #[error("{needed} bytes do not fit in the cache's limit of {limit}, of which {in_use} are in use")]
    TooLarge { needed: u64, limit: u64, in_use: u64 },
    #[error("{} has {size} bytes, and at most {max} can be shared", path.display(), max = FILE_SIZE_MAX)]
    FileTooLarge { path: PathBuf, size: u64 },
    /// A folder, a pipe, a device: opening it could wait forever.
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} is not there", path.display())]
    Missing { path: PathBuf },
    /// Another program kept writing to it while it was hashed.
    #[error("{} changes while it is read", path.display())]
    Changing { path: PathBuf },
    /// A disk that is not mounted, most likely: nothing is begun anew in its place.
    #[error(
        "the cache is in {}, and that is not there: mount the disk, or remove {} to begin with an empty cache",
        dir.display(), note.display()
    )]
    CacheAway { dir: PathBuf, note: PathBuf },
    /// The disk with the cache was there when the daemon started, and is not now. What is known of it is kept.
    #[error("{}", away(dir))]
    Away { dir: PathBuf },
    #[error("{} does not say where the cache is ({why}): write {{\"dir\": \"THE FOLDER\"}} into it", note.display())]
    NoPlace { note: PathBuf, why: String },
    /// What lies in the place of a file of the cache, or such a file itself.
    #[error("{}", explain_removal(path, source, CACHE_MOVE))]
    Undeletable { path: PathBuf, source: io::Error },
    #[error("{}", explain_or(path, source, CACHE_MOVE))]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("another process has the index in {} open", path.display())]
    InUse { path: PathBuf },
    /// A mistake of the caller: the chunk or the tree is another blob's, or the chunk is not its whole blob.
    #[error("what was handed over does not belong to {hash}")]
    Foreign { hash: BlobHash },
    #[error("{}", explain(path, source))]
    Io { path: PathBuf, source: io::Error },
}

/// What is in the place of the files, and what to do.
fn away(dir: &Path) -> String {
    let blobs = dir.join("blobs");
    match fs::symlink_metadata(&blobs) {
        Ok(found) if !found.is_dir() && !found.is_symlink() => {
            let path = blobs.display();
            format!(
                "{path} is a file, and the folder with the cache's files is needed there: move it away, and the folder is made again"
            )
        }
        _ => format!(
            "the disk with the cache is away: {} is not there; mount it again, and everything on it is used as before. If it was deleted, restart the daemon: it makes the folder again, or says how to begin with an empty cache",
            dir.display()
        ),
    }
}

impl StoreError {
    /// Sorts what the system said about `path`.
    pub(super) fn at(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Io { path, source },
        }
    }

    /// As [`StoreError::at`], of what the store writes in the cache's folders.
    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path: path.to_owned(), source }
            }
            _ => Self::at(path, source),
        }
    }

    /// A file of the cache vanished under the daemon: what it held can be fetched again.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::DiskLow { .. })
    }
}

/// Why a blob cannot be served, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Neither in the cache nor in an own file.
    #[error("{hash} is not here")]
    Gone { hash: BlobHash },
    /// The file has other bytes than when it was indexed.
    #[error("{} has changed since it was indexed", path.display())]
    Changed { path: PathBuf },
    #[error("{}", away(dir))]
    Away { dir: PathBuf },
    #[error("{}", explain(path, source))]
    Io { path: PathBuf, source: io::Error },
}
