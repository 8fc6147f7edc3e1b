//! Names inside a mod: their parts, and when two of them mean one file.
//!
//! Mods are made on Windows, so `\` separates, letter case does not count, and a name's trailing dots and spaces are
//! ignored. Nothing here touches a disk.

use super::{LeftOutReason, caps::PATH_BYTES_MAX};

/// The parts of a path relative to the mod. An absolute path, a drive, a stream of NTFS and `..` lead outside.
pub(super) fn parts(relative: &str) -> Result<Vec<&str>, LeftOutReason> {
    if relative.starts_with(['/', '\\']) || relative.contains(':') {
        return Err(LeftOutReason::Outside);
    }
    if relative.len() > PATH_BYTES_MAX {
        return Err(LeftOutReason::TooLong);
    }
    let parts: Vec<&str> =
        relative.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").collect();
    // Windows drops trailing spaces and dots, so `.. ` is `..` there.
    if parts.iter().any(|part| part.starts_with("..") && part.trim_end_matches([' ', '.']).is_empty()) {
        return Err(LeftOutReason::Outside);
    }
    if parts.is_empty() { Err(LeftOutReason::Missing) } else { Ok(parts) }
}

/// Equal for names that are one on Windows.
pub(super) fn fold(part: &str) -> String {
    part.trim_end_matches([' ', '.']).to_lowercase()
}

/// [`fold`] of a whole path.
pub(super) fn fold_all(parts: &[&str]) -> String {
    parts.iter().map(|part| fold(part)).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_outside_differ_from_odd_paths() {
        for odd in ["a/b.tex", "a\\b.tex", "./a//b.tex", "a/./b.tex"] {
            assert_eq!(parts(odd), Ok(vec!["a", "b.tex"]), "{odd:?}");
        }
        for outside in [
            "../b.tex",
            "a/../b.tex",
            "a\\..\\b.tex",
            "/b.tex",
            "\\\\host\\b.tex",
            "c:b.tex",
            "a.tex:s",
            ".. /b",
        ] {
            assert_eq!(parts(outside), Err(LeftOutReason::Outside), "{outside:?}");
        }
        assert_eq!(parts(""), Err(LeftOutReason::Missing));
        assert_eq!(parts("..a/b.tex").map(|parts| parts.len()), Ok(2));
    }

    #[test]
    fn names_that_windows_takes_for_one_fold_to_one() {
        assert_eq!(fold_all(&["Ünïcode. ", "A.TEX"]), fold_all(&["ünÏcode", "a.tex"]));
    }
}
