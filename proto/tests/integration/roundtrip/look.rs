//! Random names, paths and looks.

use fyteclub_proto::{
    appearance::{Appearance, FileEntry, Look, ObjectKind, ObjectLook, Swap},
    game_path::{EXTENSIONS, GamePath},
    id::{BlobHash, PeerId, PlayerName},
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use std::collections::BTreeMap;

pub(crate) fn blob() -> impl Strategy<Value = BlobHash> {
    any::<[u8; 32]>().prop_map(BlobHash::from_bytes)
}

pub(crate) fn peer_id() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::from_bytes)
}

pub(crate) fn name() -> impl Strategy<Value = PlayerName> {
    "[A-Zà-ž光][a-z'\\-]{1,14} [A-Z][a-z'ñ]{1,14}@[A-Zト][a-z]{1,14}"
        .prop_map(|name| name.parse().expect("a name"))
}

pub(crate) fn game_path() -> impl Strategy<Value = GamePath> {
    let part = "[a-z0-9_é&+,' -]{0,12}[a-z0-9_]";
    let dirs = vec(part.prop_filter("starts with a space", |part| !part.starts_with(' ')), 1..5);
    (dirs, select(&EXTENSIONS[..])).prop_filter_map("a device's name", |(parts, extension)| {
        format!("{}.{extension}", parts.join("/")).parse().ok()
    })
}

pub(crate) fn game_paths() -> impl Strategy<Value = Vec<GamePath>> {
    vec(game_path(), 1..4)
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,20}", any::<String>()]
}

pub(crate) fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

pub(crate) fn kind() -> impl Strategy<Value = ObjectKind> {
    use ObjectKind::*;
    select(&[Player, MinionOrMount, Companion, Pet][..])
}

pub(crate) fn swap() -> impl Strategy<Value = Swap> {
    (game_paths(), game_path()).prop_map(|(game_paths, to)| Swap { game_paths, to })
}

/// Exact in JSON: three decimals.
pub(crate) fn fraction() -> impl Strategy<Value = f64> {
    (0..100_000_000u32).prop_map(|thousandths| f64::from(thousandths) / 1000.0)
}

pub(crate) fn object() -> impl Strategy<Value = ObjectLook> {
    let file = (game_paths(), blob(), any::<u64>()).prop_map(|(game_paths, hash, size)| FileEntry {
        game_paths,
        hash,
        size,
    });
    (kind(), vec(file, 0..4), vec(swap(), 0..3), option::of(text()), option::of(text())).prop_map(
        |(kind, files, swaps, glamourer, customize_plus)| ObjectLook {
            kind,
            files,
            swaps,
            glamourer,
            customize_plus,
        },
    )
}

pub(crate) fn appearance() -> impl Strategy<Value = Appearance> {
    let strings = (option::of(text()), option::of(text()), option::of(text()));
    let more = (option::of(text()), option::of(text()), texts());
    (any::<u64>(), name(), vec(object(), 0..4), strings, more).prop_map(
        |(seq, player, objects, (meta, heels, honorific), (moodles, pet_names, ext))| Appearance {
            v: 1,
            seq,
            player,
            look: Look { objects, meta, heels, honorific, moodles, pet_names, ext },
        },
    )
}
