//! Penumbra's mods, and the mark of an export: files of a stranger that the daemon reads.

use fyteclub_fuzz::{fuzz, heap, seed::texts};
use fyteclub_penumbra::{self as penumbra, Export, ExportFile, Resolved};
use fyteclub_proto::id::BlobHash;
use std::{
    fs,
    io::{Cursor, Write},
    path::Path,
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Two file buffers, and what a small mod needs.
const MEMORY_MAX: usize = 2 << 20;

fn read(path: &Path, scratch: &Path, input: &[u8]) -> Option<Resolved> {
    let (read, peak) = heap::peak(|| penumbra::read(path, &[], scratch));
    assert!(peak <= MEMORY_MAX + 256 * input.len(), "{peak} bytes were allocated for {}", input.len());
    match read {
        Ok(resolved) => {
            for file in &resolved.files {
                assert_eq!(fs::metadata(file.source.path()).expect("it is there").len(), file.size);
                assert!(file.game_paths.is_sorted() && !file.game_paths.is_empty());
            }
            let list = || serde_json::from_str::<Vec<serde_json::Value>>(&resolved.manipulations);
            assert!(resolved.manipulations.is_empty() || list().is_ok());
            Some(resolved)
        }
        Err(error) => {
            assert!(error.to_string().len() < 20_000, "an error is a sentence");
            None
        }
    }
}

const GROUPS: &[&str] = &[
    r#"{"Name":"G","Type":"Multi","Priority":1,"DefaultSettings":3,"Options":[{"Name":"A","Id":"i","Files":{"a.tex":"a.tex"},
        "FileSwaps":{"b.tex":"c.tex"},"Manipulations":[{"Type":"Eqp","Manipulation":{"SetId":1,"Entry":2}}]},{"Name":"B",
        "Condition":{"Type":"Not","Condition":{"Type":"Setting","Setting":"i"}},"Files":{"d.tex":"a.tex"}}],}"#,
    r#"{"Name":"C","Type":3,"DefaultSettings":"1","Options":[{"Name":"A"}],"Containers":[{},{"Files":{"a.tex":"a.tex"}}]}"#,
    r#"{"Name":"I","Type":"Imc","DefaultSettings":1,"Identifier":{"PrimaryId":1},"DefaultEntry":{"MaterialId":1,
        "AttributeMask":3},"Options":[{"Name":"A","AttributeMask":1},{"IsDisableSubMod":true}]} // end"#,
    "\u{FEFF}{ /* a */ \"Name\" : \"a\tb\", \"Condition\": {\"Type\": \"Or\", \"Conditions\": [null, {}]}, }",
];

/// JSON that a strict parser accepts is never called broken, and a refused group file leaves only its group out.
#[test]
fn group_json() {
    let dir = tempfile::tempdir().expect("a folder");
    let (folder, file) = (dir.path().join("mod"), dir.path().join("mod/group_1.json"));
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("a.tex"), "a").expect("written");
    fuzz!(texts(GROUPS), |input: &[u8]| {
        fs::write(&file, input).expect("written");
        let resolved = read(&folder, dir.path(), input).expect("a group is left out at most");
        let broken = resolved.left_out.iter().any(|out| {
            let reason = out.reason.to_string();
            reason.contains("is not JSON that Penumbra reads") && !reason.contains("invalid type")
        });
        let strict = serde_json::from_slice::<serde_json::Value>(input);
        assert!(!(broken && strict.is_ok()), "{:?}", resolved.left_out);
    });
}

#[test]
fn meta_json() {
    let dir = tempfile::tempdir().expect("a folder");
    let (folder, file) = (dir.path().join("mod"), dir.path().join("mod/meta.json"));
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("a.tex"), "a").expect("written");
    let four = |group: &&str| {
        format!(
            r#"{{"FileVersion":4,"Name":"N","DefaultData":{{"Files":{{"a.tex":"a.tex"}}}},"Groups":[null,{}]}}"#,
            group.trim_start_matches('\u{FEFF}').trim_end_matches(" // end")
        )
    };
    let seeds: Vec<_> = GROUPS.iter().map(|group| four(group).into_bytes()).collect();
    fuzz!(seeds, |input: &[u8]| {
        fs::write(&file, input).expect("written");
        read(&folder, dir.path(), input);
    });
}

fn pmp(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).expect("begun");
        writer.write_all(content.as_bytes()).expect("written");
    }
    writer.set_comment("a comment").expect("short");
    writer.finish().expect("an archive").into_inner()
}

/// Whatever an archive announces: only files of the look are unpacked, and each has its checksum.
#[test]
fn archive() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, scratch) = (dir.path().join("mod.pmp"), dir.path().join("scratch"));
    let default = r#"{"Files":{"x.tex":"a\\b.tex","y.tex":"é.tex"}}"#;
    let seeds = [
        pmp(&[("default_mod.json", default), ("a/b.tex", "b"), ("é.tex", "e")]),
        pmp(&[
            ("Mod/meta.json", r#"{"FileVersion":3}"#),
            ("Mod/default_mod.json", default),
            ("Mod/A/B.tex", "b"),
        ]),
        pmp(&[("group_1.json", GROUPS[0]), ("a.tex", &"a".repeat(300))]),
    ];
    fuzz!(seeds, |input: &[u8]| {
        fs::write(&path, input).expect("written");
        let resolved = read(&path, &scratch, input);
        let unpacked = fs::read_dir(&scratch).map_or(0, Iterator::count);
        if let Some(resolved) = resolved {
            assert_eq!(unpacked, resolved.files.len());
        }
        if scratch.exists() {
            fs::remove_dir_all(&scratch).expect("removed");
        }
    });
}

/// Whatever the mark lists, a foreign file is still there, under its name or another.
#[test]
fn mark() {
    let dir = tempfile::tempdir().expect("a folder");
    let (target, source) = (dir.path().join("export"), dir.path().join("a.tex"));
    fs::write(&source, "ours").expect("written");
    let file = ExportFile {
        source,
        hash: BlobHash::of(b"ours"),
        file_name: "a.tex".into(),
        game_paths: vec!["a.tex".parse().expect("a game path")],
    };
    let export = Export {
        name: "N".into(),
        player: "Alice Ashe@Gilgamesh".into(),
        files: vec![file],
        ..Export::default()
    };
    penumbra::write(&target, &export).expect("written");
    let mark = target.join(".fyteclub-export.json");
    let seeds = vec![fs::read(&mark).expect("a mark")];
    fuzz!(seeds, |input: &[u8]| {
        fs::write(&mark, input).expect("written");
        for name in ["a.tex", "b.tex"] {
            fs::write(target.join("files").join(name), "mine").expect("written");
        }
        let (written, peak) = heap::peak(|| penumbra::write(&target, &export));
        assert!(peak <= MEMORY_MAX + 256 * input.len(), "{peak} bytes for {}", input.len());
        let files =
            || fs::read_dir(target.join("files")).expect("a folder").map(|entry| entry.expect("an entry"));
        let mine = files().filter(|file| fs::read(file.path()).is_ok_and(|bytes| bytes == b"mine")).count();
        assert_eq!(mine, 2, "{written:?}");
        files().for_each(|file| fs::remove_file(file.path()).expect("removed"));
    });
}
