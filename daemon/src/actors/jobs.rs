//! What takes long: jobs on blocking threads and questions to other actors, as futures that end with what a desk is told.

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
};
use actix::Addr;
use fyteclub_proto::{
    local::{
        reply::{CacheGced, CacheMoved, CacheStats, CacheVerified},
        request::{CacheGc, CacheMove},
    },
    possession::Span,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Scans a look, once `after` has ended, well or not.
pub async fn scan(cache: Addr<ModCache>, what: What, after: Option<Keeping>) -> Answer<Scanned> {
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

/// Checks a look that came, has its owner prove what is large of it, and says what is to be fetched.
pub async fn plan(store: Store, owner: Option<Addr<Peer>>, planning: Planning) -> Input {
    let Planning { player, peer, run, document, grant, space } = planning;
    let (reading, name) = (store.clone(), player.clone());
    let drafted = blocking(move || plan::draft(&reading, &document, &peer, &name)).await;
    let result = match drafted {
        Ok(draft) => {
            let blobs = draft.questions().to_vec();
            let answers = match owner.filter(|_| !blobs.is_empty()) {
                // Without an answer everything is fetched.
                Some(owner) => owner.send(AskPossession { span: Span::Sample, blobs }).await.ok().flatten(),
                None => None,
            };
            blocking(move || draft.settle(&store, space, answers)).await
        }
        Err(error) => Err(error),
    };
    Input::Planned { player, run, grant, result }
}

/// Has the owner prove the rest of a look that is here whole, one request after the other. What is not answered is not
/// lent, and nothing else.
pub async fn prove(store: Store, owner: Addr<Peer>, plan: Arc<Plan>) {
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

/// Writes the folders that are wished, and describes the look.
pub async fn hand_out(store: Store, out: HandOut) -> Input {
    let HandOut { player, run, plan, folders } = out;
    let name = player.clone();
    let (folders, result) = blocking(move || plan::hand_out(&store, &plan, &name, folders)).await;
    Input::Written { player, run, folders, result }
}

/// `low_disk`: nothing new is asked of anybody, because the disk has no room.
pub async fn cache_stats(cache: Addr<ModCache>, low_disk: bool) -> Answer<CacheStats> {
    let stats = ask(&cache, mod_cache::ReadStats).await?;
    Ok(replies::stats(&stats, low_disk))
}

pub async fn cache_verify(cache: Addr<ModCache>, left: CancellationToken) -> Answer<CacheVerified> {
    replies::verified(ask(&cache, mod_cache::Verify(left)).await?)
}

pub async fn cache_gc(cache: Addr<ModCache>, wish: CacheGc) -> Answer<CacheGced> {
    let CacheGc { to, older_than_secs } = wish;
    let wish = Wish { to, older_than: older_than_secs.map(Duration::from_secs) };
    replies::collected(ask(&cache, mod_cache::Collect(wish)).await?)
}

pub async fn cache_move(cache: Addr<ModCache>, to: CacheMove, left: CancellationToken) -> Answer<CacheMoved> {
    let dir = PathBuf::from(to.dir);
    if !dir.is_absolute() {
        return Err(bad_path("the folder to move the cache to"));
    }
    replies::moved(ask(&cache, mod_cache::Move { dir, left }).await?)
}
