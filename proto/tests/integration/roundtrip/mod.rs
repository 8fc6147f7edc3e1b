//! `decode(encode(x)) == x` for every wire type, and random bytes are refused or read, never a panic.
//!
//! The same cases in every run; `PROPTEST_CASES=100000` for more of them.

mod local;
mod look;
mod peer;

use self::{local::*, look::*, peer::*};
use fyteclub_proto::{
    appearance::{Appearance, SignedAppearance},
    codec,
    fetching::pace,
    game_path::GamePath,
    id::{BlobHash, PeerId, PlayerName},
    limit,
    local::{Call, Notice, Numbered, Reply, Request as LocalRequest, reply},
    peer::{
        AppearanceReply, Control, Message, PiecesReply, Request,
        record::{HEADER, Header},
    },
    phonebook::{Found, Problem, Register, Unregister, Unregistered, Visibility},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed},
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

fn config() -> Config {
    Config { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() }
}

fn key() -> impl Strategy<Value = ed25519_dalek::SigningKey> {
    any::<[u8; 32]>().prop_map(|seed| ed25519_dalek::SigningKey::from_bytes(&seed))
}

fn reads_back<T: Message + Serialize + PartialEq + Debug>(value: T) -> Result<(), TestCaseError> {
    let bytes = codec::encode(&value);
    prop_assert!(bytes.len() <= limit::PEER_FRAME_MAX);
    prop_assert_eq!(T::decode(&bytes), Ok(value));
    Ok(())
}

/// In JSON and in bincode: `T` is written by hand in neither.
fn reads_back_as_json<T>(value: T) -> Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let text = serde_json::to_string(&value).expect("encodes");
    prop_assert_eq!(serde_json::from_str::<T>(&text).expect(&text), value);
    Ok(())
}

/// A result in its reply frame, and out of it again.
fn replies<T>(result: T) -> Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let notice = Notice::Reply(Reply::success(7, &result).expect("encodes"));
    let text = serde_json::to_string(&notice).expect("encodes");
    match serde_json::from_str(&text).expect(&text) {
        Notice::Reply(reply) => prop_assert_eq!(reply.into_result::<T>(), Ok(result)),
        other => prop_assert!(false, "{text} reads as {other:?}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn ids_and_names(peer in peer_id(), blob in blob(), name in name(), path in game_path()) {
        prop_assert_eq!(peer.to_string().parse(), Ok(peer));
        prop_assert_eq!(blob.to_string().parse(), Ok(blob));
        prop_assert_eq!(BlobHash::from_hex(&blob.hex()), Some(blob));
        prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
        prop_assert_eq!(GamePath::exact(path.as_str()), Ok(path.clone()));
        prop_assert_eq!(codec::decode(&codec::encode(&(peer, blob, &name, &path))), Ok((peer, blob, name.clone(), path.clone())));
        reads_back_as_json((peer, blob, name, path))?;
    }

    #[test]
    fn peer_frames(
        control in control(),
        request in peer_request(),
        reply in appearance_reply(),
        holding in holding_reply(),
        pieces in pieces_reply(),
        possession in possession_reply(),
        grant in grant_reply(),
    ) {
        reads_back(control)?;
        reads_back(holding)?;
        reads_back(request)?;
        reads_back(reply)?;
        reads_back(pieces)?;
        reads_back(possession)?;
        reads_back(grant)?;
    }

    #[test]
    fn record_headers(header in header()) {
        prop_assert_eq!(Header::decode(header.encode()), Ok(header));
    }

    #[test]
    fn appearances(appearance in appearance()) {
        prop_assert_eq!(codec::decode(&codec::encode(&appearance)), Ok(appearance.clone()));
        reads_back_as_json(appearance)?;
    }

    #[test]
    fn signed_appearances(mut appearance in appearance(), key in key()) {
        appearance.look.normalise();
        let owner = PeerId::from_bytes(key.verifying_key().to_bytes());
        let bytes = SignedAppearance::sign(&appearance, &key).to_bytes();
        match appearance.look.check() {
            Ok(()) => prop_assert_eq!(SignedAppearance::open(&bytes, &owner), Ok(appearance)),
            Err(error) => prop_assert_eq!(SignedAppearance::open(&bytes, &owner), Err(error)),
        }
    }

    #[test]
    fn local_calls(request in local_request(), id in any::<u64>()) {
        let text = serde_json::to_string(&request.clone().into_call(id).expect("encodes")).expect("encodes");
        let call: Call = serde_json::from_str(&text).expect(&text);
        prop_assert_eq!(call.id, id);
        prop_assert_eq!(LocalRequest::from_call(&call), Ok(request));
    }

    #[test]
    fn local_replies(
        status in status(),
        peers in vec(peer_status(), 0..3),
        fetched in fetched(),
        cache in cache_stats(),
        (downloads, uploads, waiting) in
            (vec(transfer_status(), 0..3), vec(upload_status(), 0..3), vec(waiting_status(), 0..3)),
        nearby in nearby(),
        ([upload, download, peer_upload, peer_download], [lan, set_here]) in
            ([some_rate(), some_rate(), some_rate(), some_rate()], any::<[bool; 2]>()),
        (appearance, files, bytes) in (blob(), any::<u64>(), any::<u64>()),
        collected in any::<[u64; 5]>(),
        [game_path, file, reason] in [text(), text(), text()],
        fault in fault(),
    ) {
        replies(status)?;
        replies(reply::Peers { peers })?;
        replies(fetched)?;
        replies(cache)?;
        replies(reply::Transfers { downloads, uploads, waiting })?;
        replies(nearby)?;
        let limits = pace::Limits { upload, download, peer_upload, peer_download, lan };
        replies(reply::Limits { limits, set_here })?;
        let obstacles = vec![reply::CacheObstacle { path: file.clone(), cause: reason.clone() }];
        let bad = vec![appearance];
        let unreadable = obstacles.clone();
        let (missing, unread) = (files, bytes);
        replies(reply::CacheVerified { files, bytes, bad, missing, unread, unreadable, obstacles })?;
        let [files_gone, bytes_gone, unfinished, bytes_left, in_use] = collected;
        replies(reply::CacheGced { files: files_gone, bytes: bytes_gone, unfinished, bytes_left, in_use })?;
        let (from, to) = (file.clone(), reason.clone());
        let unreadable = vec![reply::CacheObstacle { path: file.clone(), cause: reason.clone() }];
        replies(reply::CacheMoved { from, to, files, bytes, bad: vec![appearance], unreadable, kept: files })?;
        replies(reply::Empty {})?;
        let left_out = vec![reply::LeftOut { game_path, file, reason }];
        replies(reply::Published { appearance, files, bytes, left_out })?;
        reads_back_as_json(Notice::Reply(Reply::failure(1, fault)))?;
    }

    #[test]
    fn local_events(event in event(), seq in any::<u64>()) {
        reads_back_as_json(Notice::Event(Numbered { seq, event }))?;
    }

    #[test]
    fn phone_book_bodies(name in name(), port in 1..=u16::MAX, numbers in any::<[u64; 2]>(), key in key(), texts in vec(text(), 3)) {
        let [sequence, time] = numbers;
        let server = "book.example";
        let register =
            Register::signed(name.as_str(), port, Visibility::Contacts, server, sequence, time, &key);
        prop_assert!(register.is_authentic());
        reads_back_as_json(register)?;
        let unregister = Unregister::signed(name.as_str(), server, sequence, time, &key);
        prop_assert!(unregister.is_authentic());
        reads_back_as_json(unregister)?;
        let [ip, public_key, error] = texts.try_into().expect("three");
        reads_back_as_json(Found { ip: Some(ip), port: Some(port), public_key: Some(public_key), last_seen: time })?;
        reads_back_as_json(Unregistered { success: true, existed: sequence % 2 == 0 })?;
        reads_back_as_json(Problem { code: Some(error.clone()), error, ..Problem::default() })?;
    }

    #[test]
    fn random_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..200), text in any::<String>()) {
        if let Ok(control) = Control::decode(&bytes) { reads_back(control)?; }
        if let Ok(request) = Request::decode(&bytes) { reads_back(request)?; }
        if let Ok(reply) = AppearanceReply::decode(&bytes) { reads_back(reply)?; }
        if let Ok(reply) = PiecesReply::decode(&bytes) { reads_back(reply)?; }
        if let Some((header, _)) = bytes.split_first_chunk::<HEADER>()
            && let Ok(read) = Header::decode(*header)
        {
            prop_assert_eq!(read.encode(), *header);
        }
        let anyone = PeerId::from_bytes([7; 32]);
        prop_assert!(SignedAppearance::open(&bytes, &anyone).is_err());
        prop_assert!(codec::decode::<Appearance>(&bytes).is_err());
        if let Ok(name) = text.parse::<PlayerName>() { prop_assert_eq!(name.as_str(), &text); }
        if let Ok(path) = text.parse::<GamePath>() { prop_assert_eq!(GamePath::exact(path.as_str()), Ok(path)); }
        prop_assert!(serde_json::from_str::<Notice>(&text).is_err());
    }
}
