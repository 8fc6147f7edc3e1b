//! Errors of pumps and of the store as the machine's inputs and clients' faults.

use crate::{
    desks::faults::store_fault,
    io::{quic::stream::StreamError, store::StoreError},
    pumps::{
        plan::{Plan, PlanError, Unready},
        pull::AppearancePullError,
    },
};
use fyteclub_proto::{
    fetching::fetch::{self, DocumentFailure, PlanFailure, Planned, Unkept},
    peer::CloseCode,
};

pub(super) fn document_failure(error: &AppearancePullError) -> DocumentFailure {
    match error {
        AppearancePullError::Nothing => DocumentFailure::Nothing,
        AppearancePullError::Unsealed => DocumentFailure::Misbehaved(CloseCode::WrongBytes),
        AppearancePullError::Stream(error) => match error.misbehaviour() {
            Some(code) => DocumentFailure::Misbehaved(code),
            None if matches!(error, StreamError::Short) => DocumentFailure::Late(error.to_string()),
            None => DocumentFailure::Broken,
        },
    }
}

pub(super) fn plan_failure(error: PlanError) -> PlanFailure {
    match error {
        PlanError::Appearance(error) => PlanFailure::Unacceptable(error.to_string()),
        PlanError::Name { says } => PlanFailure::OtherName(says),
        PlanError::Store(error) => PlanFailure::Local(store_fault(&error)),
        PlanError::NoFreeSpace => PlanFailure::NoFreeSpace,
    }
}

pub(super) fn unkept(error: &StoreError) -> Unkept {
    if error.is_disk_full() {
        Unkept::DiskFull(store_fault(error))
    } else if error.is_lost() {
        Unkept::Vanished
    } else {
        Unkept::Local(store_fault(error))
    }
}

pub(super) fn unready(error: &Unready) -> fetch::Unready {
    match error {
        Unready::Lost => fetch::Unready::Vanished,
        Unready::Store(error) => fetch::Unready::Local(store_fault(error)),
    }
}

pub(super) fn planned(plan: &Plan) -> Planned {
    let (files, bytes) = plan.look.totals();
    Planned {
        look: plan.appearance,
        blobs: plan.blobs.iter().map(|content| content.hash).collect(),
        wanted: plan.wanted.clone(),
        missing_bytes: plan.missing_bytes,
        files,
        bytes,
    }
}
