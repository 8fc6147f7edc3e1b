//! What files in the data folder are called: `<hex>.<ext>`, `<hex>.<ext>.part`, `<hex>.<ext>.have`, `<n>.tmp`.
//!
//! Only extensions that the game knows become part of a name, whatever a peer says.

use fyteclub_proto::{game_path::EXTENSIONS, id::BlobHash};

/// The game's own extensions in one byte; anything else is `bin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ext(u8);

impl Ext {
    const OTHER: u8 = u8::MAX;

    pub(super) fn new(ext: &str) -> Self {
        Self(EXTENSIONS.iter().position(|known| *known == ext).map_or(Self::OTHER, |at| at as u8))
    }

    pub(super) fn as_str(self) -> &'static str {
        EXTENSIONS.get(usize::from(self.0)).copied().unwrap_or("bin")
    }
}

pub(super) fn blob_name(hash: &BlobHash, ext: Ext) -> String {
    format!("{}.{}", hash.hex(), ext.as_str())
}

/// The reverse of [`blob_name`]; `None` for names that the store never gives.
pub(super) fn parse_blob_name(name: &str) -> Option<(BlobHash, Ext)> {
    let (hex, ext) = name.split_once('.')?;
    let known = Ext::new(ext);
    (known.as_str() == ext).then_some(())?;
    Some((BlobHash::from_hex(hex)?, known))
}

/// The bytes of a blob that is not complete.
pub(super) fn part_name(hash: &BlobHash, ext: Ext) -> String {
    blob_name(hash, ext) + ".part"
}

/// Which of them are there.
pub(super) fn have_name(hash: &BlobHash, ext: Ext) -> String {
    blob_name(hash, ext) + ".have"
}

/// Whether this belongs to a blob that is not complete.
pub(super) fn is_of_part(name: &str) -> bool {
    name.strip_suffix(".part").or_else(|| name.strip_suffix(".have")).and_then(parse_blob_name).is_some()
}

pub(super) fn parse_part_name(name: &str) -> Option<(BlobHash, Ext)> {
    parse_blob_name(name.strip_suffix(".part")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_foreign_ones_do_not() {
        let hash = BlobHash::of(b"x");
        for ext in ["tex", "mdl", "bin"] {
            assert_eq!(parse_blob_name(&blob_name(&hash, Ext::new(ext))), Some((hash, Ext::new(ext))));
            assert_eq!(parse_part_name(&part_name(&hash, Ext::new(ext))), Some((hash, Ext::new(ext))));
        }
        assert_eq!(Ext::new("../../evil").as_str(), "bin");
        let upper = hash.hex().to_uppercase();
        for bad in [format!("{upper}.tex"), format!("{}.exe", hash.hex()), hash.hex(), "a.tex".into()] {
            assert_eq!(parse_blob_name(&bad), None, "{bad}");
        }
    }
}
