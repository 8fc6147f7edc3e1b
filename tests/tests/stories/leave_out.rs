//! A mod that breaks every rule: the bad parts are left out and listed, the rest arrives.

use fyteclub_tests::{
    Town,
    mods::{self, Mod, arrived, assert_same},
};
use std::fs::{self, File};

#[tokio::test]
async fn file_that_breaks_a_rule_is_named_and_left_out() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    fs::write(town.folder("outside").join("secret.tex"), b"secret").expect("written");
    let long = format!("chara/{}.tex", "x".repeat(260));
    let look = Mod::new(town.path("mod"))
        .file("chara/good.tex", &mods::noise(1, 300_000))
        .file("chara/also good.mdl", b"good")
        .claim("chara/missing.tex", "files/nowhere.tex")
        .claim("chara/outside.tex", "../outside/secret.tex")
        .claim("chara/absolute.tex", "/etc/hostname")
        .claim("chara/program.exe", "files/0.tex")
        .claim("../escape.tex", "files/0.tex")
        .claim("c:/drive.tex", "files/0.tex")
        .claim("chara/nul.tex", "files/0.tex")
        .claim("chara/folder.tex", "files/folder.tex")
        .claim("chara/huge.tex", "files/huge.tex")
        .claim(&long, "files/0.tex")
        .write();
    fs::create_dir(look.folder.join("files/folder.tex")).expect("made");
    let huge = File::create(look.folder.join("files/huge.tex")).expect("made");
    huge.set_len(300 * 1024 * 1024 + 1).expect("sparse");

    let published = alice.publish(&look.folder).await;
    assert_eq!(published.files, 2);
    let mut left_out: Vec<(&str, &str)> = published
        .left_out
        .iter()
        .map(|out| (out.game_path.as_str(), out.reason.split(':').next().unwrap_or_default()))
        .collect();
    left_out.sort_unstable();
    let mut expected = [
        ("chara/missing.tex", "missing"),
        ("chara/outside.tex", "outside"),
        ("chara/absolute.tex", "outside"),
        ("chara/program.exe", "extension"),
        ("../escape.tex", "game-path"),
        ("c:/drive.tex", "game-path"),
        ("chara/nul.tex", "game-path"),
        ("chara/folder.tex", "not-a-file"),
        ("chara/huge.tex", "too-large"),
        (&long, "game-path"),
    ];
    expected.sort_unstable();
    assert_eq!(left_out, expected);
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}
