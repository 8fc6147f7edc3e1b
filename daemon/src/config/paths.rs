//! Paths of all folders and files. The only place that knows how they differ between systems.

use std::path::{Path, PathBuf};

/// Why the data folder is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HomeError {
    #[error("{0} is not set")]
    Absent(&'static str),
    #[error("{0} is empty")]
    Empty(&'static str),
    #[error("{0} is `{1}`, which is no absolute path")]
    Relative(&'static str, String),
}

/// Linux and others: `$XDG_DATA_HOME/fyteclub` or `~/.local/share/fyteclub`. Windows: `%LOCALAPPDATA%\FyteClub`.
///
/// # Errors
/// The variable is not usable.
pub fn default_data_dir(env: impl Fn(&str) -> Option<String>) -> Result<PathBuf, HomeError> {
    let dir = |key: &'static str| match env(key).map(PathBuf::from) {
        None => Err(HomeError::Absent(key)),
        Some(path) if path.as_os_str().is_empty() => Err(HomeError::Empty(key)),
        Some(path) if path.is_absolute() => Ok(path),
        Some(path) => Err(HomeError::Relative(key, path.display().to_string())),
    };
    if cfg!(windows) {
        return Ok(dir("LOCALAPPDATA")?.join("FyteClub"));
    }
    // Its specification says to ignore a relative one.
    let data = dir("XDG_DATA_HOME").or_else(|_| Ok(dir("HOME")?.join(".local/share")))?;
    Ok(data.join("fyteclub"))
}

/// Whether a path begins with `~`, which only a shell replaces: as it stands it is a folder of that name.
pub fn is_home_sign(path: &Path) -> bool {
    path.components().next().is_some_and(|first| first.as_os_str() == "~")
}

pub fn config_file(data_dir: &Path) -> PathBuf {
    data_dir.join("config.toml")
}

/// The player's key.
pub fn identity_file(data_dir: &Path) -> PathBuf {
    data_dir.join("identity.key")
}

/// Contacts and their keys.
pub fn contacts_file(data_dir: &Path) -> PathBuf {
    data_dir.join("contacts.json")
}

/// The published look, for the next start.
pub fn published_file(data_dir: &Path) -> PathBuf {
    data_dir.join("published.bin")
}

/// Limits that were set while the daemon ran; they override the configuration.
pub fn limits_file(data_dir: &Path) -> PathBuf {
    data_dir.join("limits.json")
}

/// Port mappings that routers were asked for.
pub fn mappings_file(data_dir: &Path) -> PathBuf {
    data_dir.join("mappings.json")
}

/// Held while a daemon uses the folder.
pub fn lock_file(data_dir: &Path) -> PathBuf {
    data_dir.join("daemon.lock")
}

/// The version of the folder's layout.
pub fn layout_file(data_dir: &Path) -> PathBuf {
    data_dir.join("layout")
}

/// Names of the user whose daemon it is: of the account, and of the home folder.
pub fn users(env: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let home = ["HOME", "USERPROFILE"].into_iter().filter_map(&env);
    let folders = home.filter_map(|home| Path::new(&home).file_name()?.to_str().map(str::to_owned));
    let accounts = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(&env);
    // A shorter one is a part of too many words.
    folders.chain(accounts).filter(|name| name.len() > 1).collect()
}

pub fn log_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("log")
}

/// The local socket when another daemon has the default one.
pub fn fallback_endpoint(data_dir: &Path) -> String {
    if cfg!(windows) {
        let name: String =
            data_dir.to_string_lossy().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        return format!("fyteclub{name}");
    }
    data_dir.join("fyteclubd.sock").to_string_lossy().into_owned()
}
