//! `decode(encode(x)) == x` for every wire type, and random bytes are refused or read, never a panic.
//!
//! The same cases in every run; `PROPTEST_CASES=100000` for more of them.

use fyteclub_proto::{
    agenda::{Distance, Reason},
    appearance::{Appearance, FileEntry, Look, ObjectKind, ObjectLook, SignedAppearance, Swap},
    bytes::Bytes,
    codec,
    game_path::{EXTENSIONS, GamePath},
    grant::Grant,
    id::{BlobHash, PeerId, PlayerName},
    limit,
    local::{
        CacheWork, Call, Event, Fault, FaultCode, Notice, Reply, Request as LocalRequest, reply,
        request::{self, LocalFile, LocalObject, LocalSwap, NearPlayer, OptionChoice, SetNearby, Strings},
    },
    pace,
    peer::{
        AppearanceReply, Control, Greeting, Hello, HelloAck, HoldingReply, Message, Piece, PiecesReply,
        Request,
        record::{HEADER, Header, Kind},
    },
    phonebook::{Found, Problem, Register, Unregister, Unregistered, Visibility},
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt::Debug};

fn config() -> Config {
    Config { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() }
}

fn blob() -> impl Strategy<Value = BlobHash> {
    any::<[u8; 32]>().prop_map(BlobHash::from_bytes)
}

fn peer_id() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::from_bytes)
}

fn name() -> impl Strategy<Value = PlayerName> {
    "[A-Zà-ž光][a-z'\\-]{1,14} [A-Z][a-z'ñ]{1,14}@[A-Zト][a-z]{1,14}"
        .prop_map(|name| name.parse().expect("a name"))
}

fn game_path() -> impl Strategy<Value = GamePath> {
    let part = "[a-z0-9_é&+,' -]{0,12}[a-z0-9_]";
    let dirs = vec(part.prop_filter("starts with a space", |part| !part.starts_with(' ')), 1..5);
    (dirs, select(&EXTENSIONS[..])).prop_filter_map("a device's name", |(parts, extension)| {
        format!("{}.{extension}", parts.join("/")).parse().ok()
    })
}

fn game_paths() -> impl Strategy<Value = Vec<GamePath>> {
    vec(game_path(), 1..4)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,20}", any::<String>()]
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

fn kind() -> impl Strategy<Value = ObjectKind> {
    use ObjectKind::*;
    select(&[Player, MinionOrMount, Companion, Pet][..])
}

fn swap() -> impl Strategy<Value = Swap> {
    (game_paths(), game_path()).prop_map(|(game_paths, to)| Swap { game_paths, to })
}

/// What JSON keeps exactly: three decimals.
fn fraction() -> impl Strategy<Value = f64> {
    (0..100_000_000u32).prop_map(|thousandths| f64::from(thousandths) / 1000.0)
}

fn object() -> impl Strategy<Value = ObjectLook> {
    let file = (game_paths(), blob(), any::<u64>()).prop_map(|(game_paths, hash, size)| FileEntry {
        game_paths,
        hash,
        size,
    });
    (kind(), vec(file, 0..4), vec(swap(), 0..3), option::of(text()), option::of(text())).prop_map(
        |(kind, files, swaps, glamourer, customize_plus)| ObjectLook {
            kind,
            files,
            swaps,
            glamourer,
            customize_plus,
        },
    )
}

fn appearance() -> impl Strategy<Value = Appearance> {
    let strings = (option::of(text()), option::of(text()), option::of(text()));
    let more = (option::of(text()), option::of(text()), texts());
    (any::<u64>(), name(), vec(object(), 0..4), strings, more).prop_map(
        |(seq, player, objects, (meta, heels, honorific), (moodles, pet_names, ext))| Appearance {
            v: 1,
            seq,
            player,
            look: Look { objects, meta, heels, honorific, moodles, pet_names, ext },
        },
    )
}

fn greeting() -> impl Strategy<Value = Greeting> {
    ("[ -~]{0,64}", option::of(name()), any::<(u64, u64)>(), option::of(blob())).prop_map(
        |(agent, player, (capabilities, instance), published)| Greeting {
            agent,
            player,
            capabilities,
            published,
            instance,
        },
    )
}

fn control() -> impl Strategy<Value = Control> {
    prop_oneof![
        (vec(any::<u16>(), 0..=16), greeting())
            .prop_map(|(versions, greeting)| Control::Hello(Hello { versions, greeting })),
        (any::<u16>(), greeting())
            .prop_map(|(version, greeting)| Control::HelloAck(HelloAck { version, greeting })),
        option::of(blob()).prop_map(Control::Published),
    ]
}

fn peer_request() -> impl Strategy<Value = Request> {
    let piece = (blob(), any::<bool>(), 0..limit::BLOB_CHUNKS_MAX as u32, 1..=16u32).prop_map(
        |(hash, tree, first, count)| {
            let first = first.min(limit::BLOB_CHUNKS_MAX as u32 - count);
            Piece { hash, tree, first, count }
        },
    );
    let pieces = vec(piece, 1..=8).boxed();
    prop_oneof![
        Just(Request::Appearance),
        pieces.clone().prop_map(Request::Pieces),
        any::<[u8; 32]>().prop_map(|tag| Request::Holding { tag: Bytes(tag) }),
        (grant(), pieces).prop_map(|(grant, pieces)| Request::Granted { grant, pieces }),
    ]
}

fn grant() -> impl Strategy<Value = Grant> {
    (peer_id(), peer_id(), blob(), any::<u64>(), vec(any::<u8>(), 64)).prop_map(
        |(owner, to, look, until, signature)| {
            let signature = Bytes(signature.try_into().expect("64 bytes"));
            Grant { owner, to, look, until, signature }
        },
    )
}

fn holding_reply() -> impl Strategy<Value = HoldingReply> {
    let bits = vec(any::<u8>(), 0..=limit::HOLDING_BYTES_MAX);
    prop_oneof![
        Just(HoldingReply::Nothing),
        (bits, any::<bool>()).prop_map(|(bits, growing)| HoldingReply::Holds { bits, growing }),
    ]
}

fn appearance_reply() -> impl Strategy<Value = AppearanceReply> {
    let document = (any::<u32>(), 0..=limit::APPEARANCE_BYTES_MAX as u32, grant());
    prop_oneof![
        document.prop_map(|(epoch, len, grant)| AppearanceReply::Document { epoch, len, grant }),
        Just(AppearanceReply::Nothing),
    ]
}

fn pieces_reply() -> impl Strategy<Value = PiecesReply> {
    let serving = any::<u32>().prop_map(|epoch| PiecesReply::Serving { epoch });
    prop_oneof![serving, Just(PiecesReply::NotShared), Just(PiecesReply::Busy)]
}

fn header() -> impl Strategy<Value = Header> {
    let chunk = limit::CHUNK_SIZE as u32;
    prop_oneof![
        (0..=chunk).prop_map(|len| Header { kind: Kind::Raw, len }),
        (1..chunk).prop_map(|len| Header { kind: Kind::Zstd, len }),
        (0..=limit::BLOB_CHUNKS_MAX as u32).prop_map(|count| Header { kind: Kind::Tree, len: count * 32 }),
        Just(Header { kind: Kind::Gone, len: 0 }),
        Just(Header { kind: Kind::Changed, len: 0 }),
    ]
}

fn strings() -> impl Strategy<Value = Strings> {
    (vec(option::of(text()), 5), texts()).prop_map(|(mut strings, ext)| {
        let mut next = || strings.pop().flatten();
        Strings { meta: next(), heels: next(), honorific: next(), moodles: next(), pet_names: next(), ext }
    })
}

fn local_request() -> impl Strategy<Value = LocalRequest> {
    let file = (text(), vec(text(), 0..3)).prop_map(|(path, game_paths)| LocalFile { path, game_paths });
    let swap = (vec(text(), 0..3), text()).prop_map(|(game_paths, to)| LocalSwap { game_paths, to });
    let object = (kind(), vec(file, 0..3), vec(swap, 0..3), option::of(text()), option::of(text()));
    let object = object.prop_map(|(kind, files, swaps, glamourer, customize_plus)| LocalObject {
        kind,
        files,
        swaps,
        glamourer,
        customize_plus,
    });
    let choice = (text(), text()).prop_map(|(group, option)| OptionChoice { group, option });
    prop_oneof![
        (text(), vec(any::<u16>(), 0..4))
            .prop_map(|(client, versions)| { LocalRequest::Hello(request::Hello { client, versions }) }),
        (text(), vec(choice, 0..3))
            .prop_map(|(path, options)| { LocalRequest::PublishMod(request::PublishMod { path, options }) }),
        (vec(object, 0..3), strings())
            .prop_map(|(objects, strings)| { LocalRequest::Publish(request::Publish { objects, strings }) }),
        (name(), option::of(text()))
            .prop_map(|(player, out)| LocalRequest::Fetch(request::Fetch { player, out })),
        name().prop_map(|player| LocalRequest::Cancel(request::Cancel { player })),
        (vec(option::of(some_rate()), 4), option::of(any::<bool>())).prop_map(|(mut rates, lan)| {
            let mut next = || rates.pop().flatten();
            LocalRequest::SetLimits(pace::Change {
                upload: next(),
                download: next(),
                peer_upload: next(),
                peer_download: next(),
                lan,
            })
        }),
        set_nearby().prop_map(LocalRequest::SetNearby),
        (name(), peer_id())
            .prop_map(|(player, peer_id)| LocalRequest::Trust(request::Trust { player, peer_id })),
        (name(), option::of(peer_id())).prop_map(|(player, peer_id)| {
            LocalRequest::AddContact(request::AddContact { player, peer_id })
        }),
        who().prop_map(LocalRequest::AcceptContact),
        who().prop_map(LocalRequest::RemoveContact),
        who().prop_map(LocalRequest::BlockContact),
        who().prop_map(LocalRequest::UnblockContact),
        text().prop_map(|link| LocalRequest::Join(request::Join { link })),
        any::<[Option<u64>; 2]>().prop_map(|[to, older_than_secs]| {
            LocalRequest::CacheGc(request::CacheGc { to, older_than_secs })
        }),
        text().prop_map(|dir| LocalRequest::CacheMove(request::CacheMove { dir })),
        select(
            &[
                LocalRequest::Status,
                LocalRequest::Unpublish,
                LocalRequest::Nearby,
                LocalRequest::Transfers,
                LocalRequest::Limits,
                LocalRequest::ResetLimits,
                LocalRequest::Peers,
                LocalRequest::Contacts,
                LocalRequest::Invite,
                LocalRequest::CacheStats,
                LocalRequest::CacheVerify,
                LocalRequest::Watch,
                LocalRequest::Shutdown,
            ][..]
        ),
    ]
}

fn distance() -> impl Strategy<Value = Distance> {
    fraction().prop_map(|number| number.abs().try_into().expect("a distance"))
}

fn reason() -> impl Strategy<Value = Reason> {
    select(&[Reason::Asked, Reason::Near, Reason::Prefetch][..])
}

fn set_nearby() -> impl Strategy<Value = SetNearby> {
    let near = || (name(), distance()).prop_map(|(player, distance)| NearPlayer { player, distance });
    let sets = (option::of(vec(near(), 0..3)), vec(near(), 0..3), vec(name(), 0..3));
    (sets, option::of(any::<u32>())).prop_map(|((players, add, remove), keep_secs)| SetNearby {
        players,
        add,
        remove,
        keep_secs,
    })
}

fn waiting_status() -> impl Strategy<Value = reply::WaitingStatus> {
    (name(), peer_id(), reason(), option::of(distance())).prop_map(|(player, peer_id, reason, distance)| {
        reply::WaitingStatus { player, peer_id, reason, distance }
    })
}

fn nearby() -> impl Strategy<Value = reply::Nearby> {
    let contact =
        (name(), peer_id(), distance(), any::<bool>()).prop_map(|(player, peer_id, distance, online)| {
            reply::NearContact { player, peer_id, distance, online }
        });
    (vec(contact, 0..3), any::<u64>()).prop_map(|(contacts, others)| reply::Nearby { contacts, others })
}

fn path_kind() -> impl Strategy<Value = reply::PathKind> {
    use reply::PathKind::*;
    select(&[Loopback, Lan, Direct][..])
}

fn peer_status() -> impl Strategy<Value = reply::PeerStatus> {
    use reply::PeerState::*;
    let state = select(&[Disconnected, Connecting, Authenticating, Connected, Reconnecting, FailingOver][..]);
    let path = option::of(path_kind());
    (option::of(name()), peer_id(), state, path, option::of(fraction()), option::of(text())).prop_map(
        |(player, peer_id, state, path, rtt_ms, cause)| reply::PeerStatus {
            player,
            peer_id,
            state,
            path,
            rtt_ms,
            cause,
        },
    )
}

fn transfer_status() -> impl Strategy<Value = reply::TransferStatus> {
    let who = (name(), peer_id(), sources());
    let numbers = (any::<[u64; 5]>(), option::of(any::<u64>()), reason());
    (who, blob(), numbers).prop_map(
        |((player, peer_id, sources), appearance, (numbers, remaining_seconds, reason))| {
            let [files_done, files_total, bytes_done, bytes_total, rate] = numbers;
            reply::TransferStatus {
                player,
                peer_id,
                appearance,
                files_done,
                files_total,
                bytes_done,
                bytes_total,
                rate,
                sources,
                remaining_seconds,
                reason,
            }
        },
    )
}

fn some_rate() -> impl Strategy<Value = Option<pace::Rate>> {
    option::of(any::<u64>()).prop_map(|bytes| bytes.and_then(|bytes| bytes.try_into().ok()))
}

fn upload_status() -> impl Strategy<Value = reply::UploadStatus> {
    (option::of(name()), peer_id(), any::<[u64; 2]>())
        .prop_map(|(player, peer_id, [bytes, rate])| reply::UploadStatus { player, peer_id, bytes, rate })
}

fn sources() -> impl Strategy<Value = Vec<reply::SourceStatus>> {
    let source = (option::of(name()), peer_id(), any::<u64>());
    vec(source.prop_map(|(player, peer_id, bytes)| reply::SourceStatus { player, peer_id, bytes }), 0..3)
}

fn cache_stats() -> impl Strategy<Value = reply::CacheStats> {
    (any::<[u64; 5]>(), text(), option::of(any::<u64>()), any::<bool>()).prop_map(
        |([bytes, files, limit, pinned, min_free], dir, free, low_disk)| reply::CacheStats {
            bytes,
            files,
            limit,
            pinned,
            dir,
            free,
            min_free,
            low_disk,
        },
    )
}

fn status() -> impl Strategy<Value = reply::Status> {
    let phonebook = (text(), any::<bool>(), option::of(any::<u64>()), option::of(text())).prop_map(
        |(url, ok, last_answer, error)| reply::PhonebookStatus { url, ok, live: ok, last_answer, error },
    );
    let who = (text(), peer_id(), option::of(name()), text());
    let lists = (vec(phonebook, 0..3), vec(peer_status(), 0..3), vec(transfer_status(), 0..3));
    (who, lists, option::of(blob()), cache_stats()).prop_map(
        |((version, peer_id, player, listen), (phonebooks, peers, transfers), appearance, cache)| {
            reply::Status {
                version,
                peer_id,
                player,
                listen,
                port_mapping: "off".into(),
                phonebooks,
                appearance,
                peers,
                transfers,
                cache,
            }
        },
    )
}

fn fetched() -> impl Strategy<Value = reply::Fetched> {
    let file = (game_paths(), blob(), any::<u64>(), text(), 0..4usize).prop_map(
        |(game_paths, hash, size, path, object)| reply::FetchedFile { game_paths, hash, size, path, object },
    );
    let object = (kind(), vec(swap(), 0..3), option::of(text()), option::of(text())).prop_map(
        |(kind, swaps, glamourer, customize_plus)| reply::FetchedObject {
            kind,
            swaps,
            glamourer,
            customize_plus,
        },
    );
    let what = (name(), blob(), vec(file, 0..3), vec(object, 0..3), strings());
    let how = (any::<[u64; 3]>(), fraction(), option::of(path_kind()), option::of(text()));
    (what, how, sources()).prop_map(|(what, (bytes, seconds, path, out), sources)| {
        let (player, appearance, files, objects, strings) = what;
        reply::Fetched {
            player,
            appearance,
            files,
            bytes_total: bytes[0],
            bytes_transferred: bytes[1],
            bytes_fetched: bytes[2],
            seconds,
            path,
            sources,
            objects,
            strings,
            out,
        }
    })
}

fn who() -> impl Strategy<Value = request::Who> {
    (option::of(name()), option::of(peer_id())).prop_map(|(player, peer_id)| request::Who { player, peer_id })
}

fn contact() -> impl Strategy<Value = reply::Contact> {
    use reply::Standing::*;
    let standing = select(&[Requested, Asking, Paired, Blocked, Unknown][..]);
    (who(), standing, any::<u64>(), any::<bool>(), option::of(peer_id())).prop_map(
        |(request::Who { player, peer_id }, standing, since, online, known_key)| reply::Contact {
            player,
            peer_id,
            standing,
            since,
            online,
            known_key,
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    use FaultCode::*;
    (select(&[BadRequest, NotFound, DiskFull, Internal, Unknown][..]), text(), any::<bool>())
        .prop_map(|(code, message, retryable)| Fault { code, message, retryable })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        status().prop_map(|status| Event::State(Box::new(status))),
        contact().prop_map(|contact| Event::ContactRequest { contact }),
        (contact(), any::<bool>()).prop_map(|(contact, removed)| Event::ContactChanged { contact, removed }),
        (text(), any::<bool>(), option::of(text())).prop_map(|(url, ok, error)| Event::PhonebookChanged {
            url,
            ok,
            error
        }),
        (peer_id(), option::of(name()), path_kind())
            .prop_map(|(peer_id, player, path)| Event::PeerConnected { peer_id, player, path }),
        (peer_id(), option::of(name()), text())
            .prop_map(|(peer_id, player, cause)| Event::PeerDisconnected { peer_id, player, cause }),
        (name(), peer_id(), peer_id()).prop_map(|(player, known, offered)| Event::PeerKeyChanged {
            player,
            known,
            offered
        }),
        (option::of(blob()), any::<u64>(), any::<u64>()).prop_map(|(appearance, files, bytes)| {
            Event::AppearancePublished { appearance, files, bytes }
        }),
        (name(), blob(), any::<[u64; 4]>()).prop_map(|(player, appearance, numbers)| {
            let [files, bytes, missing_files, missing_bytes] = numbers;
            Event::AppearanceOffered { player, appearance, files, bytes, missing_files, missing_bytes }
        }),
        transfer_status().prop_map(Event::TransferProgress),
        (name(), peer_id(), blob()).prop_map(|(player, source, hash)| Event::TransferSuspect {
            player,
            source,
            hash
        }),
        upload_status().prop_map(Event::PeerUploading),
        (name(), fault()).prop_map(|(player, error)| Event::TransferFailed { player, error }),
        (name(), blob(), any::<[u64; 3]>()).prop_map(|(player, appearance, numbers)| {
            let [files, bytes, bytes_transferred] = numbers;
            Event::AppearanceReady { player, appearance, files, bytes, bytes_transferred }
        }),
        any::<[u64; 2]>().prop_map(|[files, bytes]| Event::CacheEvicted { files, bytes }),
        cache_event(),
    ]
}

fn cache_event() -> impl Strategy<Value = Event> {
    let work = select(&[CacheWork::Verify, CacheWork::Move][..]);
    prop_oneof![
        any::<[u64; 2]>().prop_map(|[free, min_free]| Event::CacheLowDisk { free, min_free }),
        any::<[u64; 2]>().prop_map(|[free, min_free]| Event::CacheDiskOk { free, min_free }),
        (vec(blob(), 0..3), vec(name(), 0..3), any::<bool>())
            .prop_map(|(hashes, players, published)| { Event::CacheDamaged { hashes, players, published } }),
        (work, any::<[u64; 4]>()).prop_map(|(work, [files, files_total, bytes, bytes_total])| {
            Event::CacheProgress { work, files, files_total, bytes, bytes_total }
        }),
        [text(), text()].prop_map(|[from, to]| Event::CacheMoved { from, to }),
    ]
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
    ) {
        reads_back(control)?;
        reads_back(holding)?;
        reads_back(request)?;
        reads_back(reply)?;
        reads_back(pieces)?;
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
        prop_assert_eq!(LocalRequest::from_call(call), Ok(request));
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
        replies(reply::CacheVerified { files, bytes, bad: vec![appearance] })?;
        let [files_gone, bytes_gone, unfinished, bytes_left, in_use] = collected;
        replies(reply::CacheCollected { files: files_gone, bytes: bytes_gone, unfinished, bytes_left, in_use })?;
        let (from, to) = (file.clone(), reason.clone());
        replies(reply::CacheMoved { from, to, files, bytes, bad: vec![appearance], kept: files })?;
        replies(reply::Empty {})?;
        let left_out = vec![reply::LeftOut { game_path, file, reason }];
        replies(reply::Published { appearance, files, bytes, left_out })?;
        reads_back_as_json(Notice::Reply(Reply::failure(1, fault)))?;
    }

    #[test]
    fn local_events(event in event()) {
        reads_back_as_json(Notice::Event(event))?;
    }

    #[test]
    fn phone_book_bodies(name in name(), port in 1..=u16::MAX, numbers in any::<[u64; 2]>(), key in key(), texts in vec(text(), 3)) {
        let [sequence, time] = numbers;
        let register = Register::signed(name.as_str(), port, Visibility::Contacts, sequence, time, &key);
        prop_assert!(register.is_authentic());
        reads_back_as_json(register)?;
        let unregister = Unregister::signed(name.as_str(), sequence, time, &key);
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
