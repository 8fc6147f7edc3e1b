//! A hostile contact sends everything that a peer can send, in random order, for `FYTECLUB_HOSTILE_SECONDS` (8 by
//! default), under a printed seed (`FYTECLUB_HOSTILE_SEED` repeats it).
//!
//! Meanwhile the player's daemon does not grow, bans no honest contact, receives honest looks, and sends nothing that
//! the player did not share with the hostile one.

use fyteclub_client::{BlobHash, Distance, NearPlayer, NearbySet, PeerId};
use fyteclub_proto::{
    appearance::Look,
    bytes::Bytes,
    limit::CHUNK_SIZE,
    number::{u32_of, u64_of, usize_of},
    peer::{
        AppearanceReply, Control, HoldingReply, Piece, PiecesReply, Request,
        record::{HEADER, Header, Kind},
    },
    reaching::wire::offer::Offer,
};
use fyteclub_tests::{
    Resident, Town, eventually,
    hostile::{Hostile, Line, hear, look, say, shout},
    mods::{Dice, Mod, arrived, assert_same, noise},
};
use quinn::{RecvStream, SendStream};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The daemon's allowed growth.
const GROWTH_MAX: u64 = 32 << 20;
/// How often the honest contact changes its look. Looks stay in the cache, at 2.7 KiB of memory each where nobody is
/// hostile (docs/performance.md): as fast as they go, 29,000 in ten minutes, they would hide what is measured here.
const CHANGE: Duration = Duration::from_millis(250);
/// Hostile contacts: a banned one is refused for a minute.
const EVANS: u8 = 12;
/// Links of each at once.
const LINES: usize = 4;

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// What the hostile contact knows, and its results.
struct Evan {
    hostile: Hostile,
    /// Files on the player's disk that are not shared with this contact.
    foreign: Vec<(BlobHash, u64)>,
    /// Files that this contact really has.
    own: BTreeMap<&'static str, Vec<u8>>,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    leaked: AtomicU64,
    deeds: AtomicU64,
}

impl Evan {
    /// A look of real files, of foreign hashes, of wrong sizes, or a very long one.
    fn some_look(&self, dice: &mut Dice) -> Look {
        let mut look = look(&self.own);
        let files = &mut look.objects[0].files;
        for (n, (hash, size)) in self.foreign.iter().enumerate() {
            if dice.below(2) == 0 {
                let mut entry = files[0].clone();
                entry.game_paths = vec![format!("chara/foreign{n}.tex").parse().expect("a game path")];
                entry.hash = *hash;
                entry.size = if dice.below(2) == 0 { *size } else { 1 + dice.below(3 << 20) };
                files.push(entry);
            }
        }
        if dice.below(4) == 0 {
            look.ext.insert("long".into(), "x".repeat(usize_of(dice.below(900_000))));
        }
        look.normalise();
        look
    }

    fn some_pieces(&self, dice: &mut Dice) -> Vec<Piece> {
        (0..1 + dice.below(20))
            .map(|_| {
                let (hash, size) = self.foreign[usize_of(dice.below(u64_of(self.foreign.len())))];
                let chunks = u32_of(usize_of(size.div_ceil(u64_of(CHUNK_SIZE)).max(1)));
                let (first, count) =
                    (u32_of(usize_of(dice.below(chunks.into()))), 1 + u32_of(usize_of(dice.below(3))));
                Piece { hash, tree: chunks > 1 && dice.below(2) == 0, first, count }
            })
            .collect()
    }

    /// Requests an unshared file; any record with bytes is a leak.
    async fn spy(&self, line: &Line, dice: &mut Dice) {
        let pieces = self.some_pieces(dice);
        let request = match dice.below(2) {
            0 => Request::Pieces(pieces),
            _ => Request::Granted { grant: line.grant(self.some_look(dice).hash()), pieces },
        };
        let Ok(mut recv) = line.ask(&request).await else { return };
        if let Some(PiecesReply::Serving { .. }) = hear(&mut recv).await {
            let mut header = [0; HEADER];
            while recv.read_exact(&mut header).await.is_ok() {
                let header = Header::decode(header).expect("the daemon's records are right");
                if matches!(header.kind, Kind::Raw | Kind::Zstd | Kind::Tree) {
                    self.tally.leaked.fetch_add(u64::from(header.len), Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    /// One random message. `false`: the link is unusable.
    async fn act(
        &self,
        line: &Line,
        control: &mut SendStream,
        unread: &mut Vec<RecvStream>,
        dice: &mut Dice,
    ) -> bool {
        match dice.below(12) {
            0..=2 => self.spy(line, dice).await,
            3 | 4 => {
                for _ in 0..dice.below(200) {
                    say(control, &Control::Published(Some(self.some_look(dice).hash()))).await;
                }
            }
            5 if dice.below(2) == 0 => {
                // Of no introduction: nothing is probed.
                let attempt = Bytes(noise(dice.roll(), 16).try_into().expect("16 bytes"));
                let offer = Offer { round: 7, ..Offer::default() }.encode();
                for _ in 0..dice.below(200) {
                    say(control, &Control::Offer { attempt, offer: offer.clone() }).await;
                }
            }
            5 => say(control, &Control::Published(None)).await,
            6 => {
                // Unread answers.
                if let Ok(recv) = line.ask(&Request::Appearance).await {
                    unread.push(recv);
                    unread.truncate(16);
                }
            }
            7 => {
                let tag = Bytes(noise(dice.roll(), 32).try_into().expect("32 bytes"));
                if let Ok(mut recv) = line.ask(&Request::Holding { tag }).await {
                    let reply = hear::<HoldingReply>(&mut recv).await;
                    assert!(matches!(reply, Some(HoldingReply::Nothing) | None), "nobody knows this tag");
                }
            }
            8 => {
                drop(line.connection.open_bi().await);
            }
            9 if dice.below(20) == 0 => {
                shout(control, &noise(dice.roll(), usize_of(dice.below(100)))).await;
                return false;
            }
            10 if dice.below(20) == 0 => return false,
            _ => {
                if let Ok(Ok((mut send, _recv))) =
                    tokio::time::timeout(Duration::from_millis(20), line.connection.open_bi()).await
                {
                    let len = usize_of(dice.below(2000));
                    shout(&mut send, &noise(dice.roll(), len)).await;
                }
            }
        }
        line.connection.close_reason().is_none()
    }

    /// An answer to a request, rarely a valid one.
    async fn answer(&self, line: &Line, mut send: SendStream, request: Request, dice: &mut Dice) {
        match request {
            Request::Appearance => match dice.below(5) {
                0 => say(&mut send, &AppearanceReply::Nothing).await,
                1 => shout(&mut send, &noise(dice.roll(), 300)).await,
                2 => {
                    let grant = line.grant(BlobHash::of(b"another"));
                    let len = u32_of(usize_of(dice.below(9 << 20)));
                    say(&mut send, &AppearanceReply::Document { epoch: 0, len, grant }).await;
                    shout(&mut send, &noise(dice.roll(), 5000)).await;
                }
                _ => {
                    let document = self.hostile.signed_as(self.hostile.player.clone(), self.some_look(dice));
                    line.send_appearance(&mut send, &document).await;
                }
            },
            Request::Pieces(pieces) => {
                let mut records = line.serve(&mut send).await;
                for piece in pieces {
                    let len = usize_of(dice.below(u64_of(CHUNK_SIZE) + 100));
                    match dice.below(5) {
                        0 => shout(records.send, &Header { kind: Kind::Gone, len: 0 }.encode()).await,
                        1 => shout(records.send, &noise(dice.roll(), 40)).await,
                        _ => {
                            let kind = if piece.tree { Kind::Tree } else { Kind::Raw };
                            records.sealed(kind, &piece.hash, piece.first, &noise(dice.roll(), len)).await;
                        }
                    }
                }
            }
            Request::Holding { .. } => {
                let bits = noise(dice.roll(), usize_of(dice.below(3000)));
                say(&mut send, &HoldingReply::Holds { bits, growing: dice.below(2) == 0 }).await;
            }
            _ => shout(&mut send, &noise(dice.roll(), 20)).await,
        }
        send.finish().ok();
    }

    /// One link from its greeting to its end.
    async fn live(self: Arc<Self>, line: Line, mut dice: Dice) {
        let greeting = self.hostile.greeting(Some(self.some_look(&mut dice).hash()));
        let greeted =
            async { if dice.below(8) == 0 { None } else { Some(line.greet_if_heard(greeting).await?) } };
        // Some links never greet.
        let Some((mut control, _heard)) = greeted.await else {
            tokio::time::timeout(Duration::from_secs(6), line.connection.closed()).await.ok();
            return;
        };
        let mut unread = Vec::new();
        loop {
            self.tally.deeds.fetch_add(1, Ordering::Relaxed);
            let request = tokio::time::timeout(Duration::from_millis(dice.below(30)), line.request()).await;
            let deed = async {
                match request {
                    Ok(Some((send, request))) => {
                        self.answer(&line, send, request, &mut dice).await;
                        true
                    }
                    Ok(None) => false,
                    Err(_) => self.act(&line, &mut control, &mut unread, &mut dice).await,
                }
            };
            // A link that the daemon no longer reads is done.
            if !tokio::time::timeout(Duration::from_secs(10), deed).await.unwrap_or(false) {
                return;
            }
        }
    }

    /// Links to the player, again and again, and all that the player dials.
    async fn haunt(self: Arc<Self>, addr: SocketAddr, peer: PeerId, seed: u64) {
        let mut lines = tokio::task::JoinSet::new();
        for n in 0.. {
            let evan = self.clone();
            let dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(n));
            if n % 3 == 0 {
                if let Ok(line) =
                    tokio::time::timeout(Duration::from_secs(1), self.hostile.accept_any()).await
                {
                    lines.spawn(evan.live(line, dice));
                }
            } else {
                match self.hostile.try_dial(addr, peer).await {
                    Some(line) => drop(lines.spawn(evan.live(line, dice))),
                    // Banned for a minute: the daemon refuses. Avoids a busy loop.
                    None => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
            while lines.len() >= LINES {
                if let Some(Err(error)) = lines.join_next().await {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
    }
}

fn near(bob: &Resident, evans: &[Arc<Evan>]) -> NearbySet {
    let names = evans.iter().map(|evan| evan.hostile.player.clone()).chain([bob.player.clone()]);
    let distance: Distance = 3.0.try_into().expect("a distance");
    let players = names.map(|player| NearPlayer { player, distance }).collect();
    NearbySet { players: Some(players), ..NearbySet::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_contact_gains_nothing() {
    let seconds = number("FYTECLUB_HOSTILE_SECONDS", 8);
    let seed = number(
        "FYTECLUB_HOSTILE_SEED",
        u64::from(Instant::now().elapsed().subsec_nanos()) ^ u64::from(std::process::id()),
    );
    println!("FYTECLUB_HOSTILE_SEED={seed} FYTECLUB_HOSTILE_SECONDS={seconds}");
    let town = Town::alone().await;
    let (mut alice, bob) = tokio::join!(town.resident("Alice Ashe@A"), town.resident("Bob Birch@B"));
    bob.befriend(&alice).await;
    // On Alice's disk, and not for Evan: an unpublished file of hers, and files from Bob.
    let secret = Mod::of_noise(town.path("secret"), 1, 3, 700_000).write();
    alice.publish(&secret.folder).await;
    let shared = Mod::of_noise(town.path("shared"), 2, 3, 50_000).write();
    alice.publish(&shared.folder).await;
    let bobs = Mod::of_noise(town.path("bobs"), 3, 4, 400_000).write();
    bob.publish(&bobs.folder).await;
    assert_same(&arrived(&alice.fetch(&bob.player).await), &bobs.content);
    let foreign = secret.content.values().chain(bobs.content.values());
    let foreign = foreign.map(|bytes| (BlobHash::of(bytes), u64_of(bytes.len()))).collect();

    let foreign: Vec<_> = foreign;
    let own: BTreeMap<_, _> =
        [("chara/own1.tex", noise(50, 3000)), ("chara/own2.tex", noise(51, 600_000))].into();
    let tally = Arc::<Tally>::default();
    let evans: Vec<Arc<Evan>> = (0..EVANS)
        .map(|n| {
            let hostile = Hostile::new(&format!("Evan Elm{}@E", char::from(b'a' + n)), 100 + n);
            let (foreign, own, tally) = (foreign.clone(), own.clone(), tally.clone());
            Arc::new(Evan { hostile, foreign, own, tally })
        })
        .collect();
    for evan in &evans {
        alice.takes_for_a_friend(&evan.hostile).await;
        evan.hostile.move_in(&town.phonebook.url()).await;
    }
    alice.client().nearby_set(near(&bob, &evans)).await.expect("set");
    let status = alice.client().status().await.expect("a status");
    let addr: SocketAddr = status.listen.parse().expect("an address");
    let (idle, mut most) = (alice.process().memory(), 0);

    let mut haunting = tokio::task::JoinSet::new();
    for (evan, n) in evans.iter().zip(0..) {
        haunting.spawn(evan.clone().haunt(addr, status.peer_id, seed.wrapping_add(n)));
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rounds = 0;
    let mut changes = tokio::time::interval(CHANGE);
    while Instant::now() < end || rounds == 0 {
        changes.tick().await;
        // An honest contact publishes new looks all the time, and is never refused.
        let look = Mod::of_noise(town.path(&format!("look{rounds}")), 100 + rounds, 2, 60_000).write();
        bob.publish(&look.folder).await;
        // A fetch that joins a running one may return the look before.
        eventually("an honest contact's newest look arrives", async || {
            let fetched = alice.try_fetch(&bob.player, None).await.expect("an honest contact's look arrives");
            (arrived(&fetched) == look.content).then_some(())
        })
        .await;
        most = most.max(alice.process().memory().unwrap_or(0));
        assert!(haunting.try_join_next().is_none(), "a hostile contact itself failed");
        rounds += 1;
    }
    let (deeds, leaked) = (tally.deeds.load(Ordering::Relaxed), tally.leaked.load(Ordering::Relaxed));
    println!(
        "{deeds} deeds, {rounds} looks of an honest contact, {leaked} bytes leaked, grew by {} KiB",
        most.saturating_sub(idle.unwrap_or(most)) >> 10
    );
    assert!(deeds > 10 * seconds, "they were hardly heard: {deeds}");
    assert_eq!(leaked, 0, "bytes of files that are not shared");
    if let Some(idle) = idle {
        assert!(most < idle + GROWTH_MAX, "grew from {} to {} KiB", idle >> 10, most >> 10);
    }
}
