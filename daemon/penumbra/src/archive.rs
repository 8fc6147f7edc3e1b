//! A mod in a `.pmp`, which is a zip archive. Only files of the look are unpacked, one at a time, under names of ours.
//! An entry's announced name and size are hints.

use super::{
    LeftOutReason, ModError, Scratch, Source,
    caps::Caps,
    contents::{Contents, Obtained, says_mod},
    directory::{Directory, DirectoryError, Entry},
    kind,
    relative::{fold, fold_all, parts},
};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use fyteclub_proto::{
    game_path::known_extension,
    number::{u32_of, u64_of, usize_of},
};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// How much space is requested at a time for an entry that is longer than announced.
const SPACE_STEP: u64 = 8 << 20;
/// Most top-level folders that are distinguished.
const FOLDERS_MAX: usize = 16;
/// The compression method of an entry.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

pub(super) struct Archive<'a> {
    path: PathBuf,
    directory: Directory,
    unpacker: Unpacker,
    scratch: Scratch<'a>,
    caps: Caps,
    /// Bytes unpacked so far, kept or not.
    unpacked: u64,
    index: Index,
    obtained: HashMap<usize, Result<Obtained, LeftOutReason>>,
    /// One for all entries: one for each of thousands would fragment the heap.
    buffer: Vec<u8>,
}

impl<'a> Archive<'a> {
    pub(super) fn open(path: &Path, scratch: Scratch<'a>, caps: Caps) -> Result<Self, ModError> {
        let mut file = File::open(path).map_err(|source| ModError::Read { path: path.to_owned(), source })?;
        let directory =
            Directory::read(&mut file, caps.names, caps.directory).map_err(|error| match error {
                DirectoryError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                    ModError::Read { path: path.to_owned(), source }
                }
                DirectoryError::TooMany(limit) => {
                    ModError::TooManyNames { path: path.to_owned(), what: "entries", limit: u64_of(limit) }
                }
                error => match kind::told(&mut file) {
                    Ok(Some(what)) => ModError::OtherKind { path: path.to_owned(), what },
                    _ => ModError::NotAnArchive { path: path.to_owned(), says: error.to_string() },
                },
            })?;
        let prefix = mod_folder(path, &directory)?;
        let index = Index::new(&directory, prefix, caps)?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            unpacker: Unpacker::new(file),
            scratch,
            caps,
            unpacked: 0,
            index,
            obtained: HashMap::new(),
            buffer: vec![0; 128 * 1024],
        })
    }

    /// The outer error ends the reading, the inner one leaves this entry out.
    fn check(&self, number: usize) -> Result<Result<Entry, LeftOutReason>, ModError> {
        let Some(entry) = self.directory.entry(number) else { return Ok(Err(LeftOutReason::Missing)) };
        let name = || self.directory.names(entry).next().unwrap_or_default();
        if entry.is_encrypted() {
            return Err(ModError::Encrypted { entry: name() });
        }
        if ![STORED, DEFLATED].contains(&entry.method) {
            return Err(ModError::Packing { entry: name() });
        }
        Ok(if entry.is_regular() { Ok(*entry) } else { Err(LeftOutReason::NotAFile) })
    }

    fn unpack(&mut self, number: usize) -> Result<Result<Obtained, LeftOutReason>, ModError> {
        let left = self.caps.unpacked - self.unpacked;
        let entry = match self.check(number)? {
            Ok(entry) => entry,
            Err(reason) => return Ok(Err(reason)),
        };
        if entry.size > self.caps.file {
            return Ok(Err(LeftOutReason::TooLarge));
        }
        let name = self.directory.names(&entry).next().unwrap_or_default();
        let extension = known_extension(&name).unwrap_or("bin");
        let path = self.scratch.dir.join(format!("{number:05}.{extension}"));
        let failed = |source| ModError::Unpack { path: path.clone(), source };
        // Both before a byte is written.
        let mut reserved = entry.size;
        (self.scratch.space)(reserved).map_err(ModError::NoSpace)?;
        if let Err(reason) = self.unpacker.begin(&entry) {
            return Ok(Err(reason));
        }
        fs::create_dir_all(self.scratch.dir).map_err(failed)?;
        let mut out = File::create_new(&path).map_err(failed)?;

        let mut size = 0;
        let ended = loop {
            let read = match self.unpacker.read(&mut self.buffer) {
                Ok(0) => break Ok(None),
                Ok(read) => read,
                Err(error) => break Ok(Some(damaged(&error))),
            };
            size += u64_of(read);
            if size > left {
                break Err(ModError::UnpackedTooLarge { limit: self.caps.unpacked });
            }
            if size > self.caps.file {
                break Ok(Some(LeftOutReason::TooLarge));
            }
            if size > reserved {
                reserved += SPACE_STEP;
                if let Err(error) = (self.scratch.space)(SPACE_STEP) {
                    break Err(ModError::NoSpace(error));
                }
            }
            if let Err(error) = out.write_all(&self.buffer[..read]) {
                break Err(failed(error));
            }
        };
        self.unpacked += size;
        match ended {
            Ok(None) => Ok(Ok(Obtained { source: Source::Scratch(path), size })),
            Ok(Some(reason)) => {
                drop(out);
                fs::remove_file(&path).map_err(failed)?;
                Ok(Err(reason))
            }
            Err(error) => {
                drop(out);
                fs::remove_file(&path).map_err(failed)?;
                Err(error)
            }
        }
    }
}

impl Contents for Archive<'_> {
    fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn top(&mut self) -> Result<Vec<String>, ModError> {
        Ok(self.index.top.clone())
    }

    fn json<'a>(&'a mut self, name: &str) -> Result<Box<dyn Read + 'a>, ModError> {
        let unusable = |reason| ModError::Unusable { file: name.to_owned(), reason };
        let number =
            self.index.find(&self.directory, &[name]).ok_or_else(|| unusable(LeftOutReason::Missing))?;
        let entry = self.check(number)?.map_err(unusable)?;
        self.unpacker.begin(&entry).map_err(unusable)?;
        Ok(Box::new(&mut self.unpacker))
    }

    fn obtain(&mut self, parts: &[&str]) -> Result<Result<Obtained, LeftOutReason>, ModError> {
        let Some(number) = self.index.find(&self.directory, parts) else {
            return Ok(Err(LeftOutReason::Missing));
        };
        if let Some(known) = self.obtained.get(&number) {
            return Ok(known.clone());
        }
        let obtained = self.unpack(number)?;
        self.obtained.insert(number, obtained.clone());
        Ok(obtained)
    }
}

/// Unpacks one entry at a time and checks its checksum. One state for all entries: a new one for each fragments the
/// heap, 16 KiB for every kept file.
struct Unpacker {
    file: BufReader<File>,
    inflate: Decompress,
    entry: Entry,
    /// Packed bytes left, and unpacked bytes so far.
    left: u64,
    size: u64,
    crc: Crc,
    /// The compressed stream reached its end.
    ended: bool,
}

impl Unpacker {
    fn new(file: File) -> Self {
        Self {
            file: BufReader::new(file),
            inflate: Decompress::new(false),
            entry: Entry::default(),
            left: 0,
            size: 0,
            crc: Crc::new(),
            ended: true,
        }
    }

    /// Starts an entry.
    fn begin(&mut self, entry: &Entry) -> Result<(), LeftOutReason> {
        let data = Directory::data(&mut self.file, entry).map_err(|error| damaged(&error))?;
        self.file.seek(SeekFrom::Start(data)).map_err(|error| damaged(&error))?;
        self.inflate.reset(false);
        self.crc.reset();
        (self.entry, self.left, self.size, self.ended) = (*entry, entry.packed, 0, false);
        Ok(())
    }

    fn unpack(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let all = self.file.fill_buf()?;
            let input = &all[..all.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))];
            let (used, made) = if self.entry.method == STORED {
                let len = input.len().min(into.len());
                into[..len].copy_from_slice(&input[..len]);
                self.ended = u64_of(len) == self.left;
                (len, len)
            } else {
                let (before, made) = (self.inflate.total_in(), self.inflate.total_out());
                let status = self.inflate.decompress(input, into, FlushDecompress::None)?;
                self.ended = status == Status::StreamEnd;
                let used = self.inflate.total_in() - before;
                (usize_of(used), usize_of(self.inflate.total_out() - made))
            };
            let stuck = used == 0 && made == 0;
            self.file.consume(used);
            self.left -= u64_of(used);
            if made > 0 || self.ended {
                return Ok(made);
            }
            if stuck {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an entry is cut short"));
            }
        }
    }
}

impl Read for Unpacker {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let made = if self.ended { 0 } else { self.unpack(into)? };
        self.crc.update(&into[..made]);
        self.size += u64_of(made);
        let wrong = |says| Err(io::Error::new(io::ErrorKind::InvalidData, says));
        if self.size > self.entry.size {
            return wrong("an entry is longer than announced");
        }
        if made == 0 && (self.size, self.crc.sum()) != (self.entry.size, self.entry.crc) {
            return wrong("an entry's checksum is wrong");
        }
        Ok(made)
    }
}

/// Entries by the hash of their name, relative to the mod. A later entry replaces an earlier one of the same name.
struct Index {
    hasher: RandomState,
    exact: Vec<(u64, u32)>,
    folded: Vec<(u64, u32)>,
    top: Vec<String>,
    prefix: Option<String>,
}

impl Index {
    fn new(directory: &Directory, prefix: Option<String>, caps: Caps) -> Result<Self, ModError> {
        let mut index = Self {
            hasher: RandomState::new(),
            exact: Vec::with_capacity(directory.len()),
            folded: Vec::with_capacity(directory.len()),
            top: Vec::new(),
            prefix,
        };
        for number in 0..directory.len() {
            let Some(entry) = directory.entry(number) else { continue };
            for name in directory.names(entry).filter(|name| !is_folder(name)) {
                let Some(parts) = index.relative(&name) else { continue };
                if let [name] = parts[..]
                    && says_mod(name)
                    && !index.top.iter().rev().take(1).any(|last| last == name)
                {
                    // `meta.json` and `default_mod.json` are there beside the groups.
                    if index.top.len() > caps.groups + 1 {
                        return Err(ModError::TooMuch { count: super::Count::Groups, max: caps.groups });
                    }
                    index.top.push(name.to_owned());
                }
                let (exact, folded) = (index.hash(&parts.join("/")), index.hash(&fold_all(&parts)));
                index.exact.push((exact, u32_of(number)));
                index.folded.push((folded, u32_of(number)));
            }
        }
        for list in [&mut index.exact, &mut index.folded] {
            // The latest first, and that one stays.
            list.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            list.dedup_by_key(|(hash, _)| *hash);
        }
        index.top.sort_unstable();
        index.top.dedup();
        Ok(index)
    }

    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    /// The parts of an entry's name inside the mod.
    fn relative<'a>(&self, name: &'a str) -> Option<Vec<&'a str>> {
        let mut parts = parts(name).ok()?;
        if let Some(prefix) = &self.prefix {
            if parts.len() < 2 || fold(parts[0]) != *prefix {
                return None;
            }
            parts.remove(0);
        }
        Some(parts)
    }

    fn find(&self, directory: &Directory, wanted: &[&str]) -> Option<usize> {
        let at = |list: &[(u64, u32)], hash: u64| {
            let place = list.binary_search_by_key(&hash, |(hash, _)| *hash).ok()?;
            list.get(place).map(|(_, at)| fyteclub_proto::number::index(*at))
        };
        let folded = fold_all(wanted);
        let exact = at(&self.exact, self.hash(&wanted.join("/")));
        let number = exact.or_else(|| at(&self.folded, self.hash(&folded)))?;
        // Two names may have one hash.
        let is_it = |name: String| self.relative(&name).is_some_and(|parts| fold_all(&parts) == folded);
        directory.names(directory.entry(number)?).any(is_it).then_some(number)
    }
}

fn is_folder(name: &str) -> bool {
    name.ends_with(['/', '\\'])
}

/// The one top-level folder that holds the mod, folded; `None` when the mod lies at the top.
fn mod_folder(path: &Path, directory: &Directory) -> Result<Option<String>, ModError> {
    let (mut folders, mut textools) = (BTreeMap::new(), false);
    let entries = (0..directory.len()).filter_map(|number| directory.entry(number));
    for name in entries.flat_map(|entry| directory.names(entry)).filter(|name| !is_folder(name)) {
        match parts(&name).as_deref() {
            Ok([name]) if says_mod(name) => return Ok(None),
            Ok([name]) if name.eq_ignore_ascii_case("TTMPL.mpl") => textools = true,
            Ok([folder, name]) if says_mod(name) && folders.len() <= FOLDERS_MAX => {
                folders.insert(fold(folder), (*folder).to_owned());
            }
            _ => {}
        }
    }
    if folders.len() > 1 {
        return Err(ModError::SeveralMods {
            path: path.to_owned(),
            folders: folders.into_values().collect(),
        });
    }
    if textools && folders.is_empty() {
        let what = "a mod of TexTools (.ttmp2); import it in Penumbra, and give the folder that this makes";
        return Err(ModError::OtherKind { path: path.to_owned(), what });
    }
    Ok(folders.into_keys().next())
}

fn damaged(error: &dyn std::error::Error) -> LeftOutReason {
    LeftOutReason::Unreadable(super::error::cut(&format!("the archive is damaged: {error}")))
}
