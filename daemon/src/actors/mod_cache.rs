//! The mod cache: owns the store, hands it to pumps, and runs what takes long on blocking threads.

use crate::{
    io::store::{Stats, Store, Verified},
    penumbra::Choice,
    pumps::{
        blocking,
        scan::{self, ScanError, Scanned},
    },
};
use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use fyteclub_proto::local::request::Publish;
use std::{path::PathBuf, time::Duration};

/// How often what was stored is made safe against a loss of power. A kill loses nothing of it.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

pub struct ModCache {
    store: Store,
}

impl ModCache {
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Actor for ModCache {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(CHECKPOINT_EVERY, |cache, ctx| {
            let store = cache.store.clone();
            ctx.spawn(
                async move {
                    blocking(move || {
                        if let Err(error) = store.checkpoint() {
                            tracing::warn!("the cache's index could not be saved: {error}");
                        }
                    })
                    .await;
                }
                .into_actor(cache),
            );
        });
    }
}

/// What to look for on the disk.
pub enum Scan {
    Mod { path: PathBuf, choices: Vec<Choice> },
    Plugin(Publish),
}

impl Message for Scan {
    type Result = Result<Scanned, ScanError>;
}

#[derive(Message)]
#[rtype(result = "Stats")]
pub struct ReadStats;

/// Reads every cached file against its name; bad ones are removed.
#[derive(Message)]
#[rtype(result = "Verified")]
pub struct Verify;

/// The last checkpoint before the end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close;

impl Handler<Scan> for ModCache {
    type Result = ResponseFuture<Result<Scanned, ScanError>>;

    fn handle(&mut self, scan: Scan, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        Box::pin(blocking(move || match scan {
            Scan::Mod { path, choices } => scan::mod_folder(&store, &path, &choices),
            Scan::Plugin(publish) => scan::plugin_look(&store, publish),
        }))
    }
}

impl Handler<ReadStats> for ModCache {
    type Result = actix::MessageResult<ReadStats>;

    fn handle(&mut self, _: ReadStats, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(self.store.stats())
    }
}

impl Handler<Verify> for ModCache {
    type Result = ResponseFuture<Verified>;

    fn handle(&mut self, _: Verify, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        Box::pin(blocking(move || store.verify(|_, _| ())))
    }
}

impl Handler<Close> for ModCache {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Close, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        Box::pin(blocking(move || {
            if let Err(error) = store.checkpoint() {
                tracing::warn!("the cache's index could not be saved: {error}");
            }
        }))
    }
}
