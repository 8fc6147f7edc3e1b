//! A mod in a folder. Each folder is listed once, so that letter case does not matter and only listed names are opened;
//! a link is followed only when it stays inside.

use super::{
    LeftOutReason, ModError, Source,
    caps::Caps,
    contents::{Contents, Obtained, says_mod},
    relative::fold,
};
use fyteclub_proto::{limit::FILES_MAX, number::u64_of};
use std::{
    cell::Cell,
    collections::HashMap,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Most spellings of one path that are tried. Windows has one; only a case-sensitive disk has more.
const SPELLINGS_MAX: usize = 16;

pub(super) struct Folder {
    root: PathBuf,
    /// `root` with every link resolved; a link inside the mod must stay in it.
    real_root: PathBuf,
    caps: Caps,
    listings: HashMap<PathBuf, Result<Listing, LeftOutReason>>,
    /// Names that may still be listed.
    names_left: Cell<usize>,
    /// Files found so far, so that one with many game paths is checked once.
    obtained: HashMap<String, Obtained>,
}

/// Ordered by folded name, then by name.
#[derive(Default)]
struct Listing(Vec<Entry>);

struct Entry {
    name: OsString,
    /// `None` where the name equals its folded form.
    folded: Option<Box<str>>,
    is_link: bool,
}

impl Entry {
    fn folded(&self) -> &str {
        self.folded.as_deref().or_else(|| self.name.to_str()).unwrap_or_default()
    }
}

/// A listing would exceed the limit of names.
#[derive(Debug, thiserror::Error)]
#[error("the mod's folders have too many names")]
struct TooManyNames;

/// One spelling of a path that exists.
struct Found {
    /// Relative to the root.
    path: PathBuf,
    through_link: bool,
}

impl Folder {
    pub(super) fn open(root: &Path, caps: Caps) -> Result<Self, ModError> {
        let unreadable = |source| ModError::Read { path: root.to_owned(), source };
        let real_root = fs::canonicalize(root).map_err(unreadable)?;
        let names_left = Cell::new(caps.names);
        let listing = Listing::read(root, &names_left).map_err(|error| {
            if is_too_many(&error) {
                let limit = u64_of(caps.names);
                ModError::TooManyNames { path: root.to_owned(), what: "names", limit }
            } else {
                unreadable(error)
            }
        })?;
        Ok(Self {
            names_left,
            root: root.to_owned(),
            real_root,
            caps,
            listings: HashMap::from([(PathBuf::new(), Ok(listing))]),
            obtained: HashMap::new(),
        })
    }

    fn find(&mut self, parts: &[&str]) -> Result<Obtained, LeftOutReason> {
        let mut found = vec![Found { path: PathBuf::new(), through_link: false }];
        for part in parts {
            let mut next = Vec::new();
            let mut fault = LeftOutReason::Missing;
            for folder in &found {
                match self.listing(folder) {
                    Ok(listing) => next.extend(listing.spellings(part).map(|entry| Found {
                        path: folder.path.join(&entry.name),
                        through_link: folder.through_link || entry.is_link,
                    })),
                    Err(reason) => fault = reason.clone(),
                }
            }
            if next.is_empty() {
                return Err(fault);
            }
            next.truncate(SPELLINGS_MAX);
            found = next;
        }
        let mut fault = None;
        for found in found {
            match self.check(&found) {
                Ok(obtained) => return Ok(obtained),
                Err(reason) => fault = fault.or(Some(reason)),
            }
        }
        Err(fault.unwrap_or(LeftOutReason::Missing))
    }

    fn listing(&mut self, folder: &Found) -> Result<&Listing, &LeftOutReason> {
        if !self.listings.contains_key(&folder.path) {
            let listing = self.real(folder).and_then(|path| match Listing::read(&path, &self.names_left) {
                Ok(listing) => Ok(listing),
                // Anything but a folder is empty.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Listing::default()),
                Err(error) => Err(unreadable(&error)),
            });
            self.listings.insert(folder.path.clone(), listing);
        }
        self.listings[&folder.path].as_ref()
    }

    /// The path to open: without links, and inside.
    fn real(&self, found: &Found) -> Result<PathBuf, LeftOutReason> {
        let path = self.root.join(&found.path);
        if !found.through_link {
            return Ok(path);
        }
        let real = fs::canonicalize(path).map_err(|error| unreadable(&error))?;
        match real.strip_prefix(&self.real_root) {
            Ok(inside) => Ok(self.root.join(inside)),
            Err(_) => Err(LeftOutReason::Outside),
        }
    }

    fn check(&self, found: &Found) -> Result<Obtained, LeftOutReason> {
        let path = self.real(found)?;
        // Checked before it is opened: opening a pipe waits for its other end, opening a device may do anything.
        if !fs::metadata(&path).map_err(|error| unreadable(&error))?.is_file() {
            return Err(LeftOutReason::NotAFile);
        }
        let size =
            File::open(&path).and_then(|file| file.metadata()).map_err(|error| unreadable(&error))?.len();
        Ok(Obtained { source: Source::Folder(path), size })
    }
}

impl Contents for Folder {
    fn name(&self) -> String {
        let named = self.real_root.file_name().unwrap_or(self.real_root.as_os_str());
        named.to_string_lossy().into_owned()
    }

    fn top(&mut self) -> Result<Vec<String>, ModError> {
        let Some(Ok(listing)) = self.listings.get(Path::new("")) else { return Ok(Vec::new()) };
        let names = listing.0.iter().filter(|entry| says_mod(entry.folded()));
        Ok(names.map(|entry| entry.name.to_string_lossy().into_owned()).collect())
    }

    fn json<'a>(&'a mut self, name: &str) -> Result<Box<dyn Read + 'a>, ModError> {
        let found =
            self.find(&[name]).map_err(|reason| ModError::Unusable { file: name.to_owned(), reason })?;
        let path = found.source.path();
        let file = File::open(path).map_err(|source| ModError::Read { path: path.to_owned(), source })?;
        Ok(Box::new(file))
    }

    fn obtain(&mut self, parts: &[&str]) -> Result<Result<Obtained, LeftOutReason>, ModError> {
        let key = parts.join("/");
        if let Some(known) = self.obtained.get(&key) {
            return Ok(Ok(known.clone()));
        }
        let cap = self.caps.file;
        let found = self
            .find(parts)
            .and_then(|found| if found.size > cap { Err(LeftOutReason::TooLarge) } else { Ok(found) });
        if let Ok(obtained) = &found
            && self.obtained.len() < FILES_MAX
        {
            self.obtained.insert(key, obtained.clone());
        }
        Ok(found)
    }
}

impl Listing {
    fn read(path: &Path, names_left: &Cell<usize>) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Some(left) = names_left.get().checked_sub(1) else {
                return Err(io::Error::other(TooManyNames));
            };
            names_left.set(left);
            let name = entry.file_name();
            let folded = fold(&name.to_string_lossy());
            let folded = (*folded != *name).then(|| folded.into());
            listing.0.push(Entry { name, folded, is_link: entry.file_type()?.is_symlink() });
        }
        listing.0.sort_unstable_by(|a, b| (a.folded(), &a.name).cmp(&(b.folded(), &b.name)));
        Ok(listing)
    }

    /// Every entry that may be meant, the exact one first.
    fn spellings<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Entry> {
        let folded = fold(part);
        let start = self.0.partition_point(|entry| entry.folded() < folded.as_str());
        let all = &self.0[start..];
        let all = &all[..all.partition_point(|entry| entry.folded() == folded)];
        let exact = move |entry: &&Entry| entry.name == *part;
        all.iter().filter(exact).chain(all.iter().filter(move |entry| !exact(entry)))
    }
}

fn is_too_many(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<TooManyNames>())
}

fn unreadable(error: &io::Error) -> LeftOutReason {
    match error.kind() {
        io::ErrorKind::NotFound => LeftOutReason::Missing,
        _ => LeftOutReason::Unreadable(error.to_string()),
    }
}
