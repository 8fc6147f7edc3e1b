//! Counts the parts of an encoded appearance without keeping any. Each type here has the wire form of its namesake.

#![expect(dead_code, reason = "what is only walked over has to be named all the same")]

use super::{error::Counts, look::ObjectKind};
use crate::{
    codec::{self, CodecError},
    id::BlobHash,
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData};

/// Counts a document's parts.
///
/// # Errors An incomplete appearance.
pub(super) fn of(document: &[u8]) -> Result<Counts, CodecError> {
    let Appearance(_, _, _, look) = codec::borrow(document)?;
    let Parts { len, of, .. } = look.0;
    Ok(Counts { objects: len, ..of })
}

#[derive(Deserialize)]
struct Appearance<'a>(u8, u64, #[serde(borrow)] &'a str, #[serde(borrow)] Look<'a>);

type Text<'a> = Option<&'a str>;

#[derive(Deserialize)]
struct Look<'a>(
    Parts<Object<'a>>,
    #[serde(borrow)] Text<'a>,
    #[serde(borrow)] Text<'a>,
    #[serde(borrow)] Text<'a>,
    #[serde(borrow)] Text<'a>,
    #[serde(borrow)] Text<'a>,
    Entries,
);

#[derive(Deserialize)]
struct Object<'a>(
    ObjectKind,
    Parts<File>,
    Parts<Swap<'a>>,
    #[serde(borrow)] Text<'a>,
    #[serde(borrow)] Text<'a>,
);

#[derive(Deserialize)]
struct File(Parts<Path>, BlobHash, u64);

#[derive(Deserialize)]
struct Swap<'a>(Parts<Path>, #[serde(borrow)] &'a str);

/// A game path.
struct Path;

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&str>::deserialize(deserializer).map(|_| Self)
    }
}

/// What one part adds to the counts.
trait Part {
    fn counts(&self) -> Counts;
}

impl Part for Path {
    fn counts(&self) -> Counts {
        Counts::default()
    }
}

impl Part for File {
    fn counts(&self) -> Counts {
        Counts { game_paths: self.0.len, ..Counts::default() }
    }
}

impl Part for Swap<'_> {
    fn counts(&self) -> Counts {
        Counts { game_paths: self.0.len, ..Counts::default() }
    }
}

impl Part for Object<'_> {
    fn counts(&self) -> Counts {
        let game_paths = self.1.of.game_paths.saturating_add(self.2.of.game_paths);
        Counts { files: self.1.len, swaps: self.2.len, game_paths, objects: 0 }
    }
}

/// A list: its length, and the sum of its parts.
struct Parts<T> {
    len: usize,
    of: Counts,
    part: PhantomData<T>,
}

impl<'de, T: Part + Deserialize<'de>> Deserialize<'de> for Parts<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartsVisitor<T>(PhantomData<T>);

        impl<'de, T: Part + Deserialize<'de>> Visitor<'de> for PartsVisitor<T> {
            type Value = Parts<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parts<T>, A::Error> {
                let mut parts = Parts { len: 0, of: Counts::default(), part: PhantomData };
                while let Some(part) = seq.next_element::<T>()? {
                    let Counts { objects, files, swaps, game_paths } = part.counts();
                    parts.len += 1;
                    parts.of.objects += objects;
                    parts.of.files += files;
                    parts.of.swaps += swaps;
                    parts.of.game_paths += game_paths;
                }
                Ok(parts)
            }
        }

        deserializer.deserialize_seq(PartsVisitor(PhantomData))
    }
}

/// A map of texts.
struct Entries;

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                while map.next_entry::<&str, &str>()?.is_some() {}
                Ok(Entries)
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}
