//! Looks written as mods, and read again.

use super::*;
use crate::{Export, ExportError, ExportFile, Written, check, write};

fn export_of(resolved: &Resolved) -> Export {
    let file = |(number, file): (usize, &crate::ResolvedFile)| ExportFile {
        source: file.source.path().to_owned(),
        hash: BlobHash::of(&fs::read(file.source.path()).unwrap()),
        file_name: format!("{number:064x}.{}", file.game_paths[0].extension()),
        game_paths: file.game_paths.clone(),
    };
    Export {
        name: resolved.name.clone(),
        player: "Alice Ashe@Gilgamesh".to_owned(),
        files: resolved.files.iter().enumerate().map(file).collect(),
        swaps: resolved.swaps.clone(),
        manipulations: resolved.manipulations.clone(),
        reserved: vec![],
    }
}

fn a_look() -> (Mod, Export) {
    let mut default = json!({ "Files": { "a.tex": "a.tex", "b.tex": "a.tex", "m.mdl": "Ü/m.mdl" } });
    let of = Mod::with_files(default["Files"].clone());
    default["FileSwaps"] = json!({ "c.tex": "d.tex" });
    default["Manipulations"] =
        json!([{ "Type": "Gmp", "Manipulation": { "SetId": 1, "Entry": { "Enabled": true } } }]);
    let of = of.text("default_mod.json", &default.to_string());
    let export = export_of(&of.read(&[]).unwrap());
    (of, export)
}

#[test]
fn written_mod_reads_back_equal() {
    let (of, export) = a_look();
    let target = of.dir.path().join("new/Export");
    assert_eq!(write(&target, &export).unwrap(), Written { files: 2, copied: 2, ..Written::default() });
    let (first, second) = (of.read(&[]).unwrap(), read(&target, &[], &target).unwrap());
    assert_eq!(content(&first), content(&second));
    assert_eq!((first.name, first.swaps), (second.name, second.swaps));
    assert_eq!((first.manipulations, second.left_out.len()), (second.manipulations, 0));
    let meta: Value = serde_json::from_slice(&fs::read(target.join("meta.json")).unwrap()).unwrap();
    assert_eq!((&meta["FileVersion"], &meta["Author"]), (&json!(3), &json!("FyteClub")));
    let default: Value = serde_json::from_slice(&fs::read(target.join("default_mod.json")).unwrap()).unwrap();
    assert!(default["Files"]["a.tex"].as_str().unwrap().starts_with("files\\0"));
}

#[test]
fn second_export_writes_only_changed_files() {
    let (of, mut export) = a_look();
    let target = of.dir.path().join("export");
    write(&target, &export).unwrap();
    assert_eq!(write(&target, &export).unwrap(), Written { files: 2, ..Written::default() });
    let gone = export.files.pop().unwrap();
    export.files[0].file_name = "f.tex".to_owned();
    let one = Written { files: 1, copied: 1, removed: 2, set_aside: 0 };
    assert_eq!(write(&target, &export).unwrap(), one);
    assert!(!target.join("files").join(gone.file_name).exists());
    assert_eq!(content(&read(&target, &[], &target).unwrap())["a.tex"], "a.tex");
}

#[test]
fn export_keeps_files_that_it_did_not_write() {
    let (of, mut export) = a_look();
    let target = of.dir.path().join("export");
    write(&target, &export).unwrap();
    let [one, two] = [0, 1].map(|n| format!("files/{}", export.files[n].file_name));
    // Changed with the same length; put beside it; put in the place of the JSON files.
    let length = fs::read(target.join(&one)).unwrap().len();
    write_file(&target.join(&one), &vec![b'!'; length]);
    write_file(&target.join("files/mine.tex"), b"mine");
    write_file(&target.join("files/.x.tex.part"), b"mine too");
    write_file(&target.join("meta.json"), b"{\"FileVersion\": 4}");
    write_file(&target.join("notes.txt"), b"mine as well");
    write_file(&target.join(&two), b"changed, and not wanted any more");
    export.files.pop();
    let written = write(&target, &export).unwrap();
    assert_eq!(written, Written { files: 1, copied: 1, removed: 0, set_aside: 2 });
    let text = |name: &str| String::from_utf8(fs::read(target.join(name)).unwrap()).unwrap();
    assert_eq!(text(&format!("{one}.kept-1")), "!".repeat(length));
    assert_eq!(text("files/mine.tex"), "mine");
    assert_eq!(text("files/.x.tex.part"), "mine too");
    assert_eq!(text("meta.json.kept-1"), "{\"FileVersion\": 4}");
    assert_eq!(text("notes.txt"), "mine as well");
    assert_eq!(text(&two), "changed, and not wanted any more");
    assert_eq!(content(&read(&target, &[], &target).unwrap())["a.tex"], "a.tex");
    assert_eq!(write(&target, &export).unwrap(), Written { files: 1, ..Written::default() });
}

#[test]
fn an_export_that_was_cut_off_is_finished_by_the_next() {
    let (of, mut export) = a_look();
    let target = of.dir.path().join("export");
    export.files[1].source = of.dir.path().join("gone");
    assert!(matches!(write(&target, &export), Err(ExportError::Read { .. })));
    let mark = fs::read_to_string(target.join(".fyteclub-export.json")).unwrap();
    let mark: Value = serde_json::from_str(&mark).unwrap();
    let temp = format!("files/.{}-7.part", mark["temp"].as_str().unwrap());
    write_file(&target.join(&temp), b"half of a file");
    let whole = export_of(&of.read(&[]).unwrap());
    let written = write(&target, &whole).unwrap();
    assert_eq!(written, Written { files: 2, copied: 1, ..Written::default() });
    assert!(!target.join(temp).exists());
    let none = Export { files: vec![], ..whole };
    assert_eq!(write(&target, &none).unwrap().removed, 2, "also what the first one wrote");
}

#[test]
fn the_export_of_another_player_is_left_as_it_is() {
    let (of, mut export) = a_look();
    let target = of.dir.path().join("export");
    write(&target, &export).unwrap();
    export.player = "Bob Birch@Balmung".to_owned();
    let error = write(&target, &export).unwrap_err();
    assert!(matches!(error, ExportError::Others { .. }), "{error}");
    assert!(error.to_string().contains("the look of Alice Ashe@Gilgamesh"), "{error}");
}

#[test]
fn foreign_folder_is_left_unchanged() {
    let (of, export) = a_look();
    let target = of.dir.path().join("theirs");
    let occupied = |what: &str| {
        let error = write(&target, &export).unwrap_err();
        assert!(matches!(error, ExportError::Occupied { .. }), "{what}: {error}");
    };
    write_file(&target.join("notes.txt"), b"mine");
    occupied("no mod");
    write_file(&target.join("meta.json"), b"{\"Author\": \"Somebody\"}");
    occupied("another's mod");
    write_file(&target.join("meta.json"), b"{\"Author\": ");
    occupied("a broken mod");
    write_file(&target.join("meta.json"), b"{\"Author\": \"FyteClub\"}");
    write_file(&target.join("files/precious.tex"), b"x");
    occupied("one that only says that it is ours");
    for mark in [
        "",
        "{}",
        "null",
        "[]",
        r#"{"version":1,"player":"Alice Ashe@Gilgamesh","temp":"","finished":true,"files":{}}"#,
    ] {
        write_file(&target.join(".fyteclub-export.json"), mark.as_bytes());
        occupied(mark);
    }
    assert_eq!(fs::read_dir(&target).unwrap().count(), 4);
    assert_eq!(fs::read(target.join("files/precious.tex")).unwrap(), b"x");
}

#[test]
fn target_that_is_no_folder_is_named() {
    let (of, export) = a_look();
    let (file, own) = (of.dir.path().join("file"), of.dir.path().join("own"));
    write_file(&file, b"");
    write(&own, &export).unwrap();
    fs::remove_dir_all(own.join("files")).unwrap();
    write_file(&own.join("files"), b"");
    for (target, says) in [
        (file.clone(), "file` is a file, and a folder is needed; give another one"),
        (file.join("below"), "file is a file"),
        (own, "own/files` is a file, and an export has its own folder there; move it away"),
    ] {
        let error = write(&target, &export).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("not empty"), "{error}");
    }
}

#[test]
fn full_disk_of_the_target_is_named() {
    let source = std::io::ErrorKind::StorageFull.into();
    let error = ExportError::Write { path: "/there/files/a.tex".into(), source };
    assert!(error.is_disk_full());
    let error = error.to_string();
    assert!(error.contains("/there/files/a.tex") && error.contains("disk is full; make space"), "{error}");
}

#[test]
fn nothing_is_written_among_the_daemons_files() {
    let (of, mut export) = a_look();
    let data = of.dir.path().join("data");
    fs::create_dir_all(data.join("blobs")).unwrap();
    export.reserved = vec![of.dir.path().join("gone"), data.clone()];
    for target in ["data", "data/blobs", "data/new/export", "other/../data/blobs", "data/blobs/../x"] {
        fs::create_dir_all(of.dir.path().join("other")).unwrap();
        let error = write(&of.dir.path().join(target), &export).unwrap_err();
        assert!(matches!(error, ExportError::Reserved { .. }), "{target}: {error}");
    }
    assert_eq!(fs::read_dir(data.join("blobs")).unwrap().count(), 0);
    write(&of.dir.path().join("data2"), &export).expect("beside it");
}

#[test]
#[cfg(unix)]
fn a_link_in_the_place_of_our_files_is_not_followed() {
    let (of, export) = a_look();
    use std::os::unix::fs::symlink;
    let (target, theirs) = (of.dir.path().join("export"), of.dir.path().join("theirs"));
    let precious = theirs.join("precious.tex");
    write_file(&precious, b"x");
    let untouched = |what: &str| {
        assert_eq!(fs::read(&precious).unwrap(), b"x", "{what}");
        assert_eq!(fs::read_dir(&theirs).unwrap().count(), 1, "{what}");
    };
    write(&target, &export).unwrap();
    // At every name that an export writes, also at those of temporary files of earlier versions.
    let file = &export.files[0].file_name;
    let [listed, part, whole] =
        [format!("files/{file}"), format!("files/.{file}.part"), "meta.json.part".to_owned()];
    for name in [listed.as_str(), &part, &whole, "meta.json", "default_mod.json", "default_mod.json.part"] {
        fs::remove_file(target.join(name)).ok();
        symlink(&precious, target.join(name)).unwrap();
    }
    let written = write(&target, &export).unwrap();
    assert_eq!((written.copied, written.set_aside), (1, 3));
    untouched("links in the place of files");
    for name in [listed.as_str(), "meta.json", "default_mod.json"] {
        assert!(!fs::symlink_metadata(target.join(name)).unwrap().is_symlink(), "{name}");
    }
    fs::remove_dir_all(target.join("files")).unwrap();
    symlink(&theirs, target.join("files")).unwrap();
    assert!(matches!(write(&target, &export), Err(ExportError::InTheWay { what: "a link", .. })));
    untouched("a link in the place of the folder of files");
    let mark = target.join(".fyteclub-export.json");
    fs::remove_file(target.join("files")).unwrap();
    fs::rename(&mark, of.dir.path().join("mark")).unwrap();
    symlink(of.dir.path().join("mark"), &mark).unwrap();
    assert!(matches!(write(&target, &export), Err(ExportError::Occupied { .. })), "a mark by a link");
    let link = of.dir.path().join("link");
    symlink(&theirs, &link).unwrap();
    assert!(matches!(write(&link, &export), Err(ExportError::NoFolder { what: "a link", .. })));
    untouched("a link in the place of the folder itself");
}

#[test]
fn names_and_sources_are_checked() {
    let (of, mut export) = a_look();
    let target = of.dir.path().join("export");
    for name in ["../a.tex", "a/b.tex", "a\\b.tex", "A.tex", "a.exe", "nul.tex", "", "a.tex:b.tex"] {
        export.files[0].file_name = name.to_owned();
        assert!(matches!(write(&target, &export), Err(ExportError::FileName { .. })), "{name:?}");
        assert!(!target.exists());
    }
    export.files[0].file_name = "a.tex".to_owned();
    export.files[0].source = of.dir.path().to_owned();
    assert!(matches!(write(&target, &export), Err(ExportError::Read { .. })), "a folder");
}

#[test]
fn folder_of_another_daemon_is_refused() {
    let (of, export) = a_look();
    let at = |name: &str| of.dir.path().join(name);
    write_file(&at("bob/layout"), b"1");
    write_file(&at("bob/identity.key"), b"a key");
    write_file(&at("disk/fyteclub-cache"), b"a mark");
    // A folder of anybody's may have one of the names.
    write_file(&at("else/layout"), b"a drawing");
    for target in ["bob", "bob/x", "bob/new/export", "disk/export"].map(at) {
        for refused in [write(&target, &export).map(drop), check(&target, &export.player, &[])] {
            let error = refused.unwrap_err();
            assert!(matches!(error, ExportError::OtherDaemons { .. }), "{error}");
        }
    }
    assert!(!at("bob/x").exists() && !at("bob/new").exists() && !at("disk/export").exists());
    write(&at("else/export"), &export).expect("nobody's");
}

#[test]
fn folder_is_checked_before_anything_is_written() {
    let (of, export) = a_look();
    let at = |name: &str| of.dir.path().join(name);
    let alice = export.player.as_str();
    let checked = |target: &Path, player: &str| check(target, player, &[at("data")]);
    write_file(&at("theirs/notes.txt"), b"mine");
    fs::create_dir_all(at("data/blobs")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    write(&at("export"), &export).unwrap();
    assert!(matches!(checked(&at("theirs"), alice), Err(ExportError::Occupied { .. })));
    assert!(matches!(checked(&at("theirs/notes.txt"), alice), Err(ExportError::NoFolder { .. })));
    assert!(matches!(checked(&at("theirs/notes.txt/x"), alice), Err(ExportError::Write { .. })));
    assert!(matches!(checked(&at("data/blobs/x"), alice), Err(ExportError::Reserved { .. })));
    assert!(matches!(checked(&at("export"), "Bob Birch@Balmung"), Err(ExportError::Others { .. })));
    for target in ["export", "empty", "not/there"] {
        checked(&at(target), alice).expect("it will do");
    }
    assert!(!at("not").exists() && fs::read_dir(at("empty")).unwrap().next().is_none());
}

#[test]
fn damaged_file_of_the_look_is_named_and_not_written() {
    let (of, export) = a_look();
    let target = of.dir.path().join("export");
    let file = &export.files[0];
    let right = fs::read(&file.source).unwrap();
    let damaged = vec![b'!'; right.len()];
    write_file(&file.source, &damaged);
    let error = write(&target, &export).unwrap_err();
    assert!(
        matches!(&error, ExportError::Damaged { path, hash } if *path == file.source && *hash == file.hash)
    );
    assert!(error.to_string().contains(file.source.to_str().unwrap()), "{error}");
    assert_eq!(fs::read_dir(target.join("files")).unwrap().count(), 0, "nothing of it stays");
    write_file(&file.source, &right);
    write(&target, &export).unwrap();
    // What an earlier export wrote is right, whatever became of the source.
    write_file(&file.source, &damaged);
    assert_eq!(write(&target, &export).unwrap(), Written { files: 2, ..Written::default() });
    assert_eq!(fs::read(target.join("files").join(&file.file_name)).unwrap(), right);
}
