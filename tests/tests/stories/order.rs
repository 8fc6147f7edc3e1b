//! Whose look comes first: asked fetches, then the nearest, and prefetch only when idle.

use fyteclub_client::{
    BlobHash, Client, Event, Events, Fetched, LimitsSet, NearPlayer, NearbySet, PlayerName, Reason, Transfers,
};
use fyteclub_proto::number::usize_of;
use fyteclub_tests::{
    Resident, Town, eventually,
    mods::{Mod, Written, arrived, assert_same},
    within,
};
use std::path::PathBuf;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

async fn limit(resident: &Resident, down: Option<u64>) {
    let download = Some(down.map(|bytes| bytes.try_into().expect("above the floor")));
    resident.client().limits_set(LimitsSet { download, ..LimitsSet::default() }).await.expect("set");
}

fn near(near: &[(&Resident, f64)]) -> NearbySet {
    let player = |(resident, distance): &(&Resident, f64)| NearPlayer {
        player: resident.player.clone(),
        distance: (*distance).try_into().expect("a distance"),
    };
    NearbySet { players: Some(near.iter().map(player).collect()), ..NearbySet::default() }
}

/// Publishes, and waits for the event at the other end.
async fn publish_heard(
    events: &mut Events,
    friend: &Resident,
    folder: PathBuf,
    seed: u64,
    files: usize,
    len: u64,
) -> Written {
    let look = Mod::of_noise(folder, seed, files, usize_of(len)).write();
    let published = friend.publish(&look.folder).await.appearance;
    within("a look is told of", async {
        while let Some(event) = events.next().await {
            if matches!(event.expect("an event"), Event::PeerLook { appearance, .. } if appearance == Some(published)) {
                return;
            }
        }
        panic!("the events ended")
    })
    .await;
    look
}

/// Contacts with a link whose looks are already fetched.
async fn acquainted(town: &Town, here: &Resident, name: &str, seed: u64) -> Resident {
    let friend = town.resident(name).await;
    here.befriend(&friend).await;
    friend.publish(&Mod::of_noise(town.path(&format!("small{seed}")), seed, 1, 1000).write().folder).await;
    here.fetch(&friend.player).await;
    friend
}

async fn publish(friend: &Resident, folder: PathBuf, seed: u64, files: usize, len: u64) -> Written {
    let look = Mod::of_noise(folder, seed, files, usize_of(len)).write();
    friend.publish(&look.folder).await;
    look
}

async fn transfers(resident: &Resident) -> Transfers {
    resident.client().transfer_list().await.expect("transfers")
}

fn moving(transfers: &Transfers) -> Vec<PlayerName> {
    transfers.downloads.iter().map(|now| now.player.clone()).collect()
}

fn waiting(transfers: &Transfers) -> Vec<PlayerName> {
    transfers.waiting.iter().map(|next| next.player.clone()).collect()
}

fn names(residents: &[&Resident]) -> Vec<PlayerName> {
    residents.iter().map(|resident| resident.player.clone()).collect()
}

async fn ready(events: &mut Events, look: BlobHash) {
    within("the look is here", async {
        while let Some(event) = events.next().await {
            match event.expect("an event") {
                Event::AppearanceReady { appearance, .. } if appearance == look => return,
                Event::TransferFailed { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
        panic!("the events ended")
    })
    .await;
}

/// The look is here, and a fetch transfers nothing.
async fn is_here(here: &Resident, friend: &Resident, look: &Written) -> Fetched {
    let fetched = here.fetch(&friend.player).await;
    assert_eq!((fetched.bytes_fetched, fetched.bytes_transferred), (0, 0), "{:?}", fetched.sources);
    assert_same(&arrived(&fetched), &look.content);
    fetched
}

#[tokio::test]
async fn nearest_looks_come_first_as_players_move() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@Balmung").await;
    let mut events = bob.client().watch().await.expect("events");
    let (mut friends, mut looks) = (Vec::new(), Vec::new());
    for (seed, name) in (1..).zip(["Ann", "Ben", "Cai", "Dee", "Eve", "Fay"]) {
        let friend = acquainted(&town, &bob, &format!("{name} Friend@Balmung"), seed).await;
        let folder = town.path(&format!("large{seed}"));
        looks.push(publish_heard(&mut events, &friend, folder, 100 + seed, 2, 2 * MIB).await);
        friends.push(friend);
    }
    let [ann, ben, cai, dee, eve, fay] = friends.as_slice() else { panic!("six") };
    assert_eq!(transfers(&bob).await.waiting, [], "nobody needs them");
    limit(&bob, Some(256 * KIB)).await;

    // In random order: only the distance counts.
    let far = [(fay, 60.0), (cai, 30.0), (ann, 10.0), (eve, 50.0), (ben, 20.0), (dee, 40.0)];
    let reply = bob.client().nearby_set(near(&far)).await.expect("set");
    let matched: Vec<_> = reply.contacts.iter().map(|near| (near.player.clone(), near.online)).collect();
    let all: Vec<_> = friends.iter().map(|friend| (friend.player.clone(), true)).collect();
    assert_eq!((matched, reply.others), (all, 0));
    let now =
        eventually("four move", async || Some(transfers(&bob).await).filter(|now| now.downloads.len() == 4))
            .await;
    assert_eq!(moving(&now), names(&[ann, ben, cai, dee]));
    assert_eq!(waiting(&now), names(&[eve, fay]));
    assert!(now.downloads.iter().all(|now| now.reason == Reason::Near));
    assert_eq!(now.waiting.first().and_then(|next| next.distance).map(f64::from), Some(50.0));

    // The last one is the nearest now; the former nearest is the farthest.
    let moved = [(fay, 1.0), (cai, 30.0), (ann, 70.0), (eve, 50.0), (ben, 20.0), (dee, 40.0)];
    bob.client().nearby_set(near(&moved)).await.expect("set");
    let now = eventually("she moves", async || {
        Some(transfers(&bob).await).filter(|now| moving(now).contains(&fay.player))
    })
    .await;
    assert_eq!(moving(&now), names(&[ben, cai, dee, fay]));
    assert_eq!(waiting(&now), names(&[eve, ann]));

    limit(&bob, None).await;
    eventually("all are here", async || {
        let now = transfers(&bob).await;
        (now.downloads.is_empty() && now.waiting.is_empty()).then_some(())
    })
    .await;
    for (friend, look) in friends.iter().zip(&looks) {
        is_here(&bob, friend, look).await;
    }
}

#[tokio::test]
async fn near_players_are_fetched_until_their_client_leaves() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@Balmung").await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    let published = alice.publish(&look.folder).await.appearance;
    let mut events = bob.client().watch().await.expect("events");
    let plugin = Client::connect(bob.ipc()).await.expect("connected");
    let mut set = near(&[(&alice, 3.0)]);
    let stranger =
        NearPlayer { player: "Stran Ger@Nowhere".parse().expect("a name"), distance: Default::default() };
    set.players.get_or_insert_default().push(stranger);
    let reply = plugin.nearby_set(set).await.expect("set");
    assert_eq!((reply.contacts.len(), reply.others), (1, 1));
    ready(&mut events, published).await;
    is_here(&bob, &alice, &look).await;

    // Her new look is fetched without asking.
    let other = Mod::of_noise(town.path("other"), 2, 2, 100_000).write();
    let published = alice.publish(&other.folder).await.appearance;
    ready(&mut events, published).await;
    is_here(&bob, &alice, &other).await;

    drop(plugin);
    eventually("nobody is near any more", async || {
        bob.client().nearby_list().await.expect("a list").contacts.is_empty().then_some(())
    })
    .await;
    let kept = NearbySet { keep_secs: Some(60), ..near(&[(&alice, 5.0)]) };
    Client::connect(bob.ipc()).await.expect("connected").nearby_set(kept).await.expect("set");
    let reply = bob.client().nearby_set(NearbySet::default()).await.expect("set");
    assert_eq!(reply.contacts.len(), 1, "a program that ended wished it to stay");
}

#[tokio::test]
async fn prefetched_look_transfers_nothing_more() {
    let town = Town::new().await;
    let mut bob = town.house("Bob Birch@Balmung").config("prefetch_budget = \"64 MiB\"");
    bob.start().await;
    let alice = acquainted(&town, &bob, "Alice Ashe@Gilgamesh", 1).await;
    let mut events = bob.client().watch().await.expect("events");
    let look = publish(&alice, town.path("mod"), 2, 5, 300 * KIB).await;
    all_but_shown(&bob, 6, 1).await;
    is_here(&bob, &alice, &look).await;
    let told = within("she shows", async {
        loop {
            match events.next().await.expect("events").expect("an event") {
                Event::AppearanceReady { bytes_transferred, .. } => return bytes_transferred,
                Event::AppearanceOffered { missing_bytes, .. } => assert_eq!(missing_bytes, 0),
                _ => {}
            }
        }
    });
    assert_eq!(told.await, 0, "a plugin hears of what was asked for, and of nothing before");
}

/// Waits until so many files are here, of which only the shown ones are in use.
async fn all_but_shown(resident: &Resident, files: u64, shown: u64) {
    eventually(&format!("{files} files are here"), async || {
        let cache = resident.client().cache_stats().await.expect("stats");
        ((cache.files, cache.pinned) == (files, shown)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_small_budget_brings_small_looks_only() {
    let town = Town::new().await;
    let mut bob = town.house("Bob Birch@Balmung").config("prefetch_budget = \"1 MiB\"");
    bob.start().await;
    let alice = acquainted(&town, &bob, "Alice Ashe@Gilgamesh", 1).await;
    let cleo = acquainted(&town, &bob, "Cleo Cedar@Balmung", 2).await;
    let mut events = bob.client().watch().await.expect("events");
    let large = publish_heard(&mut events, &alice, town.path("large"), 3, 4, 300 * KIB).await;
    let small = publish(&cleo, town.path("small"), 4, 3, 300 * KIB).await;
    all_but_shown(&bob, 5, 2).await;
    let now = transfers(&bob).await;
    assert_eq!((now.downloads, now.waiting), (vec![], vec![]), "what does not fit is not in line");
    // Nor does another small one while the first one's bytes are unused.
    let other = publish_heard(&mut events, &cleo, town.path("other"), 5, 1, 200 * KIB).await;
    let fetched = bob.fetch(&alice.player).await;
    assert_eq!(fetched.bytes_fetched, 1200 * KIB, "nothing of it was here");
    assert_same(&arrived(&fetched), &large.content);
    let fetched = bob.fetch(&cleo.player).await;
    assert_eq!(fetched.bytes_fetched, 200 * KIB);
    assert_same(&arrived(&fetched), &other.content);
    cleo.publish(&small.folder).await;
    is_here(&bob, &cleo, &small).await;
}

#[tokio::test]
async fn requested_look_does_not_wait_for_a_prefetch() {
    const LOOK: u64 = 15 * MIB;
    let town = Town::new().await;
    let mut bob = town.house("Bob Birch@Balmung").config("prefetch_budget = \"64 MiB\"");
    bob.start().await;
    let alice = acquainted(&town, &bob, "Alice Ashe@Gilgamesh", 1).await;
    let cleo = acquainted(&town, &bob, "Cleo Cedar@Balmung", 2).await;
    limit(&bob, Some(MIB)).await;
    let large = publish(&alice, town.path("large"), 3, 3, LOOK / 3).await;
    eventually("hers comes in advance", async || {
        let now = transfers(&bob).await;
        let now = now.downloads.first().filter(|now| now.bytes_done > 4 * MIB)?;
        assert_eq!((&now.player, now.reason), (&alice.player, Reason::Prefetch));
        Some(())
    })
    .await;
    let (client, player) = (bob.client().clone(), cleo.player.clone());
    // She publishes and is asked for at once: an asked fetch replaces the prefetch.
    let wanted = publish(&cleo, town.path("wanted"), 4, 2, MIB).await;
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    let now = eventually("what was asked for moves", async || {
        Some(transfers(&bob).await).filter(|now| moving(now).contains(&cleo.player))
    })
    .await;
    assert_eq!((moving(&now), waiting(&now)), (names(&[&cleo]), names(&[&alice])));
    assert!(now.downloads.iter().all(|now| now.reason == Reason::Asked));
    let fetched = within("it is here", fetch).await.expect("no panic").expect("fetched");
    assert_same(&arrived(&fetched), &wanted.content);
    limit(&bob, None).await;
    all_but_shown(&bob, 7, 3).await;
    let again = eventually("she is told what she sent", async || {
        let now = alice.client().transfer_list().await.expect("transfers");
        now.uploads.first().map(|upload| upload.bytes)
    });
    assert!(again.await < LOOK + 3 * MIB, "what had come was sent again");
    is_here(&bob, &alice, &large).await;
}
