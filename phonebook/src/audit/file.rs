//! A file that never grows above its size: a full one becomes `.1`, that `.2`, and so on; the oldest goes.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The current one included.
const FILES: u32 = 4;

#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    size_max: u64,
    /// Opened at the first line, and again after a failure.
    current: Option<(File, u64)>,
    pending: Vec<u8>,
    pending_lines: u64,
    lost: u64,
}

impl Rotating {
    pub(super) fn new(path: &Path, size_max: u64) -> Self {
        Self {
            path: path.to_owned(),
            size_max,
            current: None,
            pending: Vec::new(),
            pending_lines: 0,
            lost: 0,
        }
    }

    /// Takes a whole line; [`Rotating::flush`] brings it to the disk.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let waiting = (self.pending.len() + line.len()) as u64;
        if self.open()? + waiting > self.size_max {
            self.flush()?;
            self.rotate()?;
            self.open()?;
        }
        self.pending.extend_from_slice(line);
        self.pending_lines += 1;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.open().and_then(|_| match &mut self.current {
            Some((file, size)) => {
                *size += self.pending.len() as u64;
                file.write_all(&self.pending)
            }
            None => Ok(()),
        });
        if written.is_err() {
            // Half a line may be there: look again at what is.
            self.current = None;
            self.lost += self.pending_lines;
        }
        self.pending.clear();
        self.pending_lines = 0;
        written
    }

    /// Lines that were taken and did not reach the disk, since the last time this was asked.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// The current file's size.
    fn open(&mut self) -> io::Result<u64> {
        if let Some((_, size)) = &self.current {
            return Ok(*size);
        }
        let file = crate::io::private::append(OpenOptions::new().append(true).create(true), &self.path)?;
        let size = file.metadata()?.len();
        self.current = Some((file, size));
        Ok(size)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.current = None;
        for older in (1..FILES).rev() {
            let newer = self.numbered(older - 1);
            if newer.exists() {
                fs::rename(newer, self.numbered(older))?;
            }
        }
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }
}
