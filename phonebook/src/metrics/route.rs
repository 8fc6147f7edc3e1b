//! The routes of the public listener: a closed list, used for dispatch, budgets and metric labels.

use crate::limits::Class;
use actix_web::http::Method;
use prometheus_client::encoding::EncodeLabelValue;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Route {
    Register,
    Unregister,
    Lookup,
    /// A lookup of several names.
    Batch,
    /// Opens a WebSocket; its messages are counted elsewhere.
    Live,
    /// A long poll.
    Poll,
    /// Opens a WebSocket for a relay's frames.
    Relay,
    Health,
    Status,
    Debug,
    /// Unknown paths.
    Other,
}

/// The only path that needs no password, for supervisors.
pub(crate) const OPEN: &str = "/health";

impl Route {
    /// Where [`Self::ALL`] has it.
    #[expect(clippy::as_conversions, reason = "they are declared in that order")]
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) const ALL: [Self; 11] = [
        Self::Register,
        Self::Unregister,
        Self::Lookup,
        Self::Batch,
        Self::Live,
        Self::Poll,
        Self::Relay,
        Self::Health,
        Self::Status,
        Self::Debug,
        Self::Other,
    ];

    pub(crate) fn of(method: &Method, path: &str) -> Self {
        match path {
            "/api/register" => Self::Register,
            "/api/unregister" => Self::Unregister,
            "/api/lookup" if method == Method::POST => Self::Batch,
            "/api/live" if method == Method::POST => Self::Poll,
            "/api/live" => Self::Live,
            "/api/relay" => Self::Relay,
            OPEN | "/api/health" => Self::Health,
            "/api/status" => Self::Status,
            "/api/debug/players" => Self::Debug,
            path if path.starts_with("/api/lookup/") => Self::Lookup,
            _ => Self::Other,
        }
    }

    /// Paths of the route, and spellings that must not reach it.
    #[cfg(test)]
    pub(crate) fn examples(self) -> &'static [&'static str] {
        match self {
            Self::Register => &["/api/register", "/api/register?x=/health"],
            Self::Unregister => &["/api/unregister"],
            Self::Lookup => &["/api/lookup/A%20B@W", "/api/lookup/", "/api/lookup/../health"],
            Self::Batch => &["/api/lookup"],
            Self::Live | Self::Poll => &["/api/live"],
            Self::Relay => &["/api/relay"],
            Self::Health => &["/health", "/api/health"],
            Self::Status => &["/api/status"],
            Self::Debug => &["/api/debug/players"],
            Self::Other => &[
                "/",
                "/api",
                "/api/",
                "/api/status/",
                "/%61pi/status",
                "/a%70i/lookup/A@B",
                "//api/status",
                "/api//status",
                "/API/status",
                "/api/%73tatus",
                "/./api/status",
                "/health/../api/status",
                "/health/",
            ],
        }
    }

    /// The budget that the admission charges. A batch's handler charges the further names.
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Register | Self::Unregister => Class::Registration,
            // A poll costs a signature check, and comes three times a minute.
            Self::Lookup | Self::Batch | Self::Poll => Class::Lookup,
            Self::Live | Self::Relay => Class::Socket,
            Self::Health | Self::Status | Self::Debug | Self::Other => Class::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_route_and_never_becomes_one() {
        for (method, path, route) in [
            (Method::GET, "/api/lookup/Alice%20Ashe@Omega", Route::Lookup),
            (Method::POST, "/api/lookup", Route::Batch),
            (Method::GET, "/api/lookup", Route::Other),
            (Method::POST, "/api/register", Route::Register),
            (Method::DELETE, "/api/unregister", Route::Unregister),
            (Method::GET, "/api/live", Route::Live),
            (Method::GET, "/api/relay", Route::Relay),
            (Method::GET, "/api/registers", Route::Other),
            (Method::GET, "/", Route::Other),
        ] {
            assert_eq!(Route::of(&method, path), route, "{path}");
        }
        assert!(Route::ALL.iter().enumerate().all(|(place, route)| *route as usize == place));
    }
}
