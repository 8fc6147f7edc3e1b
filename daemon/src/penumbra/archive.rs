//! A mod in a `.pmp`, which is a zip archive. Only what the look needs is unpacked, one stream at a time, under names
//! of ours; what an entry says of its name or size is a hint, never a promise.

use super::{
    LeftOutReason, ModError, Source,
    contents::{Caps, Contents, Obtained, says_mod},
    relative::{fold, fold_all, parts},
};
use fyteclub_proto::game_path::known_extension;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipArchive};

pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
    scratch: PathBuf,
    caps: Caps,
    /// Bytes unpacked so far, kept or not.
    unpacked: u64,
    index: Index,
    obtained: HashMap<usize, Result<Obtained, LeftOutReason>>,
}

/// Entries by name, relative to the mod. A later entry replaces an earlier one of the same name.
#[derive(Default)]
struct Index {
    exact: HashMap<String, usize>,
    folded: HashMap<String, usize>,
    top: Vec<String>,
}

impl Archive {
    pub(super) fn open(path: &Path, scratch: &Path, caps: Caps) -> Result<Self, ModError> {
        let file = File::open(path).map_err(|source| ModError::Read { path: path.to_owned(), source })?;
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|source| ModError::NotAnArchive { path: path.to_owned(), source })?;
        let names = names(&zip);
        let prefix = mod_folder(path, &names)?;
        let index = Index::new(&names, prefix.as_deref());
        Ok(Self {
            path: path.to_owned(),
            zip,
            scratch: scratch.to_owned(),
            caps,
            unpacked: 0,
            index,
            obtained: HashMap::new(),
        })
    }

    fn unpack(&mut self, number: usize) -> Result<Result<Obtained, LeftOutReason>, ModError> {
        let left = self.caps.unpacked - self.unpacked;
        let mut entry = match open_entry(&mut self.zip, number)? {
            Ok(entry) => entry,
            Err(reason) => return Ok(Err(reason)),
        };
        if !entry.is_file() {
            return Ok(Err(LeftOutReason::NotAFile));
        }
        if entry.size() > self.caps.file {
            return Ok(Err(LeftOutReason::TooLarge));
        }
        let extension = known_extension(&String::from_utf8_lossy(entry.name_raw())).unwrap_or("bin");
        let path = self.scratch.join(format!("{number:05}.{extension}"));
        let failed = |source| ModError::Unpack { path: path.clone(), source };
        fs::create_dir_all(&self.scratch).map_err(failed)?;
        let mut out = File::create_new(&path).map_err(failed)?;

        let mut size = 0;
        let mut buffer = vec![0; 128 * 1024];
        let fault = loop {
            let read = match entry.read(&mut buffer) {
                Ok(0) => break None,
                Ok(read) => read,
                Err(error) => {
                    break Some(damaged(&error));
                }
            };
            size += read as u64;
            if size > left {
                drop(out);
                fs::remove_file(&path).map_err(failed)?;
                return Err(ModError::UnpackedTooLarge { limit: self.caps.unpacked });
            }
            if size > self.caps.file {
                break Some(LeftOutReason::TooLarge);
            }
            out.write_all(&buffer[..read]).map_err(failed)?;
        };
        self.unpacked += size;
        match fault {
            None => Ok(Ok(Obtained { source: Source::Scratch(path), size })),
            Some(reason) => {
                drop(out);
                fs::remove_file(&path).map_err(failed)?;
                Ok(Err(reason))
            }
        }
    }
}

impl Contents for Archive {
    fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn top(&mut self) -> Result<Vec<String>, ModError> {
        Ok(self.index.top.clone())
    }

    fn json(&mut self, name: &str, cap: u64) -> Result<Vec<u8>, ModError> {
        let unusable = |reason| ModError::Unusable { file: name.to_owned(), reason };
        let number = self.index.find(&[name]).ok_or_else(|| unusable(LeftOutReason::Missing))?;
        let entry = open_entry(&mut self.zip, number)?.map_err(unusable)?;
        let mut bytes = Vec::new();
        entry.take(cap + 1).read_to_end(&mut bytes).map_err(|error| unusable(damaged(&error)))?;
        if bytes.len() as u64 > cap {
            return Err(ModError::JsonTooLarge { file: name.to_owned(), limit: cap });
        }
        Ok(bytes)
    }

    fn obtain(&mut self, parts: &[&str]) -> Result<Result<Obtained, LeftOutReason>, ModError> {
        let Some(number) = self.index.find(parts) else { return Ok(Err(LeftOutReason::Missing)) };
        if let Some(known) = self.obtained.get(&number) {
            return Ok(known.clone());
        }
        let obtained = self.unpack(number)?;
        self.obtained.insert(number, obtained.clone());
        Ok(obtained)
    }
}

impl Index {
    fn new(names: &[(usize, String)], prefix: Option<&str>) -> Self {
        let mut index = Self::default();
        for (number, name) in names {
            let Ok(mut parts) = parts(name) else { continue };
            if let Some(prefix) = prefix {
                if parts.len() < 2 || fold(parts[0]) != prefix {
                    continue;
                }
                parts.remove(0);
            }
            if let [name] = parts[..] {
                index.top.push(name.to_owned());
            }
            index.exact.insert(parts.join("/"), *number);
            index.folded.insert(fold_all(&parts), *number);
        }
        index
    }

    fn find(&self, parts: &[&str]) -> Option<usize> {
        self.exact.get(&parts.join("/")).or_else(|| self.folded.get(&fold_all(parts))).copied()
    }
}

/// Every file's name, by its number. A name that is UTF-8 without saying so is found under both readings.
fn names(zip: &ZipArchive<BufReader<File>>) -> Vec<(usize, String)> {
    let mut names = Vec::with_capacity(zip.len());
    for number in 0..zip.len() {
        let Ok(entry) = zip.by_index_data(number) else { continue };
        if entry.is_dir() {
            continue;
        }
        let said = entry.name().ok().map(|name| name.into_owned());
        let raw = String::from_utf8(entry.name_raw().to_vec()).ok().filter(|raw| said.as_ref() != Some(raw));
        names.extend(said.into_iter().chain(raw).map(|name| (number, name)));
    }
    names
}

/// The one top-level folder that holds the mod, folded; `None` when the mod lies at the top.
fn mod_folder(path: &Path, names: &[(usize, String)]) -> Result<Option<String>, ModError> {
    let mut folders = BTreeMap::new();
    for (_, name) in names {
        match parts(name).as_deref() {
            Ok([name]) if says_mod(name) => return Ok(None),
            Ok([folder, name]) if says_mod(name) => _ = folders.insert(fold(folder), (*folder).to_owned()),
            _ => {}
        }
    }
    if folders.len() > 1 {
        return Err(ModError::SeveralMods {
            path: path.to_owned(),
            folders: folders.into_values().collect(),
        });
    }
    Ok(folders.into_keys().next())
}

type Entry<'a> = zip::read::ZipFile<'a, BufReader<File>>;

fn open_entry(
    zip: &mut ZipArchive<BufReader<File>>,
    number: usize,
) -> Result<Result<Entry<'_>, LeftOutReason>, ModError> {
    if let Ok(entry) = zip.by_index_data(number) {
        let name = || String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.encrypted() {
            return Err(ModError::Encrypted { entry: name() });
        }
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(ModError::Packing { entry: name() });
        }
    }
    Ok(zip.by_index(number).map_err(|error| damaged(&error)))
}

fn damaged(error: &dyn std::error::Error) -> LeftOutReason {
    LeftOutReason::Unreadable(format!("the archive is damaged: {error}"))
}
