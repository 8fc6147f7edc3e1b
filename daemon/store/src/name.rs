//! What files in the data folder are called: `<hex>.<ext>`, `<hex>.<size>.<ext>.part`, `<hex>.<size>.<ext>.have`,
//! `<n>.tmp`.
//!
//! Only extensions that the game knows become part of a name, whatever a peer says.

use fyteclub_proto::{blob::Content, game_path::EXTENSIONS, id::BlobHash};

/// The game's own extensions in one byte; anything else is `bin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ext(u8);

impl Ext {
    const OTHER: u8 = u8::MAX;

    pub(super) fn new(ext: &str) -> Self {
        let at = EXTENSIONS.iter().position(|known| *known == ext);
        Self(at.and_then(|at| u8::try_from(at).ok()).unwrap_or(Self::OTHER))
    }

    /// Under which a blob is stored when its own name cannot be had.
    pub(super) fn other(self) -> Self {
        if self.0 == Self::OTHER { Self(0) } else { Self(Self::OTHER) }
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

/// The bytes of a blob that is not complete. Its size is in the name: what one look says of it is not in another's way.
pub(super) fn part_name(content: &Content, ext: Ext) -> String {
    format!("{}.{}.{}.part", content.hash.hex(), content.size, ext.as_str())
}

/// Which of them are there.
pub(super) fn have_name(content: &Content, ext: Ext) -> String {
    format!("{}.{}.{}.have", content.hash.hex(), content.size, ext.as_str())
}

/// Whether this belongs to a blob that is not complete.
pub(super) fn is_of_part(name: &str) -> bool {
    name.strip_suffix(".part").or_else(|| name.strip_suffix(".have")).and_then(parse_stem).is_some()
}

pub(super) fn parse_part_name(name: &str) -> Option<(Content, Ext)> {
    parse_stem(name.strip_suffix(".part")?)
}

fn parse_stem(stem: &str) -> Option<(Content, Ext)> {
    let (hex, rest) = stem.split_once('.')?;
    let (digits, ext) = rest.split_once('.')?;
    let size = digits.parse::<u64>().ok().filter(|size| size.to_string() == digits)?;
    let (hash, ext) = parse_blob_name(&format!("{hex}.{ext}"))?;
    Some((Content { hash, size }, ext))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_foreign_ones_do_not() {
        let hash = BlobHash::of(b"x");
        for ext in ["tex", "mdl", "bin"] {
            assert_eq!(parse_blob_name(&blob_name(&hash, Ext::new(ext))), Some((hash, Ext::new(ext))));
            for size in [0, 7, 300_000] {
                let content = Content { hash, size };
                let part = part_name(&content, Ext::new(ext));
                assert_eq!(parse_part_name(&part), Some((content, Ext::new(ext))));
                assert!(is_of_part(&part) && is_of_part(&have_name(&content, Ext::new(ext))));
            }
        }
        for size in ["", "07", "-1", "x", "18446744073709551616"] {
            assert_eq!(parse_part_name(&format!("{}.{size}.tex.part", hash.hex())), None, "{size}");
        }
        assert_eq!(Ext::new("../../evil").as_str(), "bin");
        let upper = hash.hex().to_uppercase();
        for bad in [format!("{upper}.tex"), format!("{}.exe", hash.hex()), hash.hex(), "a.tex".into()] {
            assert_eq!(parse_blob_name(&bad), None, "{bad}");
        }
    }
}
