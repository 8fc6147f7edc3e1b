//! A blob is its hash, its size and its origin: naming a blob in a look neither gets it lent nor reveals it, and a
//! wrong size costs only its signer.

use fyteclub_client::{BlobHash, Event};
use fyteclub_proto::{
    appearance::Look,
    blob::Content,
    bytes::Bytes,
    grant::Grant,
    limit::{CHUNK_SIZE, GRANT_SKEW},
    number::{millis, u64_of},
    peer::{
        GrantReply, HoldingReply, Piece, PiecesReply, PossessionReply, Request,
        record::{Header, Kind},
    },
    possession::{Challenge, Span},
};
use fyteclub_quic::tls;
use fyteclub_tests::{
    Resident, Town, eventually,
    hostile::{Hostile, Line, hear, look, say},
    mods::{Mod, arrived, noise},
    unix_millis, within,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};
use tokio::sync::watch;

const SMALL: usize = 5_000;
/// Three chunks.
const LARGE: usize = 600_000;

/// A peer that publishes a look, serves the blobs that it has, and records requests.
struct Owner {
    hostile: Hostile,
    look: Look,
    has: BTreeMap<BlobHash, Vec<u8>>,
    /// Requests for this blob are read, and not answered.
    mute: Option<BlobHash>,
    asked: watch::Sender<Vec<BlobHash>>,
    /// The end of its grants; the regular one if `None`.
    until: watch::Sender<Option<u64>>,
}

impl Owner {
    /// Has all blobs of the look.
    fn new(player: &str, seed: u8, files: &[(&str, &[u8])]) -> Self {
        let files: BTreeMap<&str, Vec<u8>> =
            files.iter().map(|(path, bytes)| (*path, bytes.to_vec())).collect();
        let has = files.values().map(|bytes| (BlobHash::of(bytes), bytes.clone())).collect();
        let (asked, until) = (watch::Sender::new(Vec::new()), watch::Sender::new(None));
        Self { hostile: Hostile::new(player, seed), look: look(&files), has, mute: None, asked, until }
    }

    /// Names these bytes as well, without having them.
    fn lacks(mut self, bytes: &[u8]) -> Self {
        self.has.remove(&BlobHash::of(bytes));
        self
    }

    fn says_size(mut self, bytes: &[u8], size: usize) -> Self {
        let files = self.look.objects.iter_mut().flat_map(|object| &mut object.files);
        files.filter(|file| file.hash == BlobHash::of(bytes)).for_each(|file| file.size = u64_of(size));
        self
    }

    fn mute_about(mut self, bytes: &[u8]) -> Self {
        self.mute = Some(BlobHash::of(bytes));
        self
    }

    fn asked_for(&self, bytes: &[u8]) -> usize {
        let hash = BlobHash::of(bytes);
        self.asked.borrow().iter().filter(|asked| **asked == hash).count()
    }

    /// Registers, becomes a contact of these, and serves every link.
    async fn moves_in(self, town: &Town, friends: &[&Resident]) -> Arc<Self> {
        for friend in friends {
            friend.takes_for_a_friend(&self.hostile).await;
        }
        self.hostile.move_in(&town.phonebook.url()).await;
        let owner = Arc::new(self);
        tokio::spawn(owner.clone().serve());
        owner
    }

    async fn serve(self: Arc<Self>) {
        loop {
            let line = Arc::new(self.hostile.accept().await);
            tokio::spawn(self.clone().converse(line));
        }
    }

    async fn converse(self: Arc<Self>, line: Arc<Line>) {
        let _control = line.greet(self.hostile.greeting(Some(self.look.hash()))).await;
        let mut unanswered = Vec::new();
        while let Some((mut send, request)) = line.request().await {
            match request {
                Request::Appearance => {
                    let document = self.hostile.signed_as(self.hostile.player.clone(), self.look.clone());
                    line.send_appearance_with(&mut send, &document, self.grant_on(&line)).await;
                }
                Request::Grant { .. } => {
                    say(&mut send, &GrantReply::Given(self.grant_on(&line))).await;
                }
                Request::Pieces(pieces) => {
                    let mute = pieces.iter().any(|piece| Some(piece.hash) == self.mute);
                    self.asked.send_modify(|asked| asked.extend(pieces.iter().map(|piece| piece.hash)));
                    if mute {
                        unanswered.push(send)
                    } else {
                        line.serve_well(&mut send, &pieces, &self.has).await
                    }
                }
                Request::Possession { nonce, span, blobs } => {
                    let asker = tls::peer_of(&line.connection).expect("a key");
                    let challenge = Challenge::new(&nonce, &asker, &self.hostile.peer_id(), span);
                    let proofs = blobs.iter().map(|content| self.proof(&challenge, content)).collect();
                    say(&mut send, &PossessionReply::Proofs(proofs)).await;
                }
                _ => say(&mut send, &HoldingReply::Nothing).await,
            }
        }
    }

    fn proof(&self, challenge: &Challenge, content: &Content) -> Option<Bytes<32>> {
        proof(challenge, content, self.has.get(&content.hash)?)
    }

    /// The owner's grant for the other end of this link.
    fn grant_on(&self, line: &Line) -> Grant {
        let to = tls::peer_of(&line.connection).expect("a key");
        match *self.until.borrow() {
            Some(until) => Grant::until(&self.hostile.key, to, self.look.hash(), until),
            None => line.grant(self.look.hash()),
        }
    }

    /// The owner's grant of this look for `to`.
    fn grant(&self, to: &Hostile) -> Grant {
        Grant::new(&self.hostile.key, to.peer_id(), self.look.hash(), unix_millis())
    }
}

fn proof(challenge: &Challenge, content: &Content, bytes: &[u8]) -> Option<Bytes<32>> {
    let mut proving = challenge.prove(content);
    for index in challenge.chunks(content) {
        proving.push(bytes.chunks(CHUNK_SIZE).nth(fyteclub_proto::number::index(index))?);
    }
    Some(proving.finish())
}

/// A contact of `resident` with a link to them.
struct Mate {
    hostile: Hostile,
    line: Line,
    _control: (quinn::SendStream, quinn::RecvStream),
}

impl Mate {
    async fn of(resident: &Resident, seed: u8) -> Self {
        let hostile = Hostile::new("Mate Mayhew@M", seed);
        resident.takes_for_a_friend(&hostile).await;
        let status = resident.client().status().await.expect("a status");
        let addr: SocketAddr = status.listen.parse().expect("an address");
        let line = hostile.dial(addr, status.peer_id).await;
        let control = line.greet(hostile.greeting(None)).await;
        Self { hostile, line, _control: control }
    }

    /// Whether bytes arrive when this is requested under the owner's grant.
    async fn is_lent(&self, owner: &Owner, bytes: &[u8]) -> bool {
        let piece = Piece { hash: BlobHash::of(bytes), tree: false, first: 0, count: 1 };
        let asked = Request::Granted { grant: owner.grant(&self.hostile), pieces: vec![piece] };
        let mut answer = self.line.ask(&asked).await.expect("a stream");
        assert!(matches!(hear(&mut answer).await, Some(PiecesReply::Serving { .. })));
        let bytes = within("an answer", answer.read_to_end(1 << 20)).await.expect("an end");
        bytes != Header { kind: Kind::Gone, len: 0 }.encode()
    }
}

/// Begins to fetch the owner's look; returns when the fetch has ended or the owner was asked for all of `lacking`.
async fn fetched_or_asked(resident: &Resident, owner: &Owner, lacking: &[&[u8]]) {
    let (client, player) = (resident.client().clone(), owner.hostile.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await.map(drop) });
    let mut asked = owner.asked.subscribe();
    let wanted: BTreeSet<BlobHash> = lacking.iter().map(|bytes| BlobHash::of(bytes)).collect();
    let all = asked.wait_for(|asked| wanted.iter().all(|hash| asked.contains(hash)));
    within("the fetch ends, or its owner is asked", async {
        tokio::select! {
            _ = fetch => {}
            all = all => drop(all.expect("the owner lives")),
        }
    })
    .await;
}

#[tokio::test]
async fn look_naming_foreign_hash_lends_nothing() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@B").await;
    let (small, large, trifle) = (noise(1, SMALL), noise(2, LARGE), noise(3, 100));
    let olga = Owner::new("Olga Owner@O", 210, &[("chara/a.tex", &small), ("chara/b.tex", &large)]);
    let olga = olga.moves_in(&town, &[&bob]).await;
    bob.fetch(&olga.hostile.player).await;
    let mate = Mate::of(&bob, 212).await;
    assert!(mate.is_lent(&olga, &small).await && mate.is_lent(&olga, &large).await, "hers is hers to lend");

    let files: [(&str, &[u8]); 3] =
        [("chara/a.tex", &small), ("chara/b.tex", &large), ("chara/c.tex", &trifle)];
    let eve = Owner::new("Eve Evans@E", 211, &files).lacks(&small).lacks(&large);
    let eve = eve.moves_in(&town, &[&bob]).await;
    fetched_or_asked(&bob, &eve, &[&small, &large]).await;
    eventually("what came of her is lent", async || mate.is_lent(&eve, &trifle).await.then_some(())).await;
    assert!(!mate.is_lent(&eve, &small).await, "she named it and never had it");
    assert!(!mate.is_lent(&eve, &large).await, "nor this one");
}

#[tokio::test]
async fn foreign_blob_is_asked_for_like_an_absent_one() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@B").await;
    let (small, large) = (noise(1, SMALL), noise(2, LARGE));
    let absent = (noise(4, SMALL), noise(5, LARGE));
    let own = Mod::new(town.path("own")).file("chara/own.tex", &noise(6, LARGE)).write();
    bob.publish(&own.folder).await;
    let olga = Owner::new("Olga Owner@O", 210, &[("chara/a.tex", &small), ("chara/b.tex", &large)]);
    let olga = olga.moves_in(&town, &[&bob]).await;
    bob.fetch(&olga.hostile.player).await;

    let own = own.content["chara/own.tex"].clone();
    let named: [&[u8]; 5] = [&small, &large, &absent.0, &absent.1, &own];
    let paths = ["chara/a.tex", "chara/b.tex", "chara/c.tex", "chara/d.tex", "chara/e.tex"];
    let files: Vec<(&str, &[u8])> = paths.into_iter().zip(named).collect();
    let eve = named.iter().fold(Owner::new("Eve Evans@E", 211, &files), |eve, bytes| eve.lacks(bytes));
    let eve = eve.moves_in(&town, &[&bob]).await;
    fetched_or_asked(&bob, &eve, &named).await;
    let asked: Vec<bool> = named.iter().map(|bytes| eve.asked_for(bytes) > 0).collect();
    assert_eq!(asked, [true; 5], "what is here cannot be told from what is not");
}

#[tokio::test]
async fn unpublished_own_file_is_never_lent() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@B").await;
    let former = Mod::of_noise(town.path("former"), 3, 1, SMALL).write();
    bob.publish(&former.folder).await;
    let current = Mod::of_noise(town.path("current"), 4, 1, SMALL).write();
    bob.publish(&current.folder).await;
    let former = former.content.values().next().expect("a file").clone();
    let current = current.content.values().next().expect("a file").clone();

    let trifle = noise(5, 100);
    let files: [(&str, &[u8]); 3] =
        [("chara/a.tex", &former), ("chara/b.tex", &current), ("chara/c.tex", &trifle)];
    let eve = Owner::new("Eve Evans@E", 211, &files).lacks(&former).lacks(&current);
    let eve = eve.moves_in(&town, &[&bob]).await;
    fetched_or_asked(&bob, &eve, &[&former, &current]).await;
    let mate = Mate::of(&bob, 212).await;
    eventually("what came of her is lent", async || mate.is_lent(&eve, &trifle).await.then_some(())).await;
    assert!(!mate.is_lent(&eve, &former).await, "it is published no more");
    assert!(!mate.is_lent(&eve, &current).await, "it is his to publish, and not hers to lend");
}

#[tokio::test]
async fn removed_owners_blob_is_not_lent() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@B").await;
    let (file, trifle) = (noise(1, SMALL), noise(3, 100));
    let olga = Owner::new("Olga Owner@O", 210, &[("chara/a.tex", &file)]).moves_in(&town, &[&bob]).await;
    bob.fetch(&olga.hostile.player).await;
    let mate = Mate::of(&bob, 212).await;
    assert!(mate.is_lent(&olga, &file).await);
    bob.client().contacts_remove(olga.hostile.player.clone()).await.expect("removed");
    eventually("the end of it", async || (!mate.is_lent(&olga, &file).await).then_some(())).await;

    // Nor under the grant of another owner who learned its hash from her.
    let files: [(&str, &[u8]); 2] = [("chara/a.tex", &file), ("chara/c.tex", &trifle)];
    let eve = Owner::new("Eve Evans@E", 211, &files).lacks(&file).moves_in(&town, &[&bob]).await;
    fetched_or_asked(&bob, &eve, &[&file]).await;
    eventually("what came of her is lent", async || mate.is_lent(&eve, &trifle).await.then_some(())).await;
    assert!(!mate.is_lent(&eve, &file).await, "it came of who is no contact any more");
}

#[tokio::test]
async fn wrong_size_bans_no_innocent_peer() {
    let town = Town::new().await;
    let (alice, bob) = tokio::join!(town.resident("Alice Ashe@A"), town.resident("Bob Birch@B"));
    alice.befriend(&bob).await;
    let (file, trifle) = (noise(1, SMALL), noise(3, 100));
    let olga = Owner::new("Olga Owner@O", 210, &[("chara/a.tex", &file)]).moves_in(&town, &[&bob]).await;
    bob.fetch(&olga.hostile.player).await;
    let his = Mod::of_noise(town.path("his"), 5, 1, 100).write();
    bob.publish(&his.folder).await;
    alice.fetch(&bob.player).await;

    let files: [(&str, &[u8]); 2] = [("chara/a.tex", &file), ("chara/c.tex", &trifle)];
    let eve = Owner::new("Eve Evans@E", 211, &files).lacks(&file).says_size(&file, SMALL - 1000);
    let eve = eve.moves_in(&town, &[&alice, &bob]).await;
    fetched_or_asked(&bob, &eve, &[&file]).await;
    let mut events = alice.client().watch().await.expect("events");
    let refused = alice.try_fetch(&eve.hostile.player, None).await;
    assert!(refused.is_err(), "nobody has a file of that length");
    // All events about him come before the fetch's end.
    alice.fetch(&bob.player).await;
    let bobs = bob.peer_id();
    within("the events so far", async {
        loop {
            match events.next().await.expect("open").expect("an event") {
                Event::PeerDisconnected { peer_id, cause, .. } if peer_id == bobs => {
                    panic!("he is innocent: {cause}")
                }
                Event::AppearanceReady { player, .. } if player == bob.player => return,
                _ => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn wrong_size_does_not_block_the_right_one() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@B").await;
    let file = noise(1, LARGE);
    let eve = Owner::new("Eve Evans@E", 211, &[("chara/a.tex", &file)]);
    let eve = eve.says_size(&file, LARGE + 300_000).mute_about(&file).moves_in(&town, &[&bob]).await;
    fetched_or_asked(&bob, &eve, &[&file]).await;
    assert!(eve.asked_for(&file) > 0, "hers is being fetched");
    let bert = Owner::new("Bert Bell@B", 210, &[("chara/a.tex", &file)]).moves_in(&town, &[&bob]).await;
    let fetched = bob.fetch(&bert.hostile.player).await;
    assert_eq!(arrived(&fetched)["chara/a.tex"], file);
}

#[tokio::test]
async fn proven_blob_is_lent_and_travels_once() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@B").await;
    let (small, large) = (noise(1, SMALL), noise(2, LARGE));
    let files: [(&str, &[u8]); 2] = [("chara/a.tex", &small), ("chara/b.tex", &large)];
    let olga = Owner::new("Olga Owner@O", 210, &files).moves_in(&town, &[&bob]).await;
    bob.fetch(&olga.hostile.player).await;
    // The same files at other game paths: another look.
    let files: [(&str, &[u8]); 2] = [("chara/c.tex", &small), ("chara/d.tex", &large)];
    let pia = Owner::new("Pia Porter@P", 211, &files).moves_in(&town, &[&bob]).await;
    let fetched = bob.fetch(&pia.hostile.player).await;
    assert_eq!(arrived(&fetched)["chara/d.tex"], large);
    assert_eq!((pia.asked_for(&small), pia.asked_for(&large)), (1, 0), "what is large is proven");
    let mate = Mate::of(&bob, 212).await;
    assert!(mate.is_lent(&pia, &small).await, "it came of her as well");
    eventually("the whole is proven", async || mate.is_lent(&pia, &large).await.then_some(())).await;
    // Blobs of a look that came from its owner are not requested again.
    bob.fetch(&pia.hostile.player).await;
    assert_eq!((pia.asked_for(&small), pia.asked_for(&large)), (1, 0));
}

#[tokio::test]
async fn only_published_looks_are_proven_and_granted() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@B").await;
    let former = Mod::of_noise(town.path("former"), 3, 1, LARGE).write();
    bob.publish(&former.folder).await;
    let current = Mod::of_noise(town.path("current"), 4, 1, LARGE).write();
    let look = bob.publish(&current.folder).await.appearance;
    let foreign = noise(1, LARGE);
    let olga = Owner::new("Olga Owner@O", 210, &[("chara/a.tex", &foreign)]).moves_in(&town, &[&bob]).await;
    bob.fetch(&olga.hostile.player).await;
    let mate = Mate::of(&bob, 212).await;

    let only = |content: &BTreeMap<String, Vec<u8>>| content.values().next().expect("a file").clone();
    let (former, current) = (only(&former.content), only(&current.content));
    let mut blobs: Vec<Content> = [&former, &current, &foreign].map(|bytes| Content::of(bytes)).to_vec();
    blobs.push(Content { size: 5, ..blobs[1] });
    for span in [Span::Sample, Span::Whole] {
        let nonce = Bytes([9; 32]);
        let asked = Request::Possession { nonce, span, blobs: blobs.clone() };
        let mut answer = mate.line.ask(&asked).await.expect("a stream");
        let challenge = Challenge::new(&nonce, &mate.hostile.peer_id(), &bob.peer_id(), span);
        let right = proof(&challenge, &blobs[1], &current);
        assert!(right.is_some());
        let proofs = PossessionReply::Proofs(vec![None, right, None, None]);
        assert_eq!(hear(&mut answer).await, Some(proofs));
    }
    let granted = async |look| {
        let mut answer = mate.line.ask(&Request::Grant { look }).await.expect("a stream");
        hear::<GrantReply>(&mut answer).await.expect("an answer")
    };
    let GrantReply::Given(grant) = granted(look).await else { panic!("it is published") };
    assert_eq!((grant.owner, grant.look), (bob.peer_id(), look));
    assert_eq!(grant.holds_for(&mate.hostile.peer_id(), unix_millis()), Ok(()));
    assert_eq!(granted(olga.look.hash()).await, GrantReply::Nothing, "it is not his to grant");
}

#[tokio::test]
async fn lender_renews_its_grant_and_lends_while_it_lasts() {
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@B").await;
    let file = noise(1, SMALL);
    let olga = Owner::new("Olga Owner@O", 210, &[("chara/a.tex", &file)]).moves_in(&town, &[&bob]).await;
    // His grants end in a few seconds.
    let soon = unix_millis() + 4_000 - millis(GRANT_SKEW);
    olga.until.send_replace(Some(soon));
    bob.fetch(&olga.hostile.player).await;
    let mate = Mate::of(&bob, 212).await;
    assert!(mate.is_lent(&olga, &file).await, "it lasts, and so does the mate's");
    eventually("it ends", async || (!mate.is_lent(&olga, &file).await).then_some(())).await;
    // From now on his grants are renewed, while they are contacts.
    olga.until.send_replace(None);
    eventually("he has the next one", async || mate.is_lent(&olga, &file).await.then_some(())).await;
}

/// Two contacts have the same files: of the second look only the small ones are sent, and the rest is proven.
#[tokio::test]
async fn second_look_of_the_same_files_costs_its_small_ones() {
    let town = Town::new().await;
    let (alice, bob, carol) = tokio::join!(
        town.resident("Alice Ashe@A"),
        town.resident("Bob Birch@B"),
        town.resident("Carol Cole@C")
    );
    alice.befriend(&bob).await;
    carol.befriend(&bob).await;
    // A typical look: most bytes in few textures, most files small.
    let sizes = [(6, 4_000_000), (14, 600_000), (30, 60_000), (60, 8_000)];
    let sizes = sizes.into_iter().flat_map(|(count, len)| std::iter::repeat_n(len, count));
    let wear = |name: &str| {
        let files = sizes.clone().enumerate().fold(Mod::new(town.path(name)), |worn, (n, len)| {
            worn.file(&format!("chara/{name}/{n}.tex"), &noise(u64_of(n), len))
        });
        files.write()
    };
    alice.publish(&wear("one").folder).await;
    let other = wear("two");
    carol.publish(&other.folder).await;
    let first = bob.fetch(&alice.player).await;
    let second = bob.fetch(&carol.player).await;
    assert_eq!(arrived(&second), other.content);
    assert_eq!(first.bytes_fetched, first.bytes_total);
    let small: usize = sizes.filter(|len| *len <= CHUNK_SIZE).sum();
    println!(
        "{} of {} bytes; {:.3} s after {:.3} s",
        second.bytes_fetched, second.bytes_total, second.seconds, first.seconds
    );
    assert_eq!(second.bytes_fetched, u64_of(small));
}
