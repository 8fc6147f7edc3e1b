//! Every call.

use super::{Example, near, peer_id, player, rate, raw, strings};
use fyteclub_proto::{
    appearance::ObjectKind,
    fetching::pace,
    local::{
        Request,
        request::{self, LocalFile, LocalObject, LocalSwap, NearbySet, OptionChoice},
    },
    reaching::traversal::RelayUse,
};

/// A call in its frame, which must also parse into its request.
fn call(name: &str, request: Request) -> Example {
    let call = request.clone().into_call(1).expect("encodes");
    assert_eq!(Request::from_call(&call).as_ref(), Ok(&request));
    raw(&format!("call_{name}"), call)
}

pub(crate) fn calls() -> Vec<Example> {
    let hello = request::Hello { client: "fyteclubctl 0.1.0".into(), versions: vec![1] };
    let publish_mod = request::AppearancePublishMod {
        path: "/home/alice/mods/Dress".into(),
        options: vec![OptionChoice { group: "Colour".into(), option: "Red".into() }],
    };
    let object = LocalObject {
        kind: ObjectKind::Player,
        files: vec![LocalFile {
            path: "C:\\Mods\\Dress\\a.tex".into(),
            game_paths: vec!["chara/a.tex".into()],
        }],
        swaps: vec![LocalSwap { game_paths: vec!["chara/a.mtrl".into()], to: "chara/b.mtrl".into() }],
        glamourer: Some("glamourer".into()),
        customize_plus: Some("customize+".into()),
    };
    let publish = request::AppearancePublish { objects: vec![object], strings: strings() };
    vec![
        call("hello", Request::Hello(hello)),
        call("status", Request::Status),
        call("doctor", Request::Doctor(request::Doctor::default())),
        call(
            "doctor_peer",
            Request::Doctor(request::Doctor { player: Some(player()), peer_id: Some(peer_id()) }),
        ),
        call(
            "doctor_bundle",
            Request::DoctorBundle(request::DoctorBundle { player: Some(player()), peer_id: Some(peer_id()) }),
        ),
        call("debug", Request::Debug(request::Debug { on: true })),
        call("publish_mod", Request::AppearancePublishMod(publish_mod.clone())),
        call(
            "publish_mod_defaults",
            Request::AppearancePublishMod(request::AppearancePublishMod { options: vec![], ..publish_mod }),
        ),
        call("publish", Request::AppearancePublish(publish)),
        call("publish_nothing", Request::AppearancePublish(request::AppearancePublish::default())),
        call("unpublish", Request::AppearanceClear),
        call(
            "fetch",
            Request::PeerFetch(request::PeerFetch { player: player(), out: Some("/tmp/out".into()) }),
        ),
        call("fetch_to_cache", Request::PeerFetch(request::PeerFetch { player: player(), out: None })),
        call("cancel", Request::PeerCancel(request::PeerCancel { player: player() })),
        call("reconnect", Request::PeerReconnect(request::PeerReconnect { player: player() })),
        call("failover", Request::PeerFailover(request::PeerFailover { player: player() })),
        call("nearby", Request::NearbyList),
        call(
            "nearby_set",
            Request::NearbySet(NearbySet { players: Some(vec![near(12.5)]), ..NearbySet::default() }),
        ),
        call(
            "nearby_set_change",
            Request::NearbySet(NearbySet {
                players: None,
                add: vec![near(0.0)],
                remove: vec![player()],
                keep_secs: Some(600),
            }),
        ),
        call("transfers", Request::TransferList),
        call("limits", Request::LimitsGet),
        call(
            "limits_set",
            Request::LimitsSet(pace::Change {
                upload: Some(rate(2 << 20)),
                download: Some(None),
                peer_upload: Some(rate(1 << 20)),
                peer_download: Some(None),
                lan: Some(false),
            }),
        ),
        call(
            "limits_set_one",
            Request::LimitsSet(pace::Change { upload: Some(None), ..pace::Change::default() }),
        ),
        call("limits_reset", Request::LimitsReset),
        call("peers", Request::PeerList),
        call(
            "connect",
            Request::PeerConnect(request::PeerConnect {
                peer_id: peer_id(),
                address: "192.168.1.5:7777".parse().expect("an address"),
            }),
        ),
        call("trust", Request::PeerTrust(request::PeerTrust { player: player(), peer_id: peer_id() })),
        call("contacts", Request::ContactsList),
        call("contacts_add", Request::ContactsAdd(request::ContactsAdd { player: player(), peer_id: None })),
        call(
            "contacts_add_key",
            Request::ContactsAdd(request::ContactsAdd { player: player(), peer_id: Some(peer_id()) }),
        ),
        call("contacts_accept", Request::ContactsAccept(player().into())),
        call("contacts_remove", Request::ContactsRemove(player().into())),
        call("contacts_block", Request::ContactsBlock(peer_id().into())),
        call("contacts_unblock", Request::ContactsUnblock(peer_id().into())),
        call(
            "contacts_set",
            Request::ContactsSet(request::ContactsSet {
                player: Some(player()),
                relay: Some(RelayUse::Only),
                ..request::ContactsSet::default()
            }),
        ),
        call("contacts_invite", Request::ContactsInvite),
        call(
            "contacts_join",
            Request::ContactsJoin(request::ContactsJoin { link: "fyteclub://join/x".into() }),
        ),
        call("cache_stats", Request::CacheStats),
        call("cache_verify", Request::CacheVerify),
        call("cache_gc", Request::CacheGc(request::CacheGc::default())),
        call(
            "cache_gc_more",
            Request::CacheGc(request::CacheGc { to: Some(1 << 30), older_than_secs: Some(2_592_000) }),
        ),
        call("cache_move", Request::CacheMove(request::CacheMove { dir: "/mnt/large/fyteclub".into() })),
        call("watch", Request::Watch),
        call("shutdown", Request::Shutdown),
    ]
}
