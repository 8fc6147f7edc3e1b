//! Where everything lies. The only place that knows folders, and that they differ between systems.

use std::path::{Path, PathBuf};

/// Linux and others: `$XDG_DATA_HOME/fyteclub` or `~/.local/share/fyteclub`. Windows: `%LOCALAPPDATA%\FyteClub`.
pub fn default_data_dir(env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let dir = |key: &str| env(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    if cfg!(windows) {
        return Some(dir("LOCALAPPDATA")?.join("FyteClub"));
    }
    let data = dir("XDG_DATA_HOME").filter(|path| path.is_absolute());
    Some(data.or_else(|| Some(dir("HOME")?.join(".local/share")))?.join("fyteclub"))
}

pub fn config_file(data_dir: &Path) -> PathBuf {
    data_dir.join("config.toml")
}

/// The player's key.
pub fn identity_file(data_dir: &Path) -> PathBuf {
    data_dir.join("identity.key")
}

/// Names and the keys they were first seen with.
pub fn contacts_file(data_dir: &Path) -> PathBuf {
    data_dir.join("contacts.json")
}

/// What this player publishes, to go on with it after a restart.
pub fn published_file(data_dir: &Path) -> PathBuf {
    data_dir.join("published.bin")
}

/// Limits that were set while the daemon ran; they win over the configuration.
pub fn limits_file(data_dir: &Path) -> PathBuf {
    data_dir.join("limits.json")
}

/// Held while a daemon uses the folder.
pub fn lock_file(data_dir: &Path) -> PathBuf {
    data_dir.join("daemon.lock")
}

/// The version of the folder's layout.
pub fn layout_file(data_dir: &Path) -> PathBuf {
    data_dir.join("layout")
}

pub fn log_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("log")
}

/// Where the local socket goes when another daemon has the default one.
pub fn fallback_endpoint(data_dir: &Path) -> String {
    if cfg!(windows) {
        let name: String =
            data_dir.to_string_lossy().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        return format!("fyteclub{name}");
    }
    data_dir.join("fyteclubd.sock").to_string_lossy().into_owned()
}
