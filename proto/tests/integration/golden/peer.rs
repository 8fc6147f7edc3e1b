//! peer_v1: every frame, record header and sealed value between daemons.

use super::{Example, Reader, check, unhex};
use ed25519_dalek::SigningKey;
use fyteclub_proto::{
    appearance::{Appearance, FileEntry, Look, ObjectKind, ObjectLook, SignedAppearance, Swap},
    blob::Content,
    bytes::Bytes,
    chunk_tree::{ChunkTree, TreeBuilder},
    codec,
    grant::{Grant, holding_tag},
    id::{BlobHash, PeerId},
    limit::CHUNK_SIZE,
    number::{index, u32_of, u64_of},
    peer::{
        AppearanceReply, Control, GrantReply, Greeting, Hello, HelloAck, HoldingReply, Message, Piece,
        PiecesReply, PossessionReply, Request,
        record::{self, HEADER, Header, Kind},
    },
    possession::{Challenge, Span},
    reaching::{
        candidate::{Candidate, Candidates, Origin},
        nat::Nat,
        wire::offer::Offer,
    },
    seal::{End, LinkSecret, NonceCounter},
};
use serde::Serialize;
use std::fmt::Debug;

fn frame<T: Message + Serialize + PartialEq + Debug + 'static>(name: &str, value: T) -> Example {
    let bytes = codec::encode(&value);
    Example::hex(name, value, &bytes, T::decode)
}

fn greeting() -> Greeting {
    Greeting {
        agent: "fyteclubd 0.1.0".into(),
        player: Some("Alice Ashe@Gilgamesh".parse().expect("a name")),
        capabilities: 0,
        published: Some(BlobHash::of(b"look")),
        instance: 0x0123_4567_89ab_cdef,
    }
}

/// A candidate, a secret, a kind of NAT and a round.
fn offer() -> Vec<u8> {
    let addr = "203.0.113.9:7777".parse().expect("an address");
    let candidates = Candidates(vec![Candidate { origin: Origin::Mapped, addr }]);
    Offer { secret: Some(Bytes([6; 32])), nat: Nat::Same, round: 3, leaves: 1, candidates }.encode()
}

fn header(name: &str, kind: Kind, len: u32) -> Example {
    let header = Header { kind, len };
    Example::hex(name, header, &header.encode(), read_header)
}

fn read_header(bytes: &[u8]) -> Result<Header, String> {
    let bytes = <[u8; HEADER]>::try_from(bytes).map_err(|error| error.to_string())?;
    Header::decode(bytes).map_err(|error| error.to_string())
}

fn owner() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn open(bytes: &[u8]) -> Result<Appearance, String> {
    let owner = PeerId::from_bytes(owner().verifying_key().to_bytes());
    SignedAppearance::open(bytes, &owner).map_err(|error| error.to_string())
}

fn path(path: &str) -> fyteclub_proto::game_path::GamePath {
    path.parse().expect("a game path")
}

/// Every part of a look, once.
fn appearance() -> Appearance {
    let file = |paths: &[&str], bytes: &[u8]| FileEntry {
        game_paths: paths.iter().map(|text| path(text)).collect(),
        hash: BlobHash::of(bytes),
        size: u64_of(bytes.len()),
    };
    let player = ObjectLook {
        kind: ObjectKind::Player,
        files: vec![
            file(&["chara/human/c0101/obj/hair/h0001/model/c0101h0001_hir.mdl"], b"hair"),
            file(&["chara/équipement/e0001/texture/v01_c0101e0001_top_d.tex", "chara/b.tex"], b"top"),
        ],
        swaps: vec![Swap { game_paths: vec![path("chara/a.mtrl")], to: path("chara/b.mtrl") }],
        glamourer: Some("glamourer".into()),
        customize_plus: Some("customize+".into()),
    };
    let minion = ObjectLook {
        kind: ObjectKind::MinionOrMount,
        files: vec![file(&["chara/demihuman/d0001/animation/a.pap"], b"")],
        swaps: vec![],
        glamourer: None,
        customize_plus: None,
    };
    let mut look = Look {
        objects: vec![player, minion],
        meta: Some("meta".into()),
        heels: Some("heels".into()),
        honorific: Some("honorific".into()),
        moodles: Some("moodles".into()),
        pet_names: Some("pet names".into()),
        ext: [("plugin".to_owned(), "value".to_owned())].into(),
    };
    look.normalise();
    Appearance { v: 1, seq: 3, player: "Y'shtola Rhul@Omega".parse().expect("a name"), look }
}

fn big_tree() -> ChunkTree {
    let mut builder = TreeBuilder::default();
    builder.push(&vec![1; CHUNK_SIZE]);
    builder.push(&vec![2; CHUNK_SIZE]);
    builder.push(b"end");
    builder.finish()
}

/// The second record of stream 4 from the dialler in epoch 1, at the place of a chunk.
fn sealed() -> Vec<u8> {
    let mut nonces = NonceCounter::new(4);
    nonces.advance();
    let nonce = nonces.advance().expect("the second of many");
    let mut buffer = b"a chunk's bytes".to_vec();
    let place = record::place(Kind::Raw, &BlobHash::of(b"blob"), 2);
    LinkSecret::new([5; 32], End::Dialer).sealing(1).bulk().seal(nonce, &place, &mut buffer);
    buffer
}

fn unseal(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut nonces = NonceCounter::new(4);
    nonces.advance();
    let nonce = nonces.advance().expect("the second of many");
    let mut buffer = bytes.to_vec();
    let place = record::place(Kind::Raw, &BlobHash::of(b"blob"), 2);
    let key = LinkSecret::new([5; 32], End::Acceptor).opening(1);
    key.small().open(nonce, &place, &mut buffer).map_err(|error| error.to_string())?;
    Ok(buffer)
}

/// The proof of key 2's owner for key 1's, of three chunks of which the last is short.
fn proof(name: &str, span: Span) -> Example {
    let bytes = [vec![1; CHUNK_SIZE], vec![2; CHUNK_SIZE], b"end".to_vec()].concat();
    let content = Content::of(&bytes);
    let (asker, asked) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
    let challenge = Challenge::new(&Bytes([3; 32]), &asker, &asked, span);
    let mut proving = challenge.prove(&content);
    for chunk in challenge.chunks(&content) {
        proving.push(bytes.chunks(CHUNK_SIZE).nth(index(chunk)).expect("a chunk"));
    }
    let proof = proving.finish();
    Example::hex(name, proof, &proof.0, |bytes| bytes.try_into().map(Bytes))
}

fn decodes<T: Message>(text: &str) -> Result<(), String> {
    T::decode(&unhex(text)).map(drop).map_err(|error| error.to_string())
}

#[test]
fn peer_messages_equal_the_goldens() {
    let hello = Hello { versions: vec![1], greeting: greeting() };
    let ack = HelloAck { version: 1, greeting: Greeting { player: None, published: None, ..greeting() } };
    let piece = Piece { hash: BlobHash::of(b"blob"), tree: true, first: 0, count: 3 };
    let to = PeerId::from_bytes([9; 32]);
    let grant = Grant::new(&owner(), to, BlobHash::of(b"look"), 1_800_000_000_000);
    let content = Content { hash: BlobHash::of(b"blob"), size: 600_000 };
    let tag = holding_tag(&grant.owner, &grant.look, &to);
    let appearance = appearance();
    let signed = SignedAppearance::sign(&appearance, &owner()).to_bytes();
    let tree = big_tree();
    let (hash, size, list) = (tree.hash(), tree.size(), tree.list().to_vec());
    let examples = vec![
        frame("control_hello", Control::Hello(hello)),
        frame("control_hello_ack", Control::HelloAck(ack)),
        frame("control_published", Control::Published(Some(BlobHash::of(b"look")))),
        frame("control_published_none", Control::Published(None)),
        frame("control_offer", Control::Offer { attempt: Bytes([5; 16]), offer: offer() }),
        frame("request_appearance", Request::Appearance),
        frame(
            "request_pieces",
            Request::Pieces(vec![piece, Piece { tree: false, first: 1000, count: 1, ..piece }]),
        ),
        frame("request_holding", Request::Holding { tag }),
        frame("request_granted", Request::Granted { grant: grant.clone(), pieces: vec![piece] }),
        frame(
            "request_possession_sample",
            Request::Possession { nonce: Bytes([3; 32]), span: Span::Sample, blobs: vec![content; 2] },
        ),
        frame(
            "request_possession_whole",
            Request::Possession { nonce: Bytes([3; 32]), span: Span::Whole, blobs: vec![content] },
        ),
        frame("request_grant", Request::Grant { look: BlobHash::of(b"look") }),
        frame("possession_reply_nothing", PossessionReply::Nothing),
        frame("possession_reply_proofs", PossessionReply::Proofs(vec![Some(Bytes([4; 32])), None])),
        frame("grant_reply_nothing", GrantReply::Nothing),
        frame("grant_reply_given", GrantReply::Given(grant.clone())),
        proof("proof_sample", Span::Sample),
        proof("proof_whole", Span::Whole),
        frame("appearance_reply_document", AppearanceReply::Document { epoch: 1, len: 70_000, grant }),
        frame("appearance_reply_nothing", AppearanceReply::Nothing),
        frame("holding_reply_nothing", HoldingReply::Nothing),
        frame("holding_reply_holds", HoldingReply::of((0..11).map(|at| at % 3 == 0), true)),
        frame("pieces_reply_serving", PiecesReply::Serving { epoch: 300 }),
        frame("pieces_reply_not_shared", PiecesReply::NotShared),
        frame("pieces_reply_busy", PiecesReply::Busy),
        header("record_raw", Kind::Raw, u32_of(CHUNK_SIZE)),
        header("record_zstd", Kind::Zstd, 1000),
        header("record_tree", Kind::Tree, 96),
        header("record_gone", Kind::Gone, 0),
        header("record_changed", Kind::Changed, 0),
        Example::hex("appearance_hash", appearance.look.hash(), appearance.look.hash().as_bytes(), |bytes| {
            bytes.try_into().map(BlobHash::from_bytes)
        }),
        Example::hex("appearance_signed", appearance, &signed, open),
        Example::hex("chunk_list", tree, &list, move |list| ChunkTree::prove(hash, size, list)),
        Example::hex("sealed_chunk", b"a chunk's bytes".to_vec(), &sealed(), unseal),
    ];
    let readers: &[(&str, Reader)] = &[
        ("control_", decodes::<Control>),
        ("request_", decodes::<Request>),
        ("appearance_reply_", decodes::<AppearanceReply>),
        ("holding_reply_", decodes::<HoldingReply>),
        ("pieces_reply_", decodes::<PiecesReply>),
        ("possession_reply_", decodes::<PossessionReply>),
        ("grant_reply_", decodes::<GrantReply>),
        ("record_", |text| read_header(&unhex(text)).map(drop)),
        ("appearance_signed", |text| open(&unhex(text)).map(drop)),
        ("sealed_", |text| unseal(&unhex(text)).map(drop)),
    ];
    check("peer_v1", examples, readers);
}
