//! Appearance × store → what is missing; and, when nothing is, the look as clients and Penumbra want it.

use super::{possession::Answers, pull::Target, scan::MANIPULATIONS};
use crate::{
    io::store::{Evicted, Partial, Pin, Store, StoreError},
    penumbra::{self, Export, ExportError, ExportFile},
};
use fyteclub_proto::{
    appearance::{AppearanceError, Look, SignedAppearance},
    blob::{Blob, Content, Origin},
    chunk_tree::chunk_count,
    fetching::{fetch::FolderId, transfer::Wanted},
    id::{BlobHash, PeerId, PlayerName},
    limit::{PROOF_BYTES_MAX, PROOFS_MAX},
    local::{
        Fault, FaultCode,
        reply::{Fetched, FetchedFile, FetchedObject},
        request::Strings,
    },
    number::u64_of,
    peer::Piece,
    size,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

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
    /// Something else would have to be evicted for a prefetch.
    #[error("a prefetch finds no free space")]
    NoFreeSpace,
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

/// Which space of the cache a look may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Also that of what was not used for longest, which is evicted.
    Evicted,
    /// Only what is free: for a prefetch.
    Free,
}

/// What is known of one missing blob.
struct Missing {
    size: u64,
    ext: &'static str,
    partial: Option<Arc<Partial>>,
}

/// A checked look, before it is known what of it is to be fetched: first the owner is asked to prove what did not come
/// from it. Everything that is here stays while this lives.
pub struct Draft {
    owner: PeerId,
    look: Look,
    blobs: BTreeMap<BlobHash, (u64, &'static str)>,
    questions: Vec<Content>,
    pin: Pin,
}

/// A checked look, and what of it is to be fetched. Everything that is here stays while the plan lives.
pub struct Plan {
    pub appearance: BlobHash,
    pub owner: PeerId,
    pub look: Look,
    /// The look's distinct blobs, ascending by hash.
    pub blobs: Vec<Content>,
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
        let owner = self.owner;
        Some(Target { piece, size: *size, ext, partial: partial.clone(), owner })
    }

    /// What of the look is in the cache and did not come from its owner, who may prove to have it: groups that may be
    /// asked for in one request each. Blocking.
    pub fn unproven(&self, store: &Store) -> Vec<Vec<Content>> {
        let mut groups: Vec<Vec<Content>> = Vec::new();
        let mut bytes = 0;
        for content in &self.blobs {
            let owners = Blob { content: *content, origin: Origin::Owner(self.owner) };
            if store.holds(&owners) || !store.caches(content) {
                continue;
            }
            bytes += content.size;
            match groups.last_mut() {
                Some(group) if group.len() < PROOFS_MAX && bytes <= PROOF_BYTES_MAX => group.push(*content),
                _ => {
                    bytes = content.size;
                    groups.push(vec![*content]);
                }
            }
        }
        groups
    }
}

/// Checks an appearance that came from `owner`, and compares it with the store. Blocking.
///
/// # Errors
/// An appearance that is not accepted.
pub fn draft(store: &Store, document: &[u8], owner: &PeerId, name: &PlayerName) -> Result<Draft, PlanError> {
    let appearance = SignedAppearance::open(document, owner)?;
    if appearance.player != *name {
        return Err(PlanError::Name { says: appearance.player });
    }
    let look = appearance.look;
    let blobs = look.blobs();
    // Before anything is evicted to make room.
    let pin = store.pin(blobs.keys().copied());
    store.stands()?;
    // Every large one that the owner has not given, here or not: so the question tells nothing of which are.
    let content = |(hash, (size, _)): (&BlobHash, &(u64, _))| Content { hash: *hash, size: *size };
    let mut questions = Vec::new();
    for content in blobs.iter().map(content).filter(|content| !content.is_small()) {
        if !holds(store, owner, &content)? {
            questions.push(content);
        }
    }
    // What is left out is fetched, so the largest come first.
    questions.sort_unstable_by_key(|content| (std::cmp::Reverse(content.size), content.hash));
    questions.truncate(PROOFS_MAX);
    Ok(Draft { owner: *owner, look, blobs, questions, pin })
}

/// Whether a blob is here and came from this owner. A file that cannot be looked at is an error, not an absent one.
fn holds(store: &Store, owner: &PeerId, content: &Content) -> Result<bool, StoreError> {
    let blob = Blob { content: *content, origin: Origin::Owner(*owner) };
    // Twice: what a look finds changed is dropped.
    Ok(store.came(&blob) && store.find(&content.hash)?.is_some() && store.came(&blob))
}

impl Draft {
    /// Blobs of which the owner is to prove a sample; most often none.
    pub fn questions(&self) -> &[Content] {
        &self.questions
    }

    /// Says what is to be fetched. What is here for another reason than that the owner gave it counts as here only when
    /// the owner proved a sample of it in `answers`, so that a look tells nobody what is here who has it not themselves;
    /// small blobs are fetched again. Blocking.
    ///
    /// # Errors
    /// A look that the store has no room for.
    pub fn settle(self, store: &Store, space: Space, answers: Option<Answers>) -> Result<Plan, PlanError> {
        let Self { owner, look, blobs, pin, .. } = self;
        let proven: HashSet<Content> =
            answers.map(|answers| answers.proven(store).collect()).unwrap_or_default();
        let contents = blobs.iter().map(|(hash, (size, _))| Content { hash: *hash, size: *size }).collect();
        let (mut lacking, mut lost) = (BTreeMap::new(), 0);
        for (hash, (size, ext)) in blobs {
            let content = Content { hash, size };
            let remembered = store.remembers(&hash);
            if !proven.contains(&content) && !holds(store, &owner, &content)? {
                lacking.insert(hash, (size, ext));
                lost += u32::from(remembered && !store.remembers(&hash));
            }
        }
        if lost > 0 {
            let files = size::count(lost, "file");
            tracing::warn!("fetching again what another program removed from the cache or changed: {files}");
        }
        let is_here =
            |hash, size| store.holds(&Blob { content: Content { hash, size }, origin: Origin::Own });
        let new = lacking.iter().filter(|(hash, (size, _))| !is_here(**hash, *size));
        // Before it is begun: what is begun counts whole.
        if space == Space::Free && !store.has_space(new.map(|(_, (size, _))| size).sum()) {
            return Err(PlanError::NoFreeSpace);
        }
        let (mut wanted, mut missing, mut missing_bytes, mut new_bytes) = (Vec::new(), HashMap::new(), 0, 0);
        for (hash, (size, ext)) in lacking {
            let here = is_here(hash, size);
            let (tree, chunks, partial) = if chunk_count(size) == 1 {
                (true, std::iter::once(0..1).collect(), None)
            } else {
                let partial = store.partial(hash, size, ext)?;
                let chunks = partial.missing_of(&owner);
                if chunks.is_empty() {
                    continue;
                }
                // Where others brought anything of it, it is asked for as if nothing were here, its list as well.
                let alone = !here && chunks == partial.missing();
                (alone && partial.tree().is_some(), chunks, Some(partial))
            };
            let bytes = bytes_of(size, &chunks);
            missing_bytes += bytes;
            new_bytes += if here { 0 } else { bytes };
            wanted.push(Wanted { hash, size, tree, missing: chunks });
            missing.insert(hash, Missing { size, ext, partial });
        }
        let evicted = match space {
            Space::Evicted => store.reserve(new_bytes)?,
            Space::Free => Evicted::default(),
        };
        Ok(Plan {
            appearance: look.hash(),
            owner,
            look,
            blobs: contents,
            wanted,
            missing_bytes,
            evicted,
            missing,
            _pin: pin,
        })
    }
}

fn bytes_of(size: u64, chunks: &[std::ops::Range<u32>]) -> u64 {
    let len = |index| u64_of(fyteclub_proto::chunk_tree::chunk_len(size, index).unwrap_or(0));
    chunks.iter().flat_map(Clone::clone).map(len).sum()
}

/// Whether every file of the look is here, and as the store left it. Blocking.
///
/// # Errors
/// As [`reply`].
pub fn look(store: &Store, plan: &Plan) -> Result<(), Unready> {
    store.stands()?;
    for content in &plan.blobs {
        store.find(&content.hash)?.ok_or(Unready::Lost)?;
    }
    Ok(())
}

/// A folder that clients want written, with their tokens.
pub type Folder = (FolderId, PathBuf, Vec<CancellationToken>);
/// What came of each folder that was written.
pub type Folders = Vec<(FolderId, Result<(), Fault>)>;

/// Writes these folders, and describes the finished look for clients, but for what the transfer knows. Nothing is written
/// for clients that have all left, nor where a file of the look is gone. Blocking.
pub fn hand_out(
    store: &Store,
    plan: &Plan,
    player: &PlayerName,
    folders: Vec<Folder>,
) -> (Folders, Result<Fetched, Unready>) {
    // Before anything is written: a folder is whole, or it is not begun.
    if !folders.is_empty()
        && let Err(unready) = look(store, plan)
    {
        return (Vec::new(), Err(unready));
    }
    let wanted = folders.into_iter().filter(|(.., asked)| asked.iter().any(|left| !left.is_cancelled()));
    let write = |(folder, out, _): Folder| {
        let written = write(store, plan, player, &out);
        (folder, written.map_err(|error| write_fault(&error)))
    };
    let folders = wanted.map(write).collect();
    // And after it: a file that went meanwhile is not in every folder.
    (folders, reply(store, plan, player))
}

fn write_fault(error: &WriteError) -> Fault {
    match error {
        WriteError::Export(full) if full.is_disk_full() => Fault::new(FaultCode::DiskFull, full.to_string()),
        error => Fault::new(FaultCode::Io, error.to_string()),
    }
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
    let export = Export {
        name: format!("{player} (FyteClub)"),
        player: player.to_string(),
        files,
        swaps,
        manipulations,
        reserved: vec![store.dir(), store.data_dir().to_owned()],
    };
    penumbra::write(out, &export)?;
    Ok(())
}
