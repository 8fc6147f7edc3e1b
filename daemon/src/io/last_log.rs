//! The last lines of the daemon's own log.

use super::regular;
use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// The most that is read.
const MOST: u64 = 64 << 10;

/// Of the newest file in this folder, at most this many. Blocks on the disk.
///
/// # Errors
/// There is no log, or it cannot be read.
pub fn read(folder: &Path, lines: usize) -> io::Result<String> {
    let names = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let newest = names.filter(|path| path.extension().is_some_and(|ending| ending == "log")).max();
    let newest = newest.ok_or(io::ErrorKind::NotFound)?;
    let mut file = regular::open(&newest, fs::OpenOptions::new().read(true))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_file_gives_its_last_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(read(folder.path(), 2).is_err());
        for (name, text) in
            [("a.2026-01-01.log", "old\n"), ("a.2026-01-02.log", "one\ntwo\nthree\n"), ("a.txt", "other\n")]
        {
            fs::write(folder.path().join(name), text).expect("written");
        }
        assert_eq!(read(folder.path(), 2).expect("read"), "two\nthree");
        fs::write(folder.path().join("a.2026-01-03.log"), "x".repeat(100_000)).expect("written");
        assert_eq!(read(folder.path(), 2).expect("read").len(), 64 << 10);
    }
}
