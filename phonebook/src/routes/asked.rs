//! A request with what its handler may need.

use crate::{caller::Caller, desk::Desk, io::patience::Lines};
use actix_web::{HttpRequest, web};

/// Made by [`super::serve`] only, of a request that was admitted.
pub(super) struct Asked<'a> {
    pub(super) caller: Caller,
    pub(super) request: &'a HttpRequest,
    pub(super) desk: &'a web::Data<Desk>,
    pub(super) lines: &'a Lines,
}
