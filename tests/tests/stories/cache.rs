//! The cache: its limit, pinned files, and a flipped bit on the disk.

use fyteclub_client::{CacheGc, CacheWork, Event, FaultCode};
use fyteclub_proto::number::u64_of;
use fyteclub_tests::{
    SmallDisk, Town, fault,
    mods::{self, Mod, arrived, assert_same},
    within,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const MB: usize = 1_000_000;

#[tokio::test]
async fn oldest_look_is_evicted_and_used_one_stays() {
    let town = Town::new().await;
    // Four looks of 15 MB fit, five do not.
    let bob = async {
        let mut bob = town.house("Bob Birch@Balmung").config("cache_limit = \"64 MiB\"");
        bob.start().await;
        bob
    };
    let (alice, carol, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Carol Cole@Gilgamesh"), bob);
    tokio::join!(bob.befriend(&alice), bob.befriend(&carol));
    let looks: Vec<_> =
        (1..=6).map(|n| Mod::of_noise(town.path(&format!("mod{n}")), n, 5, 3 * MB).write()).collect();

    carol.publish(&looks[5].folder).await;
    let in_use = bob.fetch(&carol.player).await;
    let mut seen = Vec::new();
    for look in &looks[..5] {
        alice.publish(&look.folder).await;
        let fetched = bob.fetch(&alice.player).await;
        assert_same(&arrived(&fetched), &look.content);
        seen.push(fetched);
        let stats = bob.client().cache_stats().await.expect("stats");
        assert!(stats.bytes <= stats.limit, "{stats:?}");
    }
    // Only Alice's newest look is in use, and Carol's was never evicted.
    assert_same(&arrived(&in_use), &looks[5].content);
    assert_eq!(bob.fetch(&carol.player).await.bytes_fetched, 0);
    assert!(seen[0].files.iter().any(|file| !Path::new(&file.path).exists()), "the oldest went");
    assert!(seen[4].files.iter().all(|file| Path::new(&file.path).exists()));

    // A look that cannot fit is refused before a transfer.
    let giant = Mod::of_noise(town.path("giant"), 9, 5, 10 * MB).write();
    alice.publish(&giant.folder).await;
    let fault = fault(bob.try_fetch(&alice.player, None).await);
    assert_eq!(fault.code, FaultCode::TooLarge, "{fault:?}");
    assert!(fault.message.contains("cache_limit"), "{}", fault.message);
    assert_same(&arrived(&in_use), &looks[5].content);
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_heals() {
    let town = Town::new().await;
    let (alice, mut bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::new(town.path("mod"))
        .file("chara/a.tex", &mods::noise(1, 2 * MB))
        .file("chara/b.tex", &mods::noise(2, 1000))
        .write();
    alice.publish(&look.folder).await;
    let fetched = bob.fetch(&alice.player).await;
    let verified = bob.client().cache_verify().await.expect("verified");
    assert_eq!((verified.files, verified.bytes, verified.bad.len()), (2, 2 * u64_of(MB) + 1000, 0));

    let damaged = fetched.files.iter().max_by_key(|file| file.size).expect("two files");
    flip_a_bit(Path::new(&damaged.path));
    let verified = bob.client().cache_verify().await.expect("verified");
    assert_eq!(verified.bad, [damaged.hash]);
    let healed = bob.fetch(&alice.player).await;
    assert_eq!(healed.bytes_fetched, damaged.size);
    assert_same(&arrived(&healed), &look.content);

    // Also when the daemon did not run meanwhile.
    bob.client().shutdown().await.expect("it stops");
    bob.process().ended().await;
    flip_a_bit(Path::new(&damaged.path));
    bob.start().await;
    assert_eq!(bob.client().cache_verify().await.expect("verified").bad, [damaged.hash]);
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}

#[tokio::test]
async fn a_lost_or_damaged_index_costs_nothing_but_reading() {
    let town = Town::new().await;
    let (alice, mut bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 40, 20_000).write();
    alice.publish(&look.folder).await;
    bob.fetch(&alice.player).await;
    let index = bob.data().join("index");
    for damage in 0..3 {
        bob.kill();
        match damage {
            0 => fs::remove_dir_all(&index).expect("removed"),
            1 => each_file(&index, |bytes| bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x5a)),
            _ => each_file(&index, |bytes| bytes.truncate(bytes.len() / 3)),
        }
        bob.start().await;
        let fetched = bob.fetch(&alice.player).await;
        assert_eq!(fetched.bytes_fetched, 0, "damage {damage}");
        assert_same(&arrived(&fetched), &look.content);
    }
}

fn each_file(dir: &Path, change: impl Fn(&mut Vec<u8>) + Copy) {
    for path in fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            each_file(&path, change);
            continue;
        }
        let mut bytes = fs::read(&path).expect("read");
        change(&mut bytes);
        fs::write(&path, bytes).expect("written");
    }
}

#[tokio::test]
async fn damage_is_reported_with_players_and_files() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 20_000).write();
    alice.publish(&look.folder).await;
    let fetched = bob.fetch(&alice.player).await;
    flip_a_bit(Path::new(&fetched.files[0].path));
    let mut events = bob.client().watch().await.expect("events");
    bob.client().cache_verify().await.expect("verified");
    let mut progress = 0;
    let damage = loop {
        match within("an event", events.next()).await.expect("events").expect("an event") {
            Event::CacheProgress { work: CacheWork::Verify, files_total: 3, .. } => progress += 1,
            Event::CacheDamaged { hashes, players, published, .. } => break (hashes, players, published),
            _ => {}
        }
    };
    assert_eq!(damage, (vec![fetched.files[0].hash], vec![alice.player.clone()], false));
    assert!(progress > 0);
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}

/// Removes everything in a folder, and the folder itself if `whole`.
fn wipe(dir: &Path, whole: bool) {
    fs::remove_dir_all(dir).expect("removed");
    if !whole {
        fs::create_dir(dir).expect("made");
    }
}

#[tokio::test]
async fn a_cache_emptied_by_hand_is_fetched_anew() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 12, 20_000).file("chara/l.tex", &mods::noise(2, 2 * MB));
    let look = look.write();
    alice.publish(&look.folder).await;
    let fetched = bob.fetch(&alice.player).await;
    let (blobs, partial) = (bob.data().join("blobs"), bob.data().join("partial"));
    for round in 0..6 {
        let lost = match round {
            // One file, in the same fetch as those that are there.
            0 => {
                let file = fetched.files.iter().find(|file| file.size == 20_000).expect("a small one");
                fs::remove_file(&file.path).expect("removed");
                20_000
            }
            1 => {
                wipe(&blobs, false);
                wipe(&partial, false);
                2 * MB + 12 * 20_000
            }
            2 => {
                wipe(&blobs, true);
                wipe(&partial, true);
                2 * MB + 12 * 20_000
            }
            // Changed in place: to another size; then under the same size and time. And a folder in its place.
            _ => {
                let file = fetched.files.iter().find(|file| file.size == 20_000).expect("a small one");
                let path = Path::new(&file.path);
                match round {
                    3 => fs::write(path, b"short").expect("written"),
                    4 => flip_a_bit(path),
                    _ => {
                        fs::remove_file(path).expect("removed");
                        fs::create_dir(path).expect("made");
                        fs::write(path.join("diary.txt"), b"mine").expect("written");
                    }
                }
                20_000
            }
        };
        let out = town.path(&format!("out{round}"));
        let again = bob.try_fetch(&alice.player, Some(&out)).await.expect("fetched");
        assert_eq!(again.bytes_fetched, u64_of(lost), "round {round}");
        assert_same(&arrived(&again), &look.content);
        assert_eq!(fs::read_dir(out.join("files")).expect("written").count(), look.content.len());
        assert_eq!(bob.fetch(&alice.player).await.bytes_fetched, 0);
    }
    // Its folder for temporary files, as a cleaner removes it.
    for entry in fs::read_dir(&partial).expect("there").map(|entry| entry.expect("an entry").path()) {
        fs::remove_dir_all(entry).expect("removed");
    }
    let next = Mod::of_noise(town.path("next"), 3, 12, 20_000).write();
    alice.publish(&next.folder).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &next.content);
    // Missing files were not damaged.
    wipe(&blobs, false);
    let verified = bob.client().cache_verify().await.expect("verified");
    assert_eq!((verified.files, verified.bad.len()), (0, 0), "{verified:?}");
    assert!(verified.missing >= 12, "{verified:?}");
}

#[tokio::test]
async fn absent_disk_is_reported_until_it_is_back() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 12, 20_000).write();
    alice.publish(&look.folder).await;
    bob.fetch(&alice.player).await;
    let (disk, pulled) = (town.folder("disk"), town.path("pulled"));
    bob.client().cache_move(&disk).await.expect("moved");
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    // As after umount: the mount point is there, and empty.
    fs::rename(&disk, &pulled).expect("pulled");
    fs::create_dir(&disk).expect("a mount point");
    for out in [None, Some(town.path("out"))] {
        let fault = fault(bob.try_fetch(&alice.player, out.as_deref()).await);
        assert!(fault.message.contains("is away") && fault.retryable, "{fault:?}");
    }
    assert!(!town.path("out").exists(), "nothing is written of what is not here");
    let fault = fault(bob.client().cache_verify().await);
    assert!(fault.message.contains("is away"), "{fault:?}");
    let stats = bob.client().status().await.expect("status").cache;
    assert!(stats.away && stats.files == 12, "{stats:?}");
    fs::remove_dir(&disk).expect("nothing was written below the mount point");
    fs::rename(&pulled, &disk).expect("back");
    let back = bob.fetch(&alice.player).await;
    assert_eq!(back.bytes_fetched, 0);
    assert_same(&arrived(&back), &look.content);
    assert!(!bob.client().status().await.expect("status").cache.away);
}

#[tokio::test]
async fn cache_moves_while_running_and_gc_keeps_shown() {
    let town = Town::new().await;
    let (alice, mut bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let old = Mod::of_noise(town.path("old"), 1, 5, 20_000).write();
    let new = Mod::of_noise(town.path("new"), 2, 5, 20_000).write();
    alice.publish(&old.folder).await;
    bob.fetch(&alice.player).await;
    alice.publish(&new.folder).await;
    let shown = bob.fetch(&alice.player).await;

    let collected =
        bob.client().cache_gc(CacheGc { to: Some(0), older_than_secs: None }).await.expect("done");
    assert_eq!((collected.files, collected.bytes_left, collected.in_use), (5, 100_000, 100_000));
    assert_same(&arrived(&shown), &new.content);

    let refused = fault(bob.client().cache_move(&old.folder).await);
    assert_eq!(refused.code, FaultCode::BadRequest, "{refused:?}");
    assert!(refused.message.contains("empty folder"), "{refused:?}");
    let there = town.path("there");
    let mut events = bob.client().watch().await.expect("events");
    let moved = bob.client().cache_move(&there).await.expect("moved");
    assert_eq!((moved.files, moved.kept), (5, 5));
    loop {
        let event = within("an event", events.next()).await.expect("events").expect("an event");
        if let Event::CacheMoved { from, to } = event {
            assert_eq!((from, to), (moved.from.clone(), moved.to.clone()));
            break;
        }
    }
    // The game has the old names open, and may use the new ones.
    assert_same(&arrived(&shown), &new.content);
    let again = bob.fetch(&alice.player).await;
    assert!(again.files.iter().all(|file| Path::new(&file.path).starts_with(&moved.to)), "{again:?}");
    assert_same(&arrived(&again), &new.content);
    bob.kill();
    bob.start().await;
    let again = bob.fetch(&alice.player).await;
    assert_eq!(again.bytes_fetched, 0);
    assert_same(&arrived(&again), &new.content);
    assert!(!Path::new(&shown.files[0].path).exists(), "the old place is empty");
}

#[tokio::test]
async fn a_kill_while_it_moves_loses_nothing() {
    let town = Town::new().await;
    let targets: Vec<_> = (0..5).map(|round| town.path(&format!("there{round}"))).collect();
    killed_while_moving(&town, &targets).await;
}

#[tokio::test]
async fn kill_during_a_move_to_another_disk_loses_nothing() {
    let town = Town::new().await;
    let Some(one) = SmallDisk::mount(town.folder("one"), "64m") else { return };
    let Some(other) = SmallDisk::mount(town.folder("other"), "64m") else { return };
    // Each is on another disk than the one before, whether that move finished or not.
    let targets: Vec<_> =
        (0..6).map(|round| [one.path(), other.path()][round % 2].join(format!("there{round}"))).collect();
    let cut_short = killed_while_moving(&town, &targets).await;
    assert!(cut_short > 0, "no kill met a move");
}

/// Kills the daemon when so much of the cache is moved; returns how many moves that interrupted.
async fn killed_while_moving(town: &Town, targets: &[PathBuf]) -> usize {
    const FILES: usize = 600;
    let (alice, mut bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, FILES, 20_000).write();
    alice.publish(&look.folder).await;
    bob.fetch(&alice.player).await;
    let count = |dir: &Path| fs::read_dir(dir.join("blobs")).map_or(0, Iterator::count);
    let mut cut_short = 0;
    for (there, files) in targets.iter().zip([1, FILES / 2, 0, FILES - 1, FILES, FILES / 3]) {
        let here = PathBuf::from(bob.client().cache_stats().await.expect("stats").dir);
        let (client, target) = (bob.client().clone(), there.clone());
        let moving = tokio::spawn(async move { client.cache_move(&target).await });
        within("the move", async {
            while !moving.is_finished() && count(there) < files {
                tokio::task::yield_now().await;
            }
        })
        .await;
        bob.kill();
        cut_short += usize::from(moving.await.expect("it ends").is_err());
        bob.start().await;
        let now = PathBuf::from(bob.client().cache_stats().await.expect("stats").dir);
        assert!(now == here || now == *there, "{} and {}", here.display(), there.display());
        let left = if now == here { there } else { &here };
        assert_eq!((count(&now), count(left)), (FILES, 0), "all in one place: {files}");
        let fetched = bob.fetch(&alice.player).await;
        assert_eq!(fetched.bytes_fetched, 0, "killed at {files} files");
        assert_same(&arrived(&fetched), &look.content);
    }
    cut_short
}

/// Keeps size and time: a failing disk does not change them.
fn flip_a_bit(path: &Path) {
    let modified = fs::metadata(path).and_then(|found| found.modified()).expect("times");
    let mut bytes = fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let permissions = fs::metadata(path).expect("there").permissions();
    if permissions.readonly() {
        fs::remove_file(path).expect("replaced");
    }
    fs::write(path, bytes).expect("written");
    let file = fs::File::options().write(true).open(path).expect("opened");
    file.set_modified(modified).expect("set");
    fs::set_permissions(path, permissions).expect("set");
}
