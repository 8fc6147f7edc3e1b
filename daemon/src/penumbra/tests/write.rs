//! Looks written as mods, and read again.

use super::*;
use crate::penumbra::{Export, ExportError, ExportFile, Written, write};

fn export_of(resolved: &Resolved) -> Export {
    let file = |(number, file): (usize, &crate::penumbra::ResolvedFile)| ExportFile {
        source: file.source.path().to_owned(),
        file_name: format!("{number:064x}.{}", file.game_paths[0].extension()),
        game_paths: file.game_paths.clone(),
    };
    Export {
        name: resolved.name.clone(),
        files: resolved.files.iter().enumerate().map(file).collect(),
        swaps: resolved.swaps.clone(),
        manipulations: resolved.manipulations.clone(),
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
fn what_was_written_reads_back_the_same() {
    let (of, export) = a_look();
    let target = of.dir.path().join("new/Export");
    assert_eq!(write(&target, &export).unwrap(), Written { files: 2, copied: 2, removed: 0 });
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
fn writing_again_touches_only_what_changed() {
    let (of, mut export) = a_look();
    let target = of.dir.path().join("export");
    write(&target, &export).unwrap();
    assert_eq!(write(&target, &export).unwrap(), Written { files: 2, copied: 0, removed: 0 });
    let gone = export.files.pop().unwrap();
    export.files[0].file_name = "f.tex".to_owned();
    write_file(&target.join("files/.x.tex.part"), b"left by a crash");
    assert_eq!(write(&target, &export).unwrap(), Written { files: 1, copied: 1, removed: 3 });
    assert!(!target.join("files").join(gone.file_name).exists());
    write_file(&target.join("files/f.tex"), b"a.teX");
    assert_eq!(write(&target, &export).unwrap().copied, 1, "same length, other bytes");
    assert_eq!(content(&read(&target, &[], &target).unwrap())["a.tex"], "a.tex");
}

#[test]
fn somebody_elses_folder_is_left_as_it_is() {
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
    assert_eq!(fs::read_dir(&target).unwrap().count(), 2);
    let file = of.dir.path().join("file");
    write_file(&file, b"");
    assert!(matches!(write(&file, &export), Err(ExportError::Occupied { .. })));
}

#[test]
#[cfg(unix)]
fn a_link_in_the_place_of_our_files_is_not_followed() {
    let (of, export) = a_look();
    let (target, theirs) = (of.dir.path().join("export"), of.dir.path().join("theirs"));
    write_file(&theirs.join("precious.tex"), b"x");
    write(&target, &export).unwrap();
    fs::remove_dir_all(target.join("files")).unwrap();
    std::os::unix::fs::symlink(&theirs, target.join("files")).unwrap();
    assert!(matches!(write(&target, &export), Err(ExportError::Occupied { .. })));
    assert_eq!(fs::read_dir(&theirs).unwrap().count(), 1);
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
