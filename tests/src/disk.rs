//! A small disk in memory, for stories about full disks and several disks.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A mounted tmpfs; unmounted with the story.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `size` as for `mount`: `30m`. `None` with a message where mounting fails.
    ///
    /// # Panics Mounting fails and `CI` is set: there no story may be skipped.
    pub fn mount(at: PathBuf, size: &str) -> Option<Self> {
        let disk = Self(at);
        if disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]) {
            return Some(disk);
        }
        let why = "a small disk cannot be mounted: this story needs Linux and root";
        assert!(std::env::var_os("CI").is_none(), "must not be skipped where CI is set: {why}");
        crate::skipped(why);
        None
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn resize(&self, size: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,size={size}")]), "remounted");
    }

    fn run(&self, program: &str, args: &[&str]) -> bool {
        let mut command = Command::new(program);
        let status = command.args(args).arg(&self.0).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}
