//! Turns files of this machine into a look, and hashes unknown ones.

use crate::{
    io::store::{Source as Indexed, Store, StoreError},
    penumbra::{self, Choice, LeftOutReason, ModError, Scratch, Source},
};
use fyteclub_proto::{
    appearance::{AppearanceError, FileEntry, Look, ObjectKind, ObjectLook, Swap},
    game_path::{GamePath, known_extension},
    id::BlobHash,
    limit::{EXT_BYTES_MAX, FILE_SIZE_MAX},
    local::{reply::LeftOut, request},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

/// The `ext` key of a mod's manipulations: Penumbra's own JSON.
pub const MANIPULATIONS: &str = "penumbra.manipulations";

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    #[error(transparent)]
    Mod(#[from] ModError),
    #[error(transparent)]
    Look(#[from] AppearanceError),
    #[error("a folder for unpacking cannot be made: {0}")]
    Scratch(#[from] io::Error),
    #[error("none of the files that {of} names can be shared, the first because: {first}")]
    Nothing { of: &'static str, first: String },
    /// Only when the store itself fails, as with a full disk. One bad file is left out instead.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A look that is ready to be signed, and the files that were left out.
#[derive(Debug)]
pub struct Scanned {
    pub look: Look,
    pub left_out: Vec<LeftOut>,
}

/// Reads a Penumbra folder or `.pmp`. Files of a folder stay where they are; those of an archive are unpacked into the
/// store. Blocking.
///
/// # Errors
/// The mod cannot be read, the look is over a limit, or the disk is full.
pub fn mod_folder(store: &Store, path: &Path, choices: &[Choice]) -> Result<Scanned, ScanError> {
    let scratch = store.scratch_path()?;
    let scanned = read_mod(store, path, choices, &scratch);
    fs::remove_dir_all(&scratch).ok();
    scanned
}

fn read_mod(store: &Store, path: &Path, choices: &[Choice], scratch: &Path) -> Result<Scanned, ScanError> {
    let space = |bytes| store.make_space(bytes);
    let resolved = penumbra::read_into(path, choices, Scratch { dir: scratch, space: &space })?;
    // A group that is left out names no file.
    let files_out = |out: &penumbra::LeftOut| !matches!(out.reason, LeftOutReason::Group(_));
    let names_files = !resolved.files.is_empty() || resolved.left_out.iter().any(files_out);
    let mut left_out: Vec<LeftOut> = (resolved.left_out.into_iter())
        .map(|out| LeftOut { game_path: out.game_path, file: out.file, reason: out.reason.to_string() })
        .collect();
    let mut files = Files::default();
    for file in resolved.files {
        let indexed = match &file.source {
            Source::Folder(path) => store.index_source(path),
            Source::Scratch(path) => {
                let ext = file.game_paths.first().map_or("bin", GamePath::extension);
                store.import(path, ext)
            }
        };
        let shown = file.source.path().strip_prefix(path).unwrap_or(file.source.path()).to_string_lossy();
        files.add(indexed, file.game_paths, &shown, &mut left_out)?;
    }
    let mut swaps: BTreeMap<GamePath, Vec<GamePath>> = BTreeMap::new();
    for (from, to) in resolved.swaps {
        swaps.entry(to).or_default().push(from);
    }
    let mut ext = BTreeMap::new();
    if !resolved.manipulations.is_empty() {
        ext.insert(MANIPULATIONS.to_owned(), resolved.manipulations);
    } else if resolved.manipulation_bytes > 0 {
        left_out.push(LeftOut {
            game_path: String::new(),
            file: String::new(),
            reason: format!(
                "too-large: the mod's manipulations take {} bytes, and the limit is {EXT_BYTES_MAX}",
                resolved.manipulation_bytes
            ),
        });
    }
    let object = ObjectLook {
        kind: ObjectKind::Player,
        files: refuse_nothing("the mod", names_files, files.entries(), &left_out)?,
        swaps: swaps.into_iter().map(|(to, game_paths)| Swap { game_paths, to }).collect(),
        glamourer: None,
        customize_plus: None,
    };
    finish(Look { objects: vec![object], ext, ..Look::default() }, left_out)
}

/// Makes a look of the files that a plugin found in the game. Every file is indexed where it is. Blocking.
///
/// # Errors
/// The look is over a limit, or the disk is full. A file that breaks a rule is left out and named.
pub fn plugin_look(store: &Store, publish: request::AppearancePublish) -> Result<Scanned, ScanError> {
    let mut left_out = Vec::new();
    let mut objects = Vec::new();
    for object in publish.objects {
        let mut files = Files::default();
        for file in object.files {
            let game_paths = game_paths(file.game_paths, &file.path, &mut left_out);
            if game_paths.is_empty() {
                continue;
            }
            if known_extension(&file.path).is_none() {
                left_out.extend(game_paths.iter().map(|path| LeftOut {
                    game_path: path.to_string(),
                    file: file.path.clone(),
                    reason: "extension: the game loads no file with this ending by path".into(),
                }));
                continue;
            }
            files.add(store.index_source(Path::new(&file.path)), game_paths, &file.path, &mut left_out)?;
        }
        let mut swaps = Vec::new();
        for swap in object.swaps {
            let from = game_paths(swap.game_paths, &swap.to, &mut left_out);
            match swap.to.parse() {
                Ok(to) if !from.is_empty() => swaps.push(Swap { game_paths: from, to }),
                Ok(_) => {}
                Err(error) => left_out.push(LeftOut {
                    game_path: swap.to.clone(),
                    file: swap.to,
                    reason: format!("game-path: {error}"),
                }),
            }
        }
        objects.push(ObjectLook {
            kind: object.kind,
            files: files.entries(),
            swaps,
            glamourer: object.glamourer,
            customize_plus: object.customize_plus,
        });
    }
    let request::Strings { meta, heels, honorific, moodles, pet_names, ext } = publish.strings;
    finish(Look { objects, meta, heels, honorific, moodles, pet_names, ext }, left_out)
}

/// An empty look would replace the one that contacts see now.
fn refuse_nothing(
    of: &'static str,
    names_files: bool,
    files: Vec<FileEntry>,
    left_out: &[LeftOut],
) -> Result<Vec<FileEntry>, ScanError> {
    if names_files
        && files.is_empty()
        && let Some(first) = left_out.iter().find(|out| !out.game_path.is_empty())
    {
        let first = format!("{}: {}", first.game_path, first.reason);
        return Err(ScanError::Nothing { of, first });
    }
    Ok(files)
}

fn finish(mut look: Look, left_out: Vec<LeftOut>) -> Result<Scanned, ScanError> {
    look.normalise();
    look.check()?;
    Ok(Scanned { look, left_out })
}

fn game_paths(texts: Vec<String>, file: &str, left_out: &mut Vec<LeftOut>) -> Vec<GamePath> {
    let mut paths = Vec::new();
    for text in texts {
        match text.parse() {
            Ok(path) => paths.push(path),
            Err(error) => {
                let reason = format!("game-path: {error}");
                left_out.push(LeftOut { game_path: text, file: file.to_owned(), reason });
            }
        }
    }
    paths
}

/// Files of one object, by content; each game path once, the first claim wins.
#[derive(Default)]
struct Files {
    by_hash: BTreeMap<BlobHash, (u64, BTreeSet<GamePath>)>,
    claimed: BTreeSet<GamePath>,
}

impl Files {
    fn add(
        &mut self,
        indexed: Result<Indexed, StoreError>,
        game_paths: Vec<GamePath>,
        file: &str,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(), ScanError> {
        let indexed = match indexed {
            Ok(indexed) => indexed,
            Err(error @ (StoreError::DiskFull { .. } | StoreError::TooLarge { .. })) => {
                return Err(error.into());
            }
            Err(error) => {
                let reason = reason(&error);
                left_out.extend(game_paths.iter().map(|path| LeftOut {
                    game_path: path.to_string(),
                    file: file.to_owned(),
                    reason: reason.clone(),
                }));
                return Ok(());
            }
        };
        let (_, paths) = self.by_hash.entry(indexed.hash).or_insert((indexed.size, BTreeSet::new()));
        paths.extend(game_paths.into_iter().filter(|path| self.claimed.insert(path.clone())));
        Ok(())
    }

    fn entries(self) -> Vec<FileEntry> {
        (self.by_hash.into_iter())
            .filter(|(_, (_, paths))| !paths.is_empty())
            .map(|(hash, (size, paths))| FileEntry { game_paths: paths.into_iter().collect(), hash, size })
            .collect()
    }
}

/// In the same words as the mod reader's.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Missing { .. } => "missing: there is no such file".into(),
        StoreError::NotAFile { .. } => "not-a-file: it is a folder or a device".into(),
        StoreError::FileTooLarge { size, .. } => {
            format!("too-large: it has {size} bytes, and at most {FILE_SIZE_MAX} are shared")
        }
        other => format!("unreadable: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mod_without_a_file_to_share_is_refused() {
        let out = LeftOut {
            game_path: "a.tex".into(),
            file: "b.tex".into(),
            reason: "missing: the mod has no such file".into(),
        };
        let refused = refuse_nothing("the mod", true, vec![], std::slice::from_ref(&out));
        let says = refused.expect_err("nothing is left").to_string();
        assert!(says.starts_with("none of the files that the mod names can be shared"), "{says}");
        assert!(says.contains("a.tex: missing"), "{says}");
        // An option that changes no file is a look too.
        assert!(refuse_nothing("the mod", false, vec![], &[]).is_ok());
        let entry = FileEntry { game_paths: vec![], hash: BlobHash::of(b""), size: 0 };
        assert!(refuse_nothing("the mod", true, vec![entry], &[out]).is_ok());
    }
}
