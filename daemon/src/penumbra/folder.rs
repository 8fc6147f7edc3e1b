//! A mod in a folder. Names are looked up in listings, each folder read once, so that letter case costs nothing and
//! nothing unlisted is ever opened; a link is followed only when it stays inside.

use super::{
    LeftOutReason, ModError, Source,
    contents::{Caps, Contents, Obtained},
    relative::fold,
};
use std::{
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
    /// `root` with every link resolved: what a link inside the mod may not leave.
    real_root: PathBuf,
    caps: Caps,
    listings: HashMap<PathBuf, Result<Listing, LeftOutReason>>,
    obtained: HashMap<String, Result<Obtained, LeftOutReason>>,
}

#[derive(Default)]
struct Listing(HashMap<String, Vec<Entry>>);

#[derive(Clone)]
struct Entry {
    name: OsString,
    is_link: bool,
}

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
        let listing = Listing::read(root).map_err(unreadable)?;
        Ok(Self {
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
            let listing = self.real(folder).and_then(|path| match Listing::read(&path) {
                Ok(listing) => Ok(listing),
                // What is no folder has nothing in it.
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
        // Before it is opened: opening a pipe waits for its other end, opening a device may do anything.
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
        Ok(listing.0.values().flatten().map(|entry| entry.name.to_string_lossy().into_owned()).collect())
    }

    fn json(&mut self, name: &str, cap: u64) -> Result<Vec<u8>, ModError> {
        let found =
            self.find(&[name]).map_err(|reason| ModError::Unusable { file: name.to_owned(), reason })?;
        let path = found.source.path();
        let unreadable = |source| ModError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(cap + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
        if bytes.len() as u64 > cap {
            return Err(ModError::JsonTooLarge { file: name.to_owned(), limit: cap });
        }
        Ok(bytes)
    }

    fn obtain(&mut self, parts: &[&str]) -> Result<Result<Obtained, LeftOutReason>, ModError> {
        let key = parts.join("/");
        if let Some(known) = self.obtained.get(&key) {
            return Ok(known.clone());
        }
        let cap = self.caps.file;
        let found = self.find(parts).and_then(|found| match found.size > cap {
            true => Err(LeftOutReason::TooLarge),
            false => Ok(found),
        });
        self.obtained.insert(key, found.clone());
        Ok(found)
    }
}

impl Listing {
    fn read(path: &Path) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            let folded = fold(&name.to_string_lossy());
            listing
                .0
                .entry(folded)
                .or_default()
                .push(Entry { name, is_link: entry.file_type()?.is_symlink() });
        }
        // The disk's order is no order: without this, two spellings could change places from run to run.
        for spellings in listing.0.values_mut() {
            spellings.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(listing)
    }

    /// Every entry that may be meant: the exact one first.
    fn spellings<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Entry> {
        let all = self.0.get(&fold(part)).map(Vec::as_slice).unwrap_or_default();
        let exact = move |entry: &&Entry| entry.name == *part;
        all.iter().filter(exact).chain(all.iter().filter(move |entry| !exact(entry)))
    }
}

fn unreadable(error: &io::Error) -> LeftOutReason {
    match error.kind() {
        io::ErrorKind::NotFound => LeftOutReason::Missing,
        _ => LeftOutReason::Unreadable(error.to_string()),
    }
}
