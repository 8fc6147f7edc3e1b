//! The parts of a look, the rules for a received one, and its hash.

use super::error::{AppearanceError, Counts, too_many};
use crate::{game_path::GamePath, id::BlobHash, limit, number};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The hashed part: no names, times or local paths, so the same look has the same hash on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Look {
    pub objects: Vec<ObjectLook>,
    /// Penumbra's meta manipulations, from its API.
    pub meta: Option<String>,
    pub heels: Option<String>,
    pub honorific: Option<String>,
    pub moodles: Option<String>,
    pub pet_names: Option<String>,
    /// For future plugins.
    pub ext: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    Player,
    MinionOrMount,
    Companion,
    Pet,
}

impl ObjectKind {
    /// As hashed.
    fn number(self) -> u64 {
        match self {
            Self::Player => 0,
            Self::MinionOrMount => 1,
            Self::Companion => 2,
            Self::Pet => 3,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLook {
    pub kind: ObjectKind,
    /// Sorted by first game path; no game path twice in one object.
    pub files: Vec<FileEntry>,
    pub swaps: Vec<Swap>,
    pub glamourer: Option<String>,
    pub customize_plus: Option<String>,
}

/// One file and all its game paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Sorted, at least one.
    pub game_paths: Vec<GamePath>,
    pub hash: BlobHash,
    pub size: u64,
}

impl FileEntry {
    /// The file's extension on disk: that of its first game path.
    pub fn extension(&self) -> &'static str {
        self.game_paths.first().map_or("bin", GamePath::extension)
    }
}

/// Game paths for which the game reads another game path; no file is sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Swap {
    pub game_paths: Vec<GamePath>,
    pub to: GamePath,
}

impl Look {
    /// Sorts a local look, so that the same look has the same hash.
    pub fn normalise(&mut self) {
        for object in &mut self.objects {
            for file in &mut object.files {
                file.game_paths.sort_unstable();
                file.game_paths.dedup();
            }
            object.files.sort_by(|a, b| a.game_paths.cmp(&b.game_paths));
            for swap in &mut object.swaps {
                swap.game_paths.sort_unstable();
                swap.game_paths.dedup();
            }
            object.swaps.sort_unstable();
        }
        self.objects.sort_by_key(|object| object.kind);
    }

    /// Checks every rule of a look. A receiver calls it before it fetches a byte, a sender before it publishes.
    ///
    /// # Errors The first broken rule.
    pub fn check(&self) -> Result<(), AppearanceError> {
        use AppearanceError::Inconsistent;
        let objects = &self.objects;
        let of_files = objects.iter().flat_map(|o| &o.files).map(|file| file.game_paths.len());
        let of_swaps = objects.iter().flat_map(|o| &o.swaps).map(|swap| swap.game_paths.len());
        let counts = Counts {
            objects: objects.len(),
            files: objects.iter().map(|o| o.files.len()).sum(),
            swaps: objects.iter().map(|o| o.swaps.len()).sum(),
            game_paths: of_files.chain(of_swaps).sum(),
        };
        counts.check()?;

        let mut kinds = BTreeSet::new();
        let mut sizes = BTreeMap::new();
        for object in objects {
            if !kinds.insert(object.kind) {
                return Err(Inconsistent("one kind of object occurs twice"));
            }
            let mut paths = BTreeSet::new();
            for file in &object.files {
                let Some(first) = file.game_paths.first() else {
                    return Err(Inconsistent("a file has no game path"));
                };
                if file.size > limit::FILE_SIZE_MAX {
                    return Err(AppearanceError::FileTooLarge { path: first.clone(), size: file.size });
                }
                if *sizes.entry(file.hash).or_insert(file.size) != file.size {
                    return Err(Inconsistent("one hash has two sizes"));
                }
                if !file.game_paths.is_sorted() || !file.game_paths.iter().all(|path| paths.insert(path)) {
                    return Err(Inconsistent("game paths are not sorted, or one stands for two files"));
                }
            }
            if object.swaps.iter().any(|swap| swap.game_paths.is_empty()) {
                return Err(Inconsistent("a file swap has no game path"));
            }
        }
        let strings = [&self.meta, &self.heels, &self.honorific, &self.moodles, &self.pet_names].into_iter();
        let of_objects = objects.iter().flat_map(|object| [&object.glamourer, &object.customize_plus]);
        for string in strings.chain(of_objects).flatten() {
            too_many("bytes in one plugin's string", string.len(), limit::OPAQUE_BYTES_MAX)?;
        }
        too_many("extension keys", self.ext.len(), limit::EXT_KEYS_MAX)?;
        too_many("bytes of extensions", self.ext.values().map(String::len).sum(), limit::EXT_BYTES_MAX)?;
        for key in self.ext.keys() {
            too_many("bytes in an extension's key", key.len(), limit::EXT_KEY_BYTES_MAX)?;
        }
        Ok(())
    }

    /// The look's hash: BLAKE3 in `derive_key` mode over tag-and-length-prefixed fields. Expects a normalised look.
    ///
    /// An encoding of its own, so that a change of codec changes no hash.
    pub fn hash(&self) -> BlobHash {
        let mut hash = Canonical(blake3::Hasher::new_derive_key("fyteclub 2026 appearance v1"));
        hash.list(&self.objects, |hash, object| {
            hash.number(object.kind.number());
            hash.list(&object.files, |hash, file| {
                hash.list(&file.game_paths, |hash, path| hash.bytes(path.as_str().as_bytes()));
                hash.bytes(file.hash.as_bytes());
                hash.number(file.size);
            });
            hash.list(&object.swaps, |hash, swap| {
                hash.list(&swap.game_paths, |hash, path| hash.bytes(path.as_str().as_bytes()));
                hash.bytes(swap.to.as_str().as_bytes());
            });
            hash.optional(&object.glamourer);
            hash.optional(&object.customize_plus);
        });
        for string in [&self.meta, &self.heels, &self.honorific, &self.moodles, &self.pet_names] {
            hash.optional(string);
        }
        hash.number(number::u64_of(self.ext.len()));
        for (key, value) in &self.ext {
            hash.bytes(key.as_bytes());
            hash.bytes(value.as_bytes());
        }
        BlobHash::from_bytes(*hash.0.finalize().as_bytes())
    }

    /// Every distinct blob of all objects, with its size and extension on disk.
    pub fn blobs(&self) -> BTreeMap<BlobHash, (u64, &'static str)> {
        let files = self.objects.iter().flat_map(|object| &object.files);
        files.map(|file| (file.hash, (file.size, file.extension()))).collect()
    }

    /// The number of distinct files, and their bytes.
    pub fn totals(&self) -> (u64, u64) {
        let blobs = self.blobs();
        (number::u64_of(blobs.len()), blobs.values().map(|(size, _)| size).sum())
    }
}

struct Canonical(blake3::Hasher);

impl Canonical {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(number::u64_of(bytes.len()));
        self.0.update(bytes);
    }

    fn optional(&mut self, string: &Option<String>) {
        self.number(string.is_some().into());
        if let Some(string) = string {
            self.bytes(string.as_bytes());
        }
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.number(number::u64_of(items.len()));
        for item in items {
            each(self, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, look};

    #[test]
    fn the_hash_is_of_the_look_and_nothing_else() {
        let one = look(vec![file("a.tex", b"a"), file("b.tex", b"b")]);
        let other_order = look(vec![file("b.tex", b"b"), file("a.tex", b"a")]);
        assert_eq!(one.hash(), other_order.hash());
        let mut with_heels = one.clone();
        with_heels.heels = Some(String::new());
        assert_ne!(one.hash(), with_heels.hash());
        assert_ne!(one.hash(), look(vec![file("a.tex", b"b"), file("b.tex", b"a")]).hash());
    }
}
