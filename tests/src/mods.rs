//! Generated mods, the same in every run; and the content of a look's files, for comparison byte by byte.

use fyteclub_client::Fetched;
use fyteclub_penumbra as penumbra;
use fyteclub_proto::number;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Game path → the file's content.
pub type Content = BTreeMap<String, Vec<u8>>;

/// SplitMix64: small, and good enough for incompressible bytes and for dice.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}

/// Incompressible bytes.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&dice.roll().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Bytes that shrink well.
pub fn text(seed: u64, len: usize) -> Vec<u8> {
    let words = format!("chara/equipment/e{seed:04}/texture ");
    words.bytes().cycle().take(len).collect()
}

/// A Penumbra mod folder under construction.
pub struct Mod {
    folder: PathBuf,
    default: Map<String, Value>,
    groups: BTreeMap<String, Vec<Value>>,
    content: Content,
    files: usize,
}

impl Mod {
    pub fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("files")).expect("a folder");
        Self { folder, default: Map::new(), groups: BTreeMap::new(), content: Content::new(), files: 0 }
    }

    /// A mod of `count` different files of `len` bytes.
    pub fn of_noise(folder: PathBuf, seed: u64, count: usize, len: usize) -> Self {
        (0..count).fold(Self::new(folder), |new, n| {
            new.file(&format!("chara/noise/{seed}/{n:05}.tex"), &noise(seed << 20 | number::u64_of(n), len))
        })
    }

    /// A file that is always on.
    #[must_use]
    pub fn file(mut self, game_path: &str, bytes: &[u8]) -> Self {
        let file = self.put(game_path, bytes);
        self.default.insert(game_path.to_owned(), file.into());
        self.content.insert(game_path.to_owned(), bytes.to_owned());
        self
    }

    /// A game path whose file does not exist.
    #[must_use]
    pub fn claim(mut self, game_path: &str, file: &str) -> Self {
        self.default.insert(game_path.to_owned(), file.into());
        self
    }

    /// An option with one file. A group's first option is its default.
    #[must_use]
    pub fn option(mut self, group: &str, option: &str, game_path: &str, bytes: &[u8]) -> Self {
        let file = self.put(game_path, bytes);
        let options = self.groups.entry(group.to_owned()).or_default();
        if options.is_empty() {
            self.content.insert(game_path.to_owned(), bytes.to_owned());
        }
        options.push(json!({ "Name": option, "Files": { game_path: file } }));
        self
    }

    fn put(&mut self, game_path: &str, bytes: &[u8]) -> String {
        let ext = game_path.rsplit('.').next().unwrap_or("tex");
        let file = format!("files/{}.{ext}", self.files);
        self.files += 1;
        fs::write(self.folder.join(&file), bytes).expect("written");
        file
    }

    /// Writes the folder.
    pub fn write(self) -> Written {
        let put = |name: &str, value: Value| {
            fs::write(self.folder.join(name), value.to_string()).expect("written");
        };
        put("meta.json", json!({ "FileVersion": 3, "Name": "A story's mod" }));
        put("default_mod.json", json!({ "Files": self.default }));
        for (number, (name, options)) in self.groups.iter().enumerate() {
            let group = json!({ "Name": name, "Type": "Single", "DefaultSettings": 0, "Options": options });
            put(&format!("group_{:03}.json", number + 1), group);
        }
        Written { folder: self.folder, content: self.content }
    }
}

/// A mod folder, and its look with every group's default.
pub struct Written {
    pub folder: PathBuf,
    pub content: Content,
}

impl Written {
    /// The folder's file with this number, in the order of creation.
    pub fn nth(&self, number: usize, ext: &str) -> PathBuf {
        self.folder.join(format!("files/{number}.{ext}"))
    }
}

/// The fetched files.
///
/// # Panics A file is not where the daemon says.
pub fn arrived(fetched: &Fetched) -> Content {
    let mut content = Content::new();
    for file in &fetched.files {
        let bytes = fs::read(&file.path).unwrap_or_else(|error| panic!("{}: {error}", file.path));
        assert_eq!(number::u64_of(bytes.len()), file.size, "{}", file.path);
        for game_path in &file.game_paths {
            content.insert(game_path.to_string(), bytes.clone());
        }
    }
    content
}

/// The look of any mod with its defaults.
///
/// # Panics It cannot be read.
pub fn of_mod(path: &Path, scratch: &Path) -> Content {
    let resolved = penumbra::read(path, &[], scratch).expect("a mod");
    let mut content = Content::new();
    for file in resolved.files {
        let bytes = fs::read(file.source.path()).expect("a file of the mod");
        for game_path in file.game_paths {
            content.insert(game_path.to_string(), bytes.clone());
        }
    }
    content
}

/// Compares byte by byte, and prints only differences.
///
/// # Panics They differ.
#[track_caller]
pub fn assert_same(found: &Content, expected: &Content) {
    let missing: Vec<_> = expected.keys().filter(|path| !found.contains_key(*path)).collect();
    let surplus: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    let other: Vec<_> = found
        .iter()
        .filter(|(path, bytes)| expected.get(*path).is_some_and(|expected| expected != *bytes))
        .map(|(path, _)| path)
        .collect();
    assert!(
        missing.is_empty() && surplus.is_empty() && other.is_empty(),
        "missing {missing:?}, too much {surplus:?}, other bytes {other:?}"
    );
}
