//! What an operator chooses of the audit log.

use std::path::PathBuf;

/// Where the audit log goes, and what it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFile {
    pub path: PathBuf,
    /// Bytes after which a new file is begun. Four are kept, the current one included.
    pub size: u64,
    /// Addresses as they are, and not cut.
    pub full_addresses: bool,
}
