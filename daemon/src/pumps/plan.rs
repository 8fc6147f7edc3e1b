//! Compares a look with the store and lists what is missing. When nothing is missing: describes the look for clients and
//! writes it as a mod folder.

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
    /// The signature is valid, and the signed name is another one.
    #[error("the document names another player: {says}")]
    Name { says: PlayerName },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A prefetch must not evict other blobs.
    #[error("the cache has no free space for a prefetch")]
    NoFreeSpace,
}

/// Why a fetched look cannot be given to clients.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unready {
    /// Another program removed or changed some of its files. The store has dropped them; they can be fetched again.
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
    /// Free space, and the space of the least recently used blobs, which are evicted.
    Evicted,
    /// Free space only: for a prefetch.
    Free,
}

/// One missing blob.
struct Missing {
    size: u64,
    ext: &'static str,
    partial: Option<Arc<Partial>>,
}

/// A checked look before the plan: the owner is first asked to prove blobs that did not come from it. Stored blobs of the
/// look are pinned until this is dropped.
pub struct Draft {
    owner: PeerId,
    look: Look,
    blobs: BTreeMap<BlobHash, (u64, &'static str)>,
    questions: Vec<Content>,
    pin: Pin,
}

/// A checked look and its missing pieces. Stored blobs of the look are pinned until the plan is dropped.
pub struct Plan {
    pub appearance: BlobHash,
    pub owner: PeerId,
    pub look: Look,
    /// The look's distinct blobs, ascending by hash.
    pub blobs: Vec<Content>,
    pub wanted: Vec<Wanted>,
    pub missing_bytes: u64,
    /// Blobs that were evicted for this look.
    pub evicted: Evicted,
    missing: HashMap<BlobHash, Missing>,
    _pin: Pin,
}

impl Plan {
    /// Where the chunks of a piece are stored.
    pub fn target(&self, piece: Piece) -> Option<Target> {
        let Missing { size, ext, partial } = self.missing.get(&piece.hash)?;
        let owner = self.owner;
        Some(Target { piece, size: *size, ext, partial: partial.clone(), owner })
    }

    /// Cached blobs of the look that did not come from its owner, who may prove to have them. Each group fits one request.
    /// Blocking.
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
/// The document is invalid, or its name is another one; or the store cannot be read.
pub fn draft(store: &Store, document: &[u8], owner: &PeerId, name: &PlayerName) -> Result<Draft, PlanError> {
    let appearance = SignedAppearance::open(document, owner)?;
    if appearance.player != *name {
        return Err(PlanError::Name { says: appearance.player });
    }
    let look = appearance.look;
    let blobs = look.blobs();
    // Before an eviction.
    let pin = store.pin(blobs.keys().copied());
    store.stands()?;
    // All large blobs that did not come from the owner, cached or not, so that the question does not reveal which are.
    let content = |(hash, (size, _)): (&BlobHash, &(u64, _))| Content { hash: *hash, size: *size };
    let mut questions = Vec::new();
    for content in blobs.iter().map(content).filter(|content| !content.is_small()) {
        if !holds(store, owner, &content)? {
            questions.push(content);
        }
    }
    // Blobs beyond the limit are fetched, so the largest come first.
    questions.sort_unstable_by_key(|content| (std::cmp::Reverse(content.size), content.hash));
    questions.truncate(PROOFS_MAX);
    Ok(Draft { owner: *owner, look, blobs, questions, pin })
}

/// Whether a blob is stored and came from this owner. A file that cannot be read is an error.
fn holds(store: &Store, owner: &PeerId, content: &Content) -> Result<bool, StoreError> {
    let blob = Blob { content: *content, origin: Origin::Owner(*owner) };
    // Twice: `find` drops a changed file.
    Ok(store.came(&blob) && store.find(&content.hash)?.is_some() && store.came(&blob))
}

impl Draft {
    /// Blobs of which the owner is asked to prove a sample; usually none.
    pub fn questions(&self) -> &[Content] {
        &self.questions
    }

    /// Makes the plan. A stored blob that did not come from the owner counts as stored only if `answers` proves a sample
    /// of it: otherwise an owner could learn from the requests which blobs are stored here. Small blobs are fetched again.
    /// Blocking.
    ///
    /// # Errors
    /// The store has no space for the look, or cannot be read.
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
        // Before a partial is made: it counts with its whole size.
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
                // If another owner's chunks are in it, the chunk list is requested too, as if nothing were stored.
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

/// Checks that every file of the look is stored and unchanged. Blocking.
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
/// The result for each folder.
pub type Folders = Vec<(FolderId, Result<(), Fault>)>;

/// Writes these folders, and describes the finished look for clients, without the numbers of the transfer. A folder is not
/// written if all its clients have left, or if a file of the look is missing. Blocking.
pub fn hand_out(
    store: &Store,
    plan: &Plan,
    player: &PlayerName,
    folders: Vec<Folder>,
) -> (Folders, Result<Fetched, Unready>) {
    // Before the first write: no folder is begun that cannot be completed.
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
    // Again after the writes: a file that was removed meanwhile is missing in some folders.
    (folders, reply(store, plan, player))
}

fn write_fault(error: &WriteError) -> Fault {
    match error {
        WriteError::Export(full) if full.is_disk_full() => Fault::new(FaultCode::DiskFull, full.to_string()),
        error => Fault::new(FaultCode::Io, error.to_string()),
    }
}

/// Describes the finished look for a client, without the numbers of the transfer. Checks that every file is stored and
/// unchanged. Blocking.
///
/// # Errors
/// A file is missing or changed, or the cache's disk is away.
pub fn reply(store: &Store, plan: &Plan, player: &PlayerName) -> Result<Fetched, Unready> {
    // Also for a look without files: no look is complete while the cache is away.
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
/// The folder belongs to another program, a file of the look is missing, or the disk fails.
pub fn write(store: &Store, plan: &Plan, player: &PlayerName, out: &Path) -> Result<(), WriteError> {
    let mut files = Vec::new();
    let mut swaps = Vec::new();
    // A Penumbra mod has no objects: the first object with a game path wins, and the player is the first object.
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
            files.push(ExportFile { source, hash: file.hash, file_name, game_paths });
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
        reserved: reserved(store),
    };
    match penumbra::write(out, &export) {
        Err(error @ ExportError::Damaged { hash, .. })
            if store.remembers(&hash) && !store.recheck(&hash).map_err(Unready::from)? =>
        {
            tracing::warn!("{error}: it is removed, and fetched again");
            Err(Unready::Lost.into())
        }
        written => Ok(written.map(drop)?),
    }
}

/// Where nothing may be written: the daemon's own folders.
fn reserved(store: &Store) -> Vec<PathBuf> {
    vec![store.dir(), store.data_dir().to_owned()]
}

/// Whether the look of this player may be written to a folder, as far as it can be known before the look is here.
/// Blocking.
///
/// # Errors
/// As [`write()`], of the folder.
pub fn check_out(store: &Store, player: &PlayerName, out: &Path) -> Result<(), Fault> {
    penumbra::check(out, &player.to_string(), &reserved(store)).map_err(|error| write_fault(&error.into()))
}
