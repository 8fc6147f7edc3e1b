//! A zip archive's list of entries. An entry costs its name and 48 bytes; memory follows the entries that are read, not
//! the announced number.
//!
//! Only the list is read here. `archive` unpacks entries.

use fyteclub_proto::number::{index, u32_of, u64_of, usize_of};
use std::{
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    ops::Range,
};

const END: [u8; 4] = *b"PK\x05\x06";
const END_BYTES: u64 = 22;
/// The longest comment that may follow the end's record.
const COMMENT_MAX: u64 = 65_535;
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_64_BYTES: u64 = 20;
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_BYTES: u64 = 46;
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const LOCAL_BYTES: u64 = 30;
/// Longest name of an entry that is kept; no mod can name a longer one.
const NAME_BYTES_MAX: usize = super::caps::PATH_BYTES_MAX;
const ZIP_64: u16 = 0x0001;
/// A name in UTF-8 beside one that is not.
const UNICODE_NAME: u16 = 0x7075;

/// Code page 437 from 0x80 on: the encoding of a name without another declaration.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    #[error("it ends too early or cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Not a zip archive, or an incomplete one.
    #[error("{0}")]
    Malformed(&'static str),
    #[error("it announces more than {0} entries")]
    TooMany(usize),
    #[error("its list of entries has more than {0} bytes")]
    TooLong(u64),
}

/// One entry of the list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    name: (u32, u32),
    /// A second name, in UTF-8, or empty.
    unicode: (u32, u32),
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub packed: u64,
    pub size: u64,
    /// Of the local header.
    offset: u64,
    /// The Unix mode; 0 where there is none.
    mode: u16,
}

impl Entry {
    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & 1 == 1
    }

    /// Whether it is a regular file, and no link or device.
    pub(super) fn is_regular(&self) -> bool {
        matches!(self.mode & 0o170_000, 0 | 0o100_000)
    }
}

pub(super) struct Directory {
    entries: Vec<Entry>,
    names: Vec<u8>,
}

impl Directory {
    /// Reads the list of at most `max` entries and `bytes_max` bytes.
    pub(super) fn read<R: Read + Seek>(
        archive: &mut R,
        max: usize,
        bytes_max: u64,
    ) -> Result<Self, DirectoryError> {
        let end = End::find(archive)?;
        // An entry has at least 46 bytes, which bounds their number.
        let possible = usize::try_from(end.bytes / ENTRY_BYTES).unwrap_or(usize::MAX);
        if end.count > u64_of(possible) {
            return Err(DirectoryError::Malformed("it announces more entries than it has bytes for"));
        }
        if end.count > u64_of(max) {
            return Err(DirectoryError::TooMany(max));
        }
        if end.bytes > bytes_max {
            return Err(DirectoryError::TooLong(bytes_max));
        }
        archive.seek(SeekFrom::Start(end.start))?;
        let mut list = BufReader::new(archive).take(end.bytes);
        let mut directory = Self { entries: Vec::with_capacity(usize_of(end.count)), names: Vec::new() };
        for _ in 0..end.count {
            directory.read_entry(&mut list, end.shift)?;
        }
        Ok(directory)
    }

    fn read_entry(&mut self, list: &mut impl BufRead, shift: u64) -> Result<(), DirectoryError> {
        let mut fixed = [0; usize_of(ENTRY_BYTES)];
        list.read_exact(&mut fixed)
            .map_err(|_| DirectoryError::Malformed("its list of entries is cut short"))?;
        let u16_at = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        if fixed[..4] != ENTRY {
            return Err(DirectoryError::Malformed("its list of entries is damaged"));
        }
        let unix = fixed[5] == 3;
        let mut entry = Entry {
            name: (0, 0),
            unicode: (0, 0),
            flags: u16_at(8),
            method: u16_at(10),
            crc: u32_at(16),
            packed: u32_at(20).into(),
            size: u32_at(24).into(),
            offset: u32_at(42).into(),
            mode: if unix { u16_at(40) } else { 0 },
        };
        let (name_len, extra_len, comment_len) = (u16_at(28), u16_at(30), u16_at(32));
        entry.name = self.keep_name(list, name_len)?;
        let mut extra = vec![0; extra_len.into()];
        list.read_exact(&mut extra)?;
        skip(list, comment_len.into())?;
        self.read_extra(&extra, &mut entry);
        entry.offset = entry.offset.saturating_add(shift);
        self.entries.push(entry);
        Ok(())
    }

    /// A name that is too long becomes an empty one.
    fn keep_name(&mut self, list: &mut impl BufRead, len: u16) -> Result<(u32, u32), DirectoryError> {
        let start = self.names.len();
        if usize::from(len) > NAME_BYTES_MAX {
            skip(list, len.into())?;
        } else {
            self.names.resize(start + usize::from(len), 0);
            list.read_exact(&mut self.names[start..])?;
        }
        Ok((u32_of(start), u32_of(self.names.len())))
    }

    fn read_extra(&mut self, mut extra: &[u8], entry: &mut Entry) {
        while let Some((head, rest)) = extra.split_first_chunk::<4>() {
            let len = usize::from(u16::from_le_bytes([head[2], head[3]]));
            let Some((field, rest)) = rest.split_at_checked(len) else { return };
            extra = rest;
            match u16::from_le_bytes([head[0], head[1]]) {
                ZIP_64 => {
                    let mut numbers = field.chunks_exact(8);
                    for number in [&mut entry.size, &mut entry.packed, &mut entry.offset] {
                        if *number == u64::from(u32::MAX)
                            && let Some(bytes) = numbers.next().and_then(|bytes| bytes.first_chunk())
                        {
                            *number = u64::from_le_bytes(*bytes);
                        }
                    }
                }
                // A version and the other name's CRC precede it.
                UNICODE_NAME if (6..6 + NAME_BYTES_MAX).contains(&len) && field[0] == 1 => {
                    let start = u32_of(self.names.len());
                    self.names.extend_from_slice(&field[5..]);
                    entry.unicode = (start, u32_of(self.names.len()));
                }
                _ => {}
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entry(&self, number: usize) -> Option<&Entry> {
        self.entries.get(number)
    }

    /// Every reading of an entry's name: its declared encoding, and UTF-8 where it is valid without the declaration.
    pub(super) fn names(&self, entry: &Entry) -> impl Iterator<Item = String> {
        let text = |(start, end): (u32, u32)| &self.names[Range { start: index(start), end: index(end) }];
        let raw = text(entry.name);
        let utf8 = std::str::from_utf8(raw).ok().map(str::to_owned);
        let marked = entry.flags & 0x800 != 0;
        let other = (!marked && !raw.is_ascii() || utf8.is_none()).then(|| cp437(raw));
        let unicode = std::str::from_utf8(text(entry.unicode)).ok().filter(|name| !name.is_empty());
        [other, utf8, unicode.map(str::to_owned)].into_iter().flatten()
    }

    /// Where an entry's bytes begin, by its local header.
    pub(super) fn data<R: Read + Seek>(archive: &mut R, entry: &Entry) -> Result<u64, DirectoryError> {
        let mut header = [0; usize_of(LOCAL_BYTES)];
        archive.seek(SeekFrom::Start(entry.offset))?;
        archive.read_exact(&mut header)?;
        if header[..4] != LOCAL {
            return Err(DirectoryError::Malformed("an entry is not at its announced offset"));
        }
        let len = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
        Ok(entry.offset.saturating_add(LOCAL_BYTES + len(26) + len(28)))
    }
}

fn cp437(raw: &[u8]) -> String {
    let letter = |byte: &u8| match byte {
        0..0x80 => char::from(*byte),
        byte => CP437.chars().nth(usize::from(byte - 0x80)).unwrap_or('?'),
    };
    raw.iter().map(letter).collect()
}

fn skip(list: &mut impl BufRead, bytes: u64) -> Result<(), DirectoryError> {
    if io::copy(&mut list.take(bytes), &mut io::sink())? == bytes {
        Ok(())
    } else {
        Err(DirectoryError::Malformed("its list of entries is cut short"))
    }
}

/// The end-of-central-directory record.
struct End {
    count: u64,
    /// Where the list begins in the file, and its length.
    start: u64,
    bytes: u64,
    /// Bytes before the archive, added to all offsets.
    shift: u64,
}

impl End {
    fn find<R: Read + Seek>(archive: &mut R) -> Result<Self, DirectoryError> {
        let len = archive.seek(SeekFrom::End(0))?;
        let from = len.saturating_sub(END_BYTES + COMMENT_MAX + LOCATOR_64_BYTES);
        archive.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        archive.take(len - from).read_to_end(&mut tail)?;
        let last = tail.len().checked_sub(usize_of(END_BYTES));
        // A comment may contain the same bytes: the record gives its comment's length.
        let is_record = |at: &usize| tail[*at..].starts_with(&END);
        let ends = |at: &usize| {
            let comment = u16::from_le_bytes([tail[at + 20], tail[at + 21]]);
            at + usize_of(END_BYTES) + usize::from(comment) == tail.len()
        };
        let records = |last: usize| (0..=last).rev().filter(is_record);
        let at = last.and_then(|last| records(last).find(ends).or_else(|| records(last).next()));
        let at = at.ok_or(DirectoryError::Malformed("it has no list of entries"))?;
        let record = &tail[at..];
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([record[at], record[at + 1]]));
        let u32_at = |at: usize| u16_at(at) | u16_at(at + 2) << 16;
        let (count, bytes, start) = (u16_at(10), u32_at(12), u32_at(16));
        let end = from + u64_of(at);
        let locator = at.checked_sub(usize_of(LOCATOR_64_BYTES)).map(|at| &tail[at..]);
        match locator.filter(|locator| locator.starts_with(&LOCATOR_64)) {
            Some(locator) => Self::find_64(archive, locator, end - LOCATOR_64_BYTES),
            None => Self::new(count, bytes, start, end),
        }
    }

    fn find_64<R: Read + Seek>(archive: &mut R, locator: &[u8], end: u64) -> Result<Self, DirectoryError> {
        let said = u64_at(locator, 8);
        // At the announced offset, or right before the locator, when bytes precede the archive.
        for at in [said, end.saturating_sub(56)] {
            let mut record = [0; 56];
            archive.seek(SeekFrom::Start(at))?;
            if archive.read_exact(&mut record).is_ok() && record.starts_with(&END_64) {
                return Self::new(u64_at(&record, 32), u64_at(&record, 40), u64_at(&record, 48), at);
            }
        }
        Err(DirectoryError::Malformed("its end record is damaged"))
    }

    /// `end` is where the record begins, and so where the list ends.
    fn new(count: u64, bytes: u64, start: u64, end: u64) -> Result<Self, DirectoryError> {
        let real = end.checked_sub(bytes).ok_or(DirectoryError::Malformed("it is cut short"))?;
        let shift = real.checked_sub(start).ok_or(DirectoryError::Malformed("it is cut short"))?;
        Ok(Self { count, start: real, bytes, shift })
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
