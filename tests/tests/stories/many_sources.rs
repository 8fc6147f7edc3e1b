//! One look from several sources: its owner, and lenders with her grant.

use fyteclub_client::{BlobHash, Event, Fetched, LimitsSet, PeerId, Rate, TransferStatus};
use fyteclub_proto::{
    grant::{Grant, holding_tag},
    limit::GRANT_SKEW,
    number::{f64_of, index, millis, u64_of},
    peer::{
        HoldingReply, Piece, PiecesReply, Request,
        record::{Header, Kind},
    },
};
use fyteclub_tests::{
    Resident, Town, eventually,
    hostile::{Hostile, Line, hear, list, say},
    mods::{Mod, Written, arrived, assert_same, noise},
    within,
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

const MB: usize = 1_000_000;
const FILES: usize = 24;

/// Small and large files, enough that no source sends all before the others are asked.
fn look(town: &Town) -> Written {
    (0..FILES)
        .fold(Mod::new(town.path("mod")), |look, n| {
            let len = if n < 8 { 50_000 } else { 6 * MB };
            look.file(&format!("chara/{n}.tex"), &noise(u64_of(n), len))
        })
        .write()
}

/// A link, made by the only thing that makes one: a fetch.
async fn links(town: &Town, here: &Resident, there: &Resident) {
    let name = there.player.as_str().replace(' ', "");
    let trifle = Mod::of_noise(town.path(&name), u64_of(name.len()), 1, 100).write();
    there.publish(&trifle.folder).await;
    here.fetch(&there.player).await;
}

async fn dial(hostile: &Hostile, resident: &Resident) -> Line {
    let status = resident.client().status().await.expect("a status");
    let addr: SocketAddr = status.listen.parse().expect("an address");
    hostile.dial(addr, status.peer_id).await
}

fn bytes_of(fetched: &Fetched, peer: PeerId) -> u64 {
    fetched.sources.iter().find(|source| source.peer_id == peer).map_or(0, |source| source.bytes)
}

/// Alice with her look; Bob and Carol, who have it; and Dave, who has a link to all.
async fn four(town: &Town) -> ([Resident; 4], Written) {
    let look = look(town);
    (four_with(town, &look).await, look)
}

async fn four_with(town: &Town, look: &Written) -> [Resident; 4] {
    let [alice, bob, carol, dave] = ["Alice Ashe@A", "Bob Birch@B", "Carol Cole@C", "Dave Dunn@D"];
    let (alice, bob, carol, dave) =
        tokio::join!(town.resident(alice), town.resident(bob), town.resident(carol), town.resident(dave));
    for (one, other) in [(&alice, &bob), (&alice, &carol), (&alice, &dave), (&bob, &dave), (&carol, &dave)] {
        one.befriend(other).await;
    }
    alice.publish(&look.folder).await;
    bob.fetch(&alice.player).await;
    carol.fetch(&alice.player).await;
    links(town, &dave, &bob).await;
    links(town, &dave, &carol).await;
    [alice, bob, carol, dave]
}

/// Begins to fetch, and returns the fetch once the progress is as wished.
async fn fetch_until(
    here: &Resident,
    owner: &Resident,
    wished: impl Fn(&TransferStatus) -> bool,
) -> tokio::task::JoinHandle<Result<Fetched, fyteclub_client::Error>> {
    let mut events = here.client().watch().await.expect("events");
    let (client, player) = (here.client().clone(), owner.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    within("progress", async {
        while let Some(event) = events.next().await {
            match event.expect("an event") {
                Event::TransferProgress(now) if wished(&now) => return,
                Event::AppearanceReady { .. } => return,
                Event::TransferFailed { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    })
    .await;
    fetch
}

#[tokio::test]
async fn look_comes_from_its_owner_and_two_lenders() {
    let town = Town::new().await;
    let ([alice, bob, carol, dave], look) = four(&town).await;
    let fetched = dave.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    for resident in [&alice, &bob, &carol] {
        assert!(bytes_of(&fetched, resident.peer_id()) > 0, "{}: {:?}", resident.player, fetched.sources);
    }
    let brought: u64 = fetched.sources.iter().map(|source| source.bytes).sum();
    assert_eq!(brought, fetched.bytes_total, "each byte is counted once");
    let names: Vec<_> = fetched.sources.iter().filter_map(|source| source.player.clone()).collect();
    assert_eq!(names.len(), 3, "{:?}", fetched.sources);
}

#[tokio::test]
async fn one_blob_comes_from_three() {
    let town = Town::new().await;
    let look = Mod::new(town.path("mod")).file("chara/one.tex", &noise(1, 60 * MB)).write();
    let [alice, bob, carol, dave] = four_with(&town, &look).await;
    // So that no source sends all before the others are asked.
    slowly(&[&alice, &bob, &carol], 20 * u64_of(MB)).await;
    let fetched = dave.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    for resident in [&alice, &bob, &carol] {
        assert!(bytes_of(&fetched, resident.peer_id()) > 0, "{}: {:?}", resident.player, fetched.sources);
    }
    let again = f64_of(fetched.bytes_transferred) / f64_of(fetched.bytes_fetched) - 1.0;
    assert!(again < 0.05, "{again:.3} of it came twice");
}

#[tokio::test]
async fn fetch_survives_the_death_of_receiver_and_owner() {
    let town = Town::new().await;
    let ([mut alice, bob, carol, mut dave], look) = four(&town).await;
    let total: u64 = look.content.values().map(|bytes| u64_of(bytes.len())).sum();
    slowly(&[&alice, &bob, &carol], total / 12).await;
    let fetch = fetch_until(&dave, &alice, |now| now.bytes_done > total / 5).await;
    dave.kill();
    fetch.abort();
    dave.start().await;
    dave.fetch(&bob.player).await;
    dave.fetch(&carol.player).await;
    let (bob_id, carol_id) = (bob.peer_id(), carol.peer_id());
    let others = |now: &TransferStatus| {
        let helps = |id| now.sources.iter().any(|source| source.peer_id == id && source.bytes > 0);
        helps(bob_id) && helps(carol_id)
    };
    let fetch = fetch_until(&dave, &alice, others).await;
    alice.kill();
    let fetched = within("the rest", fetch).await.expect("no panic").expect("the look");
    assert_same(&arrived(&fetched), &look.content);
    let helped = bytes_of(&fetched, bob_id) + bytes_of(&fetched, carol_id);
    assert!(helped > 0, "{:?}", fetched.sources);
    let verified = dave.client().cache_verify().await.expect("verified");
    assert!(verified.bad.is_empty(), "{verified:?}");
}

/// Each sends so many bytes a second, so that something is left when one dies.
async fn slowly(residents: &[&Resident], bytes: u64) {
    for resident in residents {
        let upload = Some(Rate::try_from(bytes).ok());
        let change = LimitsSet { upload, ..LimitsSet::default() };
        resident.client().limits_set(change).await.expect("set");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn chunks_of_a_stalled_source_come_from_others() {
    let town = Town::alone().await;
    let ([alice, mut bob, carol, dave], look) = four(&town).await;
    let total: u64 = look.content.values().map(|bytes| u64_of(bytes.len())).sum();
    let rate = total / 12;
    slowly(&[&alice, &bob, &carol], rate).await;
    let bob_id = bob.peer_id();
    let helps = |now: &TransferStatus| {
        let bobs = now.sources.iter().any(|source| source.peer_id == bob_id && source.bytes > 0);
        bobs && now.bytes_done > total / 4
    };
    let fetch = fetch_until(&dave, &alice, helps).await;
    bob.process().signal(rustix::process::Signal::STOP);
    let stopped = std::time::Instant::now();
    let left = dave.client().transfer_list().await.expect("transfers").downloads;
    let left = left.first().map_or(0, |now| now.bytes_total - now.bytes_done);
    let fetched = within("the rest", fetch).await.expect("no panic").expect("the look");
    // What the two others send in that time, and the two seconds.
    let late = stopped.elapsed().as_secs_f64() - f64_of(left) / f64_of(2 * rate);
    bob.process().signal(rustix::process::Signal::CONT);
    assert_same(&arrived(&fetched), &look.content);
    println!("{late:.1} s later than without him");
    assert!(late < 5.0, "{late:.1} s later than without him: he was waited for");
}

#[tokio::test]
async fn transfer_resumes_with_another_source_and_path() {
    let town = Town::new().await;
    let [alice, bob, dave] = ["Alice Ashe@A", "Bob Birch@B", "Dave Dunn@D"];
    let (mut alice, mut bob, mut dave) =
        tokio::join!(town.resident(alice), town.resident(bob), town.resident(dave));
    for (one, other) in [(&alice, &bob), (&alice, &dave), (&bob, &dave)] {
        one.befriend(other).await;
    }
    let look = look(&town);
    let total: u64 = look.content.values().map(|bytes| u64_of(bytes.len())).sum();
    alice.publish(&look.folder).await;
    bob.fetch(&alice.player).await;
    slowly(&[&alice], total / 8).await;
    let alone = alice.peer_id();
    let fetch = fetch_until(&dave, &alice, |now| now.bytes_done > total / 2).await;
    let reached = dave.client().transfer_list().await.expect("transfers").downloads;
    let reached = reached.first().map_or(total / 2, |now| now.bytes_done);
    // All restart at other ports.
    for resident in [&mut dave, &mut alice, &mut bob] {
        resident.kill();
    }
    fetch.abort();
    for resident in [&mut alice, &mut bob, &mut dave] {
        resident.start().await;
    }
    // She sends slowly, and he has all that is missing.
    slowly(&[&alice], 64 << 10).await;
    // He fetches again, so that he knows the owner of what he holds.
    bob.fetch(&alice.player).await;
    links(&town, &dave, &bob).await;
    let fetched = dave.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    let (hers, his) = (bytes_of(&fetched, alone), bytes_of(&fetched, bob.peer_id()));
    println!("{reached} were there, then {hers} came of her and {his} of him");
    assert!(his > hers, "{:?}", fetched.sources);
    // Two seconds at her rate: the bound is one, and this machine may be slow.
    assert!(fetched.bytes_fetched <= total - reached + total / 4, "{} of {total}", fetched.bytes_fetched);
}

#[tokio::test]
async fn only_the_newest_look_is_fetched() {
    let town = Town::new().await;
    let (alice, dave) = tokio::join!(town.resident("Alice Ashe@A"), town.resident("Dave Dunn@D"));
    alice.befriend(&dave).await;
    let old = look(&town);
    alice.publish(&old.folder).await;
    let fetch = fetch_until(&dave, &alice, |now| now.bytes_done > 0).await;
    // The same but for one file.
    let new = (0..FILES)
        .fold(Mod::new(town.path("new")), |look, n| {
            let (seed, len) =
                if n == FILES - 1 { (99, 1000) } else { (u64_of(n), if n < 8 { 50_000 } else { 6 * MB }) };
            look.file(&format!("chara/{n}.tex"), &noise(seed, len))
        })
        .write();
    let published = alice.publish(&new.folder).await;
    let first = within("a look", fetch).await.expect("no panic").expect("a look");
    if first.appearance == published.appearance {
        assert_same(&arrived(&first), &new.content);
        let most = first.bytes_total + 6 * u64_of(MB);
        assert!(first.bytes_fetched <= most, "what both have came twice: {}", first.bytes_fetched);
    }
    let second = dave.fetch(&alice.player).await;
    assert_same(&arrived(&second), &new.content);
}

#[tokio::test]
async fn a_source_that_lies_is_named_and_the_look_is_right() {
    let town = Town::new().await;
    let (alice, dave) = tokio::join!(town.resident("Alice Ashe@A"), town.resident("Dave Dunn@D"));
    alice.befriend(&dave).await;
    let look = look(&town);
    alice.publish(&look.folder).await;
    let mallory = Hostile::new("Mal Lory@Nowhere", 201);
    dave.takes_for_a_friend(&mallory).await;
    let line = Arc::new(dial(&mallory, &dave).await);
    let _control = line.greet(mallory.greeting(None)).await;
    let sizes: BTreeMap<BlobHash, usize> =
        look.content.values().map(|bytes| (BlobHash::of(bytes), bytes.len())).collect();
    let lying = line.clone();
    let lies = tokio::spawn(async move {
        while let Some((mut send, request)) = lying.request().await {
            match request {
                Request::Holding { .. } => {
                    say(&mut send, &HoldingReply::of(sizes.keys().map(|_| true), false)).await;
                    send.finish().ok();
                }
                Request::Granted { pieces, .. } => {
                    let mut records = lying.serve(&mut send).await;
                    for piece in pieces {
                        let wrong = noise(7, sizes[&piece.hash]);
                        if piece.tree {
                            records.sealed(Kind::Tree, &piece.hash, 0, &list(&wrong)).await;
                        }
                        let chunk = wrong.chunks(256 * 1024).nth(index(piece.first)).expect("a chunk");
                        records.sealed(Kind::Raw, &piece.hash, piece.first, chunk).await;
                    }
                }
                other => panic!("{other:?} was not hers to answer"),
            }
        }
    });
    let mut events = dave.client().watch().await.expect("events");
    let fetched = dave.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    assert_eq!(bytes_of(&fetched, mallory.peer_id()), 0);
    let named = within("a suspect", async {
        while let Some(Ok(event)) = events.next().await {
            if let Event::TransferSuspect { source, player, .. } = event {
                return (source, player);
            }
        }
        panic!("nobody was named");
    });
    assert_eq!(named.await, (mallory.peer_id(), alice.player.clone()));
    within("the liar's link ends", line.connection.closed()).await;
    lies.abort();
}

/// A peer that serves her look to every link.
async fn serve(owner: Arc<Hostile>, look: BlobHash, document: Vec<u8>, blobs: BTreeMap<BlobHash, Vec<u8>>) {
    loop {
        let line = owner.accept().await;
        let (owner, document, blobs) = (owner.clone(), document.clone(), blobs.clone());
        tokio::spawn(async move {
            let _control = line.greet(owner.greeting(Some(look))).await;
            while let Some((mut send, request)) = line.request().await {
                match request {
                    Request::Appearance => line.send_appearance(&mut send, &document).await,
                    Request::Pieces(pieces) => line.serve_well(&mut send, &pieces, &blobs).await,
                    _ => say(&mut send, &HoldingReply::Nothing).await,
                }
            }
        });
    }
}

/// A lender's answer to a request under a grant: the kinds of its records.
async fn under(line: &Line, grant: &Grant, hash: BlobHash) -> Option<u8> {
    let piece = Piece { hash, tree: false, first: 0, count: 1 };
    let asked = Request::Granted { grant: grant.clone(), pieces: vec![piece] };
    let mut answer = line.ask(&asked).await.ok()?;
    assert!(matches!(hear(&mut answer).await, Some(PiecesReply::Serving { .. })));
    let bytes = answer.read_to_end(1 << 20).await.expect("an end");
    let nothing = Header { kind: Kind::Gone, len: 0 }.encode();
    (bytes != nothing).then(|| bytes[0])
}

#[tokio::test]
async fn grant_is_valid_for_its_peer_look_and_time_only() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@B").await;
    let olga = Arc::new(Hostile::new("Olga Owner@O", 210));
    let file = noise(1, 5000);
    let files: BTreeMap<&str, Vec<u8>> = [("chara/a.tex", file.clone())].into();
    let (hash, look) = (BlobHash::of(&file), fyteclub_tests::hostile::look(&files).hash());
    bob.takes_for_a_friend(&olga).await;
    olga.move_in(&town.phonebook.url()).await;
    let serving = tokio::spawn(serve(olga.clone(), look, olga.signed(&files), [(hash, file)].into()));
    bob.fetch(&olga.player).await;
    // Bob's own file, in nobody's look.
    let own = Mod::of_noise(town.path("own"), 3, 1, 1000).write();
    bob.publish(&own.folder).await;
    let own = BlobHash::of(own.content.values().next().expect("a file"));

    // A contact of Bob's who is a stranger to Olga, and a contact of both.
    let (stranger, friend) = (Hostile::new("Stran Ger@S", 211), Hostile::new("Fre Nd@F", 212));
    bob.takes_for_a_friend(&stranger).await;
    bob.takes_for_a_friend(&friend).await;
    let (theirs, line) = (dial(&stranger, &bob).await, dial(&friend, &bob).await);
    let _controls = (theirs.greet(stranger.greeting(None)).await, line.greet(friend.greeting(None)).await);
    let now = fyteclub_tests::unix_millis();
    let skew = millis(GRANT_SKEW);
    let good = Grant::new(&olga.key, friend.peer_id(), look, now);
    assert_eq!(under(&line, &good, hash).await, Some(Kind::Raw.number()), "the test can see bytes");
    assert_eq!(under(&line, &good, hash).await, Some(Kind::Raw.number()), "and again");
    assert_eq!(under(&theirs, &good, hash).await, None, "it is another's");
    let stolen = Grant { to: stranger.peer_id(), ..good.clone() };
    assert_eq!(under(&theirs, &stolen, hash).await, None, "the name in it was changed");
    let own_word = Grant::new(&stranger.key, stranger.peer_id(), look, now);
    assert_eq!(under(&theirs, &own_word, hash).await, None, "signed by who wants it");
    let forged = Grant { owner: olga.peer_id(), ..own_word };
    assert_eq!(under(&theirs, &forged, hash).await, None, "signed by who wants it, in her name");
    let expired = Grant::until(&olga.key, friend.peer_id(), look, now - skew - 1);
    assert_eq!(under(&line, &expired, hash).await, None, "it has ended");
    let eternal = Grant::until(&olga.key, friend.peer_id(), look, u64::MAX);
    assert_eq!(under(&line, &eternal, hash).await, None, "it never ends");
    let other = Grant::new(&olga.key, friend.peer_id(), BlobHash::of(b"another look"), now);
    assert_eq!(under(&line, &other, hash).await, None, "it is for another look");
    assert_eq!(under(&line, &good, own).await, None, "the blob is not of the look");

    // A peer that does not know the look gets nothing, nor one that repeats another's tag.
    let held = async |line: &Line, tag| {
        let mut answer = line.ask(&Request::Holding { tag }).await.expect("a stream");
        hear::<HoldingReply>(&mut answer).await.expect("an answer")
    };
    let tag = |asker| holding_tag(&olga.peer_id(), &look, &asker);
    assert_eq!(held(&line, tag(friend.peer_id())).await, HoldingReply::of([true], false));
    assert_eq!(held(&theirs, tag(friend.peer_id())).await, HoldingReply::Nothing);

    // After he removed Olga, he lends nothing of hers.
    bob.client().contacts_remove(olga.player.clone()).await.expect("removed");
    eventually("the end of it", async || under(&line, &good, hash).await.is_none().then_some(())).await;
    assert_eq!(held(&line, tag(friend.peer_id())).await, HoldingReply::Nothing);
    serving.abort();
}
