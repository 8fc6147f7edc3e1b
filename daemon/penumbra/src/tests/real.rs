//! Two mods in use. They are not part of this repository: `FYTECLUB_TEST_MODS` names their folder.

use super::*;
use crate::{Export, ExportFile, write};
use std::io::{self, Write};

fn real_mod(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/mods");
    let mods = std::env::var_os("FYTECLUB_TEST_MODS").map_or_else(beside, PathBuf::from);
    let path = mods.join(name);
    if !path.exists() {
        // Bypasses the test runner, which prints output of failed tests only.
        _ = writeln!(
            io::stderr(),
            "SKIPPED: real mods not found: set FYTECLUB_TEST_MODS ({})",
            path.display()
        );
        return None;
    }
    Some(path)
}

#[test]
fn a_folder_with_a_choice_of_colours() {
    let Some(path) = real_mod("ribbon-tail") else { return };
    let scratch = tempfile::tempdir().unwrap();
    let pink = read(&path, &[], scratch.path()).unwrap();
    assert_eq!(
        (pink.name.as_str(), pink.files.len(), pink.left_out.len()),
        ("Extra Tail Ribbon Colors", 4, 0)
    );
    assert_eq!(pink.files.iter().map(|file| file.game_paths.len()).sum::<usize>(), 32);
    let purple = read(&path, &["Color=Purple Daffodil".parse().unwrap()], scratch.path()).unwrap();
    let materials = |of: &Resolved| -> Vec<PathBuf> {
        let is_material = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "mtrl");
        of.files.iter().map(|file| file.source.path().to_owned()).filter(is_material).collect()
    };
    assert!(materials(&pink)[0].ends_with("pink/ribbon_pink.mtrl"));
    assert!(materials(&purple)[0].ends_with("purple/ribbon_purple.mtrl"));
    let error = read(&path, &["Color=Green".parse().unwrap()], scratch.path()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the group `Color` has no option `Green`; its options are `Fuchsia Pink`, `Purple Daffodil`"
    );
}

#[test]
fn an_archive_with_a_byte_order_mark_and_back_slashes() {
    let Some(path) = real_mod("Nails and Rings Male.pmp") else { return };
    let scratch = tempfile::tempdir().unwrap();
    let resolved = read(&path, &[], &scratch.path().join("unpacked")).unwrap();
    assert_eq!(resolved.name, "Nails and Rings Male");
    let sizes: Vec<(&str, u64)> =
        resolved.files.iter().map(|file| (file.game_paths[0].as_str(), file.size)).collect();
    assert_eq!(
        sizes,
        [
            ("chara/equipment/e6064/material/v0001/mt_c0101e6064_glv_a.mtrl", 2_486),
            ("chara/equipment/e6064/model/c0101e6064_glv.mdl", 1_959_894),
            ("chara/equipment/e6064/texture/v01_c0101e6064_glv_id.tex", 5_592_484),
            ("chara/equipment/e6064/texture/v01_c0101e6064_glv_m.tex", 1_544),
            ("chara/equipment/e6064/texture/v01_c0101e6064_glv_n.tex", 5_592_484),
        ]
    );
    assert!(resolved.left_out.is_empty() && !resolved.manipulations.is_empty());

    let files = resolved.files.iter().enumerate().map(|(number, file)| ExportFile {
        source: file.source.path().to_owned(),
        hash: BlobHash::of(&fs::read(file.source.path()).unwrap()),
        file_name: format!("{number}.{}", file.game_paths[0].extension()),
        game_paths: file.game_paths.clone(),
    });
    let export = Export {
        player: "Alice Ashe@Gilgamesh".to_owned(),
        name: resolved.name.clone(),
        files: files.collect(),
        swaps: resolved.swaps.clone(),
        manipulations: resolved.manipulations.clone(),
        reserved: vec![],
    };
    let target = scratch.path().join("export");
    write(&target, &export).unwrap();
    let again = read(&target, &[], &target).unwrap();
    assert_eq!(content(&again), content(&resolved));
    assert_eq!(again.manipulations, resolved.manipulations);
}
