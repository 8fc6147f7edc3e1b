//! Bounds, counts and anonymity of the audit log.

use super::*;
use crate::limits::{By, Class};
use serde_json::Value;
use std::{
    collections::HashSet,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

fn file(path: &Path, size: u64) -> AuditFile {
    AuditFile { path: path.to_owned(), size, full_addresses: false }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn net(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + (number << 8) + 7).into()
}

#[test]
fn many_events_fill_four_files_and_none_is_uncounted() {
    const EVENTS: u32 = 100_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    // Small files rotate many times; a large one keeps all lines, and their counts are added up.
    for (size, whole) in [(50_000, false), (1 << 30, true)] {
        let audit = Audit::start(&file(&path, size)).unwrap();
        for number in 0..EVENTS {
            let kind = [Kind::Hijack, Kind::Replay, Kind::BadSignature][number as usize % 3];
            audit.note(kind, net(number % 1000), Some(audit.subject("Alice Ashe@Omega")), 1);
        }
        drop(audit);
        let files = files(directory.path());
        assert!(files.len() <= 4, "{files:?}");
        let total: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        if whole {
            let told = lines(&path).iter().map(|line| line["count"].as_u64().unwrap_or(1)).sum::<u64>();
            assert_eq!(told, u64::from(EVENTS));
        } else {
            assert_eq!(files.len(), 4);
            assert!(total <= 4 * size, "{total}");
        }
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
    }
}

#[test]
fn refusals_are_one_line_a_round_others_a_few() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::start(&file(&path, 1 << 20)).unwrap();
    for _ in 0..500 {
        audit.note(Kind::Limited(Class::Lookup, By::Address), net(1), None, 1);
        audit.note(Kind::WrongPassword, net(1), None, 1);
    }
    drop(audit);
    let lines = lines(&path);
    let limited: Vec<_> = lines.iter().filter(|line| line["event"] == "limited").collect();
    assert_eq!(limited.len(), 1);
    assert_eq!((&limited[0]["class"], &limited[0]["count"]), (&"lookup".into(), &500.into()));
    let wrong: Vec<_> = lines.iter().filter(|line| line["event"] == "wrong_password").collect();
    assert_eq!(wrong.len(), 11);
    assert_eq!(wrong[10]["count"], 490);
}

#[test]
fn names_are_hashed_and_addresses_are_truncated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let mut names = HashSet::new();
    for _ in 0..3 {
        let audit = Audit::start(&file(&path, 1 << 20)).unwrap();
        for address in ["203.0.113.77", "2001:db8:1:2:3:4:5:6"] {
            audit.note(Kind::Hijack, address.parse().unwrap(), Some(audit.subject("Alice Ashe@Omega")), 1);
        }
        drop(audit);
        let lines = lines(&path);
        assert_eq!((&lines[0]["from"], &lines[1]["from"]), (&"203.0.113.0".into(), &"2001:db8:1::".into()));
        assert_eq!(lines[0]["name"], lines[1]["name"], "the same name");
        names.insert(lines[0]["name"].as_str().unwrap().to_owned());
        assert!(!fs::read_to_string(&path).unwrap().contains("Alice"));
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(names.len(), 3, "and no two starts agree on it");
    let audit = Audit::start(&AuditFile { full_addresses: true, ..file(&path, 1 << 20) }).unwrap();
    audit.note(Kind::Hijack, "203.0.113.77".parse().unwrap(), None, 1);
    drop(audit);
    assert_eq!(lines(&path)[0]["from"], "203.0.113.77");
}

#[test]
fn unwritable_path_loses_lines_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("audit.jsonl");
    let audit = Audit::start(&file(&path, 1 << 20)).unwrap();
    let shared = Arc::clone(&audit.shared);
    for number in 0..100 {
        audit.note(Kind::Hijack, net(number), None, 1);
    }
    drop(audit);
    assert!(shared.dropped.load(Ordering::Relaxed) >= 100);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_costs_the_lines_and_each_is_counted() {
    let audit = Audit::start(&file(Path::new("/dev/full"), 1 << 20)).unwrap();
    for number in 0..100 {
        audit.note(Kind::Hijack, net(number), None, 1);
    }
    audit.close();
    assert_eq!(audit.dropped(), 100 + 1, "and the line that would have said so");
    audit.note(Kind::Hijack, net(200), None, 1);
    assert_eq!(audit.dropped(), 102, "after the end, too");
}

#[test]
fn lost_lines_are_counted_in_the_file_later() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("later");
    let audit = Audit::start(&file(&folder.join("audit.jsonl"), 1 << 20)).unwrap();
    for number in 0..5 {
        audit.note(Kind::Hijack, net(number), None, 1);
    }
    let began = std::time::Instant::now();
    while audit.dropped() < 5 {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{} dropped", audit.dropped());
        thread::yield_now();
    }
    fs::create_dir(&folder).unwrap();
    audit.close();
    let lines = lines(&folder.join("audit.jsonl"));
    assert_eq!((&lines[0]["event"], &lines[0]["count"]), (&"dropped".into(), &5.into()), "{lines:?}");
}

#[test]
#[cfg(unix)]
fn removed_file_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let wait_for = |condition: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !condition() {
            assert!(began.elapsed() < std::time::Duration::from_secs(20), "nothing is written");
            thread::yield_now();
        }
    };
    let audit = Audit::start(&file(&path, 1 << 20)).unwrap();
    // Made at the start, so that a wrong path is told then.
    wait_for(&|| path.exists());
    audit.note(Kind::Hijack, net(1), None, 1);
    wait_for(&|| lines(&path).len() == 1);
    let rotated = directory.path().join("audit.jsonl.rotated");
    for removed in [true, false] {
        if removed {
            fs::remove_file(&path).unwrap()
        } else {
            fs::rename(&path, &rotated).unwrap()
        }
        audit.note(Kind::Hijack, net(2), None, 1);
        wait_for(&|| path.exists() && lines(&path).len() == 1);
    }
    audit.close();
    assert_eq!((audit.dropped(), lines(&rotated).len()), (0, 1));
}

#[test]
fn addresses_beyond_the_table_are_counted_together() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::start(&file(&path, 1 << 30)).unwrap();
    for number in 0..5000 {
        audit.note(Kind::Limited(Class::Lookup, By::Key), net(number), None, 1);
    }
    audit.close();
    let lines = lines(&path);
    let crowd: Vec<_> = lines.iter().filter(|line| line["event"] == "many").collect();
    let told: u64 = lines.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!((crowd.len(), told), (1, 5000), "{crowd:?}");
    assert!(crowd[0]["count"].as_u64().unwrap() > 0 && crowd[0].get("from").is_none());
    assert_eq!((&lines[0]["class"], &lines[0]["by"]), (&"lookup".into(), &"key".into()));
}

#[test]
fn failed_rotation_counts_each_lost_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let numbered = |number: u8| directory.path().join(format!("audit.jsonl.{number}"));
    // No file can be renamed to a folder.
    fs::write(numbered(2), "older").unwrap();
    fs::create_dir(numbered(3)).unwrap();
    let audit = Audit::start(&file(&path, 1000)).unwrap();
    for number in 0..100 {
        audit.note(Kind::Hijack, net(number), None, 1);
    }
    audit.close();
    let written = lines(&path).len() as u64;
    assert!(written > 0 && audit.dropped() >= 100 - written, "{written} and {}", audit.dropped());
    assert_eq!(fs::read_to_string(numbered(2)).unwrap(), "older");
}
