//! A peer that lies in every way that the protocol allows: the daemon reports what was wrong, stores nothing of it, and
//! goes on.

use futures::future::join_all;
use fyteclub_client::{BlobHash, FaultCode};
use fyteclub_proto::{
    chunk_tree::chunk_count,
    limit,
    number::{index, u32_of, u64_of},
    peer::{
        Control, GrantReply, HelloAck, HoldingReply, Piece, PiecesReply, PossessionReply, Request,
        record::{Header, Kind},
    },
};
use fyteclub_tests::{
    Resident, TIMEOUT, Town, fault,
    hostile::{Hostile, Line, hear, list, look, say, shout},
    mods::{Mod, arrived, assert_same, noise},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

/// A look may make the daemon this much larger, and no lie more.
const GROWTH_MAX: u64 = 48 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// None: shows that the liar can be honest.
    Truth,
    // On the control stream.
    Version,
    Garbage,
    HugeFrame,
    Silence,
    AckTwice,
    HangUp,
    // About the look.
    Parent,
    Drive,
    Foreign,
    OtherName,
    Unsealed,
    HugeAppearance,
    HugeAppearanceFrame,
    DripAppearance,
    // About the bytes.
    WrongBytes,
    WrongList,
    WrongLargeBytes,
    UnsealedBytes,
    Swapped,
    HugeRecord,
    UnknownRecord,
    ShortAnswer,
    ForeignEpoch,
    Bomb,
    NotShared,
    Drip,
}

/// The fault that the fetching daemon's client gets.
const LIES: &[(Lie, Option<FaultCode>)] = {
    use FaultCode::{HashMismatch, PeerMisbehaved, PeerRefused, PeerUnreachable};
    use Lie::*;
    &[
        (Truth, None),
        (Version, Some(PeerUnreachable)),
        (Garbage, Some(PeerUnreachable)),
        (HugeFrame, Some(PeerUnreachable)),
        (Silence, Some(PeerUnreachable)),
        (AckTwice, Some(PeerUnreachable)),
        (HangUp, Some(PeerUnreachable)),
        (Parent, Some(PeerMisbehaved)),
        (Drive, Some(PeerMisbehaved)),
        (Foreign, Some(PeerMisbehaved)),
        (OtherName, Some(PeerRefused)),
        (Unsealed, Some(PeerMisbehaved)),
        (HugeAppearance, Some(PeerMisbehaved)),
        (HugeAppearanceFrame, Some(PeerMisbehaved)),
        (DripAppearance, Some(PeerUnreachable)),
        (WrongBytes, Some(HashMismatch)),
        (WrongList, Some(HashMismatch)),
        (WrongLargeBytes, Some(HashMismatch)),
        (UnsealedBytes, Some(HashMismatch)),
        (Swapped, Some(HashMismatch)),
        (HugeRecord, Some(PeerMisbehaved)),
        (UnknownRecord, Some(PeerMisbehaved)),
        (ShortAnswer, Some(PeerUnreachable)),
        (ForeignEpoch, Some(PeerMisbehaved)),
        (Bomb, Some(HashMismatch)),
        (NotShared, Some(PeerRefused)),
        // Its list is complete after 34 s, and wrong: that is told before the next record comes.
        (Drip, Some(HashMismatch)),
    ]
};

const SMALL: usize = 5_000;
const LARGE: usize = 600_000;

/// A peer that lies to every link.
struct Liar {
    hostile: Hostile,
    lie: Lie,
    files: BTreeMap<&'static str, Vec<u8>>,
    /// The validly signed look of an honest player.
    foreign: Vec<u8>,
}

impl Liar {
    fn new(lie: Lie, seed: u8, foreign: Vec<u8>) -> Self {
        let files = BTreeMap::from([
            ("chara/a.tex", noise(u64::from(seed) << 8, SMALL)),
            ("chara/b.tex", noise(u64::from(seed) << 8 | 1, SMALL)),
            ("chara/large.tex", noise(u64::from(seed) << 8 | 2, LARGE)),
        ]);
        Self { hostile: Hostile::new(&format!("{lie:?} Liar@Nowhere"), seed), lie, files, foreign }
    }

    fn document(&self) -> Vec<u8> {
        let hostile = &self.hostile;
        match self.lie {
            Lie::Parent => {
                hostile.signed_with_words_replaced(look(&self.files), "chara/a.tex", "../ra/a.tex")
            }
            Lie::Drive => hostile.signed_with_words_replaced(look(&self.files), "chara/a.tex", "c:/ra/a.tex"),
            Lie::Foreign => self.foreign.clone(),
            Lie::OtherName => {
                hostile.signed_as("Alice Ashe@Gilgamesh".parse().expect("a name"), look(&self.files))
            }
            _ => hostile.signed(&self.files),
        }
    }

    async fn lie_to_everybody(self) {
        let liar = Arc::new(self);
        loop {
            let line = liar.hostile.accept().await;
            tokio::spawn(liar.clone().lie_to(line));
        }
    }

    async fn lie_to(self: Arc<Self>, line: Line) {
        let (mut send, mut recv) = line.control().await;
        let Some(Control::Hello(_)) = hear(&mut recv).await else { return };
        let greeting = self.hostile.greeting(None);
        let ack = |version| Control::HelloAck(HelloAck { version, greeting: greeting.clone() });
        match self.lie {
            Lie::Version => say(&mut send, &ack(9)).await,
            Lie::Garbage => shout(&mut send, &[&[20, 0, 0, 0][..], &noise(1, 20)].concat()).await,
            Lie::HugeFrame => shout(&mut send, &[0xff; 64]).await,
            Lie::Silence => {}
            Lie::AckTwice => {
                say(&mut send, &ack(1)).await;
                say(&mut send, &ack(1)).await;
            }
            Lie::HangUp => {
                say(&mut send, &ack(1)).await;
                // As soon as the other side believes it is connected.
                line.request().await;
                line.connection.close(0u32.into(), b"");
            }
            _ => say(&mut send, &ack(1)).await,
        }
        let line = Arc::new(line);
        while let Some((send, request)) = line.request().await {
            tokio::spawn(self.clone().answer(line.clone(), send, request));
        }
    }

    async fn answer(self: Arc<Self>, line: Arc<Line>, mut send: quinn::SendStream, request: Request) {
        match request {
            Request::Appearance => self.answer_appearance(&line, &mut send).await,
            Request::Pieces(pieces) | Request::Granted { pieces, .. } => {
                self.answer_pieces(&line, &mut send, &pieces).await
            }
            Request::Holding { .. } => say(&mut send, &HoldingReply::Nothing).await,
            Request::Possession { .. } => say(&mut send, &PossessionReply::Nothing).await,
            Request::Grant { .. } => say(&mut send, &GrantReply::Nothing).await,
        }
    }

    async fn answer_appearance(&self, line: &Line, send: &mut quinn::SendStream) {
        use fyteclub_proto::peer::AppearanceReply::Document;
        let grant = line.grant(BlobHash::of(b"none"));
        match self.lie {
            Lie::HugeAppearance => {
                say(send, &Document { epoch: 0, len: u32::MAX, grant }).await;
                shout(send, &noise(1, 100_000)).await;
            }
            Lie::HugeAppearanceFrame => shout(send, &[0xff; 4]).await,
            Lie::Unsealed => {
                say(send, &Document { epoch: 0, len: 1000, grant }).await;
                shout(send, &noise(1, 1016)).await;
            }
            Lie::DripAppearance => {
                say(send, &Document { epoch: 0, len: u32_of(limit::APPEARANCE_BYTES_MAX), grant }).await;
                drip(send).await;
            }
            _ => line.send_appearance(send, &self.document()).await,
        }
        send.finish().ok();
    }

    async fn answer_pieces(&self, line: &Line, send: &mut quinn::SendStream, pieces: &[Piece]) {
        let blobs: BTreeMap<BlobHash, Vec<u8>> =
            self.files.values().map(|bytes| (BlobHash::of(bytes), bytes.clone())).collect();
        let is_small = |piece: &Piece| blobs[&piece.hash].len() == SMALL;
        let raw = |len| Header { kind: Kind::Raw, len }.encode();
        match self.lie {
            Lie::NotShared => say(send, &PiecesReply::NotShared).await,
            Lie::ForeignEpoch => say(send, &PiecesReply::Serving { epoch: 77 }).await,
            Lie::WrongBytes | Lie::Swapped | Lie::WrongLargeBytes | Lie::WrongList | Lie::Bomb => {
                let small: Vec<Piece> = pieces.iter().copied().filter(is_small).rev().collect();
                let mut swapped = small.into_iter();
                let mut records = line.serve(send).await;
                for piece in pieces {
                    let bytes = &blobs[&piece.hash];
                    if is_small(piece) {
                        let other = swapped.next().expect("as many");
                        match self.lie {
                            Lie::WrongBytes => {
                                records.sealed(Kind::Raw, &piece.hash, 0, &noise(99, SMALL)).await;
                            }
                            // Right bytes, sealed for their own place, at another's.
                            Lie::Swapped => {
                                records.sealed(Kind::Raw, &other.hash, 0, &blobs[&other.hash]).await;
                            }
                            Lie::Bomb => {
                                records.sealed(Kind::Zstd, &piece.hash, 0, &zeros_by_zstd()).await;
                            }
                            _ => records.sealed(Kind::Raw, &piece.hash, 0, bytes).await,
                        }
                        continue;
                    }
                    if piece.tree {
                        let right = list(bytes);
                        let wrong = noise(5, 32 * index(chunk_count(u64_of(LARGE))));
                        let list = if self.lie == Lie::WrongList { &wrong } else { &right };
                        records.sealed(Kind::Tree, &piece.hash, 0, list).await;
                    }
                    for index in piece.first..piece.first + piece.count {
                        let right = bytes
                            .chunks(256 * 1024)
                            .nth(fyteclub_proto::number::index(index))
                            .expect("a chunk");
                        let wrong = noise(6, right.len());
                        let lies = self.lie == Lie::WrongLargeBytes && index > 0;
                        let chunk = if lies { &wrong } else { right };
                        records.sealed(Kind::Raw, &piece.hash, index, chunk).await;
                    }
                }
            }
            Lie::UnsealedBytes => {
                say(send, &PiecesReply::Serving { epoch: 0 }).await;
                for piece in pieces {
                    let list = piece.tree.then_some((Kind::Tree, 32 * index(chunk_count(u64_of(LARGE)))));
                    let chunks = blobs[&piece.hash].chunks(256 * 1024).map(|chunk| (Kind::Raw, chunk.len()));
                    let chunks = chunks.skip(index(piece.first)).take(index(piece.count));
                    for (kind, len) in list.into_iter().chain(chunks) {
                        shout(send, &Header { kind, len: u32_of(len) }.encode()).await;
                        shout(send, &noise(3, len + 16)).await;
                    }
                }
            }
            Lie::HugeRecord => {
                say(send, &PiecesReply::Serving { epoch: 0 }).await;
                shout(send, &raw(u32::MAX)).await;
                shout(send, &noise(1, 100_000)).await;
            }
            Lie::UnknownRecord => {
                say(send, &PiecesReply::Serving { epoch: 0 }).await;
                shout(send, &[9, 0, 0, 0, 1, 0, 0, 0]).await;
            }
            Lie::ShortAnswer => say(send, &PiecesReply::Serving { epoch: 0 }).await,
            Lie::Drip => {
                say(send, &PiecesReply::Serving { epoch: 0 }).await;
                // The expected record: a file, or a list.
                let list = Header { kind: Kind::Tree, len: 32 * chunk_count(u64_of(LARGE)) }.encode();
                shout(send, &if is_small(&pieces[0]) { raw(u32_of(SMALL)) } else { list }).await;
                drip(send).await;
            }
            _ => line.serve_well(send, pieces, &blobs).await,
        }
        send.finish().ok();
    }
}

/// A byte now and then, for as long as the receiver waits.
async fn drip(send: &mut quinn::SendStream) {
    while send.write_all(&[0]).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// 128 MiB of zeros in a few bytes: a frame of zstd that repeats one byte, block by block.
fn zeros_by_zstd() -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for block in 0..1024u32 {
        let header = (128 << 10) << 3 | 1 << 1 | u32::from(block == 1023);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// An honest player, her look, and her document as contacts get it.
async fn honest(town: &Town) -> (Resident, fyteclub_tests::mods::Written, Vec<u8>) {
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let look = Mod::of_noise(town.path("mod"), 1, 5, 300_000).write();
    alice.publish(&look.folder).await;
    let thief = Hostile::new("Theo Thief@Nowhere", 250);
    alice.takes_for_a_friend(&thief).await;
    let line = dial(&thief, &alice).await;
    let _control = line.greet(thief.greeting(None)).await;
    let document = line.appearance().await.expect("her look");
    (alice, look, document)
}

async fn dial(hostile: &Hostile, resident: &Resident) -> Line {
    let status = resident.client().status().await.expect("a status");
    let addr: SocketAddr = status.listen.parse().expect("an address");
    hostile.dial(addr, status.peer_id).await
}

#[tokio::test]
async fn no_lie_is_believed() {
    let town = Town::new().await;
    let (alice, look, foreign) = honest(&town).await;
    let mut bob = town.resident("Bob Birch@Balmung").await;
    bob.befriend(&alice).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    let before = bob.client().cache_stats().await.expect("stats");
    let small = bob.process().memory();

    let seed = AtomicU8::new(1);
    let (bob_, town, foreign, seed) = (&bob, &town, &foreign, &seed);
    let heard = join_all(LIES.iter().map(async |(lie, expected)| {
        let liar = Liar::new(*lie, seed.fetch_add(1, Ordering::Relaxed), foreign.clone());
        bob_.takes_for_a_friend(&liar.hostile).await;
        liar.hostile.move_in(&town.phonebook.url()).await;
        let (player, files) = (liar.hostile.player.clone(), liar.files.clone());
        let lying = tokio::spawn(liar.lie_to_everybody());
        let result = bob_.try_fetch(&player, None).await;
        lying.abort();
        match (expected, result) {
            (None, Ok(fetched)) => {
                let files = files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect();
                assert_same(&arrived(&fetched), &files);
                None
            }
            (Some(code), Err(error)) => {
                let fault = fault(Err::<(), _>(error));
                (fault.code != *code).then(|| format!("{lie:?}: {fault:?}"))
            }
            (_, result) => Some(format!("{lie:?}: {result:?}")),
        }
    }))
    .await;
    let wrong: Vec<String> = heard.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // The cache has the honest looks, and the liars' right bytes.
    let verified = bob.client().cache_verify().await.expect("verified");
    assert!(verified.bad.is_empty(), "{verified:?}");
    let after = bob.client().cache_stats().await.expect("stats");
    let truth = u64_of(2 * SMALL + LARGE);
    assert!(after.bytes <= before.bytes + truth * u64_of(LIES.len()), "{before:?} {after:?}");
    if let (Some(small), Some(large)) = (small, bob.process().memory()) {
        assert!(large < small + GROWTH_MAX, "grew from {small} to {large} bytes");
    }
    assert_eq!(bob.fetch(&alice.player).await.bytes_fetched, 0);
    let carol = town.resident("Carol Cole@Gilgamesh").await;
    carol.befriend(&bob).await;
    carol.publish(&look.folder).await;
    bob.fetch(&carol.player).await;
}

#[tokio::test]
async fn oversized_request_is_refused() {
    let town = Town::new().await;
    let (mut alice, look, _) = honest(&town).await;
    // Something in her cache that she does not publish.
    let carol = town.resident("Carol Cole@Gilgamesh").await;
    carol.befriend(&alice).await;
    let secret = Mod::new(town.path("secret")).file("chara/secret.tex", b"secret").write();
    carol.publish(&secret.folder).await;
    alice.fetch(&carol.player).await;
    let small = alice.process().memory();

    let piece = |hash| Piece { hash, tree: false, first: 0, count: 1 };
    let mallory = Hostile::new("Mal Lory@Nowhere", 201);
    alice.takes_for_a_friend(&mallory).await;
    let line = dial(&mallory, &alice).await;
    let _control = line.greet(mallory.greeting(None)).await;
    for hash in [BlobHash::of(b"secret"), BlobHash::of(b"nothing that anybody has")] {
        let mut answer = line.ask(&Request::Pieces(vec![piece(hash)])).await.expect("a stream");
        assert!(matches!(hear(&mut answer).await, Some(PiecesReply::Serving { .. })));
        let rest = answer.read_to_end(1000).await.expect("an end");
        assert_eq!(rest, Header { kind: Kind::Gone, len: 0 }.encode(), "the two cannot be told apart");
    }
    // Behind a blob's end.
    let published = BlobHash::of(look.content.values().next().expect("a file"));
    let far = Piece { first: 1000, ..piece(published) };
    let mut answer = line.ask(&Request::Pieces(vec![far])).await.expect("a stream");
    assert!(matches!(hear(&mut answer).await, Some(PiecesReply::Serving { .. })));
    assert_eq!(answer.read_to_end(1000).await.expect("an end").len(), 8, "a header and nothing");

    // Silent streams: as many as are allowed.
    let mut open = Vec::new();
    let flood = async {
        while open.len() < 1000 {
            let (mut send, recv) = line.connection.open_bi().await.expect("a stream");
            shout(&mut send, &[1]).await;
            open.push((send, recv));
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(2), flood).await.is_err());
    assert!(open.len() <= 20, "{} streams", open.len());

    // Before a greeting nothing is served, and invalid messages end the link.
    let rude = Hostile::new("Ru De@Nowhere", 202);
    alice.takes_for_a_friend(&rude).await;
    let line = dial(&rude, &alice).await;
    let mut answer = line.ask(&Request::Appearance).await.expect("a stream");
    assert_eq!(closed(&line, &mut answer).await, Some(1), "a request on the control stream");
    for (seed, pieces) in [
        (203, vec![]),
        (204, vec![Piece { count: 0, ..piece(published) }]),
        (205, vec![Piece { count: u32::MAX, ..piece(published) }]),
        (206, vec![Piece { first: u32::MAX, ..piece(published) }]),
        (207, vec![piece(published); 1000]),
    ] {
        let greedy = Hostile::new(&format!("Gree{seed} Dy@Nowhere"), seed);
        alice.takes_for_a_friend(&greedy).await;
        let line = dial(&greedy, &alice).await;
        let _control = line.greet(greedy.greeting(None)).await;
        let mut answer = line.ask(&Request::Pieces(pieces)).await.expect("a stream");
        assert_eq!(closed(&line, &mut answer).await, Some(1), "seed {seed}");
    }

    let bob = town.resident("Bob Birch@Balmung").await;
    bob.befriend(&alice).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    if let (Some(small), Some(large)) = (small, alice.process().memory()) {
        assert!(large < small + GROWTH_MAX, "grew from {small} to {large} bytes");
    }
}

/// The other side's close code.
async fn closed(line: &Line, answer: &mut quinn::RecvStream) -> Option<u64> {
    answer.read_to_end(1000).await.ok();
    match tokio::time::timeout(TIMEOUT, line.connection.closed()).await.ok()? {
        quinn::ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_registration_counts_once() {
    let town = Town::new().await;
    let url = town.phonebook.url();
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mallory = Hostile::new("Mal Lory@Nowhere", 201);
    let registration = mallory.registration(&url);
    mallory.register(&url, &registration).await.expect("the first time");
    let replayed = mallory.register(&url, &registration).await;
    assert!(replayed.is_err(), "a replay is refused");
    // Another name under the same signature, and another's name.
    let mut renamed = mallory.registration(&url);
    renamed.player_name = "Ma Lory@Nowhere".into();
    assert!(mallory.register(&url, &renamed).await.is_err(), "the name is part of what is signed");
    let impostor = Hostile::new(alice.player.as_str(), 202);
    assert!(impostor.register(&url, &impostor.registration(&url)).await.is_err(), "the name is hers");
}
