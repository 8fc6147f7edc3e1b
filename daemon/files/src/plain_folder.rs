//! A folder held by a handle: files in it are made, replaced and removed by name, and no link is followed. A folder or
//! link that replaces it meanwhile is not written to.
//!
//! Only the path to the folder itself may contain links, because a person gave it. Windows has no such handle: there
//! each name is checked before it is used.

#[cfg(windows)]
use std::fs::OpenOptions;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

pub struct PlainFolder {
    path: PathBuf,
    #[cfg(unix)]
    handle: std::os::fd::OwnedFd,
}

impl PlainFolder {
    /// `None` if nothing is there. A link or a file in its place is an error of the kind `NotADirectory`.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        match Self::open_at(path.to_owned(), None) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Makes the folder and its missing parents.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Self::open_at(path.to_owned(), None)
    }

    /// The subfolder of this name; `None` if nothing is there.
    pub fn folder(&self, name: &str) -> io::Result<Option<Self>> {
        match Self::open_at(self.path.join(name), Some((self, name))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(unix)]
impl PlainFolder {
    fn open_at(path: PathBuf, within: Option<(&Self, &str)>) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags, openat};
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = match within {
            Some((folder, name)) => openat(&folder.handle, name, flags, Mode::empty()),
            None => openat(rustix::fs::CWD, &path, flags, Mode::empty()),
        };
        match opened {
            Ok(handle) => Ok(Self { path, handle }),
            Err(rustix::io::Errno::LOOP) => Err(io::ErrorKind::NotADirectory.into()),
            Err(error) => Err(error.into()),
        }
    }

    pub fn create_folder(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.handle, name, rustix::fs::Mode::from_raw_mode(0o777))?)
    }

    /// Opens a regular file for reading; `None` if nothing is there. Anything else is an error.
    pub fn read(&self, name: &str) -> io::Result<Option<File>> {
        use rustix::fs::{Mode, OFlags, openat};
        // A pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if file.metadata()?.is_file() { Ok(Some(file)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// A new file; an error if the name exists.
    pub fn create_new(&self, name: &str) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags, openat};
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.handle, name, flags, Mode::from_raw_mode(0o666))?))
    }

    /// Renames `from` to `to`, replacing anything but a folder.
    pub fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Renames `from`; an error of the kind `AlreadyExists` if the name exists.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            match renameat_with(&self.handle, from, &self.handle, to, RenameFlags::NOREPLACE) {
                // Some file systems lack this flag.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
                result => return Ok(result?),
            }
        }
        match rustix::fs::statat(&self.handle, to, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => self.replace(from, to),
        }
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, name, rustix::fs::AtFlags::empty())?)
    }

    /// All names in it.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.handle)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }
}

#[cfg(windows)]
impl PlainFolder {
    fn open_at(path: PathBuf, _: Option<(&Self, &str)>) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() && !is_link(&metadata) {
            Ok(Self { path })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    pub fn create_folder(&self, name: &str) -> io::Result<()> {
        fs::create_dir(self.path.join(name))
    }

    /// Opens a regular file for reading; `None` if nothing is there. Anything else is an error.
    pub fn read(&self, name: &str) -> io::Result<Option<File>> {
        use std::os::windows::fs::OpenOptionsExt;
        const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
        let mut options = OpenOptions::new();
        let file = match options.read(true).custom_flags(OPEN_REPARSE_POINT).open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if metadata.is_file() && !is_link(&metadata) {
            Ok(Some(file))
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    /// A new file; an error if the name exists.
    pub fn create_new(&self, name: &str) -> io::Result<File> {
        File::create_new(self.path.join(name))
    }

    /// Renames `from` to `to`, replacing anything but a folder.
    pub fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    /// Renames `from`; an error of the kind `AlreadyExists` if the name exists.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match fs::symlink_metadata(self.path.join(to)) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => self.replace(from, to),
        }
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// All names in it.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        fs::read_dir(&self.path)?.map(name).collect()
    }
}

#[cfg(windows)]
fn is_link(metadata: &fs::Metadata) -> bool {
    use std::os::windows::fs::MetadataExt;
    const REPARSE_POINT: u32 = 0x0400;
    metadata.file_attributes() & REPARSE_POINT != 0
}
