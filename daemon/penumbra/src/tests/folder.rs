//! Mods in folders: spellings, and everything that is left out.

use super::*;
use crate::{caps::Caps, read_within};
use fyteclub_proto::game_path::GamePathError;

#[test]
fn the_name_is_the_mods_own_or_the_folders() {
    let plain = Mod::new();
    assert_eq!(plain.read(&[]).unwrap().name, "mod");
    let named = plain.text("Meta.JSON", "\u{FEFF}{\"FileVersion\": 3, \"Name\": \"Ünïque\", \"Extra\": [1]}");
    assert_eq!(named.read(&[]).unwrap().name, "Ünïque");
}

#[test]
fn file_of_several_game_paths_is_listed_once() {
    let files = json!({ "B/Y.tex": "t/a.tex", "b\\x.TEX": "T\\.\\A.tex", "a.mdl": "m.mdl" });
    let one = Mod::new().text("default_mod.json", &json!({ "Files": files }).to_string());
    ["t/a.tex", "m.mdl"].iter().for_each(|name| one.file(name));
    let resolved = one.read(&[]).unwrap();
    let files: Vec<Vec<&str>> = resolved
        .files
        .iter()
        .map(|file| file.game_paths.iter().map(|path| path.as_str()).collect())
        .collect();
    assert_eq!(files, [vec!["a.mdl"], vec!["b/x.tex", "b/y.tex"]]);
    assert!(resolved.left_out.is_empty());
}

#[test]
fn spellings_that_windows_takes_for_one_find_the_file() {
    for (said, on_disk) in [
        ("a\\b\\c.tex", "a/b/c.tex"),
        ("A\\b\\C.TEX", "a/B/c.tex"),
        ("my files\\a b.tex", "My Files/a b.tex"),
        ("ÜMLAUT\\日本語 é.tex", "ümlaut/日本語 É.tex"),
        ("option .\\a.tex", "option/a.tex"),
        ("./a//b.tex", "a/b.tex"),
    ] {
        let spelled = Mod::new().text("default_mod.json", &json!({ "Files": { "x.tex": said } }).to_string());
        spelled.file(on_disk);
        assert_eq!(spelled.look(&[]), pairs(&[("x.tex", on_disk)]), "{said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn exact_spelling_wins_on_a_case_sensitive_disk() {
    let both = Mod::with_files(json!({ "1.tex": "D/a.tex", "2.tex": "d/a.tex", "3.tex": "d/A.tex" }));
    both.file("D/only.tex");
    let both = both.text(
        "group_001_more.json",
        &json!({ "Name": "More", "Options": [option("On", "4.tex", "d/ONLY.tex")] }).to_string(),
    );
    let look =
        pairs(&[("1.tex", "D/a.tex"), ("2.tex", "d/a.tex"), ("3.tex", "d/A.tex"), ("4.tex", "D/only.tex")]);
    assert_eq!(both.look(&[]), look);
}

#[test]
fn only_unshareable_files_are_left_out() {
    use LeftOutReason::*;
    let spoiled = Mod::with_files(json!({ "good.tex": "good.tex", "empty.tex": "empty.tex" }));
    for (game_path, file, reason) in [
        ("a.tex", "nowhere.tex", Missing),
        ("a.tex", "good.tex/deeper.tex", Missing),
        ("a.tex", "", Missing),
        ("a.tex", "../good.tex", Outside),
        ("a.tex", "x\\..\\..\\good.tex", Outside),
        ("a.tex", "/good.tex", Outside),
        ("a.tex", "\\\\host\\good.tex", Outside),
        ("a.tex", "C:\\good.tex", Outside),
        ("a.tex", "good.tex:stream.tex", Outside),
        ("a.tex", "good.dds", Extension),
        ("a.tex", "good", Extension),
        ("a.imc", "good.tex", Extension),
        ("../a.tex", "good.tex", GamePath(GamePathError::Parts)),
        ("c:/a.tex", "good.tex", GamePath(GamePathError::Characters)),
        ("", "good.tex", GamePath(GamePathError::Length)),
        ("a.tex", "folder.tex", NotAFile),
    ] {
        let group = json!({ "Name": "Spoiled", "Options": [{ "Files": { game_path: file } }] }).to_string();
        fs::write(spoiled.path().join("group_1.json"), group).unwrap();
        fs::write(spoiled.path().join("empty.tex"), "").unwrap();
        fs::create_dir_all(spoiled.path().join("folder.tex")).unwrap();
        let resolved = spoiled.read(&[]).unwrap();
        assert_eq!(reasons(&resolved), [(game_path, &reason)], "{file:?}");
        assert_eq!(resolved.left_out[0].file, file);
        assert_eq!(content(&resolved), pairs(&[("good.tex", "good.tex"), ("empty.tex", "")]), "{file:?}");
    }
}

#[test]
fn a_swap_needs_two_game_paths() {
    let swaps = json!({ "a.tex": "B.tex", "c.tex": "../d.tex", "e.imc": "f.tex" });
    let swapped = Mod::new().text("default_mod.json", &json!({ "FileSwaps": swaps }).to_string());
    let resolved = swapped.read(&[]).unwrap();
    assert_eq!(resolved.swaps, [("a.tex".parse().unwrap(), "b.tex".parse().unwrap())]);
    let left_out =
        [("c.tex", &LeftOutReason::GamePath(GamePathError::Parts)), ("e.imc", &LeftOutReason::Extension)];
    assert_eq!(reasons(&resolved), left_out);
}

#[test]
fn the_largest_file_is_in_and_one_byte_more_is_out() {
    let sized = Mod::with_files(json!({ "a.tex": "a23.tex", "b.tex": "b234.tex" }));
    let resolved = read_within(
        &sized.path(),
        &[],
        scratch(&sized.dir.path().join("s")),
        Caps { file: 7, ..Caps::default() },
    );
    let resolved = resolved.unwrap();
    assert_eq!(content(&resolved), pairs(&[("a.tex", "a23.tex")]));
    assert_eq!(reasons(&resolved), [("b.tex", &LeftOutReason::TooLarge)]);
}

#[test]
#[cfg(unix)]
fn links_may_lead_anywhere_inside_and_nowhere_else() {
    use std::os::unix::fs::symlink;
    let linked = Mod::with_files(json!({ "a.tex": "real/a.tex" }));
    let outside = linked.dir.path().join("secret");
    write_file(&outside.join("a.tex"), b"secret");
    symlink(linked.path().join("real"), linked.path().join("inside")).unwrap();
    symlink("real/a.tex", linked.path().join("inside.tex")).unwrap();
    symlink(&outside, linked.path().join("folder")).unwrap();
    symlink(outside.join("a.tex"), linked.path().join("file.tex")).unwrap();
    symlink("loop.tex", linked.path().join("loop.tex")).unwrap();
    symlink("gone", linked.path().join("broken.tex")).unwrap();
    let files = json!({ "b.tex": "inside/A.tex", "c.tex": "inside.tex", "d.tex": "folder/a.tex",
        "e.tex": "file.tex", "f.tex": "loop.tex", "g.tex": "broken.tex", "a.tex": "real/a.tex" });
    let linked = linked.text("default_mod.json", &json!({ "Files": files }).to_string());

    let resolved = linked.read(&[]).unwrap();
    assert_eq!(resolved.files.len(), 1, "three names, one file: {:?}", resolved.files);
    assert_eq!(resolved.files[0].game_paths.len(), 3);
    let reasons = reasons(&resolved);
    let outside = &LeftOutReason::Outside;
    assert_eq!(reasons[..2], [("d.tex", outside), ("e.tex", outside)]);
    assert!(matches!(reasons[2], ("f.tex", LeftOutReason::Unreadable(_))), "{reasons:?}");
    assert_eq!(reasons[3], ("g.tex", &LeftOutReason::Missing));

    symlink(linked.path(), linked.dir.path().join("link to the mod")).unwrap();
    let through =
        read(&linked.dir.path().join("link to the mod"), &[], &linked.dir.path().join("s")).unwrap();
    assert_eq!(through.files.len(), 1, "a folder may itself be reached by a link");
}

#[test]
#[cfg(unix)]
fn pipes_and_sockets_are_never_opened() {
    let special =
        Mod::new().text("default_mod.json", r#"{"Files": {"a.tex": "pipe.tex", "b.tex": "s.tex"}}"#);
    let _socket = std::os::unix::net::UnixListener::bind(special.path().join("s.tex")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(special.path().join("pipe.tex")).status();
    assert!(made.unwrap().success());
    let resolved = special.read(&[]).unwrap();
    assert_eq!(
        reasons(&resolved),
        [("a.tex", &LeftOutReason::NotAFile), ("b.tex", &LeftOutReason::NotAFile)]
    );
}

#[test]
fn a_broken_group_is_left_out_and_named() {
    let good = json!({ "Name": "G", "Options": [option("On", "a.tex", "a.tex")] });
    let cut = &good.to_string()[..40];
    for (bytes, says) in [
        (&b"{\n\"Files\": {\n\"a.tex\" \"b.tex\" } }"[..], "expected `:` (line 3, column 9)"),
        (b"\xFF\xFE{\0}\0", "it is UTF-16; save it as UTF-8"),
        (b"", "EOF while parsing a value (line 1, column 0)"),
        (&[0; 300], "expected value (line 1, column 1)"),
        (cut.as_bytes(), "EOF while parsing"),
        (b"null", "it is `null`"),
        (b"[]", "invalid type: sequence, expected a group"),
        (b"{\"Name\": \"\xE4\"}", "invalid unicode code point (line 1, column "),
        (b"{} {}", "trailing characters (line 1, column 4)"),
    ] {
        let broken = Mod::new().group(1, good.clone()).bytes("group_002_bad.json", bytes);
        let resolved = broken.read(&[]).unwrap();
        assert_eq!(content(&resolved), pairs(&[("a.tex", "a.tex")]), "{says}");
        let [left_out] = &resolved.left_out[..] else { panic!("{:?}", resolved.left_out) };
        assert_eq!((left_out.game_path.as_str(), left_out.file.as_str()), ("", "group_002_bad.json"));
        let text = left_out.reason.to_string();
        assert!(text.starts_with("group: its file ") && text.contains(says), "{text}");
    }
    let deep = Mod::new().text("group_1.json", &format!("{{\"Condition\": {}", "[".repeat(1_000_000)));
    assert!(deep.read(&[]).unwrap().left_out[0].reason.to_string().contains("recursion limit"));
}

#[test]
fn broken_json_is_an_error_with_its_place() {
    for name in ["meta.json", "default_mod.json"] {
        for (bytes, says) in [
            (&b"{\n\"Files\": {\n\"a.tex\" \"b.tex\" } }"[..], "expected `:` (line 3, column 9)"),
            (b"", "EOF while parsing a value (line 1, column 0)"),
            (b"{\"FileVersion\": 3, // \"Name\"\n\0}", "key must be a string (line 2, column 1)"),
        ] {
            let error = Mod::new().bytes(name, bytes).read(&[]).unwrap_err().to_string();
            let start = format!("`{name}` is not the JSON of a Penumbra mod: ");
            assert!(error.starts_with(&start) && error.contains(says), "{error}");
        }
    }
}

#[test]
fn json_is_taken_as_penumbra_takes_it() {
    for default in [
        r#"{"Files": {"a.tex": "a.tex",}, "FileSwaps": {}, "Manipulations": [],}"#,
        "{ // by hand\n\"Files\": {\"a.tex\": \"a.tex\"} /* end */ }",
        "\u{FEFF}{\"Files\": {\"a.tex\": \"a.tex\"}}",
        "{\"Description\": \"two\nlines\tand a tab\", \"Files\": {\"a.tex\": \"a.tex\"}}",
        r#"{"Files": {}, "Files": {"a.tex": "a.tex"}}"#,
    ] {
        let lenient = Mod::with_files(json!({ "a.tex": "a.tex" })).text("default_mod.json", default);
        assert_eq!(lenient.look(&[]), pairs(&[("a.tex", "a.tex")]), "{default}");
    }
    let named = Mod::new()
        .text("meta.json", "{\"FileVersion\": 3, \"Name\": \"a\tb\", /* */}")
        .group(1, json!({ "Name": "G", "Type": "Single", "Options": [option("On", "a.tex", "a.tex")] }));
    assert_eq!(named.read(&[]).unwrap().name, "a\tb");
}

#[test]
fn too_much_json_names_the_file_and_gives_advice() {
    let caps = Caps { json: 64, json_total: 100, ..Caps::default() };
    let within = |of: &Mod| read_within(&of.path(), &[], scratch(&of.dir.path().join("s")), caps);
    for name in ["meta.json", "default_mod.json", "group_1.json"] {
        let long = Mod::new().text(name, &" ".repeat(65));
        let error = within(&long).unwrap_err();
        assert!(matches!(error, ModError::JsonTooLarge { limit: 64, .. }), "{name}: {error}");
        assert!(error.to_string().starts_with(&format!("`{name}` has more than 64 B of JSON")), "{error}");
        assert!(error.to_string().contains("split the mod in Penumbra"), "{error}");
    }
    let group = format!("{{\"Name\": \"{}\"}}", "g".repeat(40));
    let many = Mod::new().text("group_1.json", &group).text("group_2.json", &group);
    assert!(matches!(within(&many), Err(ModError::JsonTotal { limit: 100 })));
}

#[test]
fn counts_that_run_out_end_the_reading() {
    use crate::Count;
    let empty = |count: usize| vec![json!({}); count];
    let on = |files: usize| {
        let files: Value = (0..files).map(|n| (format!("{n}.tex"), json!("a.tex"))).collect();
        json!({ "Name": "G", "Options": [{ "Files": files }] })
    };
    let caps = Caps {
        groups: 2,
        options: 4,
        pairs: 4,
        manipulations: 4,
        conditions: 4,
        text: 100,
        manipulation_bytes: 20,
        ..Caps::default()
    };
    for (what, group, over) in [
        ("options", json!({ "Name": "G", "Options": empty(5) }), Some(Count::Options)),
        ("containers", json!({ "Name": "G", "Type": 3, "Containers": empty(5) }), Some(Count::Options)),
        ("four options", json!({ "Name": "G", "Options": empty(4) }), None),
        ("pairs", on(5), Some(Count::Pairs)),
        ("four pairs", on(4), None),
        (
            "manipulations",
            json!({ "Name": "G", "Options": [{ "Manipulations": empty(5) }] }),
            Some(Count::Manipulations),
        ),
        (
            "one long manipulation",
            json!({ "Name": "G", "Options": [{ "Manipulations": ["x".repeat(30)] }] }),
            Some(Count::ManipulationBytes),
        ),
        (
            "conditions",
            json!({ "Name": "G", "Condition": { "Type": "And", "Conditions": empty(5) } }),
            Some(Count::Conditions),
        ),
        ("text", json!({ "Name": "g".repeat(101) }), Some(Count::Text)),
    ] {
        let of = Mod::new().text("group_1.json", &group.to_string());
        let read = read_within(&of.path(), &[], scratch(&of.dir.path().join("s")), caps);
        match (read, over) {
            (Ok(_), None) => {}
            (Err(ModError::TooMuch { count, .. }), Some(over)) => assert_eq!(count, over, "{what}"),
            (read, _) => panic!("{what}: {read:?}"),
        }
        // The same in version 4, where all groups are in one file.
        let four = json!({ "FileVersion": 4, "Groups": [group] });
        let of = Mod::new().text("meta.json", &four.to_string());
        let read = read_within(&of.path(), &[], scratch(&of.dir.path().join("s")), caps);
        assert_eq!(read.is_err(), over.is_some(), "{what}: {read:?}");
    }
    let group = |number: usize| json!({ "Name": format!("{number}") });
    let three = Mod::new().group(1, group(1)).group(2, group(2)).group(3, group(3));
    let read = read_within(&three.path(), &[], scratch(&three.dir.path().join("s")), caps);
    assert!(matches!(read, Err(ModError::TooMuch { count: Count::Groups, max: 2 })), "{read:?}");
}

#[test]
fn more_names_than_are_read_end_the_reading() {
    let many = Mod::new();
    (0..9).for_each(|n| many.file(&format!("{n}.tex")));
    let read = |names| {
        let caps = Caps { names, ..Caps::default() };
        read_within(&many.path(), &[], scratch(&many.dir.path().join("s")), caps)
    };
    assert!(read(10).is_ok());
    assert!(matches!(read(9), Err(ModError::TooManyNames { limit: 9, .. })));
}

#[test]
fn options_that_are_off_cost_nothing() {
    let off = json!({ "Name": "Off", "Files": { "a.tex": "x".repeat(90) } });
    let on = json!({ "Name": "On", "Files": { "a.tex": "a.tex" } });
    let group = json!({ "Name": "G", "Options": [on, off] });
    let caps = Caps { text: 120, ..Caps::default() };
    let of = Mod::new().group(1, group.clone()).text("group_002.json", &group.to_string().replace("G", "H"));
    let read = read_within(&of.path(), &[], scratch(&of.dir.path().join("s")), caps).unwrap();
    assert_eq!(content(&read), pairs(&[("a.tex", "a.tex")]));
    let choices = ["g=off".parse().unwrap(), "H=Off".parse().unwrap()];
    let read = read_within(&of.path(), &choices, scratch(&of.dir.path().join("s")), caps);
    assert!(matches!(read, Err(ModError::TooMuch { .. })), "both are on now: {read:?}");
}

#[test]
fn folder_without_a_mod_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(read(dir.path(), &[], dir.path()), Err(ModError::NotAMod { .. })));
    assert!(matches!(read(&dir.path().join("gone"), &[], dir.path()), Err(ModError::Read { .. })));
    write_file(&dir.path().join("a.pmp"), b"not a zip");
    assert!(matches!(read(&dir.path().join("a.pmp"), &[], dir.path()), Err(ModError::NotAnArchive { .. })));
}

#[test]
fn mod_of_the_oldest_form_is_an_error_with_advice() {
    let old =
        r#"{"Name": "Old", "Groups": {"G": {"SelectionType": "Single", "Options": []}}, "FileSwaps": {}}"#;
    let old = Mod::new().text("meta.json", old);
    assert!(old.read(&[]).is_ok(), "it has been renewed");
    fs::remove_file(old.path().join("default_mod.json")).unwrap();
    assert!(matches!(old.read(&[]), Err(ModError::Old)));
}

#[test]
fn groups_alone_are_a_mod() {
    let group = json!({ "Name": "G", "Options": [option("On", "a.tex", "a.tex")] });
    let only = Mod::new().group(1, group);
    fs::remove_file(only.path().join("default_mod.json")).unwrap();
    assert_eq!(only.look(&[]), pairs(&[("a.tex", "a.tex")]));
}

#[test]
fn version_4_mod_is_read_from_its_one_file() {
    let four = json!({ "FileVersion": 4, "Name": "Four", "DefaultData": { "Files": { "a.tex": "a.tex" } }, "Groups": [
        { "Name": "G", "Type": "Multi", "DefaultSettings": 1, "Options": [
            { "Name": "One", "Id": "id-1" },
            { "Name": "Two", "Files": { "b.tex": "b.tex" }, "Condition": { "Type": "Setting", "Setting": "id-1" } },
        ] },
        { "Name": "H", "Condition": { "Type": "Not", "Condition": { "Type": "Setting", "Setting": "id-1" } },
          "Options": [option("On", "c.tex", "c.tex")] },
    ] });
    let four = Mod::with_files(json!({ "old.tex": "old.tex" })).text("meta.json", &four.to_string());
    ["a.tex", "b.tex", "c.tex"].iter().for_each(|name| four.file(name));
    assert_eq!(four.look(&[]), pairs(&[("a.tex", "a.tex")]));
    assert_eq!(four.look(&["G=One", "G=Two"]), pairs(&[("a.tex", "a.tex"), ("b.tex", "b.tex")]));
    assert_eq!(four.look(&["G=Two"]), pairs(&[("a.tex", "a.tex"), ("c.tex", "c.tex")]));
}

#[test]
fn a_look_has_limits_and_the_error_names_them() {
    let files = |paths: usize, files: usize| -> Value {
        (0..paths).map(|n| (format!("p{n}.tex"), json!(format!("f{}.tex", n % files)))).collect()
    };
    let many = |files: Value| Mod::new().text("default_mod.json", &json!({ "Files": files }).to_string());
    let too_many = many(files(65_537, 2));
    (0..2).for_each(|n| too_many.file(&format!("f{n}.tex")));
    let error = too_many.read(&[]).unwrap_err();
    assert_eq!(error.to_string(), "a look has at most 65536 game paths, and this mod has more");
    assert!(many(files(65_537, 2)).read(&[]).is_ok(), "what is missing does not count");

    let too_many = many(files(16_385, 16_385));
    (0..16_385).for_each(|n| too_many.file(&format!("f{n}.tex")));
    assert!(matches!(too_many.read(&[]), Err(ModError::TooManyFiles)));

    let swaps: Value = (0..16_385).map(|n| (format!("p{n}.tex"), json!("q.tex"))).collect();
    let swaps = Mod::new().text("default_mod.json", &json!({ "FileSwaps": swaps }).to_string());
    assert!(matches!(swaps.read(&[]), Err(ModError::TooManySwaps)));
}

#[test]
fn thousands_of_misspelt_entries_resolve() {
    let mut files = serde_json::Map::new();
    let many = Mod::new();
    for n in 0..6_000 {
        many.file(&format!("Option {}/Chara/File {n}.tex", n % 40));
        files.insert(format!("chara/{n}.tex"), format!("OPTION {}\\chara\\file {n}.TEX", n % 40).into());
    }
    let many = many.text("default_mod.json", &json!({ "Files": files }).to_string());
    let start = std::time::Instant::now();
    let resolved = many.read(&[]).unwrap();
    println!("6,000 entries in {:?}", start.elapsed());
    assert_eq!((resolved.files.len(), resolved.left_out.len()), (6_000, 0));
}

#[test]
fn file_of_a_mod_or_nothing_is_told_with_the_way_out() {
    let of = Mod::with_files(json!({ "a.tex": "a.tex" }));
    let error = |name: &str| read(&of.path().join(name), &[], of.dir.path()).unwrap_err().to_string();
    let inside = error("default_mod.json");
    assert!(inside.contains("is one file of a mod; give the folder that it is in"), "{inside}");
    let absent = error("absent");
    assert!(absent.contains("absent is not there: give a mod folder or a .pmp"), "{absent}");
}
