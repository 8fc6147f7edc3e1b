//! Frames, the peers' messages, and record headers.

use crate::modest;
use fyteclub_fuzz::{fuzz, seed::goldens};
use fyteclub_proto::{
    codec,
    frame::{self, Frame, FrameError},
    limit,
    number::{index, u64_of},
    peer::{
        AppearanceReply, Control, GrantReply, HoldingReply, Message, PiecesReply, PossessionReply, Request,
        record::{HEADER, Header, Kind},
    },
};
use serde::Serialize;
use std::fmt::Debug;

/// An accepted message encodes to itself, and the encoding fits a frame.
fn accepted<T: Message + Serialize + PartialEq + Debug>(input: &[u8]) -> Option<T> {
    let message = modest(input, || T::decode(input)).ok()?;
    let bytes = codec::encode(&message);
    assert!(bytes.len() <= input.len(), "an encoding is never longer than what it was read from");
    assert_eq!(T::decode(&bytes).as_ref(), Ok(&message));
    Some(message)
}

#[test]
fn control() {
    fuzz!(goldens("peer_v1", &["control_"]), |input: &[u8]| {
        let (versions, greeting) = match accepted(input) {
            Some(Control::Hello(hello)) => (hello.versions.len(), hello.greeting),
            Some(Control::HelloAck(ack)) => (1, ack.greeting),
            Some(Control::Offer { offer, .. }) => return assert!(offer.len() <= limit::LETTER_BYTES_MAX),
            Some(Control::Published(_)) | None => return,
        };
        assert!(versions <= 16 && greeting.agent.len() <= 64);
    });
}

#[test]
fn request() {
    fuzz!(goldens("peer_v1", &["request_"]), |input: &[u8]| {
        let pieces = match accepted(input) {
            Some(Request::Pieces(pieces) | Request::Granted { pieces, .. }) => pieces,
            Some(Request::Possession { blobs, .. }) => {
                assert!((1..=limit::PROOFS_MAX).contains(&blobs.len()));
                return assert!(blobs.iter().all(|content| content.size <= limit::FILE_SIZE_MAX));
            }
            Some(_) | None => return,
        };
        assert!((1..=limit::REQUEST_ITEMS_MAX).contains(&pieces.len()));
        for piece in pieces {
            let end = u64::from(piece.first) + u64::from(piece.count);
            assert!(piece.count > 0 && end <= u64_of(limit::BLOB_CHUNKS_MAX));
        }
    });
}

#[test]
fn appearance_reply() {
    fuzz!(goldens("peer_v1", &["appearance_reply_"]), |input: &[u8]| {
        if let Some(AppearanceReply::Document { len, .. }) = accepted(input) {
            assert!(index(len) <= limit::APPEARANCE_BYTES_MAX);
        }
    });
}

#[test]
fn holding_reply() {
    fuzz!(goldens("peer_v1", &["holding_reply_"]), |input: &[u8]| {
        if let Some(HoldingReply::Holds { bits, .. }) = accepted(input) {
            assert!(bits.len() <= limit::HOLDING_BYTES_MAX);
        }
    });
}

#[test]
fn possession_reply() {
    fuzz!(goldens("peer_v1", &["possession_reply_"]), |input: &[u8]| {
        if let Some(PossessionReply::Proofs(proofs)) = accepted(input) {
            assert!(proofs.len() <= limit::PROOFS_MAX);
        }
    });
}

#[test]
fn grant_reply() {
    fuzz!(goldens("peer_v1", &["grant_reply_"]), |input: &[u8]| {
        accepted::<GrantReply>(input);
    });
}

#[test]
fn pieces_reply() {
    fuzz!(goldens("peer_v1", &["pieces_reply_"]), |input: &[u8]| {
        accepted::<PiecesReply>(input);
    });
}

#[test]
fn record_header() {
    fuzz!(goldens("peer_v1", &["record_"]), |input: &[u8]| {
        let Some((bytes, _)) = input.split_first_chunk::<HEADER>() else { return };
        let Ok(header) = Header::decode(*bytes) else { return };
        assert_eq!(header.encode(), *bytes);
        let size = u64::from(bytes[4]) * 100_000;
        for index in 0..4 {
            if header.fits_chunk(size, index).is_ok() {
                assert!(matches!(header.kind, Kind::Raw | Kind::Zstd));
                assert!(
                    u64::from(header.len) <= size
                        && fyteclub_proto::number::index(header.len) <= limit::CHUNK_SIZE
                );
            }
        }
    });
}

/// A byte-by-byte reference of the format.
fn naive(input: &[u8], max: usize) -> Result<Frame<'_>, FrameError> {
    if input.len() < 4 {
        return Ok(Frame::Incomplete { missing: 4 - input.len() });
    }
    let claimed = (0..4).map(|at| usize::from(input[at]) << (8 * at)).sum();
    if claimed == 0 {
        return Err(FrameError::Empty);
    }
    if claimed > max {
        return Err(FrameError::TooLong { claimed, max });
    }
    let used = 4 + claimed;
    if input.len() < used {
        return Ok(Frame::Incomplete { missing: used - input.len() });
    }
    Ok(Frame::Whole { body: &input[4..used], used })
}

#[test]
fn frames() {
    let framed = |body: &Vec<u8>| frame::join(body, limit::PEER_FRAME_MAX).expect("goldens are short");
    let bodies = goldens("peer_v1", &["control_", "request_"]);
    let seeds: Vec<_> = bodies.iter().map(framed).chain([bodies.iter().flat_map(framed).collect()]).collect();
    fuzz!(seeds, |input: &[u8]| {
        for max in [16, 300, limit::PEER_FRAME_MAX, limit::LOCAL_FRAME_MAX] {
            let mut rest = input;
            loop {
                let split = frame::split(rest, max);
                assert_eq!(split, naive(rest, max));
                match split {
                    Ok(Frame::Whole { body, used }) => {
                        assert_eq!(frame::join(body, max).as_deref(), Ok(&rest[..used]));
                        rest = &rest[used..];
                    }
                    Ok(Frame::Incomplete { missing }) => {
                        assert!((1..=max + frame::HEADER).contains(&missing));
                        break;
                    }
                    Err(_) => break,
                }
            }
        }
    });
}
