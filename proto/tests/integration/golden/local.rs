//! local_v1: every call, reply and event of the local API; the plugin's tests read them too.

mod api;
mod calls;
mod doctor;
mod events;

use super::{Example, Reader, check, json};
use calls::calls;
use doctor::diagnosis;
use events::events;
use fyteclub_proto::{
    appearance::{ObjectKind, Swap},
    fetching::{
        pace::{self, Rate},
        scheduler::Reason,
    },
    id::{BlobHash, PeerId, PlayerName},
    local::{
        Call, Fault, FaultCode, Notice, Reply, Request,
        reply::{
            Bundle, CacheGced, CacheMoved, CacheObstacle, CacheStats, CacheVerified, Charged, Contact,
            Contacts, Empty, Fetched, FetchedFile, FetchedObject, Hello, Invited, LeftOut, Limits,
            MappingCounts, MappingState, NatKind, NearContact, Nearby, NetworkStatus, PathKind, PathStatus,
            PeerState, PeerStatus, Peers, PhonebookStatus, PortMapping, Published, SourceStatus, Standing,
            Status, TransferStatus, Transfers, UploadStatus, WaitingStatus,
        },
        request::{NearPlayer, Strings},
    },
    reaching::traversal::RelayUse,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{any::type_name, fmt::Debug};

fn player() -> PlayerName {
    "Alice Ashe@Gilgamesh".parse().expect("a name")
}

fn peer_id() -> PeerId {
    PeerId::from_bytes([7; 32])
}

fn look() -> BlobHash {
    BlobHash::of(b"look")
}

fn strings() -> Strings {
    Strings {
        meta: Some("meta".into()),
        heels: Some("heels".into()),
        honorific: Some("honorific".into()),
        moodles: Some("moodles".into()),
        pet_names: Some("pet names".into()),
        ext: [("plugin".to_owned(), "value".to_owned())].into(),
    }
}

/// A frame with raw JSON, formatted like the rest.
fn raw<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(name: &str, frame: T) -> Example {
    let value = serde_json::to_value(&frame).expect("encodes");
    let text = serde_json::to_string_pretty(&value).expect("encodes") + "\n";
    Example { text, ..Example::json(name, frame) }
}

/// A reply in its frame, which must also parse as its result.
fn reply<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, result: T) -> Example {
    let reply = Reply::success(1, &result).expect("encodes");
    assert_eq!(reply.clone().into_result(), Ok(result));
    let shape = type_name::<T>().rsplit("::").next().unwrap_or_default();
    Example { shape, ..raw(&format!("reply_{name}"), Notice::Reply(reply)) }
}

fn transfer() -> TransferStatus {
    TransferStatus {
        player: player(),
        peer_id: peer_id(),
        appearance: look(),
        files_done: 3,
        files_total: 950,
        bytes_done: 1_048_576,
        bytes_total: 210_000_000,
        rate: 50_000_000,
        sources: vec![source()],
        remaining_seconds: Some(4),
        reason: Reason::Asked,
    }
}

fn near(distance: f64) -> NearPlayer {
    NearPlayer { player: player(), distance: distance.try_into().expect("a distance") }
}

fn waiting(reason: Reason) -> WaitingStatus {
    let distance = (reason == Reason::Near).then(|| near(12.5).distance);
    WaitingStatus { player: player(), peer_id: peer_id(), reason, distance }
}

fn source() -> SourceStatus {
    SourceStatus { player: Some(player()), peer_id: peer_id(), bytes: 1_000_000 }
}

fn upload() -> UploadStatus {
    UploadStatus { player: Some(player()), peer_id: peer_id(), bytes: 3_000_000, rate: 1_000_000 }
}

fn rate(bytes: u64) -> Option<Rate> {
    Some(bytes.try_into().expect("above the floor"))
}

fn peers() -> Vec<PeerStatus> {
    let connected = PeerStatus {
        player: Some(player()),
        peer_id: peer_id(),
        state: PeerState::Connected,
        path: Some(PathKind::Direct),
        rtt_ms: Some(12.5),
        cause: None,
        why_relayed: None,
        paths: Vec::new(),
    };
    let lost = PeerStatus {
        player: None,
        state: PeerState::Disconnected,
        path: None,
        rtt_ms: None,
        cause: Some("the other side stopped".into()),
        ..connected.clone()
    };
    let in_state = |state| PeerStatus { state, path: None, rtt_ms: None, ..connected.clone() };
    let between =
        [PeerState::Connecting, PeerState::Authenticating, PeerState::Reconnecting, PeerState::FailingOver]
            .map(in_state);
    let on_path = |path| {
        let why_relayed = (path == Relay).then(|| "no UDP gets through your network".to_owned());
        PeerStatus { path: Some(path), why_relayed, ..connected.clone() }
    };
    use PathKind::{Lan, Loopback, Mapped, Punched, Relay, RelayTcp};
    let others = [Loopback, Lan, Mapped, Punched, Relay, RelayTcp].map(on_path);
    let paths = vec![
        PathStatus { path: Punched, in_use: true, rtt_ms: 12.5, loss_percent: Some(2.5) },
        PathStatus { path: Relay, in_use: false, rtt_ms: 40.25, loss_percent: None },
    ];
    let choice = PeerStatus { path: Some(Punched), paths, ..connected.clone() };
    [vec![connected.clone(), lost], between.into(), others.into(), vec![choice]].concat()
}

fn contacts() -> Vec<Contact> {
    let paired = Contact {
        player: Some(player()),
        peer_id: Some(peer_id()),
        standing: Standing::Paired,
        since: 1_700_000_000_000,
        online: true,
        known_key: None,
        looks_like: None,
        mixed_scripts: false,
        rivals: vec![],
        relay: None,
    };
    let away = Contact { online: false, ..paired.clone() };
    let requested =
        Contact { peer_id: None, standing: Standing::Requested, relay: Some(RelayUse::On), ..away.clone() };
    let other = Some(PeerId::from_bytes([8; 32]));
    let asking =
        Contact { peer_id: other, standing: Standing::Asking, known_key: Some(peer_id()), ..away.clone() };
    let blocked = Contact { player: None, standing: Standing::Blocked, ..away.clone() };
    let alike = Contact {
        player: "Alice Αshe@Gilgamesh".parse().ok(),
        known_key: None,
        looks_like: Some(player()),
        mixed_scripts: true,
        ..asking.clone()
    };
    let hidden = Contact { relay: Some(RelayUse::Only), ..away };
    vec![paired, requested, asking, blocked, alike, hidden]
}

fn cache_stats() -> CacheStats {
    CacheStats {
        bytes: 1000,
        files: 10,
        limit: 1 << 30,
        pinned: 500,
        dir: "/home/bob/.local/share/fyteclub".into(),
        free: Some(900_000_000),
        min_free: 1 << 30,
        low_disk: true,
        away: false,
    }
}

fn status() -> Status {
    let phonebook = PhonebookStatus {
        url: "http://127.0.0.1:3000".into(),
        ok: true,
        live: true,
        last_answer: Some(1_700_000_000_000),
        error: None,
    };
    Status {
        version: "0.1.0".into(),
        peer_id: peer_id(),
        player: Some(player()),
        listen: "0.0.0.0:7777".into(),
        port_mapping: "11.22.33.44:40000 leads to this machine by PCP".into(),
        mapping: PortMapping {
            state: MappingState::Mapped,
            words: "11.22.33.44:40000 leads to this machine by PCP".into(),
            outside: Some("11.22.33.44:40000".into()),
            protocol: Some("PCP".into()),
            lease_seconds: Some(3600),
            counts: MappingCounts { requests: 2, answers: 2, granted: 1, ..MappingCounts::default() },
            ..PortMapping::default()
        },
        network: NetworkStatus {
            nat: NatKind::Same,
            address: Some(([203, 0, 113, 7], 40_000).into()),
            meaning: "the router keeps one outside port for everybody".into(),
        },
        phonebooks: vec![
            phonebook.clone(),
            PhonebookStatus {
                ok: false,
                live: false,
                last_answer: None,
                error: Some("refused".into()),
                ..phonebook
            },
        ],
        appearance: Some(look()),
        appearance_trouble: None,
        peers: peers()[..2].to_vec(),
        transfers: vec![transfer()],
        cache: cache_stats(),
        seq: 6,
        ledger: [
            ("documents".to_owned(), Charged { charged: 12, refusals: 3 }),
            ("unread".to_owned(), Charged { charged: 7_000_000, refusals: 0 }),
        ]
        .into(),
    }
}

fn idle() -> Status {
    Status {
        player: None,
        phonebooks: vec![],
        appearance: None,
        appearance_trouble: Some("the mod's folder is gone".into()),
        peers: vec![],
        transfers: vec![],
        cache: CacheStats::default(),
        seq: 0,
        ledger: Default::default(),
        port_mapping: "off".into(),
        mapping: PortMapping { words: "off".into(), ..PortMapping::default() },
        ..status()
    }
}

fn behind(nat: NatKind, state: MappingState) -> Status {
    let mapping = PortMapping { state, ..idle().mapping };
    Status { network: NetworkStatus { nat, ..status().network }, mapping, ..idle() }
}

fn fetched() -> Fetched {
    let player_object = FetchedObject {
        kind: ObjectKind::Player,
        swaps: vec![Swap {
            game_paths: vec!["chara/a.mtrl".parse().expect("a game path")],
            to: "chara/b.mtrl".parse().expect("a game path"),
        }],
        glamourer: Some("glamourer".into()),
        customize_plus: Some("customize+".into()),
    };
    let bare = |kind| FetchedObject { kind, swaps: vec![], glamourer: None, customize_plus: None };
    Fetched {
        player: player(),
        appearance: look(),
        files: vec![FetchedFile {
            game_paths: vec!["chara/a.tex".parse().expect("a game path")],
            hash: BlobHash::of(b"a"),
            size: 1,
            path: "/home/bob/.local/share/fyteclub/blobs/a.tex".into(),
            object: 0,
        }],
        bytes_total: 210_000_000,
        bytes_transferred: 100_000_000,
        bytes_fetched: 200_000_000,
        seconds: 4.25,
        path: Some(PathKind::Lan),
        sources: vec![source()],
        objects: vec![
            player_object,
            bare(ObjectKind::MinionOrMount),
            bare(ObjectKind::Companion),
            bare(ObjectKind::Pet),
        ],
        strings: strings(),
        out: Some("/home/bob/mods/alice".into()),
    }
}

fn replies() -> Vec<Example> {
    let left_out = LeftOut {
        game_path: "chara/a.exe".into(),
        file: "a.exe".into(),
        reason: "extension: the game loads no file with this ending by path".into(),
    };
    let published = Published { appearance: look(), files: 1, bytes: 70_000, left_out: vec![left_out] };
    let nothing_travelled = Fetched {
        files: vec![],
        bytes_transferred: 0,
        bytes_fetched: 0,
        path: None,
        sources: vec![],
        objects: vec![],
        strings: Strings::default(),
        out: None,
        ..fetched()
    };
    let moved = CacheMoved {
        from: "/home/bob/.local/share/fyteclub".into(),
        to: "/mnt/large/fyteclub".into(),
        files: 10,
        bytes: 1000,
        bad: vec![BlobHash::of(b"a")],
        unreadable: vec![],
        kept: 3,
    };
    let stuck = TransferStatus { rate: 0, remaining_seconds: None, reason: Reason::Prefetch, ..transfer() };
    let contact =
        NearContact { player: player(), peer_id: peer_id(), distance: near(12.5).distance, online: true };
    let disputed = Contact {
        peer_id: None,
        rivals: vec![peer_id(), PeerId::from_bytes([8; 32])],
        ..contacts().remove(1)
    };
    let failure = Reply::failure(1, Fault::new(FaultCode::NotFound, "nobody of that name is online"));
    vec![
        reply("hello", Hello { version: "0.1.0".into(), protocol: 1, peer_id: peer_id() }),
        reply("status", status()),
        reply("status_idle", idle()),
        reply("status_open", behind(NatKind::Open, MappingState::Searching)),
        reply("status_symmetric", behind(NatKind::PerDestination, MappingState::None)),
        reply("diagnosis", diagnosis()),
        reply("published", published),
        reply("fetched", fetched()),
        reply("fetched_nothing_travelled", nothing_travelled),
        reply("nearby", Nearby { contacts: vec![contact], others: 2 }),
        reply(
            "transfers",
            Transfers {
                downloads: vec![transfer(), stuck],
                uploads: vec![upload()],
                waiting: [Reason::Near, Reason::Prefetch].map(waiting).into(),
            },
        ),
        reply(
            "limits",
            Limits {
                limits: pace::Limits {
                    upload: rate(2 << 20),
                    peer_upload: rate(1 << 20),
                    ..pace::Limits::default()
                },
                set_here: true,
            },
        ),
        reply("peers", Peers { peers: peers() }),
        reply("contacts", Contacts { contacts: contacts() }),
        reply("contact", contacts().remove(0)),
        reply("contact_disputed", disputed),
        reply("invited", Invited { link: "fyteclub://join/x".into(), expires: 1_700_086_400_000 }),
        reply("cache_stats", cache_stats()),
        reply("cache_stats_disk_unknown", CacheStats { free: None, low_disk: false, ..cache_stats() }),
        reply("cache_stats_away", CacheStats { free: None, low_disk: false, away: true, ..cache_stats() }),
        reply(
            "cache_collected",
            CacheGced { files: 3, bytes: 300, unfinished: 1, bytes_left: 700, in_use: 500 },
        ),
        reply("cache_moved", moved.clone()),
        reply("cache_moved_without_damaged", CacheMoved { bad: vec![], ..moved }),
        reply(
            "cache_verified",
            CacheVerified { bad: vec![BlobHash::of(b"a")], missing: 2, unread: 1, ..verified() },
        ),
        reply(
            "cache_verified_with_unreadable",
            CacheVerified {
                unread: 1,
                unreadable: vec![CacheObstacle {
                    path: "/data/blobs/aa.tex".into(),
                    cause: "Permission denied (os error 13)".into(),
                }],
                ..verified()
            },
        ),
        reply(
            "cache_verified_with_obstacles",
            CacheVerified {
                obstacles: vec![CacheObstacle {
                    path: "/data/blobs/aa.tex".into(),
                    cause: "Operation not permitted (os error 1)".into(),
                }],
                ..verified()
            },
        ),
        reply("doctor_bundle", Bundle { text: "one text".into() }),
        reply("empty", Empty {}),
        Example::json("reply_failure", Notice::Reply(failure)),
    ]
}

fn verified() -> CacheVerified {
    CacheVerified {
        files: 10,
        bytes: 1000,
        bad: vec![],
        missing: 0,
        unread: 0,
        unreadable: vec![],
        obstacles: vec![],
    }
}

/// Every code and whether it is retryable: the strings that clients branch on.
fn faults() -> Vec<Example> {
    use FaultCode::*;
    let codes = [
        BadRequest,
        Unsupported,
        Version,
        HelloFirst,
        BadMod,
        NoPlayer,
        NotFound,
        PhonebookUnavailable,
        PhonebookRefused,
        NotAContact,
        KeyChanged,
        PeerUnreachable,
        PeerRefused,
        PeerMisbehaved,
        HashMismatch,
        Changed,
        TooLarge,
        DiskFull,
        CacheAway,
        Io,
        Busy,
        Cancelled,
        Stopping,
        BadReply,
        Internal,
        Unknown,
    ];
    let of =
        |codes: &[FaultCode]| codes.iter().map(|code| Fault::new(*code, "one sentence")).collect::<Vec<_>>();
    vec![Example::json("faults", of(&codes)), Example::json("faults_invitation", of(&[InvitationOver]))]
}

#[test]
fn local_api_equals_the_goldens() {
    let examples = [calls(), replies(), events(), faults()].into_iter().flatten().collect();
    let readers: &[(&str, Reader)] = &[
        ("call_", |text| {
            let call: Call = serde_json::from_str(text).map_err(|error| error.to_string())?;
            Request::from_call(&call).map(drop).map_err(|fault| fault.message)
        }),
        ("reply_", json::<Notice>),
        ("event_", |text| match serde_json::from_str(text) {
            Ok(Notice::Event(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }),
        ("faults", json::<Vec<Fault>>),
    ];
    check("local_v1", examples, readers);
}
