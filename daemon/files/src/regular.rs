//! Opens files that must be regular ones. A named pipe, a socket or a device in the place of a file is an error at once:
//! opened plainly, a pipe waits for its other end, and a device may do anything.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    path::Path,
};

/// What lies in the place of a file, as the source of an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {0}, and no file")]
pub struct Irregular(&'static str);

const PIPE: &str = "a named pipe";

impl Irregular {
    /// That of this error, if it has one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// As in "it is a named pipe".
    pub fn what(&self) -> &'static str {
        self.0
    }
}

/// Opens a regular file by these options, which may make it, and never waits. Follows links.
///
/// # Errors
/// The machine's; `IsADirectory` for a folder, and one with an [`Irregular`] for what is neither.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Before it is opened, because opening alone has effects on a device; after it, because it may have been replaced.
    if let Ok(found) = fs::metadata(path) {
        regular(&found)?;
    }
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    }
    let file = options.open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// The bytes of a regular file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OpenOptions::new().read(true))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a regular file.
///
/// # Errors
/// As [`open`]; `InvalidData` for what is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path, OpenOptions::new().read(true))?.read_to_string(&mut text)?;
    Ok(text)
}

/// The text of a file that the command line named: a regular one, a pipe's, as of a shell's `<(...)`, or that of
/// `/dev/null`, which has none.
///
/// # Errors
/// As [`read_text`]; `TimedOut` for a pipe into which nothing is written for 5 s, `InvalidInput` for one with more than
/// 1 MiB.
pub fn read_named(path: &Path) -> io::Result<String> {
    if is_null(path) {
        return Ok(String::new());
    }
    match read_text(path) {
        Err(error) if Irregular::of(&error).is_some_and(|found| found.0 == PIPE) => read_pipe(path),
        read => read,
    }
}

#[cfg(unix)]
fn read_pipe(path: &Path) -> io::Result<String> {
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        fs::OFlags,
        io::{Errno, retry_on_intr},
    };
    use std::os::unix::fs::OpenOptionsExt;
    const BYTES_MAX: usize = 1024 * 1024;
    const SILENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut pipe = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        // Before a read, which takes a pipe without a writer for one that has ended.
        if retry_on_intr(|| poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&SILENCE)))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was written to this pipe for 5 s"));
        }
        match pipe.read(&mut part) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(error)
                if [Errno::AGAIN, Errno::INTR]
                    .contains(&Errno::from_io_error(&error).unwrap_or(Errno::IO)) => {}
            Err(error) => return Err(error),
        }
        if bytes.len() > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this pipe has more than 1 MiB"));
        }
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(not(unix))]
fn read_pipe(path: &Path) -> io::Result<String> {
    read_text(path)
}

/// Its number differs between systems.
#[cfg(unix)]
fn is_null(path: &Path) -> bool {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let device = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        found.file_type().is_char_device().then(|| found.rdev())
    };
    device(path).is_some_and(|found| device(Path::new("/dev/null")) == Some(found))
}

#[cfg(not(unix))]
fn is_null(_: &Path) -> bool {
    false
}

/// Refuses what is no regular file.
///
/// # Errors
/// As [`open`].
pub fn regular(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, Irregular(kind(found))))
}

/// As in "a named pipe is there"; a link itself, where it was not followed.
pub(crate) fn what(found: &Metadata) -> &'static str {
    if found.is_file() {
        "a file"
    } else if found.is_dir() {
        "a folder"
    } else if found.is_symlink() {
        "a link"
    } else {
        kind(found)
    }
}

#[cfg(unix)]
fn kind(found: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    if kind.is_fifo() {
        PIPE
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn kind(_: &Metadata) -> &'static str {
    "a device"
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::trouble::{explain, explain_state};
    use std::os::unix::net::UnixListener;

    /// Makes a named pipe.
    fn pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo");
        assert!(made.success());
    }

    /// Opened plainly, the pipe would wait for ever, to be read and to be written.
    #[test]
    fn pipes_sockets_and_devices_are_refused_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let (fifo, socket, file) =
            (dir.path().join("fifo"), dir.path().join("socket"), dir.path().join("file"));
        pipe(&fifo);
        let _listener = UnixListener::bind(&socket).expect("a socket");
        for (path, what) in
            [(&*fifo, "a named pipe"), (&socket, "a socket"), (Path::new("/dev/null"), "a device")]
        {
            let mut writing = OpenOptions::new();
            writing.write(true).create(true);
            let errors =
                [read(path).map(drop), read_text(path).map(drop), open(path, &mut writing).map(drop)];
            for error in errors.map(|result| result.expect_err("refused")) {
                assert_eq!(Irregular::of(&error).expect("its kind").what(), what);
                let told = explain(path, &error).to_string();
                let start = format!("{} is {what}, and a file is needed there; move it away", path.display());
                assert!(told.starts_with(&start), "{told}");
                let told = explain_state(path, &error).to_string();
                assert!(told.starts_with(&start) && told.ends_with("with --data-dir"), "{told}");
            }
        }
        assert_eq!(read(dir.path()).expect_err("a folder").kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read(&file).expect_err("absent").kind(), io::ErrorKind::NotFound);
        fs::write(&file, "text").expect("a file");
        assert_eq!(read_text(&file).expect("read"), "text");
    }

    #[test]
    fn null_device_that_is_named_has_no_text() {
        assert_eq!(read_named(Path::new("/dev/null")).expect("empty"), "");
        for other in ["/dev/zero", "/dev/tty"].map(Path::new) {
            read_named(other).expect_err("no file");
        }
    }

    /// As a shell's `<(...)`.
    fn through_a_pipe(bytes: Vec<u8>) -> io::Result<String> {
        use std::{io::Write, os::fd::AsRawFd};
        let (end, mut other) = io::pipe().expect("a pipe");
        let path = std::path::PathBuf::from(format!("/dev/fd/{}", end.as_raw_fd()));
        let writer = std::thread::spawn(move || other.write_all(&bytes).ok());
        let read = read_named(&path);
        // A writer into a pipe that is not read to its end fails.
        drop(end);
        writer.join().expect("written");
        read
    }

    #[test]
    fn pipe_that_is_named_is_read_to_its_end() {
        let text = "x = 1\n".repeat(50_000);
        assert_eq!(through_a_pipe(text.clone().into_bytes()).expect("read"), text);
        assert_eq!(through_a_pipe(Vec::new()).expect("empty"), "");
        let told = through_a_pipe(vec![b'x'; 2 << 20]).expect_err("too long").to_string();
        assert_eq!(told, "this pipe has more than 1 MiB");
        assert_eq!(through_a_pipe(vec![0xff]).expect_err("no text").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn named_pipe_without_a_writer_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("config.toml");
        pipe(&path);
        let error = read_named(&path).expect_err("nobody writes");
        let told = explain(&path, &error).to_string();
        let shown = path.display();
        assert_eq!(told, format!("{shown} cannot be used: nothing was written to this pipe for 5 s"));
    }

    /// Opened plainly, the pipe would hold the write for ever.
    #[test]
    fn pipe_beside_a_file_does_not_stop_its_write() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("limits.json");
        pipe(&path.with_extension("new"));
        pipe(&path);
        let (written, done) = std::sync::mpsc::channel();
        let at = path.clone();
        std::thread::spawn(move || written.send(crate::private::write(&at, b"{}")));
        done.recv_timeout(std::time::Duration::from_secs(10)).expect("at once").expect("written");
        assert_eq!(read(&path).expect("a file now"), b"{}");
    }
}
