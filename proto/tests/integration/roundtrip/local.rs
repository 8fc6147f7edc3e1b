//! Random values of the local API.

use super::{look::*, peer::*};
use fyteclub_proto::{
    fetching::{
        pace,
        scheduler::{Distance, Reason},
    },
    local::{
        CacheWork, Event, Fault, FaultCode, Request as LocalRequest, reply,
        request::{self, LocalFile, LocalObject, LocalSwap, NearPlayer, NearbySet, OptionChoice},
    },
    reaching::traversal::RelayUse,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

pub(crate) fn local_request() -> impl Strategy<Value = LocalRequest> {
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
        (option::of(name()), option::of(peer_id()))
            .prop_map(|(player, peer_id)| { LocalRequest::Doctor(request::Doctor { player, peer_id }) }),
        option::of(name()).prop_map(|player| {
            LocalRequest::DoctorBundle(request::DoctorBundle { player, peer_id: None })
        }),
        (text(), vec(choice, 0..3)).prop_map(|(path, options)| {
            LocalRequest::AppearancePublishMod(request::AppearancePublishMod { path, options })
        }),
        (vec(object, 0..3), strings()).prop_map(|(objects, strings)| {
            LocalRequest::AppearancePublish(request::AppearancePublish { objects, strings })
        }),
        (name(), option::of(text()))
            .prop_map(|(player, out)| LocalRequest::PeerFetch(request::PeerFetch { player, out })),
        (peer_id(), any::<std::net::SocketAddr>()).prop_map(|(peer_id, address)| {
            // JSON has no flow label.
            let address = std::net::SocketAddr::new(address.ip(), address.port());
            LocalRequest::PeerConnect(request::PeerConnect { peer_id, address })
        }),
        name().prop_map(|player| LocalRequest::PeerCancel(request::PeerCancel { player })),
        name().prop_map(|player| LocalRequest::PeerReconnect(request::PeerReconnect { player })),
        name().prop_map(|player| LocalRequest::PeerFailover(request::PeerFailover { player })),
        (vec(option::of(some_rate()), 4), option::of(any::<bool>())).prop_map(|(mut rates, lan)| {
            let mut next = || rates.pop().flatten();
            LocalRequest::LimitsSet(pace::Change {
                upload: next(),
                download: next(),
                peer_upload: next(),
                peer_download: next(),
                lan,
            })
        }),
        set_nearby().prop_map(LocalRequest::NearbySet),
        (name(), peer_id())
            .prop_map(|(player, peer_id)| LocalRequest::PeerTrust(request::PeerTrust { player, peer_id })),
        (name(), option::of(peer_id())).prop_map(|(player, peer_id)| {
            LocalRequest::ContactsAdd(request::ContactsAdd { player, peer_id })
        }),
        who().prop_map(LocalRequest::ContactsAccept),
        who().prop_map(LocalRequest::ContactsRemove),
        who().prop_map(LocalRequest::ContactsBlock),
        who().prop_map(LocalRequest::ContactsUnblock),
        any::<bool>().prop_map(|on| LocalRequest::Debug(request::Debug { on })),
        (who(), relay_use()).prop_map(|(request::Who { player, peer_id }, relay)| {
            LocalRequest::ContactsSet(request::ContactsSet { player, peer_id, relay })
        }),
        text().prop_map(|link| LocalRequest::ContactsJoin(request::ContactsJoin { link })),
        any::<[Option<u64>; 2]>().prop_map(|[to, older_than_secs]| {
            LocalRequest::CacheGc(request::CacheGc { to, older_than_secs })
        }),
        text().prop_map(|dir| LocalRequest::CacheMove(request::CacheMove { dir })),
        select(
            &[
                LocalRequest::Status,
                LocalRequest::AppearanceClear,
                LocalRequest::NearbyList,
                LocalRequest::TransferList,
                LocalRequest::LimitsGet,
                LocalRequest::LimitsReset,
                LocalRequest::PeerList,
                LocalRequest::ContactsList,
                LocalRequest::ContactsInvite,
                LocalRequest::CacheStats,
                LocalRequest::CacheVerify,
                LocalRequest::Watch,
                LocalRequest::Shutdown,
            ][..]
        ),
    ]
}

pub(crate) fn distance() -> impl Strategy<Value = Distance> {
    fraction().prop_map(|number| number.abs().try_into().expect("a distance"))
}

pub(crate) fn reason() -> impl Strategy<Value = Reason> {
    select(&[Reason::Asked, Reason::Near, Reason::Prefetch][..])
}

pub(crate) fn set_nearby() -> impl Strategy<Value = NearbySet> {
    let near = || (name(), distance()).prop_map(|(player, distance)| NearPlayer { player, distance });
    let sets = (option::of(vec(near(), 0..3)), vec(near(), 0..3), vec(name(), 0..3));
    (sets, option::of(any::<u32>())).prop_map(|((players, add, remove), keep_secs)| NearbySet {
        players,
        add,
        remove,
        keep_secs,
    })
}

pub(crate) fn waiting_status() -> impl Strategy<Value = reply::WaitingStatus> {
    (name(), peer_id(), reason(), option::of(distance())).prop_map(|(player, peer_id, reason, distance)| {
        reply::WaitingStatus { player, peer_id, reason, distance }
    })
}

pub(crate) fn nearby() -> impl Strategy<Value = reply::Nearby> {
    let contact =
        (name(), peer_id(), distance(), any::<bool>()).prop_map(|(player, peer_id, distance, online)| {
            reply::NearContact { player, peer_id, distance, online }
        });
    (vec(contact, 0..3), any::<u64>()).prop_map(|(contacts, others)| reply::Nearby { contacts, others })
}

pub(crate) fn path_kind() -> impl Strategy<Value = reply::PathKind> {
    use reply::PathKind::*;
    select(&[Loopback, Lan, Direct, Mapped, Punched, Relay, RelayTcp][..])
}

pub(crate) fn peer_status() -> impl Strategy<Value = reply::PeerStatus> {
    use reply::PeerState::*;
    let state = select(&[Disconnected, Connecting, Authenticating, Connected, Reconnecting, FailingOver][..]);
    let path = option::of(path_kind());
    let measured = (path_kind(), any::<bool>(), fraction(), option::of(fraction())).prop_map(
        |(path, in_use, rtt_ms, loss_percent)| reply::PathStatus { path, in_use, rtt_ms, loss_percent },
    );
    let paths = vec(measured, 0..3);
    (option::of(name()), peer_id(), state, path, option::of(fraction()), option::of(text()), paths).prop_map(
        |(player, peer_id, state, path, rtt_ms, cause, paths)| reply::PeerStatus {
            player,
            peer_id,
            state,
            path,
            rtt_ms,
            cause,
            why_relayed: None,
            paths,
        },
    )
}

pub(crate) fn transfer_status() -> impl Strategy<Value = reply::TransferStatus> {
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

pub(crate) fn some_rate() -> impl Strategy<Value = Option<pace::Rate>> {
    option::of(any::<u64>()).prop_map(|bytes| bytes.and_then(|bytes| bytes.try_into().ok()))
}

pub(crate) fn upload_status() -> impl Strategy<Value = reply::UploadStatus> {
    (option::of(name()), peer_id(), any::<[u64; 2]>())
        .prop_map(|(player, peer_id, [bytes, rate])| reply::UploadStatus { player, peer_id, bytes, rate })
}

pub(crate) fn sources() -> impl Strategy<Value = Vec<reply::SourceStatus>> {
    let source = (option::of(name()), peer_id(), any::<u64>());
    vec(source.prop_map(|(player, peer_id, bytes)| reply::SourceStatus { player, peer_id, bytes }), 0..3)
}

pub(crate) fn cache_stats() -> impl Strategy<Value = reply::CacheStats> {
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
            away: !low_disk,
        },
    )
}

pub(crate) fn status() -> impl Strategy<Value = reply::Status> {
    let phonebook = (text(), any::<bool>(), option::of(any::<u64>()), option::of(text())).prop_map(
        |(url, ok, last_answer, error)| reply::PhonebookStatus { url, ok, live: ok, last_answer, error },
    );
    let who = (text(), peer_id(), option::of(name()), text());
    let lists = (vec(phonebook, 0..3), vec(peer_status(), 0..3), vec(transfer_status(), 0..3));
    let charged = any::<[u64; 2]>().prop_map(|[charged, refusals]| reply::Charged { charged, refusals });
    let counts = (any::<u64>(), proptest::collection::btree_map(text(), charged, 0..3));
    (who, lists, option::of(blob()), cache_stats(), counts).prop_map(
        |((version, peer_id, player, listen), (phonebooks, peers, transfers), appearance, cache, counts)| {
            let (seq, ledger) = counts;
            reply::Status {
                version,
                peer_id,
                player: player.clone(),
                listen,
                port_mapping: "off".into(),
                network: reply::NetworkStatus::default(),
                mapping: reply::PortMapping {
                    cause: player.as_ref().map(ToString::to_string),
                    ..reply::PortMapping::default()
                },
                phonebooks,
                appearance_trouble: appearance.map(|look| look.to_string()),
                appearance,
                peers,
                transfers,
                cache,
                seq,
                ledger,
            }
        },
    )
}

pub(crate) fn fetched() -> impl Strategy<Value = reply::Fetched> {
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

pub(crate) fn who() -> impl Strategy<Value = request::Who> {
    (option::of(name()), option::of(peer_id())).prop_map(|(player, peer_id)| request::Who { player, peer_id })
}

fn relay_use() -> impl Strategy<Value = Option<RelayUse>> {
    option::of(select(&[RelayUse::Off, RelayUse::On, RelayUse::Only][..]))
}

pub(crate) fn contact() -> impl Strategy<Value = reply::Contact> {
    use reply::Standing::*;
    let standing = select(&[Requested, Asking, Paired, Blocked, Unknown][..]);
    let doubts = (option::of(peer_id()), option::of(name()), any::<bool>());
    (who(), standing, any::<u64>(), any::<bool>(), doubts, relay_use()).prop_map(
        |(
            request::Who { player, peer_id },
            standing,
            since,
            online,
            (known_key, looks_like, mixed_scripts),
            relay,
        )| {
            let rivals = known_key.into_iter().collect();
            reply::Contact {
                player,
                peer_id,
                standing,
                since,
                online,
                known_key,
                looks_like,
                mixed_scripts,
                rivals,
                relay,
            }
        },
    )
}

pub(crate) fn fault() -> impl Strategy<Value = Fault> {
    use FaultCode::*;
    (select(&[BadRequest, NotFound, DiskFull, Internal, Unknown][..]), text(), any::<bool>())
        .prop_map(|(code, message, retryable)| Fault { code, message, retryable })
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
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
        (peer_id(), option::of(name()), any::<bool>())
            .prop_map(|(peer_id, player, silent)| Event::PeerSilent { peer_id, player, silent }),
        (name(), peer_id(), peer_id())
            .prop_map(|(player, one, other)| Event::ContactDisputed { player, keys: vec![one, other] }),
        (option::of(name()), peer_id())
            .prop_map(|(player, peer_id)| Event::InvitationOver { player, peer_id }),
        (name(), peer_id()).prop_map(|(player, peer_id)| Event::InvitationTooLate { player, peer_id }),
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

pub(crate) fn cache_event() -> impl Strategy<Value = Event> {
    let work = select(&[CacheWork::Verify, CacheWork::Move][..]);
    prop_oneof![
        any::<[u64; 2]>().prop_map(|[free, min_free]| Event::CacheLowDisk { free, min_free }),
        any::<[u64; 2]>().prop_map(|[free, min_free]| Event::CacheDiskOk { free, min_free }),
        (vec(blob(), 0..3), vec(name(), 0..3), any::<bool>()).prop_map(|(hashes, players, published)| {
            Event::CacheDamaged { missing: hashes.clone(), hashes, players, published }
        }),
        (work, any::<[u64; 4]>()).prop_map(|(work, [files, files_total, bytes, bytes_total])| {
            Event::CacheProgress { work, files, files_total, bytes, bytes_total }
        }),
        [text(), text()].prop_map(|[from, to]| Event::CacheMoved { from, to }),
    ]
}
