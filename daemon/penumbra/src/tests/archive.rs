//! Mods in `.pmp` archives, honest and hostile.

use super::*;
use crate::{Source, caps::Caps, read_within};
use std::io::{Cursor, Write};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

const DEFAULT: &str = r#"{"Files": {"x.tex": "a\\b.tex"}}"#;

struct Pmp {
    dir: TempDir,
}

impl Pmp {
    fn raw(bytes: &[u8]) -> Self {
        let pmp = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(pmp.path(), bytes).unwrap();
        pmp
    }

    fn new(entries: &[(&str, &str)]) -> Self {
        Self::raw(&zip(entries, CompressionMethod::Deflated))
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("My Mod.pmp")
    }

    fn scratch(&self) -> PathBuf {
        self.dir.path().join("scratch")
    }

    fn read(&self) -> Result<Resolved, ModError> {
        self.read_within(Caps::default())
    }

    fn read_within(&self, caps: Caps) -> Result<Resolved, ModError> {
        read_within(&self.path(), &[], scratch(&self.scratch()), caps)
    }

    fn unpacked(&self) -> usize {
        fs::read_dir(self.scratch()).map(Iterator::count).unwrap_or_default()
    }
}

fn zip(entries: &[(&str, &str)], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Replaces every occurrence; the new bytes have the old ones' length.
fn patch(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    places.iter().for_each(|&at| bytes[at..at + to.len()].copy_from_slice(to));
    places.len()
}

#[test]
fn only_needed_files_are_unpacked_under_own_names() {
    let pmp = Pmp::new(&[
        ("default_mod.json", DEFAULT),
        ("a/b.tex", "b"),
        ("a/unused.tex", "u"),
        ("../c.tex", "c"),
    ]);
    let resolved = pmp.read().unwrap();
    assert_eq!((resolved.name.as_str(), content(&resolved)), ("My Mod", pairs(&[("x.tex", "b")])));
    assert_eq!(resolved.files[0].source, Source::Scratch(pmp.scratch().join("00001.tex")));
    assert_eq!(pmp.unpacked(), 1);
    let again = pmp.read().unwrap_err();
    assert!(matches!(again, ModError::Unpack { .. }), "what was handed out is not overwritten: {again}");
}

#[test]
fn names_are_found_however_the_archive_writes_them() {
    for prefix in ["", "My Mod/", "my mod\\"] {
        for name in ["a/b.tex", "a\\b.tex", "A/B.TEX", "./a/b.tex"] {
            let entries = [(format!("{prefix}default_mod.json"), DEFAULT), (format!("{prefix}{name}"), "b")];
            let pmp = Pmp::new(&entries.each_ref().map(|(name, content)| (name.as_str(), *content)));
            assert_eq!(content(&pmp.read().unwrap()), pairs(&[("x.tex", "b")]), "{prefix}{name}");
        }
    }
}

#[test]
fn non_ascii_names_are_found_in_either_encoding() {
    let json = r#"{"Files": {"x.tex": "é.tex"}}"#;
    let marked = zip(&[("default_mod.json", json), ("é.tex", "b")], CompressionMethod::Stored);
    assert_eq!(content(&Pmp::raw(&marked).read().unwrap()), pairs(&[("x.tex", "b")]));
    // The same name without the UTF-8 flag, and then as CP437.
    let ascii =
        zip(&[("default_mod.json", json), ("@@.tex", "b"), ("@.tex", "c")], CompressionMethod::Stored);
    for (from, to, content_is) in [(&b"@@.tex"[..], "é.tex".as_bytes(), "b"), (b"@.tex", b"\x82.tex", "c")] {
        let mut bytes = ascii.clone();
        if content_is == "c" {
            patch(&mut bytes, b"@@.tex", b"unused");
        }
        assert_eq!(patch(&mut bytes, from, to), 2);
        assert_eq!(content(&Pmp::raw(&bytes).read().unwrap()), pairs(&[("x.tex", content_is)]));
    }
}

#[test]
fn of_entries_of_one_name_the_last_one_counts() {
    let entries =
        [("default_mod.json", DEFAULT), ("a/b.tex", "first"), ("a/@.tex", "second"), ("A/B.tex", "third")];
    let mut bytes = zip(&entries[..3], CompressionMethod::Stored);
    patch(&mut bytes, b"a/@.tex", b"a/b.tex");
    assert_eq!(content(&Pmp::raw(&bytes).read().unwrap()), pairs(&[("x.tex", "second")]));
    let cases = [entries[0], entries[3], ("A/b.TEX", "fourth")];
    assert_eq!(content(&Pmp::new(&cases).read().unwrap()), pairs(&[("x.tex", "fourth")]));
}

#[test]
fn archive_without_exactly_one_mod_is_an_error() {
    let two = Pmp::new(&[("One/default_mod.json", "{}"), ("Two/meta.json", "{}")]).read().unwrap_err();
    assert!(two.to_string().contains("more than one mod (`One`, `Two`)"), "{two}");
    assert!(matches!(Pmp::new(&[("a/b/meta.json", "{}")]).read(), Err(ModError::NotAMod { .. })));
    assert!(matches!(Pmp::new(&[]).read(), Err(ModError::NotAMod { .. })));
}

#[test]
fn file_of_another_kind_is_named_as_what_it_is() {
    for (bytes, words) in [
        (&b""[..], "is empty; download"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "is a 7z archive"),
        (b"Rar!\x1a\x07\0", "is a RAR archive"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "is a web page"),
    ] {
        let told = Pmp::raw(bytes).read().unwrap_err().to_string();
        assert!(told.contains(words) && !told.contains("zip"), "{told}");
    }
    let told = Pmp::new(&[("TTMPL.mpl", "{}"), ("TTMPD.mpd", "x")]).read().unwrap_err().to_string();
    assert!(told.contains("is a mod of TexTools"), "{told}");
}

#[test]
fn cut_archive_fails_and_damaged_file_is_left_out() {
    let json = r#"{"Files": {"x.tex": "x.tex", "y.tex": "y.tex"}}"#;
    let whole = zip(
        &[("default_mod.json", json), ("x.tex", "0123456789"), ("y.tex", "y")],
        CompressionMethod::Stored,
    );
    for cut in [1, 10, whole.len() / 2, whole.len() - 1] {
        let error = Pmp::raw(&whole[..cut]).read().unwrap_err();
        assert!(matches!(error, ModError::NotAnArchive { .. }), "{cut}: {error}");
    }
    let mut damaged = whole;
    assert_eq!(patch(&mut damaged, b"0123456789", b"0123456780"), 1);
    let pmp = Pmp::raw(&damaged);
    let resolved = pmp.read().unwrap();
    assert_eq!((content(&resolved), pmp.unpacked()), (pairs(&[("y.tex", "y")]), 1));
    assert!(matches!(reasons(&resolved)[..], [("x.tex", LeftOutReason::Unreadable(_))]));
}

#[test]
fn sizes_are_measured_not_believed() {
    let long = "0".repeat(1_000_000);
    let json = r#"{"Files": {"x.tex": "x.tex", "y.tex": "y.tex"}}"#;
    let honest =
        zip(&[("default_mod.json", json), ("x.tex", &long), ("y.tex", "y")], CompressionMethod::Deflated);
    let mut liar = honest.clone();
    assert!(patch(&mut liar, &1_000_000_u32.to_le_bytes(), &5_u32.to_le_bytes()) >= 1);
    let small = Caps { file: 1_000, ..Caps::default() };
    for (bytes, lies) in [(&honest, false), (&liar, true)] {
        let pmp = Pmp::raw(bytes);
        let resolved = pmp.read_within(small).unwrap();
        assert_eq!((content(&resolved), pmp.unpacked()), (pairs(&[("y.tex", "y")]), 1));
        match reasons(&resolved)[..] {
            [("x.tex", LeftOutReason::TooLarge)] => assert!(!lies),
            [("x.tex", LeftOutReason::Unreadable(_))] => assert!(lies),
            ref other => panic!("{other:?}"),
        }
    }
    let pmp = Pmp::raw(&honest);
    let error = pmp.read_within(Caps { unpacked: 1_000, ..Caps::default() }).unwrap_err();
    assert!(matches!(error, ModError::UnpackedTooLarge { limit: 1_000 }), "{error}");
    assert_eq!(pmp.unpacked(), 0);
    let json = Pmp::new(&[("default_mod.json", &long)]);
    let error = json.read_within(Caps { json: 1_000, ..Caps::default() }).unwrap_err();
    assert!(matches!(error, ModError::JsonTooLarge { limit: 1_000, .. }), "{error}");
}

#[test]
fn changed_bytes_cause_no_panic_and_no_unlisted_file() {
    let whole = zip(&[("default_mod.json", DEFAULT), ("a/b.tex", "0123456789")], CompressionMethod::Deflated);
    let pmp = Pmp::raw(&whole);
    for place in 0..whole.len() {
        for change in [0x01, 0x80, 0xFF] {
            let mut bytes = whole.clone();
            bytes[place] ^= change;
            fs::write(pmp.path(), bytes).unwrap();
            let files = pmp.read().map(|resolved| resolved.files.len());
            assert_eq!(pmp.unpacked(), files.unwrap_or_default(), "byte {place}");
            _ = fs::remove_dir_all(pmp.scratch());
        }
    }
    assert_eq!(fs::read_dir(pmp.dir.path()).unwrap().count(), 1);
}

#[test]
fn unpacking_stops_where_there_is_no_room() {
    use fyteclub_store::StoreError;
    use std::cell::Cell;
    let long = "x".repeat(100_000);
    let json = r#"{"Files": {"x.tex": "x.tex", "y.tex": "y.tex"}}"#;
    let entries = [("default_mod.json", json), ("x.tex", long.as_str()), ("y.tex", long.as_str())];
    let pmp = Pmp::new(&entries);
    for (space, files) in [(200_000, 2), (199_999, 1), (99_999, 0)] {
        let left = Cell::new(space);
        let ask = |bytes: u64| {
            let path = PathBuf::from("disk");
            let low = StoreError::DiskLow { path, needed: bytes, free: left.get(), floor: 7 };
            left.set(left.get().checked_sub(bytes).ok_or(low)?);
            Ok(())
        };
        let dir = pmp.scratch();
        let read = read_within(&pmp.path(), &[], Scratch { dir: &dir, space: &ask }, Caps::default());
        assert_eq!(pmp.unpacked(), files, "asked before a byte is written");
        match read {
            Ok(_) => assert_eq!(files, 2),
            Err(ModError::NoSpace(error)) => assert!(files < 2 && error.is_disk_full(), "{error}"),
            Err(error) => panic!("{error}"),
        }
        _ = fs::remove_dir_all(dir);
    }
}

#[test]
fn claims_of_the_entry_list_are_checked() {
    let whole = zip(&[("default_mod.json", DEFAULT), ("a/b.tex", "b")], CompressionMethod::Deflated);
    let record = whole.len() - 22;
    for (at, value) in [(8, [0xFF, 0xFF]), (10, [0xFF, 0xFF]), (12, [0xFF, 0xFF]), (18, [0xFF, 0x7F])] {
        let mut bytes = whole.clone();
        bytes[record + at..record + at + 2].copy_from_slice(&value);
        let read = Pmp::raw(&bytes).read();
        // The first is the number on one disk, of which there is one.
        assert_eq!(matches!(read, Err(ModError::NotAnArchive { .. })), at != 8, "{at}: {read:?}");
    }
    let caps = Caps { names: 1, ..Caps::default() };
    assert!(matches!(Pmp::raw(&whole).read_within(caps), Err(ModError::TooManyNames { limit: 1, .. })));
}

#[test]
fn encrypted_and_unknown_packing_are_named() {
    let plain = zip(&[("default_mod.json", DEFAULT), ("a/b.tex", "b")], CompressionMethod::Stored);
    // Flags and method precede the name: at 6 and 8 of a local header of 30 bytes, at 8 and 10 of a central one of 46.
    let spoil = |offsets: [(usize, usize); 2], value: u8| {
        let mut bytes = plain.clone();
        let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"a/b.tex")).collect();
        for (place, (header, field)) in places.iter().zip(offsets) {
            bytes[place - header + field] = value;
        }
        Pmp::raw(&bytes).read().unwrap_err()
    };
    let encrypted = spoil([(30, 6), (46, 8)], 1);
    assert!(matches!(&encrypted, ModError::Encrypted { entry } if entry == "a/b.tex"), "{encrypted}");
    let packed = spoil([(30, 8), (46, 10)], 14);
    assert!(matches!(&packed, ModError::Packing { entry } if entry == "a/b.tex"), "{packed}");
}

#[test]
fn links_and_folders_in_an_archive_are_no_files() {
    let json = r#"{"Files": {"x.tex": "link.tex", "y.tex": "folder.tex"}}"#;
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    writer.start_file("default_mod.json", options).unwrap();
    writer.write_all(json.as_bytes()).unwrap();
    writer.add_symlink("link.tex", "/etc/passwd", options).unwrap();
    writer.add_directory("folder.tex", options).unwrap();
    let pmp = Pmp::raw(&writer.finish().unwrap().into_inner());
    let resolved = pmp.read().unwrap();
    assert_eq!(reasons(&resolved), [("x.tex", &LeftOutReason::NotAFile), ("y.tex", &LeftOutReason::Missing)]);
}
