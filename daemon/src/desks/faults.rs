//! Faults that several desks answer with.

use crate::io::store::StoreError;
use fyteclub_proto::local::{Fault, FaultCode};

/// A part of the daemon has stopped.
pub fn internal() -> Fault {
    Fault::new(FaultCode::Internal, "a part of the daemon does not answer; see its log")
}

pub fn bad_path(what: &str) -> Fault {
    Fault::new(FaultCode::BadRequest, format!("{what} must be an absolute path"))
}

pub fn store_fault(error: &StoreError) -> Fault {
    match error {
        StoreError::DiskFull { .. } | StoreError::DiskLow { .. } => Fault::new(
            FaultCode::DiskFull,
            format!("{error}: free some space and try again; verified chunks are kept"),
        ),
        StoreError::TooLarge { .. } => {
            Fault::new(FaultCode::TooLarge, format!("{error}: raise cache_limit in the configuration"))
        }
        StoreError::Away { .. } => Fault::new(FaultCode::CacheAway, error.to_string()),
        other => Fault::new(FaultCode::Io, other.to_string()),
    }
}
