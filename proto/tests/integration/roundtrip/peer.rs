//! Random values of the peer wire.

use super::look::*;
use fyteclub_proto::{
    blob::Content,
    bytes::Bytes,
    grant::Grant,
    limit,
    local::request::Strings,
    number::u32_of,
    peer::{
        AppearanceReply, Control, GrantReply, Greeting, Hello, HelloAck, HoldingReply, Piece, PiecesReply,
        PossessionReply, Request,
        record::{Header, Kind},
    },
    possession::Span,
};
use proptest::{collection::vec, option, prelude::*};

pub(crate) fn greeting() -> impl Strategy<Value = Greeting> {
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

pub(crate) fn control() -> impl Strategy<Value = Control> {
    prop_oneof![
        (vec(any::<u16>(), 0..=16), greeting())
            .prop_map(|(versions, greeting)| Control::Hello(Hello { versions, greeting })),
        (any::<u16>(), greeting())
            .prop_map(|(version, greeting)| Control::HelloAck(HelloAck { version, greeting })),
        option::of(blob()).prop_map(Control::Published),
        (any::<[u8; 16]>(), vec(any::<u8>(), 0..=limit::LETTER_BYTES_MAX))
            .prop_map(|(attempt, offer)| Control::Offer { attempt: Bytes(attempt), offer }),
    ]
}

pub(crate) fn peer_request() -> impl Strategy<Value = Request> {
    let piece = (blob(), any::<bool>(), 0..u32_of(limit::BLOB_CHUNKS_MAX), 1..=16u32).prop_map(
        |(hash, tree, first, count)| {
            let first = first.min(u32_of(limit::BLOB_CHUNKS_MAX) - count);
            Piece { hash, tree, first, count }
        },
    );
    let pieces = vec(piece, 1..=8).boxed();
    prop_oneof![
        Just(Request::Appearance),
        pieces.clone().prop_map(Request::Pieces),
        any::<[u8; 32]>().prop_map(|tag| Request::Holding { tag: Bytes(tag) }),
        (grant(), pieces).prop_map(|(grant, pieces)| Request::Granted { grant, pieces }),
        possession(),
        blob().prop_map(|look| Request::Grant { look }),
    ]
}

fn possession() -> impl Strategy<Value = Request> {
    let content = (blob(), 0..=limit::FILE_SIZE_MAX).prop_map(|(hash, size)| Content { hash, size });
    let span = prop_oneof![Just(Span::Sample), Just(Span::Whole)];
    (any::<[u8; 32]>(), span, vec(content, 1..=8)).prop_map(|(nonce, span, blobs)| Request::Possession {
        nonce: Bytes(nonce),
        span,
        blobs,
    })
}

pub(crate) fn possession_reply() -> impl Strategy<Value = PossessionReply> {
    let proof = option::of(any::<[u8; 32]>().prop_map(Bytes));
    prop_oneof![
        Just(PossessionReply::Nothing),
        vec(proof, 0..=limit::PROOFS_MAX).prop_map(PossessionReply::Proofs),
    ]
}

pub(crate) fn grant_reply() -> impl Strategy<Value = GrantReply> {
    prop_oneof![Just(GrantReply::Nothing), grant().prop_map(GrantReply::Given)]
}

pub(crate) fn grant() -> impl Strategy<Value = Grant> {
    (peer_id(), peer_id(), blob(), any::<u64>(), vec(any::<u8>(), 64)).prop_map(
        |(owner, to, look, until, signature)| {
            let signature = Bytes(signature.try_into().expect("64 bytes"));
            Grant { owner, to, look, until, signature }
        },
    )
}

pub(crate) fn holding_reply() -> impl Strategy<Value = HoldingReply> {
    let bits = vec(any::<u8>(), 0..=limit::HOLDING_BYTES_MAX);
    prop_oneof![
        Just(HoldingReply::Nothing),
        (bits, any::<bool>()).prop_map(|(bits, growing)| HoldingReply::Holds { bits, growing }),
    ]
}

pub(crate) fn appearance_reply() -> impl Strategy<Value = AppearanceReply> {
    let document = (any::<u32>(), 0..=u32_of(limit::APPEARANCE_BYTES_MAX), grant());
    prop_oneof![
        document.prop_map(|(epoch, len, grant)| AppearanceReply::Document { epoch, len, grant }),
        Just(AppearanceReply::Nothing),
    ]
}

pub(crate) fn pieces_reply() -> impl Strategy<Value = PiecesReply> {
    let serving = any::<u32>().prop_map(|epoch| PiecesReply::Serving { epoch });
    prop_oneof![serving, Just(PiecesReply::NotShared), Just(PiecesReply::Busy)]
}

pub(crate) fn header() -> impl Strategy<Value = Header> {
    let chunk = u32_of(limit::CHUNK_SIZE);
    prop_oneof![
        (0..=chunk).prop_map(|len| Header { kind: Kind::Raw, len }),
        (1..chunk).prop_map(|len| Header { kind: Kind::Zstd, len }),
        (0..=u32_of(limit::BLOB_CHUNKS_MAX)).prop_map(|count| Header { kind: Kind::Tree, len: count * 32 }),
        Just(Header { kind: Kind::Gone, len: 0 }),
        Just(Header { kind: Kind::Changed, len: 0 }),
    ]
}

pub(crate) fn strings() -> impl Strategy<Value = Strings> {
    (vec(option::of(text()), 5), texts()).prop_map(|(mut strings, ext)| {
        let mut next = || strings.pop().flatten();
        Strings { meta: next(), heels: next(), honorific: next(), moodles: next(), pet_names: next(), ext }
    })
}
