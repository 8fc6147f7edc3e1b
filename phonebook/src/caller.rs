//! Who asks for what: found out once a request, by the admission, and handed to everything behind it.

use crate::metrics::Route;
use actix_web::{HttpMessage, HttpRequest};
use std::net::IpAddr;

/// In the extensions of every request that was admitted, and of no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The client's, where a trusted proxy brought the request.
    pub(crate) address: IpAddr,
    pub(crate) route: Route,
}

impl Caller {
    /// `None` for a request that did not come through the admission.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get().copied()
    }
}
