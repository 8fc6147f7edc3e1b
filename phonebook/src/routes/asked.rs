//! An admitted request.

use crate::{app_state::AppState, caller::Caller, io::connections::Connections};
use actix_web::{HttpRequest, web};

/// Made by [`super::serve`] only.
pub(super) struct Asked<'a> {
    pub(super) caller: Caller,
    pub(super) request: &'a HttpRequest,
    pub(super) app: &'a web::Data<AppState>,
    pub(super) connections: &'a Connections,
}
