//! Replies about the cache: the store's results as types of the local API.

use crate::{
    desks::{faults::store_fault, orders::Answer},
    io::store::{Collected, MoveError, Moved, Stats, StoreError, Verified},
};
use fyteclub_proto::local::{
    Fault, FaultCode,
    reply::{CacheGced, CacheMoved, CacheStats, CacheVerified},
};

/// `low_disk`: the disk lacks space, and no peer is sent a new request.
pub fn stats(stats: &Stats, low_disk: bool) -> CacheStats {
    CacheStats {
        bytes: stats.bytes,
        files: stats.files as u64,
        limit: stats.limit,
        pinned: stats.pinned as u64,
        dir: stats.dir.to_string_lossy().into_owned(),
        free: stats.disk.map(|disk| disk.free),
        min_free: stats.disk.map_or(0, |disk| disk.floor),
        low_disk,
        away: stats.away,
    }
}

pub fn verified(verified: Result<Verified, StoreError>) -> Answer<CacheVerified> {
    let verified = verified.map_err(|error| store_fault(&error))?;
    if verified.cancelled {
        return Err(Fault::new(FaultCode::Cancelled, "cancelled before every file was read"));
    }
    Ok(CacheVerified {
        files: verified.files as u64,
        bytes: verified.bytes,
        bad: verified.bad,
        missing: verified.missing.len() as u64,
        unread: verified.unread as u64,
    })
}

pub fn collected(collected: Result<Collected, StoreError>) -> Answer<CacheGced> {
    let collected = collected.map_err(|error| store_fault(&error))?;
    Ok(CacheGced {
        files: collected.evicted.files,
        bytes: collected.evicted.bytes,
        unfinished: collected.unfinished,
        bytes_left: collected.bytes_left,
        in_use: collected.in_use,
    })
}

pub fn moved(moved: Result<Moved, MoveError>) -> Answer<CacheMoved> {
    let moved = moved.map_err(|error| move_fault(&error))?;
    Ok(CacheMoved {
        from: moved.from.to_string_lossy().into_owned(),
        to: moved.to.to_string_lossy().into_owned(),
        files: moved.files as u64,
        bytes: moved.bytes,
        bad: moved.bad,
        kept: moved.kept as u64,
    })
}

fn move_fault(error: &MoveError) -> Fault {
    let code = match error {
        MoveError::Store(error) => return store_fault(error),
        MoveError::NoRoom { .. } => FaultCode::DiskFull,
        MoveError::NotWritable { .. } | MoveError::Unfaithful { .. } => FaultCode::Io,
        MoveError::Busy => FaultCode::Busy,
        MoveError::Cancelled => FaultCode::Cancelled,
        _ => FaultCode::BadRequest,
    };
    Fault::new(code, error.to_string())
}
