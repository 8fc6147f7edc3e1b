//! A request with what its handler may need.

use crate::{app_state::AppState, caller::Caller, io::connections::Connections};
use actix_web::{HttpRequest, web};

/// Made by [`super::serve`] only, of a request that was admitted.
pub(super) struct Asked<'a> {
    pub(super) caller: Caller,
    pub(super) request: &'a HttpRequest,
    pub(super) app: &'a web::Data<AppState>,
    pub(super) connections: &'a Connections,
}
