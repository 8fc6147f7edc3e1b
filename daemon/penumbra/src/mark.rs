//! The mark in an exported folder: whose look it is, and the written files by name, size and hash.

use fyteclub_proto::{
    chunk_tree::TreeBuilder,
    id::BlobHash,
    limit::{CHUNK_SIZE, FILES_MAX},
    number::u64_of,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};
use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read, Seek, Write},
};

pub(super) const MARK: &str = ".fyteclub-export.json";
/// A look with the most files has about half of it.
const MARK_BYTES_MAX: u64 = 8 << 20;
/// The files of a look, of the one before it, and the two JSON files.
const LISTED_MAX: usize = 2 * FILES_MAX + 2;
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    version: u32,
    pub player: String,
    /// Prefix of names of temporary files. Random: no other file has such a name.
    temp: String,
    /// Whether the last export finished.
    pub finished: bool,
    /// Names relative to the folder, `/`-separated.
    #[serde(deserialize_with = "listed")]
    pub files: BTreeMap<String, Stamp>,
}

/// Identifies a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: u64,
    hash: BlobHash,
}

impl Stamp {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { size: u64_of(bytes.len()), hash: BlobHash::of(bytes) }
    }

    pub(super) fn is_of(&self, hash: &BlobHash) -> bool {
        self.hash == *hash
    }
}

impl Mark {
    pub(super) fn new(player: &str) -> io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let temp: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let player = player.to_owned();
        Ok(Self { version: VERSION, player, temp, finished: false, files: BTreeMap::new() })
    }

    /// `None` if it is no mark of ours.
    pub(super) fn read(file: File) -> Option<Self> {
        let mut bytes = Vec::new();
        file.take(MARK_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let mark: Self = serde_json::from_slice(&bytes).ok()?;
        let is_token = mark.temp.len() == 32 && mark.temp.bytes().all(|byte| byte.is_ascii_hexdigit());
        (mark.version == VERSION && is_token).then_some(mark)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn temp_name(&self, number: u32) -> String {
        format!(".{}-{number}.part", self.temp)
    }

    pub(super) fn is_temp(&self, name: &str) -> bool {
        name.strip_prefix('.').and_then(|rest| rest.strip_prefix(self.temp.as_str())).is_some()
    }

    /// Whether an export wrote this file under this name, and nobody changed it since.
    pub(super) fn wrote(&self, name: &str, mut there: &File) -> bool {
        let Some(stamp) = self.files.get(name) else { return false };
        let size = there.metadata().map(|metadata| metadata.len());
        size.is_ok_and(|size| size == stamp.size)
            && there.rewind().is_ok()
            && hash(&mut there, &mut io::sink()).is_ok_and(|now| now == *stamp)
    }
}

/// Copies, and returns the stamp of the copied bytes.
pub(super) fn hash(from: &mut impl Read, to: &mut impl Write) -> io::Result<Stamp> {
    let mut builder = TreeBuilder::default();
    let mut chunk = Vec::with_capacity(CHUNK_SIZE);
    loop {
        chunk.clear();
        from.by_ref().take(u64_of(CHUNK_SIZE)).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            break;
        }
        to.write_all(&chunk)?;
        builder.push(&chunk);
        if chunk.len() < CHUNK_SIZE {
            break;
        }
    }
    let tree = builder.finish();
    Ok(Stamp { size: tree.size(), hash: tree.hash() })
}

fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Stamp>, D::Error> {
    struct ListVisitor;

    impl<'de> Visitor<'de> for ListVisitor {
        type Value = BTreeMap<String, Stamp>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of files")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut files = BTreeMap::new();
            while let Some((name, stamp)) = map.next_entry()? {
                if files.len() == LISTED_MAX {
                    return Err(Error::custom("it lists more files than a look has"));
                }
                files.insert(name, stamp);
            }
            Ok(files)
        }
    }

    deserializer.deserialize_map(ListVisitor)
}
