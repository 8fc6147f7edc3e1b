//! The audit log's settings.

use std::path::PathBuf;

/// The audit log's file and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFile {
    pub path: PathBuf,
    /// Bytes per file; four files are kept, including the current one.
    pub size: u64,
    /// Log whole addresses instead of a /24 or /48.
    pub full_addresses: bool,
}
