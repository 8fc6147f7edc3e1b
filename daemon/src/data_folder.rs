//! The data folder at the start: whose it is, which version wrote it, and the key in it.

use crate::{
    config::{Config, paths},
    io::{
        contacts::ContactsFile,
        identity::{Identity, IdentityError},
        private,
        published::PublishedFile,
        regular, trouble,
    },
};
use anyhow::Context;
use fyteclub_proto::version::STORE_VERSION;
use std::{
    fs::{File, TryLockError},
    path::Path,
};

/// Creates and locks the data folder, until the file is closed.
///
/// # Errors
/// Another daemon has it, a newer version wrote it, or it cannot be used.
pub(crate) fn lock(config: &Config) -> anyhow::Result<File> {
    let dir = config.data_dir.display();
    let unusable = |path: &Path, error| trouble::explain_data(&config.data_dir, path, &error);
    private::create_dir(&config.data_dir).map_err(|error| unusable(&config.data_dir, error))?;
    let path = paths::lock_file(&config.data_dir);
    let file = regular::open(&path, File::options().create(true).truncate(false).write(true));
    let file = file.map_err(|error| unusable(&path, error))?;
    match file.try_lock() {
        Ok(()) => check_layout(config).map(|()| file),
        Err(TryLockError::WouldBlock) => {
            anyhow::bail!("another daemon uses {dir}: stop it, or choose another folder with --data-dir")
        }
        Err(TryLockError::Error(error)) => Err(unusable(&path, error).into()),
    }
}

/// Restricts the folder and the private files in it to this user. An identity file that others can read is refused and
/// not restricted, because they may have read it.
///
/// # Errors
/// Permissions that cannot be changed.
pub(crate) fn close_to_others(dir: &Path) -> anyhow::Result<()> {
    let files = [
        paths::contacts_file(dir),
        paths::limits_file(dir),
        paths::published_file(dir),
        paths::mappings_file(dir),
    ];
    for path in [dir.to_owned(), paths::log_dir(dir)].into_iter().chain(files) {
        let open = private::close_to_others(&path)
            .map_err(|error| trouble::explain_data(dir, &path, &error))
            .with_context(|| {
                format!("other users can read {}, and its permissions cannot be changed", path.display())
            })?;
        if let Some(mode) = open {
            tracing::warn!(
                "other users could read {} (mode {mode:04o}); now only this user can",
                path.display()
            );
        }
    }
    Ok(())
}

/// Reads the player's key. Makes one at the first start, and where `new`; elsewhere a missing one is not replaced,
/// because contacts know this player by it.
///
/// # Errors
/// A key that is missing or cannot be used.
pub(crate) fn identity(
    path: &Path,
    new: bool,
    contacts: &ContactsFile,
    published: &PublishedFile,
) -> Result<Identity, IdentityError> {
    let owned = match (contacts.saved().contacts.is_empty(), published.is_found()) {
        (false, true) => Some("contacts.json and published.bin"),
        (false, false) => Some("contacts.json"),
        (true, true) => Some("published.bin"),
        (true, false) => None,
    };
    match (Identity::load(path)?, owned) {
        (Some(identity), _) => {
            if new {
                tracing::warn!(
                    "--new-identity has no effect, because {} is there: leave it out",
                    path.display()
                );
            }
            Ok(identity)
        }
        (None, Some(owned)) if !new => Err(IdentityError::Missing { path: path.to_owned(), owned }),
        (None, _) => Identity::create(path),
    }
}

/// Refuses a data folder with a newer layout, and writes the layout's version into a new one.
fn check_layout(config: &Config) -> anyhow::Result<()> {
    let path = paths::layout_file(&config.data_dir);
    match regular::read(&path) {
        Ok(text) => match String::from_utf8_lossy(&text).trim().parse::<u32>() {
            Ok(found) if found <= STORE_VERSION => Ok(()),
            Ok(_) => anyhow::bail!(
                "{} was written by a newer fyteclubd: install that, or choose another folder with --data-dir",
                config.data_dir.display()
            ),
            Err(_) => anyhow::bail!(
                "{} is damaged: write `{STORE_VERSION}` into it, or choose another folder with --data-dir",
                path.display()
            ),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let version = format!("{STORE_VERSION}\n");
            private::write(&path, version.as_bytes())
                .map_err(|error| trouble::explain_state(&path, &error).into())
        }
        Err(error) => Err(trouble::explain_state(&path, &error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Dir, Raw},
        io::{keeper::Keeper, limits::LimitsFile, mappings::MappingsFile},
    };
    use std::fs;

    #[test]
    fn missing_key_of_contacts_or_a_look_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let (key, contacts, published) = (
            paths::identity_file(dir.path()),
            paths::contacts_file(dir.path()),
            paths::published_file(dir.path()),
        );
        let start = |new| {
            let keeper = Keeper::default();
            let contacts = ContactsFile::load(&contacts, keeper.clone()).expect("contacts");
            let identity = identity(&key, new, &contacts, &PublishedFile::load(&published, keeper));
            identity.map(|identity| identity.peer_id())
        };
        // Contacts without anybody need no key.
        fs::write(&contacts, r#"{"version":1,"contacts":[]}"#).expect("written");
        let first = start(false).expect("made");
        fs::remove_file(&key).expect("removed");
        let one =
            format!(r#"{{"version":1,"contacts":[{{"peerId":"{first}","since":1,"standing":"blocked"}}]}}"#);
        for (at, content, named) in
            [(&published, "a look", "published.bin"), (&contacts, &one, "contacts.json")]
        {
            fs::write(at, content).expect("written");
            let told = start(false).expect_err("refused").to_string();
            for word in [&*key.to_string_lossy(), named, "from a backup", "--new-identity"] {
                assert!(told.contains(word), "{told}");
            }
            assert!(!key.exists(), "nothing is made");
        }
        let second = start(true).expect("made on request");
        assert_ne!(first, second);
        assert_eq!([start(true), start(false)].map(|peer| peer.expect("kept")), [second; 2]);
    }

    /// Opened plainly, each would keep the start waiting for the pipe's other end.
    #[cfg(unix)]
    #[test]
    fn pipe_in_the_place_of_a_file_stops_the_start() {
        let start = |dir: &Path| -> anyhow::Result<()> {
            let flags = Raw { data_dir: Some(Dir(dir.to_owned())), ..Raw::default() };
            let config = Config::load(flags, None, |_| None)?;
            let (_lock, keeper) = (lock(&config)?, Keeper::default());
            close_to_others(dir)?;
            let contacts = ContactsFile::load(&paths::contacts_file(dir), keeper.clone())?;
            LimitsFile::load(&paths::limits_file(dir), config.limits, keeper.clone())?;
            let published = PublishedFile::load(&paths::published_file(dir), keeper.clone());
            MappingsFile::load(&paths::mappings_file(dir), keeper);
            identity(&paths::identity_file(dir), false, &contacts, &published)?;
            Ok(())
        };
        let needed = ["daemon.lock", "layout", "config.toml", "contacts.json", "limits.json", "identity.key"];
        // Their loss is told in the log, and the start goes on.
        let needless = ["published.bin", "published.tries", "mappings.json"];
        for (name, stops) in
            needed.map(|name| (name, true)).into_iter().chain(needless.map(|name| (name, false)))
        {
            let dir = tempfile::tempdir().expect("a folder");
            let made = std::process::Command::new("mkfifo").arg(dir.path().join(name)).status();
            assert!(made.expect("mkfifo").success());
            match start(dir.path()) {
                Ok(()) => assert!(!stops, "{name}"),
                Err(error) => {
                    let told = format!("{error:#}");
                    assert!(stops && told.contains(&format!("{name} is a named pipe")), "{told}");
                    assert!(told.ends_with("; or choose another folder with --data-dir"), "{told}");
                }
            }
        }
    }
}
