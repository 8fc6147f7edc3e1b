//! Replies about the cache: the store's results as types of the local API.

use crate::{
    desks::{faults::store_fault, orders::Answer},
    io::store::{Collected, MoveError, Moved, Obstacle, Stats, StoreError, Verified},
};
use fyteclub_proto::{
    local::{
        Fault, FaultCode,
        reply::{CacheGced, CacheMoved, CacheObstacle, CacheStats, CacheVerified},
    },
    number::u64_of,
};

/// `low_disk`: the disk lacks space, and no peer is sent a new request.
pub fn stats(stats: &Stats, low_disk: bool) -> CacheStats {
    CacheStats {
        bytes: stats.bytes,
        files: u64_of(stats.files),
        limit: stats.limit,
        pinned: u64_of(stats.pinned),
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
        files: u64_of(verified.files),
        bytes: verified.bytes,
        bad: verified.bad,
        missing: u64_of(verified.missing.len()),
        unread: u64_of(verified.unreadable.len()),
        unreadable: verified.unreadable.into_iter().map(obstacle).collect(),
        obstacles: verified.obstacles.into_iter().map(obstacle).collect(),
    })
}

fn obstacle(Obstacle { path, cause, .. }: Obstacle) -> CacheObstacle {
    CacheObstacle { path: path.to_string_lossy().into_owned(), cause }
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
        files: u64_of(moved.files),
        bytes: moved.bytes,
        bad: moved.bad,
        unreadable: moved.unreadable.into_iter().map(obstacle).collect(),
        kept: u64_of(moved.kept),
    })
}

fn move_fault(error: &MoveError) -> Fault {
    let code = match error {
        MoveError::Store(error) => return store_fault(error),
        MoveError::NoSpace { .. } => FaultCode::DiskFull,
        MoveError::NotWritable { .. } | MoveError::Unfaithful { .. } | MoveError::Unfinished { .. } => {
            FaultCode::Io
        }
        MoveError::Busy => FaultCode::Busy,
        MoveError::Cancelled => FaultCode::Cancelled,
        _ => FaultCode::BadRequest,
    };
    Fault::new(code, error.to_string())
}
