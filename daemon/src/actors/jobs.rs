//! Long work: jobs on blocking threads and requests to other actors, as futures whose results are inputs of desks.

use crate::{
    actors::{
        mod_cache::{self, ModCache},
        peer::{AskPossession, Peer},
        status::ask,
    },
    desks::{
        cache::replies,
        faults::bad_path,
        fetching::{HandOut, Input, Planning},
        orders::Answer,
        own_look::{scan::What, scan_fault},
    },
    io::{
        keeper::Keeping,
        store::{Store, Wish},
    },
    penumbra::Choice,
    pumps::{
        blocking,
        plan::{self, Plan},
        scan::Scanned,
    },
    sharing::published::Offer,
};
use actix::Addr;
use fyteclub_proto::{
    id::{BlobHash, PlayerName},
    local::{
        reply::{CacheGced, CacheMoved, CacheStats, CacheVerified},
        request::{CacheGc, CacheMove},
    },
    possession::Span,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Scans a look, after the write `after` has ended, even if it failed.
pub(super) async fn scan(cache: Addr<ModCache>, what: What, after: Option<Keeping>) -> Answer<Scanned> {
    if let Some(after) = after {
        after.await.ok();
    }
    let scan = match what {
        What::Mod(publish) => mod_cache::Scan::Mod {
            path: publish.path.into(),
            choices: (publish.options.into_iter())
                .map(|choice| Choice { group: choice.group, option: choice.option })
                .collect(),
        },
        What::Plugin(publish) => mod_cache::Scan::Plugin(publish),
    };
    ask(&cache, scan).await?.map_err(|error| scan_fault(&error))
}

/// Counts the files of a published look that cannot be served now.
pub(super) async fn look_at(store: Store, offer: Arc<Offer>) -> (BlobHash, usize) {
    let look = offer.appearance;
    (look, blocking(move || offer.blobs.keys().filter(|hash| !store.contains(hash)).count()).await)
}

/// Checks a received look, asks its owner to prove a sample of its large blobs, and plans the fetch.
pub(super) async fn plan(store: Store, owner: Option<Addr<Peer>>, planning: Planning) -> Input {
    let Planning { player, peer, run, document, grant, space } = planning;
    let (reading, name) = (store.clone(), player.clone());
    let drafted = blocking(move || plan::draft(&reading, &document, &peer, &name)).await;
    let result = match drafted {
        Ok(draft) => {
            let blobs = draft.questions().to_vec();
            let answers = match owner.filter(|_| !blobs.is_empty()) {
                // Without an answer every blob is fetched.
                Some(owner) => owner.send(AskPossession { span: Span::Sample, blobs }).await.ok().flatten(),
                None => None,
            };
            blocking(move || draft.settle(&store, space, answers)).await
        }
        Err(error) => Err(error),
    };
    Input::Planned { player, run, grant, result }
}

/// Asks the owner to prove the other blobs of a complete look, one request after the other. Blobs without a proof are
/// not lent; nothing else follows.
pub(super) async fn prove(store: Store, owner: Addr<Peer>, plan: Arc<Plan>) {
    let (unproven, key) = (store.clone(), plan.owner);
    for blobs in blocking(move || plan.unproven(&unproven)).await {
        let Ok(Some(answers)) = owner.send(AskPossession { span: Span::Whole, blobs }).await else { return };
        let store = store.clone();
        blocking(move || {
            let proven: Vec<_> = answers.proven(&store).map(|content| content.hash).collect();
            store.came_from(&key, proven);
        })
        .await;
    }
}

/// Whether a player's look may be written to a folder.
pub(crate) async fn check_out(store: Store, player: PlayerName, out: PathBuf) -> Answer<()> {
    blocking(move || plan::check_out(&store, &player, &out)).await
}

/// Writes the requested folders, and describes the look.
pub(super) async fn hand_out(store: Store, out: HandOut) -> Input {
    let HandOut { player, run, plan, folders } = out;
    let name = player.clone();
    let (folders, result) = blocking(move || plan::hand_out(&store, &plan, &name, folders)).await;
    Input::Written { player, run, folders, result }
}

/// `low_disk`: the disk lacks space, and no peer is sent a new request.
pub(super) async fn cache_stats(cache: Addr<ModCache>, low_disk: bool) -> Answer<CacheStats> {
    let stats = ask(&cache, mod_cache::ReadStats).await?;
    Ok(replies::stats(&stats, low_disk))
}

pub(super) async fn cache_verify(cache: Addr<ModCache>, left: CancellationToken) -> Answer<CacheVerified> {
    replies::verified(ask(&cache, mod_cache::Verify(left)).await?)
}

pub(super) async fn cache_gc(cache: Addr<ModCache>, gc: CacheGc) -> Answer<CacheGced> {
    let CacheGc { to, older_than_secs } = gc;
    let wish = Wish { to, older_than: older_than_secs.map(Duration::from_secs) };
    replies::collected(ask(&cache, mod_cache::Collect(wish)).await?)
}

pub(super) async fn cache_move(
    cache: Addr<ModCache>,
    to: CacheMove,
    left: CancellationToken,
) -> Answer<CacheMoved> {
    let dir = PathBuf::from(to.dir);
    if !dir.is_absolute() {
        return Err(bad_path("the folder to move the cache to"));
    }
    replies::moved(ask(&cache, mod_cache::Move { dir, left }).await?)
}
