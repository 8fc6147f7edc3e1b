//! The caller of a request, computed once by the admission.

use crate::metrics::Route;
use actix_web::{HttpMessage, HttpRequest};
use std::net::IpAddr;

/// Stored in the extensions of every admitted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The client's address, not a trusted proxy's.
    pub(crate) address: IpAddr,
    pub(crate) route: Route,
}

impl Caller {
    /// `None` if the request bypassed the admission.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get().copied()
    }
}
