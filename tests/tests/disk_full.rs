//! The receiver's disk fills up: the fault names the place, what came is kept, and with room the fetch goes on.

#![cfg(target_os = "linux")]

use fyteclub_client::FaultCode;
use fyteclub_tests::{
    Town, fault,
    mods::{Mod, arrived, assert_same},
    skipped,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A small disk in memory, gone with the story.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        let disk = Self(at);
        disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).then_some(disk)
    }

    fn resize(&self, size: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,size={size}")]), "remounted");
    }

    fn run(&self, program: &str, args: &[&str]) -> bool {
        let mut command = Command::new(program);
        let status = command.args(args).arg(&self.0).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

const MB: usize = 1_000_000;

#[tokio::test]
async fn the_fetch_goes_on_when_there_is_room() {
    let town = Town::new().await;
    let Some(disk) = Disk::mount(town.folder("disk"), "30m") else {
        return skipped("a small disk cannot be mounted: this story needs root");
    };
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut bob = town.house("Bob Birch@Balmung").data_dir(disk.0.join("bob"));
    bob.start().await;
    bob.befriend(&alice).await;
    let names_the_place =
        |message: &str| message.contains(disk.0.to_str().expect("Unicode")) && message.contains("full");

    // Too large from the start: nothing travels.
    let large = Mod::of_noise(town.path("large"), 1, 8, 5 * MB).write();
    alice.publish(&large.folder).await;
    let refused = fault(bob.try_fetch(&alice.player, None).await);
    assert_eq!((refused.code, refused.retryable), (FaultCode::DiskFull, true), "{refused:?}");
    assert!(names_the_place(&refused.message), "{refused:?}");
    assert_eq!(bob.client().cache_stats().await.expect("stats").files, 0);
    bob.client().cache_verify().await.expect("it lives on");

    disk.resize("100m");
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &large.content);
}

#[tokio::test]
async fn somebody_else_fills_it_meanwhile() {
    let town = Town::new().await;
    let Some(disk) = Disk::mount(town.folder("disk"), "60m") else {
        return skipped("a small disk cannot be mounted: this story needs root");
    };
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut bob = town.house("Bob Birch@Balmung").data_dir(disk.0.join("bob"));
    bob.start().await;
    bob.befriend(&alice).await;
    let look = Mod::of_noise(town.path("mod"), 1, 100, MB / 2).write();
    alice.publish(&look.folder).await;

    // Room for it all when it begins, and then somebody takes most of it.
    let mut events = bob.client().watch().await.expect("events");
    let fill = async {
        while let Some(Ok(event)) = events.next().await {
            if matches!(event, fyteclub_client::Event::AppearanceOffered { .. }) {
                break;
            }
        }
        fill(&disk.0.join("film"), 45 * MB);
    };
    let (result, ()) = tokio::join!(bob.try_fetch(&alice.player, None), fill);
    if let Err(error) = result {
        let full = fault(Err::<(), _>(error));
        assert_eq!(full.code, FaultCode::DiskFull, "{full:?}");
        assert!(full.message.contains(disk.0.to_str().expect("Unicode")), "{full:?}");
    }
    let kept = bob.client().cache_stats().await.expect("it lives on");
    fs::remove_file(disk.0.join("film")).expect("removed");
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    // Of the bytes in the cache some are promised to files that are not whole yet.
    let missing = (100 - kept.files) * (MB / 2) as u64;
    assert!(fetched.bytes_fetched <= missing, "what came is kept: {kept:?}");

    // Restarting on a full disk is no reason to lose anything either.
    fill_up(&disk.0.join("film"));
    bob.kill();
    bob.start().await;
    assert_eq!(bob.fetch(&alice.player).await.bytes_fetched, 0);
}

/// As much of it as fits.
fn fill(path: &Path, bytes: usize) {
    let _ = fs::write(path, vec![0; bytes]);
}

fn fill_up(path: &Path) {
    fill(path, 60 * MB);
}
