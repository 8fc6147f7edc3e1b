//! Texts that become types: ids, player names, game paths.

use fyteclub_fuzz::{fuzz, seed::texts};
use fyteclub_proto::{
    codec,
    game_path::{EXTENSIONS, GamePath},
    id::{BlobHash, PeerId, PlayerName, check_name},
    limit,
};

#[test]
fn peer_id() {
    let key = PeerId::from_bytes([0xa7; 32]).to_string();
    fuzz!(
        texts(&[&key, "ed25519:", "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]),
        |input: &[u8]| {
            let text = String::from_utf8_lossy(input);
            match text.parse::<PeerId>() {
                Ok(id) => assert_eq!(id.to_string(), text, "one id, one text"),
                Err(error) => assert!(error.to_string().len() < 500),
            }
            if let Ok(id) = codec::decode::<PeerId>(input) {
                assert_eq!(id.as_bytes().as_slice(), input);
            }
        }
    );
}

#[test]
fn blob_hash() {
    let hash = BlobHash::of(b"").to_string();
    fuzz!(texts(&[&hash, "b3:", "b3:00"]), |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        match text.parse::<BlobHash>() {
            Ok(hash) => assert_eq!(hash.to_string(), text, "one hash, one text"),
            Err(error) => assert!(error.to_string().len() < 500),
        }
        if let Some(hash) = BlobHash::from_hex(&text) {
            assert_eq!(hash.hex(), text);
        }
    });
}

#[test]
fn player_name() {
    let seeds =
        texts(&["Alice Ashe@Gilgamesh", "Y'shtola Rhul@Omega", "Ana-Lu O'Dim@Zodiark", "光の 戦士@トンベリ"]);
    fuzz!(seeds, |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let Ok(name) = text.parse::<PlayerName>() else { return };
        assert_eq!(name.as_str(), text, "never trimmed, folded or cut");
        assert!(check_name(&text).is_ok() && text.len() <= limit::NAME_BYTES_MAX);
        assert!(!text.chars().any(char::is_control));
        let (forename, world) = text.split_once('@').expect("a name has a world");
        assert!(!forename.trim().is_empty() && !world.trim().is_empty() && !world.contains('@'));
    });
}

#[test]
fn game_path() {
    let seeds = texts(&[
        "chara/human/c0101/obj/hair/h0001/model/c0101h0001_hir.mdl",
        "Chara\\Equipment\\e0001\\texture\\V01_c0101e0001_top_d.TEX",
        "chara/été/ü b'+&,-{}.mdl",
        "ΑΣ/ẞ/İ.pap",
        "a/com1x/aux_.sklb",
        "a..b/c.d.tex",
    ]);
    fuzz!(seeds, |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let exact = GamePath::exact(&text);
        let Ok(path) = text.parse::<GamePath>() else {
            assert!(exact.is_err(), "what is not a path is not one exactly");
            return;
        };
        let inside = path.as_str();
        assert_eq!(exact.is_ok(), inside == text);
        assert_eq!(GamePath::exact(inside).as_ref(), Ok(&path), "one form, and it stays");
        assert!((1..=limit::GAME_PATH_BYTES_MAX).contains(&inside.len()));
        assert!(!inside.contains(['\\', ':', '*', '?', '"', '<', '>', '|', '\0', '\n']));
        assert!(!inside.starts_with('/') && !inside.ends_with('/'));
        for part in inside.split('/') {
            assert!(!part.is_empty() && part != "." && part != "..");
            assert!(!part.ends_with(['.', ' ']), "Windows would cut it off");
            let stem = part.split('.').next().unwrap_or(part);
            assert!(!["con", "prn", "aux", "nul", "com1", "lpt9"].contains(&stem.trim_end()));
        }
        assert!(EXTENSIONS.contains(&path.extension()));
        assert!(inside.ends_with(&format!(".{}", path.extension())));
    });
}
