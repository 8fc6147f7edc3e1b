//! A full disk: a small tmpfs, where the system allows to mount one.

use super::*;
use std::io::Write;

/// A tmpfs, gone again with this.
pub(super) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one of this many MiB; `None`, which is said past the test runner, where that is not allowed.
    ///
    /// # Panics
    /// Where it is not allowed and `CI` is set: there nothing may be left out. Windows has no tmpfs to mount.
    pub(super) fn mount(mib: u32, who: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        assert!(cfg!(windows) || std::env::var_os("CI").is_none(), "{who} needs the right to mount a tmpfs");
        writeln!(std::io::stderr(), "SKIPPED: {who} needs the right to mount a tmpfs").ok();
        None
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(self.0.path()).output().ok();
    }
}

#[test]
fn a_full_disk_stops_nothing_for_good() {
    let Some(disk) = SmallDisk::mount(24, "a_full_disk_stops_nothing_for_good") else { return };
    let dir = disk.0.path().join("data");
    let store = open(&dir);
    let mut kept = vec![bytes(0, 3 * CHUNK_SIZE)];
    receive(&store, &kept[0]).unwrap();
    store.checkpoint().unwrap();

    // Space for the files and none for the index, then none for the files either.
    let ballast = disk.0.path().join("ballast");
    let mut seed = 1;
    for round in 0..3 {
        let free = super::super::os::disk_space(&dir).unwrap().free;
        fs::write(&ballast, vec![1; usize::try_from(free).unwrap().saturating_sub(3 * 1024 * 1024)]).unwrap();
        assert!(store.reserve(64 * 1024 * 1024).is_err_and(|error| error.is_disk_full()));
        loop {
            let size = if seed % 2 == 0 { 60_000 } else { 2 * CHUNK_SIZE };
            let blob = bytes(seed, size);
            seed += 1;
            match receive(&store, &blob) {
                Ok(_) => kept.push(blob),
                Err(error) => {
                    assert!(error.is_disk_full(), "{error}");
                    break;
                }
            }
        }
        // Whether sled wants more space or not, and whatever that does to it, nothing is lost.
        for _ in 0..3 {
            store.checkpoint().ok();
            let failed = receive(&store, &bytes(1_000 + round, 10 * CHUNK_SIZE));
            assert!(failed.is_err_and(|error| error.is_disk_full()));
        }
        for blob in &kept {
            assert_eq!(&read(&store, &tree(blob).hash()).unwrap(), blob);
        }
        fs::remove_file(&ballast).unwrap();
        let blob = bytes(2_000 + round, 4 * CHUNK_SIZE);
        receive(&store, &blob).unwrap();
        kept.push(blob);
        store.checkpoint().unwrap();
        assert!(store.0.index.is_usable(), "mended");
    }
    let count = store.stats().files;
    drop(store);
    let (store, opened) =
        Store::open(&dir, StoreConfig { cache_limit: u64::MAX, min_free: Some(0) }).unwrap();
    assert_eq!((opened.blobs, opened.adopted, opened.removed), (count, 0, 0));
    for blob in &kept {
        assert_eq!(&read(&store, &tree(blob).hash()).unwrap(), blob);
    }
}

#[test]
fn a_store_opens_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount(8, "a_store_opens_on_a_full_disk") else { return };
    let dir = disk.0.path().join("data");
    let blob = bytes(1, 2 * CHUNK_SIZE);
    let hash = receive(&open(&dir), &blob).unwrap();
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 16 * 1024 * 1024]).ok();
    for without_index in [false, true] {
        if without_index {
            fs::remove_dir_all(dir.join("index")).unwrap();
            fs::write(&ballast, vec![1; 16 * 1024 * 1024]).ok();
        }
        let store = open(&dir);
        assert_eq!(read(&store, &hash).unwrap(), blob);
        assert!(receive(&store, &bytes(2, 2 * CHUNK_SIZE)).is_err_and(|error| error.is_disk_full()));
    }
    fs::remove_file(&ballast).unwrap();
    let store = open(&dir);
    receive(&store, &bytes(2, 2 * CHUNK_SIZE)).unwrap();
    assert_eq!(read(&store, &hash).unwrap(), blob);
}
