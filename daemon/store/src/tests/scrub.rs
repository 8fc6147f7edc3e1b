//! The slow look into every file: it finds what is wrong, goes on after a restart, and rests.

use super::*;
use crate::{Damage, Scrub};
use std::time::{Duration, SystemTime};

fn bend(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

/// Steps until the round is over; how many, and what was found.
fn round(scrub: &mut Scrub, now: SystemTime) -> (usize, Vec<BlobHash>) {
    let (steps, Damage { mut wrong, missing }) = whole_round(scrub, now);
    wrong.extend(missing);
    wrong.sort();
    (steps, wrong)
}

/// As [`round`], and apart what was wrong and what was not there.
fn whole_round(scrub: &mut Scrub, now: SystemTime) -> (usize, Damage) {
    let (mut steps, mut damage) = (0, Damage::default());
    while scrub.is_due(now) {
        let Damage { wrong, missing } = scrub.step(CHUNK_SIZE as u64);
        damage.wrong.extend(wrong);
        damage.missing.extend(missing);
        steps += 1;
        assert!(steps < 1000);
    }
    (steps, damage)
}

#[test]
fn every_wrong_file_is_found_once_in_a_round() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blobs: Vec<_> = (0..20).map(|n| bytes(n, if n % 5 == 0 { 3 * CHUNK_SIZE } else { 1000 })).collect();
    let hashes: Vec<_> = blobs.iter().map(|blob| receive(&store, blob).unwrap()).collect();
    let _pin = store.pin(hashes.iter().copied());
    let (mut wrong, gone) = (vec![hashes[0], hashes[7]], hashes[11]);
    bend(&store.path(&wrong[0]).unwrap());
    bend(&store.path(&wrong[1]).unwrap());
    fs::remove_file(store.path(&gone).unwrap()).unwrap();
    wrong.sort();
    let now = SystemTime::now();
    let mut scrub = store.scrub();
    let (steps, mut damage) = whole_round(&mut scrub, now);
    damage.wrong.sort();
    assert_eq!(damage.missing, [gone], "what was not there was not read");
    assert_eq!(damage.wrong, wrong);
    assert!(steps >= 4 * 3, "a little at a time: {steps}");
    assert!(wrong.iter().all(|hash| !store.contains(hash)) && !store.contains(&gone));
    assert_eq!(store.stats().files, 17);
    assert_blobs_right(dir.path());
    // Then nothing is due for a week, also after a restart.
    for mut scrub in [scrub, store.scrub()] {
        assert!(!scrub.is_due(now + Duration::from_secs(6 * 24 * 3600)));
        assert!(scrub.is_due(now + Duration::from_secs(8 * 24 * 3600)));
    }
}

#[test]
fn a_later_life_goes_on_where_this_one_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut hashes: Vec<_> = (0..10).map(|n| receive(&store, &bytes(n, 2 * CHUNK_SIZE)).unwrap()).collect();
    hashes.sort();
    let now = SystemTime::now();
    let mut scrub = store.scrub();
    assert!(scrub.is_due(now));
    for _ in 0..8 {
        assert_eq!(scrub.step(CHUNK_SIZE as u64), Damage::default());
    }
    scrub.save();
    // The first was read, the last was not.
    bend(&store.path(&hashes[0]).unwrap());
    bend(&store.path(&hashes[9]).unwrap());
    let mut scrub = store.scrub();
    assert_eq!(round(&mut scrub, now).1, [hashes[9]]);
    let next = now + Duration::from_secs(8 * 24 * 3600);
    assert_eq!(round(&mut scrub, next).1, [hashes[0]]);
    // A note that is damaged costs a round, nothing else.
    fs::write(dir.path().join("checked"), b"\xff nonsense").unwrap();
    assert_eq!(round(&mut store.scrub(), now).1, []);
}

#[test]
fn what_changes_while_it_is_read_is_not_judged() {
    if cfg!(windows) {
        eprintln!(
            "SKIPPED: what_changes_while_it_is_read_is_not_judged: Windows keeps the name of a file that is open"
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), 8 * CHUNK_SIZE as u64);
    let blob = bytes(1, 3 * CHUNK_SIZE);
    let hash = receive(&store, &blob).unwrap();
    let mut scrub = store.scrub();
    assert!(scrub.is_due(SystemTime::now()));
    assert_eq!(scrub.step(1), Damage::default());
    store.reserve(8 * CHUNK_SIZE as u64).unwrap();
    assert!(!store.contains(&hash));
    receive(&store, &blob).unwrap();
    assert_eq!(round(&mut scrub, SystemTime::now()).1, []);
    assert!(store.contains(&hash));
}
