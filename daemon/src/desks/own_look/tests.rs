//! The desk alone: scans that end in any order, restarts, and a disk that fails.

use super::*;
use crate::io::{
    keeper::{KeepError, Keeper},
    store::StoreConfig,
};
use futures::FutureExt;
use fyteclub_proto::{
    appearance::Look,
    local::request::{AppearancePublish, AppearancePublishMod, Strings},
};
use tempfile::TempDir;

struct Bench {
    desk: OwnLook,
    now: Now,
    orders: Orders,
    offer: watch::Receiver<Option<Arc<Offer>>>,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::over(tempfile::tempdir().expect("a folder"))
    }

    fn over(folder: TempDir) -> Self {
        let path = |name: &str| folder.path().join(name);
        let config = StoreConfig { cache_limit: u64::MAX, min_free: None };
        let (store, _) = Store::open(folder.path(), config).expect("a store");
        let (offer, offered) = watch::channel(None);
        let setup = Setup {
            player: Some("Alice Ashe@Omega".parse().expect("a name")),
            identity: Arc::new(Identity::load_or_create(&path("identity.key")).expect("an identity")),
            store,
            offer,
            file: PublishedFile::load(&path("published.bin"), Keeper::default()),
        };
        let (now, mut orders) = (Now { at: Instant::now(), unix_ms: 1_800_000_000_000 }, Orders::default());
        let desk = OwnLook::new(setup, now, &mut orders);
        Self { desk, now, orders, offer: offered, folder }
    }

    fn input(&mut self, input: Input) {
        self.desk.handle(self.now, input, &mut self.orders);
    }

    fn pass(&mut self, time: Duration) {
        self.now.at += time;
        if self.desk.deadline().is_some_and(|at| at <= self.now.at) {
            self.input(Input::Time);
        }
    }

    fn publish(&mut self, meta: &str) -> Later<Published> {
        self.desk.publish(what(meta), &mut self.orders)
    }

    /// Orders since the last call: scans and writes by number, and the count of announcements.
    fn ordered(&mut self) -> Ordered {
        let mut ordered = Ordered::default();
        while let Some(order) = self.orders.pop() {
            match order {
                Order::Scan { id, .. } => ordered.scans.push(id),
                Order::Await(_, Write::OwnLook(id)) => ordered.writes.push(id),
                Order::AnnounceLook => ordered.announced += 1,
                Order::LookAtOffer(offer) => ordered.looks.push(offer.appearance),
                Order::Tell(Event::AppearancePublished { .. }) => {}
                _ => panic!("another order"),
            }
        }
        ordered
    }

    fn offered(&self) -> Option<BlobHash> {
        self.offer.borrow().as_ref().map(|offer| offer.appearance)
    }
}

#[derive(Debug, Default, PartialEq)]
struct Ordered {
    scans: Vec<ScanId>,
    writes: Vec<ScanId>,
    announced: u32,
    looks: Vec<BlobHash>,
}

fn look(meta: &str) -> Look {
    Look { meta: Some(meta.to_owned()), ..Look::default() }
}

fn what(meta: &str) -> What {
    let strings = Strings { meta: Some(meta.to_owned()), ..Strings::default() };
    What::Plugin(AppearancePublish { strings, ..AppearancePublish::default() })
}

fn scanned(meta: &str) -> Result<Scanned, Fault> {
    Ok(Scanned { look: look(meta), left_out: vec![] })
}

#[tokio::test]
async fn look_is_offered_at_once_and_answered_when_written() {
    let mut bench = Bench::new();
    let mut published = bench.publish("a");
    let scan = bench.ordered().scans[0];
    assert_eq!(bench.offered(), None);
    bench.input(Input::Scanned(scan, scanned("a")));
    assert_eq!(bench.offered(), Some(look("a").hash()));
    assert_eq!(bench.ordered(), Ordered { writes: vec![scan], announced: 1, ..Ordered::default() });
    assert!((&mut published).now_or_never().is_none(), "it is not written yet");
    bench.input(Input::Written(scan, Ok(())));
    assert_eq!(published.await.expect("published").appearance, look("a").hash());
    // An equal look is not written again.
    let published = bench.publish("a");
    let scan = bench.ordered().scans[0];
    bench.input(Input::Scanned(scan, scanned("a")));
    assert_eq!(bench.ordered(), Ordered::default());
    published.await.expect("published");
}

#[tokio::test]
async fn superseded_scan_changes_nothing() {
    let mut bench = Bench::new();
    let (older, newer) = (bench.publish("old"), bench.publish("new"));
    let scans = bench.ordered().scans;
    bench.input(Input::Scanned(scans[1], scanned("new")));
    bench.input(Input::Scanned(scans[0], scanned("old")));
    assert_eq!(bench.offered(), Some(look("new").hash()));
    for write in bench.ordered().writes {
        bench.input(Input::Written(write, Ok(())));
    }
    assert_eq!(older.await.expect("answered").appearance, look("old").hash());
    newer.await.expect("published");
}

#[tokio::test]
async fn withdrawn_look_is_not_restored_by_a_scan() {
    let mut bench = Bench::new();
    let published = bench.publish("a");
    let scan = bench.ordered().scans[0];
    bench.desk.withdraw(&mut bench.orders).await.expect("withdrawn");
    bench.input(Input::Scanned(scan, scanned("a")));
    assert_eq!((bench.offered(), bench.ordered()), (None, Ordered::default()));
    published.await.expect("answered");
}

#[tokio::test]
async fn failed_write_is_a_fault_and_is_repeated() {
    let mut bench = Bench::new();
    let published = bench.publish("a");
    let scan = bench.ordered().scans[0];
    bench.input(Input::Scanned(scan, scanned("a")));
    let path = bench.folder.path().to_owned();
    let source = std::io::Error::other("broken").into();
    bench.input(Input::Written(scan, Err(KeepError { path, source })));
    assert_eq!(published.await.expect_err("not kept").code, FaultCode::Io);
    assert_eq!(bench.offered(), Some(look("a").hash()), "until the daemon stops");
    bench.ordered();
    drop(bench.publish("a"));
    let scan = bench.ordered().scans[0];
    bench.input(Input::Scanned(scan, scanned("a")));
    assert_eq!(bench.ordered().writes, [scan]);
}

#[tokio::test]
async fn changed_files_are_scanned_once_they_settle() {
    let mut bench = Bench::new();
    bench.input(Input::SourceChanged);
    bench.pass(SETTLE);
    assert_eq!(bench.ordered(), Ordered::default(), "nothing is published");
    drop(bench.publish("a"));
    let scan = bench.ordered().scans[0];
    bench.input(Input::Scanned(scan, scanned("a")));
    bench.ordered();
    bench.input(Input::SourceChanged);
    bench.pass(SETTLE / 2);
    bench.input(Input::SourceChanged);
    assert_eq!(bench.ordered().scans, []);
    bench.pass(SETTLE / 2);
    let scans = bench.ordered().scans;
    assert_eq!(scans.len(), 1);
    // During the scan no other begins; afterwards one may.
    bench.input(Input::SourceChanged);
    bench.input(Input::Damaged);
    bench.pass(SETTLE);
    assert_eq!(bench.ordered(), Ordered::default());
    bench.input(Input::Scanned(scans[0], scanned("b")));
    let write = bench.ordered().writes[0];
    bench.input(Input::Written(write, Ok(())));
    assert_eq!(bench.offered(), Some(look("b").hash()));
    bench.input(Input::Damaged);
    assert_eq!(bench.ordered().scans.len(), 1);
}

fn gone() -> Result<Scanned, Fault> {
    Err(Fault::new(FaultCode::BadMod, "the folder is gone"))
}

#[tokio::test]
async fn look_whose_files_are_gone_is_offered_to_nobody() {
    let mut bench = Bench::new();
    drop(bench.publish("a"));
    let scan = bench.ordered().scans[0];
    bench.input(Input::Scanned(scan, scanned("a")));
    bench.ordered();
    bench.pass(LOOK_PERIOD);
    assert_eq!(bench.ordered().looks, [look("a").hash()]);
    bench.input(Input::LookedAt(look("a").hash(), 0));
    assert_eq!(bench.ordered(), Ordered::default());
    bench.input(Input::LookedAt(look("a").hash(), 2));
    let scan = bench.ordered().scans[0];
    bench.input(Input::Scanned(scan, gone()));
    assert_eq!(bench.ordered().looks, [look("a").hash()], "an archive's files may be in the cache");
    assert_eq!((bench.offered(), bench.desk.trouble()), (Some(look("a").hash()), Some("the folder is gone")));
    bench.input(Input::LookedAt(look("a").hash(), 2));
    assert_eq!((bench.offered(), bench.ordered().announced), (None, 1));
    assert_eq!(bench.desk.trouble(), Some("the folder is gone"));
    // It is read again each minute.
    for result in [gone(), scanned("a")] {
        bench.pass(LOOK_PERIOD);
        let scan = bench.ordered().scans[0];
        bench.input(Input::Scanned(scan, result));
    }
    let ordered = bench.ordered();
    assert_eq!((bench.offered(), bench.desk.trouble()), (Some(look("a").hash()), None));
    assert_eq!((ordered.announced, ordered.writes.len()), (1, 1));
}

#[tokio::test]
async fn look_is_offered_again_after_a_restart() {
    let mut bench = Bench::new();
    drop(bench.publish("a"));
    let scan = bench.ordered().scans[0];
    bench.input(Input::Scanned(scan, scanned("a")));
    while let Some(order) = bench.orders.pop() {
        if let Order::Await(keeping, _) = order {
            keeping.await.expect("written");
        }
    }
    let Bench { desk, folder, .. } = bench;
    drop(desk);
    let mut again = Bench::over(folder);
    assert_eq!(again.offered(), Some(look("a").hash()));
    // And the look is scanned again.
    let ordered = again.ordered();
    assert_eq!((ordered.scans.len(), ordered.announced), (1, 1));
}

#[tokio::test]
async fn look_without_a_player_or_path_is_refused() {
    let mut bench = Bench::new();
    let relative = AppearancePublishMod { path: "mods/a".into(), options: vec![] };
    let refused = bench.desk.publish(What::Mod(relative), &mut bench.orders);
    assert_eq!(refused.await.expect_err("no place").code, FaultCode::BadRequest);
    bench.desk.player = None;
    assert_eq!(bench.publish("a").await.expect_err("nobody's").code, FaultCode::NoPlayer);
    assert_eq!(bench.ordered(), Ordered::default());
}
