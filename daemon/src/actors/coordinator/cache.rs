//! What the cache says, and what of it holds up the fetches: damage, a disk that is nearly full, a new folder.

use super::{
    Coordinator,
    verbs::{Answer, bad_path, internal},
};
use crate::{
    actors::mod_cache::{self, CacheFact},
    desks::fetching::store_fault,
    io::store::{Damage, Disk, MoveError, Pin, Wish},
};
use actix::{AsyncContext, Context, Handler};
use fyteclub_proto::{
    fetching::fetch,
    id::{BlobHash, PlayerName},
    local::{
        Event, Fault, FaultCode,
        reply::{CacheCollected, CacheMoved, CacheStats, CacheVerified},
        request::CacheGc,
    },
};
use std::{
    future::Future,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Ticks between two looks at a low disk when nobody fetches: five seconds.
const LOOK_EVERY: u32 = 25;

/// Whether the disk has room for what is asked.
#[derive(Default)]
pub(super) struct Room {
    /// Since when there is none.
    low: Option<Instant>,
    disk: Option<Disk>,
    ticks: u32,
}

impl Coordinator {
    pub(super) fn start_cache(&mut self, ctx: &mut Context<Self>) {
        self.cache.do_send(mod_cache::Listen(ctx.address().recipient()));
    }

    /// Whether anything new may be asked of anybody now.
    pub(super) fn may_ask(&self) -> bool {
        self.room.low.is_none()
    }

    /// A file could not be written for want of room.
    pub(super) fn disk_is_full(&mut self, ctx: &mut Context<Self>) {
        self.cache.do_send(mod_cache::Full);
        self.hold(true, ctx);
    }

    fn hold(&mut self, low: bool, ctx: &mut Context<Self>) {
        self.room.low = low.then(|| self.room.low.unwrap_or_else(Instant::now));
        let room = if low { Err(self.room_sentence()) } else { Ok(()) };
        self.fetch_input(fetch::Input::Room(room), ctx);
    }

    /// While anybody fetches the disk is watched.
    pub(super) fn tick_cache(&mut self) {
        self.room.ticks = self.room.ticks.wrapping_add(1);
        let fetching = self.fetching.fetches().is_transferring();
        if fetching || (self.room.low.is_some() && self.room.ticks.is_multiple_of(LOOK_EVERY)) {
            self.cache.do_send(mod_cache::LookAtDisk { evict: fetching });
        }
    }

    fn room_sentence(&self) -> String {
        let dir = self.store().dir();
        let free = self.room.disk.map_or(String::new(), |disk| {
            format!(": {} bytes are free, and {} stay so (min_free)", disk.free, disk.floor)
        });
        format!(
            "the disk with {} is full{free}; make room or run fyteclubctl cache move, and try again: what came is kept",
            dir.display()
        )
    }

    fn damaged(&mut self, damage: Damage, ctx: &mut Context<Self>) {
        let Damage { wrong: hashes, missing } = damage;
        if !hashes.is_empty() {
            tracing::warn!("{} damaged files were removed from the cache", hashes.len());
        }
        if !missing.is_empty() {
            tracing::warn!("{} files are missing from the cache", missing.len());
        }
        let lost: Vec<BlobHash> = hashes.iter().chain(&missing).copied().collect();
        let of_player = |pin: &Pin| lost.iter().any(|hash| pin.holds(hash));
        let mut players: Vec<PlayerName> =
            self.shown.iter().filter(|(_, pin)| of_player(pin)).map(|(player, _)| player.clone()).collect();
        players.sort();
        for key in players.iter().filter_map(|player| self.key_of(player).ok()).collect::<Vec<_>>() {
            self.fetch_input(fetch::Input::Damaged(key), ctx);
        }
        let published = (self.around.offer.borrow().as_ref())
            .is_some_and(|offer| lost.iter().any(|hash| offer.blobs.contains_key(hash)));
        self.bus.publish(Event::CacheDamaged { hashes, missing, players, published });
        if published {
            // An archive's files are unpacked again; where it is gone, the log says so.
            self.reread(ctx);
        }
    }
}

impl Handler<CacheFact> for Coordinator {
    type Result = ();

    fn handle(&mut self, fact: CacheFact, ctx: &mut Self::Context) {
        match fact {
            CacheFact::LowDisk(disk) => {
                self.room.disk = Some(disk);
                tracing::warn!("the disk is nearly full ({} bytes free): transfers wait", disk.free);
                self.bus.publish(Event::CacheLowDisk { free: disk.free, min_free: disk.floor });
                self.hold(true, ctx);
            }
            CacheFact::DiskOk(disk) => {
                self.room.disk = Some(disk);
                self.bus.publish(Event::CacheDiskOk { free: disk.free, min_free: disk.floor });
                self.hold(false, ctx);
            }
            CacheFact::Evicted(evicted) => {
                self.bus.publish(Event::CacheEvicted { files: evicted.files, bytes: evicted.bytes });
            }
            CacheFact::Damaged(damage) => self.damaged(damage, ctx),
            CacheFact::Progress { work, files, files_total, bytes, bytes_total } => {
                self.bus.publish(Event::CacheProgress { work, files, files_total, bytes, bytes_total });
            }
            CacheFact::Moved { from, to } => {
                let text = |path: PathBuf| path.to_string_lossy().into_owned();
                self.bus.publish(Event::CacheMoved { from: text(from), to: text(to) });
            }
        }
    }
}

impl Coordinator {
    pub(super) fn cache_stats(&self) -> impl Future<Output = Answer<CacheStats>> + 'static {
        let (cache, low) = (self.cache.clone(), !self.may_ask());
        async move {
            let stats = cache.send(mod_cache::ReadStats).await.map_err(|_| internal())?;
            Ok(super::report::cache_stats(&stats, low))
        }
    }

    pub(super) fn verify_cache(
        &self,
        left: CancellationToken,
    ) -> impl Future<Output = Answer<CacheVerified>> + 'static {
        let cache = self.cache.clone();
        async move {
            let verified = cache.send(mod_cache::Verify(left)).await.map_err(|_| internal())?;
            let verified = verified.map_err(|error| store_fault(&error))?;
            if verified.cancelled {
                return Err(Fault::new(FaultCode::Cancelled, "broken off: not every file was read"));
            }
            Ok(CacheVerified {
                files: verified.files as u64,
                bytes: verified.bytes,
                bad: verified.bad,
                missing: verified.missing.len() as u64,
                unread: verified.unread as u64,
            })
        }
    }

    pub(super) fn collect_cache(
        &self,
        gc: CacheGc,
    ) -> impl Future<Output = Answer<CacheCollected>> + 'static {
        let cache = self.cache.clone();
        let wish = Wish { to: gc.to, older_than: gc.older_than_secs.map(Duration::from_secs) };
        async move {
            let collected = cache.send(mod_cache::Collect(wish)).await.map_err(|_| internal())?;
            let collected = collected.map_err(|error| store_fault(&error))?;
            Ok(CacheCollected {
                files: collected.evicted.files,
                bytes: collected.evicted.bytes,
                unfinished: collected.unfinished,
                bytes_left: collected.bytes_left,
                in_use: collected.in_use,
            })
        }
    }

    pub(super) fn move_cache(
        &self,
        dir: PathBuf,
        left: CancellationToken,
    ) -> impl Future<Output = Answer<CacheMoved>> + 'static {
        let cache = self.cache.clone();
        async move {
            if !dir.is_absolute() {
                return Err(bad_path("the folder to move the cache to"));
            }
            let moved = cache.send(mod_cache::Move { dir, left }).await.map_err(|_| internal())?;
            let moved = moved.map_err(|error| move_fault(&error))?;
            Ok(CacheMoved {
                from: moved.from.to_string_lossy().into_owned(),
                to: moved.to.to_string_lossy().into_owned(),
                files: moved.files as u64,
                bytes: moved.bytes,
                bad: moved.bad,
                kept: moved.kept as u64,
            })
        }
    }
}

fn move_fault(error: &MoveError) -> Fault {
    let code = match error {
        MoveError::Store(error) => return store_fault(error),
        MoveError::NoRoom { .. } => FaultCode::DiskFull,
        MoveError::NotWritable { .. } | MoveError::Unfaithful { .. } => FaultCode::Io,
        MoveError::Busy => FaultCode::Busy,
        MoveError::Cancelled => FaultCode::Cancelled,
        _ => FaultCode::BadRequest,
    };
    Fault::new(code, error.to_string())
}
