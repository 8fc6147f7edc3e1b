//! The cache's findings and their consequences: a nearly full disk holds fetches, looks with damaged files are fetched
//! again, and shown looks are pinned.

pub mod replies;
mod shown;

use super::orders::{DeskOrder, Order, Orders};
use crate::io::store::{Damage, Disk, Evicted, Pin, Store};
use fyteclub_proto::{
    id::{BlobHash, PlayerName},
    local::{CacheWork, Event},
    size,
};
use shown::Shown;
use std::{path::PathBuf, time::Instant};

/// Ticks between two checks of a low disk while nothing is fetched: five seconds.
const LOOK_EVERY: u32 = 25;

/// What the actor of the cache finds.
pub enum Input {
    /// Free space is below its minimum, after the eviction of everything unpinned.
    LowDisk(Disk),
    DiskOk(Disk),
    Evicted(Evicted),
    /// Damaged files were removed, or files are missing.
    Damaged(Damage),
    Progress {
        work: CacheWork,
        files: u64,
        files_total: u64,
        bytes: u64,
        bytes_total: u64,
    },
    Moved {
        from: PathBuf,
        to: PathBuf,
    },
}

/// `P` pins files in the store.
pub struct CacheDesk<P = Pin> {
    store: Store,
    /// The disk lacks space for a request.
    low: bool,
    disk: Option<Disk>,
    ticks: u32,
    shown: Shown<P>,
}

impl<P: Holds> CacheDesk<P> {
    pub fn new(store: Store) -> Self {
        Self { store, low: false, disk: None, ticks: 0, shown: Shown::default() }
    }

    /// Whether the disk lacks space: no peer is sent a new request.
    pub fn is_low(&self) -> bool {
        self.low
    }

    /// `is_published`: whether the player's own look names a file.
    pub fn handle(&mut self, input: Input, is_published: impl Fn(&BlobHash) -> bool, orders: &mut Orders) {
        match input {
            Input::LowDisk(disk) => self.disk(disk, true, orders),
            Input::DiskOk(disk) => self.disk(disk, false, orders),
            Input::Evicted(Evicted { files, bytes }) => orders.tell(Event::CacheEvicted { files, bytes }),
            Input::Damaged(damage) => {
                let published = damage.wrong.iter().chain(&damage.missing).any(is_published);
                self.damaged(damage, published, orders);
            }
            Input::Progress { work, files, files_total, bytes, bytes_total } => {
                orders.tell(Event::CacheProgress { work, files, files_total, bytes, bytes_total });
            }
            Input::Moved { from, to } => {
                let [from, to] = [from, to].map(|path| path.to_string_lossy().into_owned());
                orders.tell(Event::CacheMoved { from, to });
            }
        }
    }

    /// Free space fell below its minimum, or is enough again.
    fn disk(&mut self, disk: Disk, low: bool, orders: &mut Orders) {
        self.disk = Some(disk);
        let (free, min_free) = (disk.free, disk.floor);
        orders.tell(if low {
            tracing::warn!("the disk is nearly full ({} free): transfers wait", size::words(free));
            Event::CacheLowDisk { free, min_free }
        } else {
            Event::CacheDiskOk { free, min_free }
        });
        self.hold(low, orders);
    }

    /// A file could not be written to a full disk.
    pub fn full(&mut self, orders: &mut Orders) {
        orders.add(Order::DiskFull);
        self.hold(true, orders);
    }

    fn hold(&mut self, low: bool, orders: &mut Orders) {
        self.low = low;
        orders.add(DeskOrder::DiskSpace(if low { Err(self.low_disk_message()) } else { Ok(()) }));
    }

    fn low_disk_message(&self) -> String {
        let dir = self.store.dir();
        let free = self.disk.map_or(String::new(), |disk| {
            let (free, floor) = (size::words(disk.free), size::words(disk.floor));
            format!(": {free} free, of which {floor} must stay free (min_free)")
        });
        format!(
            "the disk with {} is full{free}; free some space or run fyteclubctl cache move, and try again: verified chunks are kept",
            dir.display()
        )
    }

    /// Called five times a second. During fetches the disk is checked each time.
    pub fn tick(&mut self, fetching: bool, orders: &mut Orders) {
        self.ticks = self.ticks.wrapping_add(1);
        if fetching || (self.low && self.ticks.is_multiple_of(LOOK_EVERY)) {
            orders.add(Order::LookAtDisk { evict: fetching });
        }
    }

    fn damaged(&mut self, damage: Damage, published: bool, orders: &mut Orders) {
        let Damage { wrong: hashes, missing } = damage;
        if !hashes.is_empty() {
            tracing::warn!("removed from the cache: {}", size::count(hashes.len(), "damaged file"));
        }
        if !missing.is_empty() {
            tracing::warn!("missing from the cache: {}", size::count(missing.len(), "file"));
        }
        let of_player = |pin: &P| hashes.iter().chain(&missing).any(|hash| pin.holds(hash));
        let mut players: Vec<PlayerName> =
            self.shown.iter().filter(|(_, pin)| of_player(pin)).map(|(player, _)| player.clone()).collect();
        players.sort_unstable();
        orders.add(DeskOrder::LooksDamaged(players.clone()));
        orders.tell(Event::CacheDamaged { hashes, missing, players, published });
        if published {
            // The scan unpacks an archive's files again; if the archive is gone, the log says so.
            orders.add(DeskOrder::OwnLookDamaged);
        }
    }

    /// The player is shown with this look from now on.
    pub fn show(&mut self, player: PlayerName, pin: P, now: Instant) {
        self.shown.show(player, pin, now);
    }

    /// These players are near now.
    pub fn seen<'a>(&mut self, players: impl Iterator<Item = &'a PlayerName>, now: Instant) {
        self.shown.seen(players, now);
    }

    /// Unpins looks that are no longer shown, before a look needs their space.
    pub fn unpin_unseen(&mut self, now: Instant) {
        self.shown.expire(now);
    }
}

/// A pin, or a test's stand-in.
pub trait Holds {
    fn holds(&self, hash: &BlobHash) -> bool;
}

impl Holds for Pin {
    fn holds(&self, hash: &BlobHash) -> bool {
        Pin::holds(self, hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::store::StoreConfig;
    use tempfile::TempDir;

    impl Holds for BlobHash {
        fn holds(&self, hash: &BlobHash) -> bool {
            self == hash
        }
    }

    fn desk() -> (CacheDesk<BlobHash>, Orders, TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig { cache_limit: u64::MAX, min_free: None };
        let (store, _) = Store::open(folder.path(), config).expect("a store");
        (CacheDesk::new(store), Orders::default(), folder)
    }

    fn ordered(orders: &mut Orders) -> Vec<String> {
        let word = |order| match order {
            Order::Tell(Event::CacheLowDisk { .. }) => "low".to_owned(),
            Order::Tell(Event::CacheDiskOk { .. }) => "ok".to_owned(),
            Order::Tell(Event::CacheDamaged { players, published, .. }) => {
                format!("damaged {} {published}", players.len())
            }
            Order::Desk(DeskOrder::DiskSpace(space)) => format!("space {}", space.is_ok()),
            Order::LookAtDisk { evict } => format!("look {evict}"),
            Order::DiskFull => "full".to_owned(),
            Order::Desk(DeskOrder::LooksDamaged(players)) => format!("looks {players:?}"),
            Order::Desk(DeskOrder::OwnLookDamaged) => "own".to_owned(),
            _ => panic!("another order"),
        };
        std::iter::from_fn(|| orders.pop()).map(word).collect()
    }

    #[test]
    fn low_disk_holds_fetches_until_space_is_free() {
        let (mut desk, mut orders, _folder) = desk();
        let disk = |free| Disk { free, floor: 5 };
        desk.full(&mut orders);
        assert!(desk.is_low());
        assert_eq!(ordered(&mut orders), ["full", "space false"]);
        desk.disk(disk(4), true, &mut orders);
        assert_eq!(ordered(&mut orders), ["low", "space false"]);
        desk.full(&mut orders);
        orders.pop();
        let Some(Order::Desk(DeskOrder::DiskSpace(Err(says)))) = orders.pop() else {
            panic!("the disk is low")
        };
        assert!(says.contains("4 B free, of which 5 B must stay free"), "{says}");
        desk.disk(disk(9), false, &mut orders);
        assert_eq!((ordered(&mut orders), desk.is_low()), (vec!["ok".into(), "space true".into()], false));
    }

    #[test]
    fn disk_is_checked_during_fetches_and_while_low() {
        let (mut desk, mut orders, _folder) = desk();
        let mut looks = |desk: &mut CacheDesk<BlobHash>, fetching| {
            (0..LOOK_EVERY).for_each(|_| desk.tick(fetching, &mut orders));
            ordered(&mut orders)
        };
        assert_eq!(looks(&mut desk, false), [""; 0]);
        assert_eq!(looks(&mut desk, true), vec!["look true"; 25]);
        desk.low = true;
        assert_eq!(looks(&mut desk, false), ["look false"]);
    }

    #[test]
    fn damage_names_players_whose_shown_look_lost_a_file() {
        let (mut desk, mut orders, _folder) = desk();
        let [lost, other] = [b"lost", b"else"].map(|bytes| BlobHash::of(bytes));
        let player = |name: &str| name.parse::<PlayerName>().expect("a name");
        desk.show(player("Alice Ashe@Omega"), lost, Instant::now());
        desk.show(player("Bob Birch@Omega"), other, Instant::now());
        let damage = || Damage { wrong: vec![], missing: vec![lost] };
        desk.damaged(damage(), false, &mut orders);
        let looks = format!("looks {:?}", [player("Alice Ashe@Omega")]);
        assert_eq!(ordered(&mut orders), [looks.as_str(), "damaged 1 false"]);
        desk.damaged(damage(), true, &mut orders);
        assert_eq!(ordered(&mut orders), [looks.as_str(), "damaged 1 true", "own"]);
    }
}
