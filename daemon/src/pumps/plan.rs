//! Appearance × store → what is missing; and, when nothing is, the look as clients and Penumbra want it.

use super::{pull::Target, scan::MANIPULATIONS};
use crate::{
    io::store::{Evicted, Partial, Pin, Store, StoreError},
    penumbra::{self, Export, ExportError, ExportFile},
};
use fyteclub_proto::{
    appearance::{AppearanceError, Look, SignedAppearance},
    chunk_tree::chunk_count,
    id::{BlobHash, PeerId, PlayerName},
    local::{
        reply::{Fetched, FetchedFile, FetchedObject},
        request::Strings,
    },
    peer::Piece,
    transfer::Wanted,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    #[error(transparent)]
    Appearance(#[from] AppearanceError),
    /// The document is rightly signed, but by somebody of another name.
    #[error("the appearance is of {says}")]
    Name { says: PlayerName },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else would have to go for it.
    #[error("there is no room left over")]
    NoSpareRoom,
}

/// Why a look that was here cannot be handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unready {
    /// Somebody removed or changed some of its files: they are forgotten, and can be fetched again.
    #[error("files of the look are not in the cache any more")]
    Lost,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a look was not written to a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    #[error(transparent)]
    Unready(#[from] Unready),
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// What may be done about room for a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// What was not used for longest goes.
    Make,
    /// Nothing goes.
    Spare,
}

/// What is known of one missing blob.
struct Missing {
    size: u64,
    ext: &'static str,
    partial: Option<Arc<Partial>>,
}

/// A checked look, and what of it is not here. Everything that is here stays while the plan lives.
pub struct Plan {
    pub appearance: BlobHash,
    pub look: Look,
    /// The look's distinct blobs, ascending.
    pub blobs: Vec<BlobHash>,
    pub wanted: Vec<Wanted>,
    pub missing_bytes: u64,
    /// What had to go to make room.
    pub evicted: Evicted,
    missing: HashMap<BlobHash, Missing>,
    _pin: Pin,
}

impl Plan {
    /// Where the chunks of a piece go.
    pub fn target(&self, piece: Piece) -> Option<Target> {
        let Missing { size, ext, partial } = self.missing.get(&piece.hash)?;
        Some(Target { piece, size: *size, ext, partial: partial.clone() })
    }
}

/// Checks an appearance that came from `owner`, and compares it with the store. Blocking.
///
/// # Errors
/// An appearance that is not accepted, or a look that the store has no room for.
pub fn make(
    store: &Store,
    document: &[u8],
    owner: &PeerId,
    name: &PlayerName,
    room: Room,
) -> Result<Plan, PlanError> {
    let appearance = SignedAppearance::open(document, owner)?;
    if appearance.player != *name {
        return Err(PlanError::Name { says: appearance.player });
    }
    let look = appearance.look;
    let blobs = look.blobs();
    let hashes = blobs.keys().copied().collect();
    // Before anything is evicted to make room.
    let pin = store.pin(blobs.keys().copied());
    store.stands()?;
    let (mut lacking, mut lost) = (BTreeMap::new(), 0);
    for (hash, blob) in blobs {
        let remembered = store.remembers(&hash);
        if store.find(&hash)?.is_none() {
            lacking.insert(hash, blob);
            lost += u32::from(remembered);
        }
    }
    if lost > 0 {
        tracing::warn!("{lost} files of the cache were removed or changed, and are fetched again");
    }
    // Before it is begun: what is begun counts whole.
    if room == Room::Spare && !store.has_room(lacking.values().map(|(size, _)| size).sum()) {
        return Err(PlanError::NoSpareRoom);
    }
    let (mut wanted, mut missing, mut missing_bytes) = (Vec::new(), HashMap::new(), 0);
    for (hash, (size, ext)) in lacking {
        let (tree, chunks, partial) = if chunk_count(size) == 1 {
            (true, std::iter::once(0..1).collect(), None)
        } else {
            let partial = store.partial(hash, size, ext)?;
            if partial.is_complete() {
                continue;
            }
            (partial.tree().is_some(), partial.missing(), Some(partial))
        };
        missing_bytes += bytes_of(size, &chunks);
        wanted.push(Wanted { hash, size, tree, missing: chunks });
        missing.insert(hash, Missing { size, ext, partial });
    }
    let evicted = match room {
        Room::Make => store.reserve(missing_bytes)?,
        Room::Spare => Evicted::default(),
    };
    Ok(Plan {
        appearance: look.hash(),
        look,
        blobs: hashes,
        wanted,
        missing_bytes,
        evicted,
        missing,
        _pin: pin,
    })
}

fn bytes_of(size: u64, chunks: &[std::ops::Range<u32>]) -> u64 {
    let len = |index| fyteclub_proto::chunk_tree::chunk_len(size, index).unwrap_or(0) as u64;
    chunks.iter().flat_map(Clone::clone).map(len).sum()
}

/// Whether every file of the look is here, and as the store left it. Blocking.
///
/// # Errors
/// As [`reply`].
pub fn look(store: &Store, plan: &Plan) -> Result<(), Unready> {
    store.stands()?;
    for hash in &plan.blobs {
        store.find(hash)?.ok_or(Unready::Lost)?;
    }
    Ok(())
}

/// The finished look for a client, but for what the transfer knows. Every file was looked at: it is there, and as the
/// store left it. Blocking.
///
/// # Errors
/// A file that is not, or a disk that is away.
pub fn reply(store: &Store, plan: &Plan, player: &PlayerName) -> Result<Fetched, Unready> {
    // Also of a look without files: where the cache is away nothing is called whole.
    store.stands()?;
    let mut files = Vec::new();
    let mut used = Vec::new();
    for (number, object) in plan.look.objects.iter().enumerate() {
        for file in &object.files {
            used.push(file.hash);
            files.push(FetchedFile {
                game_paths: file.game_paths.clone(),
                hash: file.hash,
                size: file.size,
                path: store.find(&file.hash)?.ok_or(Unready::Lost)?.to_string_lossy().into_owned(),
                object: number,
            });
        }
    }
    store.touch(&used);
    let objects = plan.look.objects.iter().map(|object| FetchedObject {
        kind: object.kind,
        swaps: object.swaps.clone(),
        glamourer: object.glamourer.clone(),
        customize_plus: object.customize_plus.clone(),
    });
    let Look { meta, heels, honorific, moodles, pet_names, ext, .. } = plan.look.clone();
    Ok(Fetched {
        player: player.clone(),
        appearance: plan.appearance,
        files,
        bytes_total: plan.look.totals().1,
        bytes_transferred: 0,
        bytes_fetched: 0,
        seconds: 0.0,
        path: None,
        sources: Vec::new(),
        objects: objects.collect(),
        strings: Strings { meta, heels, honorific, moodles, pet_names, ext },
        out: None,
    })
}

/// Writes the look of the player object as a mod folder. Blocking.
///
/// # Errors
/// A folder that is not ours to write, a file of the look that is gone, or the machine's.
pub fn write(store: &Store, plan: &Plan, player: &PlayerName, out: &Path) -> Result<(), WriteError> {
    let mut files = Vec::new();
    let mut swaps = Vec::new();
    // Penumbra's mods know no objects: the first claim of a path wins, and the player comes first.
    let mut claimed = std::collections::BTreeSet::new();
    for object in &plan.look.objects {
        for file in &object.files {
            let game_paths: Vec<_> =
                file.game_paths.iter().filter(|path| claimed.insert((*path).clone())).cloned().collect();
            if game_paths.is_empty() {
                continue;
            }
            let source = store.find(&file.hash).map_err(Unready::from)?.ok_or(Unready::Lost)?;
            let file_name = format!("{}.{}", file.hash.hex(), file.extension());
            files.push(ExportFile { source, file_name, game_paths });
        }
        for swap in &object.swaps {
            let from = swap.game_paths.iter().filter(|path| claimed.insert((*path).clone()));
            swaps.extend(from.map(|from| (from.clone(), swap.to.clone())));
        }
    }
    let manipulations = plan.look.ext.get(MANIPULATIONS).cloned().unwrap_or_default();
    let export = Export { name: format!("{player} (FyteClub)"), files, swaps, manipulations };
    penumbra::write(out, &export)?;
    Ok(())
}
