//! `/api/relay`: GET opens a WebSocket for a relay's frames.

use super::{asked::Asked, live::upgraded};
use crate::{datagrams::web_socket::RelaySocket, problem::Problem};
use actix_web::{HttpResponse, web};

pub(super) fn socket(asked: &Asked<'_>, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let Asked { caller, request, app, connections } = *asked;
    let hub = app.live.hub.as_ref().ok_or(Problem::NoEndpoint)?;
    let mut upgrade = upgraded(request)?;
    Ok(upgrade.streaming(RelaySocket::open(request, payload, app, hub, connections, caller.address)?))
}
