//! A log folder: one file for each day in UTC, of which the last few are kept. It is written by a thread of its own.

use fyteclub_files::regular;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

const SECONDS: u64 = 24 * 60 * 60;

/// A log folder with files named `NAME.YYYY-MM-DD.log`.
#[derive(Debug)]
pub struct DailyFile {
    folder: PathBuf,
    name: &'static str,
    kept: usize,
    /// Of `file`, counted from 1970.
    day: u64,
    file: File,
}

impl DailyFile {
    /// Opens today's file and removes those beyond `kept`.
    ///
    /// # Errors
    /// This file cannot be opened or made.
    pub fn open(folder: &Path, name: &'static str, kept: usize) -> Result<Self, (PathBuf, io::Error)> {
        Self::on(today(), folder, name, kept)
    }

    fn on(day: u64, folder: &Path, name: &'static str, kept: usize) -> Result<Self, (PathBuf, io::Error)> {
        let file = opened(folder, name, day)?;
        let daily = Self { folder: folder.to_owned(), name, kept, day, file };
        daily.prune();
        Ok(daily)
    }

    /// Writes to this day's file.
    fn write_on(&mut self, day: u64, line: &[u8]) -> io::Result<()> {
        // If today's file cannot be opened, the line goes to the last one, and the next line tries again.
        if day != self.day
            && let Ok(file) = opened(&self.folder, self.name, day)
        {
            (self.day, self.file) = (day, file);
            self.prune();
        }
        self.file.write_all(line)
    }

    /// Removes the oldest files. One that cannot be removed is tried again the next day.
    fn prune(&self) {
        let (start, end) = (format!("{}.", self.name), ".log");
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let ours = |name: &String| {
            let date = name.strip_prefix(&start).and_then(|name| name.strip_suffix(end));
            date.is_some_and(|date| date.len() == "YYYY-MM-DD".len())
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(ours).collect();
        // By date, because of how they are named.
        names.sort_unstable();
        let beyond = names.len().saturating_sub(self.kept);
        for name in &names[..beyond] {
            fs::remove_file(self.folder.join(name)).ok();
        }
    }
}

impl Write for DailyFile {
    /// Never an error: a full disk loses this line, and may take the next.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_on(today(), line).ok();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn opened(folder: &Path, name: &str, day: u64) -> Result<File, (PathBuf, io::Error)> {
    let path = folder.join(format!("{name}.{}.log", date(day)));
    regular::open(&path, OpenOptions::new().append(true).create(true)).map_err(|error| (path, error))
}

/// Days since 1970. A clock before that counts as its first day.
fn today() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / SECONDS)
}

/// `YYYY-MM-DD` of a day since 1970.
fn date(day: u64) -> String {
    // Years begin in March here, so that a leap day is a year's last; 719,468 days before 1970 was the first of March of
    // year 0. The Gregorian calendar repeats every 146,097 days.
    let days = day + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn days_are_dates_of_the_calendar() {
        for (day, text) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_015, "2000-02-28"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_782, "2024-02-29"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(day), text);
        }
    }

    #[test]
    fn each_day_has_a_file_and_the_last_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let foreign = ["fyteclubd.log", "fyteclubd.notes.log", "other.2020-01-01.log"];
        for name in foreign {
            fs::write(folder.path().join(name), "kept").expect("a file");
        }
        let mut log = DailyFile::on(20_453, folder.path(), "fyteclubd", 2).expect("a log");
        for (day, line) in [(20_453, "a\n"), (20_454, "b\n"), (20_454, "c\n"), (20_455, "d\n")] {
            log.write_on(day, line.as_bytes()).expect("written");
        }
        let mut expected = vec!["fyteclubd.2026-01-01.log", "fyteclubd.2026-01-02.log"];
        expected.extend(foreign);
        assert_eq!(names(folder.path()), expected);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a file");
        assert_eq!([read(expected[0]), read(expected[1])], ["b\nc\n", "d\n"]);
    }

    #[test]
    fn log_opened_again_goes_on_and_prunes() {
        let folder = tempfile::tempdir().expect("a folder");
        for day in 0..5 {
            let mut log = DailyFile::on(day, folder.path(), "fyteclubd", 3).expect("a log");
            log.write_on(day, b"one\n").expect("written");
        }
        let mut log = DailyFile::on(4, folder.path(), "fyteclubd", 3).expect("a log");
        log.write_on(4, b"two\n").expect("written");
        let expected = ["1970-01-03", "1970-01-04", "1970-01-05"].map(|date| format!("fyteclubd.{date}.log"));
        assert_eq!(names(folder.path()), expected);
        let last = fs::read_to_string(folder.path().join(&expected[2])).expect("a file");
        assert_eq!(last, "one\ntwo\n");
    }

    #[test]
    fn line_goes_to_the_last_file_without_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = DailyFile::on(1, folder.path(), "fyteclubd", 3).expect("a log");
        log.folder = folder.path().join("gone");
        log.write_on(2, b"late\n").expect("written");
        let last = fs::read_to_string(folder.path().join("fyteclubd.1970-01-02.log")).expect("a file");
        assert_eq!((last.as_str(), log.day), ("late\n", 1));
    }
}
