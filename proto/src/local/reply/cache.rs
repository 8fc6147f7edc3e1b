//! The replies on the cache.

use crate::id::BlobHash;
use serde::{Deserialize, Serialize};

/// The state of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheStats {
    /// Stored now.
    pub bytes: u64,
    /// Stored now.
    pub files: u64,
    /// Bytes; beyond it the least recently used files are evicted.
    pub limit: u64,
    /// Of `files`, those in use, which are not evicted.
    #[serde(default)]
    pub pinned: u64,
    /// The folder with the files.
    #[serde(default)]
    pub dir: String,
    /// Free bytes of its disk; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// Bytes to keep free on it: below that transfers wait.
    #[serde(default)]
    pub min_free: u64,
    /// Whether transfers wait for free space now.
    #[serde(default)]
    pub low_disk: bool,
    /// Whether the disk with the files is away: the figures are the last known ones, and fetches fail until it is back.
    #[serde(default)]
    pub away: bool,
}

/// The result of a check of every cached file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheVerified {
    /// Files that were read.
    pub files: u64,
    /// That were read.
    pub bytes: u64,
    /// Files whose bytes did not match their name: removed, and fetched again when needed.
    pub bad: Vec<BlobHash>,
    /// Files that another program had removed: they are fetched again when needed.
    #[serde(default)]
    pub missing: u64,
    /// Files that could not be read, and stay.
    #[serde(default)]
    pub unread: u64,
    /// The same files. Whether their bytes are right is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<CacheObstacle>,
    /// What lies in the place of cached files and stays, because it cannot be removed. Such a file is
    /// fetched again when it is needed, and stored under another name where its own cannot be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<CacheObstacle>,
}

/// A file that could not be read, or what lies in the place of a cached file, and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheObstacle {
    /// Where it lies.
    pub path: String,
    /// Why it cannot be read or removed, as the system says.
    pub cause: String,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheGced {
    /// Removed files, including incomplete ones.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Incomplete files among them that no fetch would finish.
    pub unfinished: u64,
    /// Still stored.
    pub bytes_left: u64,
    /// Bytes of those in use, which are not removed.
    pub in_use: u64,
}

/// The cache's folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheMoved {
    /// The old folder with `blobs` in it: a path below the one is the same path below the other.
    pub from: String,
    /// The new one.
    pub to: String,
    /// That moved.
    pub files: u64,
    /// That moved.
    pub bytes: u64,
    /// Damaged files, which were not moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<BlobHash>,
    /// Files that could not be read: they were not moved, and are fetched again when needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<CacheObstacle>,
    /// Files in use, which are in the old folder too until the daemon restarts.
    pub kept: u64,
}
