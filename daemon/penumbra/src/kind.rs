//! What a file is that is given as a mod's archive and is none, as far as its first bytes tell.

use std::io::{self, Read, Seek, SeekFrom};

/// The end of "`FILE` is …": what it is and what helps; `None` where that is not known.
///
/// # Errors
/// The file's.
pub(super) fn told(file: &mut (impl Read + Seek)) -> io::Result<Option<&'static str>> {
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(64).read_to_end(&mut start)?;
    let words = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start).trim_ascii_start();
    Ok(match &*start {
        [] => Some("empty; download it again, or export the mod in Penumbra again"),
        [b'7', b'z', 0xbc, 0xaf, ..] => Some("a 7z archive, not a .pmp; unpack it and give the mod's folder"),
        [b'R', b'a', b'r', b'!', ..] => {
            Some("a RAR archive, not a .pmp; unpack it and give the mod's folder")
        }
        _ if words.starts_with(b"<") => {
            Some("a web page, not a .pmp; download the file that the page is about, and give that")
        }
        _ => None,
    })
}
