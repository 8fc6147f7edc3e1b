//! What differs between systems: positional reads and writes, what tells a changed file from an unchanged one, syncing
//! a folder of files, free space, paths as bytes. Nothing here knows what the files are for.

use super::error::StoreError;
use fyteclub_files::regular::{self, Irregular};
use fyteclub_proto::number::u64_of;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, Metadata, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A file's size and times, by which it is recognised without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub size: u64,
    pub mtime_ns: i64,
    /// When name, owner or content last changed. Unlike `mtime_ns` no program can set it back. 0 where there is none,
    /// or where it is not known.
    pub ctime_ns: i64,
    /// The inode, or on Windows the time of creation; 0 where it is not known.
    pub id: u64,
}

/// What a file's stamp says about its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    Same,
    /// Size and time are those of before, but it was renamed, copied or touched: only its bytes can tell.
    Doubtful,
    Changed,
}

impl Stamp {
    /// Of a file that may be on any disk.
    pub(super) fn of(metadata: &Metadata) -> Self {
        let stamp = Self::of_cached(metadata);
        Self { id: stamp.id ^ disk_number(metadata).rotate_left(32), ..stamp }
    }

    /// Of a file in the cache. Its disk is known by the folder, and is not told here: many disks have another number
    /// after each start of the machine.
    pub(super) fn of_cached(metadata: &Metadata) -> Self {
        let (ctime_ns, id) = change_time_and_id(metadata);
        let mtime_ns = metadata.modified().map_or(0, nanos);
        Self { size: metadata.len(), mtime_ns, ctime_ns, id }
    }

    /// Of a cached file that the store renamed to `path`, or gave it as a second name: that changes the time of change.
    /// As it was, where something else changed as well.
    pub(super) fn renamed(self, path: &Path) -> Self {
        let now = std::fs::metadata(path).map(|found| Self::of_cached(&found));
        now.ok().filter(|now| now.is_renamed(&self)).unwrap_or(self)
    }

    /// Whether it is the same file, which at most got another name or permission.
    pub(super) fn is_renamed(&self, before: &Self) -> bool {
        Self { ctime_ns: before.ctime_ns, ..*self } == *before
    }

    pub(super) fn likeness(&self, now: &Self) -> Likeness {
        if (self.size, self.mtime_ns) != (now.size, now.mtime_ns) {
            Likeness::Changed
        } else if self == now {
            Likeness::Same
        } else {
            Likeness::Doubtful
        }
    }
}

/// Nanoseconds since 1970, negative before it.
pub(super) fn nanos(time: SystemTime) -> i64 {
    let signed = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -signed(before.duration()), signed)
}

#[cfg(unix)]
fn change_time_and_id(metadata: &Metadata) -> (i64, u64) {
    use std::os::unix::fs::MetadataExt;
    let ctime = metadata.ctime().saturating_mul(1_000_000_000).saturating_add(metadata.ctime_nsec());
    (ctime, metadata.ino())
}

#[cfg(unix)]
fn disk_number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(metadata)
}

#[cfg(not(unix))]
fn change_time_and_id(metadata: &Metadata) -> (i64, u64) {
    (0, metadata.created().map_or(0, |time| nanos(time).cast_unsigned()))
}

#[cfg(not(unix))]
fn disk_number(_: &Metadata) -> u64 {
    0
}

/// Which folder a path leads to now: another one once its disk is away and the mount point shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FolderId {
    pub disk: u64,
    pub folder: u64,
}

/// Follows links.
#[cfg(unix)]
pub(super) fn folder_id(path: &Path) -> io::Result<FolderId> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(FolderId { disk: found.dev(), folder: found.ino() })
}

/// A disk that is away takes its letter along, so any folder that is there is the one: no number of it can be asked for
/// here, and Wine has the time of its making move with every file.
#[cfg(not(unix))]
pub(super) fn folder_id(path: &Path) -> io::Result<FolderId> {
    let found = std::fs::metadata(path)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(FolderId { disk: 0, folder: 0 })
}

/// Which file this is, and how long: names come and go. `None` where the system does not say.
pub(super) fn file_id(file: &File) -> Option<(u64, u64)> {
    let stamp = Stamp::of(&file.metadata().ok()?);
    Some((stamp.id, stamp.size))
}

/// Whether `path` leads to this file.
pub(super) fn is_file(path: &Path, id: Option<(u64, u64)>) -> bool {
    std::fs::metadata(path).is_ok_and(|found| {
        let stamp = Stamp::of(&found);
        id.is_none_or(|id| id == (stamp.id, stamp.size))
    })
}

#[cfg(test)]
thread_local! {
    /// How many files this thread has opened by [`open_regular`]: by it tests know that a file was not read.
    pub(super) static OPENED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    /// What this thread can neither remove, rename nor replace: as an immutable file, or a folder that is a mount
    /// point.
    pub(super) static STUCK: std::cell::RefCell<Vec<PathBuf>> = const { std::cell::RefCell::new(Vec::new()) };
    /// Files that this thread cannot open: as another user's.
    pub(super) static UNREADABLE: std::cell::RefCell<Vec<PathBuf>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Fails for paths of [`STUCK`] in tests.
fn movable(paths: &[&Path]) -> io::Result<()> {
    #[cfg(test)]
    if STUCK.with_borrow(|stuck| paths.iter().any(|path| stuck.iter().any(|other| other == path))) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let _ = paths;
    Ok(())
}

/// As the standard library's; tests can have it fail.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    movable(&[path])?;
    std::fs::remove_file(path)
}

/// As the standard library's; tests can have it fail.
pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    movable(&[path])?;
    std::fs::remove_dir(path)
}

/// As the standard library's; tests can have it fail.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    movable(&[from, to])?;
    std::fs::rename(from, to)
}

/// Whether an error is one file's own, its permissions or its place on the disk, and not the machine's or the moment's.
pub(super) fn is_of_one_file(error: &io::Error) -> bool {
    // EIO; ERROR_CRC, ERROR_IO_DEVICE.
    let damaged: &[i32] = if cfg!(windows) { &[23, 1117] } else { &[5] };
    error.kind() == io::ErrorKind::PermissionDenied
        || error.raw_os_error().is_some_and(|number| damaged.contains(&number))
}

/// Opens a regular file for reading and nothing else.
pub(super) fn open_regular(path: &Path) -> Result<(File, Stamp), StoreError> {
    #[cfg(test)]
    if UNREADABLE.with_borrow(|paths| paths.iter().any(|other| other == path)) {
        return Err(StoreError::at(path, io::ErrorKind::PermissionDenied.into()));
    }
    let opened = regular::open(path, OpenOptions::new().read(true));
    let file = opened.map_err(|error| match error {
        error if is_no_file(&error) => StoreError::NotAFile { path: path.to_owned() },
        error => StoreError::at(path, error),
    })?;
    #[cfg(test)]
    OPENED.set(OPENED.get() + 1);
    let metadata = file.metadata().map_err(|e| StoreError::at(path, e))?;
    Ok((file, Stamp::of(&metadata)))
}

/// Whether an error says that a folder, a pipe, a socket or a device lies in a file's place.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::IsADirectory || Irregular::of(error).is_some()
}

#[cfg(unix)]
pub(super) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
pub(super) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => (bytes, offset) = (&bytes[n..], offset + u64_of(n)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => (bytes, offset) = (&mut std::mem::take(&mut bytes)[n..], offset + u64_of(n)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Makes `bytes` the `len` bytes at `offset`, without clearing memory that is about to be filled.
#[cfg(unix)]
pub(super) fn read_vec_at(file: &File, bytes: &mut Vec<u8>, len: usize, mut offset: u64) -> io::Result<()> {
    bytes.clear();
    bytes.reserve_exact(len);
    while bytes.len() < len {
        match rustix::io::pread(file, rustix::buffer::spare_capacity(bytes), offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => offset += u64_of(n),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // There may have been more capacity than that.
    bytes.truncate(len);
    Ok(())
}

#[cfg(windows)]
pub(super) fn read_vec_at(file: &File, bytes: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<()> {
    bytes.resize(len, 0);
    read_exact_at(file, bytes, offset)
}

/// From how many files on one `syncfs` is cheaper than an fsync each. Below it the rest of the disk is not synced.
#[cfg(target_os = "linux")]
const SYNC_EACH_MAX: usize = 16;

/// Makes the bytes of these files of one folder survive a loss of power. Files that are gone are passed over.
pub(super) fn sync_files(dir: &Path, files: &[PathBuf]) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if files.len() > SYNC_EACH_MAX {
        return Ok(rustix::fs::syncfs(File::open(dir)?)?);
    }
    for path in files {
        // Windows flushes only through a handle that may write.
        match regular::open(path, OpenOptions::new().read(true).write(cfg!(windows))) {
            Ok(file) => file.sync_all()?,
            // One that cannot be opened is not as it was left: the next look at it finds out.
            Err(e) if e.kind() == io::ErrorKind::NotFound || is_no_file(&e) || is_of_one_file(&e) => {}
            Err(e) => return Err(e),
        }
    }
    if cfg!(unix) && !files.is_empty() { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Has each folder that is made in `dir` start in a part of the disk of its own. Only ext4 knows this, and only there
/// it matters: a file is created where its folder is, and where many files have lately been deleted, by whomever, that
/// takes 100 times as long (17,000 or 1,000 files a second). Best effort.
pub(super) fn spread_folders_of(dir: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(dir) = File::open(dir)
        && let Ok(flags) = rustix::fs::ioctl_getflags(&dir)
    {
        rustix::fs::ioctl_setflags(&dir, flags | rustix::fs::IFlags::TOPDIR).ok();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = dir;
}

/// How long another holder of a lock is waited for: a child that was just forked has it until it becomes itself.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(2);
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Takes the lock that goes with the file, until it is closed. On a file system without locks it counts as locked.
pub(super) fn lock_file(path: &Path) -> Result<File, StoreError> {
    let file = regular::open(path, OpenOptions::new().write(true).create(true).truncate(false));
    let file = file.map_err(|e| StoreError::at(path, e))?;
    let start = Instant::now();
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if start.elapsed() > LOCK_PATIENCE {
            return Err(StoreError::InUse { path: path.to_owned() });
        }
        thread::sleep(LOCK_PAUSE);
    }
    Ok(file)
}

/// The space of a disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskSpace {
    /// Bytes that this user may still write.
    pub free: u64,
    pub total: u64,
}

/// The space of the disk with `dir`; `None` where the system does not say.
#[cfg(unix)]
pub(super) fn disk_space(dir: &Path) -> Option<DiskSpace> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(DiskSpace { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
}

#[cfg(not(unix))]
pub(super) fn disk_space(dir: &Path) -> Option<DiskSpace> {
    Some(DiskSpace { free: fs2::available_space(dir).ok()?, total: fs2::total_space(dir).ok()? })
}

/// Tells the system that this file is not read again soon, so that it keeps other files in memory. Best effort.
pub(super) fn forget_pages(file: &File) {
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).ok();
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Gives `path` the time at which `like` was written.
pub(super) fn set_modified(path: &Path, like: &Path) -> io::Result<()> {
    let modified = std::fs::metadata(like)?.modified()?;
    OpenOptions::new().write(true).open(path)?.set_modified(modified)
}

/// A path as bytes that [`path_from_bytes`] reads back exactly.
#[cfg(unix)]
pub(super) fn path_to_bytes(path: &Path) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec()
}

#[cfg(unix)]
pub(super) fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).into()
}

#[cfg(windows)]
pub(super) fn path_to_bytes(path: &Path) -> Vec<u8> {
    std::os::windows::ffi::OsStrExt::encode_wide(path.as_os_str()).flat_map(u16::to_be_bytes).collect()
}

#[cfg(windows)]
pub(super) fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    let wide: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    <std::ffi::OsString as std::os::windows::ffi::OsStringExt>::from_wide(&wide).into()
}

/// The files of a folder, by name.
pub(super) fn names(
    dir: &Path,
) -> Result<impl Iterator<Item = (String, std::fs::DirEntry)> + use<>, StoreError> {
    let entries = std::fs::read_dir(dir).map_err(|e| StoreError::at(dir, e))?;
    Ok(entries
        .filter_map(|entry| entry.ok())
        .map(|entry| (entry.file_name().to_string_lossy().into(), entry)))
}

/// Refuses a folder with something in it that is neither a file nor a folder. One that cannot be read passes.
pub(super) fn only_files_in(dir: &Path) -> Result<(), StoreError> {
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        match std::fs::metadata(&path).map(|found| regular::regular(&found)) {
            Ok(Err(error)) if Irregular::of(&error).is_some() => return Err(StoreError::NotAFile { path }),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the names in a folder survive a loss of power, where folders can be flushed.
pub(super) fn sync_folder(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
