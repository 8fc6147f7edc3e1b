//! The mod cache: has the store, gives it to pumps, and runs long work on blocking threads.
//!
//! It measures the disk's free space on request, and scrubs the store slowly while it is unused. It reports findings as
//! [`CacheFact`]s.

use crate::{
    desks::cache::Input,
    io::store::{
        Collected, Damage, Disk, Evicted, MoveError, MoveProgress, Moved, Scrub, Stats, Store, StoreError,
        Verified, Wish,
    },
    penumbra::Choice,
    pumps::{
        blocking,
        scan::{self, ScanError, Scanned},
    },
};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, WrapFuture,
};
use fyteclub_proto::{
    local::{CacheWork, request::AppearancePublish},
    number::u64_of,
};
use std::{
    ops::ControlFlow,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};
use tokio_util::sync::CancellationToken;

/// How often stored files are made safe against a loss of power. A kill loses none of them.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// One step of the scrub a second, and the bytes that it reads: 20 GiB in six hours, for a thousandth of a core.
const SCRUB_EVERY: Duration = Duration::from_secs(1);
const SCRUB_BYTES: u64 = 1 << 20;
/// How long the store must be unused before the scrub goes on.
const QUIET: Duration = Duration::from_secs(10);
/// The least time between two events about progress.
const TELL_EVERY: Duration = Duration::from_millis(200);

pub struct ModCache {
    store: Store,
    facts: Option<Recipient<CacheFact>>,
    /// `None` while a step runs.
    scrub: Option<Scrub>,
    looking: bool,
    low: bool,
}

/// A fact for the coordinator.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CacheFact(pub Input);

impl ModCache {
    pub fn new(store: Store) -> Self {
        let scrub = Some(store.scrub());
        Self { store, facts: None, scrub, looking: false, low: false }
    }

    fn tell(&self, input: Input) {
        if let Some(facts) = &self.facts {
            facts.do_send(CacheFact(input));
        }
    }

    fn tell_damage(&self, damage: Damage) {
        if !damage.is_empty() {
            self.tell(Input::Damaged(damage));
        }
    }

    fn scrub(&mut self, ctx: &mut Context<Self>) {
        if self.store.idle_for() < QUIET || !self.scrub.as_mut().is_some_and(|p| p.is_due(SystemTime::now()))
        {
            return;
        }
        let Some(mut scrub) = self.scrub.take() else { return };
        let step = blocking(move || {
            let damage = scrub.step(SCRUB_BYTES);
            (scrub, damage)
        });
        ctx.spawn(step.into_actor(self).map(|(scrub, damage), cache, _| {
            cache.scrub = Some(scrub);
            cache.tell_damage(damage);
        }));
    }

    /// Measures free space on a thread that may block; one measurement at a time.
    fn look(&mut self, evict: bool, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.looking, true) {
            return;
        }
        let store = self.store.clone();
        let look = blocking(move || if evict { store.relieve() } else { (store.disk(), Evicted::default()) });
        ctx.spawn(look.into_actor(self).map(|(disk, evicted), cache, _| {
            cache.looking = false;
            if evicted.files > 0 {
                cache.tell(Input::Evicted(evicted));
            }
            let Some(disk) = disk else { return };
            if !cache.low && disk.is_low() {
                cache.low = true;
                cache.tell(Input::LowDisk(disk));
            } else if cache.low && disk.is_comfortable() {
                cache.low = false;
                cache.tell(Input::DiskOk(disk));
            }
        }));
    }
}

/// Publishes progress, at intervals and at the end.
struct Teller {
    facts: Option<Recipient<CacheFact>>,
    work: CacheWork,
    last: Option<Instant>,
    left: CancellationToken,
}

impl Teller {
    fn tell(&mut self, now: MoveProgress) -> ControlFlow<()> {
        let MoveProgress { files, files_total, bytes, bytes_total } = now;
        let due = files == files_total || self.last.is_none_or(|last| last.elapsed() >= TELL_EVERY);
        if let Some(facts) = self.facts.as_ref().filter(|_| due) {
            self.last = Some(Instant::now());
            let (work, files, files_total) = (self.work, u64_of(files), u64_of(files_total));
            facts.do_send(CacheFact(Input::Progress { work, files, files_total, bytes, bytes_total }));
        }
        if self.left.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
        ctx.run_interval(SCRUB_EVERY, Self::scrub);
    }
}

/// The look to scan.
pub enum Scan {
    Mod { path: PathBuf, choices: Vec<Choice> },
    Plugin(AppearancePublish),
}

impl Message for Scan {
    type Result = Result<Scanned, ScanError>;
}

#[derive(Message)]
#[rtype(result = "Stats")]
pub struct ReadStats;

/// The recipient of facts.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Listen(pub Recipient<CacheFact>);

/// Measures the disk's free space; `evict`: evicts blobs if it is too low.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LookAtDisk {
    pub evict: bool,
}

/// A write found the disk full, whatever its free space says.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Full;

/// Compares every cached file with its hash; damaged ones are removed. The token cancels it.
#[derive(Message)]
#[rtype(result = "Result<Verified, StoreError>")]
pub struct Verify(pub CancellationToken);

#[derive(Message)]
#[rtype(result = "Result<Collected, StoreError>")]
pub struct Collect(pub Wish);

/// Moves the cache to another folder; the token cancels it as long as that is possible.
#[derive(Message)]
#[rtype(result = "Result<Moved, MoveError>")]
pub struct Move {
    pub dir: PathBuf,
    pub left: CancellationToken,
}

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
    type Result = ResponseFuture<Stats>;

    fn handle(&mut self, _: ReadStats, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        // Asks the disk, which may be slow.
        Box::pin(blocking(move || store.stats()))
    }
}

impl Handler<Listen> for ModCache {
    type Result = ();

    fn handle(&mut self, listen: Listen, _: &mut Self::Context) {
        self.facts = Some(listen.0);
    }
}

impl Handler<LookAtDisk> for ModCache {
    type Result = ();

    fn handle(&mut self, look: LookAtDisk, ctx: &mut Self::Context) {
        self.look(look.evict, ctx);
    }
}

impl Handler<Full> for ModCache {
    type Result = ();

    fn handle(&mut self, _: Full, ctx: &mut Self::Context) {
        if self.low {
            return;
        }
        let store = self.store.clone();
        ctx.spawn(blocking(move || store.disk()).into_actor(self).map(|disk, cache, _| match disk {
            // No later measurement will report free space: the next try shows it.
            None => cache.tell(Input::DiskOk(Disk { free: 0, floor: 0 })),
            Some(_) if std::mem::replace(&mut cache.low, true) => {}
            Some(disk) => cache.tell(Input::LowDisk(disk)),
        }));
    }
}

impl Handler<Verify> for ModCache {
    type Result = actix::ResponseActFuture<Self, Result<Verified, StoreError>>;

    fn handle(&mut self, verify: Verify, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        let (facts, work) = (self.facts.clone(), CacheWork::Verify);
        let mut teller = Teller { facts, work, last: None, left: verify.0 };
        let verifying = blocking(move || {
            store.verify(|so_far, files_total, bytes_total| {
                let (files, bytes) = (so_far.looked_at(), so_far.bytes);
                teller.tell(MoveProgress { files, files_total, bytes, bytes_total })
            })
        });
        Box::pin(verifying.into_actor(self).map(|verified, cache, _| {
            if let Ok(Verified { bad, missing, .. }) = &verified {
                cache.tell_damage(Damage { wrong: bad.clone(), missing: missing.clone() });
            }
            verified
        }))
    }
}

impl Handler<Collect> for ModCache {
    type Result = ResponseFuture<Result<Collected, StoreError>>;

    fn handle(&mut self, collect: Collect, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        Box::pin(blocking(move || store.collect(collect.0)))
    }
}

impl Handler<Move> for ModCache {
    type Result = actix::ResponseActFuture<Self, Result<Moved, MoveError>>;

    fn handle(&mut self, asked: Move, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        let (facts, work) = (self.facts.clone(), CacheWork::Move);
        let mut teller = Teller { facts, work, last: None, left: asked.left };
        let moving = blocking(move || store.move_to(&asked.dir, |now| teller.tell(now)));
        Box::pin(moving.into_actor(self).map(|moved, cache, _| {
            if let Ok(Moved { from, to, bad, .. }) = &moved {
                tracing::info!("the cache was moved");
                cache.tell(Input::Moved { from: from.clone(), to: to.clone() });
                cache.tell_damage(Damage { wrong: bad.clone(), missing: Vec::new() });
            }
            moved
        }))
    }
}

impl Handler<Close> for ModCache {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Close, _: &mut Self::Context) -> Self::Result {
        let (store, scrub) = (self.store.clone(), self.scrub.take());
        Box::pin(blocking(move || {
            if let Some(mut scrub) = scrub {
                scrub.save();
            }
            if let Err(error) = store.checkpoint() {
                tracing::warn!("the cache's index could not be saved: {error}");
            }
        }))
    }
}
