//! A log file of bounded size: a full one is renamed to `.1`, that to `.2`, and so on; the oldest is overwritten.

use crate::io::private;
use fyteclub_proto::number;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Including the current one.
const FILES: u32 = 4;

#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    size_max: u64,
    /// Opened at the start, and reopened after an error.
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

    /// Buffers a whole line until [`Rotating::flush`].
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let waiting = number::u64_of(self.pending.len() + line.len());
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
        // Removed, or renamed by a log rotation: the next lines belong into a new one.
        self.current.take_if(|(file, _)| !private::is_at(file, &self.path));
        let written = self.open().and_then(|_| match &mut self.current {
            Some((file, size)) => {
                *size += number::u64_of(self.pending.len());
                file.write_all(&self.pending)
            }
            None => Ok(()),
        });
        if written.is_err() {
            // The file may end in half a line: read its size again.
            self.current = None;
            self.lost += self.pending_lines;
        }
        self.pending.clear();
        self.pending_lines = 0;
        written
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lines lost to errors since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Returns the current size.
    pub(super) fn open(&mut self) -> io::Result<u64> {
        if let Some((_, size)) = &self.current {
            return Ok(*size);
        }
        let file = private::append(OpenOptions::new().append(true).create(true), &self.path)?;
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
